"""A decision's line holds all it was made from, stays short, and reads well at a console."""

import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.messages import Economics, Proposal, Verdict
from spotvortex.core.domain.types import (
    Action,
    CapacityType,
    GateName,
    Outcome,
    ProposalReason,
)
from spotvortex.core.pool.input import MAX_CANDIDATES, MAX_OFFERINGS
from spotvortex.core.record.codec import encode
from spotvortex.core.record.record import (
    HEARTBEAT_S,
    is_worth_recording,
    read_record,
    record_of,
    rfc3339,
    shown_risk,
)
from spotvortex.core.record.schema import SCHEMA
from tests.telemetry.decisions import (
    AT,
    MODEL,
    REFUSAL,
    decision,
    largest_growth,
    largest_refusal,
    pool_input,
)

KIB = 1024


def document(made):
    return json.loads(record_of(made, "", "0.1.0").line)


def test_the_digest_is_of_the_line_without_it_and_the_record_before_is_named():
    first = record_of(decision(), "", "0.1.0")
    second = record_of(decision(cycle=8), first.digest, "0.1.0")
    body = second.line[: second.line.rindex(',"digest":')] + "}"
    assert hashlib.sha256(body.encode()).hexdigest() == second.digest
    assert json.loads(second.line)["digest"] == second.digest
    assert json.loads(second.line)["previous"] == first.digest


def test_the_same_decision_gives_the_same_bytes_and_another_gives_others():
    assert record_of(decision(), "a", "1") == record_of(decision(), "a", "1")
    lines = {record_of(decision(), *rest).line for rest in (("a", "1"), ("b", "1"), ("a", "2"))}
    assert len(lines) == 3


def test_the_line_names_what_decided():
    record = document(decision())
    assert (record["v"], record["time"]) == (SCHEMA.version, "2026-07-14T04:34:30.250Z")
    assert (record["mode"], record["action"], record["pool"]) == ("shadow", "HOLD", "web")
    assert record["proposal"][:2] == ["INCREASE_10", "economic_increase"]
    assert record["confidence_limit"] == "history"
    assert record["confidence"] == pytest.approx(0.8112, abs=1e-4)
    assert (record["basis"]["model_digest"], record["code"]) == (MODEL, "0.1.0")
    assert record["trace"] == "4b" * 16
    assert record["economics"]["discount_ratio"] == 0.7018229166666666


def test_every_verdict_is_written_as_a_row():
    bounded = Verdict(gate="budgets", outcome=Outcome.AT_MOST, reason="wave", limit=2)
    rows = document(decision(verdicts=(REFUSAL, bounded)))["verdicts"]
    assert rows == [
        ["pool_safety", "refuse", REFUSAL.reason, None, [["margin_pods", -1.0]]],
        ["budgets", "at-most", "wave", 2, []],
    ]


@pytest.mark.parametrize("traceparent", ["", "00-4b4b", "not a traceparent at all"])
def test_without_a_trace_there_is_no_trace_id(traceparent):
    assert document(decision(traceparent=traceparent))["trace"] == ""


def test_a_figure_that_is_not_finite_is_a_text_and_is_read_back():
    verdict = Verdict(
        gate="g", outcome=Outcome.REFUSE, reason="r", numbers=(("a", math.inf), ("b", math.nan))
    )
    made = decision(
        verdicts=(verdict,),
        economics=Economics(payback_hours=math.inf),
        savings_usd_per_hour=math.nan,
        input=pool_input(oldest_input_s=math.inf),
    )
    line = record_of(made, "", "1").line

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    record = json.loads(line, parse_constant=refuse)
    assert record["verdicts"][0][4] == [["a", "inf"], ["b", "NaN"]]
    assert record["economics"]["payback_hours"] == "inf"
    assert record["savings_usd_per_hour"] == "NaN"
    assert read_record(line).basis.pool.oldest_input_s == math.inf


