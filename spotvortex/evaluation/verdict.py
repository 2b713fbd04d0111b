"""From the results of many runs to a verdict, as the protocol says.

Comes in: results of runs and the protocol. Goes out: a `Appraisal` for each question: the
protocol's own, and one for each of its sensitivities that was run. Intervals draw from a generator
whose seed stands in the protocol, so the same results give the same verdict. May not choose what is
asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from spotvortex.errors import ResultsError
from spotvortex.evaluation.pairing import Pair, PairedQuestion, Worlds, pairs_of, worlds_of
from spotvortex.evaluation.protocol import KarpenterSetting, Protocol
from spotvortex.evaluation.statistics import (
    Panel,
    holm,
    median_interval_pct,
    ratios_pct,
    sign_test_p,
    spread_of,
)
from spotvortex.results.accounting import (
    Costs,
    DayTotals,
    RunResult,
    gain_points,
    is_void,
    net_profit_improvement_pct,
    net_profit_usd,
    outage_delta_minutes,
    regret_closed_ratio,
    total_cost_usd,
    total_of,
)
from spotvortex.results.verdict import (
    POOLED,
    Appraisal,
    Evaluation,
    FamilyVerdict,
    Gain,
    GateBounds,
    Outages,
)

Base: TypeAlias = Callable[[DayTotals], float]
Group: TypeAlias = tuple[bool, Sequence[Pair]]
"""Whether the family replays recorded days, and its pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """What every row of a verdict rests on."""

    protocol: Protocol
    question: PairedQuestion

    @property
    def gate(self) -> GateBounds:
        return self.protocol.gate


def evaluate(results: Iterable[RunResult], protocol: Protocol, policy: str) -> Evaluation:
    """Judge a policy under the protocol's constants and under each sensitivity that was run.

    Raises:
        ResultsError: the policy was not run, or results do not belong together.
    """
    worlds = worlds_of(results, protocol)
    main, *others = questions_of(protocol, policy)
    return Evaluation(
        main=answer(worlds, protocol, main),
        others=tuple(answer(worlds, protocol, q) for q in others if _was_run(worlds, q)),
    )


def judge(results: Iterable[RunResult], protocol: Protocol, question: PairedQuestion) -> Appraisal:
    """Answer one question.

    Raises:
        ResultsError: as of `evaluate`.
    """
    return answer(worlds_of(results, protocol), protocol, question)


def questions_of(protocol: Protocol, policy: str) -> Iterator[PairedQuestion]:
    """Yield the protocol's question, then those with another constant, world or rival."""
    baselines = protocol.baselines
    main = PairedQuestion(
        policy=policy, rival="B3", settings=_names(baselines.b3), costs=protocol.costs
    )
    yield main
    for ci in protocol.sensitivities.ci:
        yield replace(main, costs=replace(main.costs, ci=ci))
    for variant in protocol.variants[1:]:
        yield replace(main, variant=variant.name)
    yield replace(main, rival="B3 lazy", settings=_names(baselines.b3_lazy))


def _names(settings: Sequence[KarpenterSetting]) -> tuple[str, ...]:
    return tuple(s.name for s in settings)


def _was_run(worlds: Worlds, question: PairedQuestion) -> bool:
    return any(
        world[3] == question.variant
        and question.policy in runs
        and not runs.keys().isdisjoint(question.settings)
        for world, runs in worlds.items()
    )


def answer(worlds: Worlds, protocol: Protocol, question: PairedQuestion) -> Appraisal:
    """Answer one question from runs that are in order.

    Raises:
        ResultsError: as of `evaluate`.
    """
    case = _Case(protocol=protocol, question=question)
    groups = {
        family.name: (family.replays, pairs)
        for family in protocol.families
        if (pairs := pairs_of(worlds, family.name, question, protocol.bound))
    }
    if not groups:
        where = f" in worlds of {question.variant}" if question.variant else ""
        raise ResultsError(f"{question.policy} was not run{where}; run it, or name another policy")
    rows = [_row(case, name, [group]) for name, group in groups.items()]
    corrected = holm([row.sign_p for row in rows])
    return Appraisal(
        policy=question.policy,
        rival=question.rival,
        costs=question.costs,
        variant=question.variant,
        gate=protocol.gate,
        protocol_digest=protocol.digest,
        families=tuple(replace(r, holm_p=p) for r, p in zip(rows, corrected, strict=True)),
        missing=tuple(f.name for f in protocol.families if f.name not in groups),
        pooled=_row(case, POOLED, list(groups.values())),
    )


def _row(case: _Case, name: str, groups: Sequence[Group]) -> FamilyVerdict:
    pairs = [pair for _, of_family in groups for pair in of_family]
    gate, costs = case.gate, case.question.costs
    void = [p for p in pairs if is_void(total_of(p.rival.days), costs, gate.void_below_ratio)]
    improvement = _gain(case, _without(groups, void), lambda day: net_profit_usd(day, costs))
    points = _gain(case, groups, lambda day: day.all_on_demand_usd)
    assert points is not None
    void_points = spread_of(points_of(costs, void)).median if void else None
    outages = outages_of(pairs)
    p = _sign_p(case, groups)
    headroom_pct, regret = bound_of(costs, gate.void_below_ratio, pairs)
    return FamilyVerdict(
        family=name,
        rivals=tuple(dict.fromkeys(pair.rival.policy for pair in pairs)),
        n_worlds=len(pairs),
        n_expected=_n_expected(case.protocol, name),
        n_void=len(void),
        improvement_pct=improvement,
        points=points,
        void_points=void_points,
        outages=outages,
        sign_p=p,
        holm_p=p,
        headroom_pct=headroom_pct,
        regret_closed_ratio=regret,
        profit_passes=_profit_passes(gate, improvement, void_points),
        outage_passes=outages.worst_delta_minutes <= gate.max_outage_delta_minutes,
    )


