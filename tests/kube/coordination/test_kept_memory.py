"""A memory outlives its process in one ConfigMap, which two processes never write in turns."""

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest

from spotvortex.core.domain import labels
from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring import memory_text
from spotvortex.core.scoring.interruption_memory import (
    EMPTY_MEMORY,
    MAX_OFFERINGS,
    OfferingMemory,
    memory_of,
)
from spotvortex.kube.coordination import kept_value as module
from spotvortex.kube.coordination.kept_memory import KeptMemory
from spotvortex.kube.coordination.kept_value import ASIDE, MAX_BYTES
from spotvortex.kube.write.bounded import BoundedRequests
from spotvortex.ports.lease_timing import LeaseTiming
from tests.core.builders import AT, WEB_A, WEB_B
from tests.kube.coordination.places import BOTH, place_of
from tests.kube.scenes import await_true

KEY = KeptMemory.KEY
CALM = memory_of({WEB_A: OfferingMemory(exposure_hours=5.0, updated_at=AT)}, {})
HURT = memory_of({WEB_A: OfferingMemory(losses=1.0, last_loss_at=AT, updated_at=AT)}, {})
LATER = memory_of({WEB_A: OfferingMemory(losses=2.0, last_loss_at=AT + 9, updated_at=AT + 9)}, {})


