"""The past weeks come out of a Prometheus, as far as they can be told, and never stop anything."""

import asyncio
import json
from contextlib import asynccontextmanager
from random import Random

import pytest

from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring.interruption_memory import EMPTY_MEMORY
from spotvortex.market.karpenter import history as module
from spotvortex.market.karpenter import prometheus
from spotvortex.market.karpenter.exposition import DISRUPTED
from spotvortex.market.karpenter.gauges import KarpenterMarket
from spotvortex.market.karpenter.history import VARIABLE, PrometheusHistory, questions
from tests.market.karpenter.fake_prometheus import FakePrometheus, two_weeks
from tests.market.karpenter.metrics_text import Endpoint, serving

AT = 1_784_000_100.0
DAY = 86_400.0
END = 300 * (AT // 300)
A, B, C = (
    Offering(instance_type=t, zone="us-east-1a") for t in ("m5.large", "m5.xlarge", "c5.large")
)
OFFERINGS = (A, C)


class Clock:
    def now(self):
        return AT


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    kept = {n: getattr(prometheus.RETRIES, n) for n in ("n_attempts", "within_s", "is_worth")}
    monkeypatch.setattr(
        prometheus, "RETRIES", prometheus.Retries(first_s=0.01, longest_s=0.02, **kept)
    )


@asynccontextmanager
async def reading(answer, offerings=OFFERINGS):
    """Read from what answers each request, given its parameters."""
    endpoint, market = (
        Endpoint([lambda request: answer(dict(request.query))]),
        KarpenterMarket(48 * 3600),
    )
    async with serving(endpoint) as url:
        subject = PrometheusHistory(f"{url}/prom/", market, Clock(), Random(1))
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(subject.run(stop))
            market.facts(offerings, AT)
            async with asyncio.timeout(60.0):
                await subject.first.wait()
            yield subject, market, endpoint
            stop.set()


async def test_a_blank_memory_learns_what_it_would_have_seen():
    async with reading(two_weeks(END, A, B, C).answer) as (subject, _, _):
        assert subject.is_settled
        assert subject.trouble == ""
        memory = subject.recall(EMPTY_MEMORY)
        assert subject.recall(EMPTY_MEMORY) is None
    known = memory.offerings[A]
    faded = 2.718281828 ** (-50 / 72)
    assert known.losses == pytest.approx(faded, rel=0.02)
    assert known.loss_shares == pytest.approx(0.5 * faded, rel=0.02)
    assert known.last_loss_at == pytest.approx(END - 50 * 3600, abs=600)
    assert known.left_survivors
    # Two nodes, one of them no more for 50 h, fading with 72 h.
    assert 72.0 < known.exposure_hours < 144.0
    failed = memory.offerings[B]
    assert failed.refusals == pytest.approx(2.718281828 ** (-10 / 72), rel=0.02)
    assert failed.last_refused_at == pytest.approx(END - 10 * 3600, abs=600)
    assert (failed.losses, failed.exposure_hours) == (0.0, 0.0)
    assert C not in memory.offerings


async def test_prices_of_the_past_are_a_history_at_once_with_their_true_age():
    async with reading(two_weeks(END, A, B, C).answer) as (_, market, _):
        quote = market.facts(OFFERINGS, AT).quotes[A]
    assert (quote.spot_usd_per_hour, quote.on_demand_usd_per_hour) == (0.04, 0.1)
    assert quote.source == "karpenter, by Prometheus"
    assert quote.age_s == pytest.approx(DAY, abs=900)
    assert len(quote.history_usd_per_hour) == 7 * 144 + 1
    assert quote.history_usd_per_hour[0] == 0.03
    assert quote.history_usd_per_hour[-1] == 0.04


async def test_only_families_and_zones_in_use_are_asked_for_in_pieces_the_newest_first():
    async with reading(two_weeks(END, A, B, C).answer, [A]) as (_, _, endpoint):
        paths, asked = zip(*endpoint.asked, strict=True)
    assert set(paths) == {"/prom/api/v1/query_range"}
    spread = [(float(q["end"]) - float(q["start"])) for q in asked]
    assert max(spread) < DAY
    assert len(asked) == 1 + 8 + 3 * 14
    ends = [float(q["end"]) for q in asked]
    assert ends == sorted(ends, reverse=True)
    named = [q["query"] for q in asked if DISRUPTED not in q["query"]]
    assert all('instance_type=~"(m5)[.].+",zone=~"us-east-1a"' in query for query in named)


def test_odd_names_are_asked_for_by_nobody():
    odd = Offering(instance_type='m5"}) or vector(1', zone="us-east-1a")
    (query, *_) = questions([A, odd])
    assert "vector" not in query.query
    assert questions([odd]) == []


async def test_falls_without_a_count_of_interruptions_are_launches_that_failed():
    db = two_weeks(END, A, B, C)
    db.series = [s for s in db.series if s[0] != DISRUPTED]
    async with reading(db.answer) as (subject, _, _):
        known = subject.recall(EMPTY_MEMORY).offerings[A]
    assert (known.losses, known.last_loss_at) == (0.0, None)
    assert known.refusals > 0.4


async def test_a_counter_that_was_there_before_anything_else_begins_anew():
    db = two_weeks(END, A, B, C)
    told = {"capacity_type": "spot", "reason": "spot_interrupted", "nodepool": "old"}
    db.add(DISRUPTED, lambda _: 57, **told)
    async with reading(db.answer) as (subject, _, _):
        known = subject.recall(EMPTY_MEMORY).offerings[A]
    assert known.losses < 1.0


ERROR = (422, json.dumps({"status": "error", "errorType": "execution", "error": "no"}).encode())


def matrix(values, kind="matrix", **metric):
    result = [{"metric": metric, "values": values}]
    return json.dumps(
        {"status": "success", "data": {"resultType": kind, "result": result}}
    ).encode()


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ((503, b"no healthy upstream"), "answered 503"),
        ((401, b"who are you"), "answered 401"),
        (ERROR, "answered 422"),
        (b"<html>login</html>", "does not answer as a Prometheus does"),
        (b"[" * 100_000, "does not answer as a Prometheus does"),
        (b"", "does not answer as a Prometheus does"),
        (
            b'{"status":"error","errorType":"bad_data","error":"parse error"}',
            "bad_data: parse error",
        ),
        (b'{"status":"success"}', "answered"),
        (matrix([], kind="vector"), "kind 'vector'"),
        (None, "Disconnected"),
    ],
)
async def test_what_cannot_be_read_is_said_once_by_its_variable_and_the_rest_goes_on(
    body, word, caplog
):
    async with reading(lambda _: body) as (subject, market, endpoint):
        assert word in subject.trouble
        assert subject.is_settled
        assert subject.recall(EMPTY_MEMORY) == EMPTY_MEMORY
        assert market.facts(OFFERINGS, AT).quotes[A].spot_usd_per_hour is None
        assert len(endpoint.asked) <= 6
    told = [r for r in caplog.records if r.getMessage() == "prometheus.unread"]
    assert [r.by for r in told] == [VARIABLE]


