"""Runs of protocol 2, and the matrix of cells that they amount to.

Comes in: figures that were computed elsewhere. Goes out: frozen values for reports, and whether the
gate's conditions are met in each cell. May not compute a statistic, and may not soften a condition.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from spotvortex.results.accounting import RunResult
from spotvortex.results.verdict import Gain, GateStatus, Outages


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldRun:
    """One policy in one world of protocol 2.

    Attributes:
        result: its sums by day; an interruption is in minutes by what its owners say.
        commitment: the commitment that the policy was told of, "" where none matters to it: its
            bill under each is worked out of the hours.
        pool: the only pool that was run, "" of all.
        on_demand_usd_by_hour: list price of the on-demand nodes in each hour.
    """

    result: RunResult
    commitment: str = ""
    pool: str = ""
    on_demand_usd_by_hour: tuple[float, ...] = ()

    @property
    def key(self) -> str:
        """The name of the run among all runs."""
        one = self.result
        parts = one.family, one.mix, str(one.seed), one.variant, one.policy
        return "/".join((*parts, self.commitment, self.pool))


@dataclass(frozen=True, slots=True, kw_only=True)
class CellBounds:
    """What a policy has to reach in each cell.

    Attributes:
        min_points: the least median gain, points of the cost of all on-demand.
        headroom_pct: from this headroom on, in percent, net profit has to improve.
        min_improvement_pct: the least median improvement of net profit there, percent.
        max_holm_p: the largest p value there, corrected over the cells.
        max_outage_delta_minutes: the most outage minutes beyond the rival's, in every world.
        max_outage_ratio: the largest share of the rival's outage minutes, in families that ask.
        void_below_ratio: a rival's net profit below this share of the cost of all on-demand is not
            divided by; the world then counts by points.
        min_void_points: the least median gain over such worlds, points of that cost.
    """

    min_points: float
    headroom_pct: float
    min_improvement_pct: float
    max_holm_p: float
    max_outage_delta_minutes: float
    max_outage_ratio: float
    void_below_ratio: float
    min_void_points: float


class CellCondition(StrEnum):
    """What a cell may be asked."""

    POINTS = "points"
    PROFIT = "profit"
    VOID_POINTS = "void-points"
    NO_MORE_OUTAGE = "no-more-outage"
    HALF_THE_OUTAGE = "half-the-outage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One condition that a cell was asked, and what came of it.

    Attributes:
        condition: which.
        passes: it is met.
        words: the figures that were compared.
    """

    condition: CellCondition
    passes: bool
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCourse:
    """What a policy did, over all worlds of a cell.

    Attributes:
        n_interruptions: nodes taken away by the provider.
        n_moves: planned moves of a node.
        n_launch_failures: launches that were answered with a lack of capacity.
        spot_ratio: share of paid node-minutes on Spot, None without any.
    """

    n_interruptions: int
    n_moves: int
    n_launch_failures: int
    spot_ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageDelta:
    """Outage minutes beyond the rival's in one world: the figure `eval/outage_delta`.

    Attributes:
        mix: the mix of demand.
        seed: the seed.
        minutes: the difference, more than 0 is worse.
    """

    mix: str
    seed: int
    minutes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One family under one commitment against one rival.

    Attributes:
        family: the family of worlds.
        commitment: the commitment.
        rival: the rival's name.
        setting: which of its settings, by the protocol's rule.
        is_judged: the gate asks about it; else it is reported.
        n_worlds: worlds that were compared.
        n_expected: worlds that the protocol asks for.
        n_void: worlds in which the rival earns too little for a ratio.
        improvement_pct: improvement of net profit over the other worlds, None without any.
        points: gain in points of the cost of all on-demand, over all worlds.
        void_points: median of the same over the void worlds, None without any.
        outages: outage and unserved demand.
        outage_deltas: outage minutes beyond the rival's, by world.
        p: share of resamples on the other side of 0, doubled: the chance that a gain or loss of
            this size in net profit is none.
        holm_p: the same, corrected for the number of judged cells.
        headroom_pct: median improvement of the bound that knows the future, None without it.
        regret_closed_ratio: share of that headroom, in money, that the policy has gained.
        policy_course: what the policy did.
        rival_course: what the rival did.
        answers: the conditions that are asked here; none of a cell that is only reported.
    """

    family: str
    commitment: str
    rival: str
    setting: str
    is_judged: bool
    n_worlds: int
    n_expected: int
    n_void: int
    improvement_pct: Gain | None
    points: Gain
    void_points: float | None
    outages: Outages
    outage_deltas: tuple[OutageDelta, ...]
    p: float
    holm_p: float
    headroom_pct: float | None
    regret_closed_ratio: float | None
    policy_course: CellCourse
    rival_course: CellCourse
    answers: tuple[Answer, ...] = ()

    @property
    def standing(self) -> GateStatus:
        """Tell what became of the gate here."""
        if any(not answer.passes for answer in self.answers):
            return GateStatus.FAIL
        return GateStatus.PASS if self.n_worlds >= self.n_expected else GateStatus.INCOMPLETE

    @property
    def failed_on(self) -> tuple[str, ...]:
        """Name the conditions that are not met."""
        return tuple(str(a.condition) for a in self.answers if not a.passes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedFigure:
    """All worlds of one seed against the first rival, together.

    Attributes:
        seed: the seed.
        net_profit_improvement_pct: improvement of net profit, None where the rival has none.
        outage_delta_minutes: outage minutes beyond the rival's; more than 0 is worse.
    """

    seed: int
    net_profit_improvement_pct: float | None
    outage_delta_minutes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """All cells of one policy under one variant of the worlds.

    Attributes:
        policy: the policy's name.
        variant: what was changed in the worlds, "" for nothing.
        constants_digest: SHA-256 of the constants' file.
        made_of: which seeds were run, in words.
        cells: judged and reported cells, by family, commitment and rival.
        missing: families of the protocol that were not run.
        rival: whom the figures by seed are against.
        seeds: the figures by seed.
        net_profit_improvement_pct: their median: `eval/net_profit_improvement_pct`; None without
            any.
    """

    policy: str
    variant: str
    constants_digest: str
    made_of: str
    cells: tuple[Cell, ...]
    missing: tuple[str, ...]
    rival: str
    seeds: tuple[SeedFigure, ...]
    net_profit_improvement_pct: float | None

    @property
    def judged(self) -> tuple[Cell, ...]:
        """The cells that the gate asks about."""
        return tuple(cell for cell in self.cells if cell.is_judged)

    @property
    def standing(self) -> GateStatus:
        """Tell what became of the whole gate."""
        standings = {cell.standing for cell in self.judged}
        if GateStatus.FAIL in standings:
            return GateStatus.FAIL
        whole = not self.missing and standings == {GateStatus.PASS}
        return GateStatus.PASS if whole else GateStatus.INCOMPLETE
