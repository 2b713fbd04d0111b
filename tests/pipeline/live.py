"""A small cluster in memory that a writer really changes, behind a view that may lag."""

from dataclasses import dataclass, field, replace

from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.observation import OwnPod
from spotvortex.core.drain.calls import (
    CreateAnchor,
    CreatePlaceholder,
    DeletePlaceholders,
    Done,
    EvictPod,
    Gone,
    MarkNode,
    Refused,
    ReleaseNode,
    UnmarkNode,
)
from spotvortex.core.drain.orders import from_text
from spotvortex.pipeline.drains.guard import GuardedActuator
from spotvortex.pipeline.drains.write_rate import WriteRate
from spotvortex.ports.writing import OwnWrite
from tests.core.builders import AT, capped, cluster, pool
from tests.pipeline.world import MemoryTelemetry, SetAuthority, StillCluster, now, pod


@dataclass(slots=True, kw_only=True)
class Live:
    """The API server's side: nodes, pods and pods of ours; `version` counts its writes."""

    facts: object = field(default_factory=lambda: cluster(pool()))
    pods: dict = field(default_factory=dict)
    version: int = 100
    receiver: str = "web-d7"
    log: list = field(default_factory=list)

    def __post_init__(self):
        for node in self.facts.nodes:
            self.pods.setdefault(node.name, {f"uid-{node.name}-a": pod(f"{node.name}-a")})
        self.change_nodes(lambda n: replace(n, resource_version=n.resource_version or "1"))

    def change_nodes(self, change):
        pools = tuple(replace(p, nodes=tuple(change(n) for n in p.nodes)) for p in self.facts.pools)
        self.facts = replace(self.facts, pools=pools)

    def change(self, uid, **values):
        self.version += 1
        values["resource_version"] = str(self.version)
        self.change_nodes(lambda n: replace(n, **values) if n.uid == uid else n)

    def own(self, *pods):
        self.facts = replace(self.facts, own_pods=(*self.facts.own_pods, *pods))

    def node(self, uid):
        return next(n for n in self.facts.nodes if n.uid == uid)


@dataclass(slots=True, kw_only=True)
class LiveWriter:
    """Carries calls out at once, and remembers what it wrote on nodes."""

    live: Live
    wrote: dict = field(default_factory=dict)

    async def apply(self, call, _until):
        self.live.log.append((now(), type(call).__name__))
        match call:
            case MarkNode() | UnmarkNode():
                return self.mark(call)
            case CreatePlaceholder() | CreateAnchor():
                self.live.own(self.pod(call))
            case EvictPod(uid=uid):
                for pods in self.live.pods.values():
                    pods.pop(uid, None)
            case DeletePlaceholders(for_uid=uid):
                kept = tuple(p for p in self.live.facts.own_pods if p.for_uid != uid)
                self.live.facts = replace(self.live.facts, own_pods=kept)
            case ReleaseNode(node=name):
                self.live.change_nodes(lambda n: replace(n, moving=n.moving or n.name == name))
        return Done()

    def mark(self, call):
        if not any(n.uid == call.uid for n in self.live.facts.nodes):
            return Gone()
        if isinstance(call, MarkNode):
            if call.resource_version != self.live.node(call.uid).resource_version:
                return Refused("conflict")
            self.live.change(call.uid, mark=call.order, cordoned=True)
        else:
            self.live.change(call.uid, mark="", cordoned=False)
        cordoned = isinstance(call, MarkNode)
        self.wrote[call.uid] = OwnWrite(
            resource_version=self.live.version,
            cordoned=cordoned,
            plan_id=call.plan_id if cordoned else "",
        )
        return Done()

    def pod(self, call):
        anchor = isinstance(call, CreateAnchor)
        return OwnPod(
            name=call.name,
            kind=PodKind.ANCHOR if anchor else PodKind.PLACEHOLDER,
            plan_id=call.plan_id,
            for_uid=call.node_uid if anchor else call.for_uid,
            node=call.node if anchor else self.live.receiver,
            ends_at=AT + now() + call.expires_s,
            order="" if anchor else call.order,
        )

    def own_write(self, uid, seen_version):
        own = self.wrote.get(uid)
        return own if own is not None and int(seen_version) < own.resource_version else None


@dataclass(slots=True)
class LiveView(StillCluster):
    """Shows the live cluster, or, while `lags`, what it was when that began."""

    live: Live = field(default_factory=Live)
    lags: bool = False

    def see(self):
        if not self.lags:
            self.facts = self.live.facts
            self.pods = {k: tuple(v.values()) for k, v in self.live.pods.items()}
        return self.facts

    def lag(self):
        self.see()
        self.lags = True

    def snapshot(self, _now):
        return self.see()

    def health(self, _now):
        return self.see().inputs

    def node(self, name):
        return next((n for n in self.see().nodes if n.name == name), None)

    def own_pods(self, for_uid):
        return tuple(p for p in self.see().own_pods if p.for_uid == for_uid)

    def pods_on(self, node):
        self.see()
        return self.pods[node]


class AtClock:
    """The time of day that goes with the loop's own."""

    def now(self):
        return AT + now()


def guarded(live=None, *, limits=None, per_s=100.0, burst=1000.0):
    """A guard before a live cluster in which nothing speaks against a write."""
    live = live or Live()
    return GuardedActuator(
        cluster=LiveView(live=live),
        writer=LiveWriter(live=live),
        authority=SetAuthority(),
        clock=AtClock(),
        telemetry=MemoryTelemetry(),
        limits=limits or capped(),
        rate=WriteRate(per_s=per_s, burst=burst),
    )


def plan_on(live, uid):
    """The plan whose journal is on a node, "" where there is none."""
    found = live.node(uid).mark
    return from_text(found).plan_id if found else ""