async def test_an_empty_answer_teaches_nothing_and_is_no_trouble(caplog):
    async with reading(FakePrometheus().answer) as (subject, _, _):
        assert subject.trouble == ""
        assert subject.recall(EMPTY_MEMORY) == EMPTY_MEMORY
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == []


@pytest.mark.parametrize(
    "values",
    [
        [[END, "NaN"], [END, "+Inf"], [END, "-3"], [END, "dear"]],
        [[END - 99 * DAY, "1"], [END + 99 * DAY, "1"]],
        [[END, "1e300"]],
    ],
)
async def test_absurd_values_teach_nothing(values):
    place = {"instance_type": A.instance_type, "zone": A.zone}
    async with reading(lambda _: matrix(values, **place)) as (subject, market, _):
        memory = subject.recall(EMPTY_MEMORY)
        assert all(known.losses < 1e6 for known in memory.offerings.values())
        assert market.facts([A], AT).quotes[A].spot_usd_per_hour is None


async def test_where_it_breaks_off_the_newest_days_are_used():
    db, n_left = two_weeks(END, A, B, C), [16]

    def breaks_off(query):
        n_left[0] -= 1
        return db.answer(query) if n_left[0] >= 0 else (503, b"gone")

    async with reading(breaks_off) as (subject, market, _):
        assert "answered 503" in subject.trouble
        memory = subject.recall(EMPTY_MEMORY)
        assert market.facts([A], AT).quotes[A].spot_usd_per_hour == 0.04
    assert memory.offerings[A].losses > 0.4
    assert memory.offerings[A].exposure_hours > 24.0


async def test_one_question_that_is_refused_leaves_the_others():
    db = two_weeks(END, A, B, C)

    async with reading(lambda q: ERROR if "resets" in q["query"] else db.answer(q)) as found:
        subject, market, _ = found
        assert subject.trouble.startswith("falls: ")
        assert subject.recall(EMPTY_MEMORY).offerings[A].exposure_hours > 72.0
        assert market.facts([A], AT).quotes[A].spot_usd_per_hour == 0.04


async def test_an_answer_without_end_and_one_that_never_comes_are_given_up(monkeypatch):
    monkeypatch.setattr(prometheus, "MAX_BYTES", 1000)
    async with reading(lambda _: b" " * 2000) as (subject, _, _):
        assert "more than 1000 bytes" in subject.trouble
    monkeypatch.setattr(module, "WITHIN_S", 0.0)
    async with reading(two_weeks(END, A, B, C).answer) as (subject, _, _):
        assert "did not answer all within" in subject.trouble
        assert subject.is_settled


async def test_a_stop_cuts_the_reading_short():
    market = KarpenterMarket()
    subject = PrometheusHistory("http://127.0.0.1:1", market, Clock(), Random(1))
    stop = asyncio.Event()
    stop.set()
    await subject.run(stop)
    assert not subject.is_settled
