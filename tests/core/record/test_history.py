"""A cluster's own history is what its records show, each thing once."""

import json

import pytest

from spotvortex.core.decision.reconcile import decide
from spotvortex.core.domain.types import Offering
from spotvortex.core.record.codec import CodecError
from spotvortex.core.record.history import (
    MAX_EVENTS,
    MAX_OFFERINGS,
    MAX_POOLS,
    SAME_S,
    OfferingHistory,
    OwnHistory,
)
from spotvortex.core.record.record import record_of
from spotvortex.results.own_history import files_of
from spotvortex.sim.market.capacity_trace import read_trace
from tests.core.builders import AT, WEB_A, WEB_B, basis, offered, pool_input

HOUR = 3600.0
KEY = b"k" * 32


def line(at, *rows, pool="web", **changes):
    data = pool_input(at=at, pool=pool, offerings=rows, n_offerings=len(rows), **changes)
    return record_of(decide(basis(data)), "", "code").line


def gathered(*lines):
    history = OwnHistory()
    for one in lines:
        history.take(one)
    return history


def held(offering=WEB_A, n_spot=3, **changes):
    return offered(offering=offering, n_spot=n_spot, n_on_demand=0, **changes)


def test_a_loss_that_several_records_tell_of_is_one_and_another_is_another():
    found = gathered(
        line(AT, held()),
        line(AT + HOUR, held(n_spot=2, lost_hours=0.5, is_survivor=True)),
        line(AT + 2 * HOUR, held(n_spot=2, lost_hours=1.5)),
        line(AT + 3 * HOUR, held(n_spot=1, lost_hours=0.25)),
    )
    assert found.offerings[WEB_A].losses == [(AT + 0.5 * HOUR, True), (AT + 2.75 * HOUR, False)]


def test_nodes_are_added_up_over_pools_and_more_of_them_are_launches():
    found = gathered(
        line(AT, held(n_spot=3)),
        line(AT + 60.0, held(n_spot=2), pool="api"),
        line(AT + HOUR, held(n_spot=4)),
        line(AT + 2 * HOUR, held(WEB_B, n_spot=4)),
    )
    known = found.offerings[WEB_A]
    assert [n for _, n in known.held] == [3, 5, 6, 2]
    assert known.launches == [(AT + 60.0, 2), (AT + HOUR, 1)]


def test_a_price_is_kept_at_its_changes_and_when_it_was_last_seen():
    prices = (0.03, 0.03, 0.03, 0.04, 0.04)
    lines = [line(AT + n * HOUR, held(spot_usd_per_hour=p)) for n, p in enumerate(prices)]
    seen = [((at - AT) / HOUR, price) for at, price in gathered(*lines).offerings[WEB_A].prices]
    assert seen == [(0.0, 0.03), (2.0, 0.03), (3.0, 0.04), (4.0, 0.04)]


def test_a_price_that_is_not_known_or_can_be_none_is_left_out():
    found = gathered(
        line(AT, held(spot_usd_per_hour=None)),
        line(AT + HOUR, held(WEB_B, on_demand_usd_per_hour=None)),
        line(AT + 2 * HOUR, held(spot_usd_per_hour=-1.0, on_demand_usd_per_hour=1e9)),
    )
    assert found.offerings[WEB_A].prices == []
    assert found.offerings[WEB_B].prices == [(AT + HOUR, 0.03)]
    assert found.on_demand == {("m6i.large", "us-east-1"): 0.10}


def test_launches_that_failed_are_told_once_each_as_losses_are():
    found = gathered(
        line(AT, held(refused_hours=1.0)),
        line(AT + HOUR, held(refused_hours=2.0)),
        line(AT + 2 * HOUR, held(refused_hours=0.5)),
    )
    assert found.offerings[WEB_A].refusals == [AT - HOUR, AT + 1.5 * HOUR]


@pytest.mark.parametrize(("later_s", "n"), [(SAME_S, 1), (SAME_S + 1.0, 2)])
def test_what_is_told_within_minutes_is_told_of_the_same_loss_or_launch(later_s, n):
    rows = [line(AT + s, held(lost_hours=0.0, refused_hours=0.0)) for s in (0.0, later_s)]
    known = gathered(*rows).offerings[WEB_A]
    assert (len(known.losses), len(known.refusals)) == (n, n)


