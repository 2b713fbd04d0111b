"""The priorities that a person gives Cluster Autoscaler follow what each pool's proposal wants."""

from dataclasses import replace

import pytest
import yaml

from spotvortex.core.decision.messages import ControllerState
from spotvortex.core.decision.reconcile import reconcile
from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import CapacityType
from spotvortex.report.priorities import FIRST, SECOND, compared, priorities_text
from tests.core.builders import assessment, capped, cluster, observation, pool

SPOT, ON_DEMAND = CapacityType.SPOT, CapacityType.ON_DEMAND


def twins(*names):
    return tuple(
        NodeGroupFact(name=name, pool="web", capacity_types=(kind,))
        for name, kind in zip(names, (SPOT, ON_DEMAND), strict=True)
    )


def plan_of(*groups, max_spot_ratio=1.0):
    seen = observation(cluster=cluster(replace(pool(), node_groups=groups)))
    limits = capped(max_spot_ratio=max_spot_ratio)
    return reconcile(ControllerState(), assessment(seen), limits)[1]


def text_of(*groups, **changes):
    return priorities_text(plan_of(*groups, **changes))


@pytest.mark.parametrize(
    ("max_spot_ratio", "first", "second"),
    [(1.0, "web-spot", "web-od"), (0.0, "web-od", "web-spot")],
)
def test_the_capacity_that_a_pool_is_led_to_comes_first(max_spot_ratio, first, second):
    text = text_of(*twins("nodegroup/web-spot", "nodegroup/web-od"), max_spot_ratio=max_spot_ratio)
    found = yaml.safe_load(text)
    assert found["metadata"] == {
        "name": "cluster-autoscaler-priority-expander",
        "namespace": "kube-system",
    }
    assert yaml.safe_load(found["data"]["priorities"]) == {
        FIRST: [f"^eks-{first}-[0-9a-f-]+$"],
        SECOND: [f"^eks-{second}-[0-9a-f-]+$"],
    }


def test_groups_without_a_name_of_their_own_are_left_to_a_person():
    text = text_of(*twins("labels/web/spot", "labels/web/on-demand"))
    assert text.splitlines() == [
        "# labels/web/spot of pool web: add its groups to 50 by name",
        "# labels/web/on-demand of pool web: add its groups to 10 by name",
    ]


def test_nodepools_have_no_priorities_there():
    assert text_of(*twins("web-spot", "web-od")).startswith("# no pool has node groups")


MANAGED = twins("nodegroup/web-spot", "nodegroup/web-od")


def test_what_was_printed_leads_where_the_proposals_do_and_not_once_they_have_turned():
    applied = yaml.safe_load(text_of(*MANAGED))["data"]["priorities"]
    assert compared(plan_of(*MANAGED), applied) == ()
    assert compared(plan_of(*MANAGED, max_spot_ratio=0.0), applied) == (
        "web: its wanted groups have 10, the others 50",
    )


@pytest.mark.parametrize(
    ("applied", "said"),
    [
        ("10: ['.*-od-.*', '.*-spot-.*']", ("web: its wanted groups have 10, the others 10",)),
        ("20: ['.*spot.*']\n10: ['.*']", ()),
        ("20: ['.*spot.*']", ("web: no priority is given to web-od",)),
        ("20: ['(']\n10: 7\nx: ['.*']", None),
        ("[", None),
        ("- a", None),
        ("", None),
    ],
)
def test_what_an_owner_wrote_is_judged_by_what_it_does(applied, said):
    nothing = tuple(f"web: no priority is given to {name}" for name in ("web-spot", "web-od"))
    assert compared(plan_of(*MANAGED), applied) == (nothing if said is None else said)
