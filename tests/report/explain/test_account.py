"""A record is told as it was written, and an action that nobody proposed is judged beside it."""

import io
import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from spotvortex.core.decision.messages import PoolState
from spotvortex.core.decision.reconcile import decide
from spotvortex.core.domain.cloud.commitments import CommitmentState
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Action, CapacityType, Mode
from spotvortex.core.pool.input import CommitmentCover, OfferingInput
from spotvortex.core.record.record import record_of
from spotvortex.errors import RecordError
from spotvortex.report.explain.account import (
    facts,
    read_account,
    render,
    render_why_not,
    sentence,
    show,
    show_why_not,
    why_not,
)
from spotvortex.report.explain.gates import NARROW, answer_of
from spotvortex.report.explain.money import expected_costs
from tests.core.builders import (
    AT,
    CHEAP,
    WEB_A,
    WEB_B,
    basis,
    capped,
    offered,
    pool_input,
    risk_of,
    safety,
)
from tests.core.decision.offerings.test_shift import shifting
from tests.telemetry.decisions import largest_growth, largest_refusal

DEAR = replace(CHEAP, spot_usd_per_hour=0.095)
SHORT = safety(least_pods=-2, safe_by_word_nodes=0)


SHIFTING = shifting(offered(WEB_A, n_spot=20, spot_usd_per_hour=0.06), others=(offered(WEB_B),))


def account_of(made):
    return read_account(record_of(made, "f" * 64, "0.1.0+abc").line)


def text_of(shown, value, width=200):
    console = Console(file=io.StringIO(), width=width)
    shown(value, console)
    return console.file.getvalue()


@pytest.mark.parametrize(
    "made",
    [
        decide(basis()),
        decide(basis(pool_input(entry_money=DEAR))),
        decide(basis(pool_input(spot_risk=risk_of(0.5)))),
        decide(basis(pool_input(n_spot=0, n_on_demand=0))),
        largest_growth(),
        largest_refusal(),
    ],
)
def test_a_decision_is_read_back_as_it_was_made(made):
    account = account_of(made)
    assert account.decision == made
    assert account.same
    assert (account.previous, account.code_version) == ("f" * 64, "0.1.0+abc")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            decide(basis()),
            (
                "web with 10 of 20 nodes on Spot would move 1 node to Spot, from a ratio of 0.50 "
                "towards 0.80: INCREASE_30 for economic increase."
            ),
        ),
        (
            decide(basis(pool_input(n_spot=40, spot_risk=risk_of(0.95)))),
            (
                "web with 40 of 50 nodes on Spot would move 2 nodes to on-demand, from a ratio of "
                "0.80 towards 0.00: EMERGENCY_EXIT for emergency risk."
            ),
        ),
        (
            decide(basis(pool_input(entry_money=DEAR))),
            "web holds with 10 of 20 nodes on Spot: discount too small.",
        ),
        (
            decide(basis(pool_input(safety=SHORT))),
            (
                "web holds with 10 of 20 nodes on Spot, although INCREASE_30 was proposed: pool "
                "safety: the loss of zone us-east-1a leaves shop/Deployment/api 2 short."
            ),
        ),
    ],
)
def test_a_decision_is_said_in_one_sentence(made, words):
    assert sentence(made) == words


def test_the_text_has_money_scores_gates_flip_moves_and_digests():
    made = decide(basis(pool_input(spot_risk=risk_of(0.5))))
    account = account_of(made)
    text = text_of(show, account)
    for words in (
        "would move 1 node to on-demand",
        "$0.0300/h instead of $0.1000/h; capacity score 0.500, runtime score 0.500",
        "a node on Spot saves $0.0700/h, risks $0.0087/h, nets $0.0613/h; a move costs $0.0050",
        "-$0.0700/h at list price",
        "0.980, limited by freshness (freshness 0.98, scores 1.00)",
        "DECREASE_10 by deterministic: medium risk",
        "HOLD by rl: no q values",
        str(account.flip),
        "0.1.0+abc; the code that you run decides the same",
        account.digest,
        "f" * 64,
    ):
        assert words in text
    lines = text.splitlines()
    (budgets,) = (line for line in lines if line.startswith("budgets"))
    assert "at-most 1" in budgets
    assert "pool_left 2" in budgets
    (moved,) = (line for line in lines if line.startswith("s0 "))
    assert moved.split() == ["s0", "m6i.large/us-east-1a", "on-demand", "3"]
    assert all(move.to is CapacityType.ON_DEMAND for move in account.decision.moves)


def test_no_word_is_cut_on_a_narrow_terminal():
    out = io.StringIO()
    show(account_of(decide(basis())), Console(file=out, width=40, color_system=None))
    assert "\N{HORIZONTAL ELLIPSIS}" not in out.getvalue()


