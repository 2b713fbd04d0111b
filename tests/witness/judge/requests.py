"""Checks of single requests: shadow, lease, preconditions, and what is ours to write at all.

Comes in: a `Case`. Goes out: breaches of invariants 1, 6, 7 and of the fence (0).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tests.witness.judge.case import Breach, Case, breach
from tests.witness.judge.names import (
    CORDONED,
    DRAIN,
    GROWTHS,
    LEASE,
    PREFIX,
    RESTORE,
    STATE,
    STATE_ASIDE,
)
from tests.witness.writes import Write, Writer, seconds

_UNLEASED = {"leases", "events"}
_OWN = {
    "pods": {"create", "delete", "deletecollection"},
    "jobs": {"create", "delete", "deletecollection"},
    "leases": {"create", "update", "patch"},
    "events": {"create", "patch", "update"},
}


def shadow(case: Case) -> Iterator[Breach]:
    """1: in shadow nothing is written, not even in vain."""
    if case.rules.shadow:
        yield from (breach(1, f"in shadow: {write}", write) for write in case.writes)


def fence(case: Case) -> Iterator[Breach]:
    """0: we write to nodes what is ours, evict, delete NodeClaims; else in our namespace alone."""
    for write in case.writes:
        why = _outside(case, write)
        if why:
            yield breach(6 if _is_pod_deletion(case, write) else 0, f"{why}: {write}", write)


def _is_pod_deletion(case: Case, write: Write) -> bool:
    foreign = write.resource == "pods" and write.namespace != case.namespace
    return foreign and write.verb.startswith("delete")


def _outside(case: Case, write: Write) -> str:
    if _is_pod_deletion(case, write):
        return "a pod of others deleted past the Eviction API"
    match write.resource, write.verb:
        case ("pods/eviction", "create") | ("nodeclaims", "delete") | ("events", _):
            return ""
        case ("nodes", "patch"):
            return _beyond_ours(write)
        case ("nodepools", "patch") if case.rules.steers:
            return _beyond_weights(write)
        case ("configmaps", _) if write.name == STATE and write.namespace == case.namespace:
            return ""
        case ("configmaps", "create" | "update") if write.name == GROWTHS:
            return "" if write.namespace == case.namespace else "not ours to write"
        case ("configmaps", "create") if write.name == STATE_ASIDE:
            return "" if write.namespace == case.namespace else "not ours to write"
    own = write.namespace == case.namespace and write.verb in _OWN.get(write.resource, set())
    return "" if own else "not ours to write"


def _beyond_ours(write: Write) -> str:
    metadata = dict(write.metadata)
    keys = {*(metadata.pop("labels", None) or {}), *(metadata.pop("annotations", None) or {})}
    spec = set(write.body.get("spec") or {})
    rest = set(write.body) - {"metadata", "spec", "apiVersion", "kind"}
    foreign = {key for key in keys if not key.startswith(PREFIX)}
    beyond = foreign | (metadata.keys() - {"uid", "resourceVersion", "name"}) | rest
    beyond |= spec - {"unschedulable"}
    return f"a node's {', '.join(sorted(beyond))} written" if beyond else ""


def _beyond_weights(write: Write) -> str:
    """Say what of a NodePool was written beside weight, CPU limit and our note, "" of nothing."""
    metadata, spec = dict(write.metadata), dict(write.body.get("spec") or {})
    notes, limits = metadata.pop("annotations", None) or {}, spec.pop("limits", None) or {}
    beyond = {*notes} - {RESTORE} | ({*limits} - {"cpu"}) | ({*spec} - {"weight"})
    beyond |= metadata.keys() - {"uid", "resourceVersion", "name", "managedFields"}
    beyond |= set(write.body) - {"metadata", "spec", "apiVersion", "kind"}
    if beyond:
        return f"a NodePool's {', '.join(sorted(beyond))} written"
    return "" if metadata.get("resourceVersion") else "a NodePool written without resourceVersion"


def do_not_disrupt(case: Case) -> Iterator[Breach]:
    """6: no pod that asks to be left alone is evicted, unless its node is lost anyway."""
    for eviction in case.evictions:
        lost = eviction.mark is not None and not eviction.mark.voluntary
        if eviction.pod is not None and eviction.pod.held and not lost:
            yield breach(
                6, f"evicted although it must not be disrupted: {eviction.write}", eviction.write
            )


def preconditions(case: Case) -> Iterator[Breach]:
    """7: writes name the very object that is meant; a mark is one patch."""
    for write in case.writes:
        missing = _missing(write)
        if missing:
            yield breach(7, f"{missing}: {write}", write)


def _missing(write: Write) -> str:
    match write.resource, write.verb:
        case ("nodes", "patch" | "update"):
            if write.is_mark and not _marks_whole(write):
                return "a mark that is not cordon, label and journal in one"
            there = write.precondition() or write.metadata.get("resourceVersion")
            return "" if there else "a node written without resourceVersion or uid"
        case ("pods/eviction", "create"):
            return "" if write.precondition() else "an eviction without a uid"
        case ("nodeclaims", "delete"):
            return "" if write.precondition() else "a NodeClaim deleted without a uid"
        case ("configmaps", "update"):
            there = write.metadata.get("resourceVersion")
            return "" if there else "our state written without resourceVersion"
        case ("nodeclaims", "deletecollection"):
            return "NodeClaims deleted by the dozen"
    return ""


def _marks_whole(write: Write) -> bool:
    cordons = (write.body.get("spec") or {}).get("unschedulable") is True
    return cordons and bool(write.label.get(CORDONED)) and bool(write.note.get(DRAIN))


# -- the lease --------------------------------------------------------------


@dataclass(slots=True)
class _Term:
    """A time in which one writer held the lease."""

    writer: Writer
    identity: str
    since: float
    until: float


def lease(case: Case) -> Iterator[Breach]:
    """7: whoever writes holds the lease at that moment."""
    if not case.rules.lease:
        return
    terms = _terms(case)
    for write in case.done():
        if write.resource in _UNLEASED:
            continue
        held = any(t.writer == write.writer and t.since <= write.at <= t.until for t in terms)
        if not held:
            holders = {t.identity for t in terms if t.since <= write.at <= t.until} or {"nobody"}
            who = ", ".join(sorted(holders))
            yield breach(7, f"written while {who} held the lease: {write}", write)


def _terms(case: Case) -> list[_Term]:
    """Read who held the lease when; a term ends with its last renewal's time or a successor."""
    terms: list[_Term] = []
    for write in case.done():
        if write.resource != "leases" or write.namespace != case.namespace or write.name != LEASE:
            continue
        spec = {**(write.body.get("spec") or {}), **(write.answer.get("spec") or {})}
        identity = str(spec.get("holderIdentity") or "")
        last = terms[-1] if terms else None
        if last is not None and (last.identity != identity or last.writer != write.writer):
            # The loser's last request may have been received while this one was carried out.
            last.until = min(last.until, write.done_at)
            last = None
        if not identity:
            continue
        if last is not None and last.until < write.at:
            last = None  # it had run out in between
        if last is None:
            last = _Term(write.writer, identity, write.at, math.inf)
            terms.append(last)
        last.until = _renewed(spec, write) + float(spec.get("leaseDurationSeconds") or 0)
    return terms


def _renewed(spec: dict[str, object], write: Write) -> float:
    renewed = spec.get("renewTime")
    return seconds(renewed) if isinstance(renewed, str) else write.at
