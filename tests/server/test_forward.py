"""A standby answers as the leader does, once, in time, and from nowhere else."""

import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

from spotvortex.server import forward
from spotvortex.server.forward import ANSWERED_BY
from spotvortex.server.serve import serve
from spotvortex.server.views import PageSources
from tests.controlplane.processes.ports import free_port
from tests.server.test_server import Served
from tests.telemetry.decisions import decision, plan

LEADER, STANDBY = "127.0.0.1", "127.0.0.2"


class Replica:
    """One replica's server on an address of its own."""

    def __init__(self, host: str) -> None:
        self.host, self.knows, self.served = host, "", Served()

    @property
    def sources(self) -> PageSources:
        return replace(self.served.sources(), leader_address=lambda: self.knows)


class Pair:
    """Two replicas that answer on the same port, and who asks them."""

    def __init__(self, client: aiohttp.ClientSession, port: int) -> None:
        self.client, self.port = client, port
        self.leader, self.standby = Replica(LEADER), Replica(STANDBY)
        self.standby.knows = LEADER

    async def get(self, path: str, method: str = "GET", host: str = STANDBY, **headers: str):
        url = f"http://{host}:{self.port}{path}"
        async with self.client.request(method, url, headers=headers) as answer:
            await answer.read()
            return answer

    async def pools(self, host: str = STANDBY):
        answer = await self.get("/pools", host=host)
        body = await answer.json()
        return [pool["pool"] for pool in body["pools"]], answer.headers.get(ANSWERED_BY)


@asynccontextmanager
async def opened(token: str = ""):
    async with AsyncExitStack() as stack, aiohttp.ClientSession() as client:
        pair = Pair(client, free_port())
        for replica in (pair.leader, pair.standby):
            serving = serve(replica.host, pair.port, replica.sources, token=token)
            await stack.enter_async_context(serving)
        pair.leader.served.daemon.plan = plan(decision(pool="led"))
        pair.standby.served.daemon.plan = plan(decision(pool="own"))
        yield pair


@pytest.fixture
async def pair():
    async with opened() as made:
        yield made


async def test_a_standby_hands_on_what_the_leader_answers(pair):
    assert await pair.pools() == (["led"], "leader")
    assert await pair.pools(LEADER) == (["led"], None)
    await pair.leader.served.journal.append(plan(decision(cycle=3)))
    answer = await pair.get("/decisions?pool=web&limit=1")
    assert [d["id"] for d in (await answer.json())["decisions"]] == ["3-web"]
    refused = await pair.get("/decisions?limit=none")
    assert (refused.status, refused.headers[ANSWERED_BY]) == (400, "leader")


async def test_a_page_of_the_console_keeps_what_a_browser_is_told(pair):
    answer = await pair.get("/console/pools/led", Accept="text/html")
    assert answer.headers[ANSWERED_BY] == "leader"
    own = await pair.get("/console/pools/led", host=LEADER)
    assert answer.headers["Content-Security-Policy"] == own.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert (answer.status, answer.content_type) == (200, "text/html")
    sent = await pair.client.get(
        f"http://{STANDBY}:{pair.port}/", headers={"Accept": "text/html"}, allow_redirects=False
    )
    assert (sent.status, sent.headers["Location"]) == (302, "/console")


async def test_health_readiness_and_metrics_are_each_replicas_own(pair):
    pair.standby.served.daemon.late = ["collector: silent"]
    pair.standby.served.daemon.missing = ["no decision yet"]
    pair.leader.served.metrics.planned(plan(decision()), 0.1)
    assert (await pair.get("/healthz")).status == 503
    assert (await pair.get("/readyz")).status == 503
    assert "spotvortex_nodes{" not in await (await pair.get("/metrics")).text()


async def test_two_that_take_each_other_for_the_leader_ask_once(pair):
    pair.leader.knows = STANDBY
    assert await pair.pools() == (["led"], "leader")
    assert await pair.pools(LEADER) == (["own"], "leader")


async def test_without_a_leader_a_replica_answers_by_itself(pair):
    pair.standby.knows = ""
    assert await pair.pools() == (["own"], None)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "example.org"],
)
async def test_an_address_that_no_pod_has_is_never_asked(pair, address):
    pair.standby.knows = address
    assert await pair.pools() == (["own"], None)


async def test_a_leader_that_is_gone_or_silent_costs_a_moment_and_no_answer(pair, monkeypatch):
    pair.standby.knows = "127.0.0.3"
    assert await pair.pools() == (["own"], "standby")
    monkeypatch.setattr(forward, "TOTAL_S", 0.2)
    limited = replace(pair.standby.sources, leader_address=lambda: "127.0.0.4")
    # It takes connections, as a process does that stands still, and says nothing.
    with socket.create_server(("127.0.0.4", pair.port)):
        async with serve("127.0.0.5", pair.port, limited):
            assert await pair.pools("127.0.0.5") == (["own"], "standby")


async def test_an_answer_that_is_too_large_is_given_here(pair, monkeypatch):
    monkeypatch.setattr(forward, "MAX_BYTES", 100)
    assert await pair.pools() == (["own"], "standby")


async def test_only_a_get_is_passed_on(pair):
    assert (await pair.get("/pools", "HEAD")).headers.get(ANSWERED_BY) is None
    assert (await pair.get("/pools", "POST")).status == 405


async def test_the_token_is_asked_for_by_both(caplog):
    async with opened("secret") as pair:
        assert (await pair.get("/pools")).headers.get(ANSWERED_BY) is None
        shown = await pair.get("/pools", Authorization="Bearer secret")
        assert (shown.status, shown.headers[ANSWERED_BY]) == (200, "leader")
        assert "secret" not in caplog.text
