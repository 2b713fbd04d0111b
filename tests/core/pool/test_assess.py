"""An assessment is a function of what was remembered, what was seen, and the scores."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.cloud.exits import NodeExit
from spotvortex.core.domain.labels import MAX_SPOT_RATIO
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import Mode
from spotvortex.core.drain import orders
from spotvortex.core.drain.messages import OrderKind
from spotvortex.core.pool.assess import (
    AssessmentMemory,
    AssessmentRules,
    assess_steps,
    remember,
)
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.core.scoring.interruption_memory import OfferingMemory
from tests.core.builders import AT, WEB_A, WEB_B, cluster, observation, pool, score, spot
from tests.core.in_flight import order, placeholder

RULES = AssessmentRules(limits=Limits(max_input_age_s=60.0), model_digest="digest")
NOTHING = AssessmentMemory()
SCORES = {WEB_A: score(WEB_A), WEB_B: score(WEB_B)}


def assessed(observed, memory=NOTHING, rules=RULES):
    return finished(assess_steps(remember(memory, observed), SCORES, rules))


def finished(steps):
    """What the steps end with."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_the_same_input_gives_the_same_output_and_changes_nothing_of_it():
    observed = observation(pool("web"), pool("api"))
    memory, first = assessed(observed)
    assert AssessmentMemory() == NOTHING
    assert assessed(observed) == (memory, first)
    assert (first.observation, first.model_digest) == (observed, "digest")


def test_it_pauses_after_each_pool_by_name_and_ends_with_what_one_go_gives():
    observed = observation(pool("web"), pool("api"))
    steps = assess_steps(remember(NOTHING, observed), SCORES, RULES)
    assert [next(steps), next(steps)] == ["api", "web"]
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == assessed(observed)


def test_what_there_is_to_score_is_every_offering_once_with_its_memory():
    unscored = remember(NOTHING, observation(pool("web"), pool("api")))
    assert [c.offering for c in unscored.contexts] == [WEB_A, WEB_B]
    assert unscored.contexts[0].held_hours == pytest.approx(2.0)


def test_a_summary_is_kept_for_as_long_as_the_facts_are_the_same_object():
    facts = pool("web")
    memory, _ = assessed(observation(facts))
    again, _ = assessed(observation(facts), memory)
    assert again.summaries["web"] is memory.summaries["web"]
    other, _ = assessed(observation(replace(facts)), memory)
    assert other.summaries["web"] is not memory.summaries["web"]
    gone, _ = assessed(observation(pool("api")), memory)
    assert set(gone.summaries) == {"api"}


@pytest.mark.parametrize(
    ("kind", "reason", "n_lost"),
    [
        (OrderKind.INTERRUPTION, "notice interruption", 1.0),
        (OrderKind.INTERRUPTION, "notice scheduled-change", 0.0),
        (OrderKind.DRAIN, "DECREASE_10 medium_risk", 0.0),
    ],
)
def test_a_marked_node_that_goes_was_lost_only_where_notice_had_been_given(kind, reason, n_lost):
    going = spot("s2", cordoned=True)
    mark = orders.to_text(order("s2", kind=kind, reason=reason, uid=going.uid))
    memory, seen = assessed(observation(pool(nodes=(spot("s1"), replace(going, mark=mark)))))
    assert seen.in_flight.uids == {going.uid}
    after = cluster(pool(nodes=(spot("s1"),)), exits=(NodeExit(uid=going.uid, in_order=True),))
    memory, _ = assessed(observation(cluster=after, at=AT + 30.0), memory)
    assert memory.interruptions.offerings[WEB_A].losses == n_lost


def test_what_an_order_is_about_in_the_cluster_or_in_hand_is_no_candidate():
    shown = order("s1")
    nodes = (spot("s1"), spot("s2"), spot("s3"))
    facts = cluster(pool(nodes=nodes), own_pods=(placeholder(shown),))
    _, found = assessed(observation(cluster=facts, in_hand=frozenset({"uid-s2"})))
    (web,) = found.pools
    assert [c.node for c in web.to_on_demand] == ["s3"]
    assert web.n_in_flight == 2


def test_a_pool_is_told_of_launches_on_its_own_offerings_alone():
    facts, other = pool(nodes=(spot("s1"),)), pool("api", nodes=(spot("a1", WEB_B),))
    known = {
        WEB_A: OfferingMemory(launches=3.0, refusals=1.0, updated_at=AT),
        WEB_B: OfferingMemory(launches=9.0, refusals=9.0, updated_at=AT),
    }
    memory = replace(NOTHING, interruptions=replace(NOTHING.interruptions, offerings=known, at=AT))
    _, found = assessed(observation(facts, other), memory)
    api, web = found.pools
    assert (web.launches.failed_ratio, api.launches.failed_ratio) == (0.25, 0.5)


def test_of_settings_and_annotations_the_more_careful_rule_counts():
    said = NodeGroupFact(name="web", pool="web", rules=((MAX_SPOT_RATIO, "0.5"),))
    rules = replace(RULES, by_pool={"web": PoolRules(mode=Mode.CANARY, max_spot_ratio=0.7)})
    _, found = assessed(observation(pool(node_groups=(said,)), pool("api")), rules=rules)
    api, web = found.pools
    assert web.rules == PoolRules(mode=Mode.CANARY, max_spot_ratio=0.5)
    assert api.rules == PoolRules()
