"""What the proxy before the emulator answers, without a control plane."""

import re

from tests.karpenter_aws import fleet
from tests.karpenter_aws.prices import Prices, answer

ZONES = ("us-west-2a", "us-west-2b")
PRICES = Prices({("m5.large", ZONES[0]): 0.04, ("m5.large", ZONES[1]): 0.03}, {"m5.large": 0.1})
TARGET = "TargetCapacitySpecification.DefaultTargetCapacityType"


def form(kind="spot", zones=ZONES):
    made = {"Action": "CreateFleet", TARGET: kind}
    for number, zone in enumerate(zones, 1):
        at = f"LaunchTemplateConfigs.{number}."
        made |= {
            f"{at}LaunchTemplateSpecification.LaunchTemplateName": f"template-{number}",
            f"{at}Overrides.1.InstanceType": "m5.large",
            f"{at}Overrides.1.AvailabilityZone": zone,
        }
    return made


def first(made):
    return made["LaunchTemplateConfigs.1.Overrides.1.AvailabilityZone"]


def test_the_cheapest_offering_is_launched_first_and_takes_its_template_with_it():
    divided = fleet.divide(form(), (), PRICES)
    assert (first(divided.form), divided.n_errors) == (ZONES[1], 0)
    name = "LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName"
    assert divided.form[name] == "template-2"
    assert len(divided.form) == len(form())


def test_an_offering_that_is_short_is_an_error_and_the_rest_is_launched():
    divided = fleet.divide(form(), {("m5.large", ZONES[1], "spot")}, PRICES)
    assert (first(divided.form), divided.n_errors) == (ZONES[0], 1)
    assert "InsufficientInstanceCapacity" in divided.errors
    assert f"<availabilityZone>{ZONES[1]}<" in divided.errors


def test_where_all_of_a_kind_is_short_nothing_is_asked_for_and_the_other_kind_is_not():
    short = {(fleet.ANY, fleet.ANY, "spot")}
    divided = fleet.divide(form(), short, PRICES)
    assert (divided.form, divided.n_errors) == (None, 2)
    assert fleet.divide(form("on-demand"), short, PRICES).n_errors == 0


def test_errors_go_into_an_answer_whether_it_had_a_place_for_them_or_not():
    for inner in ("<errorSet/><fleetInstanceSet/>", "<fleetInstanceSet/>"):
        body = fleet.with_errors(answer("CreateFleet", inner), "<item/>")
        assert re.findall(r"<errorSet>(.*)</errorSet>", body) == ["<item/>"]


def test_instances_get_the_groups_of_their_template_and_others_keep_theirs():
    held = "<groupSet><item><groupId>sg-default</groupId></item></groupSet>"
    items = "".join(f"<item><instanceId>i-{n}</instanceId>{held}</item>" for n in "ab")
    body = answer("DescribeInstances", f"<instancesSet>{items}</instancesSet>").encode()
    text = fleet.with_groups(body, {"i-a": ["sg-own"]}).decode()
    assert re.findall(r"<(?:\w+:)?groupId>(.*?)<", text) == ["sg-own", "sg-default"]
