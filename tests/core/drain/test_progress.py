"""Which phase a node calls for, and what is asked then, at the very bound of each condition."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.autoscaling import claim_of
from spotvortex.core.domain.types import Blocker, CapacityType
from spotvortex.core.drain.calls import (
    DeletePlaceholders,
    EvictPod,
    MarkNode,
    empties_lost_node,
)
from spotvortex.core.drain.machine import (
    HURRIED_POLL_S,
    LEAVE_POLL_S,
    LEFT_PER_S,
    POLL_S,
    Do,
    Finish,
    Wait,
    next_step,
)
from spotvortex.core.drain.messages import DrainEnd
from spotvortex.core.drain.progress import (
    AFTER_LOSS_S,
    EVICT_MARGIN_S,
    EVICTIONS_PER_S,
    LOST_ROOM_S,
    begin,
    proceed,
)
from spotvortex.core.drain.remaining import DrainPhase, DrainProgress, is_asking, to_anchor
from spotvortex.core.drain.views import Halt, Receiver, WaveView
from tests.core.builders import AT
from tests.core.drain.drains import LOSS, ORDER, pod, view

A, B = pod("a"), pod("b")
BOTH = frozenset({"uid-a", "uid-b"})
ASKED = DrainProgress(moving=(A, B), asked=BOTH, asked_at=AT - 60.0)
MARKED = replace(ASKED, marked=True)
WAVE = WaveView(asking=False, bound=4, left=4, room=4)


def phase(order=ORDER, progress=ASKED, seen=None, now=AT):
    return proceed(order, progress, seen or view(A, B), now).phase


def marked_view(*pods, **changes):
    return view(*pods, **({"cordoned": True, "marked": True} | changes))


def test_a_planned_move_waits_for_the_room_of_all_pods_and_a_lost_node_for_that_of_what_is_left():
    ending = replace(B, terminating=True)
    for bound, found in ((1, DrainPhase.BINDING), (2, DrainPhase.MARKING)):
        assert phase(seen=view(A, ending, bound=bound, n_room=2)) is found
    for bound, found in ((0, DrainPhase.BINDING), (1, DrainPhase.EVICTING)):
        assert phase(LOSS, MARKED, marked_view(A, ending, bound=bound)) is found


def test_room_of_the_wave_counts_for_a_planned_move_and_own_room_is_enough_for_a_lost_node():
    short = replace(WAVE, bound=3)
    assert phase(seen=view(A, B, bound=2, wave=short)) is DrainPhase.BINDING
    assert phase(seen=view(A, B, bound=0, wave=WAVE)) is DrainPhase.MARKING
    assert phase(seen=view(A, B, wave=replace(WAVE, asking=True))) is DrainPhase.BINDING
    assert phase(LOSS, MARKED, marked_view(A, B, bound=2, wave=short)) is DrainPhase.EVICTING
    assert phase(LOSS, MARKED, marked_view(A, B, bound=1, wave=short)) is DrainPhase.BINDING
    assert phase(LOSS, MARKED, marked_view(A, B, bound=1, wave=WAVE)) is DrainPhase.EVICTING


@pytest.mark.parametrize(
    ("early_s", "found"), [(1.0, DrainPhase.BINDING), (0.0, DrainPhase.EVICTING)]
)
def test_pods_of_a_lost_node_go_without_room_when_they_must_to_end_before_it(early_s, found):
    slow = pod("b", grace_s=45.0)
    progress = replace(MARKED, moving=(A, slow))
    wave = replace(WAVE, left=100, bound=0)
    due = LOSS.deadline - 45.0 - EVICT_MARGIN_S - 100 / EVICTIONS_PER_S
    assert phase(LOSS, progress, marked_view(A, slow, wave=wave), due - early_s) is found
    alone = LOSS.deadline - 45.0 - EVICT_MARGIN_S
    assert phase(LOSS, progress, marked_view(A, slow), alone - early_s) is found


def test_a_lost_node_that_is_pressed_asks_no_more_of_a_server_that_does_not_answer():
    new = DrainProgress(moving=(A,), marked=True, urgent=True)
    late = LOSS.deadline - 45.0
    assert phase(LOSS, new, marked_view(A), late) is DrainPhase.ASKING
    assert phase(LOSS, replace(new, tries={"": 1}), marked_view(A), late) is DrainPhase.EVICTING
    assert phase(LOSS, replace(new, tries={"": 1}), marked_view(A), AT) is DrainPhase.ASKING


@pytest.mark.parametrize(
    ("order", "progress", "now", "end"),
    [
        (replace(ORDER, bind_by=AT + 60.0), ASKED, AT + 59.0, None),
        (replace(ORDER, bind_by=AT + 60.0), ASKED, AT + 60.0, DrainEnd.NO_REPLACEMENT),
        (replace(ORDER, bind_by=AT + 900.0), ASKED, ORDER.deadline, DrainEnd.NO_REPLACEMENT),
        (
            replace(ORDER, bind_by=AT + 60.0),
            replace(ASKED, phase=DrainPhase.MARKING),
            AT + 60.0,
            None,
        ),
        (ORDER, replace(ASKED, phase=DrainPhase.MARKING), ORDER.deadline, DrainEnd.ABORTED),
        (LOSS, MARKED, LOSS.deadline + AFTER_LOSS_S - 1.0, None),
        (LOSS, MARKED, LOSS.deadline + AFTER_LOSS_S, DrainEnd.NO_REPLACEMENT),
    ],
)
def test_an_order_ends_at_its_deadline_or_without_room_at_the_time_for_that(
    order, progress, now, end
):
    seen = marked_view(A, B) if order is LOSS else view(A, B, bound=2)
    found = proceed(order, progress, seen, now)
    assert (found.end if found.phase is DrainPhase.UNDOING else None) is end


def test_a_released_node_that_nobody_removes_is_given_back_at_the_very_deadline():
    gone = replace(MARKED, phase=DrainPhase.RELEASING, released=True)
    seen = marked_view()
    assert phase(progress=gone, seen=seen, now=ORDER.deadline - 1.0) is DrainPhase.RELEASING
    assert phase(progress=gone, seen=seen, now=ORDER.deadline) is DrainPhase.UNDOING
    unreleased = replace(gone, released=False)
    assert phase(progress=unreleased, seen=seen, now=ORDER.deadline) is DrainPhase.RELEASING
    for left in ({"leaving": True}, {"present": False}, {"halt": Halt.UNDO}):
        found = phase(progress=gone, seen=marked_view(**left), now=ORDER.deadline)
        assert found is DrainPhase.RELEASING


@pytest.mark.parametrize(
    ("ago_s", "is_asked_anew"), [(LOST_ROOM_S - 1.0, False), (LOST_ROOM_S, True)]
)
def test_room_that_is_gone_is_asked_for_anew_once_it_had_time_to_show(ago_s, is_asked_anew):
    progress = replace(ASKED, asked_at=AT - ago_s)
    found = proceed(ORDER, progress, view(A, B, n_room=1), AT)
    assert (found.asked == frozenset(), found.found) == (is_asked_anew, is_asked_anew)
    assert proceed(ORDER, progress, view(A, B, n_room=2), AT).asked == BOTH
    lost = replace(progress, marked=True)
    assert proceed(LOSS, lost, marked_view(A, B, n_room=1), AT).asked == BOTH


@pytest.mark.parametrize(("room", "is_asked_anew"), [(4, False), (3, True)])
def test_where_nodes_are_drained_together_the_room_of_all_of_them_counts(room, is_asked_anew):
    wave = replace(WAVE, room=room, bound=0)
    found = proceed(ORDER, ASKED, view(A, B, n_room=1, wave=wave), AT)
    assert found.found is is_asked_anew


def test_an_order_found_again_asks_only_once_it_knows_what_the_others_of_its_wave_have():
    again = replace(ASKED, asked=frozenset(), found=True)
    unknown = replace(WAVE, known=False)
    assert phase(progress=again, seen=view(A, B, wave=unknown)) is not DrainPhase.ASKING
    short = replace(WAVE, bound=3)
    assert phase(progress=again, seen=view(A, B, wave=short)) is DrainPhase.ASKING
    enough = proceed(ORDER, again, view(A, B, n_room=2, wave=WAVE), AT)
    assert enough.asked == BOTH
    new = replace(again, found=False)
    assert phase(progress=new, seen=view(A, B, wave=unknown)) is DrainPhase.ASKING


def test_pods_of_a_planned_wave_go_once_all_of_its_nodes_are_marked():
    marking = replace(WAVE, marking=True)
    seen = marked_view(A, B, wave=marking)
    assert phase(progress=MARKED, seen=seen) is DrainPhase.WAITING
    assert phase(progress=replace(MARKED, begun=True), seen=seen) is DrainPhase.EVICTING
    assert phase(LOSS, MARKED, seen) is DrainPhase.EVICTING
    assert phase(progress=MARKED, seen=marked_view(A, B, wave=WAVE)) is DrainPhase.EVICTING


def test_a_pod_that_the_evictions_of_its_wave_leave_alone_is_waited_for_and_not_given_up():
    """Of a StatefulSet with two pods one has gone; the other one's node must not be given back."""
    alone = replace(A, blockers=(Blocker.SINGLE_REPLICA,))
    begun = marked_view(alone, bound=1, wave=replace(WAVE, begun=True))
    waiting = proceed(ORDER, MARKED, begun, AT)
    assert waiting.phase is DrainPhase.EVICTING
    assert next_step(ORDER, waiting, begun, AT) == Wait(POLL_S)
    back = replace(begun, pods=(A,))
    assert isinstance(next_step(ORDER, proceed(ORDER, waiting, back, AT), back, AT).call, EvictPod)
    # Where nothing of the wave has gone yet, or the node is not marked, somebody else took it.
    for seen in (replace(begun, wave=WAVE), replace(begun, marked=False, cordoned=False)):
        progress = replace(MARKED, marked=seen.marked)
        assert proceed(ORDER, progress, seen, AT).end is DrainEnd.REFUSED


