"""Series appear with their objects, go with them, and never show a guess."""

import math
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from spotvortex.core.decision.messages import Proposal, Verdict
from spotvortex.core.decision.reconcile import decide
from spotvortex.core.domain.cloud.commitments import CommitmentState
from spotvortex.core.domain.labels import PodKind
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.domain.observation import OwnPod, WriteAuthority
from spotvortex.core.domain.types import (
    Action,
    CapacityType,
    Freeze,
    GateName,
    Mode,
    Outcome,
    Predictor,
    ProposalReason,
    ProposalSource,
)
from spotvortex.core.drain.calls import DeletePlaceholders
from spotvortex.core.drain.messages import DrainEnd, DrainOrder, DrainResult
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.pool.cost import cost_of
from spotvortex.core.pool.input import CommitmentCover
from spotvortex.core.scoring.calibration.live import Calibration, CalibrationTally, TallyKey
from spotvortex.ports.edges import Traffic
from spotvortex.ports.series import CALLS, CHANNEL_REPLACED, LOOP_STALL, SHADOW_CALLS
from spotvortex.ports.writing import NoticeTraffic
from spotvortex.telemetry.metrics import MAX_FAMILIES, Metrics
from tests.core.builders import WEB_A, WEB_B, basis, offered, pool
from tests.core.builders import observation as scene
from tests.core.decision.offerings.test_shift import shifting
from tests.telemetry.decisions import MODEL, decision, observation, plan, pool_input

NAMES = {
    "spotvortex_capacity_score",
    "spotvortex_runtime_score",
    "spotvortex_confidence",
    "spotvortex_spot_ratio_current",
    "spotvortex_spot_ratio_target",
    "spotvortex_unsafe_workloads",
    "spotvortex_committed_nodes",
    "spotvortex_recovery_risk",
    "spotvortex_safe_spot_ratio",
    "spotvortex_hedge_ratio",
    "spotvortex_leader",
    "spotvortex_frozen",
    "spotvortex_orders_in_flight",
    "spotvortex_marked_nodes",
    "spotvortex_own_pods",
    "spotvortex_spot_ratio_wanted",
    "spotvortex_nodes",
    "spotvortex_cost_usd_per_hour",
    "spotvortex_all_on_demand_usd_per_hour",
    "spotvortex_spot_price_usd",
    "spotvortex_ondemand_price_usd",
    "spotvortex_action_taken",
    "spotvortex_guardrail_blocked",
    "spotvortex_guardrail_not_evaluated",
    "spotvortex_decision_source",
    "spotvortex_unsupported_instance_family",
    "spotvortex_potential_savings_hourly_usd",
    "spotvortex_inference_latency_seconds",
    "spotvortex_reconcile_loop_duration_seconds",
    "spotvortex_observe_duration_seconds",
    "spotvortex_input_age_seconds",
    "spotvortex_input_ok",
    "spotvortex_cycles",
    "spotvortex_decisions_unchanged",
    "spotvortex_shifted_nodes",
    "spotvortex_records",
    "spotvortex_channel_replaced",
    "spotvortex_drains",
    "spotvortex_launch_failures_learned",
    "spotvortex_launches_learned",
    "spotvortex_losses_learned",
    "spotvortex_rebalance_followed",
    "spotvortex_rebalance_lead_seconds",
    "spotvortex_weights_given_up",
    "spotvortex_shadow_calls",
    "spotvortex_extra_room_pods",
    "spotvortex_challenger_runs",
    "spotvortex_event_loop_stall_seconds",
    "spotvortex_event_loop_busy_seconds",
    "spotvortex_challenger_difference_ratio",
    "spotvortex_predictions_judged",
    "spotvortex_prediction_brier_score",
    "spotvortex_prediction_observed_ratio",
    "spotvortex_model_drifted",
    "spotvortex_journal_write_errors",
    "spotvortex_build_info",
    "spotvortex_calls",
    "spotvortex_gate_verdicts",
    "spotvortex_input_state",
    "spotvortex_shadow_action_recommended",
    "spotvortex_shadow_action_agreement",
    "spotvortex_shadow_action_delta",
    "spotvortex_shadow_projected_savings_delta_hourly_usd",
}


