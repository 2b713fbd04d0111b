"""Starts the tasks, and stops them in order.

Comes in: the ports and the limits. Goes out: nothing but the end. One TaskGroup holds all tasks; a
task that ends before it was told to ends the process, and restarting must be safe at every line.
Stop: the collector stops observing, channels close downstream, the drain in hand is finished or
undone, then the background tasks of the edges end. What outlives the tasks (telemetry, server) is
closed by the composition root.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from spotvortex.core.decision.weights import WeightRules
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import Observation
from spotvortex.core.drain.messages import InHand
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.pipeline.assessor import Assessor
from spotvortex.pipeline.bounded_run import RUN_LIMIT_S, BoundedRun
from spotvortex.pipeline.challenge import Challenge
from spotvortex.pipeline.channels import Lane, Latest
from spotvortex.pipeline.collector import Collector
from spotvortex.pipeline.drains.actuators import Actuators
from spotvortex.pipeline.drains.drainer import Drainer, Order
from spotvortex.pipeline.health import Heartbeats, Readiness
from spotvortex.pipeline.router import Router
from spotvortex.pipeline.scorer import Scorer
from spotvortex.ports.edges import Edges
from spotvortex.ports.model import Challenger, Forecaster
from spotvortex.ports.null import (
    NullAuthority,
    NullMemoryStore,
    NullNotices,
    NullRecall,
    NullStateStore,
)
from spotvortex.ports.telemetry import Journal, Telemetry
from spotvortex.ports.writing import (
    Announcer,
    Authority,
    MemoryStore,
    Notices,
    Recall,
    StateStore,
)

LANE_CAPACITY = 1_000


class TaskEndedError(RuntimeError):
    """A task ended although nobody had told it to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All that the tasks need of the outside.

    Attributes:
        edges: the cluster, its market and the clock.
        forecaster: the model.
        hands: the actuator of each mode.
        journal: where decision records go.
        telemetry: where metrics and traces go.
        announcer: tells people at the objects what was done.
        store: where the interruption memory is saved.
        recall: what was remembered before, where it comes after the start.
        state: where the controller's state is saved.
        authority: tells whether the controller may write.
        notices: the source of notices.
        pool_rules: rules of pools that the settings state, by name.
        weights: how pairs of groups are steered.
        predictors: whoever says how likely a loss is, what decides included; they are judged.
    """

    edges: Edges
    forecaster: Forecaster
    hands: Actuators
    journal: Journal
    telemetry: Telemetry
    announcer: Announcer
    store: MemoryStore = field(default_factory=NullMemoryStore)
    recall: Recall = field(default_factory=NullRecall)
    state: StateStore = field(default_factory=NullStateStore)
    authority: Authority = field(default_factory=NullAuthority)
    notices: Notices = field(default_factory=NullNotices)
    pool_rules: Mapping[str, PoolRules] = field(default_factory=dict)
    weights: WeightRules = field(default_factory=WeightRules)
    predictors: Sequence[Challenger] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Boards:
    """What the server may look at."""

    status: Readiness
    heartbeats: Heartbeats


def make_boards(ports: Ports, limits: Limits, tick_s: float) -> Boards:
    """Make the boards that tasks write to and the server reads."""
    patience_s = max(60.0, 5.0 * tick_s)
    tasks = ("collector", "inference", "router", "drainer")
    return Boards(
        status=Readiness(cluster=ports.edges.cluster, max_input_age_s=limits.max_input_age_s),
        heartbeats=Heartbeats(dict.fromkeys(tasks, patience_s)),
    )


async def supervise(
    ports: Ports, views: Boards, limits: Limits, tick_s: float, stop: asyncio.Event
) -> None:
    """Run the daemon until `stop` is set, then stop in order.

    Raises:
        ExceptionGroup: a task failed, or ended before it was told to.
    """
    observations: Latest[Observation] = Latest("observations")
    assessments: Latest[Assessment] = Latest("assessments")
    lane: Lane[Order] = Lane("drains", LANE_CAPACITY)
    in_hand: Latest[InHand] = Latest("in-hand")
    losses: Latest[Observation] = Latest("losses")
    router, drainer = _acting(ports, views, limits, in_hand)
    collector = replace(_observing(ports, views, tick_s, in_hand), losses=losses)
    inference = _scoring(ports, views, limits)
    edges_stop = asyncio.Event()
    async with asyncio.TaskGroup() as edges:
        for name, background in ports.edges.background:
            edges.create_task(_guard(name, background(edges_stop), edges_stop), name=name)
        async with asyncio.TaskGroup() as road:
            for name, task in (
                ("collector", collector.run(observations, stop)),
                ("inference", inference.run(observations, assessments)),
                ("router", router.run(assessments, lane)),
                ("losses", router.run_losses(losses, lane)),
                ("drainer", drainer.run(lane, stop)),
            ):
                road.create_task(_guard(name, task, stop), name=name)
        edges_stop.set()


def _observing(ports: Ports, views: Boards, tick_s: float, in_hand: Latest[InHand]) -> Collector:
    return Collector(
        cluster=ports.edges.cluster,
        market=ports.edges.market,
        clock=ports.edges.clock,
        telemetry=ports.telemetry,
        heartbeats=views.heartbeats,
        tick_s=tick_s,
        authority=ports.authority,
        notices=ports.notices,
        in_hand=in_hand,
        usage=ports.edges.usage,
    )


def _scoring(ports: Ports, views: Boards, limits: Limits) -> Assessor:
    return Assessor(
        scorer=Scorer(
            forecaster=ports.forecaster, offload=ports.edges.offload, challenge=_challenge(ports)
        ),
        limits=limits,
        pool_rules=ports.pool_rules,
        store=ports.store,
        recall=ports.recall,
        telemetry=ports.telemetry,
        heartbeats=views.heartbeats,
    )


def _challenge(ports: Ports) -> Challenge | None:
    """Make what asks the predictors, each on a run of its own: it holds up no score."""
    if not ports.predictors:
        return None
    models = (
        BoundedRun(offload=ports.edges.offload, limit_s=RUN_LIMIT_S) for _ in ports.predictors
    )
    return Challenge(
        asked=tuple(zip(ports.predictors, models, strict=True)),
        decides=ports.forecaster.decides,
        telemetry=ports.telemetry,
    )


def _acting(
    ports: Ports, views: Boards, limits: Limits, in_hand: Latest[InHand]
) -> tuple[Router, Drainer]:
    router = Router(
        limits=limits,
        journal=ports.journal,
        status=views.status,
        telemetry=ports.telemetry,
        heartbeats=views.heartbeats,
        announcer=ports.announcer,
        store=ports.state,
        pool_rules=ports.pool_rules,
        weights=ports.weights,
    )
    drainer = Drainer(
        hands=ports.hands,
        announcer=ports.announcer,
        clock=ports.edges.clock,
        telemetry=ports.telemetry,
        heartbeats=views.heartbeats,
        in_hand=in_hand,
    )
    return router, drainer


async def _guard(name: str, task: Awaitable[None], stop: asyncio.Event) -> None:
    """Await a task that may end in order only after the stop."""
    await task
    if not stop.is_set():
        raise TaskEndedError(f"task {name} ended by itself")
