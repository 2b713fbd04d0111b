"""Between what bounds each figure of a decision is turned.

Comes in: nothing. Goes out: bounds, one value a kind of figure. May not know a figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Between what bounds a figure is turned, and on what grid thresholds are given.

    A change counts in shares of the figure, or of `whole` where that is more: a node, or a flag, as
    much as ten points of a ratio; ten points as much as six minutes, which pass by themselves. A
    figure that only allows or forbids is turned towards allowing alone: what is of interest of a
    cap is that it binds.

    Attributes:
        low: the least value that is tried.
        high: the largest value that is tried.
        step: the grid on which thresholds are given.
        whole: the least figure that a change is a share of.
        rises: larger values are tried.
        falls: smaller values are tried.
    """

    low: float = 0.0
    high: float = 1.0
    step: float = 1e-4
    whole: float = 1.0
    rises: bool = True
    falls: bool = True


RATIO: Final = Bounds()
DISCOUNT: Final = Bounds(low=-1.0, high=0.99)
Q_VALUE: Final = Bounds(low=-1e3, high=1e3)
CAP: Final = Bounds(falls=False)
NODES_LEFT: Final = Bounds(high=1e4, step=1.0, whole=10.0, falls=False)
NODES_TAKEN: Final = Bounds(high=1e4, step=1.0, whole=10.0, rises=False)
PODS: Final = Bounds(low=-1.0, high=1e4, step=1.0, whole=10.0, rises=False)
AGE_S: Final = Bounds(high=7200.0, step=0.1, whole=10.0)
WAIT_S: Final = Bounds(high=86_400.0, step=1.0, whole=3600.0, falls=False)
CPU_MILLI: Final = Bounds(high=1e9, step=1.0, whole=40_000.0, falls=False)
MEMORY_MIB: Final = Bounds(high=1e9, step=1.0, whole=163_840.0, falls=False)
"""Ten nodes of 4 vCPU and 16 GiB are as much as ten nodes."""

FLAG: Final = Bounds(step=1.0, whole=10.0, falls=False)
