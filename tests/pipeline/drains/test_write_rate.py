"""Writes come at once up to a burst, then at a rate, by rank and in the order of asking."""

import asyncio

from spotvortex.pipeline.drains.write_rate import FIRST, Slots, WriteRate
from tests.pipeline.world import now, run


def test_a_burst_goes_at_once_and_the_rest_at_the_rate():
    async def main():
        rate, turns = WriteRate(per_s=2.0, burst=3.0), []
        for _ in range(6):
            await rate.take()
            turns.append(now())
        return turns

    assert run(main) == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]


def test_a_rest_that_the_clock_cannot_tell_from_nothing_is_not_waited_for():
    """A timer for it would be due at once, and again, without any time passing."""

    async def main():
        await WriteRate(per_s=1.0, burst=1.0, _spent=5e-7).take()
        return now()

    assert run(main) == 0.0


def test_those_who_ask_together_come_in_their_order():
    async def main():
        rate, turns = WriteRate(per_s=1.0, burst=1.0), []

        async def ask(name):
            await rate.take()
            turns.append((name, now()))

        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(ask(name))
        return turns

    assert run(main) == [("a", 0.0), ("b", 1.0), ("c", 2.0)]


def test_a_pause_fills_the_burst_again_and_no_more():
    async def main():
        rate, turns = WriteRate(per_s=1.0, burst=2.0), []
        for pause in (0.0, 0.0, 100.0, 0.0, 0.0):
            await asyncio.sleep(pause)
            await rate.take()
            turns.append(now())
        return turns

    assert run(main) == [0.0, 0.0, 100.0, 100.0, 101.0]


def turns_of(*ranks, cancelled=()):
    """Let writes of these ranks ask together; return the ranks in the order of their turns."""

    async def main():
        rate, turns = WriteRate(per_s=1.0, burst=1.0), []
        await rate.take()

        async def ask(rank):
            await rate.take(rank)
            turns.append((rank, now()))

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(rank)) for rank in ranks]
            await asyncio.sleep(0.5)
            for number in cancelled:
                tasks[number].cancel()
        return turns

    return run(main)


def test_of_those_that_wait_the_lowest_rank_goes_first():
    assert turns_of((2, 7), (2, 3), (1,), (0,)) == [
        ((0,), 1.0),
        ((1,), 2.0),
        ((2, 3), 3.0),
        ((2, 7), 4.0),
    ]


def test_one_that_has_given_up_takes_no_turn():
    assert turns_of((0,), (1,), (2,), cancelled=[1]) == [((0,), 1.0), ((2,), 2.0)]


def test_no_more_are_on_their_way_than_there_are_slots_and_the_lowest_rank_is_next():
    async def main():
        slots, order, at_once = Slots(2), [], []

        async def write(name, rank):
            async with slots.slot(rank):
                order.append(name)
                at_once.append(slots._taken)
                await asyncio.sleep(1.0)

        async with asyncio.TaskGroup() as group:
            for name, rank in (("a", (2, 1)), ("b", (2, 2)), ("d", (2, 4)), ("c", (2, 3))):
                group.create_task(write(name, rank))
        return order, max(at_once), now()

    assert run(main) == (["a", "b", "c", "d"], 2, 2.0)


def test_the_first_rank_leaves_every_eighth_slot_to_the_lowest_of_the_others():
    async def main():
        slots, order = Slots(1), []

        async def write(name, rank):
            async with slots.slot(rank):
                order.append(name)
                await asyncio.sleep(1.0)

        async with asyncio.TaskGroup() as group:
            for _ in range(21):
                group.create_task(write("cordon", FIRST))
            for name, rank in (("c", (2, 1)), ("a", (1,)), ("b", (1,))):
                group.create_task(write(name, rank))
        return order

    order = run(main)
    # The first one found a slot free.
    assert [(i, name) for i, name in enumerate(order) if name != "cordon"] == [
        (8, "a"),
        (16, "b"),
        (23, "c"),
    ]


def test_of_one_rank_who_asked_first_gets_the_slot_first():
    async def main():
        slots, order = Slots(1), []

        async def write(name):
            async with slots.slot((1,)):
                order.append(name)
                await asyncio.sleep(1.0)

        async with asyncio.TaskGroup() as group:
            for name in "abcd":
                group.create_task(write(name))
        return order

    assert run(main) == list("abcd")


def test_a_writer_that_gives_up_waiting_takes_no_slot():
    async def main():
        slots = Slots(1)

        async def write():
            async with slots.slot((0,)):
                await asyncio.sleep(1.0)

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            await asyncio.sleep(0.1)
            waiting = group.create_task(write())
            await asyncio.sleep(0.1)
            waiting.cancel()
        async with slots.slot((0,)):
            return now()

    assert run(main) == 1.0


def test_slots_may_become_fewer_and_more_while_they_are_taken():
    async def main():
        slots, there, most = Slots(2), 0, []

        async def hold():
            nonlocal there
            async with slots.slot(FIRST):
                there += 1
                most.append(there)
                await asyncio.sleep(1.0)
                there -= 1

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(hold())
            await asyncio.sleep(0.5)
            slots.n = 1
            await asyncio.sleep(2.0)
            slots.n = 3
        return most, asyncio.get_running_loop().time()

    assert run(main) == ([1, 2, 1, 1, 1, 2, 3, 1], 5.0)
