"""The past weeks of Karpenter's metrics, out of a Prometheus, read once at start.

Comes in: the offerings in use, and series. Goes out: price changes into the market, and a memory of
interruptions to be recalled where there is none yet. What cannot be read is said once, by the
variable that names it, and what could be is used. May not ask for families and zones that are not
in use.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring import memory_history
from spotvortex.core.scoring.interruption_memory import EMPTY_MEMORY, Memory
from spotvortex.core.scoring.memory_history import CapacityHistory
from spotvortex.errors import MetricsError
from spotvortex.market.karpenter import http, prometheus
from spotvortex.market.karpenter.exposition import AVAILABLE, DISRUPTED, INTERRUPTION_REASONS, PRICE
from spotvortex.market.karpenter.gauges import FEW, KarpenterMarket
from spotvortex.market.karpenter.prometheus import Piece, Prometheus, Series, pieces
from spotvortex.market.price_file import SpotChanges
from spotvortex.ports.cluster import WallClock

VARIABLE: Final = "SPOTVORTEX_PROMETHEUS_URL"
PRICE_DAYS: Final = 8
CAPACITY_DAYS: Final = 14
"""Losses fade with 72 hours: what is older than two weeks counts less than 1 %."""

PRICE_STEP_S: Final = 600.0
STEP_S: Final = 300.0
WITHIN_S: Final = 180.0
"""Time for everything, in seconds; what has not come by then is done without."""

OVERLAP_S: Final = 90.0
"""How far the time looked at for falls reaches into that of the step before, in seconds: a fall is
seen between two scrapes, and of these one may lie there."""

DEAREST_USD_PER_HOUR: Final = 10_000.0
MAX_FAMILIES: Final = 40
MOST_HELD: Final = 100_000.0
"""Nodes of one offering beyond which a count is absurd."""

_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,63}")

log = logging.getLogger(__name__)

Found = dict[str, list[Series]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One query over some days.

    Attributes:
        name: what its answer is.
        query: in Prometheus' own language.
        n_days: days back from now.
        step_s: seconds between two points.
    """

    name: str
    query: str
    n_days: int
    step_s: float = STEP_S


def questions(offerings: Collection[Offering]) -> list[Question]:
    """Return what is asked about the families and zones of some offerings."""
    families = sorted({o.instance_type.partition(".")[0] for o in offerings})
    families = [f for f in families if _NAME.fullmatch(f)]
    zones = sorted({o.zone for o in offerings if _NAME.fullmatch(o.zone)})
    if len(families) > MAX_FAMILIES:
        log.warning("prometheus.families", extra={"by": VARIABLE, "n_left": len(families)})
    if not families or not zones:
        return []
    types = f"({'|'.join(families[:MAX_FAMILIES])})[.].+"
    place = f'instance_type=~"{types}",zone=~"{"|".join(zones)}"'
    by = "by (instance_type, zone)"
    spot = f'capacity_type="spot",{place}'
    held = f'karpenter_nodes_allocatable{{resource_type="pods",{spot}}}'
    fell = f"resets({AVAILABLE}{{{spot}}}[{STEP_S + OVERLAP_S:.0f}s])"
    reasons = "|".join(INTERRUPTION_REASONS)
    return [
        Question(
            name="on_demand",
            query=f'max {by} ({PRICE}{{capacity_type="on-demand",{place}}})',
            n_days=1,
            step_s=PRICE_STEP_S,
        ),
        Question(
            name="spot",
            query=f"max {by} ({PRICE}{{{spot}}})",
            n_days=PRICE_DAYS,
            step_s=PRICE_STEP_S,
        ),
        Question(
            name="held",
            query=f"count {by} (max by (node_name, instance_type, zone) ({held}))",
            n_days=CAPACITY_DAYS,
        ),
        Question(name="falls", query=f"max {by} ({fell}) > 0", n_days=CAPACITY_DAYS),
        Question(
            name="interrupted",
            query=f'{DISRUPTED}{{capacity_type="spot",reason=~"{reasons}"}}',
            n_days=CAPACITY_DAYS,
        ),
    ]


