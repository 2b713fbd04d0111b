"""The freeze and what is remembered, on a real API server, and what a bad answer does to them."""

import asyncio
from contextlib import asynccontextmanager
from random import Random

import pytest

from spotvortex.core.domain import labels
from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.types import Freeze
from spotvortex.errors import ServerError
from spotvortex.kube.coordination import freeze as module
from spotvortex.kube.coordination.freeze import FreezeWatch
from spotvortex.kube.coordination.state_store import (
    ASIDE,
    MAX_BYTES,
    Aside,
    Changed,
    Loaded,
    Saved,
    TooLargeError,
    VersionedConfigMap,
)
from tests.controlplane.proxy import LoopbackProxy
from tests.kube.coordination.places import BOTH, REAL, long, place_of, real_place
from tests.kube.fake_api import (
    SILENCE,
    Answer,
    FakeApi,
    FakeCluster,
    event,
    listed,
    refused,
    serving,
    until,
    watched,
)
from tests.kube.scenes import connected


@pytest.fixture
async def place(control_plane):
    async with real_place(control_plane) as found:
        yield found


@pytest.fixture(params=BOTH)
async def kept(request):
    async with place_of(request) as found:
        yield found


@asynccontextmanager
async def freezing(client, namespace="ours", stale_after_s=20.0):
    watch, stop = FreezeWatch(client, namespace, Random(1), stale_after_s), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(watch.run(stop))
        yield watch
        stop.set()


class TestFreeze:
    pytestmark = REAL

    async def test_a_freeze_is_seen_as_it_comes_changes_and_goes(self, place):
        await place.put("other", {"hard": "true"})
        async with freezing(place.client, place.namespace) as watch:
            assert watch.state() is Freeze.UNKNOWN
            await until(lambda: watch.state() is Freeze.NONE)
            await place.put(labels.FREEZE, {})
            await until(lambda: watch.state() is Freeze.SOFT)
            await place.put(labels.FREEZE, {"hard": "true"})
            await until(lambda: watch.state() is Freeze.HARD)
            await place.put(labels.FREEZE, {"hard": "false"})
            await until(lambda: watch.state() is Freeze.SOFT)
            await place.put(labels.FREEZE, {"leave": "true"})
            await until(lambda: watch.state() is Freeze.LEAVE)
            # What a person says counts more.
            await place.put(labels.FREEZE, {"leave": "true", "mode": "hard"})
            await until(lambda: watch.state() is Freeze.HARD)
            await place.delete(labels.FREEZE)
            await until(lambda: watch.state() is Freeze.NONE)
            health = watch.health()
            assert (health.name, health.state, health.required) == ("freeze", InputState.OK, False)

    async def test_a_freeze_that_cannot_be_confirmed_is_not_known(self, place, monkeypatch):
        monkeypatch.setattr(module, "PROBE_EVERY_S", 0.1)
        monkeypatch.setattr("spotvortex.kube.api.client.PROBE_S", 0.5)
        with LoopbackProxy(place.plane.url) as proxy:
            async with (
                connected(place.plane, server=proxy.url) as far,
                freezing(far, place.namespace, 1.0) as watch,
            ):
                await until(lambda: watch.state() is Freeze.NONE)
                # A silent stream is confirmed by probes alone.
                await asyncio.sleep(1.5)
                await until(lambda: watch.state() is Freeze.NONE)
                proxy.partition()
                await until(lambda: watch.state() is Freeze.UNKNOWN)
                assert watch.health().state is InputState.STALE
                proxy.heal()
                await until(lambda: watch.state() is Freeze.NONE, 20.0)

    async def test_without_the_right_to_see_it_a_freeze_is_not_known(self, place):
        async with (
            connected(place.plane, "nobody") as nobody,
            freezing(nobody, place.namespace) as watch,
        ):
            await until(lambda: watch.health().state is InputState.DENIED)
            assert watch.state() is Freeze.UNKNOWN
            assert "nothing is written" in watch.health().detail


async def test_a_freeze_that_cannot_be_read_is_there():
    bad = {"metadata": {"name": labels.FREEZE, "resourceVersion": "11"}, "data": {"hard": 7}}
    api = FakeApi([listed()], [watched(event("ADDED", bad), SILENCE)])
    async with serving(api) as client, freezing(client) as watch:
        await until(lambda: watch.state() is Freeze.SOFT)
    assert api.asked[0]["fieldSelector"] == "metadata.name=spotvortex-freeze"