def metrics(mode: Mode = Mode.SHADOW) -> Metrics:
    return Metrics(version="0.1.0", mode=mode)


def samples(made: Metrics) -> dict[str, float]:
    """Every sample as `name{label="value",...}`, read back from the text exposition."""
    found = {}
    for family in text_string_to_metric_families(made.exposition().decode()):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sample.labels.items())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_exactly_the_documented_series_are_declared():
    text = metrics().exposition().decode()
    families = {f.name for f in text_string_to_metric_families(text)}
    of_the_process = {name for name in families if name.startswith("process_")}
    assert families - of_the_process == NAMES
    assert {"process_cpu_seconds", "process_resident_memory_bytes"} <= of_the_process
    assert "_created" not in text


def test_two_sets_of_metrics_do_not_meet():
    one, other = metrics(), metrics()
    one.count(CHANNEL_REPLACED, "observations", n=3)
    assert samples(one)["spotvortex_channel_replaced_total{channel=observations}"] == 3.0
    assert "spotvortex_channel_replaced_total{channel=observations}" not in samples(other)


def test_a_plan_shows_each_pool():
    made = metrics()
    made.planned(plan(decision(target_ratio=0.7)), 0.02)
    found = samples(made)
    assert found["spotvortex_capacity_score{pool=web}"] == 0.03
    assert found["spotvortex_runtime_score{pool=web}"] == 0.05
    assert found["spotvortex_spot_ratio_current{pool=web}"] == 0.6
    assert found["spotvortex_spot_ratio_target{pool=web}"] == 0.7
    assert found["spotvortex_nodes{capacity_type=spot,pool=web}"] == 12.0
    assert found["spotvortex_nodes{capacity_type=on-demand,pool=web}"] == 8.0
    assert found["spotvortex_potential_savings_hourly_usd{pool=web}"] == 3.8807999999999994
    assert found["spotvortex_guardrail_not_evaluated{guardrail=fit}"] == 1.0
    assert found["spotvortex_cycles_total"] == 1.0
    assert found["spotvortex_reconcile_loop_duration_seconds_count"] == 1.0


def test_every_gate_has_a_series_for_each_outcome_from_the_start():
    found = samples(metrics(Mode.ACTIVE))
    for gate in GateName:
        for outcome in Outcome:
            labels = f"gate={gate},mode=active,outcome={outcome.value}"
            assert found[f"spotvortex_gate_verdicts_total{{{labels}}}"] == 0.0


def test_every_answer_of_every_gate_is_counted_by_mode():
    made = metrics()
    verdicts = tuple(
        Verdict(gate=gate, outcome=outcome, reason="") for gate in GateName for outcome in Outcome
    )
    made.planned(plan(decision(verdicts=verdicts), decision(pool="b", verdicts=verdicts)), 0.0)
    found = samples(made)
    counts = {name: n for name, n in found.items() if "gate_verdicts_total" in name}
    assert len(counts) == len(GateName) * len(Outcome)
    assert set(counts.values()) == {2.0}
    assert all("mode=shadow" in name for name in counts)


def test_policies_that_disagree_are_counted_with_what_each_wanted():
    made = metrics()
    other = Proposal(
        action=Action.DECREASE_30, reason=ProposalReason.BEST_Q_VALUE, source=ProposalSource.RL
    )
    made.planned(plan(decision(), decision(pool="b", other=other)), 0.0)
    found = samples(made)
    assert found["spotvortex_shadow_action_agreement_total{agreement=same}"] == 1.0
    assert found["spotvortex_shadow_action_agreement_total{agreement=different}"] == 1.0
    both = "deterministic_action=INCREASE_10,rl_action=DECREASE_30"
    assert found[f"spotvortex_shadow_action_delta_total{{{both}}}"] == 1.0
    recommended = "spotvortex_shadow_action_recommended_total{action=DECREASE_30,source=rl}"
    assert found[recommended] == 1.0
    delta = "spotvortex_shadow_projected_savings_delta_hourly_usd"
    assert found[f"{delta}{{pool=web}}"] == 0.0
    assert found[f"{delta}{{pool=b}}"] < 0.0
    made.planned(plan(decision()), 0.0)
    assert f"{delta}{{pool=b}}" not in samples(made)