def test_the_trouble_of_a_wave_ends_what_is_not_marked_yet():
    seen = view(A, B, bound=2, wave=replace(WAVE, trouble="0/3 nodes fit"))
    found = proceed(ORDER, ASKED, seen, AT)
    assert (found.end, found.reason) == (DrainEnd.NO_REPLACEMENT, "0/3 nodes fit")
    marked = marked_view(A, B, wave=replace(WAVE, trouble="0/3 nodes fit"))
    assert phase(progress=MARKED, seen=marked) is DrainPhase.EVICTING


def test_an_anchor_has_to_last_for_half_of_what_room_lasts():
    until = AT + ORDER.leftover_s / 2.0
    for ends, n in ((until, 0), (until - 1.0, 1)):
        seen = view(A, receivers=(Receiver(node="d1", uid="uid-d1", anchored_until=ends),))
        assert len(to_anchor(ORDER, ASKED, seen, AT)) == n
        done = replace(ASKED, anchored=frozenset({"uid-d1"}))
        assert to_anchor(ORDER, done, seen, AT) == []
        assert to_anchor(replace(ORDER, to=CapacityType.SPOT), ASKED, seen, AT) == []


def test_an_order_asks_until_each_pod_has_been_asked_for():
    assert is_asking(replace(ASKED, asked=frozenset({"uid-a"})))
    assert not is_asking(ASKED)
    assert not is_asking(replace(ASKED, asked=frozenset(), begun=True))
    assert not is_asking(replace(ASKED, asked=frozenset(), phase=DrainPhase.UNDOING))


