"""A person is told each wave, its end, and why a pool holds, once for each kind of reason."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.types import Action, Mode, ProposalReason
from spotvortex.core.record.text_lines import (
    AGAIN_S,
    LASTS_S,
    MAX_LINE,
    describe,
    kind_of_line,
    tell,
)
from tests.telemetry.decisions import AT, REFUSAL, decision, pool_input

TICK_S = 30.0
ACTS = {"action": Action.INCREASE_10, "verdicts": (), "reason": "economic_increase", "n_nodes": 1}


def refused(gate, action=Action.INCREASE_10, **changes):
    """A HOLD that a gate makes of a wish."""
    wish = replace(decision().proposal, action=action)
    return {"verdicts": (replace(REFUSAL, gate=gate),), "proposal": wish, **changes}


def quiet(reason):
    """A HOLD that nobody wanted otherwise."""
    wish = replace(decision().proposal, action=Action.HOLD, reason=ProposalReason.ALL_SPOT_ALREADY)
    return {"verdicts": (), "reason": reason, "proposal": wish}


SETTLED, STALE = quiet("all_spot_already"), quiet("price_stale")
BUDGETS, COOLDOWN, SAFETY = (refused(g) for g in ("budgets", "cooldown", "pool_safety"))


def told(*ticks, mode=Mode.ACTIVE, n_in_flight=(), last_wave_at=None):
    """Return at which ticks of a pool's day something is told, half a minute apart."""
    known, found = None, []
    for i, changes in enumerate(ticks):
        at = AT + i * TICK_S
        data = pool_input(at=at, n_in_flight=int(i in n_in_flight))
        made = decision(mode=mode, input=data, **changes)
        if last_wave_at is not None:
            state = replace(made.basis.state, last_wave_at=last_wave_at)
            made = replace(made, basis=replace(made.basis, state=state))
        tells, known = tell(made, known)
        found += [i] if tells else []
    return found


def test_the_first_decision_of_a_pool_is_told_and_one_like_it_is_not():
    assert told(SETTLED, SETTLED, SETTLED) == [0]


def test_every_wave_is_told_in_the_modes_that_write():
    assert told(ACTS, ACTS, ACTS) == [0, 1, 2]


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.ADVISE])
def test_what_would_be_moved_is_told_once_where_nothing_moves(mode):
    assert told(ACTS, COOLDOWN, ACTS, COOLDOWN, ACTS, mode=mode) == [0, 1]


def test_the_end_of_a_wave_is_told_and_waiting_for_it_is_not():
    assert told(ACTS, BUDGETS, COOLDOWN, COOLDOWN, n_in_flight={1, 2}) == [0, 3]


def test_a_wave_that_the_cluster_may_not_show_yet_is_not_over():
    begun = AT + TICK_S
    ticks = (SETTLED, ACTS, SETTLED)
    assert told(*ticks, last_wave_at=begun) == [0, 1, 2]
    assert told(*ticks, last_wave_at=AT + 2 * TICK_S - 5.0) == [0, 1]


def test_a_wave_that_goes_on_for_long_is_told_with_why():
    n_lasting = int(LASTS_S / TICK_S)
    ticks = [ACTS, *[BUDGETS] * (n_lasting + 2)]
    assert told(*ticks, n_in_flight=range(1, len(ticks))) == [0, 1 + n_lasting]


def test_another_kind_of_reason_is_told_at_once():
    assert told(SETTLED, STALE, SAFETY) == [0, 1, 2]


def test_reasons_that_alternate_are_told_once_each():
    assert told(*[SETTLED, SAFETY] * 100) == [0, 1]


def test_the_gates_that_say_not_yet_are_one_kind():
    assert told(BUDGETS, COOLDOWN, BUDGETS) == [0]


def test_which_way_a_refused_wish_went_is_another_kind():
    ways = (Action.INCREASE_30, Action.DECREASE_30, Action.HOLD)
    kinds = [kind_of_line(decision(**refused("budgets", way))) for way in ways]
    assert kinds == ["waits more", "waits less", "waits HOLD"]
    shift = replace(decision().proposal, action=Action.HOLD, reason=ProposalReason.SHIFT_FOR_PRICE)
    assert kind_of_line(decision(**ACTS)) == "INCREASE_10 economic_increase"
    assert kind_of_line(decision(**refused("freeze") | {"proposal": shift})) == "freeze shift"


