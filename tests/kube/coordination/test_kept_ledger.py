"""A ledger outlives its process in a ConfigMap of its own."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest

from spotvortex.core.domain import labels
from spotvortex.core.ledger.ledger import EMPTY_LEDGER
from spotvortex.core.ledger.ledger_text import from_text, to_text
from spotvortex.kube.coordination import kept_value as module
from spotvortex.kube.coordination.kept_ledger import KeptLedger
from tests.core.ledger.looks import Book, web
from tests.kube.coordination.places import BOTH, place_of
from tests.kube.scenes import await_true

LEDGER = from_text(to_text(Book().steady(web(), hours=0.5).ledger))


@pytest.fixture(params=BOTH)
async def place(request):
    async with place_of(request) as found:
        await found.put(labels.LEDGER, {})
        yield found


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Look, save and try again at once."""
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(module, "SAVE_EVERY_S", 0.05)
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.02)


@asynccontextmanager
async def running(place):
    kept = KeptLedger(
        place.client, module.Place(namespace=place.namespace, writer="one"), Random(1)
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(kept.run(stop))
        try:
            yield kept
        finally:
            stop.set()


async def settled(kept):
    async def is_settled():
        return kept.is_settled

    await await_true(is_settled)
    return kept.recall()


async def test_what_one_process_accounted_for_the_next_recalls_once(place):
    async with running(place) as kept:
        assert await settled(kept) == EMPTY_LEDGER
        assert kept.saved is None
        kept.save(LEDGER)

        async def is_saved():
            return kept.saved is LEDGER

        await await_true(is_saved)
    async with running(place) as kept:
        assert await settled(kept) == LEDGER
        assert kept.recall() is None


async def test_who_meets_what_another_has_written_recalls_it_once_more(place, caplog):
    async def is_told():
        return "ledger.not_met" in caplog.messages

    other = from_text(to_text(Book().steady(web(n_spot=5), hours=0.2).ledger))
    async with running(place) as kept:
        await settled(kept)
        await place.put(labels.LEDGER, {"ledger": to_text(other)})
        kept.save(LEDGER)

        async def is_saved():
            return kept.saved is LEDGER

        await await_true(is_saved)
        assert kept.recall() == other
        assert kept.recall() is None
        await place.put(labels.LEDGER, {"ledger": "spoilt"})
        kept.save(replace(LEDGER, since=0.0))
        await await_true(is_told)
        assert kept.recall() is None


async def test_a_ledger_of_a_later_version_is_put_aside_and_begun_anew(place, caplog):
    await place.put(labels.LEDGER, {"ledger": '{"version": 99}'})
    async with running(place) as kept:
        assert await settled(kept) == EMPTY_LEDGER
        kept.save(LEDGER)

        async def is_aside():
            found = (await place.get(labels.LEDGER)).get("data") or {}
            return found.get(module.ASIDE) == '{"version": 99}'

        await await_true(is_aside)
    assert "ledger.unreadable" in caplog.messages


async def test_without_the_config_map_nothing_is_kept_and_nothing_made(place, caplog):
    await place.delete(labels.LEDGER)
    async with running(place) as kept:
        assert await settled(kept) is None
        assert not kept.keeps
    assert labels.LEDGER not in await place.names()
    assert caplog.messages.count("ledger.not_kept") == 1
