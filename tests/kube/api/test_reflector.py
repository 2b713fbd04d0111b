"""The reflector against answers that a real server gives only when it pleases."""

import asyncio
import logging
from contextlib import asynccontextmanager
from random import Random

import pytest

from spotvortex.errors import ForbiddenError, NotServedError, ServerError, ThrottledError
from spotvortex.kube.api import reflector as module
from spotvortex.kube.api.reflector import Reflector, ReflectorState, Resource
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire.codec import Codec
from tests.kube.fake_api import (
    CUT,
    SILENCE,
    Answer,
    FakeApi,
    bookmark,
    client_for,
    event,
    listed,
    refused,
    serving,
    until,
    watched,
)
from tests.kube.objects import node


class Notebook:
    """A sink that writes down what it is told, in order."""

    def __init__(self):
        self.held = {}
        self.told = []

    def keys(self):
        return self.held.keys()

    def put(self, key, obj):
        if (obj.metadata.labels or {}).get("bad"):
            raise ValueError("bad")
        self.held[key] = obj
        self.told.append((key, obj.metadata.resource_version))

    def remove(self, key):
        self.held.pop(key, None)
        self.told.append((key, None))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "SLOW_RETRY_S", 0.1)


@asynccontextmanager
async def reflecting(api, inactivity_s=30.0):
    """Run a reflector of nodes against a script."""
    async with serving(api) as client, running(client, inactivity_s) as found:
        yield found


@asynccontextmanager
async def running(client, inactivity_s=30.0):
    resource = Resource(name="nodes", path="/api/v1/nodes", inactivity_s=inactivity_s)
    sink = Notebook()
    reflector = Reflector(client, resource, Codec(wire.Node), sink, Random(1))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reflector.run())
        yield reflector, sink
        task.cancel()


async def test_pages_are_followed_and_the_watch_starts_at_their_version():
    api = FakeApi([listed(node("a"), token="t1"), listed(node("b"), version="10")])
    async with reflecting(api) as (reflector, sink):
        await until(lambda: reflector.state is ReflectorState.WATCHING)
        assert set(sink.held) == {"a", "b"}
        assert [q.get("continue") for q in api.asked] == [None, "t1", None]
        assert api.asked[0]["limit"] == "500"
        assert api.watch_versions == ["10"]
        assert 240 <= int(api.asked[-1]["timeoutSeconds"]) <= 480
        assert api.asked[-1]["allowWatchBookmarks"] == "true"


async def test_requests_name_us_and_ask_for_no_compression():
    api = FakeApi([listed()])
    async with reflecting(api) as (reflector, _):
        await until(lambda: reflector.state is ReflectorState.WATCHING)
        assert all(h["User-Agent"].startswith("spotvortex/") for h in api.headers)
        assert all(h["Accept-Encoding"] == "identity" for h in api.headers)


async def test_events_are_applied_in_order():
    script = watched(
        event("ADDED", node("b", version="11")),
        event("MODIFIED", node("a", version="12")),
        event("DELETED", node("b", version="13")),
        SILENCE,
    )
    async with reflecting(FakeApi([listed(node("a"))], [script])) as (reflector, sink):
        await until(lambda: reflector.n_events == 3)
        assert sink.told == [("a", "1"), ("b", "11"), ("a", "12"), ("b", None)]


async def test_an_ended_watch_goes_on_from_the_last_version_seen():
    first = watched(event("ADDED", node("b", version="11")), bookmark("20"))
    async with reflecting(FakeApi([listed()], [first, watched(SILENCE)])) as (reflector, _):
        await until(lambda: reflector.n_reconnects == 1 and reflector.n_events == 2)
        await until(lambda: reflector.state is ReflectorState.WATCHING)
    assert reflector.n_lists == 1


async def test_the_version_of_a_bookmark_is_asked_for_next():
    api = FakeApi([listed()], [watched(bookmark("20")), watched(SILENCE)])
    async with reflecting(api):
        await until(lambda: len(api.watch_versions) == 2)
    assert api.watch_versions == ["10", "20"]


@pytest.mark.parametrize(
    "expiry",
    [
        refused(410, "too old", "Expired"),
        watched(event("ERROR", {"kind": "Status", "code": 410, "message": "too old"}), SILENCE),
    ],
)
async def test_an_expired_version_lists_again_and_forgets_what_vanished(expiry):
    lists = [listed(node("a"), node("b")), listed(node("b"), version="30")]
    api = FakeApi(lists, [expiry, watched(SILENCE)])
    async with reflecting(api) as (reflector, sink):
        await until(lambda: len(api.watch_versions) == 2)
        assert set(sink.held) == {"b"}
        assert reflector.n_relists == 1
    assert api.watch_versions == ["10", "30"]


