"""An order, views of the node that it is to move, and a calm node that does as it is told."""

from dataclasses import dataclass, field, replace

from spotvortex.core.domain.types import CapacityType, Mode, Offering
from spotvortex.core.drain.answers import MAX_WAIT_S, advance
from spotvortex.core.drain.calls import (
    CreateAnchor,
    CreatePlaceholder,
    CreateRoom,
    DeletePlaceholders,
    Done,
    EvictPod,
    MarkNode,
    PodView,
    ReleaseNode,
    UnmarkNode,
)
from spotvortex.core.drain.keeping import KeepNode
from spotvortex.core.drain.machine import Do, Finish, Wait, next_step
from spotvortex.core.drain.messages import DrainOrder, OrderKind
from spotvortex.core.drain.progress import begin, proceed
from spotvortex.core.drain.views import NodeView, Receiver
from tests.core.builders import AT

ORDER = DrainOrder(
    plan_id="p1",
    pool="web",
    node="n1",
    uid="0123456789",
    claim="claim-1",
    sides=("web",),
    to=CapacityType.ON_DEMAND,
    reason="DECREASE_10 medium_risk",
    deadline=AT + 600.0,
    mode=Mode.ACTIVE,
)
LOSS = replace(
    ORDER,
    kind=OrderKind.INTERRUPTION,
    to=CapacityType.UNKNOWN,
    avoid=(Offering(instance_type="m6i.large", zone="us-east-1a"),),
    reason="notice interruption",
    deadline=AT + 120.0,
)


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


def view(*pods, **changes):
    values = {
        "node": "n1",
        "uid": ORDER.uid,
        "present": True,
        "cordoned": False,
        "pods": pods,
        "bound": 0,
    }
    return NodeView(**(values | changes))


def receiver(name="r1", until=0.0, *, kept=False):
    return Receiver(node=name, uid=f"uid-{name}", anchored_until=until, kept=kept)


@dataclass(slots=True)
class Script:
    """A calm node; `answers` overrides by type of call, once each, `seen` what is looked at.

    Its provisioner takes it away once it is released, unless `takes` is false.

    An answer that is a tuple is that answer although the call was carried out.
    """

    pods: list
    answers: dict = field(default_factory=dict)
    binds: bool = True
    pods_end: bool = True
    cordoned: bool = False
    marked: bool = False
    room: dict = field(default_factory=dict)
    anchors: dict = field(default_factory=dict)
    kept: set = field(default_factory=set)
    takes: bool = True
    leaving: bool = False
    seen: dict = field(default_factory=dict)
    calls: list = field(default_factory=list)
    at: list = field(default_factory=list)

    def look(self):
        bound = sum(self.room.values())
        values = {
            "cordoned": self.cordoned,
            "marked": self.marked,
            "bound": bound,
            "n_room": len(self.room),
            "leaving": self.leaving,
            "receivers": (self.receiver(),) if bound else (),
        }
        return view(*self.pods, **(values | self.seen))

    def receiver(self):
        return receiver(until=self.anchors.get("uid-r1", 0.0), kept="uid-r1" in self.kept)

    def answer(self, call, now=AT):
        self.calls.append(call)
        self.at.append(now)
        given = self.answers.get(type(call), Done())
        if isinstance(given, list):
            given = given.pop(0) if given else Done()
        else:
            self.answers.pop(type(call), None)
        carried_out = isinstance(given, Done | tuple)
        if carried_out:
            self.carry_out(call, now)
        return given[0] if isinstance(given, tuple) else given

    def carry_out(self, call, now):
        if isinstance(call, CreatePlaceholder | CreateRoom):
            uids = call.pod_uids if isinstance(call, CreateRoom) else [call.pod_uid]
            self.room |= dict.fromkeys(uids, self.binds)
            return
        if isinstance(call, KeepNode):
            self.kept.add(call.uid)
            return
        match call:
            case CreateAnchor(node_uid=uid, expires_s=seconds):
                self.anchors[uid] = now + seconds
            case MarkNode() | UnmarkNode():
                self.cordoned = self.marked = isinstance(call, MarkNode)
            case EvictPod(uid=uid) if self.pods_end:
                self.pods = [p for p in self.pods if p.uid != uid]
            case DeletePlaceholders():
                self.room = {}
            case ReleaseNode():
                self.leaving = self.takes

    def kinds(self):
        return [type(c).__name__ for c in self.calls]

    def evicted(self):
        return [c.name for c in self.calls if isinstance(c, EvictPod)]


def run(script, order=ORDER, *, at=AT, progress=None, steps=20_000):
    """Drive an order as the drainer does; returns its end, the reason, the time and the progress.

    The end is None where `steps` were not enough.
    """
    progress, now = progress or begin(order, script.look()), at
    for _ in range(steps):
        seen = script.look()
        progress = proceed(order, progress, seen, now)
        match next_step(order, progress, seen, now):
            case Do(call=call):
                progress = advance(progress, call, script.answer(call, now), now)
                now += 0.05
            case Wait(seconds=seconds):
                assert 0.0 < seconds <= MAX_WAIT_S
                now += seconds
            case Finish(end=end, reason=reason):
                return end, reason, now, progress
    return None, "", now, progress
