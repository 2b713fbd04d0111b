"""`assess` and `doctor` say what a cluster runs on beside plain EC2, and what is possible there."""

import io

from rich.console import Console

from spotvortex.core.domain.cloud.hosting import Hosting
from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import CapacityType
from spotvortex.report.doctor import screen as doctor_screen
from spotvortex.report.doctor.diagnosis import diagnose
from tests.core.builders import AT, cluster, node, on_demand, pool, spot
from tests.report.reports import document, report, screen

AUTO = (on_demand("a", hosting=Hosting.AUTO_MODE), spot("b", hosting=Hosting.AUTO_MODE))
FARGATE = node("f", hosting=Hosting.FARGATE, capacity_type=CapacityType.UNKNOWN)


def doctors(*pools):
    out = io.StringIO()
    found = diagnose(cluster(*pools), lambda _: (), AT, "test")
    doctor_screen.show(found, Console(file=out, width=300, color_system=None))
    return out.getvalue()


def test_auto_mode_is_marked_untested_and_says_what_its_own_pools_cannot():
    made = pool("auto", nodes=AUTO)
    for text in ("\n".join(screen(report(made), width=300)), doctors(made)):
        assert "2 nodes on EKS Auto Mode: moved by pods as Karpenter's nodes are, untested" in text
        assert "Spot needs a NodePool of your own" in text


def test_plain_ec2_is_not_mentioned():
    assert document(report(pool()))["hosting"] == []
    assert " on EKS" not in doctors(pool())


def test_each_kind_has_a_row_the_commonest_first():
    found = document(report(pool("auto", nodes=(*AUTO, FARGATE))))["hosting"]
    assert [(row["hosting"], row["n_nodes"]) for row in found] == [
        ("eks-auto-mode", 2),
        ("eks-fargate", 1),
    ]


def test_the_built_in_pools_of_auto_mode_are_said_to_buy_on_demand_alone():
    group = NodeGroupFact(
        name="general-purpose",
        pool="general-purpose",
        capacity_types=(CapacityType.ON_DEMAND,),
        auto_mode=True,
    )
    made = pool("general-purpose", nodes=AUTO[:1], node_groups=(group,))
    (row,) = document(report(made))["on_demand"]
    assert row["pinned"].startswith("EKS Auto Mode's own NodePool buys on-demand only")
