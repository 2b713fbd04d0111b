"""A recorded decision made again under other limits: what differs, and by how much."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.types import Action, GateName
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.core.record.redecision import redecided
from tests.core.builders import basis, pool_input

GROWING = basis(pool_input(n_spot=100, n_on_demand=100))


def test_the_same_limits_decide_the_same():
    found = redecided(GROWING, {})
    assert (found.differs, found.gates, found.nodes_to_spot) == (False, (), 0)
    assert found.savings_usd_per_hour == 0.0


def test_a_smaller_wave_moves_fewer_nodes_and_saves_less():
    found = redecided(GROWING, {"max_wave_nodes": 2})
    assert found.before.n_nodes > found.after.n_nodes == 2
    assert found.differs
    assert found.nodes_to_spot == 2 - found.before.n_nodes
    saved = [d.savings_usd_per_hour for d in (found.before, found.after)]
    assert found.savings_usd_per_hour == pytest.approx(saved[1] - saved[0])
    assert found.savings_usd_per_hour < 0.0


def test_a_leave_counts_as_nodes_away_from_spot_and_names_the_gates_that_answer_otherwise():
    found = redecided(GROWING, {"max_spot_ratio": 0.0})
    assert found.after.action is Action.DECREASE_30
    n_after = found.after.n_nodes
    assert found.nodes_to_spot == -n_after - found.before.n_nodes
    dear = redecided(GROWING, {"max_payback_hours": 0.01, "min_discount_ratio": 0.0})
    assert dear.after.action is Action.HOLD
    assert dear.gates == tuple(
        one.gate.value
        for one, other in zip(dear.before.verdicts, dear.after.verdicts, strict=True)
        if one.outcome is not other.outcome
    )
    cautious = redecided(GROWING, {"min_confidence": 0.99})
    assert cautious.gates == (GateName.CONFIDENCE.value,)


def test_without_a_price_no_saving_is_told():
    money = replace(GROWING.pool.spot_money, spot_usd_per_hour=None)
    bare = replace(GROWING, pool=replace(GROWING.pool, spot_money=money))
    assert redecided(bare, {}).savings_usd_per_hour == 0.0
    assert redecided(bare, {"max_spot_ratio": 0.0}).savings_usd_per_hour is None


def test_the_owner_of_a_pool_still_narrows_what_is_changed():
    owned = replace(GROWING, state=replace(GROWING.state, rules=PoolRules(max_spot_ratio=0.5)))
    found = redecided(owned, {"max_spot_ratio": 0.9})
    assert found.after.basis.limits.max_spot_ratio == 0.5
    assert redecided(GROWING, {"max_spot_ratio": 0.9}).after.basis.limits.max_spot_ratio == 0.9
