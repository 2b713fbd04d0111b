"""The lines of `top` fit 80 columns, whatever a pool is called, and add up."""

import json

import pytest

from spotvortex.errors import RecordError
from spotvortex.report.top import lines_of, read_answer

POOL = {
    "pool": "web",
    "nodes": {"spot": 13, "on_demand": 7, "reserved": 0, "unknown": 0},
    "current_ratio": 0.65,
    "action": "INCREASE_30",
    "reason": "economic_increase",
    "cost_usd_per_hour": 2.5,
    "all_on_demand_usd_per_hour": 4.0,
    "capacity_score": 0.04,
}
MOVING = {"node": "ip-10-0-2-43", "pool": "web", "to": "spot", "reason": "economic_increase"}


def answer(*pools, **changes):
    document = {
        "cycle": 3,
        "time": "2026-07-28T09:00:00.000Z",
        "freeze": "none",
        "in_flight": [],
        "pools": list(pools),
        **changes,
    }
    return read_answer(json.dumps(document), "http://127.0.0.1:8080")


def test_one_line_for_all_and_one_a_pool():
    jobs = POOL | {"pool": "jobs", "capacity_score": None, "current_ratio": None}
    summary, saved, head, *lines = lines_of(answer(POOL, jobs), 80)
    assert saved == "saved so far $0.00; at the allowed target $0.00"
    assert summary == ("09:00:00 $5.00/h, saves $3.00/h ($2,190/month), Spot 65%, risk 0.04")
    assert head.split() == ["POOL", "SPOT", "$/H", "RISK", "DECISION"]
    found = "web 13/20 65% 2.50 0.04 INCREASE_30 economic increase"
    assert lines[0].split() == found.split()
    assert lines[1].split()[:5] == ["jobs", "13/20", "-", "2.50", "-"]


def test_nodes_that_are_moved_and_a_freeze_are_named():
    summary, *_, last = lines_of(answer(POOL, in_flight=[MOVING], freeze="hard"), 80)
    assert summary.startswith("09:00:00 FROZEN (hard) $2.50/h")
    assert last == "  moving ip-10-0-2-43 of web to spot: economic_increase"


def test_what_was_saved_so_far_is_a_range_where_commitments_might_have_paid():
    saved = {"realised_usd": 1234.5, "realised_at_least_usd": -20.0, "projected_usd": 1500.0}
    _, line, *_ = lines_of(answer(POOL, savings=saved), 80)
    assert line == "saved so far -$20.00 .. $1,234.50; at the allowed target $1,500.00"


@pytest.mark.parametrize("name", ["w", "checkout-and-payment-workers-of-the-north"])
def test_every_line_fits(name):
    large = POOL | {"pool": name, "cost_usd_per_hour": 123_456.0}
    lines = list(lines_of(answer(large, in_flight=[MOVING | {"node": "n" * 90}]), 80))
    assert max(map(len, lines)) <= 80
    assert "DECISION" in lines[2]
    assert "INCREASE_30" in lines[3]


def test_before_the_first_decision_it_says_so():
    assert list(lines_of(answer(time=None), 80)) == ["nothing is decided yet"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pools": 3}', '{"time": "x", "pools": [{}]}'])
def test_what_is_no_answer_is_refused(text):
    with pytest.raises(RecordError, match="does not answer like this version's daemon"):
        read_answer(text, "http://127.0.0.1:8080")