def test_shared_room_of_a_marked_node_is_taken_for_all_and_of_another_as_found():
    shared = begin(LOSS, marked_view(A, n_shared=1))
    assert (shared.asked, shared.found, shared.begun) == ({"uid-a"}, True, False)
    assert begin(LOSS, marked_view(A)).asked == frozenset()
    unmarked = begin(LOSS, view(A, n_shared=1))
    assert (unmarked.asked, unmarked.found) == (frozenset(), True)
    assert begin(ORDER, view(A, n_room=1)).found


def step(order, progress, seen, now=AT):
    return next_step(order, progress, seen, now)


def test_a_lost_node_that_waits_for_room_is_looked_at_less_often_the_longer_it_waits():
    binding = replace(MARKED, phase=DrainPhase.BINDING)
    for waited_s, poll_s in ((0.0, HURRIED_POLL_S), (2.0, 0.5), (900.0, POLL_S), (-5.0, None)):
        progress = replace(binding, asked_at=AT - waited_s)
        wanted = POLL_S / 4.0 if poll_s is None else poll_s
        found = step(LOSS, progress, marked_view(A, B))
        assert found == Wait(max(HURRIED_POLL_S, min(POLL_S, wanted)))
        assert step(ORDER, progress, view(A, B)) == Wait(POLL_S)
        waiting = replace(progress, phase=DrainPhase.WAITING)
        assert step(LOSS, waiting, marked_view(A, B)) == Wait(POLL_S)


