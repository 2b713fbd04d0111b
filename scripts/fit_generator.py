"""Fit the generator of capacity (`spotvortex.sim.market.semimarkov`) on availability series.

Comes in: a folder of series (JSON: `metadata.gap_seconds`, `data` = number of nodes to be had),
which is not part of the project. Goes out: the figures of
`spotvortex/sim/market/generator_facts.py`, to be copied there by hand, and how well the generator
that uses them agrees with the series.

    python -m scripts.fit_generator DIR
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.types import Offering
from spotvortex.sim.market.capacity_trace import Availability, read_availability
from spotvortex.sim.market.counts import CapacityCounts
from spotvortex.sim.market.generator_facts import AGE_EDGES_HOURS, TARGET_PER_HOUR
from spotvortex.sim.market.semimarkov import FAMILIES, MarketFamily, generate
from spotvortex.sim.market.shortage_clock import TimeSpan

Floats = NDArray[np.float64]

EDGES = np.array([0.0, *AGE_EDGES_HOURS, np.inf])
OFFERINGS = tuple(
    Offering(instance_type=name, zone=f"us-east-1{zone}")
    for name in ("c6i.large", "m6i.large", "m6i.xlarge", "r6i.large")
    for zone in "abc"
)
DAYS = 60.0
GRID_S = 300.0


@dataclass(frozen=True, slots=True)
class Series:
    """One series: where it was taken, its step in hours, and the number to be had at each step."""

    group: str
    zone: str
    hours: float
    values: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Runs:
    """Ends and hours by age class, float64[n_series, n_classes], of runs whose start was seen."""

    ends: Floats
    hours: Floats


def read_all(folder: Path) -> list[Series]:
    """Read the series; the name of a file begins with its zone."""
    found = []
    for path in sorted(folder.glob("**/*.json")):
        read: Availability = read_availability(path)
        zone = path.name.partition("_")[0]
        values = np.array(read.values, dtype=np.int64)
        found.append(Series(path.parent.name, zone, read.step_s / 3600.0, values))
    if not found:
        raise SystemExit(f"{folder}: no *.json series there; pass the traces' folder")
    return found


def run_table(state: NDArray[np.bool_], hours: float) -> tuple[Floats, Floats]:
    """Count ends and hours by age class of the runs in which a state holds."""
    edges = np.flatnonzero(np.diff(np.r_[0, state.astype(int), 0]))
    starts, stops = edges[::2], edges[1::2]
    known = starts > 0
    lengths = (stops - starts)[known] * hours
    ended = (stops < len(state))[known]
    spent = np.clip(np.minimum(lengths[:, None], EDGES[1:]) - EDGES[:-1], 0.0, None).sum(axis=0)
    classes = np.searchsorted(EDGES, lengths[ended], side="left") - 1
    return np.bincount(classes, minlength=len(EDGES) - 1).astype(float), spent


def tables(series: Iterable[Series], *, full: bool) -> Runs:
    """Return the table of runs in full, or of runs with nothing."""
    states = [(s.values == s.values.max() if full else s.values == 0, s.hours) for s in series]
    pairs = [run_table(state, hours) for state, hours in states]
    return Runs(np.array([ends for ends, _ in pairs]), np.array([spent for _, spent in pairs]))


def by_age_and_level(runs: Runs) -> tuple[Floats, Floats]:
    """Fit hazard = level of the series x shape of the age (Poisson likelihood, by turns).

    Returns:
        the shape, set so that levels are 1 in the geometric mean, per hour, and the levels.
    """
    levels = np.ones(len(runs.ends))
    for _ in range(500):
        shape = runs.ends.sum(axis=0) / (levels[:, None] * runs.hours).sum(axis=0)
        levels = runs.ends.sum(axis=1) / (runs.hours * shape).sum(axis=1)
        levels /= np.exp(np.log(levels).mean())
    return shape, levels


def spread(levels: Floats, runs: Runs) -> float:
    """Return the sigma of the levels' logarithms without the part that sampling makes."""
    noise = float(np.mean(1.0 / runs.ends.sum(axis=1)))
    return float(np.sqrt(max(0.0, np.log(levels).var(ddof=1) - noise)))


