"""The words that every other room uses."""

from spotvortex.core.decision.messages import ControllerState
from spotvortex.core.domain.inputs import InputHealth
from spotvortex.core.domain.types import (
    RATIO_STEP,
    Action,
    CapacityType,
    Mode,
    Offering,
    short_digest,
)
from tests.core.builders import health, market, observation, pdb


def test_actions_are_in_the_order_of_the_models_columns():
    assert [a.value for a in Action] == [
        "HOLD",
        "DECREASE_10",
        "DECREASE_30",
        "INCREASE_10",
        "INCREASE_30",
        "EMERGENCY_EXIT",
    ]


def test_a_short_digest_is_sixteen_digits_of_the_sha256():
    assert short_digest("web") == "4b5e57f6eb2f42b9"


def test_an_action_leads_the_way_of_its_step():
    for action, step in RATIO_STEP.items():
        assert action.towards_spot is (step > 0.0)
        assert action.away_from_spot is (step < 0.0)


def test_only_canary_and_active_write():
    assert [m for m in Mode if m.writes] == [Mode.CANARY, Mode.ACTIVE]


def test_an_offering_has_a_family_and_reads_as_type_and_zone():
    offering = Offering(instance_type="m6i.2xlarge", zone="us-east-1a")
    assert (offering.family, str(offering)) == ("m6i", "m6i.2xlarge/us-east-1a")


def test_capacity_types_are_spelt_as_karpenter_spells_them():
    assert {c.value for c in CapacityType} == {"spot", "on-demand", "reserved", "unknown"}


def test_a_budget_sums_its_healthy_pods():
    found = pdb(healthy_by_node=(("n1", 2), ("n2", 1)))
    assert (found.key, found.healthy) == ("shop/api", 3)


def test_an_observation_lists_inputs_of_the_cluster_first():
    prices = health("prices")
    observed = observation(market=market(inputs=(prices,)))
    assert [h.name for h in observed.inputs] == ["nodes", "pods", "pdbs", "prices"]
    assert all(isinstance(h, InputHealth) for h in observed.inputs)


def test_a_new_controller_remembers_no_pool():
    assert ControllerState().pools == {}


def test_an_offering_is_read_back_from_its_text():
    offering = Offering(instance_type="m6i.large", zone="us-east-1a")
    assert Offering.parse(str(offering)) == offering
    assert Offering.parse("") is None
    assert Offering.parse("m6i.large") is None
