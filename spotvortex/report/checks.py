"""Whether everything is there that the daemon needs, for `check`.

Comes in: what was found out of settings, bundle, prices, rights and folders. Goes out: one line
each with the fix, as text or as JSON, and the exit code. May not find anything out itself, but for
the rights on a path.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from spotvortex.core.domain import labels
from spotvortex.core.domain.cloud.commitments import Commitments, CommitmentState
from spotvortex.core.domain.cloud.scaling_groups import (
    ScalingGroup,
    may_rebalance,
    no_growth,
    no_release,
)
from spotvortex.core.domain.inputs import InputName, InputState
from spotvortex.core.domain.market import MarketFacts
from spotvortex.kube.admin.access_review import Access
from spotvortex.kube.admin.install_trial import InstallTrial
from spotvortex.report.document import plain

MAX_NAMED: Final = 5
"""Groups that are named at most."""

_STYLES: Final = {"ok": "green", "missing": "yellow", "wrong": "red"}


class CheckStatus(StrEnum):
    """How one thing was found."""

    OK = "ok"
    MISSING = "missing"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: the thing.
        finding: how it was found.
        detail: what was found, in words.
        fix: what to do, "" where nothing is or the detail names it.
        required: without it the daemon would not start, could not decide, or would do less than
            its mode says.
    """

    name: str
    finding: CheckStatus
    detail: str
    fix: str = ""
    required: bool = True


def ok(name: str, detail: str) -> Check:
    """Say that a thing is as it should be."""
    return Check(name=name, finding=CheckStatus.OK, detail=detail)


def missing(name: str, detail: str, fix: str = "", *, required: bool = False) -> Check:
    """Say that a thing is not there; `fix` is empty where the detail names it."""
    return Check(name=name, finding=CheckStatus.MISSING, detail=detail, fix=fix, required=required)


def wrong(name: str, detail: str, fix: str = "", *, required: bool = True) -> Check:
    """Say that a thing is there and cannot be used; `fix` as above."""
    return Check(name=name, finding=CheckStatus.WRONG, detail=detail, fix=fix, required=required)


def exit_code(found: tuple[Check, ...]) -> int:
    """Return 0 if all is well, 1 if only what is optional is not, else 2."""
    unwell = [check for check in found if check.finding is not CheckStatus.OK]
    if any(check.required for check in unwell):
        return 2
    return 1 if unwell else 0


def of_model(
    name: str, digest: str, degenerate_reason: str, *, memory_decides: bool = False
) -> Check:
    """Judge a bundle that has been loaded."""
    if degenerate_reason:
        so = "and decides nothing" if memory_decides else "so only the interruption memory counts"
        return wrong(
            "model",
            f"{name} is degenerate, {so}: {degenerate_reason}",
            "go back to the bundle before, or unset SPOTVORTEX_MODEL_DIR for the one that ships",
            required=False,
        )
    beside = ", asked beside the interruption memory, which decides" if memory_decides else ""
    return ok("model", f"{name}, digest {digest[:12]}{beside}")


def of_prices(market: MarketFacts) -> Check:
    """Judge the prices of what the cluster runs on, as the daemon would."""
    (health,) = (h for h in market.inputs if h.name is InputName.PRICES)
    quotes = market.quotes.values()
    n_priced = sum(1 for q in quotes if None not in (q.spot_usd_per_hour, q.on_demand_usd_per_hour))
    n_shipped = sum(1 for q in quotes if q.last_resort)
    told = "; ".join(
        words
        for words, applies in (
            (f"{n_priced} of {len(quotes)} offerings of the cluster have prices", quotes),
            (
                f"the newest record is {health.age_s / 3600.0:.1f} h old",
                math.isfinite(health.age_s),
            ),
            (
                f"{n_shipped} on-demand prices are of last resort, on which nothing moves to Spot",
                n_shipped,
            ),
            (health.detail, health.detail),
        )
        if applies
    )
    if health.state is InputState.STALE:
        return wrong("prices", told, required=False)
    if health.state is not InputState.OK or n_priced < len(quotes) or n_shipped:
        return missing("prices", told, "see docs/price-file.md for both halves of the file")
    return ok("prices", told)


STATE_COMMITMENTS: Final = (
    "state them in a JSON file, {} for none: SPOTVORTEX_COMMITMENTS_PATH here, ConfigMap "
    "spotvortex-commitments for the daemon (docs/commitments.md)"
)


