"""Ports in memory: a cluster, a market and a model that stand still unless a test moves them."""

import asyncio
import math
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from spotvortex.core.decision.messages import ControllerState
from spotvortex.core.domain.cloud.instance_types import Scope
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.domain.observation import ClusterFacts, Observation, WriteAuthority
from spotvortex.core.domain.types import Predictor
from spotvortex.core.drain.calls import PodView
from spotvortex.core.drain.messages import DrainResult
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.scoring.features import build_matrix
from spotvortex.errors import ModelContractError
from spotvortex.pipeline.drains.actuators import Actuators, RecordingActuator
from spotvortex.pipeline.supervisor import Ports, make_boards, supervise
from spotvortex.ports.edges import Edges
from spotvortex.ports.null import NullAuthority, NullNotices, NullStateStore
from spotvortex.sim.runtime.virtual_loop import SimClock, VirtualLoop, offload_inline
from tests.core.builders import AT, capped, cluster, quote

TICK_S = 30.0


def run(main, *args):
    """Run a coroutine function in virtual time and return what it returns."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main(*args))


def now():
    return asyncio.get_running_loop().time()


def spend(seconds):
    """Let virtual time pass while the loop is held up."""
    loop = asyncio.get_running_loop()
    loop._virtual.now += seconds


def pod(name, **changes):
    values = {
        "namespace": "shop",
        "name": name,
        "uid": f"uid-{name}",
        "cpu_milli": 100,
        "memory_bytes": 1 << 20,
        "grace_s": 30.0,
        "stays": False,
    }
    return PodView(**(values | changes))


@dataclass(slots=True)
class StillCluster:
    """Shows the same facts each time; `held_up_s` says how long the nth snapshot takes."""

    facts: ClusterFacts = field(default_factory=cluster)
    pods: dict = field(default_factory=dict)
    sync_s: float = 0.0
    held_up_s: dict = field(default_factory=dict)
    n_snapshots: int = 0
    refreshed: list = field(default_factory=list)

    async def synced(self):
        await asyncio.sleep(self.sync_s)

    def snapshot(self, _now):
        self.n_snapshots += 1
        spend(self.held_up_s.get(self.n_snapshots, 0.0))
        return self.facts

    def health(self, _now):
        return self.facts.inputs

    def node(self, name):
        nodes = (n for p in self.facts.pools for n in p.nodes)
        return next((n for n in nodes if n.name == name), None)

    def pods_on(self, node):
        return self.pods.get(node, (pod(f"{node}-a"), pod(f"{node}-b")))

    def own_pods(self, for_uid):
        return tuple(p for p in self.facts.own_pods if p.for_uid == for_uid)

    async def refresh(self, node):
        self.refreshed.append(node)


class StillMarket:
    """One price for everything."""

    def facts(self, offerings, _now):
        return MarketFacts(quotes={o: quote(o) for o in offerings})


@dataclass(slots=True)
class FlatForecaster:
    """Gives every row the same scores, or fails."""

    capacity: float = 0.02
    runtime: float = 0.03
    fails: bool = False
    digest: str = "digest"
    scope: Scope = field(default_factory=lambda: Scope(("m6i",)))
    asked: list = field(default_factory=list)

    has_policy: bool = False
    decides: Predictor = Predictor.GRAPH

    def tensor(self, contexts, _at):
        return build_matrix(("hours_since_loss", "price_ratio"), contexts)

    def in_range(self, tensor):
        return (tensor <= np.float32([1e6, 0.3])).all(axis=1)

    def q_values(self, _states):
        raise ModelContractError("there is no policy network")

    def score(self, features):
        self.asked.append(features)
        if self.fails:
            raise ModelContractError("the graph cannot be run")
        row = [self.capacity, self.runtime]
        return np.asarray([row] * len(features), dtype=np.float32).reshape(len(features), 2)


@dataclass(slots=True)
class MemorySpan:
    """Keeps its events."""

    name: str
    parent: str
    attributes: dict = field(default_factory=dict)
    events: list = field(default_factory=list)

    @property
    def traceparent(self):
        return f"trace-of-{self.name}"

    def describe(self, attributes):
        self.attributes |= attributes

    def event(self, name, attributes):
        self.events.append((name, dict(attributes)))


@dataclass(slots=True)
class MemoryTelemetry:
    """Keeps what it is told, each with its virtual second."""

    told: list = field(default_factory=list)
    spans: list = field(default_factory=list)

    @contextmanager
    def span(self, name, parent="", attributes=None):
        made = MemorySpan(name, parent, dict(attributes or {}))
        self.spans.append(made)
        yield made

    def decided(self, span, decision):
        span.describe({"spotvortex.pool": decision.pool})

    def seen(self, message):
        match message:
            case Observation(cycle=cycle, seconds=seconds):
                self.told.append((now(), "observed", cycle, seconds))
            case Assessment(observation=observation):
                self.told.append((now(), "assessed", observation.cycle))
            case DrainResult():
                self.told.append((now(), "drained", message))

    async def planned(self, plan, seconds):
        self.told.append((now(), "planned", plan.cycle, seconds))

    def count(self, series, *labels, n=1):
        assert len(labels) == len(series.labels)
        self.told += [(now(), series.name, *labels)] * n

    def measure(self, series, value, *labels):
        assert len(labels) == len(series.labels)
        self.told.append((now(), series.name, *labels, value))

    def of(self, kind):
        return [(entry[0], *entry[2:]) for entry in self.told if entry[1] == kind]


@dataclass(slots=True)
class MemoryAnnouncer:
    """Keeps what it says."""

    said: list = field(default_factory=list)

    def say(self, node, uid, reason, text, *, warning=False):
        assert uid == f"uid-{node}"
        self.said.append((node, reason, text, warning))

    def warn_of_group(self, group, uid, reason, text):
        assert uid == f"uid-{group}"
        self.said.append((group, reason, text, True))


@dataclass(slots=True)
class MemoryState:
    """Keeps the state in order with whatever else is noted; fails to save when told."""

    state: ControllerState = field(default_factory=ControllerState)
    fails: bool = False
    noted: list = field(default_factory=list)

    async def load(self):
        self.noted.append("load")
        return self.state

    async def save(self, state):
        self.noted.append("save")
        if not self.fails:
            self.state = state
        return not self.fails


@dataclass(slots=True)
class SetAuthority:
    """Says what it is set to."""

    now: WriteAuthority = field(default_factory=lambda: WriteAuthority(leader=True))

    def standing(self):
        return self.now

    def writes_until(self):
        return math.inf if self.now.leader else -math.inf


@dataclass(slots=True)
class MemoryNotices:
    """Notices that a test brings at a second of its own."""

    found: list = field(default_factory=list)
    settled: set = field(default_factory=set)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    inputs: tuple = ()
    evidence_only: bool = False

    def bring(self, *notices):
        self.found += notices
        self.came.set()

    def pending(self, _now):
        return tuple(n for n in self.found if n.id not in self.settled)

    def settle(self, ids):
        self.settled |= set(ids)

    async def arrived(self):
        await self.came.wait()
        self.came.clear()

    def health(self, _now):
        return self.inputs


@dataclass(slots=True)
class MemoryJournal:
    """Keeps every plan."""

    plans: list = field(default_factory=list)

    async def append(self, plan):
        self.plans.append(plan)


@dataclass(slots=True)
class Scene:
    """All ports of one daemon, and the daemon itself."""

    cluster: StillCluster = field(default_factory=StillCluster)
    forecaster: FlatForecaster = field(default_factory=FlatForecaster)
    telemetry: MemoryTelemetry = field(default_factory=MemoryTelemetry)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    limits: Limits = field(default_factory=capped)
    actuator: object = None
    announcer: MemoryAnnouncer = field(default_factory=MemoryAnnouncer)
    background: list = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    views: object = None
    writing: object = None
    authority: object = field(default_factory=NullAuthority)
    state: object = field(default_factory=NullStateStore)
    notices: object = field(default_factory=NullNotices)
    offload: object = offload_inline

    def clock(self):
        return SimClock(AT, asyncio.get_running_loop())

    def ports(self):
        self.actuator = self.actuator or RecordingActuator(
            cluster=self.cluster, telemetry=self.telemetry
        )
        edges = Edges(
            name="still",
            cluster=self.cluster,
            market=StillMarket(),
            clock=self.clock(),
            offload=self.offload,
            background=self.background,
        )
        return Ports(
            edges=edges,
            forecaster=self.forecaster,
            hands=Actuators(recording=self.actuator, writing=self.writing or self.actuator),
            authority=self.authority,
            state=self.state,
            notices=self.notices,
            announcer=self.announcer,
            journal=self.journal,
            telemetry=self.telemetry,
        )

    async def daemon(self):
        """Run until told to stop."""
        ports = self.ports()
        self.views = make_boards(ports, self.limits, TICK_S)
        await supervise(ports, self.views, self.limits, TICK_S, self.stop)

    async def daemon_for(self, seconds):
        """Run for so many virtual seconds, then stop; returns the second at which all is done."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.daemon())
            await asyncio.sleep(seconds)
            self.stop.set()
        return now()
