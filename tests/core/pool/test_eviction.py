"""The Eviction API's answer by table; tests/e2e/commands/test_doctor.py asks the real server."""

from dataclasses import replace

import pytest

from spotvortex.core.pool.blocking import nodes_held_by, pdb_blocked_nodes
from spotvortex.core.pool.survival.eviction import (
    Blocked,
    Evictable,
    Refusal,
    ServerAnswer,
    eviction_verdict,
    refuses_nobody,
)
from tests.core.builders import pdb, pool, spot, standing

NONE_LEFT = pdb(desired_healthy=3, current_healthy=3, disruptions_allowed=0)
SHORT = pdb(desired_healthy=3, current_healthy=2, disruptions_allowed=0)
UNREADY = standing(ready=False)


@pytest.mark.parametrize(
    ("pod", "budgets", "refusal"),
    [
        (standing(), (), None),
        (standing(), (pdb(disruptions_allowed=1),), None),
        (standing(), (NONE_LEFT,), Refusal.ALLOWS_ZERO),
        (standing(), (replace(NONE_LEFT, disruptions_allowed=-1),), Refusal.ALLOWS_ZERO),
        (standing(), (pdb(), pdb("other")), Refusal.TWO_BUDGETS),
        (standing(), (pdb(observed=False),), Refusal.NOT_OBSERVED),
        (standing(pending=True, ready=False), (pdb(), pdb("other")), None),
        (standing(terminating=True), (NONE_LEFT, pdb("other")), None),
        (UNREADY, (pdb(), pdb("other")), Refusal.TWO_BUDGETS),
        (UNREADY, (NONE_LEFT,), None),
        (UNREADY, (pdb(desired_healthy=1, current_healthy=1, disruptions_allowed=0),), None),
        (UNREADY, (SHORT,), Refusal.UNREADY),
        (UNREADY, (replace(SHORT, disruptions_allowed=1),), None),
        (UNREADY, (replace(SHORT, evicts_unhealthy=True),), None),
        (UNREADY, (replace(SHORT, desired_healthy=0),), Refusal.UNREADY),
        (UNREADY, (replace(NONE_LEFT, observed=False),), None),
        (UNREADY, (replace(SHORT, observed=False),), Refusal.NOT_OBSERVED),
        (UNREADY, (replace(SHORT, observed=False, evicts_unhealthy=True),), None),
    ],
)
def test_the_verdict_follows_the_servers_own_order(pod, budgets, refusal):
    found = eviction_verdict(pod, budgets)
    if len(budgets) == 1 and refuses_nobody(budgets[0]):
        assert refusal is None
    if refusal is None:
        assert (found, found.status) == (Evictable(), 201)
    else:
        assert found == Blocked(refusal, "shop/api")
        assert found.status == (500 if refusal is Refusal.TWO_BUDGETS else 429)


@pytest.mark.parametrize(
    ("budget", "nobody"),
    [
        (pdb(disruptions_allowed=1), True),
        (pdb(disruptions_allowed=2), True),
        (pdb(disruptions_allowed=0), False),
        (pdb(disruptions_allowed=1, observed=False), False),
    ],
)
def test_a_budget_refuses_nobody_while_it_is_observed_and_allows_one(budget, nobody):
    assert refuses_nobody(budget) is nobody


@pytest.mark.parametrize(
    ("answer", "by_budget"),
    [
        (ServerAnswer(status=429, causes=("DisruptionBudget",)), True),
        (ServerAnswer(status=429, causes=("other", "DisruptionBudget")), True),
        (ServerAnswer(status=429), False),
        (ServerAnswer(status=500, causes=("DisruptionBudget",)), False),
        (ServerAnswer(status=201), False),
    ],
)
def test_a_busy_server_is_no_budget(answer, by_budget):
    assert answer.is_blocked_by_budget is by_budget


HELD = (("n1", 2), ("n2", 1))


@pytest.mark.parametrize(
    ("budget", "held"),
    [
        (replace(NONE_LEFT, healthy_by_node=HELD), ["n1", "n2"]),
        (replace(NONE_LEFT, healthy_by_node=HELD, disruptions_allowed=1), []),
        (replace(NONE_LEFT, healthy_by_node=HELD, free_by_node=(("n1", 1), ("n2", 1))), ["n1"]),
        (replace(NONE_LEFT, unready_by_node=HELD), []),
        (replace(SHORT, unready_by_node=HELD), ["n1", "n2"]),
        (replace(SHORT, unready_by_node=HELD, evicts_unhealthy=True), []),
        (pdb(healthy_by_node=HELD, observed=False), ["n1", "n2"]),
    ],
)
def test_a_budget_holds_the_nodes_of_pods_that_it_lets_nobody_evict(budget, held):
    assert list(nodes_held_by(budget)) == held
    facts = pool(nodes=(spot("n1"), spot("n2")), pdbs=(budget, pdb("open")))
    assert pdb_blocked_nodes(facts) == set(held)