def test_records_offerings_and_pools_are_bounded():
    row = line(AT, held())
    one = gathered(row)
    (decision,) = one.decisions
    offerings = {
        Offering(instance_type=f"m{i}.large", zone="a"): OfferingHistory()
        for i in range(MAX_OFFERINGS)
    }
    pools = {f"p{i}": one.last["web"] for i in range(MAX_POOLS)}
    for full, text in (
        (OwnHistory(decisions=[decision] * MAX_EVENTS), "records"),
        (OwnHistory(offerings=offerings | one.offerings), "offerings"),
        (OwnHistory(last=pools), "pools"),
    ):
        with pytest.raises(CodecError, match=text):
            full.take(row)
    for nearly in (
        OwnHistory(decisions=[decision] * (MAX_EVENTS - 1)),
        OwnHistory(offerings=offerings),
        OwnHistory(last=pools | one.last),
    ):
        nearly.take(row)


def test_an_offering_is_let_go_only_by_a_record_that_lists_all():
    data = pool_input(at=AT + HOUR, offerings=(held(WEB_B),), n_offerings=2)
    part = record_of(decide(basis(data)), "", "code").line
    whole = line(AT + 2 * HOUR, held(WEB_B))
    assert [n for _, n in gathered(line(AT, held()), part).offerings[WEB_A].held] == [3]
    assert [n for _, n in gathered(line(AT, held()), whole).offerings[WEB_A].held] == [3, 0]


def test_it_spans_the_first_and_the_last_record_and_counts_the_nodes_of_all_pools():
    found = gathered(
        line(AT, held()),
        line(AT + HOUR, held(), pool="api"),
        line(AT + 2 * HOUR, held(), n_spot=1, n_on_demand=1),
    )
    assert found.span == (AT, AT + 2 * HOUR)
    assert found.n_most == 40
    assert (found.decisions[2].n_spot, found.decisions[2].n_other) == (1, 1)


def test_a_decision_is_told_with_its_refusals_its_target_and_what_it_saves():
    row = json.loads(line(AT, held()))
    row |= {"verdicts": [["a", "allow"], ["b", "refuse"]], "target_ratio": 1, "n_nodes": 2}
    one, other = (OwnHistory(), OwnHistory())
    one.take(json.dumps(row | {"savings_usd_per_hour": 0.5}))
    assert one.decisions[0].refused_by == ("b",)
    assert (one.decisions[0].target_ratio, one.decisions[0].n_nodes) == (1.0, 2)
    assert one.decisions[0].savings_usd_per_hour == 0.5
    other.take(json.dumps(row | {"savings_usd_per_hour": None, "verdicts": None, "n_nodes": None}))
    assert other.decisions[0].refused_by == ()
    assert (other.decisions[0].savings_usd_per_hour, other.decisions[0].n_nodes) == (None, 0)


def test_an_offering_was_short_from_a_loss_until_a_launch_there(tmp_path):
    files = files_of(
        gathered(
            line(AT, held(n_spot=30)),
            line(AT + HOUR, held(n_spot=1, lost_hours=0.0)),
            line(AT + 1.5 * HOUR, held(n_spot=4, lost_hours=0.5)),
            line(AT + 40 * HOUR, held(n_spot=4)),
        ),
        KEY,
    )
    (tmp_path / "capacity.csv").write_text(files["capacity.csv"])
    trace = read_trace(tmp_path / "capacity.csv")
    counts = trace.counts[WEB_A]
    at = [counts.at(AT + hours * HOUR) for hours in (0.5, 1.25, 1.75, 39.0)]
    assert at == [20, 1, 20, 20]
    assert trace.end_at == AT + 40 * HOUR


def test_nothing_is_written_that_names_a_pool_a_node_or_a_workload():
    secret = line(AT, held(), pool="payments-prod")
    one, other = (files_of(gathered(secret), key) for key in (KEY, b"x" * 32))
    whole = "".join(one.values())
    assert "payments" not in whole
    assert "s1" not in json.loads(one["decisions.jsonl"]).values()
    words = [json.loads(files["decisions.jsonl"])["pool"] for files in (one, other)]
    assert words[0] != words[1]
    assert json.loads(one["cluster.json"])["pools"][0]["name"] == words[0]
    row = json.loads(one["decisions.jsonl"])
    assert row.keys() >= {"time", "action", "refused_by", "capacity_score", "n_spot"}


def test_what_is_no_record_is_refused():
    with pytest.raises(CodecError, match="no JSON"):
        OwnHistory().take("nonsense")
