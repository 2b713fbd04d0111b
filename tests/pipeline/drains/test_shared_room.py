"""Room of lost nodes is asked for together, and counted once a plan."""

import asyncio
from dataclasses import replace

import pytest

from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.observation import OwnPod
from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.calls import Again, CreateRoom, DeletePlaceholders, Done, RoomShape
from spotvortex.pipeline.drains.shared_room import (
    LONGEST_S,
    MANY_PODS,
    MOMENT_S,
    QUIET_SHARE,
    RoomDesk,
    SharedRoom,
    in_parts,
)
from tests.pipeline.world import now, pod, run


def asked(node, n_pods=2, *, plan="p1", owner="shop/ReplicaSet/web"):
    pods = tuple(pod(f"{node}-{i}", owner=owner) for i in range(n_pods))
    return CreateRoom(
        plan_id=plan,
        for_uids=(f"uid-{node}",),
        pool="web",
        capacity_type=CapacityType.UNKNOWN,
        sides=("web",),
        shapes=(RoomShape(pods=pods, zone="", avoid=()),),
        expires_s=600,
    )


def answered(*calls, answers=(), every_s=0.01):
    """Ask one after the other; returns what was sent when, and the answers."""
    given = list(answers)

    async def main():
        sent = []

        async def send(call):
            sent.append((round(now(), 2), call))
            return given.pop(0) if given else Done()

        desk, tasks = RoomDesk(send), []
        for call in calls:
            tasks.append(asyncio.ensure_future(desk.ask(call)))
            await asyncio.sleep(every_s)
        return sent, [await task for task in tasks]

    return run(main)


def test_what_is_asked_for_within_a_moment_is_one_request_and_all_are_answered():
    sent, answers = answered(*(asked(f"n{i}") for i in range(3)))
    ((at, call),) = sent
    assert at == round(0.02 + QUIET_SHARE * LONGEST_S, 2)
    assert call.for_uids == ("uid-n0", "uid-n1", "uid-n2")
    (shape,) = call.shapes
    assert [p.name for p in shape.pods] == ["n0-0", "n0-1", "n1-0", "n1-1", "n2-0", "n2-1"]
    assert answers == [Done(), Done(), Done()]


def test_pods_of_other_owners_are_other_shapes_and_other_plans_other_requests():
    other = asked("n1", owner="shop/ReplicaSet/api")
    sent, _ = answered(asked("n0"), other, asked("n2", plan="p2"))
    assert [(c.plan_id, len(c.shapes)) for _, c in sent] == [("p1", 2), ("p2", 1)]


def test_a_stream_without_a_pause_is_sent_in_few_requests_each_after_twice_the_time():
    sent, _ = answered(*(asked(f"n{i}") for i in range(150)))
    assert sent[0][0] == LONGEST_S
    assert sum(len(c.for_uids) for _, c in sent) == 150
    assert [at for at, _ in sent] == [LONGEST_S, pytest.approx(3 * LONGEST_S, abs=0.2)]


def test_a_request_waits_for_those_whose_nodes_are_being_marked_but_not_for_ever():
    async def main():
        sent = []

        async def send(call):
            sent.append((round(now(), 2), call.for_uids))
            return Done()

        async def mark(desk, node, marked_s):
            with desk.expecting("p1"):
                await asyncio.sleep(marked_s)
            await desk.ask(asked(node))

        desk = RoomDesk(send)
        async with asyncio.TaskGroup() as group:
            for i, marked_s in enumerate((0.01, 0.2, 3.0)):
                group.create_task(mark(desk, f"n{i}", marked_s))
        return sent

    first, second = run(main)
    assert first == (0.01 + LONGEST_S, ("uid-n0", "uid-n1"))
    assert second == (3.0 + QUIET_SHARE * 2 * LONGEST_S, ("uid-n2",))


def test_a_node_alone_waits_for_next_to_nothing():
    ((at, _),) = answered(asked("n0"))[0]
    assert at <= 0.03


def test_after_silence_the_same_is_asked_beside_what_is_new():
    async def main():
        sent, given = [], [Again("silent"), Done(), Done()]

        async def send(call):
            sent.append(call.for_uids)
            return given.pop(0)

        desk = RoomDesk(send)
        async with asyncio.TaskGroup() as group:
            for node in ("n0", "n1"):
                group.create_task(desk.ask(asked(node)))
        async with asyncio.TaskGroup() as group:
            for node in ("n2", "n0"):
                group.create_task(desk.ask(asked(node)))
        return sent

    assert run(main) == [("uid-n0", "uid-n1"), ("uid-n0", "uid-n1"), ("uid-n2",)]


ROOM = OwnPod(
    name="r0", kind=PodKind.PLACEHOLDER, plan_id="p1", for_uid="p1", node="new-1", ends_at=0.0
)