def test_a_bundle_without_a_learned_policy_is_no_second_opinion():
    made = metrics()
    silent = Proposal(
        action=Action.HOLD, reason=ProposalReason.NO_Q_VALUES, source=ProposalSource.RL
    )
    made.planned(plan(decision(other=silent)), 0.0)
    exit_all = Proposal(action=Action.EMERGENCY_EXIT, reason=ProposalReason.UNSUPPORTED_FAMILY)
    made.planned(plan(decision(proposal=exit_all, other=exit_all)), 0.0)
    assert not [name for name in samples(made) if "shadow_action" in name]


def test_what_an_edge_counts_itself_is_read_when_asked():
    made, requests = metrics(), {"list": 5}
    made.follow(lambda: Traffic(requests=requests, relists={"pods": 1}, skipped={"pods": 2}))
    requests["watch"] = 7
    found = samples(made)
    assert found["spotvortex_kube_requests_total{verb=list}"] == 5.0
    assert found["spotvortex_kube_requests_total{verb=watch}"] == 7.0
    assert found["spotvortex_kube_relists_total{resource=pods}"] == 1.0
    assert found["spotvortex_kube_skipped_objects_total{resource=pods}"] == 2.0


def test_a_source_of_notices_is_read_when_asked_and_every_kind_shows_from_the_start():
    made, notices = metrics(), {"interruption": 3}
    made.follow_notices(
        lambda: NoticeTraffic(
            received=9,
            redelivered=1,
            duplicates=2,
            deleted=4,
            settled=5,
            notices=notices,
            rejects={"huge": 1},
            errors={"denied": 6},
        )
    )
    notices["rebalance"] = 7
    found = samples(made)
    assert found["spotvortex_notices_total{kind=interruption}"] == 3.0
    assert found["spotvortex_notices_total{kind=rebalance}"] == 7.0
    assert found["spotvortex_notices_total{kind=state-change}"] == 0.0
    assert found["spotvortex_notices_settled_total"] == 5.0
    assert found["spotvortex_notice_messages_total{event=received}"] == 9.0
    assert found["spotvortex_notice_messages_total{event=duplicate}"] == 2.0
    assert found["spotvortex_notice_messages_total{event=left}"] == 0.0
    assert found["spotvortex_notice_rejects_total{reason=huge}"] == 1.0
    assert found["spotvortex_notice_rejects_total{reason=not-a-loss}"] == 0.0
    assert found["spotvortex_notice_queue_errors_total{fault=denied}"] == 6.0
    assert found["spotvortex_aws_interruption_notice_total"] == 3.0
    assert found["spotvortex_aws_rebalance_recommendation_total"] == 7.0


def test_buckets_tell_apart_what_has_a_limit():
    made = metrics()
    for seconds in (0.019, 0.06, 0.3):
        made.measure(LOOP_STALL, seconds)
    found = samples(made)
    stalls = "spotvortex_event_loop_stall_seconds_bucket"
    counts = [found[f"{stalls}{{le={limit}}}"] for limit in (0.01, 0.02, 0.05, 0.1, 0.25, 0.5)]
    assert counts == [0.0, 1.0, 1.0, 2.0, 2.0, 3.0]


def test_the_series_of_a_pool_go_with_it():
    made = metrics()
    made.planned(plan(decision(), decision(pool="batch")), 0.0)
    made.planned(plan(decision(pool="batch")), 0.0)
    found = samples(made)
    assert not [name for name in found if "pool=web" in name]
    assert found["spotvortex_confidence{pool=batch}"] > 0.8


def test_an_unknown_figure_has_no_series():
    made = metrics()
    made.planned(plan(decision()), 0.0)
    made.planned(plan(decision(savings_usd_per_hour=None)), 0.0)
    assert "spotvortex_potential_savings_hourly_usd{pool=web}" not in samples(made)