def parts(series: Iterable[Series]) -> dict[str, float]:
    """Count what becomes of series with numbers: how they fall, hold in part, and come back."""
    seen: Counter[str] = Counter()
    held_s: list[float] = []
    left: list[float] = []
    for one in series:
        full = int(one.values.max())
        if full < 2:
            continue
        edges = np.flatnonzero(np.diff(np.r_[-1, one.values, -1]))
        numbers, lengths = one.values[edges[:-1]], np.diff(edges) * one.hours * 3600.0
        for a, b, seconds in zip(numbers[:-1], numbers[1:], lengths[:-1], strict=True):
            seen["fall from full" if a == full else "return" if a == 0 else "part"] += 1
            seen["total"] += a == full and b == 0
            seen["in part"] += a == 0 and b < full
            seen["further"] += 0 < a < full and b < a
            left += [b / a] if 0 < b < a else []
            held_s += [float(seconds)] if 0 < a < full else []
    return {
        "TOTAL_LOSS_RATIO": seen["total"] / seen["fall from full"],
        "PARTIAL_MEAN_S": float(np.mean(held_s)),
        "PARTIAL_FALLS_RATIO": seen["further"] / seen["part"],
        "PARTIAL_RETURN_RATIO": seen["in part"] / seen["return"],
        "survivors p10": float(np.quantile(left, 0.1)),
        "survivors p90": float(np.quantile(left, 0.9)),
    }


def persistence_hours(series: Iterable[Series]) -> float:
    """Return the hours in which the autocorrelation of availability falls by 1/e, 3 to 12 h."""
    logs = []
    for one in series:
        if len(one.values) * one.hours < 20 * 24.0:
            continue
        x = one.values - one.values.mean()
        early, late = (int(h / one.hours) for h in (3.0, 12.0))
        logs.append([float(np.mean(x[:-k] * x[k:]) / np.mean(x * x)) for k in (early, late)])
    early_mean, late_mean = np.mean(logs, axis=0)
    return 9.0 / float(np.log(early_mean / late_mean))


def zone_correlation(series: Sequence[Series]) -> float:
    """Return the mean correlation of one type's availability in two zones of a region."""
    found = []
    for a, b in combinations(series, 2):
        same = a.group == b.group and region_of(a.zone) == region_of(b.zone)
        if same and a.zone != b.zone and len(a.values) * a.hours > 20 * 24.0:
            n = min(len(a.values), len(b.values))
            found.append(float(np.corrcoef(a.values[:n], b.values[:n])[0, 1]))
    return float(np.mean(found))


def mean_gone_hours(series: Iterable[Series]) -> float:
    """Return the mean length of the runs with nothing, of the whole pool of series."""
    runs = tables(series, full=False)
    return float(runs.hours.sum() / runs.ends.sum())


def losses_per_hour(series: Iterable[Series]) -> float:
    """Return losses per node-hour of the whole pool of series."""
    n_lost = hours = 0.0
    for one in series:
        size = float(one.values.max())
        n_lost += float(np.clip(-np.diff(one.values), 0, None).sum()) / size
        hours += float(one.values[:-1].sum()) * one.hours / size
    return n_lost / hours


def made(
    family: MarketFamily, seeds: int, days: float = DAYS
) -> list[dict[Offering, CapacityCounts]]:
    """Let the generator make a few worlds."""
    span = TimeSpan(start_at=0.0, seconds=days * 86400.0)
    return [
        generate(seed=10_000 + k, family=family, offerings=OFFERINGS, span=span)
        for k in range(seeds)
    ]


def sampled(counts: CapacityCounts, grid: Floats) -> NDArray[np.int64]:
    """Return the numbers at the times of a grid."""
    at = np.searchsorted(np.array(counts.times), grid, side="right") - 1
    values: NDArray[np.int64] = np.array(counts.values, dtype=np.int64)[np.maximum(at, 0)]
    return values


def as_series(worlds: Iterable[dict[Offering, CapacityCounts]]) -> list[Series]:
    """Look at generated counts on a grid, as the recorder of the series did."""
    grid = np.arange(0.0, DAYS * 86400.0, GRID_S)
    return [
        Series(f"{k} {offering.instance_type}", offering.zone, GRID_S / 3600.0, values)
        for k, world in enumerate(worlds)
        for offering, counts in world.items()
        for values in (sampled(counts, grid),)
    ]


def exact_losses_per_hour(worlds: Iterable[dict[Offering, CapacityCounts]], days: float) -> float:
    """Return losses per node-hour of generated counts, none missed between the steps of a grid."""
    counts = [c for world in worlds for c in world.values()]
    n_lost = sum(n for c in counts for _, n in c.falls())
    return n_lost / sum(c.node_hours(0.0, days * 86400.0) for c in counts)


