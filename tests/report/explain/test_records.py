"""Records are found in a log and at a running daemon, and what is not there is said."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from spotvortex.core.domain.types import Mode
from spotvortex.errors import RecordError
from spotvortex.report.explain.records import from_daemon, from_file, lines_of
from spotvortex.server.serve import serve
from spotvortex.server.views import PageSources
from spotvortex.telemetry.journal import DecisionJournal
from spotvortex.telemetry.metrics import Metrics
from tests.telemetry.books import book_of
from tests.telemetry.decisions import AT, decision, plan


@pytest.fixture
async def journal():
    made = DecisionJournal(code_version="1", counts=Metrics(version="1", mode=Mode.SHADOW))
    for cycle, pool in ((1, "web"), (2, "a/b?c"), (3, "web"), (4, "jobs")):
        await made.append(plan(decision(cycle=cycle, at=AT + 4000.0 * cycle, pool=pool)))
    return made


def last_of(journal, pool):
    return journal.find(pool=pool, limit=1)[0]


@pytest.fixture
def log(journal, tmp_path):
    path = tmp_path / "decisions.jsonl"
    records = reversed(journal.find())
    path.write_text("".join(f"{r.line}\n" for r in records) + 'INFO pool "pool":"web"\n')
    return path


async def test_the_newest_record_of_a_pool_or_an_id_is_found_in_a_log(journal, log):
    for pool in ("web", "a/b?c", "jobs"):
        record = last_of(journal, pool)
        assert from_file(log, pool) == record.line
        assert from_file(log, record.decision_id) == record.line
    first = journal.find()[-1]
    assert from_file(log, first.decision_id) == first.line


async def test_what_a_log_does_not_hold_is_said(log, tmp_path):
    with pytest.raises(RecordError, match="has no record of a decision or pool nowhere"):
        from_file(log, "nowhere")
    with pytest.raises(RecordError, match="none cannot be read: No such file"):
        list(lines_of(tmp_path / "none"))


class Quiet:
    def failing(self):
        return ()

    def reasons(self, _now):
        return ()

    def last_plan(self):
        return None

    def now(self):
        return AT


@pytest.fixture
async def url(journal):
    quiet, metrics = Quiet(), Metrics(version="1", mode=Mode.SHADOW)
    views = PageSources(
        health=quiet,
        readiness=quiet,
        metrics=metrics,
        decisions=journal,
        plans=quiet,
        clock=quiet,
        ledger=book_of(),
    )
    async with serve("127.0.0.1", 0, views) as port:
        yield f"http://127.0.0.1:{port}/"


@asynccontextmanager
async def served(answer):
    """Another server than ours, which answers everything alike."""
    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask(url, wanted):
    return await asyncio.to_thread(from_daemon, url, wanted)


async def test_the_newest_record_of_a_pool_or_an_id_is_asked_of_the_daemon(journal, url):
    for pool in ("web", "a/b?c", "jobs"):
        record = last_of(journal, pool)
        assert await ask(url, pool) == record.line
        assert await ask(url, record.decision_id) == record.line


async def test_what_the_daemon_does_not_keep_is_said(url):
    with pytest.raises(RecordError, match="keeps no record of a decision or pool nowhere"):
        await ask(url, "nowhere")


async def test_who_asks_for_a_pool_that_is_not_there_is_told_those_that_are():
    async def answer(request):
        if request.path == "/pools":
            return web.json_response({"pools": [{"pool": "web"}, {"pool": "api"}]})
        return web.json_response({"decisions": []}, status=200 if "pool" in request.query else 404)

    async with served(answer) as url:
        with pytest.raises(RecordError, match=r"pool wbe; its pools are api, web$"):
            await ask(url, "wbe")


async def test_an_address_with_a_path_too_much_is_said_with_the_address_alone(url):
    with pytest.raises(
        RecordError, match=r"not answer like a SpotVortex daemon; give the address"
    ) as told:
        await ask(f"{url}console", "web")
    assert str(told.value).endswith(f"--url {url.rstrip('/')}")


async def test_a_daemon_that_is_not_there_is_said_with_the_fix():
    with pytest.raises(RecordError, match=r"cannot be reached: .*; give --file, or --url"):
        await ask("http://127.0.0.1:1", "web")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "localhost:8080", ""])
async def test_only_an_http_address_is_asked(url):
    with pytest.raises(RecordError, match="give an address such as"):
        await ask(url, "web")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, "{}", "answers 500"),
        (200, "<html>", "does not answer like a SpotVortex daemon"),
        (200, '{"decisions":[7]}', "does not answer like a SpotVortex daemon"),
        (200, '{"decisions":[]}', "keeps no record"),
    ],
)
async def test_another_server_is_told_from_ours(status, body, words):
    async def answer(request):
        is_search = "pool" in request.query
        return web.Response(
            text=body if is_search else "", status=status if is_search or status == 500 else 404
        )

    async with served(answer) as url:
        with pytest.raises(RecordError, match=words):
            await ask(url, "web")
