"""`assess` shows what commitments pay for, or asks for them once with the fix."""

from dataclasses import replace

from spotvortex.core.domain.cloud.commitments import Commitments, CommitmentState
from spotvortex.core.domain.types import Blocker, CapacityType
from tests.core.builders import (
    WEB_A,
    cluster,
    market,
    observation,
    on_demand,
    plan_of,
    pool,
    reserved,
    stated,
    with_load_blocker,
)
from tests.report.reports import document, report, screen

RATE = 0.075
FOUR = tuple(on_demand(f"d{i}") for i in range(4))


def seen(*items, nodes=FOUR, unpooled=(), state=CommitmentState.STATED):
    facts = replace(cluster(pool(nodes=nodes)), unpooled=unpooled)
    commitments = replace(stated(*items), state=state)
    return report(observed=observation(cluster=facts, market=market(commitments=commitments)))


def line_with(lines, words):
    found = [line for line in lines if words in line]
    assert len(found) == 1, (words, found)
    return found[0]


def test_what_is_not_stated_is_asked_for_once_and_money_is_a_range():
    made = report(observed=observation(market=market(commitments=Commitments())))
    lines = screen(made, width=200)
    assert "not stated: money is a range whose low end is 0" in line_with(lines, "not stated")
    assert "ConfigMap spotvortex-commitments" in line_with(lines, "SPOTVORTEX_COMMITMENTS_PATH")
    assert document(made)["saving_usd_per_hour"][0] == 0.0


def test_what_is_stated_makes_money_a_figure():
    made = seen()
    lines = screen(made)
    assert "$0.28/h" in line_with(lines, "ON-DEMAND YOU MAY NOT NEED")
    assert not any("$0.00 .." in line for line in lines)
    assert document(made)["saving_usd_per_hour"] == [0.28, 0.28]
    assert " ok  0 commitments: 0 of 4 on-demand nodes are paid for · $0.00/h unused" in lines


def test_nodes_that_are_paid_for_are_not_among_those_that_may_not_be_needed():
    made = seen(plan_of(usd_per_hour=3 * RATE))
    lines = screen(made)
    assert "1 of 4 nodes   $0.07/h" in line_with(lines, "ON-DEMAND YOU MAY NOT NEED")
    assert "  paid for by commitments 3 in web" in lines
    assert " ok  1 commitment: 3 of 4 on-demand nodes are paid for · $0.00/h unused" in lines


def test_what_is_unused_is_told_in_money():
    made = seen(plan_of(usd_per_hour=1.3), reserved(amount=2.0, region="eu-west-1"))
    assert " !!  2 commitments: 4 of 4 on-demand nodes are paid for · $1.00/h unused" in screen(
        made
    )
    found = document(made)["commitments"]
    assert (found["n_covered"], found["unused_usd_per_hour"]) == (4.0, 1.0)
    plan, instances = found["items"]
    assert (plan["unit"], plan["used"], plan["unused_usd_per_hour"]) == ("USD/h", 0.3, 1.0)
    assert (instances["unit"], instances["unused_usd_per_hour"]) == ("units", None)


def test_details_show_each_commitment_and_each_pool():
    alone = on_demand("alone", pool="")
    kept = replace(on_demand("kept", WEB_A), capacity_type=CapacityType.RESERVED)
    made = seen(
        plan_of("big", 2 * RATE),
        reserved("zonal", zone="us-east-1b"),
        nodes=(*FOUR, kept),
        unpooled=(alone,),
    )
    lines = screen(made, details=True, width=160)
    assert "compute-savings-plan" in line_with(lines, "│ big        │")
    assert "1 instances" in line_with(lines, "│ zonal")
    by_pool = {row.pool: row for row in made.commitments.pools}
    assert (by_pool["web"].n_covered, by_pool["web"].n_uncovered) == (1.0, 4.0)
    assert (by_pool[""].n_covered, by_pool[""].by) == (1.0, ("big",))


def test_a_node_that_something_else_holds_is_told_by_that():
    held = with_load_blocker(on_demand("held"), Blocker.BARE_POD)
    made = seen(plan_of(usd_per_hour=RATE), nodes=(held, *FOUR))
    (row,) = made.on_demand
    assert (row.n_free, row.n_paid_for, dict(row.held)) == (4, 0, {Blocker.BARE_POD: 1})


def test_a_statement_that_cannot_be_read_leaves_a_range():
    made = seen(state=CommitmentState.UNREADABLE)
    assert document(made)["saving_usd_per_hour"][0] == 0.0
