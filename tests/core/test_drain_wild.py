"""Whatever a node does, its drain is safe, ends, and leaves nothing behind."""

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from spotvortex.core.calls import (
    BlockedByBudget,
    CreatePlaceholder,
    DeleteNodeClaim,
    DeletePlaceholders,
    Done,
    EvictPod,
    Gone,
    MarkNode,
    Refused,
    UnmarkNode,
)
from spotvortex.core.drain import (
    MAX_WAIT_S,
    Do,
    Finish,
    Wait,
    advance,
    begin,
    next_step,
    proceed,
)
from spotvortex.core.messages import DrainEnd
from spotvortex.core.types import HARD_BLOCKERS, Blocker
from tests.core import odd
from tests.core.builders import AT
from tests.core.drains import ORDER, pod, view


class Wild:
    """A node that answers, changes and vanishes as hypothesis likes, and checks every request."""

    def __init__(self, data):
        self.draw = data.draw
        n = self.draw(st.integers(0, 4))
        self.pods = {f"uid-{i}": self.new_pod(f"{i}") for i in range(n)}
        self.ends_at = {}
        self.gone_at = self.draw(st.sampled_from([math.inf, math.inf, AT + 5.0, AT + 300.0]))
        self.meddled_at = self.draw(st.sampled_from([math.inf, math.inf, AT + 4.0, AT + 200.0]))
        self.comes_at = self.draw(st.sampled_from([math.inf, AT + 0.05, AT + 3.0, AT + 100.0]))
        self.bind_s = self.draw(st.sampled_from([0.0, 40.0, 9e9]))
        self.lags = self.draw(st.booleans())
        self.asked_at = []
        self.ours = self.cordoned = self.clean_refused = self.unmark_refused = False
        self.evictions = []
        self.done = set()

    def new_pod(self, name):
        blockers = self.draw(st.sampled_from([(), (), (), (Blocker.VOLUME,), (Blocker.BARE_POD,)]))
        stays = self.draw(st.integers(0, 4)) == 0
        grace_s = self.draw(st.sampled_from([0.0, 30.0, 900.0]))
        return pod(name, uid=f"uid-{name}", stays=stays, grace_s=grace_s, blockers=blockers)

    def look(self, now):
        self.pods = {u: p for u, p in self.pods.items() if self.ends_at.get(u, math.inf) > now}
        if now >= self.meddled_at:
            self.cordoned, self.meddled_at = not self.cordoned, math.inf
        if now >= self.comes_at:
            self.pods["uid-late"], self.comes_at = self.new_pod("late"), math.inf
        self.present = now < self.gone_at
        self.bound = sum(1 for at in self.asked_at if at + self.bind_s <= now)
        pods = tuple(
            replace(p, terminating=u in self.ends_at and not self.lags)
            for u, p in sorted(self.pods.items())
        )
        return view(
            *(pods if self.present else ()),
            present=self.present,
            cordoned=self.cordoned,
            bound=self.bound,
        )

    def answer(self, call, now, progress):
        if isinstance(call, EvictPod):
            self.check_eviction(call, progress)
        answers = [Done(), Done(), Done(), Done(), Gone(), Refused("no")]
        if isinstance(call, EvictPod):
            answers += [BlockedByBudget(2.0), BlockedByBudget(0.0), BlockedByBudget(math.inf)]
        found = self.draw(st.sampled_from(answers))
        if isinstance(found, Done):
            self.carry_out(call, now)
        if isinstance(found, Refused):
            self.clean_refused |= isinstance(call, DeletePlaceholders)
            self.unmark_refused |= isinstance(call, UnmarkNode)
        if isinstance(found, Gone):
            self.vanish(call, now)
        return found

    def check_eviction(self, call, progress):
        assert self.present
        assert self.ours
        target = self.pods[call.uid]
        assert not target.stays
        assert not HARD_BLOCKERS.intersection(target.blockers)
        assert call.uid not in self.done
        if not self.done:
            movers = [p for p in self.pods.values() if not p.stays]
            assert len(self.asked_at) >= len(movers)
            assert self.bound >= len(progress.moving) >= len(movers)

    def vanish(self, call, now):
        """What the answer says is gone is gone; a placeholder that cannot be is never bound."""
        match call:
            case EvictPod(uid=uid):
                self.done.add(uid)
                self.pods.pop(uid, None)
            case MarkNode() | UnmarkNode() | DeleteNodeClaim():
                self.gone_at = now
            case CreatePlaceholder():
                self.asked_at.append(math.inf)
            case DeletePlaceholders():
                self.asked_at = []

    def carry_out(self, call, now):
        match call:
            case CreatePlaceholder():
                self.asked_at.append(now)
            case MarkNode():
                self.ours = self.cordoned = True
            case UnmarkNode():
                self.ours = self.cordoned = False
            case EvictPod(uid=uid):
                self.done.add(uid)
                self.ends_at[uid] = now + self.draw(st.sampled_from([0.0, 30.0, 9e9]))
            case DeleteNodeClaim():
                self.gone_at = now + self.draw(st.sampled_from([0.0, 60.0]))
            case DeletePlaceholders():
                self.asked_at = []


def drive(wild, stop_at):
    progress, now = begin(wild.look(AT)), AT
    for _ in range(5_000):
        seen = wild.look(now)
        deadline = now if now >= stop_at else ORDER.deadline
        progress = proceed(progress, seen, deadline, now)
        match next_step(ORDER, progress, seen, now):
            case Do(call=call):
                progress = advance(progress, call, wild.answer(call, now, progress), now)
                now += 0.05
            case Wait(seconds=seconds):
                now += seconds
            case Finish(end=end):
                return end, now
    raise AssertionError("the order does not end")


@settings(odd.many, max_examples=300)
@given(st.data())
def test_whatever_the_node_does_the_order_is_safe_and_ends_and_leaves_nothing(data):
    wild = Wild(data)
    stop_at = data.draw(st.sampled_from([math.inf, math.inf, AT + 1.0, AT + 60.0]))
    end, now = drive(wild, stop_at)
    assert now <= ORDER.deadline + MAX_WAIT_S + 5.0
    gone = now >= wild.gone_at
    if wild.ours and not wild.unmark_refused:
        assert end is DrainEnd.DONE or gone
    assert wild.asked_at == [] or wild.clean_refused
    if end is DrainEnd.DONE:
        assert gone or all(p.stays for p in wild.pods.values())