class PrometheusHistory:
    """Implements `ports.Recall` by one Prometheus; `run` has to be running.

    Attributes:
        first: set when all has been asked, however that went.
        trouble: why something could not be read, "" where all could.
        is_settled: it is known what was remembered before.
    """

    def __init__(self, url: str, market: KarpenterMarket, clock: WallClock, rng: Random) -> None:
        self._url, self._market, self._clock, self._rng = url, market, clock, rng
        self._recalled: Memory | None = None
        self.first = asyncio.Event()
        self.trouble = ""
        self.is_settled = False

    def recall(self, memory: Memory) -> Memory | None:  # noqa: ARG002 - as the port
        """Return what the weeks before would have taught, once it has been read."""
        recalled, self._recalled = self._recalled, None
        return recalled

    async def run(self, stop: asyncio.Event) -> None:
        """Read once the offerings in use are known, then wait for the stop, which cuts it short."""
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read())
            stopped = group.create_task(stop.wait())
            await asyncio.wait((reading, stopped), return_when=asyncio.FIRST_COMPLETED)
            reading.cancel()
            self.is_settled = not stop.is_set()
            self.first.set()

    async def _read(self) -> None:
        await self._market.was_asked.wait()
        end = STEP_S * (self._clock.now() // STEP_S)
        found = await self._ask_all(questions(self._market.asked), end)
        n_prices = self._take_prices(found)
        history = capacity_of(found, end)
        # Weeks in steps of five minutes take seconds, which the loop does not have.
        memory = await asyncio.to_thread(memory_history.remembered, history)
        told = memory_history.attributed(history)
        self._recalled = memory if memory.offerings else EMPTY_MEMORY
        log.info(
            "prometheus.read",
            extra={
                "n_priced": n_prices,
                "n_held": len(history.held),
                "n_interrupted": sum(history.interrupted.values()),
                "n_unplaced": told.n_unplaced,
                "n_failed_launches": sum(map(len, told.refused.values())),
            },
        )

    async def _ask_all(self, asked: Sequence[Question], end: float) -> Found:
        """Ask day by day, the newest first, so that what is there when it breaks off is recent."""
        found: Found = {question.name: [] for question in asked}
        left = {question.name: question for question in asked}
        try:
            async with asyncio.timeout(WITHIN_S), http.session(prometheus.ANSWER_S) as client:
                source = Prometheus(self._url, client, self._rng)
                for day in range(CAPACITY_DAYS):
                    for question in [q for q in left.values() if day < q.n_days]:
                        piece = pieces(end, question.n_days, question.step_s)[day]
                        answer = await self._ask(source, question, piece)
                        if answer is None:
                            del left[question.name]
                        else:
                            found[question.name] += answer
        except TimeoutError:
            self._warn(f"{http.shown(self._url)} did not answer all within {WITHIN_S:.0f} s")
        except MetricsError as error:
            self._warn(str(error))
        return found

    async def _ask(
        self, source: Prometheus, question: Question, piece: Piece
    ) -> list[Series] | None:
        """Ask for one piece; None where that question need not be asked again.

        Raises:
            MetricsError: nobody answers any more.
        """
        try:
            return await source.query_range(question.query, piece)
        except MetricsError as error:
            if error.is_passing:
                raise
            self._warn(f"{question.name}: {error}")
            return None

    def _warn(self, error: str) -> None:
        if not self.trouble:
            log.warning("prometheus.unread", extra={"by": VARIABLE, "error": error})
        self.trouble = self.trouble or error

    def _take_prices(self, found: Found) -> int:
        changes = {o: _changes(v) for o, v in _by_offering(found.get("spot", ())).items()}
        changes = {o: c for o, c in changes.items() if c.times}
        dear = _by_offering(found.get("on_demand", ()))
        latest = {o: values[-1][1] for o, values in dear.items() if _is_price(values[-1][1])}
        # The first point of all is no change: nobody knows how long it had been so.
        moved = [t for c in changes.values() for t in c.times[1:]]
        first = min((c.times[0] for c in changes.values()), default=-math.inf)
        self._market.take_history(changes, latest, max(moved, default=first))
        return len(changes)


def capacity_of(found: Found, end: float) -> CapacityHistory:
    """Put nodes, falls and interruptions on one grid that ends at an instant."""
    n_steps = CAPACITY_DAYS * round(86_400.0 / STEP_S)
    start = end - (n_steps - 1) * STEP_S
    grid = _Grid(start=start, n_steps=n_steps)
    seen, held = [False] * n_steps, dict[Offering, list[float]]()
    for offering, values in _by_offering(found.get("held", ())).items():
        counts = held.setdefault(offering, [0.0] * n_steps)
        for step, value in grid.steps(values):
            counts[step] = value if value <= MOST_HELD else 0.0
            seen[step] = True
    first = next((step for step, is_seen in enumerate(seen) if is_seen), n_steps)
    return CapacityHistory(
        start=start,
        step_s=STEP_S,
        n_steps=n_steps,
        seen=seen,
        held=held,
        falls=_falls(_by_offering(found.get("falls", ())), grid),
        interrupted=_risen(found.get("interrupted", ()), grid, first + 2),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    start: float
    n_steps: int

    def steps(self, values: Iterable[tuple[float, float]]) -> Iterable[tuple[int, float]]:
        """Return the step of each value that lies on the grid."""
        for at, value in values:
            step = round((at - self.start) / STEP_S)
            if 0 <= step < self.n_steps:
                yield step, value


def _by_offering(found: Iterable[Series]) -> dict[Offering, list[tuple[float, float]]]:
    """Join the pieces of each offering, rising in time."""
    joined: dict[Offering, list[tuple[float, float]]] = {}
    for series in found:
        kind, zone = series.labels.get("instance_type", ""), series.labels.get("zone", "")
        if kind and zone and series.values:
            joined.setdefault(Offering(instance_type=kind, zone=zone), []).extend(series.values)
    return {offering: sorted(values) for offering, values in joined.items()}


def _is_price(value: float) -> bool:
    return 0.0 < value <= DEAREST_USD_PER_HOUR


def _changes(values: Iterable[tuple[float, float]]) -> SpotChanges:
    changes = SpotChanges()
    for at, price in values:
        if _is_price(price) and (not changes.prices or changes.prices[-1] != price):
            changes.times.append(at)
            changes.prices.append(price)
    return changes


def _falls(
    found: Mapping[Offering, Iterable[tuple[float, float]]], grid: _Grid
) -> dict[int, frozenset[Offering]]:
    """Return what fell by step; what is seen in two steps on end is one, and a zone's is none."""
    by_step: dict[int, set[Offering]] = {}
    for offering, values in found.items():
        last = -2
        for step, _ in grid.steps(values):
            if step > last + 1:
                by_step.setdefault(step, set()).add(offering)
            last = step
    kept = {}
    for step, fell in by_step.items():
        n_by_zone = Counter(offering.zone for offering in fell)
        alone = frozenset(o for o in fell if n_by_zone[o.zone] <= FEW)
        if alone:
            kept[step] = alone
    return kept


def _risen(found: Iterable[Series], grid: _Grid, known_from: int) -> dict[int, float]:
    """Return by how much counters rose in each step, over restarts too.

    A counter that comes later than `known_from` began at 0; before that it may be old.
    """
    joined: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for series in found:
        joined.setdefault(tuple(sorted(series.labels.items())), []).extend(series.values)
    risen: dict[int, float] = {}
    for values in joined.values():
        last: float | None = None
        for step, value in grid.steps(sorted(values)):
            before = last if last is not None else (0.0 if step > known_from else value)
            more = value - before if value >= before else value
            if more > 0.0:
                risen[step] = risen.get(step, 0.0) + more
            last = value
    return risen