def test_of_hundreds_of_lost_nodes_each_is_looked_at_less_often():
    binding = replace(MARKED, phase=DrainPhase.BINDING, asked_at=AT)
    for n_left, poll_s in ((0, HURRIED_POLL_S), (500, 0.5), (9000, POLL_S)):
        seen = marked_view(A, B, wave=replace(WAVE, left=n_left))
        assert step(LOSS, binding, seen) == Wait(poll_s)
        assert poll_s in (HURRIED_POLL_S, POLL_S, n_left / LEFT_PER_S)


def test_where_room_is_set_aside_pod_by_pod_each_pod_of_a_lost_node_goes_as_its_own_is_bound():
    begun = replace(MARKED, begun=True, evicted=frozenset({"uid-a"}))
    for bound, found in ((0, DrainPhase.BINDING), (1, DrainPhase.EVICTING)):
        assert phase(LOSS, begun, marked_view(A, B, bound=bound, by_pod=True)) is found
        assert phase(LOSS, begun, marked_view(A, B, bound=bound)) is DrainPhase.EVICTING
    gone = replace(begun, evicted=BOTH)
    assert phase(LOSS, gone, marked_view(A, B, by_pod=True)) is DrainPhase.WAITING
    late = LOSS.deadline - 45.0
    assert phase(LOSS, begun, marked_view(A, B, by_pod=True), late) is DrainPhase.EVICTING


def test_a_request_that_is_to_be_made_later_is_waited_for_but_evictions_have_their_own_times():
    later = replace(MARKED, phase=DrainPhase.RELEASING, retry_at={"": AT + 1.0, "uid-a": AT + 2.0})
    assert step(ORDER, later, marked_view()) == Wait(1.0)
    assert isinstance(step(ORDER, later, marked_view(), AT + 1.0), Do)
    evicting = replace(later, phase=DrainPhase.EVICTING)
    found = step(ORDER, evicting, marked_view(A, B))
    assert found.call.uid == "uid-b"
    alone = replace(evicting, evicted=frozenset({"uid-b"}))
    assert step(ORDER, alone, marked_view(A, B)) == Wait(2.0)
    soon = replace(alone, retry_at={"uid-a": AT + 0.01})
    assert step(ORDER, soon, marked_view(A, B)) == Wait(0.1)
    assert isinstance(step(ORDER, soon, marked_view(A, B), AT + 0.01).call, EvictPod)


@pytest.mark.parametrize(
    ("back_s", "waits"), [(0.0, True), (45.0, True), (46.0, False), (3600.0, False)]
)
def test_a_clock_that_is_set_back_puts_off_nothing(back_s, waits):
    """Nothing is ever put off for more than a minute."""
    later = replace(MARKED, begun=True, retry_at={"": AT + 15.0, "uid-a": AT + 15.0})
    now = AT - back_s
    for progress, seen in ((later, marked_view(A)), (replace(later, marked=False), view(A))):
        after = proceed(ORDER, progress, seen, now)
        assert isinstance(next_step(ORDER, after, seen, now), Wait) is waits


def test_what_was_put_off_before_the_notice_is_made_at_once_after_it():
    later = {"": AT + 60.0, "uid-a": AT + 15.0}
    planned = proceed(ORDER, replace(ASKED, retry_at=later, tries={"": 3}), view(A, B), AT)
    assert next_step(ORDER, planned, view(A, B), AT) == Wait(15.0)
    lost = proceed(LOSS, planned, view(A, B), AT)
    assert (lost.retry_at, lost.tries) == ({}, {})
    assert isinstance(next_step(LOSS, lost, view(A, B), AT).call, MarkNode)
    # What is put off from then on waits.
    again = proceed(LOSS, replace(lost, retry_at=later), view(A, B), AT)
    assert next_step(LOSS, again, view(A, B), AT) == Wait(15.0)


def test_pods_with_long_grace_go_first_then_the_only_ones_of_their_workload_then_by_name():
    evicting = replace(MARKED, phase=DrainPhase.EVICTING)
    slow = pod("z", grace_s=60.0)
    only = pod("y", blockers=(Blocker.SINGLE_REPLICA,))
    order = []
    pods = (B, A, only, slow)
    progress = replace(evicting, moving=pods)
    for _ in pods:
        call = step(LOSS, progress, marked_view(*pods)).call
        order.append(call.name)
        progress = replace(progress, evicted=progress.evicted | {call.uid})
    assert order == ["z", "y", "a", "b"]


