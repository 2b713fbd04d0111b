"""Whatever a node and its server do, and wherever we crash, a drain is safe, ends and leaves
nothing behind."""

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.types import HARD_BLOCKERS, Blocker
from spotvortex.core.drain.answers import MAX_WAIT_S, advance
from spotvortex.core.drain.calls import (
    Again,
    BlockedByBudget,
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
from spotvortex.core.drain.machine import Do, Finish, Wait, next_step
from spotvortex.core.drain.messages import DrainEnd, OrderKind
from spotvortex.core.drain.progress import AFTER_LOSS_S, OVERDUE, begin, proceed
from spotvortex.core.drain.views import Halt
from tests.core.builders import AT
from tests.core.drain.drains import LOSS, ORDER, pod, receiver, view
from tests.examples import examples

ANSWERS = [Done(), Done(), Done(), Done(), Gone(), Refused("no"), Again("busy"), Again("busy", 3.0)]
EVICTION_ANSWERS = [*ANSWERS, *(BlockedByBudget(s) for s in (2.0, 0.0, math.inf))]
NEVER = math.inf


class Wild:
    """A node that answers, changes and vanishes as hypothesis likes, and checks every request.

    It outlives a crash of ours: what is in the cluster is here, what is in our hands is not.
    """

    def __init__(self, draw):
        self.draw = draw
        self.order = self.pick(ORDER, ORDER, LOSS)
        self.planned = self.order.kind is OrderKind.DRAIN
        self.pods = {f"uid-{i}": self.new_pod(f"{i}") for i in range(draw(st.integers(0, 4)))}
        self.gone_at = self.pick(NEVER, NEVER, AT + 5.0, AT + 300.0)
        self.meddled_at = self.pick(NEVER, NEVER, AT + 4.0, AT + 200.0)
        self.loses_at = self.pick(NEVER, NEVER, AT + 1.0, AT + 20.0)
        self.comes_at = self.pick(NEVER, AT + 0.05, AT + 3.0, AT + 100.0)
        self.halted_at = self.pick(NEVER, NEVER, NEVER, AT + 2.0, AT + 70.0)
        self.halt = self.pick(Halt.UNDO, Halt.DROP)
        self.bind_s = self.pick(0.0, 40.0, 9e9)
        self.lags = draw(st.booleans())
        self.ends_at, self.room, self.names = {}, {}, {}
        self.marked = self.cordoned = self.anchored = self.has_anchor = False
        self.had_room, self.told, self.denied, self.refused = set(), set(), set(), set()

    def pick(self, *choices):
        return self.draw(st.sampled_from(choices))

    def new_pod(self, name):
        blockers = self.pick((), (), (), (Blocker.VOLUME,), (Blocker.BARE_POD,))
        stays, grace_s = self.pick(*[False] * 4, True), self.pick(0.0, 30.0, 900.0)
        return pod(name, uid=f"uid-{name}", stays=stays, grace_s=grace_s, blockers=blockers)

    def movers(self):
        return {uid for uid, p in self.pods.items() if not p.stays}

    def bound(self, now):
        return {uid for uid, at in self.room.items() if at <= now}

    def look(self, now):
        self.pods = {u: p for u, p in self.pods.items() if self.ends_at.get(u, NEVER) > now}
        if now >= self.meddled_at:
            self.cordoned, self.meddled_at = not self.cordoned, NEVER
        if now >= self.comes_at:
            # No scheduler puts a pod on a cordoned node.
            if not self.cordoned:
                self.pods["uid-late"] = self.new_pod("late")
            self.comes_at = NEVER
        if now >= self.loses_at and self.room:
            # Somebody deletes a placeholder of ours.
            del self.room[self.pick(*sorted(self.room))]
            self.loses_at = NEVER
        self.present = now < self.gone_at
        pods = tuple(
            replace(p, terminating=u in self.ends_at and not self.lags)
            for u, p in sorted(self.pods.items())
        )
        n_bound, until = len(self.bound(now)), AT + 9e4 if self.has_anchor else 0.0
        return view(
            *(pods if self.present else ()),
            present=self.present,
            cordoned=self.present and self.cordoned,
            marked=self.present and self.marked,
            bound=n_bound,
            n_room=len(self.room),
            receivers=(receiver(until=until),) if n_bound else (),
            halt=self.halt if now >= self.halted_at else Halt.NONE,
        )

    def answer(self, call, now):
        self.check(call, now)
        found = self.pick(*(EVICTION_ANSWERS if isinstance(call, EvictPod) else ANSWERS))
        # An answer that was lost on its way looks like a server that was busy.
        if isinstance(found, Done) or (isinstance(found, Again) and self.draw(st.booleans())):
            self.carry_out(call, now)
        if isinstance(found, Refused):
            self.refused.add(type(call))
        if isinstance(found, Gone):
            self.vanish(call, now)
        if isinstance(call, EvictPod) and not isinstance(found, Again | BlockedByBudget):
            (self.denied if isinstance(found, Refused) else self.told).add(call.uid)
        return found

    def check(self, call, now):
        match call:
            case CreatePlaceholder(pod_uid=uid, name=name):
                assert self.names.setdefault(uid, name) == name
            case MarkNode() if self.planned:
                assert self.movers() <= self.bound(now)
                assert self.anchored or not self.room
            case EvictPod():
                self.check_eviction(call, now)

    def check_eviction(self, call, now):
        assert self.present
        assert self.marked
        assert not self.pods[call.uid].stays
        assert call.uid not in self.told | self.denied
        if not self.planned:
            return
        assert not HARD_BLOCKERS.intersection(self.pods[call.uid].blockers)
        if not self.had_room:
            assert self.movers() <= self.bound(now)
            self.had_room = self.movers()
        assert call.uid in self.had_room

    def vanish(self, call, now):
        """What the answer says is gone is gone; a placeholder that cannot be is never bound."""
        match call:
            case EvictPod(uid=uid):
                self.pods.pop(uid, None)
            case MarkNode() | UnmarkNode() | ReleaseNode():
                self.gone_at = now
            case CreatePlaceholder(pod_uid=uid):
                self.room.setdefault(uid, NEVER)
            case CreateAnchor():
                self.anchored = True
            case DeletePlaceholders():
                self.room = {}

    def carry_out(self, call, now):
        match call:
            case CreatePlaceholder(pod_uid=uid):
                self.room.setdefault(uid, now + self.bind_s)
            case CreateAnchor():
                self.anchored = self.has_anchor = True
            case MarkNode():
                self.marked = self.cordoned = True
            case UnmarkNode() if self.marked:
                self.marked = self.cordoned = False
                self.had_room = set()
            case EvictPod(uid=uid):
                self.evict(uid, now)
            case ReleaseNode():
                self.gone_at = now + self.pick(0.0, 60.0)
            case DeletePlaceholders():
                self.room = {}

    def evict(self, uid, now):
        """A pod ends when it likes; its successor takes the room, or does not come."""
        self.ends_at.setdefault(uid, now + self.pick(0.0, 30.0, 9e9))
        if self.draw(st.booleans()):
            self.room.pop(uid, None)

    def crash(self):
        """Our memory is lost; whether the cluster still shows the order."""
        self.denied = set()
        if self.lags:
            self.told = set()
        return self.marked or bool(self.room)


def drive(wild, stop_at, crashes):
    """Drive an order to its end; the end is None where nothing is left of it after a crash."""
    progress, now = begin(wild.order, wild.look(AT)), AT
    for n_steps in range(5_000):
        if n_steps in crashes:
            if not wild.crash():
                return None, now
            progress = begin(wild.order, wild.look(now))
        seen = wild.look(now)
        order = replace(wild.order, deadline=OVERDUE) if now >= stop_at else wild.order
        progress = proceed(order, progress, seen, now)
        match next_step(order, progress, seen, now):
            case Do(call=call):
                progress = advance(progress, call, wild.answer(call, now), now)
                now += 0.05
            case Wait(seconds=seconds):
                assert 0.0 < seconds <= MAX_WAIT_S
                now += seconds
            case Finish(end=end):
                return end, now
    raise AssertionError("the order does not end")


@examples(300)
@given(
    st.data(),
    st.sampled_from([NEVER, NEVER, AT + 1.0, AT + 60.0]),
    st.one_of(st.just(set()), st.sets(st.integers(1, 40), max_size=3)),
)
def test_whatever_happens_the_order_is_safe_and_ends_and_leaves_nothing(data, stop_at, crashes):
    wild = Wild(data.draw)
    end, now = drive(wild, stop_at, crashes)
    assert now <= wild.order.deadline + AFTER_LOSS_S + 300.0
    if end is DrainEnd.HANDED_OVER:
        assert now >= wild.halted_at
        return
    gone = now >= wild.gone_at
    if wild.marked and UnmarkNode not in wild.refused:
        assert end is DrainEnd.DONE or gone
    assert wild.room == {} or wild.refused & {DeletePlaceholders, UnmarkNode}
    if end is DrainEnd.DONE:
        assert gone or not wild.movers()
