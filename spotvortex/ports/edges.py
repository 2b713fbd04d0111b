"""One side of the world, real or simulated, as the tasks are given it.

Comes in: ports. Goes out: `Edges`. Declares only; may not import an edge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spotvortex.ports.cluster import ClusterView, WallClock
from spotvortex.ports.market import Market
from spotvortex.ports.writing import Announcer, NoticeTraffic, Writing

Result = TypeVar("Result")


Offload = Callable[..., Awaitable[Result]]
"""Runs a blocking function: in a thread in the daemon, in place in the simulator."""

Background = Callable[[asyncio.Event], Awaitable[None]]
"""A coroutine function of an edge that runs until the event is set: watches, a world's steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What an edge has asked of its API server since start.

    `requests` are counted by verb; `relists` and `skipped`, the objects that could not be read, by
    resource.
    """

    requests: Mapping[str, int]
    relists: Mapping[str, int]
    skipped: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """One side of the world: a cluster and its market, real or simulated.

    `background` runs beside the tasks, by name. `time_scale` is how many seconds of the loop's
    clock pass in a real one; `name` says in a few words what this is. `announcer` and `writing` are
    None where the mode, or our rights, leave nothing to say or to write.
    """

    name: str
    cluster: ClusterView
    market: Market
    clock: WallClock
    offload: Offload[NDArray[np.float32]]
    background: Sequence[tuple[str, Background]] = ()
    time_scale: float = 1.0
    traffic: Callable[[], Traffic] | None = None
    notice_traffic: Callable[[], NoticeTraffic] | None = None
    announcer: Announcer | None = None
    writing: Writing | None = None