def _profit_passes(gate: GateBounds, improvement: Gain | None, void_points: float | None) -> bool:
    """Ask the ratio of the worlds that have one, and points of the others."""
    by_ratio = improvement is None or improvement.spread.median >= gate.min_improvement_pct
    by_points = void_points is None or void_points >= gate.min_void_points
    return by_ratio and by_points


def _n_expected(protocol: Protocol, name: str) -> int:
    n_families = len(protocol.families) if name == POOLED else 1
    return n_families * len(protocol.mixes) * protocol.n_seeds


def _without(groups: Sequence[Group], void: Sequence[Pair]) -> list[Group]:
    left = {pair.policy.world for pair in void}
    kept = [(shared, [p for p in pairs if p.policy.world not in left]) for shared, pairs in groups]
    return [(shared, pairs) for shared, pairs in kept if pairs]


def _gain(case: _Case, groups: Sequence[Group], base: Base) -> Gain | None:
    """Measure the gain in money by a base of the rival's, None without any world."""
    if not groups:
        return None
    panels = [panel_of(case.question.costs, group, base) for group in groups]
    drawn = case.protocol.bootstrap
    rng = np.random.default_rng(drawn.seed)
    ratios = [r for p in panels for r in ratios_pct(p.gain_usd, p.base_usd).tolist()]
    return Gain(
        spread=spread_of(ratios),
        interval=median_interval_pct(panels, rng, drawn.n_resamples, drawn.level_ratio),
    )


def panel_of(costs: Costs, group: Group, base: Base) -> Panel:
    """Return what a policy gained over its rival by world and day, and a base to divide it by."""
    shared_days, pairs = group
    numbers = sorted({day.day for pair in pairs for day in pair.rival.days})
    column = {number: i for i, number in enumerate(numbers)}
    gain, bases = np.zeros((len(pairs), len(numbers))), np.zeros((len(pairs), len(numbers)))
    for i, pair in enumerate(pairs):
        for ours, theirs in zip(pair.policy.days, pair.rival.days, strict=True):
            j = column[theirs.day]
            gain[i, j] += total_cost_usd(theirs, costs) - total_cost_usd(ours, costs)
            bases[i, j] += base(theirs)
    seeds = tuple(pair.policy.seed for pair in pairs)
    return Panel(gain_usd=gain, base_usd=bases, seeds=seeds, shared_days=shared_days)


def points_of(costs: Costs, pairs: Iterable[Pair]) -> list[float]:
    """Return the gain of each world in points of the cost of all on-demand."""
    gains = (gain_points(total_of(p.policy.days), total_of(p.rival.days), costs) for p in pairs)
    return [gain for gain in gains if gain is not None]


def _sign_p(case: _Case, groups: Sequence[Group]) -> float:
    """Test the sign of each seed's gain in points; worlds of one seed count once, together."""
    sums: Mapping[tuple[str, int], list[float]] = defaultdict(list)
    for _, pairs in groups:
        for pair in pairs:
            sums[pair.policy.family, pair.policy.seed] += points_of(case.question.costs, [pair])
    return sign_test_p([sum(gains) for gains in sums.values()])


def outages_of(pairs: Sequence[Pair]) -> Outages:
    """Compare outages over all worlds, and in each."""
    totals = [(total_of(p.policy.days), total_of(p.rival.days)) for p in pairs]
    deltas = [outage_delta_minutes(ours, theirs) for ours, theirs in totals]
    worst = max(range(len(pairs)), key=lambda i: deltas[i])
    return Outages(
        policy_minutes=sum(ours.outage_minutes for ours, _ in totals),
        rival_minutes=sum(theirs.outage_minutes for _, theirs in totals),
        policy_unserved_node_minutes=sum(ours.unserved_node_minutes for ours, _ in totals),
        rival_unserved_node_minutes=sum(theirs.unserved_node_minutes for _, theirs in totals),
        worst_delta_minutes=deltas[worst],
        worst_world=pairs[worst].name,
        n_less=sum(delta < 0.0 for delta in deltas),
        n_equal=sum(delta == 0.0 for delta in deltas),
        n_more=sum(delta > 0.0 for delta in deltas),
        n_rival_hit=sum(theirs.outage_minutes > 0.0 for _, theirs in totals),
    )


def bound_of(
    costs: Costs, below: float, pairs: Sequence[Pair]
) -> tuple[float | None, float | None]:
    """Return headroom in percent and the share of it that was gained, where the bound was run."""
    bounded = [(p.policy, p.rival, p.bound) for p in pairs if p.bound is not None]
    if not bounded:
        return None, None
    headrooms = [
        net_profit_improvement_pct(total_of(bound.days), total_of(rival.days), costs, below)
        for _, rival, bound in bounded
    ]
    known = [h for h in headrooms if h is not None]
    policy, rival, bound = (
        total_of(day for runs in bounded for day in runs[i].days) for i in range(3)
    )
    regret = regret_closed_ratio(policy, rival, bound, costs)
    return (spread_of(known).median if known else None), regret
