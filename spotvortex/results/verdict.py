"""How a policy stands against its rival over many worlds, and the one line that says so.

Comes in: figures that were computed elsewhere. Goes out: frozen values for reports, and whether
the gate's conditions are met. May not compute a statistic, and may not soften a condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from spotvortex.results.accounting import Costs

POOLED: Final = "pooled"
"""The name of the row over all families."""


class GateStatus(StrEnum):
    """What became of the gate; a pass needs every world that the protocol asks for."""

    PASS = "PASS"  # noqa: S105 -- a verdict
    FAIL = "FAIL"
    INCOMPLETE = "INCOMPLETE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Smallest, median and largest of some figures."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Where a figure lies with the confidence that the protocol states.

    Attributes:
        low: the lower end.
        high: the upper end.
    """

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """A gain over many worlds: how it is spread, and where its median lies."""

    spread: Spread
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class GateBounds:
    """What a policy has to reach.

    Attributes:
        min_improvement_pct: the least median improvement of net profit, percent.
        max_outage_delta_minutes: the most outage minutes beyond the rival's, in every world.
        void_below_ratio: a rival's net profit below this share of the cost of all on-demand is not
            divided by; the world then counts by points.
        min_void_points: the least median gain over such worlds, points of that cost.
    """

    min_improvement_pct: float
    max_outage_delta_minutes: float
    void_below_ratio: float
    min_void_points: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outages:
    """Outage and unserved demand of policy and rival, summed over worlds, and compared in each.

    Attributes:
        policy_minutes: outage minutes of the policy.
        rival_minutes: outage minutes of the rival.
        policy_unserved_node_minutes: demand that the policy left unserved.
        rival_unserved_node_minutes: demand that the rival left unserved.
        worst_delta_minutes: the largest difference in one world, more than 0 is worse.
        worst_world: which one, by family, mix and seed.
        n_less: worlds with less outage than the rival.
        n_equal: worlds with as much.
        n_more: worlds with more.
        n_rival_hit: worlds in which the rival had any outage.
    """

    policy_minutes: float
    rival_minutes: float
    policy_unserved_node_minutes: float
    rival_unserved_node_minutes: float
    worst_delta_minutes: float
    worst_world: str
    n_less: int
    n_equal: int
    n_more: int
    n_rival_hit: int

    @property
    def has_power(self) -> bool:
        """Tell whether there was any outage of the rival that could have been avoided."""
        return self.n_rival_hit > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyVerdict:
    """One family of worlds, or all of them.

    Attributes:
        family: its name, or `pooled`.
        rivals: the rival's settings that were chosen, by the protocol's rule.
        n_worlds: worlds that were compared.
        n_expected: worlds that the protocol asks for.
        n_void: worlds in which the rival earns too little for a ratio.
        improvement_pct: improvement of net profit over the other worlds, None without any.
        points: gain in points of the cost of all on-demand, over all worlds.
        void_points: median of the same over the void worlds, None without any.
        outages: outage and unserved demand.
        sign_p: exact two-sided sign test over seeds, of the gain in points.
        holm_p: the same, corrected for the number of families.
        headroom_pct: median improvement of the bound that knows the future, None without it.
        regret_closed_ratio: share of that headroom, in money, that the policy has gained.
        profit_passes: whether the gate's condition on net profit is met.
        outage_passes: whether the gate's condition on outages is met.
    """

    family: str
    rivals: tuple[str, ...]
    n_worlds: int
    n_expected: int
    n_void: int
    improvement_pct: Gain | None
    points: Gain
    void_points: float | None
    outages: Outages
    sign_p: float
    holm_p: float
    headroom_pct: float | None
    regret_closed_ratio: float | None
    profit_passes: bool
    outage_passes: bool

    @property
    def standing(self) -> GateStatus:
        """Tell what became of the gate here."""
        if not (self.profit_passes and self.outage_passes):
            return GateStatus.FAIL
        return GateStatus.PASS if self.n_worlds >= self.n_expected else GateStatus.INCOMPLETE

    @property
    def failed_on(self) -> tuple[str, ...]:
        """Name the conditions that are not met."""
        conditions = (("profit", self.profit_passes), ("outage", self.outage_passes))
        return tuple(name for name, passes in conditions if not passes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraisal:
    """What all runs of one policy say, under one set of constants.

    Attributes:
        policy: the policy's name.
        rival: the rival's name, as `B3`.
        costs: the constants.
        variant: what was changed in the worlds, "" for nothing.
        gate: what has to be reached.
        protocol_digest: SHA-256 of the protocol's file.
        families: one for each family that was run.
        missing: families of the protocol that were not.
        pooled: all families together.
    """

    policy: str
    rival: str
    costs: Costs
    variant: str
    gate: GateBounds
    protocol_digest: str
    families: tuple[FamilyVerdict, ...]
    missing: tuple[str, ...]
    pooled: FamilyVerdict

    @property
    def rows(self) -> tuple[FamilyVerdict, ...]:
        """All families, then the pooled row."""
        return (*self.families, self.pooled)

    @property
    def passes(self) -> bool:
        """Tell whether the gate is passed pooled and in every family of the protocol."""
        return not self.missing and all(r.standing is GateStatus.PASS for r in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The verdict under the protocol's constants, and the same question under others."""

    main: Appraisal
    others: tuple[Appraisal, ...] = ()


def signed(value: float | None, digits: int = 1) -> str:
    """Write a figure with its sign, never as -0.0; a dash where there is none."""
    if value is None:
        return "-"
    rounded = round(value, digits) or 0.0
    return f"{rounded:+.{digits}f}"


def conditions_of(verdict: Appraisal) -> str:
    """Say under what the verdict was reached, in a few words."""
    costs = verdict.costs
    words = f"v {costs.v:g}, cm {costs.cm:g}, ci {costs.ci:g}"
    return f"{words}, {verdict.variant}" if verdict.variant else words


def line_of_verdict(verdict: Appraisal) -> str:
    """Say the verdict in one line: the pooled row, and every family that does not pass."""
    return "; ".join((_pooled_words(verdict), *_family_words(verdict)))


def _pooled_words(verdict: Appraisal) -> str:
    row = verdict.pooled
    who = f"{verdict.policy} against {verdict.rival} ({conditions_of(verdict)})"
    profit = f"net profit {improvement_words(row)}, needs {verdict.gate.min_improvement_pct:+g} %"
    points = f"{signed(row.points.spread.median, 2)} points of on-demand cost"
    worst = f"worst outage delta {signed(row.outages.worst_delta_minutes)} min"
    worlds = f"{row.outages.n_more} of {row.n_worlds} worlds worse"
    power = "" if row.outages.has_power else ", no power"
    return f"{who}: {row.standing} pooled: {profit}, {points}, {worst}, {worlds}{power}"


def improvement_words(row: FamilyVerdict) -> str:
    """Write the median improvement with its interval, or that every ratio is void."""
    gain = row.improvement_pct
    if gain is None:
        return f"void in all worlds, {signed(row.void_points, 2)} points"
    low, high = signed(gain.interval.low), signed(gain.interval.high)
    return f"{signed(gain.spread.median)} % [{low}, {high}]"


def _family_words(verdict: Appraisal) -> Iterator[str]:
    for row in verdict.families:
        if row.standing is GateStatus.FAIL:
            yield f"FAIL in {row.family} on {' and '.join(row.failed_on)}"
        elif row.standing is GateStatus.INCOMPLETE:
            yield f"INCOMPLETE in {row.family}: {row.n_worlds} of {row.n_expected} worlds"
    if verdict.missing:
        yield f"not run: {', '.join(verdict.missing)}"
