"""The runs of protocol 2 in order, billed under a commitment, and the rivals' settings chosen.

Comes in: runs, in any order. Goes out: results by world under each commitment, the setting of each
rival by the protocol's rule, and STATIC put together class by class. A plan is billed as AWS does
it: every hour its fee is due, and it pays for on-demand usage up to its amount. May not judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spotvortex.errors import ResultsError
from spotvortex.evaluation.matrix import bound, rivals
from spotvortex.evaluation.matrix.constants import Constants
from spotvortex.results.accounting import (
    Costs,
    DayTotals,
    RunResult,
    net_profit_usd,
    total_cost_usd,
    total_of,
)
from spotvortex.results.matrix import WorldRun

K_UNDER: Final = "K-under"
K_EMPTY: Final = "K-empty"
STATIC: Final = "STATIC"
SPOTHEDGE: Final = "SpotHedge"
HOURS_PER_DAY: Final = 24

Floats: TypeAlias = NDArray[np.float64]
Place: TypeAlias = tuple[str, int]
"""Mix and seed of a world."""


@dataclass(frozen=True, slots=True)
class RunBook:
    """All runs of one variant of the worlds, by key.

    Attributes:
        of: the constants.
        runs: the runs by key.
        variant: the variant.
    """

    of: Constants
    runs: Mapping[str, WorldRun]
    variant: str = ""

    @property
    def costs(self) -> Costs:
        """What things cost: an interruption is in minutes already."""
        return Costs(v=self.of.costs.v, cm=self.of.costs.cm, ci=1.0)

    def run(
        self, family: str, place: Place, policy: str, *, commitment: str = "", pool: str = ""
    ) -> WorldRun:
        """Return one run.

        Raises:
            ResultsError: it was not made.
        """
        mix, seed = place
        key = "/".join((family, mix, str(seed), self.variant, policy, commitment, pool))
        found = self.runs.get(key)
        if found is None:
            raise ResultsError(f"{key} was not run; start the same command again")
        return found

    def all_on_demand(self, place: Place) -> tuple[DayTotals, ...]:
        """Return the days of all on-demand, which no family makes any difference to."""
        return self.run(self.of.families[0].name, place, rivals.OD).result.days

    def billed(self, run: WorldRun, commitment: str) -> RunResult:
        """Return a run's result with the bill under a commitment."""
        one = run.result
        whole = self.all_on_demand((one.mix, one.seed))
        usd = rivals.plan_usd_per_hour(self.of, one.mix, commitment)
        fee = HOURS_PER_DAY * usd * (1.0 - self.of.plan_discount_ratio)
        hours = np.array(run.on_demand_usd_by_hour).reshape(-1, HOURS_PER_DAY)
        paid = np.minimum(hours, usd).sum(axis=1) if hours.size else np.zeros(len(one.days))
        days = tuple(
            replace(
                day,
                node_usd=day.node_usd + fee - float(covered),
                all_on_demand_usd=base.node_usd,
                demanded_od_usd=day.demanded_od_usd or base.demanded_od_usd,
            )
            for day, base, covered in zip(one.days, whole, paid, strict=True)
        )
        return replace(one, days=days)

    def mean_profit_ratio(self, results: Iterable[RunResult]) -> float:
        """Return the mean net profit, in shares of the cost of all on-demand."""
        totals = [total_of(r.days) for r in results]
        return float(np.mean([net_profit_usd(t, self.costs) / t.all_on_demand_usd for t in totals]))


def chosen_of(
    book: RunBook, families: Sequence[str], places: Sequence[Place]
) -> dict[tuple[str, str], str]:
    """Choose the setting of a rival by family: the highest mean net profit over some worlds.

    Args:
        book: the runs of the unchanged worlds.
        families: the families.
        places: the validation worlds.
    """
    said = book.of.rivals
    settings = {
        K_UNDER: [s.name for s in said.k_under],
        SPOTHEDGE: [rivals.spothedge_name(n) for n in said.spothedge_n_extra],
    }
    none = _no_commitment(book.of)

    def ratio(family: str, setting: str) -> float:
        runs = (book.run(family, place, setting) for place in places)
        return book.mean_profit_ratio(book.billed(run, none) for run in runs)

    return {
        (family, rival): max(names, key=lambda name: ratio(family, name))
        for family in families
        for rival, names in settings.items()
    }


