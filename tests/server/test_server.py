"""What the server answers over a real socket, and that no question makes it fail."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from spotvortex.core.decision.messages import Plan
from spotvortex.core.domain.types import Action, CapacityType, Mode, Predictor
from spotvortex.core.scoring.calibration.live import Calibration, CalibrationTally, TallyKey
from spotvortex.errors import SettingsError
from spotvortex.report.console.site import Console
from spotvortex.server import serve as serving
from spotvortex.server.pages import PATHS
from spotvortex.server.query import MAX_LIMIT
from spotvortex.server.serve import ANSWERS_AT_ONCE, serve
from spotvortex.server.views import PageSources
from spotvortex.telemetry.journal import DecisionJournal
from spotvortex.telemetry.metrics import Metrics
from spotvortex.telemetry.trends import Trends
from tests.core.in_flight import order
from tests.telemetry.books import book_of
from tests.telemetry.decisions import AT, decision, move, plan, pool_input


@dataclass
class Daemon:
    """What the server shows, to be changed by a test."""

    late: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    plan: Plan | None = None
    asked_at: float = 0.0

    def failing(self) -> list[str]:
        return self.late

    def reasons(self, now: float) -> list[str]:
        self.asked_at = now
        return self.missing

    def last_plan(self) -> Plan | None:
        return self.plan

    def now(self) -> float:
        return AT


class Served:
    """A served daemon and a client of it."""

    def __init__(self) -> None:
        self.daemon = Daemon()
        self.metrics = Metrics(version="0.1.0", mode=Mode.SHADOW)
        self.journal = DecisionJournal(code_version="0.1.0", counts=self.metrics)

    def sources(self) -> PageSources:
        views = PageSources(
            health=self.daemon,
            readiness=self.daemon,
            metrics=self.metrics,
            decisions=self.journal,
            plans=self.daemon,
            clock=self.daemon,
            ledger=book_of(),
        )
        return replace(views, console=Console(views=views, trends=Trends()))

    @asynccontextmanager
    async def open(self, host="127.0.0.1", token=""):
        async with (
            serve(host, 0, self.sources(), time_scale=60.0, token=token) as port,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as self.client,
        ):
            yield self

    async def get(self, path: str, method: str = "GET"):
        async with self.client.request(method, path) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def served():
    async with Served().open() as made:
        yield made


async def test_health_names_the_tasks_that_are_late(served):
    for path in ("/healthz", "/livez"):
        served.daemon.late = []
        assert await served.get(path) == (200, {"ok": True, "failing": []})
        served.daemon.late = ["collector: silent for 90 s, limit 60 s"]
        status, body = await served.get(path)
        assert (status, body["failing"]) == (503, served.daemon.late)


async def test_readiness_gives_its_reasons_at_this_time(served):
    assert await served.get("/readyz") == (200, {"ready": True, "reasons": []})
    served.daemon.missing = ["no decision yet"]
    assert await served.get("/readyz") == (503, {"ready": False, "reasons": ["no decision yet"]})
    assert served.daemon.asked_at == AT


async def test_metrics_are_in_the_text_format(served):
    served.metrics.planned(plan(decision()), 0.1)
    async with served.client.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = {f.name for f in text_string_to_metric_families(await answer.text())}
    assert "spotvortex_spot_ratio_current" in families


async def test_decisions_are_served_as_they_were_recorded(served):
    await served.journal.append(plan(decision(cycle=1)))
    await served.journal.append(plan(decision(cycle=2, n_nodes=1)))
    async with served.client.get("/decisions") as answer:
        text = await answer.text()
    assert [d["id"] for d in json.loads(text)["decisions"]] == ["2-web", "1-web"]
    assert served.journal.get("1-web").line in text
    status, one = await served.get("/decisions/2-web")
    assert (status, one["n_nodes"]) == (200, 1)


async def test_the_first_page_says_what_can_be_asked(served):
    status, body = await served.get("/")
    assert (status, set(body["paths"])) == (200, set(PATHS))


async def test_a_browser_is_sent_to_the_console_and_told_to_load_nothing_from_elsewhere(served):
    as_browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with served.client.get("/", headers=as_browser) as answer:
        assert (answer.status, answer.url.path) == (200, "/console")
        assert answer.content_type == "text/html"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")
    assert "unsafe" not in policy
    async with served.client.get("/console/style.css") as answer:
        assert (answer.status, answer.content_type) == (200, "text/css")
    async with served.client.get("/console/decisions?action=LEAP") as answer:
        assert answer.status == 400


async def test_without_a_token_the_console_is_for_loopback_alone():
    async with Served().open(host="0.0.0.0") as served:
        status, body = await served.get("/console")
        assert (status, (await served.get("/pools"))[0]) == (403, 200)
    assert "SPOTVORTEX_HTTP_TOKEN" in body["error"]
    assert "SPOTVORTEX_HTTP_HOST=127.0.0.1" in body["error"]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_a_token_is_wanted_for_all_but_health_and_metrics(host):
    async with Served().open(host, "s3cret-of-the-team") as served:
        for path in PATHS:
            wanted = 200 if path in ("/healthz", "/livez", "/readyz", "/metrics") else 401
            async with served.client.get(path) as answer:
                assert answer.status == wanted, path
        async with served.client.get("/console") as answer:
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        bearer = {"Authorization": "Bearer s3cret-of-the-team"}
        async with served.client.get("/pools", headers=bearer) as answer:
            assert answer.status == 200
        password = aiohttp.encode_basic_auth("anybody", "s3cret-of-the-team")
        async with served.client.get("/console", headers={"Authorization": password}) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer s3cret-of-the-tea",
        "bearer S3CRET-OF-THE-TEAM",
        "Basic s3cret-of-the-team",
        "Basic !!!",
        "Basic //8=",
        "Digest s3cret-of-the-team",
        aiohttp.encode_basic_auth("s3cret-of-the-team", ""),
    ],
)
async def test_a_wrong_token_is_refused(shown):
    async with Served().open(token="s3cret-of-the-team") as served:
        headers = {"Authorization": shown}
        async with served.client.get("/decisions", headers=headers) as answer:
            assert answer.status == 401
            assert "s3cret" not in await answer.text()


@pytest.mark.parametrize("scheme", [b"Bearer", b"Basic"])
async def test_a_token_that_is_no_text_is_refused(scheme):
    async with serve("127.0.0.1", 0, Served().sources(), token="a") as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /pools HTTP/1.1\r\nHost: x\r\nAuthorization: " + scheme + b" \xff\r\n\r\n"
        )
        assert await reader.readline() == b"HTTP/1.1 401 Unauthorized\r\n"
        writer.close()


async def test_an_unknown_decision_is_a_404_in_json(served):
    status, body = await served.get("/decisions/9-nowhere")
    assert (status, body) == (404, {"error": "no decision 9-nowhere is kept here"})


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("pool=web", ["3-web", "1-web"]),
        ("pool=nowhere", []),
        ("action=DECREASE_10", ["2-jobs"]),
        ("limit=1", ["3-web"]),
        (f"limit={MAX_LIMIT}", ["3-web", "2-jobs", "1-web"]),
        (f"since={AT + 2}", ["3-web", "2-jobs"]),
        ("since=2026-07-14T04:34:33Z", ["3-web"]),
        ("since=2026-07-14T06:34:33%2B02:00", ["3-web"]),
        ("since=2026-07-14T06:34:33+02:00", ["3-web"]),
        ("since=2026-07-14%2004:34:33Z&pool=web", ["3-web"]),
        ("since=0001-01-01T00:00:00Z&limit=2", ["3-web", "2-jobs"]),
        ("pool=%ff%00", []),
    ],
)
async def test_decisions_are_filtered(served, query, ids):
    await served.journal.append(plan(decision(cycle=1, at=AT + 1)))
    await served.journal.append(
        plan(decision(cycle=2, at=AT + 2, pool="jobs", action=Action.DECREASE_10))
    )
    await served.journal.append(plan(decision(cycle=3, at=AT + 3)))
    async with served.client.get(f"/decisions?{query}") as answer:
        assert answer.status == 200
        assert [d["id"] for d in (await answer.json())["decisions"]] == ids


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        (f"limit={'9' * 5000}", "limit"),
        ("limit=%D9%A1", "limit"),
        ("action=hold", "action"),
        ("action=", "action"),
        ("since=yesterday", "since"),
        ("since=2026-07-14T04:34:33", "since"),
        ("since=nan", "since"),
        ("since=1e999", "since"),
        ("since=", "since"),
        ("pol=web", "pol"),
        ("pool=web&pool=jobs", "pool"),
    ],
)
async def test_a_bad_query_is_a_400_that_names_the_parameter(served, query, parameter):
    status, body = await served.get(f"/decisions?{query}")
    assert status == 400
    assert body["error"].startswith(f"{parameter}:")


EMPTY = {"schema": "spotvortex.io/pools/v1", "cycle": None, "time": None, "pools": []}


async def test_pools_are_empty_before_the_first_plan(served):
    assert await served.get("/pools") == (200, EMPTY)


async def test_each_pool_is_shown_with_its_decision(served):
    data = pool_input()
    acting = decision(
        pool="batch",
        input=data,
        action=Action.INCREASE_10,
        n_nodes=1,
        moves=(move(data.to_spot[0], CapacityType.SPOT),),
        savings_usd_per_hour=float("nan"),
    )
    served.daemon.plan = plan(decision(), acting)
    status, body = await served.get("/pools")
    web, batch = body["pools"]
    assert (status, body["cycle"], body["time"]) == (200, 7, "2026-07-14T04:34:30.250Z")
    assert (web["pool"], web["action"], web["reason"]) == ("web", "HOLD", "pool_safety")
    assert web["nodes"]["spot"] == 12
    assert (web["current_ratio"], web["savings_usd_per_hour"]) == (0.6, 3.8807999999999994)
    assert web["gates"][1]["outcome"] == "refuse"
    assert batch["moves"] == [data.to_spot[0].node]
    assert batch["savings_usd_per_hour"] == "NaN"


async def test_one_pool_can_be_asked_for_with_its_orders(served):
    orders = (order("web-1", pool="web"), order("jobs-1", pool="jobs"))
    served.daemon.plan = replace(plan(decision(), decision(pool="jobs")), orders=orders)
    status, body = await served.get("/pools?pool=jobs")
    assert (status, [pool["pool"] for pool in body["pools"]]) == (200, ["jobs"])
    assert [flying["node"] for flying in body["in_flight"]] == ["jobs-1"]
    assert [pool["pool"] for pool in (await served.get("/pools"))[1]["pools"]] == ["web", "jobs"]


async def test_an_unknown_pool_is_a_404_that_names_those_that_there_are(served):
    assert await served.get("/pools?pool=web") == (200, EMPTY), "nothing is known before a plan"
    served.daemon.plan = plan(decision(), decision(pool="jobs"))
    words = "the newest plan has no pool wbe; there are web, jobs"
    assert await served.get("/pools?pool=wbe") == (404, {"error": words})
    served.daemon.plan = plan(*(decision(pool=f"p{n}") for n in range(22)))
    _, body = await served.get("/pools?pool=web")
    assert body["error"].endswith("p18, p19 and 2 more")
    served.daemon.plan = plan()
    assert (await served.get("/pools?pool="))[1]["error"].endswith("no pool ; it has none")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("pol=web", "pol: unknown; known here: pool"),
        ("pool=web&limit=3", "limit: unknown; known here: pool"),
        ("pool=web&pool=jobs", "pool: given more than once"),
    ],
)
async def test_a_bad_query_of_pools_is_a_400_that_names_the_parameter(served, query, words):
    assert await served.get(f"/pools?{query}") == (400, {"error": words})


async def test_past_predictions_are_shown_by_model_band_and_horizon(served):
    judged = CalibrationTally(n=4.0, predicted=0.5, lost=1.0, squared=1.2, squared_memory=1.0)
    key = TallyKey(Predictor.MEMORY, None, 120)
    made = plan(decision())
    served.daemon.plan = replace(made, calibration=Calibration(tallies={key: judged}))
    _, body = await served.get("/pools")
    first, both = body["calibration"]["rows"]
    assert (first["model"], first["band"], both["band"]) == ("memory", "unstated", "all")
    assert (first["minutes"], first["brier"], first["observed_ratio"]) == (120, 0.3, 2.0)
    assert not body["calibration"]["drifted"]


async def test_every_documented_path_answers_and_only_to_reading(served):
    for path in (path.replace("{id}", "7-web") for path in PATHS):
        async with served.client.get(path) as answer:
            assert answer.status in (200, 404), path
        async with served.client.post(path) as answer:
            assert answer.status == 405, path
            assert answer.headers["Allow"] == "GET,HEAD"
            assert await answer.json() == {"error": "Method Not Allowed"}


@pytest.mark.parametrize("path", ["/nothing", "/decisions/a/b", "/%00"])
async def test_an_unknown_path_is_a_404_in_json(served, path):
    status, body = await served.get(path)
    assert status == 404
    assert body["error"].startswith("nothing is served at /")
    assert body["error"].endswith("; / lists what is")


async def test_a_taken_port_names_its_setting(served):
    port = served.client._base_url.port
    views = PageSources(
        health=served.daemon,
        readiness=served.daemon,
        metrics=served.metrics,
        decisions=served.journal,
        plans=served.daemon,
        clock=served.daemon,
        ledger=book_of(),
    )
    with pytest.raises(SettingsError, match=f"SPOTVORTEX_HTTP_PORT={port} is taken"):
        async with serve("127.0.0.1", port, views):
            pass
    with pytest.raises(SettingsError, match=r"SPOTVORTEX_HTTP_HOST=192\.0\.2\.1 cannot be bound"):
        async with serve("192.0.2.1", 0, views):
            pass


class LongRecords:
    """Records of which no buffer of a socket takes an answer."""

    def find(self, *, limit, **_):
        return [SimpleNamespace(line=f'"{"a" * 16_000}"')] * limit


@asynccontextmanager
async def unread(port):
    """Ask for as many long answers as are made at once, and read none of them."""
    readers = []
    for _ in range(ANSWERS_AT_ONCE):
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", port))
        _, writer = await asyncio.open_connection(sock=plain, limit=1024)
        writer.write(b"GET /decisions?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n")
        readers.append(writer)
    try:
        yield readers
    finally:
        for writer in readers:
            writer.close()


@asynccontextmanager
async def busy():
    """Serve a daemon all of whose answers wait for their readers."""
    made = Served()
    made.journal = LongRecords()
    async with (
        serve("127.0.0.1", 0, made.sources(), time_scale=60.0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as made.client,
        unread(port) as readers,
    ):
        for _ in range(3):
            await made.get("/healthz")  # what came before has been taken in by then
        yield made, readers


async def test_readers_that_read_nothing_hold_a_few_answers_and_no_probe():
    async with busy() as (made, readers):
        asked = [asyncio.create_task(made.get("/decisions?limit=1")) for _ in range(9)]
        for _ in range(20):
            assert (await made.get("/healthz"))[0] == 200
        assert not any(task.done() for task in asked)
        readers[0].transport.abort()
        assert {status for status, _ in await asyncio.gather(*asked)} == {200}


async def test_a_reader_that_takes_too_long_is_cut_off(monkeypatch):
    monkeypatch.setattr(serving, "READ_S", 0.01)
    async with busy() as (made, _):
        assert (await made.get("/decisions?limit=1"))[0] == 200
