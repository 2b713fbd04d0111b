"""What every pool is at now, in lines that fit a terminal of 80 columns.

Comes in: what `/pools` of a running daemon answers. Goes out: lines. Shows what was answered, and
computes sums alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from spotvortex.core.pool.cost import HOURS_A_MONTH
from spotvortex.errors import RecordError
from spotvortex.report.money import usd, whole_usd

_POOL: Final = 16
_ACTION: Final = 14


class NodesNow(msgspec.Struct, frozen=True):
    """Nodes of a pool by capacity type."""

    spot: int
    on_demand: int
    reserved: int

    @property
    def counted(self) -> int:
        """Nodes that the ratio counts."""
        return self.spot + self.on_demand + self.reserved


class PoolNow(msgspec.Struct, frozen=True):
    """One pool, by the names that it has in the answer.

    Attributes:
        pool: the pool's name.
        nodes: its nodes.
        current_ratio: where it is, 0..1, None where no node counts.
        action: what is decided.
        reason: why, in a word.
        cost_usd_per_hour: what its nodes cost at list price.
        all_on_demand_usd_per_hour: what the same nodes would cost all on-demand.
        capacity_score: mean probability of a loss within 60 minutes, None where unknown.
    """

    pool: str
    nodes: NodesNow
    current_ratio: float | None
    action: str
    reason: str
    cost_usd_per_hour: float
    all_on_demand_usd_per_hour: float
    capacity_score: float | None


class MovingNode(msgspec.Struct, frozen=True):
    """One node that is being moved.

    Attributes:
        node: its name.
        pool: its pool.
        to: what capacity its pods go to.
        reason: why.
    """

    node: str
    pool: str
    to: str
    reason: str


class SavingsNow(msgspec.Struct, frozen=True):
    """What the ledger has counted since it was begun, in USD.

    Attributes:
        realised_usd: what was saved beside all on-demand.
        realised_at_least_usd: the same if unused commitments would have paid for all of it.
        projected_usd: the saving at the allowed target.
    """

    realised_usd: float = 0.0
    realised_at_least_usd: float = 0.0
    projected_usd: float = 0.0


class PoolsNow(msgspec.Struct, frozen=True):
    """The whole answer.

    Attributes:
        time: of the newest plan, RFC 3339, None before the first.
        pools: every pool of it.
        freeze: whether a person has stopped the daemon.
        in_flight: nodes that are being moved.
        savings: what was saved since the ledger was begun.
    """

    time: str | None
    pools: tuple[PoolNow, ...]
    freeze: str = "none"
    in_flight: tuple[MovingNode, ...] = ()
    savings: SavingsNow = SavingsNow()


def read_answer(text: str, url: str) -> PoolsNow:
    """Read an answer of `/pools`.

    Raises:
        RecordError: it is none, or of another version.
    """
    try:
        return msgspec.json.decode(text, type=PoolsNow)
    except msgspec.DecodeError as error:
        raise RecordError(f"{url} does not answer like this version's daemon: {error}") from error


def lines_of(answer: PoolsNow, width: int) -> Iterator[str]:
    """Yield one line for all, one for each pool, and one for each node that is being moved."""
    if answer.time is None:
        yield "nothing is decided yet"[:width]
        return
    yield _summary(answer, answer.time)[:width]
    yield _saved(answer.savings)[:width]
    yield f"{'POOL':<{_POOL}} {'SPOT':<9} {'':>4} {'$/H':>8} {'RISK':>5} DECISION"[:width]
    for pool in answer.pools:
        yield _line(pool)[:width]
    for moving in answer.in_flight:
        words = f"  moving {moving.node} of {moving.pool} to {moving.to}: {moving.reason}"
        yield words[:width]


def _summary(answer: PoolsNow, at: str) -> str:
    cost = sum(p.cost_usd_per_hour for p in answer.pools)
    saved = sum(p.all_on_demand_usd_per_hour for p in answer.pools) - cost
    n_all = sum(p.nodes.counted for p in answer.pools)
    share = f"{sum(p.nodes.spot for p in answer.pools) / n_all:.0%}" if n_all else "-"
    risk = max((p.capacity_score or 0.0 for p in answer.pools), default=0.0)
    frozen = "" if answer.freeze == "none" else f"FROZEN ({answer.freeze}) "
    return (
        f"{at[11:19]} {frozen}{usd(cost)}/h, saves {usd(saved)}/h "
        f"({whole_usd(saved * HOURS_A_MONTH)}/month), Spot {share}, risk {risk:.2f}"
    )


def _saved(savings: SavingsNow) -> str:
    """Say what was saved so far, as a range where commitments might have paid for a part."""
    realised, least = savings.realised_usd, savings.realised_at_least_usd
    so_far = usd(realised) if least == realised else f"{usd(least)} .. {usd(realised)}"
    return f"saved so far {so_far}; at the allowed target {usd(savings.projected_usd)}"


def _line(pool: PoolNow) -> str:
    share = "-" if pool.current_ratio is None else f"{pool.current_ratio:.0%}"
    risk = "    -" if pool.capacity_score is None else f"{pool.capacity_score:5.2f}"
    count = f"{pool.nodes.spot}/{pool.nodes.counted}"
    why = pool.reason.replace("_", " ")
    return (
        f"{_short(pool.pool):<{_POOL}} {count:<9} {share:>4} "
        f"{pool.cost_usd_per_hour:8.2f} {risk} {pool.action:<{_ACTION}} {why}"
    )


def _short(name: str) -> str:
    return name if len(name) <= _POOL else f"{name[: _POOL - 1]}~"