def test_a_wave_is_the_first_candidates_of_its_direction():
    made = largest_growth()
    read = read_record(record_of(made, "", "1").line).basis.pool
    record = document(made)
    assert record["action"] == Action.INCREASE_30
    assert [m.candidate for m in made.moves] == list(read.to_spot[: record["n_nodes"]])
    assert {m.to for m in made.moves} == {CapacityType.SPOT}


def compact(data):
    return json.dumps(data, separators=(",", ":"))


@pytest.mark.parametrize("largest", [largest_growth, largest_refusal])
def test_the_largest_record_fits_in_sixteen_kib_and_its_pool_in_ten(largest):
    made = largest()
    data = made.input
    assert (len(data.offerings), len(data.to_spot)) == (MAX_OFFERINGS, MAX_CANDIDATES)
    assert len(data.to_on_demand) == MAX_CANDIDATES
    assert tuple(v.gate for v in made.verdicts) == tuple(GateName)
    line = record_of(made, "f" * 64, "0.1.0").line
    record = json.loads(line)
    reduced = compact(record["basis"]["pool"]) + compact(record["words"])
    assert len(reduced.encode()) <= 10 * KIB
    assert len(line.encode()) <= 16 * KIB


def test_the_largest_refusal_is_that_of_every_gate_that_can_refuse_growth():
    """`model_scope` refuses growth only where there is no node to be named."""
    assert set(GateName) - set(largest_refusal().refused_by) == {
        "model_scope",
        "lease",
        "utilisation_headroom",
        "freeze",
        "mode",
    }


@pytest.mark.parametrize("made", [decision(), largest_growth(), largest_refusal()])
def test_what_a_decision_was_made_of_is_read_back_whole(made):
    read = read_record(record_of(made, "ab", "1").line)
    assert read.basis == made.basis
    assert (read.previous_digest, read.code_version) == ("ab", "1")


def test_names_in_common_are_written_once():
    record = document(largest_growth())
    assert compact(record["basis"]).count("checkout-and-payment-workers") == 0
    assert compact(record["basis"]).count("compute.internal") == 0
    assert record["basis"] != encode(largest_growth().basis, SCHEMA.rows)


numbers = st.floats(allow_nan=False)
figures = st.none() | numbers


@st.composite
def inputs(draw):
    data = pool_input(
        n_offerings=draw(st.integers(1, MAX_OFFERINGS)),
        n_candidates=draw(st.integers(0, MAX_CANDIDATES)),
    )
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


@given(inputs(), st.text(max_size=60))
def test_what_is_written_is_read_back_bit_for_bit(data, traceparent):
    made = decision(input=data, traceparent=traceparent)
    line = record_of(made, "", "1").line
    assert "\n" not in line
    again = read_record(line).basis
    assert again == made.basis
    assert (
        record_of(decision(input=again.pool, traceparent=again.traceparent), "", "1").line == line
    )


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
        {"proposal": Proposal(action=Action.HOLD, reason=ProposalReason.AT_MAX_SPOT_RATIO)},
        {"target_ratio": 0.7},
        {"n_nodes": 2},
        {"proposal": Proposal(action=Action.INCREASE_30, reason=ProposalReason.ECONOMIC_INCREASE)},
    ],
)
def test_a_changed_decision_is_recorded(change):
    assert is_worth_recording(decision(**change), decision())


def test_a_decision_that_acts_is_recorded_each_time():
    assert is_worth_recording(decision(n_nodes=1), decision(n_nodes=1))


def test_numbers_that_moved_alone_are_no_change():
    assert not is_worth_recording(decision(savings_usd_per_hour=1.0), decision())


def test_without_spot_the_risk_shown_is_that_of_entering():
    data = pool_input(n_spot=0)
    assert shown_risk(data) is data.entry_risk


def test_times_are_rfc_3339_in_utc():
    assert rfc3339(0.0) == "1970-01-01T00:00:00.000Z"
