"""A cluster's own history as a folder of files: training data, and what a backtest replays.

Comes in: what was gathered from decision records. Goes out: the text of each file. Names of pools
are replaced by words made with a key that is drawn for one export and kept nowhere. May not hold
the name of a node, a workload or a namespace: the records' lines do not come here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.pool.input import PoolInput
from spotvortex.core.record.codec import rfc3339
from spotvortex.core.record.history import HistoryDecision, OfferingHistory, OwnHistory
from spotvortex.core.scoring.interruption_memory import Memory
from spotvortex.results import cluster_snapshot as snapshots
from spotvortex.results.cluster_snapshot import NodesRow, PoolRow, Snapshot, WorkloadRow
from spotvortex.results.schemas import HISTORY

MANIFEST: Final = "history.json"
PRICES: Final = "prices.jsonl"
CAPACITY: Final = "capacity.csv"
CLUSTER: Final = "cluster.json"
LOSSES: Final = "losses.jsonl"
LAUNCHES: Final = "launches.jsonl"
DECISIONS: Final = "decisions.jsonl"
MEMORY: Final = "memory.jsonl"

BACK_AFTER_S: Final = 3600.0
"""After a loss or a launch that failed the offering is taken to have no more than what was held,
until a launch there succeeds, or for this long."""

AMPLE_NODES: Final = 20
"""Where nothing speaks against it, an offering is taken to have so many nodes, or as many as all
pools ever held together."""

WRITTEN_EVERY_S: Final = 43_200.0
"""A capacity trace has a record at least once a day."""

_PODS_A_NODE: Final = 4
_POD_CPU_MILLI: Final = 250
_POD_MEMORY_BYTES: Final = 256 * 1024**2
"""Of a pool whose records show no node that could be moved."""

_GRACE_S: Final = 30.0


def files_of(history: OwnHistory, key: bytes) -> dict[str, str]:
    """Return the text of every file, by name.

    Args:
        history: what was gathered; it holds at least one decision.
        key: `REDACTION_KEY_BYTES` random bytes, drawn for this export alone and kept nowhere.
    """
    start_at, end_at = history.span
    cluster = snapshots.redacted(_cluster(history, end_at), key)
    return {
        PRICES: _lines(_prices(history)),
        CAPACITY: _capacity(history),
        CLUSTER: snapshots.to_text(cluster) + "\n",
        LOSSES: _lines(_losses(history)),
        LAUNCHES: _lines(_launches(history)),
        DECISIONS: _lines(_decision(one, key) for one in history.decisions),
        MANIFEST: json.dumps(
            {
                "schema": HISTORY,
                "first": rfc3339(start_at),
                "last": rfc3339(end_at),
                "decisions": len(history.decisions),
                "offerings": len(history.offerings),
                "losses": sum(len(one.losses) for one in history.offerings.values()),
                "pools": len(history.last),
            },
            indent=1,
        )
        + "\n",
    }


def memory_text_of(memory: Memory) -> str:
    """Return what the interruption memory counts of each offering, a line each; counts fade."""
    return _lines(
        {
            "instance_type": offering.instance_type,
            "zone": offering.zone,
            "losses": known.losses,
            "exposure_hours": known.exposure_hours,
            "loss_shares": known.loss_shares,
            "shaped_hours": known.shaped_hours,
            "launches": known.launches,
            "refusals": known.refusals,
            "last_loss": None if known.last_loss_at is None else rfc3339(known.last_loss_at),
        }
        for offering, known in sorted(memory.offerings.items())
    )


def _lines(rows: Iterator[Mapping[str, object]]) -> str:
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)


def _prices(history: OwnHistory) -> Iterator[Mapping[str, object]]:
    """Return the rows of a price file (docs/price-file.md)."""
    for (instance_type, region), price in sorted(history.on_demand.items()):
        yield {"InstanceType": instance_type, "Region": region, "OnDemandPrice": price}
    for offering, known in sorted(history.offerings.items()):
        for at, price in known.prices:
            yield {
                "InstanceType": offering.instance_type,
                "AvailabilityZone": offering.zone,
                "ProductDescription": "Linux/UNIX",
                "SpotPrice": price,
                "Timestamp": rfc3339(at),
            }


def _capacity(history: OwnHistory) -> str:
    """Return a capacity trace (docs/capacity-trace.md) of what the cluster could tell."""
    start_at, end_at = history.span
    ample = max(AMPLE_NODES, history.n_most)
    lines = ["timestamp,instance_type,zone,count"]
    for offering, known in sorted(history.offerings.items()):
        last = -1.0
        for at, count in _filled(_counts(known, ample, start_at), end_at):
            if at - last >= 1.0:
                lines.append(f"{rfc3339(at)},{offering.instance_type},{offering.zone},{count}")
                last = at
    return "\n".join([*lines, ""])


def _counts(known: OfferingHistory, ample: int, start_at: float) -> Iterator[tuple[float, int]]:
    """Yield times and nodes to be had: ample, but for a while after a loss or a refusal."""
    yield start_at, ample
    short = sorted({at for at, _ in known.losses} | set(known.refusals))
    back = [at for at, _ in known.launches]
    for place, at in enumerate(short):
        if at <= start_at:
            continue
        following = short[place + 1] if place + 1 < len(short) else float("inf")
        yield at, min(ample, _least_held(known, at))
        again = min((one for one in back if one > at), default=float("inf"))
        end = min(at + BACK_AFTER_S, again)
        if end < following:
            yield end, ample


def _least_held(known: OfferingHistory, at: float) -> int:
    """Return the nodes that were held when the records had taken a loss in."""
    before = [n for time, n in known.held if time <= at]
    after = [n for time, n in known.held if at < time <= at + BACK_AFTER_S]
    return min([*after[:1], *(before[-1:] or [0])])


def _filled(counts: Iterator[tuple[float, int]], end_at: float) -> Iterator[tuple[float, int]]:
    """Repeat what holds, so that no gap is longer than a trace may have, up to the end."""
    at, count = next(counts)
    yield at, count
    for then, changed in (*counts, (end_at, -1)):
        while then - at > WRITTEN_EVERY_S:
            at += WRITTEN_EVERY_S
            yield at, count
        if then > at:
            at, count = then, count if changed < 0 else changed
            yield at, count


def _losses(history: OwnHistory) -> Iterator[Mapping[str, object]]:
    rows = [
        (at, offering, survivors)
        for offering, known in history.offerings.items()
        for at, survivors in known.losses
    ]
    for at, offering, survivors in sorted(rows):
        yield {**_place(at, offering), "survivors": survivors}


def _launches(history: OwnHistory) -> Iterator[Mapping[str, object]]:
    """Yield launches that came up with their number, and those that failed with 0."""
    rows = [
        (at, offering, n)
        for offering, known in history.offerings.items()
        for at, n in (*known.launches, *((at, 0) for at in known.refusals))
    ]
    for at, offering, n in sorted(rows):
        yield {**_place(at, offering), "launched": n}


def _place(at: float, offering: Offering) -> Mapping[str, object]:
    return {
        "time": rfc3339(at),
        "instance_type": offering.instance_type,
        "zone": offering.zone,
    }


def _decision(one: HistoryDecision, key: bytes) -> Mapping[str, object]:
    return {
        "time": rfc3339(one.at),
        "pool": snapshots.word_for("pool", one.pool, key),
        "mode": one.mode.value,
        "action": one.action.value,
        "refused_by": one.refused_by,
        "n_nodes": one.n_nodes,
        "n_spot": one.n_spot,
        "n_other": one.n_other,
        "target_ratio": one.target_ratio,
        "capacity_score": one.capacity_score,
        "runtime_score": one.runtime_score,
        "confidence": one.confidence,
        "savings_usd_per_hour": one.savings_usd_per_hour,
    }


def _cluster(history: OwnHistory, at: float) -> Snapshot:
    """Return the pools as the newest records show them, each with one workload for all its pods."""
    pools = (_pool(data) for _, data in sorted(history.last.items()))
    return Snapshot(at=at, pools=tuple(pool for pool in pools if pool.nodes))


def _pool(data: PoolInput) -> PoolRow:
    kinds = (CapacityType.SPOT, CapacityType.ON_DEMAND)
    nodes = tuple(
        NodesRow(offering=row.offering, capacity_type=kind, count=count)
        for row in data.offerings
        for kind, count in zip(kinds, (row.n_spot, row.n_on_demand), strict=True)
        if count
    )
    n_nodes = sum(row.count for row in nodes)
    return PoolRow(
        name=data.pool,
        nodes=nodes,
        workloads=(_workload(data, n_nodes),) if n_nodes else (),
        instance_types=tuple(sorted({row.offering.instance_type for row in data.offerings})),
        zones=tuple(sorted({row.offering.zone for row in data.offerings})),
        consolidation="WhenEmptyOrUnderutilized" if data.consolidates else "",
    )


def _workload(data: PoolInput, n_nodes: int) -> WorkloadRow:
    """Return one workload of as many pods as the nodes that could be moved have, and as large."""
    candidates = (*data.to_spot, *data.to_on_demand)
    n_pods = sum(one.n_pods for one in candidates)
    replicas = round(n_nodes * n_pods / len(candidates)) if candidates else 0
    return WorkloadRow(
        namespace="history",
        name=data.pool,
        kind="Deployment",
        replicas=max(1, replicas or n_nodes * _PODS_A_NODE),
        cpu_milli=_mean([c.workload_cpu_milli for c in candidates], n_pods) or _POD_CPU_MILLI,
        memory_bytes=_mean([c.workload_memory_bytes for c in candidates], n_pods)
        or _POD_MEMORY_BYTES,
        grace_s=_GRACE_S,
        max_unavailable=max(1, replicas // 10),
    )


def _mean(amounts: Sequence[int], n_pods: int) -> int:
    return sum(amounts) // n_pods if n_pods else 0
