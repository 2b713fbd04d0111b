"""The endpoint is read once a minute, behind a Service too, and its failures cost nothing else."""

import asyncio
from contextlib import asynccontextmanager
from random import Random

import pytest

from spotvortex.market.karpenter import scrape as module
from spotvortex.market.karpenter.gauges import KarpenterMarket
from spotvortex.market.karpenter.scrape import KarpenterScrape
from tests.core.builders import AT
from tests.kube.scenes import await_true
from tests.market.karpenter.metrics_text import Endpoint, Karpenter, offering, serving

HERE = ("m5.large", "us-east-1a", "spot")
LEADER = Karpenter(available={HERE: 1}, prices={HERE: 0.03}).text()
STANDBY = Karpenter().text()


class Clock:
    def now(self):
        return AT


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(module, "EVERY_S", 0.01)
    hasty = {"first_s": 0.01, "longest_s": 0.02}
    kept = {name: getattr(module.RETRIES, name) for name in ("n_attempts", "within_s", "is_worth")}
    monkeypatch.setattr(module, "RETRIES", module.Retries(**kept, **hasty))


@asynccontextmanager
async def scraping(*answers):
    endpoint, market = Endpoint(list(answers)), KarpenterMarket()
    async with serving(endpoint) as url:
        subject = KarpenterScrape(f"{url}/metrics", market, Clock(), Random(1))
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(subject.run(stop))
            await subject.first.wait()
            yield subject, endpoint, market
            stop.set()


def price(market):
    return market.facts([offering()], AT).quotes[offering()].spot_usd_per_hour


async def test_a_scrape_becomes_prices():
    async with scraping(LEADER) as (subject, endpoint, market):
        assert price(market) == 0.03
        assert subject.trouble == ""
        assert endpoint.asked[0] == ("/metrics", {})


async def test_a_replica_that_does_not_lead_is_passed_over():
    async with scraping(STANDBY, STANDBY, LEADER) as (_, endpoint, market):
        assert price(market) == 0.03
        assert len(endpoint.asked) >= 3


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (STANDBY, "no series of offerings"),
        ((302, b"log in first"), "answered 302: log in first"),
        ((404, b"page not found"), "answered 404: page not found"),
        ((503, b"later"), "answered 503: later"),
        (None, "Disconnected"),
        (b"<html>login</html>", "no series of offerings"),
    ],
)
async def test_an_endpoint_that_gives_nothing_is_told_once_and_read_again(answer, word, caplog):
    caplog.set_level("INFO")
    refusals = [answer] * 20
    async with scraping(*refusals, LEADER) as (subject, endpoint, market):
        assert word in subject.trouble
        assert price(market) is None

        async def is_back():
            return price(market) is not None

        await await_true(is_back, 10.0)
        assert subject.trouble == ""
        assert endpoint.answers == [LEADER]
    said = [r for r in caplog.records if r.getMessage().startswith("karpenter_metrics")]
    assert [r.getMessage().rpartition(".")[2] for r in said] == ["unread", "read_again"]
    assert said[0].by == "SPOTVORTEX_KARPENTER_METRICS_URL"


async def test_an_answer_without_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    async with scraping(LEADER + b"# comment\n" * 1000) as (subject, _, market):
        assert "more than 1000 bytes" in subject.trouble
        assert price(market) is None


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/metrics", "http://127.0.0.1:1/metrics", "http://[::g]/metrics"]
)
async def test_an_address_that_leads_nowhere_is_no_more_than_a_warning(url):
    market = KarpenterMarket()
    subject = KarpenterScrape(url, market, Clock(), Random(1))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(subject.run(stop))
        await subject.first.wait()
        stop.set()
    assert subject.trouble
    assert price(market) is None


async def test_a_password_in_the_address_is_never_shown():
    market = KarpenterMarket()
    subject = KarpenterScrape("http://me:secret@127.0.0.1:1/metrics", market, Clock(), Random(1))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(subject.run(stop))
        await subject.first.wait()
        stop.set()
    assert "127.0.0.1:1/metrics" in subject.trouble
    assert "secret" not in subject.trouble
