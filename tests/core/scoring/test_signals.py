"""What the cloud says of single instances is evidence: it raises risks, and moves nothing."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spotvortex.core.domain.cloud.notices import NoticeKind
from spotvortex.core.domain.limits import Limits
from spotvortex.core.pool.assess import AssessmentMemory, AssessmentRules, assess_steps, remember
from spotvortex.core.scoring.loss_evidence import LossEvidence
from spotvortex.core.scoring.signals import Followed, raised, told_lost, update
from tests.core.builders import AT, WEB_A, WEB_B, cluster, observation, pool, score, spot
from tests.core.in_flight import marked, notice, on_instances

TTL_S = 1800.0


def seen(*nodes, notices=(), after_s=0.0):
    facts = on_instances(pool(nodes=nodes))
    return observation(cluster=cluster(facts), notices=notices, at=AT + after_s)


def warned(name="web-s0", **changes):
    values = {"at": AT, "until": AT + TTL_S, "deadline": None}
    return notice(name, kind=NoticeKind.REBALANCE, **(values | changes))


def after_all(*observations, lost=()):
    signals, ended = {}, ()
    for number, one in enumerate(observations):
        is_last = number == len(observations) - 1
        signals, ended = update(signals, one, lost if is_last else ())
    return signals, ended


A, B = spot("web-s0", offering=WEB_A), spot("web-s1", offering=WEB_B)


def test_a_recommendation_counts_for_its_time_to_live_though_it_is_heard_once():
    signals, ended = after_all(seen(A, B, notices=[warned()]), seen(A, B, after_s=TTL_S - 1.0))
    (signal,) = signals.values()
    assert (signal.node, signal.offering, signal.told_at) == ("web-s0", WEB_A, AT)
    assert ended == ()


def test_one_that_runs_out_was_followed_by_nothing():
    signals, (end,) = after_all(seen(A, B, notices=[warned()]), seen(A, B, after_s=TTL_S))
    assert signals == {}
    assert (end.followed, end.after_s) == (Followed.NOTHING, TTL_S)


@pytest.mark.parametrize(("lost", "followed"), [(("web-s0",), Followed.LOSS), ((), Followed.GONE)])
def test_what_followed_it_is_told_with_the_time_that_it_took(lost, followed):
    first = seen(A, B, notices=[warned()])
    signals, (end,) = after_all(first, seen(B, after_s=700.0), lost=lost)
    assert signals == {}
    assert (end.signal.node, end.followed, end.after_s) == ("web-s0", followed, 700.0)


@pytest.mark.parametrize(("after_s", "told_s"), [(-60.0, 0.0), (0.0, 0.0), (0.5, 0.5)])
def test_what_followed_before_it_was_told_took_no_time(after_s, told_s):
    _, (end,) = after_all(seen(A, B, notices=[warned()]), seen(B, after_s=after_s))
    assert end.after_s == told_s


def test_the_note_on_a_node_counts_where_the_notice_is_settled_and_after_a_restart():
    noted = replace(A, at_risk="2033-05-18T03:33:20Z")
    signals, _ = after_all(seen(noted, B))
    assert [s.node for s in signals.values()] == ["web-s0"]
    over = replace(A, at_risk="2001-01-01T00:00:00Z")
    assert after_all(seen(over, B))[0] == {}


def test_what_is_no_spot_node_of_the_cluster_is_no_signal():
    assert after_all(seen(B, notices=[warned(), warned("elsewhere")]))[0] == {}


def test_the_hazard_of_its_offering_is_raised_by_the_factor_and_that_is_said():
    signals, _ = after_all(seen(A, B, notices=[warned()]))
    scores = {o: score(o, capacity_score=0.1, runtime_score=0.2) for o in (WEB_A, WEB_B)}
    hotter = raised(scores, signals, 3.0)
    assert hotter[WEB_A].capacity_score == pytest.approx(1.0 - 0.9**3)
    assert hotter[WEB_A].runtime_score == pytest.approx(1.0 - 0.8**3)
    assert hotter[WEB_A].risk_factor == 3.0
    assert hotter[WEB_B] == scores[WEB_B]


@example(0.5, 2.0, 1.5)
@example(0.5, 2.0, -0.5)
@given(
    st.floats(0.0, 1.0),
    st.floats(1.0, 100.0),
    st.one_of(st.none(), st.floats(), st.floats(0.0, 1.0)),
)
def test_a_raised_score_is_a_chance_no_lower_and_what_is_none_stays_as_it_was(chance, factor, odd):
    signals, _ = after_all(seen(A, B, notices=[warned()]))
    made = raised({WEB_A: score(WEB_A, capacity_score=chance, runtime_score=odd)}, signals, factor)[
        WEB_A
    ]
    assert chance - 1e-12 <= made.capacity_score <= 1.0
    if odd is None or not 0.0 <= odd <= 1.0:
        assert made.runtime_score is odd


def assessed(one, memory=None):
    unscored = remember(memory or AssessmentMemory(), one)
    scores = {o: score(o, capacity_score=0.1, runtime_score=0.1) for o in (WEB_A, WEB_B)}
    steps = assess_steps(unscored, scores, AssessmentRules(limits=Limits()))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_a_pool_sees_the_raised_risk_with_its_factor_while_it_counts():
    memory, warm = assessed(seen(A, B, notices=[warned()]))
    factors = {o.offering: (o.risk_factor, o.runtime_score) for o in warm.pools[0].offerings}
    assert factors == {WEB_A: (3.0, pytest.approx(0.271)), WEB_B: (1.0, 0.1)}
    _, calm = assessed(seen(A, B, after_s=TTL_S), memory)
    assert {o.risk_factor for o in calm.pools[0].offerings} == {1.0}


def learned(*observations):
    memory = AssessmentMemory()
    for one in observations:
        memory, _ = assessed(one, memory)
    return [(loss.node, loss.evidence) for loss in memory.interruptions.lost]


def test_a_node_of_which_notice_was_given_is_lost_when_it_goes_whoever_drains_it():
    told = [notice("web-s0")]
    drained = replace(A, cordoned=True, moving=True)
    found = learned(seen(A, B, notices=told), seen(drained, B, after_s=30.0), seen(B, after_s=60.0))
    assert found == [("web-s0", LossEvidence.NOTICE)]


@pytest.mark.parametrize(
    ("before", "found"),
    [
        (A, [("web-s0", LossEvidence.NOTICE)]),
        (replace(A, cordoned=True), []),
        (replace(A, moving=True), []),
    ],
)
def test_a_state_change_proves_a_loss_only_where_nobody_was_taking_the_node_away(before, found):
    told = [notice("web-s0", kind=NoticeKind.STATE_CHANGE)]
    after = marked(A)
    found_now = learned(
        seen(before, B), seen(before, B, notices=told), seen(after, B), seen(B, after_s=60.0)
    )
    assert found_now == found


def test_a_scheduled_change_says_nothing_of_the_market():
    told = [notice("web-s0", kind=NoticeKind.SCHEDULED_CHANGE)]
    assert told_lost(seen(A, B, notices=told)) == frozenset()
    assert learned(seen(A, B, notices=told), seen(B, after_s=60.0)) == []


def test_a_notice_that_came_to_nothing_is_forgotten_when_it_has_run_out():
    told = [notice("web-s0")]
    drained = replace(A, cordoned=True, moving=True)
    found = learned(seen(A, B, notices=told), seen(A, B), seen(drained, B), seen(B, after_s=60.0))
    assert found == []
