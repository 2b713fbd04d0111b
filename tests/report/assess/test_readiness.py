"""How far each workload is ready for Spot, why not, and the line that is printed for it."""

import json
import shlex

import pytest

from spotvortex.core.domain.observation import BlockedWorkload, NodeLoad
from spotvortex.core.domain.types import Blocker
from spotvortex.report.assess import workloads_screen
from spotvortex.report.assess.readiness import SpotReadiness
from tests.core.builders import WEB_B, on_demand, pdb, placed, pool, spot, work
from tests.report.reports import document, lines_of, report

SAID = "spotvortex.io/min-available-after-loss"


def held_by(*blockers, name="d1", workload="shop/Deployment/api"):
    blocked = tuple(BlockedWorkload(blocker=b, workload=workload) for b in blockers)
    return on_demand(name, load=NodeLoad(n_pods=1, n_workload_pods=1, blocked=blocked))


def row_of(one, *nodes, pdbs=()):
    placed_one = placed(one, *nodes)
    made = report(pool(nodes=nodes, workloads=(placed_one,), pdbs=pdbs))
    (row,) = made.readiness
    return row


def pods(*counts, **more):
    return work(healthy_by_node=counts, pools=("web",), **more)


def test_a_workload_that_more_may_move_of_is_ready_and_has_no_reason():
    row = row_of(pods(("d1", 4)), on_demand("d1"))
    assert (row.readiness, row.reasons, row.fixes, row.commands) == (
        SpotReadiness.READY,
        (),
        (),
        (),
    )
    assert (row.spare_pods, row.n_on_spot, row.healthy) == (2, 0, 4)


@pytest.mark.parametrize(
    ("blocker", "readiness", "command"),
    [
        (Blocker.DO_NOT_DISRUPT, SpotReadiness.HELD, ""),
        (Blocker.LOCAL_STORAGE, SpotReadiness.HELD, ""),
        (Blocker.SINGLE_REPLICA, SpotReadiness.SINGLE, "kubectl -n shop scale deployment/api"),
        (Blocker.PINNED_ON_DEMAND, SpotReadiness.PINNED, "kubectl -n shop patch deployment/api"),
        (Blocker.VOLUME, SpotReadiness.READY, ""),
        (Blocker.PINNED_SPOT, SpotReadiness.READY, ""),
    ],
)
def test_each_blocker_has_its_state_and_the_line_that_a_person_may_run(blocker, readiness, command):
    row = row_of(pods(("d1", 4)), held_by(blocker))
    assert row.readiness is readiness
    assert len(row.reasons) == len(row.fixes) == (readiness is not SpotReadiness.READY)
    assert "".join(row.commands).startswith(command)
    assert bool(row.commands) == bool(command)
    assert row.owner == "Deployment shop/api"


def test_the_patch_for_a_pinned_workload_prefers_spot_and_drops_both_selectors():
    (command,) = row_of(pods(("d1", 4)), held_by(Blocker.PINNED_ON_DEMAND)).commands
    spec = json.loads(shlex.split(command)[-1])["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {
        "karpenter.sh/capacity-type": None,
        "eks.amazonaws.com/capacityType": None,
    }
    (term,) = spec["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["preference"]["matchExpressions"][0]["values"] == ["spot"]


def test_a_budget_that_lets_nobody_go_holds_its_workload_and_is_named():
    budget = pdb("api", healthy_by_node=(("d1", 4),), desired_healthy=4, disruptions_allowed=0)
    row = row_of(pods(("d1", 4)), on_demand("d1"), pdbs=(placed(budget, on_demand("d1")),))
    assert row.readiness is SpotReadiness.HELD
    assert budget.key in row.reasons[0]


@pytest.mark.parametrize(
    ("one", "nodes", "command"),
    [
        (
            pods(("s1", 4), ("s2", 4)),
            (spot("s1"), spot("s2")),
            "kubectl -n shop scale deployment/api --replicas=16",
        ),
        (
            pods(("d1", 4), ("d2", 4), floor="100%", floor_by="Namespace shop"),
            (on_demand("d1"), on_demand("d2")),
            "kubectl annotate --overwrite namespace/shop spotvortex.io/on-demand-floor=7",
        ),
        (
            pods(("s1", 2), ("d1", 4), said="4", said_by="Deployment shop/api"),
            (spot("s1"), on_demand("d1")),
            f"kubectl -n shop annotate --overwrite deployment/api {SAID}=50%",
        ),
    ],
)
def test_a_workload_that_can_spare_none_names_the_loss_and_the_line(one, nodes, command):
    row = row_of(one, *nodes)
    assert row.readiness is SpotReadiness.FULL
    assert row.commands == (command,)
    assert "must stay" in row.reasons[0]


def test_a_change_that_no_line_makes_has_none():
    row = row_of(pods(("s1", 4)), spot("s1"), spot("s2", WEB_B))
    assert row.readiness is SpotReadiness.FULL
    assert row.fixes[0].startswith("spread it by topologySpreadConstraints")
    assert row.commands == ()


def test_the_worst_stand_first_and_screen_and_document_say_the_same():
    nodes = held_by(Blocker.LOCAL_STORAGE), on_demand("d2")
    ready = placed(pods(("d2", 6), name="web"), *nodes)
    stuck = placed(pods(("d1", 2)), *nodes)
    made = report(pool(nodes=nodes, workloads=(ready, stuck)))
    assert [row.readiness for row in made.readiness] == [SpotReadiness.HELD, SpotReadiness.READY]
    lines = lines_of(lambda console: workloads_screen.show(made, console))
    assert lines[1] == "2 workloads: 1 held, 1 ready"
    assert lines[2].startswith("held    shop/Deployment/api · 0 of 2 pods on Spot")
    assert lines[4].startswith("        Deployment shop/api: replace the hostPath")
    rows = document(made)["readiness"]
    assert [row["readiness"] for row in rows] == ["held", "ready"]


def test_a_cluster_without_workloads_says_so():
    made = report(pool(nodes=(on_demand("d1"),)))
    assert "no workload" in "\n".join(lines_of(lambda c: workloads_screen.show(made, c)))
