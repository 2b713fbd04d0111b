"""A decision as one line: for the journal, byte for byte, and for a person at a console.

Comes in: a `Decision`, the digest of the record before it and the version of the code. Goes out: a
`DecisionRecord` whose line holds all that the decision was made from, so that it can be made again
(`input_of` reads the reduced input back). May not round or leave out a figure: lines are kept short
by structure alone. A figure that is not finite is written as null.

Rows of the line are arrays, in the order of the `*_COLUMNS` below. An offering elsewhere than in
its own row is written as its position in `input.offerings`, or as `type/zone` where it is not
listed there. `input.domain` is what the names of all candidate nodes end in, after a dot. Moves are
listed by where they go: the position among the candidates of that direction, or `[node, uid,
offering]` where it is none of them. Scores of `"score_type": "float32"` are the shortest numerals
that name the same float32, to be read as such; all other figures are doubles. A verdict is
`[gate, outcome, reason, limit, numbers by name]` and ends where the rest is empty.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

import numpy as np

from spotvortex.core.messages import Decision, Economics, Move, Verdict
from spotvortex.core.pools import Candidate, Money, OfferingInput, PoolInput, Risk, Safety
from spotvortex.core.types import Action, Blocker, CapacityType, Offering, Outcome, Provisioner

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

SCHEMA: Final = 1
HEARTBEAT_S: Final = 3600.0
"""A pool whose decision does not change is recorded this often all the same."""

MAX_LINE: Final = 200
"""Characters of a console line; what is longer is cut."""

NODE_COLUMNS: Final = (
    "n_spot",
    "n_on_demand",
    "n_reserved",
    "n_unknown",
    "n_spot_out_of_scope",
    "n_moving",
    "n_not_ready",
    "n_spot_movable",
    "n_on_demand_movable",
)
OFFERING_COLUMNS: Final = (
    "n_spot",
    "n_on_demand",
    "spot_usd_per_hour",
    "on_demand_usd_per_hour",
)
"""What follows the positions of the offering's type in `types` and of its zone in `zones`, and is
followed by its capacity_score and runtime_score."""
CANDIDATE_COLUMNS: Final = ("uid", "n_pods", "workload_cpu_milli", "workload_memory_bytes")
"""What follows the node's name without its domain, and its offering."""
RISK_COLUMNS: Final = ("capacity", "runtime", "worst_runtime")
"""What follows the worst offering."""
MONEY_COLUMNS: Final = (
    "spot_usd_per_hour",
    "on_demand_usd_per_hour",
    "covered_ratio",
    "last_resort",
)
SAFETY_COLUMNS: Final = (
    "n_pdbs",
    "known",
    "margin_pods",
    "margin_pdb",
    "margin_zone",
    "safe_to_spot_nodes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """One recorded decision. `line` is JSON without a line end, its last member the `digest`."""

    decision_id: str
    at: float
    pool: str
    action: Action
    digest: str
    line: str


def record_of(decision: Decision, previous_digest: str, code_version: str) -> DecisionRecord:
    """Write a decision down.

    Args:
        decision: what was decided.
        previous_digest: the digest of the record before, "" for the first since start.
        code_version: the version of the running code.
    """
    document = _document(decision) | {"code": code_version, "previous": previous_digest}
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


def describe(decision: Decision) -> str:
    """Say a decision in one line for a console, at most `MAX_LINE` characters; the time is UTC."""
    data = decision.input
    risk = shown_risk(data)
    line = (
        f"{datetime.fromtimestamp(decision.at, UTC):%H:%M:%S} {decision.pool:<8} "
        f"{decision.action:<14} spot {data.n_spot}/{data.n_counted} "
        f"({decision.current_ratio:.2f} -> {decision.target_ratio:.2f})  "
        f"risk {_two(risk.capacity)}/{_two(risk.runtime)}  conf {data.confidence:.2f}  "
        f"{_why(decision)}"
    ).replace("\n", " ")
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 3]}..."


def shown_risk(data: PoolInput) -> Risk:
    """Return the risk of the Spot held, or of the Spot that would be entered where none is held."""
    return data.spot_risk if data.n_spot else data.entry_risk


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _why(decision: Decision) -> str:
    refused = [v for v in decision.verdicts if v.outcome is Outcome.REFUSE]
    if refused:
        more = f" (+{len(refused) - 1} more)" if len(refused) > 1 else ""
        wanted = f"wanted {decision.proposal.action} ({decision.proposal.reason})"
        return f"{refused[0].gate} refuses: {refused[0].reason}{more} | {wanted}"
    if decision.n_nodes:
        verb = "moves" if decision.mode.writes else "would move"
        nodes = "node" if decision.n_nodes == 1 else "nodes"
        return f"{verb} {decision.n_nodes} {nodes}: {decision.reason}"
    return decision.reason


def rfc3339(at: float) -> str:
    """Write a time in seconds since the epoch as RFC 3339 text in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _document(decision: Decision) -> dict[str, Json]:
    data = decision.input
    return {
        "v": SCHEMA,
        "id": decision.decision_id,
        "cycle": decision.cycle,
        "time": rfc3339(decision.at),
        "at": decision.at,
        "pool": decision.pool,
        "mode": decision.mode.value,
        "action": decision.action.value,
        "reason": decision.reason,
        "proposal": [decision.proposal.action.value, decision.proposal.reason],
        "current_ratio": finite(decision.current_ratio),
        "target_ratio": finite(decision.target_ratio),
        "n_nodes": decision.n_nodes,
        "moves": _moves(decision.moves, data),
        "verdicts": [_verdict(v) for v in decision.verdicts],
        "economics": _economics(decision.economics),
        "savings_usd_per_hour": finite(decision.savings_usd_per_hour),
        "confidence": finite(data.confidence),
        "confidence_terms": {name: finite(value) for name, value in data.confidence_terms},
        "confidence_limit": data.limiting_term,
        "input": _input(data),
        "model": decision.model_digest,
        "trace": _trace_id(decision.traceparent),
    }


def finite(value: float | None) -> float | None:
    """Return a figure as JSON can hold it: None where it is not finite."""
    return value if value is not None and math.isfinite(value) else None


def _trace_id(traceparent: str) -> str:
    parts = traceparent.split("-")
    return parts[1] if len(parts) == 4 else ""


def _moves(moves: Sequence[Move], data: PoolInput) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for move in moves:
        candidates = data.to_spot if move.to is CapacityType.SPOT else data.to_on_demand
        position = {c.uid: i for i, c in enumerate(candidates) if c.node == move.node}
        written_out = [move.node, move.uid, str(move.from_offering)]
        found.setdefault(move.to.value, []).append(position.get(move.uid, written_out))
    return found


def _verdict(verdict: Verdict) -> list[Json]:
    row: list[Json] = [verdict.gate, verdict.outcome.value, verdict.reason]
    if verdict.limit is not None or verdict.numbers:
        row.append(verdict.limit)
    if verdict.numbers:
        row.append({name: finite(value) for name, value in verdict.numbers})
    return row


def _economics(economics: Economics) -> dict[str, Json]:
    return {
        "discount_ratio": finite(economics.discount_ratio),
        "saving_usd_per_hour": finite(economics.saving_usd_per_hour),
        "risk_cost_usd_per_hour": finite(economics.risk_cost_usd_per_hour),
        "net_usd_per_hour": finite(economics.net_usd_per_hour),
        "migration_usd": finite(economics.migration_usd),
        "payback_hours": finite(economics.payback_hours),
    }


def _input(data: PoolInput) -> dict[str, Json]:
    """Reduce the input further, by structure; pool, time and confidence stand beside it."""
    types = sorted({o.offering.instance_type for o in data.offerings})
    zones = sorted({o.offering.zone for o in data.offerings})
    position = {str(o.offering): i for i, o in enumerate(data.offerings)}
    narrow = _are_float32(data.offerings)
    domains = {c.node.partition(".")[2] for c in (*data.to_on_demand, *data.to_spot)}
    domain = domains.pop() if len(domains) == 1 else ""
    return {
        "provisioner": data.provisioner.value,
        "nodes": _row(data, NODE_COLUMNS),
        "allows": [data.allows_spot, data.allows_on_demand],
        "requested": [finite(data.cpu_requested_ratio), finite(data.memory_requested_ratio)],
        "types": types,
        "zones": zones,
        "score_type": "float32" if narrow else "float64",
        "offerings": [
            [
                types.index(o.offering.instance_type),
                zones.index(o.offering.zone),
                *_row(o, OFFERING_COLUMNS),
                *(_score(score, narrow=narrow) for score in (o.capacity_score, o.runtime_score)),
            ]
            for o in data.offerings
        ],
        "out_of_scope": [i for i, o in enumerate(data.offerings) if not o.in_scope],
        "n_offerings": data.n_offerings,
        "spot_risk": _risk(data.spot_risk, position),
        "entry_risk": _risk(data.entry_risk, position),
        "spot_money": _row(data.spot_money, MONEY_COLUMNS),
        "entry_money": _row(data.entry_money, MONEY_COLUMNS),
        "safety": _row(data.safety, SAFETY_COLUMNS),
        "domain": domain,
        "to_on_demand": [_candidate(c, domain, position) for c in data.to_on_demand],
        "to_spot": [_candidate(c, domain, position) for c in data.to_spot],
        "blocked": {blocker.value: n for blocker, n in data.blocked},
        "unsupported": data.unsupported,
        "out_of_range": [position.get(name, name) for name in data.out_of_range],
        "oldest_input_s": finite(data.oldest_input_s),
        "bad_inputs": data.bad_inputs,
    }


def _row(source: object, columns: Sequence[str]) -> list[Json]:
    values = [getattr(source, name) for name in columns]
    return [finite(value) if isinstance(value, float) else value for value in values]


def _are_float32(offerings: Sequence[OfferingInput]) -> bool:
    scores = [score for o in offerings for score in (o.capacity_score, o.runtime_score)]
    return all(float(np.float32(score)) == score for score in scores if score is not None)


def _score(score: float | None, *, narrow: bool) -> float | None:
    """Shorten a model's score, which is a float32, to the numeral that still names it."""
    known = finite(score)
    return float(str(np.float32(known))) if narrow and known is not None else known


def _candidate(candidate: Candidate, domain: str, position: Mapping[str, int]) -> list[Json]:
    node = candidate.node.removesuffix(f".{domain}") if domain else candidate.node
    offering = str(candidate.offering)
    return [node, position.get(offering, offering), *_row(candidate, CANDIDATE_COLUMNS)]


def _risk(risk: Risk, position: Mapping[str, int]) -> list[Json]:
    return [position.get(risk.worst, risk.worst), *_row(risk, RISK_COLUMNS)]


def input_of(line: str) -> PoolInput:
    """Read the reduced input back from a record's line, equal to the one that was decided on."""
    record = json.loads(line)
    data = record["input"]
    read = _float32 if data["score_type"] == "float32" else _float64
    offerings = tuple(
        OfferingInput(
            offering=Offering(instance_type=data["types"][kind], zone=data["zones"][zone]),
            capacity_score=read(capacity),
            runtime_score=read(runtime),
            in_scope=position not in data["out_of_scope"],
            **dict(zip(OFFERING_COLUMNS, rest, strict=True)),
        )
        for position, (kind, zone, *rest, capacity, runtime) in enumerate(data["offerings"])
    )
    names = [str(o.offering) for o in offerings]
    oldest = data["oldest_input_s"]
    return PoolInput(
        pool=record["pool"],
        at=record["at"],
        provisioner=Provisioner(data["provisioner"]),
        allows_spot=data["allows"][0],
        allows_on_demand=data["allows"][1],
        cpu_requested_ratio=data["requested"][0],
        memory_requested_ratio=data["requested"][1],
        offerings=offerings,
        n_offerings=data["n_offerings"],
        spot_risk=_risk_of(names, *data["spot_risk"]),
        entry_risk=_risk_of(names, *data["entry_risk"]),
        spot_money=Money(**dict(zip(MONEY_COLUMNS, data["spot_money"], strict=True))),
        entry_money=Money(**dict(zip(MONEY_COLUMNS, data["entry_money"], strict=True))),
        safety=Safety(**dict(zip(SAFETY_COLUMNS, data["safety"], strict=True))),
        to_on_demand=tuple(
            _candidate_of(names, data["domain"], *row) for row in data["to_on_demand"]
        ),
        to_spot=tuple(_candidate_of(names, data["domain"], *row) for row in data["to_spot"]),
        blocked=tuple((Blocker(name), n) for name, n in data["blocked"].items()),
        unsupported=tuple(data["unsupported"]),
        out_of_range=tuple(_name_of(names, key) for key in data["out_of_range"]),
        oldest_input_s=math.inf if oldest is None else oldest,
        bad_inputs=tuple(data["bad_inputs"]),
        confidence_terms=tuple(record["confidence_terms"].items()),
        **dict(zip(NODE_COLUMNS, data["nodes"], strict=True)),
    )


def _float32(numeral: float | None) -> float | None:
    return None if numeral is None else float(np.float32(numeral))


def _float64(numeral: float | None) -> float | None:
    return numeral


def _name_of(names: Sequence[str], key: int | str) -> str:
    return key if isinstance(key, str) else names[key]


def _risk_of(names: Sequence[str], worst: int | str, *rest: float | None) -> Risk:
    capacity, runtime, worst_runtime = rest
    return Risk(
        capacity=capacity,
        runtime=runtime,
        worst=_name_of(names, worst),
        worst_runtime=worst_runtime,
    )


def _candidate_of(names: Sequence[str], domain: str, node: str, *rest: int | str) -> Candidate:
    key, uid, n_pods, cpu_milli, memory_bytes = rest
    instance_type, _, zone = _name_of(names, key).rpartition("/")
    return Candidate(
        node=f"{node}.{domain}" if domain else node,
        uid=str(uid),
        offering=Offering(instance_type=instance_type, zone=zone),
        n_pods=int(n_pods),
        workload_cpu_milli=int(cpu_milli),
        workload_memory_bytes=int(memory_bytes),
    )