def test_what_is_not_known_is_said_to_be_unknown():
    bare = replace(CHEAP, spot_usd_per_hour=None, on_demand_usd_per_hour=None)
    none = replace(risk_of(0.1), capacity=None, runtime=None, worst="", worst_runtime=None)
    data = pool_input(entry_money=bare, entry_risk=none, n_spot=0, confidence_terms=())
    line = record_of(decide(basis(data, model_digest="")), "", "1").line
    text = text_of(show, read_account(line))
    for words in (
        "price unknown; capacity score unknown, runtime score unknown",
        "not reckoned: no node can go to Spot, or a price of it is not known",
        "none: HOLD: nothing moves",
        "none: the first since start",
        "no change of a single figure suffices",
    ):
        assert words in text
    assert "Spot held" not in text


def test_a_pool_that_is_all_spot_has_nothing_to_enter():
    data = pool_input(n_on_demand=0)
    assert "Spot to enter" not in text_of(show, account_of(decide(basis(data))))


def test_prices_of_last_resort_are_named():
    data = pool_input(entry_money=replace(CHEAP, last_resort=True))
    assert "$0.1000/h, of last resort" in text_of(show, account_of(decide(basis(data))))


def test_a_risk_that_a_recommendation_raised_says_so():
    offering = OfferingInput(
        offering=WEB_A,
        n_spot=1,
        n_on_demand=0,
        spot_usd_per_hour=None,
        on_demand_usd_per_hour=None,
        capacity_score=0.2,
        runtime_score=0.2,
        in_scope=True,
        risk_factor=3.0,
        price_source="aws",
    )
    text = text_of(show, account_of(decide(basis(pool_input(offerings=(offering,))))))
    assert f"{WEB_A} x3, since a rebalance was recommended there" in text
    assert "prices from" in text
    assert "rebalance" not in text_of(show, account_of(decide(basis())))


def test_what_commitments_pay_for_is_told_with_what_is_left_to_save():
    cover = CommitmentCover(
        state=CommitmentState.STATED,
        n_covered=2.5,
        n_kept=2,
        by=("a", "b"),
        unused_usd_per_hour=1.0,
    )
    money = replace(CHEAP, marginal_usd_per_hour=0.05)
    text = text_of(
        show, account_of(decide(basis(pool_input(commitments=cover, entry_money=money))))
    )
    assert "2.5 nodes are paid for by a, b, 2 of them movable; $1.0000/h of all are unused" in text
    assert "of which commitments leave $0.0500/h to save" in text
    assert "paid for" not in text_of(show, account_of(decide(basis())))


def test_json_holds_the_same_and_what_is_not_finite_is_null():
    data = pool_input(oldest_input_s=math.inf, bad_inputs=("nodes",))
    account = account_of(decide(basis(data)))
    document = json.loads(render(account))
    assert document["in_words"] == sentence(account.decision)
    assert document["flip_in_words"] == str(account.flip)
    assert document["flip"]["now"] is None
    assert document["decision"]["basis"]["pool"]["oldest_input_s"] is None
    assert [v["gate"] for v in document["decision"]["verdicts"]][:2] == ["lease", "input_freshness"]


def test_a_record_of_code_that_decided_otherwise_is_shown_as_it_was_written():
    line = record_of(decide(basis()), "", "0.0.9").line
    account = read_account(line.replace('"action":"INCREASE_30"', '"action":"INCREASE_10"'))
    assert account.decision.action is Action.INCREASE_10
    assert not account.same
    assert "does NOT make the same record" in text_of(show, account)


@pytest.mark.parametrize(
    "line", ["", "{", "{}", "null", '{"v":1}', record_of(decide(basis()), "", "1").line[:-200]]
)
def test_a_line_that_is_no_record_is_refused(line):
    with pytest.raises(RecordError, match="cannot be read by this version"):
        read_account(line)


def test_a_record_that_lacks_a_field_is_refused_with_its_name():
    line = record_of(decide(basis()), "", "1").line.replace('"reason":', '"season":', 1)
    with pytest.raises(RecordError, match="reason"):
        read_account(line)