def test_prices_and_inputs_of_an_observation_are_shown_and_go_with_it():
    made = metrics()
    made.observed(observation(seconds=0.3))
    found = samples(made)
    assert found["spotvortex_spot_price_usd{instance_type=m6i.large,zone=a}"] == 0.031
    assert "spotvortex_spot_price_usd{instance_type=m6i.large,zone=b}" not in found
    assert found["spotvortex_ondemand_price_usd{instance_type=m6i.large}"] == 0.096
    assert found["spotvortex_input_age_seconds{input=prices}"] == 900.0
    assert found["spotvortex_input_ok{input=nodes}"] == 1.0
    assert found["spotvortex_input_ok{input=prices}"] == 0.0
    assert found["spotvortex_input_state{input=prices,state=stale}"] == 1.0
    assert "spotvortex_input_state{input=prices,state=ok}" not in found
    assert found["spotvortex_observe_duration_seconds_count"] == 1.0
    made.observed(observation(market=MarketFacts()))
    assert not [name for name in samples(made) if "price_usd" in name or "input=prices" in name]


def test_an_assessment_shows_its_model_and_how_long_it_took():
    made = metrics()
    assert samples(made)["spotvortex_build_info{model=,version=0.1.0}"] == 1.0
    made.assessed(
        Assessment(observation=observation(), pools=(), model_digest=MODEL, seconds=0.004)
    )
    found = samples(made)
    assert found[f"spotvortex_build_info{{model={MODEL[:12]},version=0.1.0}}"] == 1.0
    assert "spotvortex_build_info{model=,version=0.1.0}" not in found
    assert found["spotvortex_inference_latency_seconds_bucket{le=0.0025}"] == 0.0
    assert found["spotvortex_inference_latency_seconds_bucket{le=0.005}"] == 1.0


def test_past_predictions_are_shown_by_model_band_and_horizon_and_all_bands_together():
    made = metrics()
    judged = CalibrationTally(n=4.0, predicted=0.5, lost=1.0, squared=1.2, squared_memory=1.0)
    keys = [TallyKey(Predictor.GRAPH, band, 60) for band in (None, 4)]
    calibration = Calibration(tallies=dict.fromkeys(keys, judged), drifted=True)
    made.assessed(
        Assessment(observation=observation(), pools=(), model_digest="", calibration=calibration)
    )
    found = samples(made)
    of = "{{band={},minutes=60,model=graph}}"
    assert found["spotvortex_predictions_judged" + of.format("all")] == 8.0
    assert found["spotvortex_prediction_brier_score" + of.format(">20%")] == 0.3
    assert found["spotvortex_prediction_observed_ratio" + of.format("unstated")] == 2.0
    assert found["spotvortex_model_drifted{model=graph}"] == 1.0


def test_nodes_that_move_from_spot_to_spot_are_counted_by_their_reason():
    made = metrics()
    dear = offered(WEB_A, n_spot=20, spot_usd_per_hour=0.06)
    pool = shifting(dear, others=(offered(WEB_B),))
    made.recorded(decide(basis(pool, limits=Limits(shift=True))))
    of = "{mode=shadow,reason=shift_for_price}"
    assert samples(made)[f"spotvortex_shifted_nodes_total{of}"] == 1.0


def test_shadow_is_counted_apart_from_real():
    made = metrics()
    made.recorded(decision())
    made.recorded(decision(mode=Mode.ACTIVE, verdicts=(), action=Action.INCREASE_10))
    found = samples(made)
    assert found["spotvortex_action_taken_total{action=HOLD,mode=shadow}"] == 1.0
    assert found["spotvortex_action_taken_total{action=INCREASE_10,mode=active}"] == 1.0
    assert found["spotvortex_guardrail_blocked_total{guardrail=pool_safety,mode=shadow}"] == 1.0
    assert "spotvortex_guardrail_blocked_total{guardrail=pool_safety,mode=active}" not in found
    source = "action=INCREASE_10,mode={},source=deterministic"
    for mode in ("shadow", "active"):
        assert found[f"spotvortex_decision_source_total{{{source.format(mode)}}}"] == 1.0
    assert found["spotvortex_records_total"] == 2.0


