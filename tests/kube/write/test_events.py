"""Events on nodes: found by their node, counted when repeated, and nobody's trouble."""

import asyncio
from contextlib import asynccontextmanager
from random import Random

import pytest

from spotvortex.kube.write import events as module
from spotvortex.kube.write.events import EventRecorder
from tests.kube.fake_api import Answer, FakeApi, refused, serving, until
from tests.kube.scenes import await_true, connected, fresh

CREATED = Answer({"metadata": {"name": "e"}}, status=201)


class Clock:
    def now(self):
        return 1_800_000_000.0


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "EVERY_S", 0.01)


@asynccontextmanager
async def recording(client):
    recorder, stop = EventRecorder(client, "copy-1", Clock(), Random()), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(recorder.run(stop))
        yield recorder
        stop.set()


@asynccontextmanager
async def scripted(*answers):
    api = FakeApi(list(answers))
    async with serving(api) as client, recording(client) as recorder:
        yield recorder, api


@pytest.mark.controlplane
async def test_an_event_is_found_by_its_node_and_repeats_are_counted(control_plane):
    name = fresh("node")
    path = f"/api/v1/namespaces/default/events?fieldSelector=involvedObject.uid%3Duid-{name}"

    async def found():
        items = await asyncio.to_thread(control_plane.api().items, path)
        return sorted((e["reason"], e["type"], e["message"], e["count"]) for e in items)

    async def await_found(*events):
        async def are_found():
            return await found() == list(events)

        await await_true(are_found)

    async with connected(control_plane) as client, recording(client) as recorder:
        recorder.emit(name, f"uid-{name}", "Normal", "Cordoned", "moved away from spot")
        recorder.emit(name, f"uid-{name}", "Normal", "Cordoned", "moved away from spot")
        recorder.emit(name, f"uid-{name}", "Warning", "Blocked", "a budget allows no eviction")
        cordoned = ("Cordoned", "Normal", "moved away from spot", 2)
        blocked = ("Blocked", "Warning", "a budget allows no eviction", 1)
        await await_found(blocked, cordoned)
        recorder.emit(name, f"uid-{name}", "Warning", "Blocked", "a budget allows no eviction")
        await await_found((*blocked[:3], 2), cordoned)
        # One that somebody deleted is written anew.
        await asyncio.to_thread(
            control_plane.api().delete, path.replace("?", "?gracePeriodSeconds=0&")
        )
        recorder.emit(name, f"uid-{name}", "Normal", "Cordoned", "moved away from spot")
        await await_found((*cordoned[:3], 1))
        assert recorder.n_dropped == 0


async def test_a_refusal_is_counted_and_the_next_is_tried():
    async with scripted(refused(403), Answer({}), CREATED) as (recorder, api):
        for reason in ("One", "Two", "Three"):
            recorder.emit("n", "u", "Normal", reason, "x")
        await until(lambda: len(api.posted) == 3)
        await until(lambda: recorder.n_dropped == 2)


async def test_what_was_told_first_is_written_first():
    async with scripted(CREATED) as (recorder, api):
        for reason in ("One", "Two", "Three"):
            recorder.emit("n", "u", "Normal", reason, "x")
        await until(lambda: len(api.posted) == 3)
    assert [body["reason"] for body in api.posted] == ["One", "Two", "Three"]
    assert {body["count"] for body in api.posted} == {1}


async def test_a_full_queue_drops_the_newest_and_still_counts(monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    async with serving(FakeApi([CREATED])) as client:
        recorder = EventRecorder(client, "copy-1", Clock(), Random(1))
        for reason in ("One", "Two", "Three", "One"):
            recorder.emit("n", "u", "Normal", reason, "x")
        assert recorder.n_dropped == 1
        assert list(recorder._waiting.values()) == [2, 1]


async def test_an_old_one_is_written_anew_and_only_so_many_are_remembered(monkeypatch):
    monkeypatch.setattr(module, "MAX_KNOWN", 1)
    async with scripted(CREATED) as (recorder, api):
        for reason in ("One", "Two", "One"):
            recorder.emit("n", "u", "Normal", reason, "x")
            await until(lambda r=reason: [what.reason for what in recorder._known] == [r])
        assert api.methods == ["POST"] * 3
        recorder.emit("n", "u", "Normal", "One", "x")
        await until(lambda: api.methods[-1] == "PATCH")
        monkeypatch.setattr(module, "KNOWN_S", -1.0)
        recorder.emit("n", "u", "Normal", "Two", "x")
        await until(lambda: len(api.methods) == 5)
        recorder.emit("n", "u", "Normal", "Two", "x")
        await until(lambda: len(api.methods) == 6)
        assert api.methods[-2:] == ["POST", "POST"]


async def test_words_are_cut_to_what_the_server_takes():
    async with scripted(CREATED) as (recorder, api):
        recorder.emit("n" * 253, "u", "Else", "r" * 300, "x" * 3000)
        await until(lambda: api.posted)
    body = api.posted[0]
    assert (body["type"], len(body["reason"]), len(body["message"])) == ("Normal", 128, 1024)
    assert len(body["metadata"]["name"]) <= 253
    assert body["lastTimestamp"] == "2027-01-15T08:00:00Z"


async def test_a_right_that_is_missing_is_warned_of_once(caplog):
    forbidden = refused(403, "events is forbidden")
    async with scripted(*[forbidden] * 3) as (recorder, _):
        for number in range(3):
            recorder.emit("n", "u", "Normal", f"Reason{number}", "x")
        await until(lambda: recorder.n_dropped == 3)
    (warning,) = [r for r in caplog.records if r.message == "events.forbidden"]
    assert warning.levelname == "WARNING"
    assert "deploy/kustomize/events" in warning.fix