@pytest.mark.parametrize(
    ("made", "action", "words", "flip"),
    [
        (
            basis(pool_input(safety=SHORT), state=PoolState(last_wave_at=AT - 20.0)),
            Action.INCREASE_10,
            "web cannot INCREASE_10: refused by pool_safety, cooldown.",
            None,
        ),
        (
            basis(state=PoolState(last_wave_at=AT - 20.0)),
            Action.DECREASE_10,
            "web cannot DECREASE_10: refused by cooldown.",
            "would DECREASE_10 if seconds since the last wave >= 300, now 20",
        ),
        (
            basis(limits=capped(max_spot_ratio=0.5)),
            Action.INCREASE_10,
            "web cannot INCREASE_10: nothing to move.",
            "would INCREASE_10 if max_spot_ratio >= 0.55, now 0.5",
        ),
        (basis(), Action.INCREASE_10, "web could INCREASE_10: the gates let 1 node through.", None),
        (basis(), Action.HOLD, "web can always HOLD.", None),
        (
            basis(SHIFTING, limits=Limits(shift=True)),
            Action.HOLD,
            f"web can always HOLD. It moves 1 node off {WEB_A} to other Spot: shift for price.",
            None,
        ),
        (
            basis(replace(SHIFTING, n_in_flight=1), limits=Limits(shift=True)),
            Action.HOLD,
            f"web can always HOLD. A shift off {WEB_A} was proposed: refused by budgets.",
            None,
        ),
        (
            basis(limits=capped(mode=Mode.ACTIVE)),
            Action.DECREASE_30,
            "web cannot DECREASE_30: refused by lease.",
            None,
        ),
    ],
)
def test_an_action_is_judged_as_of_the_record(made, action, words, flip):
    answer = why_not(account_of(decide(made)), action)
    assert answer.in_words == words
    assert (str(answer.forced.flip) if answer.forced.flip else None) == flip
    text = text_of(show_why_not, answer)
    assert words in text
    free = action is Action.HOLD or "could" in words
    assert ("nearest change:" in text) is not free
    assert (flip or "") in text
    document = json.loads(render_why_not(answer))
    assert document["in_words"] == words
    assert document["flip_in_words"] == (flip or "no change of a single figure suffices")


def test_each_offerings_expected_cost_is_said_with_its_terms_and_what_room_avoids():
    pool = pool_input(offerings=(offered(WEB_A), offered(WEB_B, lost_hours=0.05)))
    said = dict(expected_costs(decide(basis(pool)).choice))
    assert said["expected cost"].startswith("Spot m6i.large/us-east-1a: $0.0307/h = node $0.0295")
    assert said[""].startswith("on-demand m6i.large/us-east-1a: $0.1000/h = node $0.1000")
    assert said["avoided"] == "m6i.large/us-east-1b (lost lately)"


def test_extra_room_is_said_with_its_terms_where_any_may_be_asked_for():
    limits = Limits(max_hedge_ratio=0.3, interruption_minutes=240.0)
    said = dict(facts(account_of(decide(basis(SHIFTING, limits=limits)))))
    hedge = decide(basis(SHIFTING, limits=limits)).hedge
    assert said["extra room"].startswith(
        f"at most 30% of what is lost; a node costs ${hedge.node_usd:,.4f}, and spares "
        f"${hedge.saved_usd:,.4f} of an outage of ${hedge.outage_usd:,.4f}"
    )
    assert said["extra room"].endswith("of one lost node 1 pay, of ten 3")
    assert "extra room" not in dict(facts(account_of(decide(basis(SHIFTING)))))


def test_a_shift_is_said_with_its_terms_and_what_its_room_avoids():
    found = account_of(decide(basis(SHIFTING, limits=Limits(shift=True))))
    assert sentence(found.decision) == (
        "web with 20 of 20 nodes on Spot would move 1 node off m6i.large/us-east-1a to other Spot, "
        "the ratio stays: shift for price."
    )
    assert [(m.candidate.node, m.to) for m in found.decision.moves] == [("s0", CapacityType.SPOT)]
    assert found.same
    said = dict(facts(found))
    assert said["shift"].startswith(
        "off m6i.large/us-east-1a, at best to m6i.large/us-east-1b: the node costs $0.0295/h less"
    )
    assert said["its room avoids"] == "m6i.large/us-east-1a"
    held = decide(basis(replace(SHIFTING, n_in_flight=1), limits=Limits(shift=True)))
    assert "although a shift off m6i.large/us-east-1a was proposed (shift for price)" in sentence(
        held
    )


def test_on_a_narrow_terminal_each_gate_is_a_block_and_no_name_is_broken():
    answer = why_not(account_of(decide(basis())), Action.INCREASE_30)
    wide, narrow = (text_of(show_why_not, answer, width) for width in (NARROW, NARROW - 20))
    assert "because" in wide
    assert "because" not in narrow
    lines = narrow.splitlines()
    for verdict in answer.forced.verdicts:
        assert f"{verdict.gate}: {answer_of(verdict)}" in lines
    assert max(map(len, lines)) <= NARROW - 20
