"""No node of a wave is marked before there is room for all; one without room ends the others."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.drain.messages import DrainEnd
from spotvortex.core.drain.remaining import DrainProgress
from spotvortex.pipeline.drains import wave_barrier as module
from spotvortex.pipeline.drains.wave_barrier import WaveBarrier
from tests.core.drain.drains import pod, view
from tests.core.in_flight import loss, order

A, B = order("web-s0", n_wave=2), order("web-s1", n_wave=2)


def joined(*orders):
    waves = WaveBarrier()
    for one in orders:
        waves.join(one)
    return waves


def seen(waves, one, n_pods=2, bound=2, **changes):
    """What the wave shows to an order with so many pods, all of them asked for by default."""
    pods = tuple(pod(f"{one.node}-{i}") for i in range(n_pods))
    asked = frozenset(p.uid for p in pods)
    progress = DrainProgress(**({"moving": pods, "asked": asked} | changes))
    return waves.see(one, view(*pods, bound=bound), progress).wave


def test_there_is_no_room_until_all_of_the_wave_have_come_and_have_asked():
    waves = joined(A)
    assert not seen(waves, A).has_room
    waves.join(B)
    assert not seen(waves, A).has_room
    assert seen(waves, B).has_room
    assert seen(waves, A).has_room
    assert not seen(waves, B, asked=frozenset()).has_room


def test_the_wave_is_known_once_each_of_it_was_seen_or_has_ended():
    waves = joined(A, B)
    assert not seen(waves, A).known
    assert seen(waves, B).known
    waves = joined(A, B)
    waves.leave(B, DrainEnd.DONE, "drained", was_marked=True)
    assert seen(waves, A).known


def test_what_counts_is_the_room_of_all_for_the_pods_of_all():
    waves = joined(A, B)
    seen(waves, A, n_pods=2, bound=4)
    both = seen(waves, B, n_pods=2, bound=0)
    assert (both.bound, both.left, both.has_room) == (4, 4, True)
    assert not seen(waves, B, n_pods=3, bound=0).has_room


def test_a_wave_is_marking_until_each_of_it_is_marked_or_has_ended():
    waves = joined(A, B)
    assert seen(waves, A, marked=True).marking
    assert seen(waves, B).marking
    assert not seen(waves, B, marked=True).marking
    waves = joined(A, B)
    waves.leave(B, DrainEnd.ABORTED, "why", was_marked=False)
    assert not seen(waves, A, marked=True).marking


def test_a_wave_has_begun_once_a_pod_of_one_of_it_was_evicted_also_after_that_ones_end():
    waves = joined(A, B)
    assert not seen(waves, B).begun
    seen(waves, A, begun=True)
    assert seen(waves, B).begun
    waves.leave(A, DrainEnd.DONE, "drained", was_marked=True)
    assert seen(waves, B).begun


def test_pods_that_have_been_evicted_need_no_more_room():
    waves = joined(A, B)
    seen(waves, A, n_pods=2, bound=1, begun=True, evicted=frozenset({"uid-web-s0-0"}))
    both = seen(waves, B, n_pods=2, bound=2)
    assert (both.bound, both.left, both.has_room) == (3, 3, True)


def test_room_that_is_lost_again_is_waited_for_again():
    waves = joined(A, B)
    seen(waves, A)
    assert seen(waves, B).has_room
    assert not seen(waves, A, bound=1).has_room
    assert not seen(waves, B).has_room


def test_a_wave_of_one_waits_for_nobody():
    one = replace(A, n_wave=1)
    assert seen(joined(one), one).has_room


def test_waves_do_not_meet():
    alone, other = replace(A, n_wave=1), replace(B, plan_id="p2", n_wave=1)
    waves = joined(alone, other)
    seen(waves, other, bound=0)
    assert seen(waves, alone).has_room


@pytest.mark.parametrize(
    ("end", "was_marked", "ends_others"),
    [
        (DrainEnd.NO_REPLACEMENT, False, True),
        (DrainEnd.ABORTED, False, True),
        (DrainEnd.ABORTED, True, False),
        (DrainEnd.REFUSED, False, False),
        (DrainEnd.GONE, False, False),
        (DrainEnd.DONE, True, False),
        (DrainEnd.HANDED_OVER, False, False),
    ],
)
def test_only_an_order_that_found_no_room_ends_the_others(end, was_marked, ends_others):
    waves = joined(A, B)
    waves.leave(A, end, "why", was_marked=was_marked)
    wave = seen(waves, B)
    assert wave.trouble == ("web-s0 of the same wave: why" if ends_others else "")
    assert wave.has_room


def test_the_first_trouble_is_told():
    waves = joined(A, B)
    waves.leave(A, DrainEnd.ABORTED, "first", was_marked=False)
    waves.leave(B, DrainEnd.ABORTED, "second", was_marked=False)
    assert "first" in seen(waves, B).trouble


def test_an_order_of_an_unknown_wave_is_left_alone():
    waves = joined()
    assert seen(waves, A) is None
    waves.leave(A, DrainEnd.ABORTED, "why", was_marked=False)
    assert seen(waves, A) is None


def test_only_so_many_waves_are_remembered(monkeypatch):
    monkeypatch.setattr(module, "MAX_WAVES", 2)
    waves = joined(*(replace(A, plan_id=f"p{i}") for i in range(4)))
    assert list(waves._waves) == ["p2", "p3"]


def shared(waves, one, given, n_gone=0, bound=0, **changes):
    """What an order of two pods sees of its plan's room, of which so much was ever bound."""
    pods = tuple(pod(f"{one.node}-{i}") for i in range(2))
    seen = view(*pods[n_gone:], uid=one.uid, node=one.node, given=given, bound=bound)
    return waves.see(one, seen, DrainProgress(moving=pods, **changes))


