"""A decision's line holds all it was made from, stays short, and reads well at a console."""

import hashlib
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.messages import Economics, Proposal, Verdict
from spotvortex.core.pools import PoolInput
from spotvortex.core.record import (
    HEARTBEAT_S,
    MAX_LINE,
    describe,
    input_of,
    is_worth_recording,
    record_of,
    rfc3339,
    shown_risk,
)
from spotvortex.core.types import Action, CapacityType, Mode, Outcome
from tests.telemetry.decisions import (
    AT,
    MODEL,
    REFUSAL,
    decision,
    largest_decision,
    move,
    pool_input,
)


def document(made):
    return json.loads(record_of(made, "", "0.1.0").line)


def test_the_digest_is_of_the_line_without_it_and_the_record_before_is_named():
    first = record_of(decision(), "", "0.1.0")
    second = record_of(decision(cycle=8), first.digest, "0.1.0")
    body = second.line[: second.line.rindex(',"digest":')] + "}"
    assert hashlib.sha256(body.encode()).hexdigest() == second.digest
    assert json.loads(second.line)["digest"] == second.digest
    assert json.loads(second.line)["previous"] == first.digest


def test_the_same_decision_gives_the_same_bytes():
    assert record_of(decision(), "a", "1") == record_of(decision(), "a", "1")


def test_the_line_names_what_decided():
    record = document(decision())
    assert record["time"] == "2026-07-14T04:34:30.250Z"
    assert record["at"] == AT
    assert (record["mode"], record["action"], record["pool"]) == ("shadow", "HOLD", "web")
    assert record["proposal"] == ["INCREASE_10", "economic_increase"]
    assert record["confidence_limit"] == "history"
    assert record["confidence"] == pytest.approx(0.8112, abs=1e-4)
    assert (record["model"], record["code"]) == (MODEL, "0.1.0")
    assert record["trace"] == "4b" * 16
    assert record["economics"]["discount_ratio"] == 0.7018229166666666


def test_every_verdict_is_written_and_ends_where_the_rest_is_empty():
    bounded = Verdict(gate="budgets", outcome=Outcome.AT_MOST, reason="wave", limit=2)
    rows = document(decision(verdicts=(REFUSAL, bounded)))["verdicts"]
    assert rows == [
        ["pool_safety", "refuse", REFUSAL.reason, None, {"margin_pods": -1.0}],
        ["budgets", "at-most", "wave", 2],
    ]


def test_without_a_trace_there_is_no_trace_id():
    assert document(decision(traceparent=""))["trace"] == ""


def test_a_figure_that_is_not_finite_is_null():
    verdict = Verdict(
        gate="g", outcome=Outcome.REFUSE, reason="r", numbers=(("a", math.inf), ("b", math.nan))
    )
    made = decision(
        verdicts=(verdict,),
        economics=Economics(payback_hours=math.inf),
        savings_usd_per_hour=math.nan,
        input=pool_input(
            oldest_input_s=math.inf,
            offerings=(replace(pool_input().offerings[0], runtime_score=math.inf),),
        ),
    )
    line = record_of(made, "", "1").line
    assert "NaN" not in line
    assert "Infinity" not in line
    assert json.loads(line)["verdicts"][0][4] == {"a": None, "b": None}
    assert input_of(line).oldest_input_s == math.inf


def test_a_move_of_a_candidate_is_its_position():
    data = pool_input()
    moves = (move(data.to_on_demand[1], CapacityType.ON_DEMAND),)
    assert document(decision(input=data, moves=moves))["moves"] == {"on-demand": [1]}


def test_a_move_of_another_node_is_written_out():
    stranger = pool_input(n_candidates=5).to_spot[4]
    made = document(decision(moves=(move(stranger, CapacityType.SPOT),)))
    assert made["moves"] == {"spot": [[stranger.node, stranger.uid, str(stranger.offering)]]}


def test_the_largest_record_fits_in_six_kib_and_its_input_in_four():
    made = largest_decision()
    line = record_of(made, "f" * 64, "0.1.0").line
    reduced = json.dumps(json.loads(line)["input"], separators=(",", ":"))
    assert len(reduced.encode()) <= 4096
    assert len(line.encode()) <= 6144


def test_the_largest_input_is_read_back_whole():
    made = largest_decision()
    assert input_of(record_of(made, "", "1").line) == made.input


def test_names_without_a_common_domain_and_unlisted_offerings_are_read_back():
    few, many = pool_input(n_offerings=2), pool_input(n_offerings=9, n_candidates=5)
    data = pool_input(
        n_offerings=2,
        to_spot=(*many.to_spot, *few.to_on_demand),
        to_on_demand=(),
        spot_risk=many.spot_risk,
        out_of_range=("x9.large/nowhere",),
    )
    assert input_of(record_of(decision(input=data), "", "1").line) == data
    renamed = pool_input(
        to_spot=tuple(
            type(c)(
                node=c.uid,
                uid=c.uid,
                offering=c.offering,
                n_pods=0,
                workload_cpu_milli=0,
                workload_memory_bytes=0,
            )
            for c in data.to_spot
        )
    )
    assert input_of(record_of(decision(input=renamed), "", "1").line) == renamed


