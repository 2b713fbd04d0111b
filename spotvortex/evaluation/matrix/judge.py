"""From the runs of protocol 2 to its matrix: a cell for each family, commitment and rival.

Comes in: runs and the constants. Goes out: a `Matrix`. Intervals draw from a generator whose seed
stands in the constants, so the same runs give the same matrix. May not choose what is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from spotvortex.evaluation.matrix import rivals
from spotvortex.evaluation.matrix.book import (
    K_EMPTY,
    K_UNDER,
    SPOTHEDGE,
    STATIC,
    Place,
    RunBook,
    bound_of,
    ours_of,
    rival_of,
    static_of,
)
from spotvortex.evaluation.matrix.composition import MatrixExtent
from spotvortex.evaluation.matrix.constants import Constants
from spotvortex.evaluation.pairing import Pair, require_same_world
from spotvortex.evaluation.statistics import (
    holm,
    interval_of,
    ratios_pct,
    resampled_medians,
    spread_of,
    two_sided_p,
)
from spotvortex.evaluation.verdict import Base, Group, outages_of, panel_of, points_of
from spotvortex.evaluation.verdict import bound_of as headroom_of
from spotvortex.results.accounting import (
    DayTotals,
    RunResult,
    is_void,
    net_profit_improvement_pct,
    net_profit_usd,
    spot_ratio,
    total_of,
)
from spotvortex.results.matrix import (
    Answer,
    Cell,
    CellCondition,
    CellCourse,
    Matrix,
    OutageDelta,
    SeedFigure,
    WorldRun,
)
from spotvortex.results.verdict import Gain, signed

JUDGED: Final = (K_UNDER, K_EMPTY, rivals.CA, STATIC)
REPORTED: Final = (SPOTHEDGE, rivals.OD)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPolicy:
    """What is judged.

    Attributes:
        policy: the policy.
        extent: which worlds.
        chosen: the setting of a rival, by family and rival.
    """

    policy: str
    extent: MatrixExtent
    chosen: dict[tuple[str, str], str]

    @property
    def places(self) -> list[Place]:
        """Mix and seed of every world."""
        return [(mix, seed) for mix in self.extent.mixes for seed in self.extent.seeds]


def judge(
    runs: Iterable[WorldRun], of: Constants, asked: JudgedPolicy, variant: str = ""
) -> Matrix:
    """Make the matrix of one policy.

    Raises:
        ResultsError: a run is missing, or runs are not of the same worlds.
    """
    book = RunBook(of, {run.key: run for run in runs}, variant)
    commitments = [c.name for c in of.commitments][: 1 if variant else None]
    bare = [
        (_cell(book, asked, (family, commitment, rival)))
        for family in asked.extent.families
        for commitment in commitments
        for rival in (*JUDGED, *REPORTED)
    ]
    cells, pairs = [cell for cell, _ in bare], [pairs for _, pairs in bare]
    corrected = iter(holm([cell.p for cell in cells if cell.is_judged]))
    cells = [replace(c, holm_p=next(corrected)) if c.is_judged else c for c in cells]
    first = [p for cell, of_cell in zip(cells, pairs, strict=True) for p in of_cell
             if cell.rival == JUDGED[0]]  # fmt: skip
    seeds = tuple(_by_seed(book, first))
    known = [s.net_profit_improvement_pct for s in seeds]
    figures = [figure for figure in known if figure is not None]
    return Matrix(
        policy=asked.policy,
        variant=variant,
        constants_digest=of.digest,
        made_of=asked.extent.words,
        cells=tuple(replace(c, answers=tuple(_answers(of, c))) for c in cells),
        missing=tuple(f.name for f in of.families if f.name not in asked.extent.families),
        rival=JUDGED[0],
        seeds=seeds,
        net_profit_improvement_pct=float(np.median(figures)) if figures else None,
    )


def _cell(
    book: RunBook, asked: JudgedPolicy, name: tuple[str, str, str]
) -> tuple[Cell, list[Pair]]:
    """Return a cell before what all cells together say, with its pairs."""
    family, commitment, _ = name
    setting, theirs = _rival(book, asked, name)
    mine = ours_of(book, asked.policy, family, commitment, asked.places)
    bounds = bound_of(book, family, commitment, asked.places)
    pairs = [Pair(policy=m, rival=t, bound=b) for m, t, b in zip(mine, theirs, bounds, strict=True)]
    for pair in pairs:
        require_same_world(pair)
    return _figures(book, name, setting, pairs), pairs


def _rival(
    book: RunBook, asked: JudgedPolicy, name: tuple[str, str, str]
) -> tuple[str, list[RunResult]]:
    family, commitment, rival = name
    if rival == STATIC:
        return static_of(book, family, commitment, asked.places)
    setting = asked.chosen.get((family, rival), rival)
    runs = rival_of(book, rival, setting, family, asked.places)
    return setting, [book.billed(run, commitment) for run in runs]


def _figures(book: RunBook, name: tuple[str, str, str], setting: str, pairs: list[Pair]) -> Cell:
    of, costs = book.of, book.costs
    below = of.gate.void_below_ratio
    void = [p for p in pairs if is_void(total_of(p.rival.days), costs, below)]
    sound = [p for p in pairs if p not in void]
    shared = of.family(name[0]).replays
    improvement, p = _gain(book, (shared, sound), lambda day: net_profit_usd(day, costs))
    points, _ = _gain(book, (shared, pairs), lambda day: day.all_on_demand_usd)
    assert points is not None
    headroom, regret = headroom_of(costs, below, pairs)
    return Cell(
        family=name[0],
        commitment=name[1],
        rival=name[2],
        setting=setting,
        is_judged=name[2] in JUDGED,
        n_worlds=len(pairs),
        n_expected=len(of.mixes) * len(of.test_seeds.seeds),
        n_void=len(void),
        improvement_pct=improvement,
        points=points,
        void_points=spread_of(points_of(costs, void)).median if void else None,
        outages=outages_of(pairs),
        outage_deltas=tuple(_deltas(pairs)),
        p=p,
        holm_p=p,
        headroom_pct=headroom,
        regret_closed_ratio=regret,
        policy_course=_course([pair.policy for pair in pairs]),
        rival_course=_course([pair.rival for pair in pairs]),
    )


def _gain(book: RunBook, group: Group, base: Base) -> tuple[Gain | None, float]:
    """Measure the gain in money by a base of the rival's, with its p; none without any world."""
    _, pairs = group
    if not pairs:
        return None, 1.0
    panel, drawn = panel_of(book.costs, group, base), book.of.bootstrap
    medians = resampled_medians([panel], np.random.default_rng(drawn.seed), drawn.n_resamples)
    gain = Gain(
        spread=spread_of(ratios_pct(panel.gain_usd, panel.base_usd).tolist()),
        interval=interval_of(medians, drawn.level_ratio),
    )
    return gain, two_sided_p(medians)


