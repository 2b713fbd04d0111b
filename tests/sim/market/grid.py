"""Counts on a grid, by numpy: a second way to look at them."""

import numpy as np


def on_grid(counts, start_at, step_s, n_steps):
    """Return the smallest number within each step of a grid: int64[n_steps]."""
    edges = start_at + step_s * np.arange(n_steps + 1)
    times, values = np.array(counts.times), np.array(counts.values, dtype=np.int64)
    held = values[np.maximum(np.searchsorted(times, edges, side="right") - 1, 0)]
    least = held[:-1]
    inside = (times >= edges[0]) & (times < edges[-1])
    cells = np.searchsorted(edges, times[inside], side="right") - 1
    np.minimum.at(least, cells, values[inside])
    return least
