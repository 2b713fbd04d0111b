"""The questions about the past, asked of a real Prometheus.

It holds the same two weeks as the evaluator that other tests ask, and has to give the same answers;
and it scrapes an endpoint with Karpenter's own names, so that these are what it knows them by.
"""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

import aiohttp
import pytest

from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring.interruption_memory import EMPTY_MEMORY
from spotvortex.market.karpenter import prometheus
from spotvortex.market.karpenter.gauges import KarpenterMarket
from spotvortex.market.karpenter.history import STEP_S, PrometheusHistory, questions
from spotvortex.market.karpenter.prometheus import pieces
from tests.controlplane.api import wait_until
from tests.market.karpenter.fake_prometheus import DAY, two_weeks
from tests.market.karpenter.metrics_text import Karpenter
from tests.prometheus import PrometheusServer

pytestmark = pytest.mark.program

A, B, C = (
    Offering(instance_type=t, zone="us-east-1a") for t in ("m5.large", "m5.xlarge", "c5.large")
)
OFFERINGS = (A, C)


class Clock:
    def __init__(self, now):
        self._now = now

    def now(self):
        return self._now


def last_step(now):
    """The newest instant that is asked for."""
    return int(STEP_S * (now // STEP_S))


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Iterator:
    """A real one that holds the two weeks, the evaluator that does, and their end."""
    end = last_step(time.time())
    evaluator = two_weeks(end, A, B, C)
    began = time.monotonic()
    folder = tmp_path_factory.mktemp("prometheus")
    with PrometheusServer(folder, {}, past=evaluator.lines(end)) as real:
        print(f"filled and started in {time.monotonic() - began:.1f} s")
        yield real, evaluator, end


def plain(series):
    """A series by its labels, its name left out: whoever selects only has it kept."""
    return {
        tuple(sorted((k, v) for k, v in labels.items() if k != "__name__")): [
            (float(at), pytest.approx(float(value))) for at, value in values
        ]
        for labels, values in series
    }


async def test_it_answers_every_question_as_the_evaluator_does(filled):
    real, evaluator, end = filled
    n_points = dict.fromkeys((q.name for q in questions(OFFERINGS)), 0)
    async with aiohttp.ClientSession() as client:
        source = prometheus.Prometheus(real.url, client, Random(1))
        for question in questions(OFFERINGS):
            for piece in pieces(end, question.n_days, question.step_s):
                got = await source.query_range(question.query, piece)
                asked = {
                    "query": question.query,
                    "start": piece.start,
                    "end": piece.end,
                    "step": piece.step_s,
                }
                told = json.loads(evaluator.answer(asked))["data"]["result"]
                found = plain((s.labels, s.values) for s in got)
                assert found == plain((s["metric"], s["values"]) for s in told), (question, piece)
                n_points[question.name] += sum(map(len, found.values()))
    assert all(n_points.values()), n_points


async def read(url, at):
    """Read the past as a daemon does at its start; return the market and what is recalled."""
    market = KarpenterMarket(48 * 3600)
    subject, stop = PrometheusHistory(url, market, Clock(at), Random(1)), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(subject.run(stop))
        market.facts(OFFERINGS, at)
        async with asyncio.timeout(120.0):
            await subject.first.wait()
        stop.set()
    assert subject.trouble == ""
    return market, subject.recall(EMPTY_MEMORY)


async def test_two_weeks_of_it_are_a_history_and_a_memory_at_once(filled):
    real, _, end = filled
    market, memory = await read(real.url, float(end))
    quote = market.facts(OFFERINGS, float(end)).quotes[A]
    assert (quote.spot_usd_per_hour, quote.on_demand_usd_per_hour) == (0.04, 0.1)
    assert quote.age_s == pytest.approx(DAY, abs=900)
    assert memory.offerings[A].losses == pytest.approx(2.718281828 ** (-50 / 72), rel=0.02)
    assert memory.offerings[B].refusals == pytest.approx(2.718281828 ** (-10 / 72), rel=0.02)
    assert C not in memory.offerings


@contextmanager
def endpoint(karpenter) -> Iterator[str]:
    """Serve what Karpenter would show, as it is at each scrape, on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(karpenter.text())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def scraping(target):
    """The configuration of who reads an endpoint every second."""
    job = {"job_name": "karpenter", "static_configs": [{"targets": [target]}]}
    timing = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    return {"global": timing, "scrape_configs": [job]}


async def points(url, name, at):
    """Ask one of the questions for the newest instant."""
    (question,) = [q for q in questions(OFFERINGS) if q.name == name]
    async with aiohttp.ClientSession() as client:
        source = prometheus.Prometheus(url, client, Random(1))
        (piece, *_) = pieces(last_step(at), 1, question.step_s)
        found = await source.query_range(question.query, piece)
    return {s.labels.get("instance_type"): s.values[-1][1] for s in found}


async def test_what_it_scrapes_of_karpenter_is_what_is_asked_for(tmp_path):
    here = (A.instance_type, A.zone)
    karpenter = Karpenter(
        available={(*here, "spot"): 1, (*here, "on-demand"): 1},
        prices={(*here, "spot"): 0.25, (*here, "on-demand"): 0.68},
        nodes={(*here, "spot"): ("n1", "n2")},
    )
    # The grid's next instant that the two scrapes awaited below come well before.
    at = last_step(time.time() + 60.0) + STEP_S
    with (
        endpoint(karpenter) as target,
        PrometheusServer(tmp_path, scraping(target), lookback="15m") as real,
    ):

        def asked(name):
            return asyncio.run(points(real.url, name, at))

        def scraped(name, value):
            return asked(name).get(A.instance_type) == pytest.approx(value)

        def until(name, value):
            wait_until(lambda: scraped(name, value), 60)

        await asyncio.to_thread(until, "spot", 0.25)
        await asyncio.to_thread(until, "on_demand", 0.68)
        await asyncio.to_thread(until, "held", 2.0)
        karpenter.available[(*here, "spot")] = 0
        await asyncio.to_thread(until, "falls", 1.0)
        market, memory = await read(real.url, at)
        quote = market.facts(OFFERINGS, at).quotes[A]
        karpenter.interrupted[("spot", "spot_interrupted")] = 3
        await asyncio.to_thread(wait_until, lambda: 3.0 in asked("interrupted").values(), 60)
    assert (quote.spot_usd_per_hour, quote.on_demand_usd_per_hour) == (0.25, 0.68)
    assert quote.source == "karpenter, by Prometheus"
    assert memory.offerings[A].refusals == pytest.approx(1.0, rel=0.01)
    assert memory.offerings[A].losses == 0.0
