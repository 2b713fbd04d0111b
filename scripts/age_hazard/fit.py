"""Fit the age-hazard table on availability series.

Comes in: a folder of series (JSON: `metadata.gap_seconds`, `data` = number of nodes to be had).
Goes out: a table of facts with its source and date, and how well it predicts the series. What
makes a bundle of it is `scripts.age_hazard.build`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BIN_EDGES_HOURS: Final = (0.0, 1 / 6, 1 / 3, 1 / 2, 1.0, 2.0, 3.0, 6.0, 12.0, math.inf)
KNOT_HOURS: Final = (1 / 12, 0.25, 5 / 12, 0.75, 1.5, 2.5, 4.5, 9.0, 24.0)
"""Where each bin's hazard stands: its middle, and twice its lower edge for the open one."""
LEVEL_KNOTS: Final = (1e-6, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Losses per node-hour at which the base hazard is tabulated."""
STEP_HOURS: Final = 1 / 12
HORIZONS: Final = (("capacity_score", 60), ("runtime_score", 120))

SOURCE: Final = (
    "availability and preemption series of github.com/skypilot-org/spot-traces (Wu et al., "
    "'Can't Be Late', NSDI 2024), first parts, 2022-10 to 2023-09; only these figures are kept"
)
FITTED_ON: Final = (
    "18 availability series of offerings of the worst interruption band: GPU pools (p2, p3; "
    "us-east-1, us-west-2; 2022-23) and r5.16xlarge (us-east-1, 2023). They give the shape only; "
    "the level comes from the cluster's own memory. Not validated on Graviton or on any family of "
    "the 6th generation or later."
)


@dataclass(frozen=True, slots=True)
class Series:
    """The runs of one series during which every node asked for could be had.

    `hours` is the length of each run, `lost` whether its end was seen. A run that was already
    going on at the start of the series is left out: its age is unknown.
    """

    name: str
    hours: Floats
    lost: NDArray[np.bool_]

    @property
    def losses_per_hour(self) -> float:
        """Losses per hour in which the offering could be had."""
        return float(self.lost.sum() / self.hours.sum())


@dataclass(frozen=True, slots=True)
class Curve:
    """A function that is linear between knots when both axes are logarithmic, flat outside."""

    x: Floats
    y: Floats

    def at(self, x: Floats | float) -> Floats:
        """Return the value at x; 0 counts as a very small x."""
        logs = np.log(np.maximum(x, 1e-12))
        return np.exp(np.interp(logs, np.log(self.x), np.log(self.y)))


def read_series(path: Path) -> Series:
    """Read one series and cut it into runs."""
    record = json.loads(path.read_text())
    counts = np.asarray(record["data"])
    gap_hours = record["metadata"]["gap_seconds"] / 3600.0
    edges = np.flatnonzero(np.diff(np.r_[0, (counts == counts.max()).astype(int), 0]))
    starts, ends = edges[::2], edges[1::2]
    known = starts > 0
    return Series(
        name="/".join(path.parts[-2:]),
        hours=(ends - starts)[known] * gap_hours,
        lost=(ends < len(counts))[known],
    )


def count_by_age(series: Sequence[Series]) -> tuple[Floats, Floats]:
    """Return losses and available hours in each age bin, summed over all series."""
    low, high = np.array(BIN_EDGES_HOURS[:-1]), np.array(BIN_EDGES_HOURS[1:])
    hours = np.concatenate([s.hours for s in series])[:, None]
    lost = np.concatenate([s.lost for s in series])[:, None]
    exposure = np.clip(np.minimum(hours, high) - low, 0.0, None).sum(axis=0)
    losses = (lost & (hours > low + 1e-9) & (hours <= high + 1e-9)).sum(axis=0)
    return losses.astype(float), exposure


def falling(rates: Floats, weights: Floats) -> Floats:
    """Return the weighted least-squares fit that never rises (pool adjacent violators)."""
    blocks: list[tuple[float, float, int]] = []
    for rate, weight in zip(rates, weights, strict=True):
        block = (float(rate), float(weight), 1)
        while blocks and blocks[-1][0] < block[0]:
            before = blocks.pop()
            total = before[1] + block[1]
            mean = (before[0] * before[1] + block[0] * block[1]) / total
            block = (mean, total, before[2] + block[2])
        blocks.append(block)
    return np.repeat([rate for rate, _, _ in blocks], [n for _, _, n in blocks])


def fit_shape(series: Sequence[Series]) -> Curve:
    """Fit the hazard by age as a multiple of the hazard beyond 12 hours."""
    losses, exposure = count_by_age(series)
    hazard = falling(losses / exposure, exposure)
    return Curve(np.array(KNOT_HOURS), _rounded(hazard / hazard[-1]))


def fit_base(shape: Curve) -> Curve:
    """Tabulate the hazard beyond 12 hours that makes the mean loss rate what the level says.

    A level counts losses per node-hour over whole lives, young hours included. With base hazard c
    and hazard c x shape(age) between losses, the mean rate is 1 / (mean life); this is inverted.
    Where losses are rare the base is the level; where they are frequent most hours are young and
    the base is far below it.
    """
    age = np.geomspace(1e-4, 3e3, 6000)
    step = np.diff(age)
    multiple = shape.at(age)
    summed = np.r_[0.0, np.cumsum(step * (multiple[1:] + multiple[:-1]) / 2)]
    bases = np.geomspace(1e-7, 100.0, 300)
    alive = np.exp(-bases[:, None] * summed)
    life = (step * (alive[:, 1:] + alive[:, :-1]) / 2).sum(axis=1) + alive[:, -1] / bases
    levels = np.array(LEVEL_KNOTS)
    return Curve(levels, _rounded(Curve(1.0 / life, bases).at(levels)))


def loss_probability(shape: Curve, base: float, ages: Floats, minutes: int) -> Floats:
    """Return the probability of a loss within the minutes after each age, as the graph does."""
    multiples = shape.at(ages[:, None] + step_middles(minutes))
    lost: Floats = 1.0 - np.exp(-base * STEP_HOURS * multiples.sum(axis=1))
    return lost


def brier_scores(series: Sequence[Series], minutes: int) -> dict[str, float]:
    """Score predictions every 10 minutes of every run; levels are those of the series itself."""
    pooled_shape = fit_shape(series)
    pooled_base = fit_base(pooled_shape)
    names = (
        "zone base rate",
        "constant level",
        "shape on the level itself",
        "age hazard",
        "age hazard, series left out",
    )
    errors: dict[str, list[Floats]] = {name: [] for name in names}
    means: list[Floats] = []
    for one in series:
        ages, lost = _samples(one, minutes)
        level = one.losses_per_hour
        other = fit_shape([s for s in series if s is not one])
        guesses = (
            np.full(len(lost), lost.mean()),
            np.full(len(lost), 1.0 - math.exp(-level * minutes / 60)),
            loss_probability(pooled_shape, level, ages, minutes),
            loss_probability(pooled_shape, float(pooled_base.at(level)), ages, minutes),
            loss_probability(other, float(fit_base(other).at(level)), ages, minutes),
        )
        means.append(np.stack([lost, guesses[3]]))
        for name, guess in zip(names, guesses, strict=True):
            errors[name].append((guess - lost) ** 2)
    observed, predicted = np.concatenate(means, axis=1).mean(axis=1)
    figures = {name: float(np.concatenate(e).mean()) for name, e in errors.items()}
    count = float(sum(len(m[0]) for m in means))
    return {**figures, "observed": observed, "mean predicted": predicted, "samples": count}


def _samples(series: Series, minutes: int) -> tuple[Floats, Floats]:
    """Return ages at every 10 minutes, and whether the loss came within the horizon (0 or 1)."""
    ages, lost = [], []
    for hours, ended in zip(series.hours, series.lost, strict=True):
        grid = np.arange(0.0, hours, 1 / 6)
        left = hours - grid
        known = (left >= minutes / 60) | ended
        ages.append(grid[known])
        lost.append((left <= minutes / 60)[known] & ended)
    return np.concatenate(ages), np.concatenate(lost).astype(float)


def fit_table(folder: Path, date: str) -> dict[str, Any]:
    """Fit the table from a folder of series."""
    series = [read_series(path) for path in sorted(folder.glob("**/*.json"))]
    if not series:
        raise SystemExit(f"{folder}: no *.json series there; pass the traces' folder")
    losses, exposure = count_by_age(series)
    shape = fit_shape(series)
    base = fit_base(shape)
    bins = [
        {"from_hours": round(a, 4), "losses": int(n), "available_hours": round(e, 1)}
        for a, n, e in zip(BIN_EDGES_HOURS[:-1], losses, exposure, strict=True)
    ]
    brier = {str(m): brier_scores(series, m) for _, m in HORIZONS}
    return {
        "source": SOURCE,
        "fitted_on": FITTED_ON,
        "date": date,
        "n_series": len(series),
        "bins": bins,
        "shape": {"age_hours": list(_rounded(shape.x)), "multiple": list(shape.y)},
        "base": {"losses_per_hour": list(base.x), "base_per_hour": list(base.y)},
        "brier_by_horizon_minutes": {
            horizon: {name: round(value, 4) for name, value in row.items()}
            for horizon, row in brier.items()
        },
    }


def curves(table: dict[str, Any]) -> tuple[Curve, Curve]:
    """Return shape and base of a table."""
    shape, base = table["shape"], table["base"]
    return (
        Curve(np.array(shape["age_hours"]), np.array(shape["multiple"])),
        Curve(np.array(base["losses_per_hour"]), np.array(base["base_per_hour"])),
    )


def step_middles(minutes: int) -> Floats:
    """Return the middles of the 5-minute steps of a horizon, in hours."""
    middles: Floats = (np.arange(round(minutes / 60 / STEP_HOURS), dtype=float) + 0.5) * STEP_HOURS
    return middles


def _rounded(values: Floats) -> Floats:
    """Keep five significant digits, so that the table reads well and is the same everywhere."""
    return np.array([float(f"{value:.5g}") for value in values])