def _deltas(pairs: Sequence[Pair]) -> Iterator[OutageDelta]:
    for pair in pairs:
        mine, theirs = total_of(pair.policy.days), total_of(pair.rival.days)
        yield OutageDelta(
            mix=pair.policy.mix,
            seed=pair.policy.seed,
            minutes=mine.outage_minutes - theirs.outage_minutes,
        )


def _course(results: Sequence[RunResult]) -> CellCourse:
    totals = total_of(day for result in results for day in result.days)
    return CellCourse(
        n_interruptions=totals.n_interrupted,
        n_moves=totals.n_moved,
        n_launch_failures=totals.n_launch_failures,
        spot_ratio=spot_ratio(totals),
    )


def _by_seed(book: RunBook, pairs: Sequence[Pair]) -> Iterator[SeedFigure]:
    """Yield the worlds of each seed together."""
    mine: dict[int, list[DayTotals]] = defaultdict(list)
    theirs: dict[int, list[DayTotals]] = defaultdict(list)
    for pair in pairs:
        mine[pair.policy.seed] += pair.policy.days
        theirs[pair.policy.seed] += pair.rival.days
    for seed in sorted(mine):
        ours, rival = total_of(mine[seed]), total_of(theirs[seed])
        below = book.of.gate.void_below_ratio
        yield SeedFigure(
            seed=seed,
            net_profit_improvement_pct=net_profit_improvement_pct(ours, rival, book.costs, below),
            outage_delta_minutes=ours.outage_minutes - rival.outage_minutes,
        )


def _answers(of: Constants, cell: Cell) -> Iterator[Answer]:
    """Ask a cell what the gate asks of it."""
    if not cell.is_judged:
        return
    gate, median = of.gate, cell.points.spread.median
    yield Answer(
        condition=CellCondition.POINTS,
        passes=median >= gate.min_points,
        words=f"{signed(median, 2)} points, needs {signed(gate.min_points, 2)}",
    )
    if (cell.headroom_pct or 0.0) >= gate.headroom_pct and cell.improvement_pct is not None:
        yield _profit(of, cell, cell.improvement_pct)
    if cell.void_points is not None:
        yield Answer(
            condition=CellCondition.VOID_POINTS,
            passes=cell.void_points >= gate.min_void_points,
            words=f"{signed(cell.void_points, 2)} points in {cell.n_void} void worlds, needs"
            f" {signed(gate.min_void_points, 2)}",
        )
    if cell.rival != STATIC:
        yield from _outage_answers(of, cell)


def _profit(of: Constants, cell: Cell, gain: Gain) -> Answer:
    gate = of.gate
    passes = (
        gain.spread.median >= gate.min_improvement_pct
        and gain.interval.low > 0.0
        and cell.holm_p <= gate.max_holm_p
    )
    return Answer(
        condition=CellCondition.PROFIT,
        passes=passes,
        words=f"{signed(gain.spread.median)} % [{signed(gain.interval.low)},"
        f" {signed(gain.interval.high)}], p {cell.holm_p:.3g} of {signed(cell.headroom_pct)} %"
        f" headroom, needs {signed(gate.min_improvement_pct)} %",
    )


def _outage_answers(of: Constants, cell: Cell) -> Iterator[Answer]:
    gate, outages = of.gate, cell.outages
    yield Answer(
        condition=CellCondition.NO_MORE_OUTAGE,
        passes=outages.worst_delta_minutes <= gate.max_outage_delta_minutes,
        words=f"{signed(outages.worst_delta_minutes)} min in {outages.worst_world},"
        f" more in {outages.n_more} of {cell.n_worlds} worlds"
        + ("" if outages.has_power else "; no power: the rival had none"),
    )
    if of.family(cell.family).halves_outage and outages.has_power:
        ratio = outages.policy_minutes / outages.rival_minutes
        yield Answer(
            condition=CellCondition.HALF_THE_OUTAGE,
            passes=ratio <= gate.max_outage_ratio,
            words=f"{outages.policy_minutes:,.1f} of {outages.rival_minutes:,.1f} min,"
            f" {ratio:.0%}, needs {gate.max_outage_ratio:.0%}",
        )
