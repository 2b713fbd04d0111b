"""What is lost is ordered before anything is scored, and no plan says otherwise afterwards."""

from dataclasses import replace

import pytest

from spotvortex.core.decision.losses import loss_orders
from spotvortex.core.decision.messages import ControllerState, PoolState
from spotvortex.core.decision.reconcile import reconcile
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import NodeGroupFact, WriteAuthority
from spotvortex.core.domain.types import Mode
from spotvortex.core.drain.messages import OrderKind
from spotvortex.core.drain.orders import in_flight
from spotvortex.core.pool.owner_rules import PoolRules, read_rules, rules_of, with_settings
from tests.core.builders import AT, assessment, observation, pool
from tests.core.in_flight import loss, marked, notice, on_instances, with_nodes

WEB = on_instances(pool("web", n_spot=3))
MODE = "spotvortex.io/mode"
ADVISED = PoolRules(mode=Mode.ADVISE)


def group(*rules):
    return NodeGroupFact(name="web", pool="web", rules=rules)


@pytest.mark.parametrize(
    ("facts", "state", "by_pool", "modes"),
    [
        (WEB, ControllerState(), {}, [Mode.ACTIVE, Mode.ACTIVE]),
        (WEB, ControllerState(), {"web": ADVISED}, [Mode.ADVISE, Mode.ADVISE]),
        (
            replace(WEB, node_groups=(group((MODE, "shadow")),)),
            ControllerState(),
            {},
            [Mode.SHADOW, Mode.SHADOW],
        ),
        (
            WEB,
            ControllerState(pools={"web": PoolState(rules=ADVISED)}),
            {},
            [Mode.ADVISE, Mode.ADVISE],
        ),
        (WEB, ControllerState(unsure_until=AT + 60.0), {}, [Mode.ACTIVE, Mode.ACTIVE]),
        (
            with_nodes(WEB, marked(WEB.nodes[0], loss(WEB.nodes[0].name))),
            ControllerState(),
            {},
            [Mode.ACTIVE],
        ),
    ],
    ids=["as is", "by a setting", "by its owner", "by what was said before", "unsure", "one flies"],
)
def test_orders_of_losses_are_those_of_the_plan(facts, state, by_pool, modes):
    limits = Limits(mode=Mode.ACTIVE)
    seen = observation(
        facts,
        standing=WriteAuthority(leader=True),
        notices=(notice("web-s0"), notice("web-s1")),
    )
    early = loss_orders(state, seen, limits, by_pool)
    assert [order.mode for order in early] == modes
    assessed = assessment(seen)
    ruled = tuple(
        replace(p, rules=with_settings(rules_of(facts.node_groups), p.pool, by_pool))
        for p in assessed.pools
    )
    flying = in_flight(seen.cluster)
    _, plan = reconcile(state, replace(assessed, pools=ruled, in_flight=flying), limits)
    assert early == tuple(o for o in plan.orders if o.kind is OrderKind.INTERRUPTION)


def test_rules_of_a_pool_are_the_more_careful_of_what_its_groups_and_the_settings_say():
    said = rules_of([group((MODE, "canary"))])
    assert said == read_rules([(MODE, "canary")])
    assert with_settings(said, "web", {"web": ADVISED}) == PoolRules(mode=Mode.ADVISE)
    assert with_settings(said, "web", {"*": ADVISED}) == said
    assert with_settings(rules_of(()), "web", {"*": ADVISED}) == ADVISED