def of_commitments(found: Commitments, trouble: str, at: float, *, hold: bool) -> Check:
    """Judge what is stated of Savings Plans and reserved instances.

    Args:
        found: what is stated.
        trouble: why a statement cannot be read, "" where it can, or where there is none.
        at: the time, which tells what has ended.
        hold: growth waits for a statement.
    """
    name = "commitments"
    if found.state is CommitmentState.STATED:
        n = len(found.items)
        n_ended = n - len(found.at(at))
        ended = f", {n_ended} of them ended" if n_ended else ""
        return ok(name, f"{n} stated{ended}" if n else "stated that there are none")
    if found.state is CommitmentState.UNREADABLE:
        return wrong(name, f"nothing moves to Spot until this is mended: {trouble}", required=False)
    costs = "nothing moves to Spot" if hold else "what a move saves may be nothing"
    return missing(name, f"not stated, so {costs}", STATE_COMMITMENTS, required=hold)


def of_endpoint(
    variable: str, trouble: str, fix: str = "mend the address or the way there, or unset it"
) -> Check:
    """Judge an endpoint that a variable names; the daemon goes on without it."""
    if trouble:
        return wrong(variable, trouble, fix, required=False)
    return ok(variable, "it answers as expected")


def of_access(access: Access) -> Check:
    """Judge the rights on one input."""
    watched = access.watched
    name = f"rights on {watched.right}"
    if not access.served:
        if watched.required:
            return wrong(name, f"the cluster does not serve it: {watched.cost}")
        # A cluster without Karpenter is a cluster.
        return ok(name, f"the cluster does not serve it: {watched.cost}")
    if access.denied:
        verbs = ",".join(access.denied)
        detail, fix = f"no right to {verbs}: {watched.cost}", f"grant {verbs} on {watched.right}"
        return missing(name, detail, fix, required=watched.required)
    return ok(name, "get,list,watch")


def of_account(username: str, namespace: str) -> Check:
    """Say whose rights are judged."""
    name = "account"
    if _is_ours(username, namespace):
        return ok(name, username)
    detail = f"the rights here are those of {username or 'an account the server does not name'}"
    command = f"kubectl -n {namespace} exec deploy/spotvortex -- python -m spotvortex check"
    return missing(name, detail, f"ask as the daemon does: {command}")


def _is_ours(username: str, namespace: str) -> bool:
    return username.startswith(f"system:serviceaccount:{namespace}:")


def of_events(unsaid: tuple[str, ...]) -> Check:
    """Judge the right to say something at a node."""
    name = "rights to tell"
    if unsaid:
        detail = f"no right to {', '.join(unsaid)}: nothing is said at the nodes"
        return missing(name, detail, "grant them, as deploy/kustomize/events does")
    return ok(name, "create,patch")


def of_provisioner(cannot_move: str) -> Check:
    """Judge whether anything can be moved with the provisioner of the settings."""
    if cannot_move:
        return wrong("provisioner", f"{cannot_move}; the mode becomes advise")
    return ok("provisioner", "its nodes can be moved")


def of_autoscaler(found: str, n_groups: int) -> Check:
    """Judge what Cluster Autoscaler shows of itself; without it its groups have no known bounds."""
    name = "cluster autoscaler"
    if found == "seen":
        return ok(name, f"it runs; {n_groups} groups with their sizes")
    detail = "its status cannot be read: node groups are moved only if the settings say so"
    fix = "grant get of ConfigMap cluster-autoscaler-status, as deploy/kustomize/base does"
    if found == "unseen":
        detail = "it keeps no status in kube-system: how large its groups may be is not known"
        fix = "let it write its status (--write-status-configmap), in kube-system"
    return missing(name, detail, fix)


def of_writes(denied: tuple[str, ...]) -> Check:
    """Judge the rights to carry a decision out."""
    name = "rights to write"
    if denied:
        detail = f"missing, so the mode becomes advise: {'; '.join(denied)}"
        return wrong(name, detail, "grant them, as deploy/kustomize/overlays/active does")
    return ok(name, "all that a wave needs")


def of_weights(denied: tuple[str, ...]) -> Check:
    """Judge the rights to steer pairs of NodePools, where that is switched on."""
    if denied:
        detail = f"missing, so no NodePool is steered: {'; '.join(denied)}"
        return wrong("weights", detail, "grant them, as deploy/kustomize/components/weights does")
    return ok("weights", "weight and CPU limit of a pair's NodePools may be set")