def test_what_was_ever_bound_is_counted_once_and_what_is_there_as_it_is():
    pods = [ROOM, replace(ROOM, name="r1", node=""), replace(ROOM, name="r2", for_uid="uid-n1")]
    room = SharedRoom(lambda _plan: pods, lambda pod, _nodes: bool(pod.node))

    async def main():
        first = room.of("p1")
        pods[:] = [replace(ROOM, name="r1"), replace(ROOM, name="r3", terminating=True)]
        same = room.of("p1")
        await asyncio.sleep(1.0)
        return first, same, room.of("p1")

    first, same, later = run(main)
    assert (first.there, first.given) == (2, 1)
    assert same is first
    assert (later.there, later.given) == (1, 3)


def test_extra_room_of_pods_alike_is_added_up():
    one, two = asked("n0"), asked("n1")
    two = replace(two, shapes=(replace(two.shapes[0], n_extra=2),))
    ((_, call),) = answered(one, two)[0]
    assert [(len(s.pods), s.n_extra) for s in call.shapes] == [(4, 2)]


BACK = DeletePlaceholders(plan_id="p1", for_uid="p1", unbound=True)


def test_nothing_is_given_back_while_more_of_the_plan_is_being_asked_for():
    async def main():
        said = []

        async def send(call):
            said.append("asked")
            await asyncio.sleep(1.0)
            return Done()

        async def delete():
            said.append("given back")
            return Done()

        desk = RoomDesk(send)
        first = asyncio.ensure_future(desk.ask(asked("n0")))
        await asyncio.sleep(0.01)
        refused = await desk.give_back(BACK, delete)
        await asyncio.sleep(LONGEST_S)
        given = await desk.give_back(BACK, delete)
        return refused, given, said, await first

    refused, given, said, _ = run(main)
    assert isinstance(refused, Again)
    assert (given, said) == (Done(), ["asked", "given back"])


def test_of_very_many_pods_one_placeholder_stands_for_several_of_a_node():
    calls = [asked(f"n{i}", 9 + i % 3) for i in range(21)]
    calls[1] = replace(calls[1], shapes=(replace(calls[1].shapes[0], n_extra=10),))
    ((_, call),) = answered(*calls, every_s=1e-4)[0]
    assert [(s.together, len(s.pods), s.n_extra) for s in call.shapes] == [
        (8, 168, 8),
        (1, 14, 0),
        (2, 28, 2),
    ]
    assert len(call.pod_uids) == 210


@pytest.mark.parametrize(
    ("usual", "found"),
    [
        (10, [(10, 120, 10), (8, 96, 0), (1, 12, 0)]),
        (16, [(16, 192, 16), (8, 96, 0), (1, 12, 0)]),
        (17, [(8, 288, 16), (1, 24, 1)]),
    ],
)
def test_where_half_of_the_nodes_have_as_many_pods_one_placeholder_stands_for_them(usual, found):
    calls = [asked(f"n{i}", 9 if i % 2 else usual) for i in range(24)]
    calls[0] = replace(calls[0], shapes=(replace(calls[0].shapes[0], n_extra=usual),))
    ((_, call),) = answered(*calls, every_s=1e-4)[0]
    assert [(s.together, len(s.pods), s.n_extra) for s in call.shapes] == found


def test_what_other_plans_ask_for_at_about_the_same_time_counts_as_well():
    n_pods = MANY_PODS // 2

    def sizes(*starts_at):
        async def main():
            sent = []

            async def send(call):
                sent.append((call.plan_id, [s.together for s in call.shapes]))
                return Done()

            async def ask(plan, starts_at):
                await asyncio.sleep(starts_at)
                await desk.ask(asked(f"n-{plan}", n_pods, plan=plan))

            desk = RoomDesk(send)
            async with asyncio.TaskGroup() as group:
                for i, at in enumerate(starts_at):
                    group.create_task(ask(f"p{i}", at))
            return sent

        return run(main)

    assert sizes(0.0, 0.01) == [("p0", [8, 4]), ("p1", [8, 4])]
    assert sizes(0.0, MOMENT_S - 0.1) == [("p0", [1]), ("p1", [8, 4])]
    assert sizes(0.0, MOMENT_S + 1.0) == [("p0", [1]), ("p1", [1])]


def test_below_that_each_pod_has_a_placeholder_of_its_own():
    ((_, call),) = answered(asked("n0", MANY_PODS - 1))[0]
    assert [(s.together, len(s.pods)) for s in call.shapes] == [(1, MANY_PODS - 1)]


@pytest.mark.parametrize(
    ("n_pods", "sizes"), [(1, [1]), (7, [4, 2, 1]), (8, [8]), (21, [8, 8, 4, 1])]
)
def test_the_pods_of_a_node_are_split_into_few_sizes(n_pods, sizes):
    (shape,) = asked("n0", n_pods).shapes
    parts = list(in_parts(shape))
    assert [part.together for part in parts] == [len(part.pods) for part in parts] == sizes
    assert [pod for part in parts for pod in part.pods] == list(shape.pods)


def test_a_placeholder_counts_for_as_many_pods_as_it_stands_for():
    pods = [replace(ROOM, n_pods=8), replace(ROOM, name="r1", node="", n_pods=2)]
    room = SharedRoom(lambda _plan: pods, lambda pod, _nodes: bool(pod.node))

    async def main():
        return room.of("p1")

    found = run(main)
    assert (found.there, found.given, found.waiting) == (10, 8, 2)
