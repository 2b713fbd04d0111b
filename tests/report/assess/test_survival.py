"""Which loss hits a workload most, and that the change which is named is enough."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.domain.workloads import SURVIVAL_DEFAULT
from spotvortex.core.pool.survival.zone_loss import workload_margins
from spotvortex.report.assess.survival import pool_holds, workload_rows
from tests.core import odd
from tests.core.builders import WEB_B, cluster, on_demand, placed, pool, spot, work
from tests.report.reports import document, report, screen

OFFERINGS = [Offering(instance_type=t, zone=z) for t in ("m6i.large", "c6i.large") for z in "abc"]


def rows_of(*works, nodes):
    facts = pool(nodes=nodes, workloads=works)
    return workload_rows(cluster(facts), SURVIVAL_DEFAULT)


def spare(facts):
    """What may still go to Spot of the only workload of a pool, None where nothing is asked."""
    tightest = workload_margins(facts, SURVIVAL_DEFAULT).tightest
    return None if tightest is None else tightest.room


def spread(facts):
    """The same pool with the workload's pods on Spot spread evenly over its zones."""
    (one,) = facts.workloads
    zones = sorted({n.offering.zone for n in facts.nodes})
    here = {n.name: n for n in facts.nodes}
    rest = [(name, n) for name, n in one.healthy_by_node if not is_spot(here[name])]
    n_on_spot = sum(n for name, n in one.healthy_by_node if is_spot(here[name]))
    new = [
        spot(f"new-{zone}", Offering(instance_type="r6i.large", zone=zone), pool="web")
        for zone in zones
    ]
    share = {n.name: n_on_spot // len(new) + (i < n_on_spot % len(new)) for i, n in enumerate(new)}
    nodes = (*facts.nodes, *new)
    moved = replace(one, healthy_by_node=(*rest, *((k, n) for k, n in share.items() if n)))
    return replace(facts, nodes=nodes, workloads=(placed(moved, *nodes),))


def is_spot(node):
    return node.capacity_type is CapacityType.SPOT


def changed(facts, change):
    """Do to the clone what the change says."""
    (one,) = facts.workloads
    if change.startswith("spread"):
        return spread(facts)
    if found := re.fullmatch(r"raise replicas from (\d+) to (\d+)", change):
        more = int(found[2]) - one.n_replicas
        home = on_demand("home", pool="web")
        grown = replace(
            one,
            n_replicas=int(found[2]),
            healthy_by_node=(*one.healthy_by_node, ("home", more)),
        )
        nodes = (*facts.nodes, home)
        return replace(facts, nodes=nodes, workloads=(placed(grown, *nodes),))
    found = re.fullmatch(
        r"set spotvortex.io/min-available-after-loss: (\d+%) on Deployment shop/api", change
    )
    return replace(facts, workloads=(replace(one, said=found[1]),))


@st.composite
def pools(draw):
    nodes = tuple(
        (spot if draw(st.booleans()) else on_demand)(f"n{i}", draw(st.sampled_from(OFFERINGS)))
        for i in range(draw(st.integers(1, 6)))
    )
    counts = [(n.name, draw(st.integers(0, 4))) for n in nodes]
    found = tuple((name, n) for name, n in counts if n)
    said = draw(st.sampled_from(["", "", "1", "2", "60%", "100%"]))
    return pool(nodes=nodes, workloads=(work(healthy_by_node=found, said=said, pools=("web",)),))


@odd.many
@given(pools())
def test_the_change_that_is_named_lets_one_more_pod_go(facts):
    (row,) = workload_rows(cluster(facts), SURVIVAL_DEFAULT)
    room = spare(facts)
    goal = 0 if row.n_on_spot == row.healthy else 1
    if room is None or room >= goal or row.n_replicas <= 1:
        assert row.change == "" or row.n_replicas <= 1
        return
    assert row.change == row.step.text
    if row.change != "ask for fewer pods after a loss":
        assert spare(changed(facts, row.change)) >= goal


@pytest.mark.parametrize(
    ("healthy", "nodes", "change"),
    [
        ((("s1", 4), ("s2", 4)), (spot("s1"), spot("s2")), "raise replicas from 8 to 16"),
        ((("s1", 4),), (spot("s1"), spot("s2", WEB_B)), "spread it by topologySpreadConstraints"),
        ((("s1", 1), ("d1", 1)), (spot("s1"), on_demand("d1")), "raise replicas from 2 to 4"),
        ((("s1", 1),), (spot("s1"),), "raise replicas from 1 to 2"),
        ((("d1", 9),), (on_demand("d1"),), "$"),
    ],
)
def test_the_first_change_that_suffices_is_named(healthy, nodes, change):
    (row,) = rows_of(work(healthy_by_node=healthy, pools=("web",)), nodes=nodes)
    assert re.match(change, row.change)


def test_of_a_stateful_set_of_its_own_kind_and_of_another_the_pods_are_named():
    nodes = (spot("s1"), on_demand("d1"))
    for kind, where in (("StatefulSet", "StatefulSet"), ("Rollout", "the pods of Rollout")):
        three = work(kind=kind, healthy_by_node=(("s1", 1), ("d1", 2)))
        (row,) = rows_of(three, nodes=nodes)
        assert row.change == f"set spotvortex.io/min-available-after-loss: 33% on {where} shop/api"


def test_pods_that_are_not_ready_or_on_the_move_are_waited_for():
    nodes = (spot("s1"), on_demand("d1", cordoned=True))
    (row,) = rows_of(
        work(n_replicas=10, healthy_by_node=(("s1", 1), ("d1", 6))),
        nodes=nodes,
    )
    assert row.change == "wait for 3 pods that are not Ready and 6 pods on nodes on the move"


def test_a_word_that_cannot_be_read_is_the_first_thing_to_mend():
    bad = work(healthy_by_node=(("d1", 9),), said="half", said_by="Namespace shop")
    nodes = (on_demand("d1"),)
    (row,) = rows_of(bad, nodes=nodes)
    assert row.change.startswith("Namespace shop: spotvortex.io/min-available-after-loss='half'")
    (hold,) = pool_holds(cluster(pool(nodes=nodes, workloads=(bad,))), SURVIVAL_DEFAULT)
    assert (hold.spare_pods, hold.n_holding, hold.change) == (0, 1, row.change)


def test_the_screen_and_the_document_name_the_loss_and_the_change():
    pair = work("pair", healthy_by_node=(("s1", 1), ("d1", 1)))
    lone = work("lone", healthy_by_node=(("s1", 1),))
    made = report(pool(nodes=(spot("s1"), on_demand("d1")), workloads=(pair, lone)))
    text = "\n".join(screen(made, width=300))
    assert "1 single replica on Spot cannot survive a loss: shop/Deployment/lone" in text
    assert (
        "  web: shop/Deployment/pair can spare no pod beyond the loss of m6i.large/us-east-1a\n"
        "    raise replicas from 2 to 4\n"
    ) in text
    details = "\n".join(screen(made, details=True, width=300))
    assert "workloads and the loss that hits each most" in details
    assert "safety vector of each pool" in details
    found = document(made)
    first = found["workloads"][0]
    assert (first["workload"], first["survives"]) == ("shop/Deployment/lone", False)
    assert found["holds"][0]["change"] == "raise replicas from 2 to 4"
