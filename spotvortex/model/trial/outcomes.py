"""How good a bundle was on what came true.

Comes in: a bundle, and a file of samples as `scripts.train.dataset` writes it. Goes out: AUC, Brier
score and calibration error of each of its models beside those of the interruption memory, on the
part of the file that is for validation. May not train.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.scoring.features import Matrix
from spotvortex.core.scoring.trajectory import COLUMNS, N_PAST, N_STEPS
from spotvortex.errors import ModelContractError, in_words
from spotvortex.model.forecaster import OnnxForecaster
from spotvortex.model.quality import auc, brier, calibration_error

VALIDATE_FROM: Final = 0.65
"""Share of a record's time after which its samples are for validation, as in the training."""

MOST_SAMPLES: Final = 200_000
HORIZONS: Final = ((0, 60), (1, 120))

_C: Final = {name: place for place, name in enumerate(COLUMNS)}
_NOW: Final = N_PAST - 1
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionOutcome:
    """How good one prediction was at one horizon.

    Attributes:
        who: whose prediction it is.
        minutes: the horizon.
        n: samples.
        lost: share of them that was lost.
        auc: area under the ROC curve.
        brier: mean squared error of the probability.
        ece: expected calibration error.
    """

    who: str
    minutes: int
    n: int
    lost: float
    auc: float
    brier: float
    ece: float


def outcomes(bundle: OnnxForecaster, path: Path) -> list[PredictionOutcome]:
    """Judge every model of a bundle on a file of samples.

    Args:
        bundle: what to judge.
        path: a file of `python -m scripts.train.dataset`.

    Raises:
        ModelContractError: it is no such file.
    """
    data = _read(path)
    x = data["x"].astype(np.float32)
    said: dict[str, Floats] = {"interruption memory": _memory(x)}
    rows = _rows(bundle, x)
    if rows is not None and not bundle.degenerate:
        said[bundle.name] = bundle.score(rows).astype(np.float64)
    if bundle.challenger is not None:
        said[bundle.challenger.name] = bundle.challenger.score(x).astype(np.float64)
    return [
        outcome
        for column, minutes in HORIZONS
        for who, scores in said.items()
        for outcome in _judged(who, minutes, scores[:, column], data)
    ]


def _judged(
    who: str, minutes: int, p: Floats, data: Mapping[str, NDArray[np.float64]]
) -> list[PredictionOutcome]:
    n_steps = minutes // 10
    lost = data["lost_step"] < n_steps
    usable = (lost | (data["n_known"] >= n_steps)) & np.isfinite(p)
    if not usable.any():
        return []
    p, y = p[usable], lost[usable].astype(np.float64)
    return [
        PredictionOutcome(
            who=who,
            minutes=minutes,
            n=len(y),
            lost=float(y.mean()),
            auc=auc(p, y),
            brier=brier(p, y),
            ece=calibration_error(p, y),
        )
    ]


def _read(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return the validation part of a file."""
    names = ("x", "lost_step", "n_known", "share", "generated")
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            data = {name: file[name][:MOST_SAMPLES] for name in names}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        why = f" ({in_words(error)})" if isinstance(error, OSError) else ""
        raise ModelContractError(
            f"{path}: is no file of samples{why}; make one with `python -m "
            "scripts.train.dataset` (docs/training.md)."
        ) from error
    if data["x"].shape[1:] != (N_STEPS, len(COLUMNS)):
        raise ModelContractError(
            f"{path}: has samples of shape {data['x'].shape[1:]}, this SpotVortex reads "
            f"{(N_STEPS, len(COLUMNS))}; make it again."
        )
    kept = (data["share"] >= VALIDATE_FROM) & (data["generated"] == 0)
    return {name: values[kept] for name, values in data.items()}


def _memory(x: Matrix) -> Floats:
    """Return what the interruption memory says, `float64[n, 2]`."""
    ahead = x[:, N_PAST:].astype(np.float64)
    hazard = np.exp(ahead[:, :, _C["log_hazard_multiple"]] + ahead[:, :, _C["log_level_per_hour"]])
    summed = np.cumsum(hazard / 6.0, axis=1)[:, [5, 11]]
    return np.asarray(-np.expm1(-summed))


def _rows(bundle: OnnxForecaster, x: Matrix) -> Matrix | None:
    """Return the rows of a v2 model, None where the samples do not tell what it reads."""
    now = x[:, _NOW].astype(np.float64)
    day_ago = x[:, 0, _C["price_over_price_now"]].astype(np.float64)
    known = {
        "hours_since_loss": np.expm1(now[:, _C["log_hours_since_loss_now"]]),
        "hazard_per_hour": np.exp(now[:, _C["log_hazard_per_hour"]]),
        "price_ratio": now[:, _C["price_ratio"]],
        "price_change_24h_ratio": 1.0 / (1.0 + day_ago) - 1.0,
        "log2_vcpus": now[:, _C["log2_vcpus"]],
        "generation": now[:, _C["generation"]],
    }
    names = bundle.feature_names
    if not names or any(name not in known for name in names):
        return None
    return np.stack([known[name] for name in names], axis=1).astype(np.float32)
