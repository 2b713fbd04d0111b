"""One side of the world, real or simulated, as the tasks are given it.

Comes in: ports. Goes out: `Edges`. Declares only; may not import an edge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spotvortex.ports.cluster import ClusterView, WallClock
from spotvortex.ports.ledger import LedgerStore
from spotvortex.ports.market import Market
from spotvortex.ports.usage import UNMEASURED, Usage
from spotvortex.ports.writing import (
    Announcer,
    MemoryStore,
    Notices,
    NoticeTraffic,
    Recall,
    Writing,
)
from spotvortex.results.course import CoursePoint

Result = TypeVar("Result")


Offload = Callable[..., Awaitable[Result]]
"""Runs a blocking function: in a thread in the daemon, in place in the simulator."""

Background = Callable[[asyncio.Event], Awaitable[None]]
"""A coroutine function of an edge that runs until the event is set: watches, a world's steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What an edge has asked of its API server since start.

    Attributes:
        requests: requests, by verb.
        relists: lists made anew, by resource.
        skipped: objects that could not be read, by resource.
    """

    requests: Mapping[str, int]
    relists: Mapping[str, int]
    skipped: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """One side of the world: a cluster and its market, real or simulated.

    Attributes:
        name: what this is, in a few words.
        cluster: the view of the cluster.
        market: the prices.
        clock: the wall clock.
        offload: how a blocking function is run.
        background: what runs beside the tasks, by name.
        time_scale: seconds of the loop's clock that pass in a real one.
        traffic: counts what was asked of the API server, None where nothing is.
        notice_traffic: counts what came from the source of notices, None without a source.
        announcer: tells people at the objects, None where the mode, or the rights, leave nothing to
            say.
        writing: what the modes that write need, None where the mode, or the rights, leave nothing
            to write.
        kept: where the interruption memory is kept in the modes that write nothing else, None where
            it is kept with the rest, or not at all.
        ledger: where the savings ledger is kept, None where it is not.
        recall: what was remembered before, where it comes after the start.
        notices: the source of notices in the modes that write nothing, None without one.
        courses: how simulated clusters have fared so far, by name; none where nothing is simulated.
        warmed: waits until every source of prices has been asked once, but not for long; None where
            all are there at once.
        usage: what measures nodes and pods.
        leader_address: says where another replica that leads answers, "" where there is none.
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
    kept: MemoryStore | None = None
    ledger: LedgerStore | None = None
    recall: Recall | None = None
    notices: Notices | None = None
    courses: Mapping[str, Callable[[], CoursePoint]] = field(default_factory=dict)
    warmed: Callable[[], Awaitable[None]] | None = None
    usage: Usage = UNMEASURED
    leader_address: Callable[[], str] = str
