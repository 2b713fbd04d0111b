"""What speaks against moving nodes by an Auto Scaling group is said, and named with its fix."""

import pytest

from spotvortex.core.domain.cloud.scaling_groups import (
    ScalingGroup,
    ScalingInstance,
    may_rebalance,
    no_growth,
    no_release,
    nodes_left,
)
from spotvortex.core.domain.types import CapacityType


def group(**changes):
    values = {
        "name": "web-asg",
        "node_group": "labels/web/spot",
        "pool": "web",
        "capacity_type": CapacityType.SPOT,
        "largest": 10,
        "desired": 3,
        "instances": (ScalingInstance(id="i-1"),),
    }
    return ScalingGroup(**(values | changes))


def test_a_group_in_order_may_grow_and_give_nodes_up():
    assert no_growth(group()) == no_release(group()) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trouble": "two tags"}, "two tags"),
        ({"status": "UPDATING"}, "it is UPDATING"),
        ({"capacity_type": CapacityType.UNKNOWN}, "it buys Spot and on-demand both"),
        ({"warm_pool": True}, "it has a warm pool"),
    ],
)
def test_what_is_unfit_neither_grows_nor_gives_up(changes, words):
    for said in (no_growth(group(**changes)), no_release(group(**changes))):
        assert said.startswith(f"web-asg: {words}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"suspended": ("Terminate",)}, "Terminate is suspended"),
        ({"suspended": ("HealthCheck",)}, "HealthCheck is suspended"),
        ({"protects": True}, "what it launches is protected from scale-in"),
        ({"instances": (ScalingInstance(id="i-7", protected=True),)}, "i-7 is protected"),
        ({"hook_s": 901.0}, "may hold what ends for 901 s"),
    ],
)
def test_what_holds_its_nodes_may_still_grow(changes, words):
    assert no_growth(group(**changes)) == ""
    assert words in no_release(group(**changes))


def test_a_group_that_launches_nothing_may_still_give_nodes_up():
    assert "Launch is suspended" in no_growth(group(suspended=("Launch",)))
    assert no_release(group(suspended=("Launch",))) == ""


def test_a_short_hook_and_the_hook_of_eks_itself_hold_nothing():
    assert no_release(group(hook_s=900.0)) == ""
    assert no_release(group(hook_s=1800.0, managed="web")) == ""


def test_the_nodes_left_are_the_least_of_all_bounds_and_the_bound_is_named():
    assert nodes_left(group()) == (7, "largest size 10 of web-asg")
    assert nodes_left(group(desired=12))[0] == 0
    assert nodes_left(group(room_nodes=2, room_words="2 free addresses")) == (2, "2 free addresses")
    assert nodes_left(group(room_nodes=8, room_words="8 free addresses"))[0] == 7


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_zones": 1}, False),
        ({"n_zones": 2}, True),
        ({"n_zones": 3, "suspended": ("Launch",)}, True),
        ({"n_zones": 3, "suspended": ("AZRebalance",)}, False),
        ({"n_zones": 3, "managed": "web-spot"}, False),
    ],
)
def test_a_group_that_aws_may_even_out_over_its_zones_is_told(changes, said):
    words = may_rebalance(group(**changes))
    assert bool(words) is said
    assert not said or words.startswith(f"web-asg spreads over {changes['n_zones']} zones: ")
