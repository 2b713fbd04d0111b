"""What a decision tells of itself beside what it holds."""

import pytest

from spotvortex.core.decision.messages import Economics, Proposal
from spotvortex.core.domain.types import Action, ProposalReason, ProposalSource
from tests.telemetry.decisions import decision

HOLD = Proposal(action=Action.HOLD, reason=ProposalReason.NO_Q_VALUES, source=ProposalSource.RL)


def test_two_policies_agree_on_the_action_whatever_their_reasons():
    assert decision().agreed
    assert not decision(other=HOLD).agreed


def test_the_other_policy_is_valued_by_the_nodes_between_the_two_targets():
    """Ten points of ratio less, of 20 nodes at 0.3234 USD/h each."""
    assert decision(other=HOLD).other_savings_delta_usd_per_hour == pytest.approx(-0.6468)
    assert decision().other_savings_delta_usd_per_hour == 0.0


def test_without_prices_the_other_policy_has_no_value():
    assert decision(economics=Economics()).other_savings_delta_usd_per_hour is None


def test_a_decision_tells_its_cycle_and_its_time():
    made = decision(cycle=8)
    assert (made.cycle, made.at) == (8, made.input.at)