async def test_a_list_tells_how_much_it_held_and_how_much_has_vanished(caplog):
    caplog.set_level(logging.INFO, logger="spotvortex")
    lists = [listed(node("a"), node("b"), node("c")), listed(node("b"), version="30")]
    api = FakeApi(lists, [refused(410, "too old", "Expired"), watched(SILENCE)])
    async with reflecting(api):
        await until(lambda: len(api.watch_versions) == 2)
    told = [r for r in caplog.records if r.message == "reflector.listed"]
    assert [(r.n_objects, r.n_vanished) for r in told] == [(3, 0), (1, 2)]


async def test_a_fault_is_a_warning_once_and_then_a_word_for_who_looks(caplog):
    caplog.set_level(logging.DEBUG, logger="spotvortex")
    async with reflecting(FakeApi([refused(500)])) as (reflector, _):
        await until(lambda: caplog.text.count("reflector.down") >= 2)
        assert reflector.state is ReflectorState.DOWN
    levels = [r.levelname for r in caplog.records if r.message == "reflector.down"]
    assert levels[:2] == ["WARNING", "DEBUG"]


@pytest.mark.parametrize(
    ("error", "shortest_s", "longest_s"),
    [
        (NotServedError("no", status=404), 45.0, 60.0),
        (ForbiddenError("no", status=403), 45.0, 60.0),
        (ForbiddenError("no", status=401), 0.0, 1.0),
        (ServerError("no", status=500), 0.0, 1.0),
        (ThrottledError("no", status=429, retry_after_s=7.0), 7.0, 7.0),
        (ThrottledError("no", status=429, retry_after_s=900.0), 60.0, 60.0),
        (None, 0.0, 1.0),
    ],
)
async def test_a_pause_is_long_after_a_refusal_and_as_the_server_asks(
    monkeypatch, error, shortest_s, longest_s
):
    monkeypatch.setattr(module, "SLOW_RETRY_S", 60.0)
    async with serving(FakeApi()) as client:
        resource = Resource(name="nodes", path="/api/v1/nodes")
        reflector = Reflector(client, resource, Codec(wire.Node), Notebook(), Random(1))
        assert shortest_s <= reflector._pause(error) <= longest_s


async def test_a_list_that_expires_half_way_starts_again():
    lists = [
        listed(node("a"), token="t1"),
        refused(410, "continue token too old", "Expired"),
        listed(node("b"), version="40"),
    ]
    api = FakeApi(lists)
    async with reflecting(api) as (reflector, sink):
        await until(lambda: reflector.state is ReflectorState.WATCHING)
        assert set(sink.held) == {"b"}
        assert reflector.n_relists == 1
    assert api.watch_versions == ["40"]


async def test_a_busy_server_in_mid_list_costs_one_page_not_the_list():
    lists = [
        listed(node("a"), token="t1"),
        refused(429, "slow down", "TooManyRequests"),
        refused(503, "busy", "ServiceUnavailable"),
        listed(node("b"), version="10"),
    ]
    api = FakeApi(lists)
    async with reflecting(api) as (reflector, sink):
        await until(lambda: reflector.state is ReflectorState.WATCHING)
        assert set(sink.held) == {"a", "b"}
        assert reflector.n_lists == 1


async def test_a_server_that_stays_broken_in_mid_list_starts_the_list_again():
    broken = [refused(500) for _ in range(module.PAGE_ATTEMPTS)]
    api = FakeApi([listed(node("a"), token="t1"), *broken, listed(node("b"))])
    async with reflecting(api) as (reflector, sink):
        await until(lambda: reflector.state is ReflectorState.WATCHING)
        assert (reflector.n_lists, set(sink.held)) == (2, {"b"})


async def test_a_cut_in_mid_line_goes_on_from_the_last_whole_line():
    half = event("ADDED", node("c", version="12"))[:20]
    first = watched(event("ADDED", node("b", version="11")), half, 0.05, CUT)
    api = FakeApi([listed()], [first, watched(SILENCE)])
    async with reflecting(api) as (reflector, sink):
        await until(lambda: len(api.watch_versions) == 2)
        assert set(sink.held) == {"b"}
    assert api.watch_versions == ["10", "11"]
    assert reflector.n_lists == 1


async def test_an_end_in_mid_line_counts_as_a_cut():
    half = event("ADDED", node("c", version="12"))[:20]
    api = FakeApi([listed()], [watched(half), watched(SILENCE)])
    async with reflecting(api):
        await until(lambda: len(api.watch_versions) == 2)
    assert api.watch_versions == ["10", "10"]


async def test_silence_is_a_dead_stream():
    api = FakeApi([listed()], [watched(SILENCE)])
    async with reflecting(api, inactivity_s=0.1) as (reflector, _):
        await until(lambda: len(api.watch_versions) >= 3)
        assert "timed out" in reflector.last_error
    assert reflector.n_lists == 1