def test_shared_room_is_set_aside_as_it_comes_and_for_good():
    first, second = loss("web-s0"), loss("web-s1")
    waves = joined(first, second)

    def bound(*asked):
        return [shared(waves, one, given, n_gone).bound for one, given, n_gone in asked]

    assert bound((first, 0, 0), (second, 0, 0)) == [0, 0]
    assert bound((first, 1, 0), (second, 1, 0)) == [1, 0]
    assert bound((first, 1, 1), (second, 1, 0)) == [0, 0]
    assert bound((second, 3, 0), (first, 3, 1)) == [2, 0]
    assert bound((first, 4, 1), (second, 4, 0), (second, 4, 2)) == [1, 2, 0]
    assert bound((first, 9, 1), (second, 9, 2)) == [1, 0]


def test_what_a_node_has_used_is_no_room_for_the_pods_of_another():
    first, second = loss("web-s0"), loss("web-s1")
    waves = joined(first, second)
    assert shared(waves, first, given=2).by_pod
    shared(waves, first, given=2, n_gone=2)
    seen = shared(waves, second, given=2)
    assert (seen.by_pod, seen.bound, seen.wave.bound, seen.wave.left) == (True, 0, 0, 2)
    assert not seen.wave.has_room


def test_a_pod_that_had_to_go_without_room_leaves_the_others_waiting_for_theirs():
    one = loss("web-s0")
    waves = joined(one)
    assert shared(waves, one, given=0).by_pod
    gone = shared(waves, one, given=0, n_gone=1, begun=True)
    assert (gone.by_pod, gone.bound) == (True, 0)
    # The first place is its successor's, the second one of a pod that is still there.
    assert shared(waves, one, given=1, n_gone=1, begun=True).bound == 0
    assert shared(waves, one, given=2, n_gone=1, begun=True).bound == 1


@pytest.mark.parametrize(("n_gone", "n_left"), [(0, 2), (1, 1), (2, 0)])
def test_an_order_that_comes_again_has_what_it_had_not_used(n_gone, n_left):
    """After a lost lease, or a freeze that could not be read, in the same process."""
    one, other = loss("web-s0"), loss("web-s1")
    waves = joined(one, other)
    shared(waves, one, given=2)
    shared(waves, one, given=2, n_gone=n_gone)
    waves.leave(one, DrainEnd.HANDED_OVER, "", was_marked=True)
    waves.join(one)
    pods = tuple(pod(f"again-{i}") for i in range(2))
    seen = view(*pods, uid=one.uid, node=one.node, given=2)
    assert waves.see(one, seen, DrainProgress(moving=pods)).bound == n_left
    assert shared(waves, other, given=4).bound == 2