def test_of_a_planned_move_a_pod_without_room_or_with_a_hard_blocker_does_not_go():
    evicting = replace(MARKED, phase=DrainPhase.EVICTING, asked=frozenset({"uid-a"}))
    held = pod("a", blockers=(Blocker.DO_NOT_DISRUPT,))
    assert step(ORDER, evicting, marked_view(held, B)) == Wait(POLL_S)
    assert step(LOSS, evicting, marked_view(held, B)).call.uid == "uid-a"


def test_requests_for_a_lost_node_say_that_no_budget_speaks_against_them():
    for order, urgent in ((ORDER, False), (LOSS, True)):
        evicting = replace(MARKED, phase=DrainPhase.EVICTING)
        assert step(order, evicting, marked_view(A, B)).call.urgent is urgent
        assert (
            step(order, replace(ASKED, phase=DrainPhase.MARKING), view(A, B)).call.urgent is urgent
        )
        releasing = replace(MARKED, phase=DrainPhase.RELEASING)
        release = step(order, releasing, marked_view()).call
        assert (release.urgent, empties_lost_node(release)) == (urgent, urgent)
    asking = DrainProgress(moving=(A,), marked=True)
    assert empties_lost_node(step(LOSS, asking, marked_view(A)).call)
    assert not empties_lost_node(step(ORDER, asking, view(A)).call)


def test_a_released_node_is_looked_at_as_often_as_its_provisioner_is_quick_and_at_the_deadline():
    gone = replace(MARKED, phase=DrainPhase.RELEASING, released=True, cleaned=True)
    assert step(ORDER, gone, marked_view()) == Wait(LEAVE_POLL_S)
    slow = replace(ORDER, claim=claim_of("u"))
    assert step(slow, gone, marked_view()) == Wait(POLL_S)
    assert step(slow, gone, marked_view(), ORDER.deadline - 0.5) == Wait(0.5)
    assert step(slow, gone, marked_view(), ORDER.deadline - 0.01) == Wait(0.1)
    assert step(ORDER, gone, marked_view(leaving=True)) == Finish(DrainEnd.DONE, "drained")


def cleaning(order, progress, seen):
    found = step(order, progress, seen)
    return found.call if isinstance(found, Do) else None


def test_what_a_plan_shares_is_deleted_by_the_last_of_its_nodes_as_a_whole():
    undoing = replace(ASKED, phase=DrainPhase.UNDOING)
    mine = DeletePlaceholders(plan_id="p1", for_uid=ORDER.uid)
    whole = replace(mine, for_uid="")
    others = replace(WAVE, last=False)
    assert cleaning(ORDER, undoing, view(wave=others)) == mine
    assert cleaning(LOSS, undoing, view()) == whole
    assert cleaning(LOSS, undoing, view(wave=WAVE)) == whole
    assert cleaning(LOSS, undoing, view(wave=others)) is None
    assert cleaning(LOSS, undoing, view(wave=others, n_room=1)) == mine
    assert cleaning(ORDER, replace(undoing, cleaned=True), view()) is None
    nothing = DrainProgress(phase=DrainPhase.UNDOING)
    assert cleaning(ORDER, nothing, view()) is None
    for left in ({"n_room": 1}, {"n_shared": 1}):
        assert cleaning(ORDER, nothing, view(**left)) == mine
    assert cleaning(ORDER, replace(nothing, found=True), view()) == mine


def test_room_of_lost_nodes_that_is_not_bound_is_given_back_once_the_plan_needs_it_no_more():
    wave = replace(WAVE, gives_back=True)
    waiting = replace(MARKED, phase=DrainPhase.WAITING)
    back = DeletePlaceholders(plan_id="p1", for_uid="p1", unbound=True)
    assert cleaning(LOSS, waiting, marked_view(A, wave=wave, n_waiting=1)) == back
    for order, progress, changes in (
        (ORDER, waiting, {}),
        (LOSS, replace(waiting, gave_back=True), {}),
        (LOSS, waiting, {"n_waiting": 0}),
        (LOSS, waiting, {"wave": WAVE}),
        (LOSS, waiting, {"wave": None}),
    ):
        seen = marked_view(A, **({"wave": wave, "n_waiting": 1} | changes))
        assert cleaning(order, progress, seen) is None