async def test_a_line_larger_than_the_buffer_lists_again():
    huge = event("ADDED", node("big", {"x": "y" * 5_000_000}, version="11"))
    api = FakeApi([listed(), listed(node("big"), version="11")], [watched(huge), watched(SILENCE)])
    async with reflecting(api) as (_, sink):
        await until(lambda: len(api.watch_versions) == 2)
        assert set(sink.held) == {"big"}
    assert api.watch_versions == ["10", "11"]


@pytest.mark.parametrize("line", [b"<html>\n", b'{"type":"PARTY","object":{}}\n'])
async def test_a_line_that_is_no_event_lists_again(line):
    api = FakeApi([listed()], [watched(line, SILENCE), watched(SILENCE)])
    async with reflecting(api):
        await until(lambda: len(api.watch_versions) == 2)
        assert api.n_lists == 2


async def test_an_error_event_of_another_kind_goes_on_from_the_last_version():
    broken = event("ERROR", {"kind": "Status", "code": 500, "message": "etcd leader changed"})
    api = FakeApi([listed()], [watched(broken), watched(SILENCE)])
    async with reflecting(api):
        await until(lambda: len(api.watch_versions) == 2)
    assert api.n_lists == 1


async def test_unreadable_objects_are_left_out_and_counted():
    script = watched(
        event("ADDED", {"metadata": {"name": 7, "resourceVersion": "11"}}),
        event("ADDED", node("b", version="12")),
        event("ADDED", node("c", {"bad": "yes"}, version="13")),
        SILENCE,
    )
    api = FakeApi([listed(node("a"), {"metadata": []})], [script])
    async with reflecting(api) as (reflector, sink):
        await until(lambda: reflector.n_events == 3)
        assert set(sink.held) == {"a", "b"}
        assert reflector.n_skipped == 3


@pytest.mark.parametrize(
    ("status", "state"), [(403, ReflectorState.DENIED), (404, ReflectorState.ABSENT)]
)
async def test_a_missing_right_or_resource_is_known_at_once_and_found_later(status, state):
    api = FakeApi([refused(status, "no"), listed(node("a"))])
    async with reflecting(api) as (reflector, sink):
        await reflector.settled.wait()
        assert reflector.state is state
        assert not reflector.listed.is_set()
        await until(lambda: reflector.state is ReflectorState.WATCHING)
        assert set(sink.held) == {"a"}


async def test_a_resource_that_is_no_longer_served_leaves_nothing_behind():
    api = FakeApi([listed(node("a")), refused(404)], [refused(404)])
    async with reflecting(api) as (reflector, sink):
        await until(lambda: reflector.state is ReflectorState.ABSENT)
        assert not sink.held


async def test_server_errors_are_tried_again():
    api = FakeApi([refused(500), refused(401), listed(node("a"))])
    async with reflecting(api) as (reflector, sink):
        await until(lambda: reflector.state is ReflectorState.WATCHING)
        assert set(sink.held) == {"a"}


async def test_retry_after_is_honoured(monkeypatch):
    monkeypatch.setattr(module, "SLOW_RETRY_S", 5.0)
    api = FakeApi([refused(429, headers={"Retry-After": "1"}), listed()])
    started = asyncio.get_running_loop().time()
    async with reflecting(api) as (reflector, _):
        await until(reflector.listed.is_set)
    assert asyncio.get_running_loop().time() - started >= 1.0


@pytest.mark.parametrize("body", [{"items": []}, "text", []])
async def test_an_answer_that_is_no_list_is_tried_again(body):
    api = FakeApi([Answer(body), listed(node("a"))])
    async with reflecting(api) as (_, sink):
        await until(lambda: set(sink.held) == {"a"})


async def test_watches_that_end_at_once_do_not_spin():
    api = FakeApi([listed()], [watched()])
    async with reflecting(api):
        await asyncio.sleep(0.5)
    assert len(api.watch_versions) < 12


async def test_a_server_that_is_not_there_is_waited_for():
    client = client_for("http://127.0.0.1:1")
    try:
        async with running(client) as (reflector, _):
            await until(lambda: reflector.state is ReflectorState.DOWN)
            assert reflector.last_error.startswith("/api/v1/nodes: ")
            reflector.confirm()
            assert reflector.last_confirmed < 0
    finally:
        await client.close()


async def test_only_an_open_stream_is_confirmed():
    api = FakeApi([listed()], [watched(SILENCE)])
    async with reflecting(api) as (reflector, _):
        await until(lambda: reflector.state is ReflectorState.WATCHING)
        before = reflector.last_confirmed
        await until(lambda: asyncio.get_running_loop().time() > before)
        reflector.confirm()
        assert reflector.last_confirmed > before
