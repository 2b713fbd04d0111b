"""A decision as a record: one line of JSON, byte for byte.

Comes in: a `Decision`, the digest of the record before it and the version of the code. Goes out: a
`DecisionRecord` whose line holds the whole basis of the decision, so that it can be made again, and
what came of it. Verdicts, proposals, and what `basis` holds are arrays, laid out by `schema`; what
names in `basis` have in common stands in `words`; see `codec`. The `n_nodes` that are
moved are the first of the candidates in `basis` for the direction that `action` takes, of those
that it is about; of a `shift`, a wave of a HOLD, those of the offering that it leaves. `kind` is
the kind of move that was proposed. May not round or leave out a figure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from spotvortex.core.decision.messages import Basis, Decision
from spotvortex.core.domain.types import Action
from spotvortex.core.pool.input import PoolInput, Risk
from spotvortex.core.record.codec import CodecError, Json, decode, encode, fold, rfc3339, unfold
from spotvortex.core.record.counterfactual import nearest_counterfactual
from spotvortex.core.record.schema import READABLE, SCHEMA, Schema

HEARTBEAT_S: Final = 3600.0
"""A pool whose decision does not change is recorded this often all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """One recorded decision.

    Attributes:
        decision_id: the decision's id.
        at: time of the decision, seconds since the epoch.
        pool: the workload pool.
        action: what was decided.
        digest: SHA-256 of the line without this digest, hexadecimal.
        line: the record as JSON without a line end, its last member the digest.
    """

    decision_id: str
    at: float
    pool: str
    action: Action
    digest: str
    line: str


def record_of(
    decision: Decision, previous_digest: str, code_version: str, schema: Schema = SCHEMA
) -> DecisionRecord:
    """Write a decision down.

    Args:
        decision: what was decided.
        previous_digest: the digest of the record before, "" for the first since start.
        code_version: the version of the running code.
        schema: how it is laid out; another than the present one only to make a record again.
    """
    document = _document(decision, schema) | {"code": code_version, "previous": previous_digest}
    body = json.dumps(document, separators=(",", ":"), allow_nan=False)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return DecisionRecord(
        decision_id=decision.decision_id,
        at=decision.at,
        pool=decision.pool,
        action=decision.action,
        digest=digest,
        line=f'{body[:-1]},"digest":"{digest}"}}',
    )


def _document(decision: Decision, schema: Schema) -> dict[str, Json]:
    rows = schema.rows
    basis, words = fold(encode(decision.basis, rows))
    found: dict[str, Json] = {
        "v": schema.version,
        "id": decision.decision_id,
        "time": rfc3339(decision.at),
        "pool": decision.pool,
        "mode": decision.mode.value,
        "action": decision.action.value,
        "reason": decision.reason,
        "kind": decision.proposal.kind.value,
        "proposal": encode(decision.proposal, rows),
        "other": encode(decision.other, rows),
        "current_ratio": encode(decision.current_ratio),
        "target_ratio": encode(decision.target_ratio),
        "n_nodes": decision.n_nodes,
        "verdicts": encode(decision.verdicts, rows),
        "economics": encode(decision.economics),
        "expected": encode(decision.choice.costs, rows),
        "avoided": encode(decision.choice.avoided, rows),
        "shift": encode(decision.shift, rows),
        "hedge_ratio": encode(decision.hedge_ratio),
        "hedge": encode(decision.hedge, rows),
        "savings_usd_per_hour": encode(decision.savings_usd_per_hour),
        "flip": encode(nearest_counterfactual(decision.basis), rows),
        "confidence": encode(decision.input.confidence),
        "confidence_limit": decision.input.limiting_term,
        "trace": _trace_id(decision.basis.traceparent),
        "words": words,
        "basis": basis,
    }
    return {name: found[name] for name in schema.members}


def _trace_id(traceparent: str) -> str:
    parts = traceparent.split("-")
    return parts[1] if len(parts) == 4 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What is read back of a record: enough to make it again.

    Attributes:
        basis: all that the decision was made from.
        code_version: the version of the code that made it.
        previous_digest: the digest of the record before, "" for the first since a start.
        digest: the digest of this record.
        schema: how the record is laid out.
    """

    basis: Basis
    code_version: str
    previous_digest: str
    digest: str
    schema: Schema


def read_record(line: str) -> Recorded:
    """Read a record back.

    Raises:
        CodecError: the line is no record of a schema that is read; the text says where.
    """
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CodecError(f"no JSON: {error}") from error
    schema = READABLE.get(_version(document)) if isinstance(document, dict) else None
    if schema is None:
        raise CodecError(f"not a record of schema {' or '.join(map(str, READABLE))}")
    data = unfold(document.get("basis"), document.get("words"))
    return Recorded(
        schema=schema,
        basis=decode(Basis, data, schema.rows),
        code_version=_text(document, "code"),
        previous_digest=_text(document, "previous"),
        digest=_text(document, "digest"),
    )


def _version(document: Mapping[str, Json]) -> int:
    version = document.get("v")
    return version if type(version) is int else -1


def _text(document: Mapping[str, Json], name: str) -> str:
    text = document.get(name)
    if not isinstance(text, str):
        raise CodecError(f"{name}: a text is expected")
    return text


def is_worth_recording(decision: Decision, last: Decision | None) -> bool:
    """Tell whether a decision acts, differs from the pool's last recorded one, or is due again."""
    if last is None or decision.n_nodes > 0:
        return True
    return _essence(decision) != _essence(last) or decision.at - last.at >= HEARTBEAT_S


def _essence(decision: Decision) -> tuple[object, ...]:
    return (
        decision.action,
        decision.refused_by,
        decision.proposal,
        decision.target_ratio,
        decision.n_nodes,
    )


def shown_risk(data: PoolInput) -> Risk:
    """Return the risk of the Spot held, or of the Spot that would be entered where none is held."""
    return data.spot_risk if data.n_spot else data.entry_risk
