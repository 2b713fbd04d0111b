"""Which runs are compared with which: the same world under a policy, its rival and the bound.

Comes in: results of runs and the protocol. Goes out: one `Pair` for each world, and the rival's
setting chosen as the protocol says. May not compare runs of different worlds: where what was
demanded differs, it is refused.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from spotvortex.errors import ResultsError
from spotvortex.evaluation.protocol import Protocol
from spotvortex.results.accounting import Costs, RunResult, net_profit_usd, total_of

World: TypeAlias = tuple[str, str, int, str]
"""Family, mix, seed and variant."""

Worlds: TypeAlias = Mapping[World, Mapping[str, RunResult]]
"""The runs of each world by policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedQuestion:
    """Which policy is judged against what, and under which constants.

    Attributes:
        policy: the policy's name.
        rival: what the rival is called.
        settings: the policies of which the best is the rival.
        costs: the constants.
        variant: which worlds; "" are the unchanged ones.
    """

    policy: str
    rival: str
    settings: tuple[str, ...]
    costs: Costs
    variant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One world: the judged policy, its rival, and the bound where it was run."""

    policy: RunResult
    rival: RunResult
    bound: RunResult | None

    @property
    def name(self) -> str:
        """Name the world."""
        return f"{self.policy.family}/{self.policy.mix} seed {self.policy.seed}"


def worlds_of(results: Iterable[RunResult], protocol: Protocol) -> Worlds:
    """Put results in order by world.

    Raises:
        ResultsError: a run is there twice, or is not one that the protocol asks for.
    """
    worlds: dict[World, dict[str, RunResult]] = defaultdict(dict)
    for result in results:
        _require_asked_for(result, protocol)
        runs = worlds[result.world]
        if result.policy in runs:
            raise ResultsError(f"{_named(result)} is there twice; remove one of the two lines")
        runs[result.policy] = result
    return {world: worlds[world] for world in sorted(worlds)}


def _named(result: RunResult) -> str:
    variant = f" ({result.variant})" if result.variant else ""
    return f"{result.policy} in {result.family}/{result.mix} seed {result.seed}{variant}"


def _require_asked_for(result: RunResult, protocol: Protocol) -> None:
    for what, value, known in (
        ("family", result.family, [f.name for f in protocol.families]),
        ("mix", result.mix, protocol.mixes),
    ):
        if value not in known:
            words = f"{_named(result)}: the protocol has no {what} {value}"
            raise ResultsError(f"{words}; it has {', '.join(known)}")
    if len(result.days) != protocol.n_days:
        words = f"{_named(result)} has {len(result.days)} days, the protocol {protocol.n_days}"
        raise ResultsError(f"{words}; run it again")
    if not total_of(result.days).all_on_demand_usd > 0.0:
        raise ResultsError(f"{_named(result)}: all on-demand costs nothing; nothing was demanded")


def pairs_of(worlds: Worlds, family: str, question: PairedQuestion, bound: str) -> list[Pair]:
    """Pair the judged policy with the rival's best setting in every world of a family.

    The best setting is that of the highest mean net profit, in shares of the cost of all on-demand,
    over the very worlds that are judged; this favours the rival.

    Raises:
        ResultsError: no setting of the rival was run in all of them, or the worlds differ.
    """
    judged = [
        runs
        for (of_family, _, _, variant), runs in worlds.items()
        if (of_family, variant) == (family, question.variant) and question.policy in runs
    ]
    if not judged:
        return []
    setting = _best_setting(judged, question)
    pairs = [
        Pair(policy=runs[question.policy], rival=runs[setting], bound=runs.get(bound))
        for runs in judged
    ]
    for pair in pairs:
        require_same_world(pair)
    return pairs


def _best_setting(judged: Sequence[Mapping[str, RunResult]], question: PairedQuestion) -> str:
    everywhere = [s for s in question.settings if all(s in runs for runs in judged)]
    if not everywhere:
        example = next(iter(judged[0].values()))
        words = f"no setting of {question.rival} ({', '.join(question.settings)}) was run in every"
        raise ResultsError(
            f"{words} world in which {question.policy} was run in {example.family}; run them too"
        )
    return max(everywhere, key=lambda s: sum(_profit_ratio(r[s], question.costs) for r in judged))


def _profit_ratio(result: RunResult, costs: Costs) -> float:
    totals = total_of(result.days)
    return net_profit_usd(totals, costs) / totals.all_on_demand_usd


def require_same_world(pair: Pair) -> None:
    """Refuse a pair whose runs differ in days or demand.

    Raises:
        ResultsError: they are not of the same world.
    """
    for other in _others(pair):
        demands = zip(pair.policy.days, other.days, strict=True)
        same = all(
            one.day == two.day
            and math.isclose(one.demanded_od_usd, two.demanded_od_usd, rel_tol=1e-9)
            for one, two in demands
        )
        if not same:
            raise ResultsError(
                f"{_named(pair.policy)} and {other.policy} differ in days or demand, so they are"
                " not of the same world; run both again with the same code"
            )


def _others(pair: Pair) -> Iterator[RunResult]:
    yield pair.rival
    if pair.bound is not None:
        yield pair.bound