def test_scores_that_are_no_float32_are_read_back_as_well():
    first, second = pool_input(n_offerings=2).offerings
    data = pool_input(
        offerings=(
            replace(first, capacity_score=0.1, in_scope=False),
            replace(second, runtime_score=None),
        )
    )
    line = record_of(decision(input=data), "", "1").line
    assert '"score_type":"float64"' in line
    assert input_of(line) == data


numbers = st.floats(allow_nan=False, allow_infinity=False)
figures = st.none() | numbers


@st.composite
def inputs(draw) -> PoolInput:
    data = pool_input(n_offerings=draw(st.integers(1, 24)), n_candidates=draw(st.integers(0, 8)))
    return pool_input(
        n_offerings=len(data.offerings),
        to_spot=data.to_spot,
        cpu_requested_ratio=draw(figures),
        memory_requested_ratio=draw(figures),
        n_spot=draw(st.integers(0, 10_000)),
        allows_spot=draw(st.booleans()),
        oldest_input_s=draw(numbers),
        pool=draw(st.text(min_size=1, max_size=20)),
        confidence_terms=tuple(draw(st.dictionaries(st.text(max_size=8), numbers)).items()),
    )


@given(inputs())
def test_what_is_written_is_read_back_bit_for_bit(data: PoolInput):
    line = record_of(decision(input=data), "", "1").line
    assert "\n" not in line
    again = input_of(line)
    assert again == data
    assert record_of(decision(input=again), "", "1").line == line


def test_the_first_decision_of_a_pool_is_recorded():
    assert is_worth_recording(decision(), None)


def test_an_unchanged_hold_is_not_recorded_until_its_hour_is_over():
    last = decision()
    assert not is_worth_recording(decision(at=AT + HEARTBEAT_S - 1, cycle=8), last)
    assert is_worth_recording(decision(at=AT + HEARTBEAT_S, cycle=9), last)


@pytest.mark.parametrize(
    "change",
    [
        {"action": Action.DECREASE_10},
        {"verdicts": ()},
        {"proposal": Proposal(action=Action.HOLD, reason="at_max_spot_ratio")},
        {"target_ratio": 0.7},
        {"n_nodes": 2},
    ],
)
def test_a_changed_decision_is_recorded(change):
    assert is_worth_recording(decision(**change), decision())


def test_a_decision_that_acts_is_recorded_each_time():
    assert is_worth_recording(decision(n_nodes=1), decision(n_nodes=1))


def test_numbers_that_moved_alone_are_no_change():
    assert not is_worth_recording(decision(savings_usd_per_hour=1.0), decision())


def test_a_refused_wish_reads_as_one_line():
    assert describe(decision()) == (
        "04:34:30 web      HOLD           spot 12/20 (0.60 -> 0.60)  risk 0.03/0.05  conf 0.81  "
        "pool_safety refuses: losing zone us-east-1a leaves shop/api 3 of 4 "
        "| wanted INCREASE_10 (economic_increase)"
    )


def test_a_move_says_how_many_nodes_and_whether_they_really_go():
    acting = {"action": Action.INCREASE_10, "verdicts": (), "reason": "economic_increase"}
    assert describe(decision(**acting, n_nodes=1)).endswith("would move 1 node: economic_increase")
    active = decision(**acting, n_nodes=2, mode=Mode.ACTIVE)
    assert describe(active).endswith("moves 2 nodes: economic_increase")


def test_a_plain_hold_gives_its_reason():
    line = describe(decision(verdicts=(), reason="all_spot_already"))
    assert line.endswith("conf 0.81  all_spot_already")


def test_several_refusals_are_counted_and_a_long_line_is_cut():
    line = describe(decision(verdicts=(REFUSAL, REFUSAL, REFUSAL)))
    assert "3 of 4 (+2 more)" in line
    assert len(describe(decision(reason="x" * 400, verdicts=()))) == MAX_LINE


def test_without_spot_the_risk_shown_is_that_of_entering():
    data = pool_input(n_spot=0)
    assert shown_risk(data) is data.entry_risk
    unknown = type(data.entry_risk)(capacity=None, runtime=None)
    assert "risk -/-" in describe(decision(input=pool_input(n_spot=0, entry_risk=unknown)))


def test_times_are_rfc_3339_in_utc():
    assert rfc3339(0.0) == "1970-01-01T00:00:00.000Z"
