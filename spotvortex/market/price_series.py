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
        self._last_at, self._last_price = float(self.times[-1]), float(self.prices[-1])
        self._first_step = math.ceil(float(self.times[0]) / STEP_S)
        self._step = self._first_step
        self._history: tuple[float, ...] = ()

    def index_at(self, now: float) -> int:
        """Return the index of the price in force, -1 before the first record."""
        if now >= self._last_at:
            return len(self.times) - 1
        return int(np.searchsorted(self.times, now, side="right")) - 1

    def history(self, now: float) -> tuple[float, ...]:
        """Return means over the steps that ended by now, oldest first, in USD per hour."""
        step = math.floor(now / STEP_S)
        if step < self._step:
            self._step, self._history = self._first_step, ()
        if step > self._step:
            n_new = min(step - self._step, MAX_POINTS)
            fresh = self._means(step - n_new, step)
            self._history = (*self._history, *_shared(fresh, self._history))[-MAX_POINTS:]
            self._step = step
        return self._history

    def _means(self, first: int, last: int) -> list[float]:
        """Return time-weighted means of the steps first..last-1, the price held between records."""
        if self._last_at <= first * STEP_S:
            return [self._last_price] * (last - first)
        edges = np.arange(first, last + 1) * STEP_S
        at = np.searchsorted(self.times, edges, side="right") - 1
        paid = self._summed[at] + self.prices[at] * (edges - self.times[at])
        # A step in which nothing changed has that very price, to the last bit.
        steady = np.where(at[1:] == at[:-1], self.prices[at[:-1]], np.diff(paid) / STEP_S)
        means: list[float] = steady.tolist()
        return means


def _shared(fresh: list[float], before: tuple[float, ...]) -> list[float]:
    """Let equal neighbours be one number in memory: of a week's 1,009 points some fifty differ."""
    last = before[-1] if before else math.nan
    return [last := (last if value == last else value) for value in fresh]