def test_an_unsupported_family_is_a_source_of_its_own():
    made = metrics()
    proposal = Proposal(action=Action.EMERGENCY_EXIT, reason=ProposalReason.UNSUPPORTED_FAMILY)
    made.recorded(decision(proposal=proposal, input=pool_input(unsupported=("m9x",))))
    found = samples(made)
    labels = "action=EMERGENCY_EXIT,mode=shadow,source=unsupported_family"
    assert found[f"spotvortex_decision_source_total{{{labels}}}"] == 1.0
    assert found["spotvortex_unsupported_instance_family_total{family=m9x}"] == 1.0


def test_families_beyond_the_bound_count_as_other():
    made = metrics()
    names = tuple(f"f{i}" for i in range(MAX_FAMILIES + 7))
    made.recorded(decision(input=pool_input(unsupported=names)))
    made.recorded(decision(input=pool_input(unsupported=("f1",))))
    found = samples(made)
    assert found["spotvortex_unsupported_instance_family_total{family=f1}"] == 2.0
    assert found["spotvortex_unsupported_instance_family_total{family=other}"] == 7.0
    assert sum(1 for n in found if "unsupported_instance" in n) == MAX_FAMILIES + 1


def test_the_rest_is_counted_by_closed_sets():
    made = metrics(Mode.CANARY)
    order = DrainOrder(
        plan_id="7-web",
        pool="web",
        node="n",
        uid="u",
        claim="",
        sides=(),
        to=CapacityType.SPOT,
        reason="r",
        deadline=0.0,
    )
    order = replace(order, mode=Mode.CANARY)
    made.drained(
        DrainResult(order=order, end=DrainEnd.ABORTED, reason="", at=0.0, n_calls=1, n_evicted=0)
    )
    clean = DeletePlaceholders(plan_id="7-web", for_uid="u")
    made.count(SHADOW_CALLS, type(clean).__name__)
    made.count(CALLS, type(clean).__name__, "Again")
    made.measure(LOOP_STALL, 0.004)
    made.unchanged(4)
    made.lost(2)
    found = samples(made)
    assert found["spotvortex_drains_total{end=aborted,mode=canary}"] == 1.0
    assert found["spotvortex_shadow_calls_total{call=DeletePlaceholders}"] == 1.0
    assert found["spotvortex_calls_total{answer=Again,call=DeletePlaceholders}"] == 1.0
    assert found["spotvortex_event_loop_stall_seconds_bucket{le=0.005}"] == 1.0
    assert found["spotvortex_decisions_unchanged_total"] == 4.0
    assert found["spotvortex_journal_write_errors_total"] == 2.0


def test_an_input_that_was_never_confirmed_is_infinitely_old():
    made = metrics()
    market = MarketFacts()
    facts = observation(market=market).cluster
    never = type(facts.inputs[0])(name="pdbs", state=facts.inputs[0].state, age_s=math.inf)
    cluster = type(facts)(pools=(), inputs=(never,))
    made.observed(observation(market=market, cluster=cluster))
    assert samples(made)["spotvortex_input_age_seconds{input=pdbs}"] == math.inf


def test_of_two_replicas_only_the_one_that_leads_shows_pools():
    made = metrics(Mode.ACTIVE)
    lead = plan(decision(mode=Mode.ACTIVE))
    stands_by = replace(lead.observation, standing=WriteAuthority(leader=False))
    leads = replace(lead.observation, standing=WriteAuthority(leader=True))
    for seen, shown in ((leads, 1.0), (stands_by, 0.0), (leads, 1.0)):
        made.planned(replace(lead, observation=seen), 0.1)
        found = samples(made)
        assert found["spotvortex_leader{mode=active}"] == shown
        assert any("pool=web" in name for name in found) == bool(shown)