@pytest.mark.parametrize("own", [{"bound": 1}, {"begun": True}])
def test_a_node_with_room_of_its_own_gets_what_it_lacks_at_once(own):
    one = loss("web-s0")
    waves = joined(one, loss("web-s1"))
    lacking = 2 - own.get("bound", 0)
    seen = [shared(waves, one, given, **own) for given in (lacking - 1, lacking)]
    assert [(s.by_pod, s.bound) for s in seen] == [(False, own.get("bound", 0)), (False, 2)]


@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.booleans()), max_size=40),
)
def test_no_more_pods_go_than_room_was_ever_bound_for(sizes, steps):
    """Whoever looks when, and however the room comes; in the end all of it has been used."""
    orders = [loss(f"web-s{i}") for i in range(len(sizes))]
    waves, given, gone = joined(*orders), 0, [0] * len(orders)
    pods = [tuple(pod(f"{i}-{k}") for k in range(n)) for i, n in enumerate(sizes)]

    def look(i):
        seen = view(*pods[i][gone[i] :], uid=orders[i].uid, node=orders[i].node, given=given)
        progress = DrainProgress(moving=pods[i], begun=gone[i] > 0)
        return waves.see(orders[i], seen, progress).bound

    for which, more, goes in steps:
        given += more
        i = which % len(orders)
        if look(i) and goes:
            gone[i] = min(sizes[i], gone[i] + 1)
        assert sum(gone) <= given
    for i in range(len(orders)):
        gone[i] += min(look(i), sizes[i] - gone[i])
    assert sum(gone) == min(given, sum(sizes))


def test_an_order_is_the_last_of_its_plan_once_all_others_have_ended():
    waves = joined(A, B)
    assert not seen(waves, A).last
    waves.leave(B, DrainEnd.DONE, "drained", was_marked=True)
    assert seen(waves, A).last


def test_extras_are_given_back_by_one_order_once_all_of_the_plan_have_their_room():
    first, second, third = (replace(loss(f"web-s{i}"), hedged=i < 2) for i in range(3))
    waves = joined(first, second, third)
    shared = {"n_pods": 2, "bound": 2}
    assert not seen(waves, second, **shared).gives_back
    seen(waves, first, **shared)
    seen(waves, third, n_pods=2, bound=0)
    assert not seen(waves, second, **shared).gives_back
    waves.leave(third, DrainEnd.DONE, "drained", was_marked=True)
    assert seen(waves, second, **shared).gives_back
    assert not seen(waves, first, **shared).gives_back


def test_room_that_is_late_is_given_back_once_the_pods_of_all_lost_nodes_go_without():
    """Their successors ask for nodes themselves: the room would be bought twice."""
    first, second = loss("web-s0"), loss("web-s1")
    waves = joined(first, second)
    pods = (pod("a"),)
    waiting = DrainProgress(moving=pods)
    going = replace(waiting, pressed=True)
    a, b = (view(*pods, uid=one.uid, node=one.node, bound=0) for one in (first, second))
    waves.see(first, a, going)
    assert not waves.see(second, b, waiting).wave.gives_back
    assert waves.see(second, b, going).wave.gives_back
    assert not waves.see(first, a, going).wave.gives_back


def test_a_planned_wave_gives_nothing_back():
    waves = joined(A)
    pods = (pod("a"),)
    going = DrainProgress(moving=pods, pressed=True)
    assert not waves.see(A, view(*pods, bound=1), going).wave.gives_back


def test_pods_that_wait_for_the_answer_of_the_server_still_want_their_room():
    one = replace(loss("web-s0"), hedged=True)
    waves = joined(one)
    pods = (pod("a"),)
    gone = DrainProgress(moving=pods, asked=frozenset({"uid-a"}), evicted=frozenset({"uid-a"}))
    assert not waves.see(one, view(*pods, bound=0), gone).wave.gives_back