def _no_commitment(of: Constants) -> str:
    return next(c.name for c in of.commitments if c.share_ratio == 0.0)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What each class costs at each share that is pinned, in every world.

    Attributes:
        usd: float64[n_worlds, n_classes, n_shares], cost without the plan.
        hours: float64[n_worlds, n_classes, n_shares, n_hours], on-demand usage.
        plan_usd: float64[n_worlds], the plan's amount an hour.
    """

    usd: Floats
    hours: Floats
    plan_usd: Floats

    def total_usd(self, shares: Sequence[int]) -> float:
        """Return what all worlds cost where each class has a share; fees left out."""
        picked = list(enumerate(shares))
        usd = sum(float(self.usd[:, c, s].sum()) for c, s in picked)
        hours = np.sum([self.hours[:, c, s] for c, s in picked], axis=0)
        return usd - float(np.minimum(hours, self.plan_usd[:, None]).sum())


def static_of(
    book: RunBook, family: str, commitment: str, places: Sequence[Place]
) -> tuple[str, list[RunResult]]:
    """Put STATIC together: the shares by class that cost least over these very worlds.

    Returns:
        The shares in words, and a result for each world, billed.
    """
    of, ratios = book.of, book.of.rivals.static_on_demand_ratio
    runs = {
        (place, one.name, s): book.run(family, place, rivals.static_name(ratio), pool=one.name)
        for place in places
        for one in of.classes
        for s, ratio in enumerate(ratios)
    }
    parts = _parts(book, runs, places, commitment)
    best = min(product(range(len(ratios)), repeat=len(of.classes)), key=parts.total_usd)
    words = ", ".join(
        f"{one.name} {100.0 * ratios[s]:g} %" for one, s in zip(of.classes, best, strict=True)
    )
    whole = [
        _sum_of([runs[place, one.name, s] for one, s in zip(of.classes, best, strict=True)])
        for place in places
    ]
    return words, [book.billed(run, commitment) for run in whole]


def _parts(
    book: RunBook,
    runs: Mapping[tuple[Place, str, int], WorldRun],
    places: Sequence[Place],
    commitment: str,
) -> _Parts:
    of = book.of
    shares = range(len(of.rivals.static_on_demand_ratio))
    ordered = [[[runs[p, c.name, s] for s in shares] for c in of.classes] for p in places]
    usd = [
        [[total_cost_usd(total_of(r.result.days), book.costs) for r in row] for row in world]
        for world in ordered
    ]
    return _Parts(
        usd=np.array(usd),
        hours=np.array([[[r.on_demand_usd_by_hour for r in row] for row in w] for w in ordered]),
        plan_usd=np.array([rivals.plan_usd_per_hour(of, mix, commitment) for mix, _ in places]),
    )


def _sum_of(runs: Sequence[WorldRun]) -> WorldRun:
    """Add up runs of single pools of one world."""
    first = runs[0].result
    columns = zip(*(r.result.days for r in runs), strict=True)
    days = tuple(total_of(of_day) for of_day in columns)
    hours = np.sum([r.on_demand_usd_by_hour for r in runs], axis=0)
    return WorldRun(
        result=replace(first, policy=STATIC, days=days, digest=""),
        on_demand_usd_by_hour=tuple(hours.tolist()),
    )


def rival_of(
    book: RunBook, rival: str, setting: str, family: str, places: Sequence[Place]
) -> list[WorldRun]:
    """Return the runs of a rival that is run as a whole."""
    of_family = book.of.families[0].name if rival == rivals.OD else family
    runs = [book.run(of_family, place, setting) for place in places]
    return [replace(run, result=replace(run.result, family=family)) for run in runs]


def ours_of(
    book: RunBook, policy: str, family: str, commitment: str, places: Sequence[Place]
) -> list[RunResult]:
    """Return the results of a policy that was run under the commitment, or of the bound."""
    runs = [book.run(family, place, policy, commitment=commitment) for place in places]
    return [book.billed(run, commitment) for run in runs]


def bound_of(
    book: RunBook, family: str, commitment: str, places: Sequence[Place]
) -> list[RunResult]:
    """Return the results of the bound."""
    return ours_of(book, bound.O1, family, commitment, places)