def under_way(mode=Mode.ACTIVE, **standing):
    """A plan of a cluster with a marked node, an order, a placeholder that waits and an anchor."""
    pods = (own_pod("waits", node=""), own_pod("gone", node="", finished=True))
    anchor = replace(own_pod("anchor", node="web-d0"), kind=PodKind.ANCHOR)
    seen = scene(marked_node(pool("web"), "web-s0"), pool("api"))
    seen = replace(seen, cluster=replace(seen.cluster, own_pods=(*pods, anchor)))
    seen = replace(seen, standing=WriteAuthority(**({"leader": True} | standing)))
    wanted = Proposal(action=Action.INCREASE_30, reason=ProposalReason.ECONOMIC_INCREASE)
    made = plan(decision(mode=mode, proposal=wanted))
    return replace(made, observation=seen, orders=(order("web"),), resumed=(order("web"),))


def test_what_is_under_way_shows_while_this_replica_leads():
    made = metrics(Mode.ACTIVE)
    made.planned(under_way(), 0.1)
    found = samples(made)
    assert found["spotvortex_orders_in_flight{pool=web}"] == 2.0
    assert found["spotvortex_orders_in_flight{pool=api}"] == 0.0
    assert found["spotvortex_marked_nodes{pool=web}"] == 1.0
    assert found["spotvortex_own_pods{kind=placeholder,state=pending}"] == 1.0
    assert found["spotvortex_own_pods{kind=placeholder,state=bound}"] == 0.0
    assert found["spotvortex_own_pods{kind=anchor,state=bound}"] == 1.0
    assert found["spotvortex_spot_ratio_wanted{pool=web}"] == pytest.approx(0.9)
    made.planned(under_way(leader=False), 0.1)
    names = samples(made)
    assert not any("pool=" in name or "own_pods" in name for name in names)


def test_a_freeze_shows_its_kind_where_something_could_be_written():
    made = metrics(Mode.ACTIVE)
    made.planned(under_way(freeze=Freeze.SOFT), 0.1)
    found = samples(made)
    assert found["spotvortex_frozen{freeze=soft}"] == 1.0
    assert found["spotvortex_frozen{freeze=hard}"] == 0.0
    assert "spotvortex_frozen{freeze=none}" not in found
    shadow = metrics()
    shadow.planned(under_way(Mode.SHADOW, leader=False, freeze=Freeze.UNKNOWN), 0.1)
    assert not any("frozen" in name for name in samples(shadow))


def own_pod(name, **changes):
    values = {"kind": PodKind.PLACEHOLDER, "plan_id": "p", "for_uid": "u", "ends_at": 0.0}
    return OwnPod(name=name, **(values | changes))


def marked_node(facts, name):
    nodes = (replace(n, mark="{}") if n.name == name else n for n in facts.nodes)
    return replace(facts, nodes=tuple(nodes))


def order(pool):
    return DrainOrder(
        plan_id="7-web",
        pool=pool,
        node="n",
        uid="u",
        claim="",
        sides=(),
        to=CapacityType.SPOT,
        reason="r",
        deadline=0.0,
    )


def test_a_pool_costs_what_its_nodes_cost_and_nothing_where_no_price_is_known():
    made = metrics()
    made.planned(plan(decision()), 0.1)
    found = samples(made)
    cost = cost_of(pool_input())
    assert found["spotvortex_cost_usd_per_hour{capacity_type=spot,pool=web}"] == (
        cost.spot_usd_per_hour
    )
    assert found["spotvortex_all_on_demand_usd_per_hour{pool=web}"] == (
        cost.all_on_demand_usd_per_hour
    )
    priceless = tuple(replace(o, on_demand_usd_per_hour=None) for o in pool_input().offerings)
    made.planned(plan(decision(input=pool_input(offerings=priceless))), 0.1)
    assert not any("usd_per_hour{" in name for name in samples(made))


def test_nodes_that_commitments_pay_for_have_a_series_once_they_are_stated():
    made = metrics()
    made.planned(plan(decision()), 0.0)
    name = f"spotvortex_committed_nodes{{pool={decision().pool}}}"
    assert name not in samples(made)
    cover = CommitmentCover(state=CommitmentState.STATED, n_covered=1.5)
    made.planned(plan(decision(input=pool_input(commitments=cover))), 0.0)
    assert samples(made)[name] == 1.5