def steepness(series: Sequence[Series]) -> float:
    """Return how much the hazards of loss and return fall from the youngest age to the oldest."""
    pooled = [tables(series, full=full) for full in (True, False)]
    hazards = [runs.ends.sum(axis=0) / runs.hours.sum(axis=0) for runs in pooled]
    return float(np.mean([np.log(hazard[0] / hazard[-1]) for hazard in hazards]))


def calibrate_tracelike(series: Sequence[Series]) -> MarketFamily:
    """Set what cannot be read off the series, by turns, until the generator agrees with them."""
    family = FAMILIES["tracelike"]
    loss, alike, gone, steep = (
        measure(series)
        for measure in (losses_per_hour, zone_correlation, mean_gone_hours, steepness)
    )
    for _ in range(20):
        seen = as_series(made(family, 10))
        sigma = family.pressure_sigma + alike - zone_correlation(seen)
        family = replace(
            family,
            base_per_hour=family.base_per_hour * (loss / losses_per_hour(seen)) ** 0.7,
            pressure_sigma=max(0.1, sigma),
            recovery_speed=family.recovery_speed * (mean_gone_hours(seen) / gone) ** 0.7,
            age_exponent=max(0.0, family.age_exponent * (steep / steepness(seen)) ** 0.7),
        )
    return family


def calibrate_base(family: MarketFamily, seeds: int) -> MarketFamily:
    """Set the base of a family so that its losses per node-hour are what it stands for."""
    for _ in range(4):
        loss = exact_losses_per_hour(made(family, seeds), DAYS)
        base = family.base_per_hour * TARGET_PER_HOUR[family.name] / loss
        family = replace(family, base_per_hour=base)
    return family


def compare(name: str, series: Sequence[Series]) -> None:
    """Print what the series and the generator are compared by."""
    full, gone = tables(series, full=True), tables(series, full=False)
    share = np.mean([s.values.mean() / s.values.max() for s in series])
    print(
        f"{name}: losses per node-hour {losses_per_hour(series):.3f}, available {share:.2f}, "
        f"hours with nothing {mean_gone_hours(series):.2f}, zones' correlation "
        f"{zone_correlation(series):.2f}, persistence {persistence_hours(series):.1f} h"
    )
    for what, runs in (("lost per hour by age", full), ("back per hour by age", gone)):
        print(f"  {what}", np.round(runs.ends.sum(axis=0) / runs.hours.sum(axis=0), 3))


def main() -> None:
    """Print the figures and the comparison."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m scripts.fit_generator DIR")
    series = read_all(Path(sys.argv[1]))
    lost, gone = tables(series, full=True), tables(series, full=False)
    (shape, frailty), (back, recovery) = by_age_and_level(lost), by_age_and_level(gone)
    print(f"from {len(series)} series, {lost.ends.sum():.0f} losses, {gone.ends.sum():.0f} returns")
    print("LOSS_MULTIPLES", np.round(shape / shape[-1], 2), "base", round(float(shape[-1]), 3))
    print("RECOVERIES_PER_HOUR", np.round(back, 3))
    print("TRACE_FRAILTY_SIGMA", round(spread(frailty, lost), 2))
    print("RECOVERY_SIGMA", round(spread(recovery, gone), 2))
    logs = np.log(frailty), np.log(recovery)
    print("RECOVERY_CORRELATION", round(float(np.corrcoef(*logs)[0, 1]), 2))
    for name, value in parts(series).items():
        print(name, round(value, 3))
    print("PRESSURE_HOURS", round(persistence_hours(series), 1))
    tracelike = calibrate_tracelike(series)
    print("PRESSURE_SIGMA", round(tracelike.pressure_sigma, 2))
    print("RECOVERY_SPEED", round(tracelike.recovery_speed, 2))
    print("AGE_EXPONENT", round(tracelike.age_exponent, 2))
    print("BASE_PER_HOUR tracelike", f"{tracelike.base_per_hour:.3g}")
    shared = {
        "pressure_sigma": tracelike.pressure_sigma,
        "recovery_speed": tracelike.recovery_speed,
        "age_exponent": tracelike.age_exponent,
    }
    for name, seeds in (("stressed", 20), ("normal", 60), ("calm", 200)):
        family = calibrate_base(replace(FAMILIES[name], **shared), seeds)
        print("BASE_PER_HOUR", name, f"{family.base_per_hour:.3g}")
    compare("series", series)
    worlds = made(tracelike, 20)
    compare("tracelike", as_series(worlds))
    print("  losses per node-hour, exact", round(exact_losses_per_hour(worlds, DAYS), 3))


if __name__ == "__main__":
    main()