@pytest.fixture(params=BOTH)
async def place(request):
    async with place_of(request) as found:
        await found.put(labels.MEMORY, {})
        yield found


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Look, save and try again at once, and yield for as long as a test wants."""
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(module, "SAVE_EVERY_S", 0.05)
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.02)


def kept_by(place, writer="one"):
    where = module.Place(namespace=place.namespace, writer=writer)
    return KeptMemory(place.client, where, Random(1))


@asynccontextmanager
async def running(kept):
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(kept.run(stop))
        try:
            yield kept
        finally:
            stop.set()


async def wait(seconds):
    """Give what must not happen the time to happen."""
    await asyncio.sleep(seconds)


async def settled(kept):
    async def is_settled():
        return kept.is_settled

    await await_true(is_settled)
    return kept.recall(EMPTY_MEMORY)


async def data(place):
    return (await place.get(labels.MEMORY)).get("data") or {}


async def is_saved(place, memory):
    async def is_there():
        return (await data(place)).get(KEY) == memory_text.to_text(memory)

    await await_true(is_there)


async def test_what_one_process_learned_the_next_recalls_once(place):
    async with running(kept_by(place)) as kept:
        assert (await settled(kept)).offerings == {}
        kept.save(CALM)
        await is_saved(place, CALM)
        kept.save(HURT)
    await is_saved(place, HURT)
    async with running(kept_by(place, "two")) as kept:
        assert (await settled(kept)).offerings == HURT.offerings
        assert kept.recall(EMPTY_MEMORY) is None


async def test_what_others_wrote_beside_it_stays(place):
    await place.put(labels.MEMORY, {"note": "mine"})
    async with running(kept_by(place)) as kept:
        await settled(kept)
        kept.save(HURT)
        await is_saved(place, HURT)
    assert (await data(place))["note"] == "mine"
    found = (await place.get(labels.MEMORY))["metadata"]["annotations"]
    assert found[labels.WRITTEN_BY] == "one"


async def test_a_memory_that_cannot_be_read_is_put_aside_and_the_first_one_stays(place, caplog):
    for text in ("from the future", "broken once more"):
        await place.put(labels.MEMORY, await data(place) | {KEY: text})
        async with running(kept_by(place)) as kept:
            assert (await settled(kept)).offerings == {}
            kept.save(HURT)
            await is_saved(place, HURT)
    assert (await data(place))[ASIDE] == "from the future"
    assert caplog.messages.count("memory.unreadable") == 2


async def test_of_two_processes_the_one_that_meets_the_others_writing_leaves_it_to_that(
    place, caplog
):
    async with running(kept_by(place)) as one, running(kept_by(place, "two")) as two:
        await settled(one)
        await settled(two)
        one.save(CALM)
        await is_saved(place, CALM)
        two.save(HURT)
        for _ in range(20):
            await wait(0.02)
            assert (await data(place))[KEY] == memory_text.to_text(CALM)
        one.save(LATER)
        await is_saved(place, LATER)
    await is_saved(place, LATER)
    (told,) = [r for r in caplog.records if r.getMessage() == "memory.others"]
    assert told.error == "one writes it"


async def test_who_has_given_way_goes_on_where_the_other_has_ended(place, monkeypatch):
    monkeypatch.setattr(module, "YIELD_S", 0.2)
    async with running(kept_by(place, "two")) as two:
        await settled(two)
        async with running(kept_by(place)) as one:
            await settled(one)
            one.save(CALM)
            await is_saved(place, CALM)
            two.save(HURT)
        await is_saved(place, HURT)


async def test_a_label_that_a_person_sets_is_no_other_writer(place):
    async with running(kept_by(place)) as kept:
        await settled(kept)
        kept.save(CALM)
        await is_saved(place, CALM)
        await place.put(labels.MEMORY, await data(place))
        kept.save(HURT)
        await is_saved(place, HURT)


async def test_a_memory_that_has_not_changed_is_not_written_again(place):
    async with running(kept_by(place)) as kept:
        await settled(kept)
        kept.save(CALM)
        await is_saved(place, CALM)
        version = (await place.get(labels.MEMORY))["metadata"]["resourceVersion"]
        kept.save(CALM)
        await wait(0.3)
    assert (await place.get(labels.MEMORY))["metadata"]["resourceVersion"] == version


async def test_a_loss_is_saved_at_once_and_everything_else_in_its_time(place, monkeypatch):
    monkeypatch.setattr(module, "SAVE_EVERY_S", 3600.0)
    async with running(kept_by(place)) as kept:
        await settled(kept)
        kept.save(CALM)
        await wait(0.2)
        assert KEY not in await data(place)
        kept.save(HURT)
        await is_saved(place, HURT)
        more = replace(HURT, offerings=HURT.offerings | CALM.offerings)
        kept.save(more)
        await wait(0.2)
        assert (await data(place))[KEY] == memory_text.to_text(HURT)
    await is_saved(place, more)


async def test_without_the_config_map_it_is_told_once_and_nothing_is_made(place, caplog):
    await place.delete(labels.MEMORY)
    async with running(kept_by(place)) as kept:
        assert await settled(kept) is None
        kept.save(HURT)
        await wait(0.1)
    assert labels.MEMORY not in await place.names()
    assert [r.levelno for r in caplog.records if r.getMessage() == "memory.not_kept"] == [
        logging.WARNING
    ]


async def test_a_config_map_that_vanishes_is_told_once_and_not_made_again(place, caplog):
    async with running(kept_by(place)) as kept:
        await settled(kept)
        await place.delete(labels.MEMORY)
        kept.save(HURT)
        await wait(0.3)
        kept.save(LATER)
        await wait(0.3)
    assert labels.MEMORY not in await place.names()
    assert caplog.messages.count("memory.not_saved") == 1


class Lease:
    """Who may write, and what is sent by whom."""

    def __init__(self, client):
        self.client, self.leads = client, False

    def bounded(self):
        left_s = 60.0 if self.leads else -60.0
        until = asyncio.get_running_loop().time() + left_s
        return BoundedRequests(client=self.client, until=until, timing=LeaseTiming())


async def test_where_there_is_a_lease_its_holder_writes_and_the_next_one_goes_on(place, caplog):
    leases = [Lease(place.client), Lease(place.client)]
    one, two = (
        KeptMemory(place.client, module.Place(namespace=place.namespace, writer=w), Random(1), b)
        for w, b in zip(("one", "two"), (lease.bounded for lease in leases), strict=True)
    )
    async with running(one), running(two):
        await settled(one)
        await settled(two)
        one.save(CALM)
        two.save(HURT)
        await wait(0.2)
        assert KEY not in await data(place)
        leases[0].leads = True
        await is_saved(place, CALM)
        leases[0].leads, leases[1].leads = False, True
        await is_saved(place, HURT)
    assert caplog.messages == []


def test_the_largest_memory_there_can_be_and_one_put_aside_fit_into_one_object():
    odd = OfferingMemory(
        losses=1.2345678901234567e-300,
        exposure_hours=1.2345678901234567e-300,
        loss_shares=1.2345678901234567e-300,
        shaped_hours=1.2345678901234567e-300,
        last_loss_at=1.2345678901234567e-300,
        updated_at=1.2345678901234567e-300,
        launches=1.2345678901234567e-300,
        refusals=1.2345678901234567e-300,
        last_refused_at=1.2345678901234567e-300,
    )
    # Both names are labels of a node, which have 63 characters at most.
    longest = {Offering(instance_type=f"{i:063}", zone="z" * 63): odd for i in range(MAX_OFFERINGS)}
    size = len(memory_text.to_text(memory_of(longest, {})).encode())
    assert size <= MAX_BYTES
    assert 2 * MAX_BYTES <= 1 << 20
    assert WEB_B not in longest