def of_journal(denied: tuple[str, ...]) -> Check:
    """Judge the rights to the journal of groups that are grown by AWS."""
    if denied:
        detail = f"missing, so no group is grown: {'; '.join(denied)}"
        return wrong("journal of groups", detail, "grant them, as deploy/kustomize/overlays/active")
    return ok("journal of groups", f"ConfigMap {labels.GROWTHS} may be read and written")


def of_groups(found: Sequence[ScalingGroup], trouble: str) -> Check:
    """Judge whether AWS tells the groups that nodes are to be moved by; `trouble` has its fix."""
    if trouble:
        return wrong("groups", trouble)
    if not found:
        fix = "tag two groups for each pool, see docs/node-groups.md"
        return missing("groups", "AWS tells of no group that counts", fix, required=True)
    held = next((words for g in found if (words := no_growth(g) or no_release(g))), "")
    names = ", ".join(g.name for g in found[:MAX_NAMED])
    risky = next((words for g in found if (words := may_rebalance(g))), "")
    if held or risky:
        return missing("groups", f"{len(found)} read; {held or risky}")
    return ok("groups", f"{len(found)} read: {names}")


def of_placeholder(trial: InstallTrial) -> Check:
    """Judge whether a placeholder would be taken: namespace, PriorityClass, quota, security."""
    name = "placeholders"
    if trial.refusal:
        fix = "install the bounds of deploy/kustomize/overlays/active, and widen what is too narrow"
        return wrong(name, f"the server would refuse one: {trial.refusal}", fix)
    if trial.stands_by:
        return ok(name, "another replica leads, and the fence lets nobody else write")
    return ok(name, "the server would take one; that nodes can pull its image is seen by a wave")


def of_fence(trial: InstallTrial, username: str, namespace: str) -> Check:
    """Judge whether the admission policies stand around the account that asks."""
    name = "fence"
    if trial.is_fenced:
        return ok(name, "the server refuses this account what it must not do")
    if not _is_ours(username, namespace):
        return missing(name, f"{username} is not fenced in, and is not the daemon's account")
    detail = f"nothing fences {username} in: the server would take a pod that never ends"
    fix = "install deploy/kustomize/overlays/active/fence (Kubernetes 1.30 or newer)"
    return wrong(name, detail, fix, required=False)


def of_memory(unkept: str) -> Check:
    """Judge the ConfigMap that keeps what was learned; `unkept` says why it cannot be used."""
    name = "memory"
    if unkept:
        detail = f"what was learned of interruptions is forgotten at each restart: {unkept}"
        fix = "install deploy/kustomize/memory, or set SPOTVORTEX_STATE_DIR to a folder on a volume"
        return missing(name, detail, fix)
    return ok(name, f"kept in ConfigMap {labels.MEMORY}")


def of_ledger(unkept: str) -> Check:
    """Judge the ConfigMap that keeps the savings ledger; `unkept` says why it cannot be used."""
    name = "ledger"
    if unkept:
        detail = f"what was saved is counted from 0 again at each restart: {unkept}"
        fix = "install deploy/kustomize/ledger, or set SPOTVORTEX_STATE_DIR to a folder on a volume"
        return missing(name, detail, fix)
    return ok(name, f"kept in ConfigMap {labels.LEDGER}")


def of_state_dir(folder: Path) -> Check:
    """Judge the folder that keeps what was learned."""
    name = "state_dir"
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        detail = f"SPOTVORTEX_STATE_DIR={folder} is no folder that can be written"
        return wrong(name, detail, "make it and let the daemon's user write, or unset the variable")
    return ok(name, str(folder))


def of_decision_log(path: Path | None) -> Check:
    """Judge the file to which records are appended."""
    name = "decision_log"
    if path is None:
        return ok(name, "standard output")
    place = path if path.exists() else path.parent
    if path.is_dir() or not os.access(place, os.W_OK):
        detail = f"SPOTVORTEX_DECISION_LOG={path} cannot be written"
        return wrong(name, detail, f"let the daemon's user write to {place}, or name another file")
    return ok(name, str(path))


def render(found: tuple[Check, ...]) -> str:
    """Render all checks as indented JSON, with the exit code."""
    return json.dumps({"exit_code": exit_code(found), "checks": plain(found)}, indent=2)


def show(found: tuple[Check, ...], console: Console) -> None:
    """Print one line each."""
    width = max(len(check.name) for check in found)
    for check in found:
        mark = (f"{check.finding:<8}", _STYLES[check.finding])
        fix = f" -> {check.fix}" if check.fix else ""
        line = Text.assemble(mark, f"{check.name:<{width}}  {check.detail}{fix}")
        console.print(line, soft_wrap=True)
