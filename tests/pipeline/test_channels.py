"""Channels: what is unread is replaced and counted, what is queued is bounded and keyed."""

import asyncio

import pytest

from spotvortex.pipeline.channels import ClosedError, Lane, Latest
from tests.pipeline.world import now, run


async def test_latest_gives_the_newest_and_counts_what_nobody_read():
    channel = Latest("x")
    assert [channel.put(n) for n in (1, 2, 3)] == [0, 1, 1]
    assert await channel.get() == 3
    assert channel.put(4) == 0
    assert await channel.get() == 4
    assert channel.replaced == 2


async def test_latest_gives_what_is_stored_once_more_after_close_and_then_ends():
    channel = Latest("x")
    channel.put(1)
    channel.close()
    assert await channel.get() == 1
    for _ in range(2):
        with pytest.raises(ClosedError, match="x"):
            await channel.get()


async def test_latest_can_be_polled_without_waiting():
    channel = Latest("c")
    assert channel.poll() is None
    channel.put(1)
    channel.put(2)
    assert (channel.poll(), channel.poll()) == (2, None)
    channel.put(3)
    channel.close()
    assert (channel.poll(), channel.poll()) == (3, None)
    with pytest.raises(ClosedError):
        await channel.get()


async def test_latest_refuses_a_value_after_close():
    channel = Latest("x")
    channel.close()
    with pytest.raises(AssertionError, match="put after close"):
        channel.put(1)


def test_a_reader_waits_for_the_value_and_for_the_close():
    async def main():
        channel, seen = Latest("x"), []

        async def read():
            try:
                while True:
                    seen.append((await channel.get(), now()))
            except ClosedError:
                seen.append(("closed", now()))

        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            await asyncio.sleep(2.0)
            channel.put("a")
            await asyncio.sleep(3.0)
            channel.close()
        return seen

    assert run(main) == [("a", 2.0), ("closed", 5.0)]


async def test_a_lane_is_first_in_first_out_and_bounded():
    lane = Lane("drains", 2)
    assert [lane.offer(key, key.upper()) for key in "abc"] == [True, True, False]
    assert (len(lane), lane.refused) == (2, 1)
    assert await lane.take() == ("a", "A")
    assert lane.offer("c", "C")
    assert [await lane.take() for _ in range(2)] == [("b", "B"), ("c", "C")]


async def test_a_lane_holds_a_key_once_queued_or_in_hand():
    lane = Lane("drains", 9)
    assert lane.offer("a", 1)
    assert not lane.offer("a", 2)
    await lane.take()
    assert not lane.offer("a", 3)
    lane.done("a")
    assert lane.offer("a", 4)
    assert await lane.take() == ("a", 4)
    assert lane.refused == 2


async def test_a_closed_lane_gives_what_is_queued_and_takes_nothing():
    lane = Lane("drains", 9)
    lane.offer("a", 1)
    lane.close()
    assert not lane.offer("b", 2)
    assert await lane.take() == ("a", 1)
    with pytest.raises(ClosedError, match="drains"):
        await lane.take()


def test_a_taker_waits_for_an_entry():
    async def main():
        lane = Lane("drains", 9)
        asyncio.get_running_loop().call_later(4.0, lane.offer, "a", 1)
        return await lane.take(), now()

    assert run(main) == (("a", 1), 4.0)