def test_a_reason_that_comes_back_to_stay_is_told():
    n_lasting = int(LASTS_S / TICK_S)
    ticks = [SETTLED, STALE, *[SETTLED] * (n_lasting + 5)]
    assert told(*ticks) == [0, 1, 2 + n_lasting]


def test_a_reason_that_was_away_for_an_hour_is_news():
    assert told(SETTLED, STALE, *[SAFETY] * 118, STALE) == [0, 1, 2]
    assert told(SETTLED, STALE, *[SAFETY] * 119, STALE) == [0, 1, 2, 121]


def test_a_pool_that_stays_as_it_is_is_told_four_times_a_day():
    assert AGAIN_S == 86_400 / 4
    n = int(AGAIN_S / TICK_S)
    assert told(*[SETTLED] * (2 * n + 1)) == [0, n, 2 * n]


@given(st.lists(st.sampled_from([SETTLED, STALE, SAFETY, BUDGETS, ACTS]), min_size=1, max_size=40))
def test_who_reads_the_lines_alone_knows_why_a_pool_holds(ticks):
    """What lasts is what was told last, whatever came before."""
    n_lasting = int(LASTS_S / TICK_S)
    ticks = [*ticks, *[ticks[-1]] * n_lasting]
    found = told(*ticks)
    assert kind_of_line(decision(**ticks[found[-1]])) == kind_of_line(decision(**ticks[-1]))
    waves = {i for i, changes in enumerate(ticks) if changes is ACTS}
    assert waves <= set(found)


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


def test_nodes_that_are_leaving_are_told_so_that_the_ratio_can_be_reckoned():
    data = pool_input(n_spot=12, n_spot_leaving=2, n_on_demand_leaving=1)
    line = describe(decision(input=data))
    assert f"spot 12/{data.n_counted}, 3 leaving ({10 / (data.n_counted - 3):.2f} -> " in line


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("1 more nodes of the pool and 1 of", "1 more node of the pool and 1 of"),
        ("the floor is 1 nodes", "the floor is 1 node"),
        ("shop/web can spare 1 pods", "shop/web can spare 1 pod"),
        ("11 more nodes, 0.1 pods, v1 pods", "11 more nodes, 0.1 pods, v1 pods"),
        ("pool-1 nodes", "pool-1 nodes"),
    ],
)
def test_one_is_no_plural_for_a_person_and_the_record_keeps_its_words(reason, words):
    verdict = replace(REFUSAL, reason=reason)
    assert (verdict.in_words, verdict.reason) == (words, reason)
    assert words in describe(decision(verdicts=(verdict,)))


def test_a_plain_hold_gives_its_reason():
    line = describe(decision(verdicts=(), reason="all_spot_already"))
    assert line.endswith("conf 0.81  all_spot_already")


@pytest.mark.parametrize(("n", "more"), [(1, " |"), (2, " (and 1 more) |"), (3, " (and 2 more) |")])
def test_several_refusals_are_counted(n, more):
    assert f"3 of 4{more}" in describe(decision(verdicts=(REFUSAL,) * n))


def test_a_long_line_is_cut():
    assert len(describe(decision(reason="x" * 400, verdicts=()))) == MAX_LINE
    rest = len(describe(decision(reason="", verdicts=())))
    whole = "x" * (MAX_LINE - rest)
    assert describe(decision(reason=whole, verdicts=())).endswith(whole)
    assert describe(decision(reason=f"{whole}y", verdicts=())).endswith("x...")


def test_where_no_score_is_known_no_risk_is_shown():
    unknown = type(pool_input().entry_risk)(capacity=None, runtime=None)
    assert "risk -/-" in describe(decision(input=pool_input(n_spot=0, entry_risk=unknown)))


def test_a_refusal_of_what_nobody_wanted_says_so():
    line = describe(decision(**refused("confidence", Action.HOLD)))
    assert "confidence refuses: losing zone" in line
    assert line.endswith("| nothing was wanted (economic_increase)")
