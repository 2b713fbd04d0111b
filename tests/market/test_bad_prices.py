"""What a bad price does to a decision: none of them ever buys Spot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from spotvortex.core.decision.budgets import cluster_budget
from spotvortex.core.decision.messages import Basis, Decision, PoolState
from spotvortex.core.decision.reconcile import decide
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.observation import NodeFact, PoolFacts
from spotvortex.core.domain.types import Action, CapacityType, Offering, Outcome, ProvisionerKind
from spotvortex.core.pool.context import CycleContext
from spotvortex.core.scoring.features import OfferingScore
from spotvortex.errors import PriceFileError
from spotvortex.market.recorded import load_recorded
from tests.core.builders import reduce_pool
from tests.market.records import M5_A, M5_B, T0, on_demand_record, spot_record, write_file
from tests.market.scenarios import market_of

DAY_S = 86_400.0
CLUSTER_INPUTS = tuple(
    InputHealth(name=name, state=InputState.OK, age_s=1.0)
    for name in (InputName.NODES, InputName.PODS, InputName.PDBS)
)


def on_demand_node(name: str, offering: Offering) -> NodeFact:
    return NodeFact(
        name=name,
        uid=f"uid-{name}",
        pool="web",
        node_group="web",
        provisioner=ProvisionerKind.KARPENTER,
        offering=offering,
        capacity_type=CapacityType.ON_DEMAND,
        created_at=T0 - DAY_S,
        allocatable_cpu_milli=2000,
        allocatable_memory_bytes=1 << 33,
    )


def calm(offering: Offering) -> OfferingScore:
    return OfferingScore(
        offering=offering, capacity_score=0.02, runtime_score=0.03, in_scope=True, n_history=1009
    )


def decided(market: MarketFacts, now: float, offerings: Sequence[Offering] = (M5_A,)) -> Decision:
    """Decide for a pool of on-demand nodes that would go to Spot at any known, low price."""
    nodes = tuple(on_demand_node(f"n{i}", o) for i, o in enumerate((*offerings, *offerings)))
    sight = CycleContext(
        at=now,
        quotes=market.quotes,
        scores={o: calm(o) for o in offerings},
        inputs=(*CLUSTER_INPUTS, *market.inputs),
        max_input_age_s=60.0,
    )
    pool = reduce_pool(
        PoolFacts(name="web", provisioner=ProvisionerKind.KARPENTER, nodes=nodes), sight
    )
    limits = Limits()
    basis = Basis(
        cycle=1,
        pool=pool,
        state=PoolState(),
        budget=cluster_budget([pool], limits),
        limits=limits,
        model_digest="digest",
    )
    return decide(basis)


def prices_term(decision: Decision) -> float:
    return dict(decision.input.confidence_terms)["prices"]


def assert_held_for_want_of_a_price(decision: Decision) -> None:
    assert (decision.action, decision.moves) == (Action.HOLD, ())
    assert decision.input.entry_money.spot_usd_per_hour is None
    assert prices_term(decision) == 0.0
    confidence = next(v for v in decision.verdicts if v.gate == "confidence")
    assert (confidence.outcome, confidence.reason) == (
        Outcome.REFUSE,
        "confidence limited by prices",
    )


def recorded(path: Path, at: float, now: float) -> MarketFacts:
    write_file(path, [spot_record(at, 0.03), on_demand_record(0.096)])
    return load_recorded(path).facts([M5_A], now)


def quoted(**changes: object) -> MarketFacts:
    good = SpotQuote(
        offering=M5_A,
        spot_usd_per_hour=0.03,
        on_demand_usd_per_hour=0.096,
        age_s=60.0,
        source="test",
    )
    return MarketFacts(quotes={M5_A: replace(good, **changes)})  # type: ignore[arg-type]


def test_fresh_low_price_buys_spot(tmp_path: Path) -> None:
    decision = decided(recorded(tmp_path / "p.jsonl", T0, T0 + 60.0), T0 + 60.0)
    assert decision.action is not Action.HOLD
    assert decision.input.entry_money.too_old_s is None


def test_month_old_price_holds_and_the_record_tells_its_age(tmp_path: Path) -> None:
    now = T0 + 30 * DAY_S
    market = recorded(tmp_path / "p.jsonl", T0, now)
    decision = decided(market, now)
    assert_held_for_want_of_a_price(decision)
    assert decision.input.entry_money.too_old_s == 30 * DAY_S
    assert market.inputs[0].state is InputState.STALE
    assert "720.0 h" in market.inputs[0].detail


def test_price_from_the_future_does_not_exist_yet(tmp_path: Path) -> None:
    market = recorded(tmp_path / "p.jsonl", T0 + 600.0, T0)
    decision = decided(market, T0)
    assert_held_for_want_of_a_price(decision)
    assert decision.input.entry_money.too_old_s is None
    assert market.inputs[0].state is InputState.ABSENT


def test_one_price_too_old_of_two_lowers_the_confidence(tmp_path: Path) -> None:
    now = T0 + 2 * DAY_S
    path = write_file(
        tmp_path / "p.jsonl",
        [
            spot_record(T0, 0.03),
            spot_record(now, 0.03, AvailabilityZone=M5_B.zone),
            on_demand_record(0.096),
        ],
    )
    decision = decided(load_recorded(path).facts([M5_A, M5_B], now), now, (M5_A, M5_B))
    assert prices_term(decision) == 0.5
    assert decision.input.entry_money.too_old_s == 2 * DAY_S


@pytest.mark.parametrize("bad", [None, 0.0, -0.03, math.nan, math.inf, 1e7])
def test_what_is_no_price_holds(bad: float | None) -> None:
    decision = decided(quoted(spot_usd_per_hour=bad, age_s=math.inf if bad is None else 60.0), T0)
    assert_held_for_want_of_a_price(decision)
    assert decision.input.entry_money.too_old_s is None


@pytest.mark.parametrize("age_s", [-600.0, -0.001, math.nan, -math.inf])
def test_price_of_an_impossible_age_holds(age_s: float) -> None:
    decision = decided(quoted(age_s=age_s), T0)
    assert_held_for_want_of_a_price(decision)
    assert decision.input.entry_money.too_old_s is None


@pytest.mark.parametrize("bad", [None, 0.0, -0.096, math.nan, math.inf])
def test_what_is_no_on_demand_price_holds(bad: float | None) -> None:
    assert_held_for_want_of_a_price(decided(quoted(on_demand_usd_per_hour=bad), T0))


@pytest.mark.parametrize(
    ("price", "told"), [(0, "0.0"), (-1, "-1.0"), ("NaN", "'NaN'"), (1e6, "1000000.0")]
)
def test_price_file_with_an_absurd_price_does_not_load(
    tmp_path: Path, price: object, told: str
) -> None:
    path = write_file(tmp_path / "p.jsonl", [spot_record(T0, 0.03), spot_record(T0, price)])
    with pytest.raises(PriceFileError) as caught:
        load_recorded(path)
    assert str(caught.value).startswith(f"p.jsonl, line 2: SpotPrice is {told}; give US dollars")


@pytest.mark.parametrize("step", [{"error": "throttled"}, {"current_price": 0}, {}])
def test_script_without_a_price_holds(step: dict[str, object]) -> None:
    market = market_of({"series": {"*:*": [{"on_demand_price": 0.096, **step}]}})
    assert_held_for_want_of_a_price(decided(market.facts([M5_A], T0), T0))
