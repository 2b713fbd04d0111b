"""What the tasks ask of the outside, as protocols.

Comes in and goes out: core values only. The daemon gives edges that speak to a cluster and a
market, the simulator gives its world; the tasks cannot tell which. May not import an edge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.decision.messages import Plan
from spotvortex.core.domain.instance_types import Scope
from spotvortex.core.domain.observation import (
    ClusterFacts,
    InputHealth,
    MarketFacts,
    NodeFact,
    Observation,
    OwnPod,
)
from spotvortex.core.domain.types import Offering
from spotvortex.core.drain.calls import Answer, Call, NodeView, PodView
from spotvortex.core.drain.messages import DrainOrder, DrainResult
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.pool.eviction import PodStanding
from spotvortex.core.scoring.features import OfferingContext
from spotvortex.ports_writing import Announcer, Writing

Result = TypeVar("Result")

AttributeValue = str | int | float | bool


class WallClock(Protocol):
    """The time of day."""

    def now(self) -> float:
        """Return seconds since the epoch, UTC."""
        ...


class ClusterView(Protocol):
    """The cluster as kept up to date by watches, or by the simulator."""

    async def synced(self) -> None:
        """Wait until every required resource has been listed once."""
        ...

    def snapshot(self, now: float) -> ClusterFacts:
        """Return the cluster at this instant; unchanged parts are the same objects as before."""
        ...

    def health(self, now: float) -> tuple[InputHealth, ...]:
        """Return the state and age of each watched resource, at no cost."""
        ...

    def node(self, name: str) -> NodeFact | None:
        """Return one node as it is now, None where there is none of that name."""
        ...

    def pods_on(self, node: str) -> tuple[PodView, ...]:
        """Return the pods bound to a node, sorted by namespace and name."""
        ...

    def standings_on(self, node: str) -> tuple[PodStanding, ...]:
        """Return the same pods with all that stands against moving them."""
        ...

    def own_pods(self, for_uid: str) -> tuple[OwnPod, ...]:
        """Return the pods of ours that are about one node, sorted by name."""
        ...

    async def refresh(self, node: str) -> None:
        """Read one node, its pods and their budgets anew, so that the view is no older than this.

        Raises:
            ApiError: the server did not answer.
        """
        ...


class Market(Protocol):
    """Prices."""

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return a quote for every offering asked for; an unknown price is None, never a guess."""
        ...


class Forecaster(Protocol):
    """A model bundle that has passed its checks."""

    @property
    def digest(self) -> str:
        """A digest of the manifest, and so of every file of the bundle."""
        ...

    @property
    def scope(self) -> Scope:
        """The instance families that the bundle was made for."""
        ...

    @property
    def has_policy(self) -> bool:
        """Whether the bundle has a policy network."""
        ...

    def tensor(self, contexts: Sequence[OfferingContext], at: float) -> NDArray[np.float32]:
        """Build the model's input.

        Args:
            contexts: one entry an offering.
            at: now, seconds since the epoch.

        Returns:
            `float32[n, n_features]` (v2 contract) or `float32[n, 12, 10]` (v1); NaN where a value
            is unknown.
        """
        ...

    def in_range(self, tensor: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return `bool[n]`: which rows of a tensor lie where the model was made for."""
        ...

    def score(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score a tensor; blocking, so called through `offload`.

        Returns:
            `float32[n, 2]`: capacity_score and runtime_score; NaN where the model abstains.

        Raises:
            ModelContractError: the model could not be run.
        """
        ...

    def q_values(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        """Value every action in some states; blocking, so called through `offload`.

        Args:
            states: `float32[n, 13]`, see `core.decision.learned_policy.state_vector`.

        Returns:
            `float32[n, 6]` in the order of `Action`.

        Raises:
            ModelContractError: there is no policy network, or it could not be run.
        """
        ...


class ClusterActuator(Protocol):
    """The only hand that reaches into a cluster; in shadow mode it writes down what it would do."""

    async def apply(self, call: Call) -> Answer:
        """Carry out one request and return the cluster's answer."""
        ...

    async def look(self, order: DrainOrder) -> NodeView:
        """Return the node of an order with its pods, as this actuator's own writes left it."""
        ...

    async def refresh(self, order: DrainOrder) -> None:
        """Have the next look show nothing older than now, where that can be had."""
        ...

    def forget(self, order: DrainOrder) -> None:
        """Take note that an order has ended."""
        ...


class Journal(Protocol):
    """Where decision records go."""

    async def append(self, plan: Plan) -> None:
        """Keep the decisions of a plan that changed, acted, or are due for their hourly record.

        Yields to the loop now and then: a plan may have hundreds of decisions.
        """
        ...


class Span(Protocol):
    """One span of the cycle's trace."""

    @property
    def traceparent(self) -> str:
        """The W3C trace context to hand on, "" where tracing is off."""
        ...

    def event(self, name: str, attributes: Mapping[str, AttributeValue]) -> None:
        """Add an event."""
        ...


class Telemetry(Protocol):
    """Metrics and traces, in the words of the road; names of series are the other side's matter."""

    def span(
        self, name: str, parent: str = "", attributes: Mapping[str, AttributeValue] | None = None
    ) -> AbstractContextManager[Span]:
        """Open a span below a traceparent, or a new trace where it is empty."""
        ...

    def observed(self, observation: Observation) -> None:
        """Take note of an observation."""
        ...

    def assessed(self, assessment: Assessment) -> None:
        """Take note of scores."""
        ...

    async def planned(self, plan: Plan, seconds: float) -> None:
        """Take note of a plan and of how long its whole cycle took.

        Yields to the loop now and then: a plan may have hundreds of decisions.
        """
        ...

    def drained(self, result: DrainResult) -> None:
        """Take note of a drain's end."""
        ...

    def would_call(self, call: Call) -> None:
        """Take note of a request that shadow mode recorded instead of sending it."""
        ...

    def called(self, call: Call, answer: Answer) -> None:
        """Take note of a request that was sent, or kept back by a guard, and of its answer."""
        ...

    def stalled(self, seconds: float) -> None:
        """Take note of how late the loop was at one moment."""
        ...

    def replaced(self, channel: str, n: int) -> None:
        """Take note of messages that a newer one replaced unread."""
        ...


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
class NoticeTraffic:
    """What came from a source of notices since start.

    `received`, `redelivered`, `duplicates`, `expired`, `left` and `deleted` count messages:
    `redelivered` are those still held that came once more, `duplicates` brought nothing new,
    `expired` counted no longer when they came or before they were settled, `left` were not taken
    for want of room. `notices` counts new notices by kind, `settled` those that were settled,
    `rejects` messages without a notice by reason, `errors` failed requests by kind.
    """

    received: int = 0
    redelivered: int = 0
    duplicates: int = 0
    expired: int = 0
    left: int = 0
    deleted: int = 0
    settled: int = 0
    notices: Mapping[str, int] = field(default_factory=dict)
    rejects: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)


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
