"""The samples of a data set, and which of them are for what.

Comes in: the `.npz` of `scripts.train.dataset`. Goes out: samples by use. Time decides: of each
recorded market the first half is for fitting, the next tenth for stopping and calibrating, the last
35 % for validation, with a gap longer than the horizon between. `--region` holds one region back
as well. May not move a sample from one use to another.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.domain.cloud.zones import region_of

FIT_UNTIL: Final = 0.50
TUNE_UNTIL: Final = 0.60
VALIDATE_FROM: Final = 0.65
HORIZON_H: Final = 2.0

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Samples of markets.

    Attributes:
        x: trajectories, float32[n, 24, 16].
        lost_step: the 10-minute step in which the node was lost, 12 where it was not.
        n_known: steps before the record ends.
        offering: index of the offering, over all markets.
        market: index of the market.
        at: seconds since the epoch.
        fit, tune, validate: which use each is for; they never overlap.
        offering_names: `market|type/zone`.
        market_names: the classes.
        generated: drawn, not recorded.
        sources: digests of the folders, by name.
        days: first and last day of each recorded market.
    """

    x: NDArray[np.float32]
    lost_step: NDArray[np.int64]
    n_known: NDArray[np.int64]
    offering: NDArray[np.int64]
    market: NDArray[np.int64]
    at: NDArray[np.float64]
    fit: Bools
    tune: Bools
    validate: Bools
    offering_names: list[str]
    market_names: list[str]
    generated: Bools
    sources: dict[str, str]
    days: dict[str, tuple[str, str]]

    def label(self, minutes: int) -> tuple[NDArray[np.float64], Bools]:
        """Return whether the node was lost within so many minutes, and where that is known."""
        n_steps = minutes // 10
        lost = self.lost_step < n_steps
        return lost.astype(float), lost | (self.n_known >= n_steps)

    @property
    def block(self) -> NDArray[np.int64]:
        """The block of each sample: its market's day."""
        return self.market * 100_000 + (self.at // 86_400.0).astype(np.int64)

    @property
    def region(self) -> NDArray[Any]:
        """The region of each sample."""
        names = [region_of(name.rpartition("/")[2]) for name in self.offering_names]
        return np.array(names)[self.offering]

    def names_of_class(self) -> NDArray[Any]:
        """Return the class of each sample, `-train` and `-val` of drawn markets taken away."""
        names = [n.removesuffix("-train").removesuffix("-val") for n in self.market_names]
        return np.array(names)[self.market]


def read_samples(path: Path) -> Samples:
    """Read a data set and divide it by time."""
    with np.load(path) as file:
        data = {name: file[name] for name in file.files}
    share, gap = data["share"], HORIZON_H / np.maximum(data["span_hours"], 1e-9)
    names = [str(name) for name in data["market_names"]]
    held_back = np.array([name.endswith("-val") for name in names])[data["market"]]
    drawn = data["generated"].astype(bool)
    recorded = ~drawn
    spans = data["spans"].astype("datetime64[s]").astype("datetime64[D]").astype(str)
    return Samples(
        x=data["x"],
        lost_step=data["lost_step"],
        n_known=data["n_known"],
        offering=data["offering"],
        market=data["market"],
        at=data["at"],
        fit=(share + gap < FIT_UNTIL) & ~held_back,
        tune=(share >= FIT_UNTIL) & (share + gap < TUNE_UNTIL) & ~held_back,
        validate=((share >= VALIDATE_FROM) & recorded) | held_back,
        offering_names=[str(name) for name in data["offering_names"]],
        market_names=names,
        generated=drawn,
        sources=json.loads(str(data["sources"])),
        days={n: (str(a), str(b)) for n, (a, b) in zip(names, spans, strict=True)},
    )