async def test_a_probe_that_fails_confirms_nothing(monkeypatch):
    monkeypatch.setattr(module, "PROBE_EVERY_S", 0.05)
    maps = FakeApi([listed()], [watched(SILENCE)])

    class NoProbe(FakeCluster):
        async def handle(self, request):
            if request.path == "/version":
                request.transport.abort()
            return await super().handle(request)

    async with (
        serving(NoProbe({"/api/v1/namespaces/ours/configmaps": maps})) as client,
        freezing(client, stale_after_s=1.0) as watch,
    ):
        await until(lambda: watch.state() is Freeze.NONE)
        await until(lambda: watch.state() is Freeze.UNKNOWN)


class TestState:
    async def test_what_was_saved_is_loaded_again(self, kept):
        state = kept.state()
        assert await state.load() == Loaded()
        assert await state.save({"memory": "m1", "targets": "t"}) == Saved()
        assert await state.save({"memory": "m2"}) == Saved()
        assert await kept.state().load() == Loaded(data={"memory": "m2"})
        stored = await kept.get(labels.STATE)
        assert stored["data"] == {"memory": "m2", "version": "1"}
        assert stored["metadata"]["labels"] == {labels.MANAGED_BY: "spotvortex"}

    async def test_what_somebody_else_wrote_is_told_and_not_overwritten(self, kept):
        one, two = kept.state(), kept.state()
        await one.load()
        await two.load()
        assert await one.save({"a": "one"}) == Saved()
        assert await two.save({"a": "two"}) == Changed(data={"a": "one"})
        assert await two.save({"a": "two"}) == Saved()
        assert await one.save({"a": "one"}) == Changed(data={"a": "two"})

    async def test_what_was_deleted_is_told_and_made_anew(self, kept):
        state = kept.state()
        await state.save({"a": "1"})
        await kept.delete(labels.STATE)
        assert await state.save({"a": "2"}) == Changed(data={})
        assert await state.save({"a": "2"}) == Saved()

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            ({"version": "2", "a": "new"}, "it is of version 2, and this is 1"),
            ({"version": "one", "a": "new"}, "its version is 'one'"),
            ({"a": "new"}, "its version is ''"),
        ],
    )
    async def test_what_cannot_be_used_is_kept_aside_once(self, kept, data, reason):
        await kept.put(labels.STATE, data)
        state = kept.state()
        assert await state.load() == Aside(reason)
        aside = await kept.get(ASIDE)
        assert aside["data"] == data
        assert aside["metadata"]["annotations"]["spotvortex.io/reason"] == reason
        assert await state.save({"a": "mine"}) == Saved()
        await kept.put(labels.STATE, {"version": "9"})
        assert isinstance(await kept.state().load(), Aside)
        assert (await kept.get(ASIDE))["data"] == data

    async def test_a_text_that_the_caller_cannot_read_is_kept_aside(self, kept):
        state = kept.state()
        assert await state.put_aside("nothing there") == Aside("nothing there")
        assert await kept.names() == set()
        await state.save({"a": "?"})
        assert await state.put_aside("a cannot be read") == Aside("a cannot be read")
        assert await kept.names() == {labels.STATE, ASIDE}

    async def test_an_empty_one_is_nothing_remembered(self, kept):
        await kept.put(labels.STATE, {})
        assert await kept.state().load() == Loaded()

    async def test_the_largest_is_kept_and_more_is_refused(self, kept):
        state = kept.state()
        most = MAX_BYTES - len("version1") - len("a")
        assert await state.save({"a": "x" * most}) == Saved()
        with pytest.raises(TooLargeError, match=f"{MAX_BYTES + 1} bytes are to be kept"):
            await state.save({"a": "x" * (most + 1)})
        assert len((await kept.get(labels.STATE))["data"]["a"]) == most


async def test_an_answer_that_cannot_be_read_is_an_error():
    async with serving(FakeApi([Answer({"metadata": {}})])) as client:
        with pytest.raises(ServerError, match="unreadable ConfigMap"):
            await VersionedConfigMap(client, "ours", 1, long(client)).load()


async def test_a_server_that_fails_is_an_error_and_nothing_is_taken_as_saved():
    stored = Answer({"metadata": {"resourceVersion": "7"}, "data": {"version": "1"}})
    api = FakeApi([stored, refused(500), stored])
    async with serving(api) as client:
        state = VersionedConfigMap(client, "ours", 1, long(client))
        await state.load()
        with pytest.raises(ServerError):
            await state.save({})
        await state.save({})
    assert [body["metadata"]["resourceVersion"] for body in api.posted] == ["7", "7"]
