"""The price changes of one offering, and its history on a regular grid.

Comes in: changes, each with its time. Goes out: the price in force at an instant, and time-weighted
means of the time before. May not look beyond that instant: a later change does not exist yet.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from spotvortex.market.price_file import SpotChanges

STEP_S: Final = 600.0
MAX_POINTS: Final = 7 * 24 * 6 + 1
"""Seven days of steps, and the one before them, so that a change over seven days can be told."""


class PriceSeries:
    """The price changes of one offering, and its history at the grid step last asked for."""

    def __init__(self, changes: SpotChanges) -> None:
        """Take changes, of which there is at least one, in any order."""
        times, prices = np.array(changes.times), np.array(changes.prices)
        # Of records with the same time the dearest counts, whatever their order in the file.
        order = np.lexsort((prices, times))
        self.times, self.prices = times[order], prices[order]
        self._summed = np.r_[0.0, np.cumsum(self.prices[:-1] * np.diff(self.times))]
        self._first_step = math.ceil(float(self.times[0]) / STEP_S)
        self._step = self._first_step
        self._history: tuple[float, ...] = ()

    def index_at(self, now: float) -> int:
        """Return the index of the price in force, -1 before the first record."""
        return int(np.searchsorted(self.times, now, side="right")) - 1

    def history(self, now: float) -> tuple[float, ...]:
        """Return means over the steps that ended by now, oldest first, in USD per hour."""
        step = math.floor(now / STEP_S)
        if step < self._step:
            self._step, self._history = self._first_step, ()
        if step > self._step:
            n_new = min(step - self._step, MAX_POINTS)
            fresh = self._means(step - n_new, step)
            self._history = (*self._history, *fresh)[-MAX_POINTS:]
            self._step = step
        return self._history

    def _means(self, first: int, last: int) -> list[float]:
        """Return time-weighted means of the steps first..last-1, the price held between records."""
        edges = np.arange(first, last + 1) * STEP_S
        at = np.searchsorted(self.times, edges, side="right") - 1
        paid = self._summed[at] + self.prices[at] * (edges - self.times[at])
        means: list[float] = (np.diff(paid) / STEP_S).tolist()
        return means
