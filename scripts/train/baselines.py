"""What a network has to beat: constants, the fitted age hazard, the memory, and trees.

Comes in: samples. Goes out: the probability of a loss within some minutes, by each rival. All that
is fitted is fitted on the fitting and tuning samples. May not see validation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scripts.age_hazard.fit import curves, step_middles
from scripts.train.samples import Samples
from spotvortex.core.scoring.trajectory import COLUMNS, N_OBSERVED, N_PAST

Floats = NDArray[np.float64]

TABLE: Final = Path(__file__).resolve().parents[2] / "models" / "age_hazard_table.json"
_C: Final = {name: place for place, name in enumerate(COLUMNS)}
NOW: Final = N_PAST - 1


def constant(samples: Samples, minutes: int) -> Floats:
    """Return one probability for all: the share lost among what was fitted on."""
    y, known = samples.label(minutes)
    used = known & (samples.fit | samples.tune) & ~samples.generated
    return np.full(len(y), y[used].mean())


def base_rate(samples: Samples, minutes: int) -> Floats:
    """Return the share lost in the same offering earlier; of its class where it was not seen."""
    y, known = samples.label(minutes)
    used = known & (samples.fit | samples.tune)
    classes, klass = np.unique(samples.names_of_class(), return_inverse=True)
    n_offerings = int(samples.offering.max()) + 1
    by_class = _shares(klass, y, used, len(classes), np.full(len(classes), y[used].mean()))
    of_class = np.zeros(n_offerings)
    of_class[samples.offering] = by_class[klass]
    return _shares(samples.offering, y, used, n_offerings, of_class)[samples.offering]


def _shares(key: NDArray[Any], y: Floats, used: NDArray[Any], n: int, prior: Floats) -> Floats:
    """Return the share lost by key, drawn to a prior that weighs as much as 20 samples."""
    lost = np.bincount(key[used], y[used], n)
    return (lost + 20.0 * prior) / (np.bincount(key[used], minlength=n) + 20.0)


def base_and_age(samples: Samples, minutes: int) -> Floats:
    """Return the age hazard with the offering's base rate as its level: the reference.

    The level is the one with which the age hazard, over the ages that were seen in fitting, is
    right on average: found by Newton's method on each offering's mean.
    """
    shape, _ = curves(json.loads(TABLE.read_text()))
    since = np.expm1(samples.x[:, NOW, _C["log_hours_since_loss_now"]].astype(float))
    summed = shape.at(since[:, None] + step_middles(minutes)).sum(axis=1) / 12.0
    wanted = np.clip(base_rate(samples, minutes), 1e-6, 0.99)
    used = samples.fit | samples.tune
    level = np.empty(len(summed))
    classes, klass = np.unique(samples.names_of_class(), return_inverse=True)
    for offering in np.unique(samples.offering):
        here = samples.offering == offering
        ages = summed[here & used]
        if not len(ages):
            ages = summed[used & (klass == klass[here][0])]
        if not len(ages):
            ages = summed[used]
        level[here] = _level(ages, float(wanted[here][0]))
    assert len(classes)
    return -np.expm1(-level * summed)


def _level(ages: Floats, wanted: float) -> float:
    """Return the level at which the mean of 1 - exp(-level x age) is what is wanted."""
    low, high = 1e-9, 1e3
    for _ in range(60):
        middle = (low * high) ** 0.5
        if float(-np.expm1(-middle * ages).mean()) < wanted:
            low = middle
        else:
            high = middle
    return low


def age_hazard(samples: Samples, minutes: int) -> Floats:
    """Return what the shipped age-hazard table says, with the cluster's own rate as its level."""
    shape, base = curves(json.loads(TABLE.read_text()))
    now = samples.x[:, NOW].astype(float)
    since = np.expm1(now[:, _C["log_hours_since_loss_now"]])
    level = base.at(np.exp(now[:, _C["log_hazard_per_hour"]]))
    summed = shape.at(since[:, None] + step_middles(minutes)).sum(axis=1) / 12.0
    return -np.expm1(-level * summed)


def memory(samples: Samples, minutes: int) -> Floats:
    """Return what the interruption memory says by itself."""
    ahead = samples.x[:, N_PAST : N_PAST + minutes // 10].astype(float)
    hazard = ahead[:, :, _C["log_hazard_multiple"]] + ahead[:, :, _C["log_level_per_hour"]]
    return -np.expm1(-np.exp(hazard).sum(axis=1) / 6.0)


def flat(samples: Samples) -> Floats:
    """Return what trees read: all of now, the prices behind, two of the ages ahead."""
    x = samples.x.astype(float)
    prices = x[:, :NOW, :N_OBSERVED].reshape(len(x), -1)
    return np.hstack([x[:, NOW], prices, x[:, N_PAST + 2, 2:7], x[:, -1, 2:7]])


def trees(samples: Samples, minutes: int, seed: int = 0) -> Floats:
    """Return what gradient-boosted trees say; they stop by the tuning samples' loss."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 -- extra `train`

    y, known = samples.label(minutes)
    rows = flat(samples)
    used, tuned = known & samples.fit, known & samples.tune
    rows = rows[:, np.isfinite(rows[used]).any(axis=0)]
    best, found = float("inf"), np.empty(0)
    for n_trees in (40, 80, 160):
        model = HistGradientBoostingClassifier(
            max_iter=n_trees,
            learning_rate=0.06,
            max_leaf_nodes=15,
            min_samples_leaf=100,
            l2_regularization=5.0,
            early_stopping=False,
            random_state=seed,
        ).fit(rows[used], y[used])
        p = np.clip(model.predict_proba(rows[tuned])[:, 1], 1e-6, 1 - 1e-6)
        loss = -np.where(y[tuned] > 0, np.log(p), np.log1p(-p)).mean()
        if loss < best:
            best, found = loss, model.predict_proba(rows)[:, 1]
    return found
