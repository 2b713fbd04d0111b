"""Groups are read and changed over HTTP, at moto and a proxy, and what goes wrong says the fix."""

import asyncio
import re
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from typer.testing import CliRunner

from spotvortex.aws.groups.service import AwsGroups, GroupScope, open_groups
from spotvortex.aws.groups.wire import GroupTags
from spotvortex.cli.main import cli
from spotvortex.core.domain.cloud.scaling_groups import no_growth, nodes_left
from spotvortex.core.domain.types import CapacityType
from spotvortex.errors import ScalingError, SettingsError
from tests.groups.cloud import CREDENTIALS, REGION, WRITES, Cloud

pytestmark = pytest.mark.program
SPOT, ON_DEMAND = "labels/web/spot", "labels/web/on-demand"


@pytest.fixture
def cloud(monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with Cloud() as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
        for name, word, size in (("web-s", "spot", 2), ("web-o", "on-demand", 0)):
            made.make_group(name, tags(word), size)
        yield made


def tags(word, **more):
    return {"spotvortex.io/pool": "web", "spotvortex.io/capacity-type": word} | more


@asynccontextmanager
async def asking(**changes):
    options = {"tagged": True, "managed_too": True, "all_managed": True} | changes
    scope = GroupScope(**({"tags": GroupTags()} | options))
    async with open_groups(REGION, scope, lambda: 1_800_000_000.0) as groups:
        yield groups


async def test_groups_are_found_by_their_tags_and_read_one_by_one(cloud):
    cloud.make_group("foreign", {"team": "other"}, 1)
    async with asking() as groups:
        found = await groups.all_groups(10.0)
        assert [g.node_group for g in found] == [ON_DEMAND, SPOT]
        spot = await groups.group(SPOT, 10.0)
        assert [i.id for i in spot.instances] == cloud.instances("web-s")
        assert (spot.desired, spot.capacity_type) == (2, CapacityType.SPOT)
        assert await groups.group("labels/shop/spot", 10.0) is None


async def test_free_addresses_bound_a_group(cloud):
    async with asking() as groups:
        assert 4000 < (await groups.group(SPOT, 10.0)).room_nodes < 4096


async def test_a_size_alone_is_read_without_a_look_ahead(cloud):
    async with asking() as groups:
        assert (await groups.group(SPOT, 10.0, ahead=False)).desired == 2
    asked = {operation for operation, _ in cloud.asked}
    assert asked == {"DescribeAutoScalingGroups", "DescribeLifecycleHooks"}


async def test_a_subnet_that_is_gone_hides_no_other(cloud):
    autoscaling, ec2 = cloud.client("autoscaling"), cloud.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    gone = ec2.create_subnet(VpcId=vpc, CidrBlock="172.31.240.0/24")["Subnet"]["SubnetId"]
    there = cloud.described("web-s")["VPCZoneIdentifier"]
    autoscaling.update_auto_scaling_group(
        AutoScalingGroupName="web-s", VPCZoneIdentifier=f"{there},{gone}"
    )
    ec2.delete_subnet(SubnetId=gone)
    async with asking() as groups:
        for group in await groups.all_groups(10.0):
            assert 4000 < group.room_nodes < 4096


async def test_a_quota_of_vcpus_bounds_a_group_by_its_smallest_type(cloud):
    cloud.quotas, cloud.used_vcpus = {"L-34B43A08": 20.0}, 9
    async with asking() as groups:
        spot = await groups.group(SPOT, 10.0)
        # Of c5.xlarge, four vCPUs each, 11 // 4; nobody tells the quota of on-demand.
        assert (spot.room_nodes, "L-34B43A08" in spot.room_words) == (2, True)
        for _ in range(2):
            assert (await groups.group(ON_DEMAND, 10.0)).room_nodes > 4000
        assert len([1 for operation, _ in cloud.asked if operation == "GetServiceQuota"]) == 2
        cloud.used_vcpus = 30
        assert (await groups.group(SPOT, 10.0)).room_nodes == 2
    async with asking() as groups:
        spot = await groups.group(SPOT, 10.0)
        assert nodes_left(spot) == (
            0,
            "0 of 20 vCPUs are left of quota L-34B43A08, a node takes 4",
        )


async def test_a_launch_template_or_image_that_is_gone_is_named_before_a_group_grows(cloud):
    ec2 = cloud.client("ec2")
    async with asking() as groups:
        assert no_growth(await groups.group(SPOT, 10.0)) == ""
    for found in ec2.describe_images(Owners=["self"])["Images"]:
        ec2.deregister_image(ImageId=found["ImageId"])
    async with asking() as groups:
        assert re.search(
            r"its image ami-\w+ is not there", no_growth(await groups.group(SPOT, 10.0))
        )
    ec2.delete_launch_template(LaunchTemplateName="of-web-s")
    async with asking() as groups:
        said = no_growth(await groups.group(SPOT, 10.0))
        assert said.startswith("web-s: its launch template of-web-s, version $Latest is not there")


OPTIONAL = {
    "DescribeSubnets": "UnauthorizedOperation",
    "DescribeInstanceTypes": "UnauthorizedOperation",
    "DescribeLaunchTemplateVersions": "UnauthorizedOperation",
    "DescribeImages": "UnauthorizedOperation",
    "GetServiceQuota": "AccessDeniedException",
    "GetMetricStatistics": "AccessDenied",
}


async def test_every_right_of_the_look_ahead_may_be_missing_and_is_asked_for_once_an_hour(cloud):
    cloud.quotas, cloud.used_vcpus = {"L-34B43A08": 20.0}, 9
    for denied in (*([name] for name in OPTIONAL), [*OPTIONAL]):
        cloud.refuses = {name: (403, OPTIONAL[name]) for name in denied}
        cloud.asked.clear()
        async with asking() as groups:
            for _ in range(2):
                spot = await groups.group(SPOT, 10.0)
                assert no_growth(spot) == ""
        asked = [operation for operation, _ in cloud.asked if operation in denied]
        assert len(asked) == len(set(asked)), denied
    assert spot.room_nodes is None


async def test_a_look_ahead_that_is_throttled_is_asked_for_again(cloud):
    cloud.quotas = {"L-34B43A08": 20.0}
    cloud.refuses["GetServiceQuota"] = (429, "TooManyRequestsException")
    async with asking() as groups:
        assert (await groups.group(SPOT, 10.0)).room_nodes > 4000
        cloud.refuses.clear()
        assert (await groups.group(SPOT, 10.0)).room_nodes == 5


async def test_reading_all_asks_once_for_what_groups_share_and_for_managed_ones_now_and_then(cloud):
    for number in range(3):
        cloud.make_nodegroup("blue", f"n{number}", "SPOT", size=1)
    async with asking() as groups:
        for _ in range(4):
            assert len(await groups.all_groups(10.0)) == 5
    asked = Counter(operation for operation, _ in cloud.asked)
    assert asked["DescribeAutoScalingGroups"] == asked["DescribeSubnets"] == 4
    assert asked["DescribeNodegroup"] == 3
    assert asked["DescribeLifecycleHooks"] == 2


async def test_a_managed_group_that_cannot_be_read_hides_no_other(cloud):
    cloud.make_nodegroup("blue", "web-spot", "SPOT", size=1)
    cloud.refuses["DescribeNodegroup"] = (403, "AccessDeniedException")
    async with asking() as groups:
        found = {group.node_group: group for group in await groups.all_groups(10.0)}
        assert found.keys() == {ON_DEMAND, SPOT, "nodegroup/web-spot"}
        assert (
            "credentials that may do eks:DescribeNodegroup" in found["nodegroup/web-spot"].trouble
        )
        assert not found[SPOT].trouble
        assert (await groups.group(SPOT, 10.0)).desired == 2
        cloud.refuses["DescribeNodegroup"] = (503, "ServiceUnavailableException")
        with pytest.raises(ScalingError, match="ServiceUnavailable"):
            await groups.all_groups(10.0)


async def test_a_size_is_set_and_an_instance_ended_with_its_group_one_smaller(cloud):
    first, second = cloud.instances("web-s")
    async with asking() as groups:
        await groups.set_desired(await groups.group(ON_DEMAND, 10.0), 3, 10.0)
        assert (cloud.desired("web-o"), len(cloud.instances("web-o"))) == (3, 3)
        home = await groups.home_of(first, 10.0)
        assert (home.group.name, home.leaving) == ("web-s", False)
        await groups.end(first, 10.0)
        assert await groups.home_of(first, 10.0) is None
        assert await groups.gone((first, second), 10.0) == {first}
        assert await groups.gone((), 10.0) == frozenset()
    assert (cloud.desired("web-s"), cloud.instances("web-s")) == (1, [second])
    (_, size), (_, ended) = cloud.writes()
    assert size["HonorCooldown"] == "false", "a wave of before must not hold this one"
    assert ended["ShouldDecrementDesiredCapacity"] == "true"


async def test_a_managed_group_is_read_with_eks_and_set_by_its_scaling_configuration(cloud):
    cloud.make_nodegroup("blue", "web-spot", "SPOT", size=1)
    async with asking(tags=GroupTags(cluster="blue")) as groups:
        (group,) = await groups.all_groups(10.0)
        assert (group.node_group, group.desired) == ("nodegroup/web-spot", 1)
        cloud.updating_s = 60.0
        await groups.set_desired(group, 2, 10.0)
        group = await groups.group("nodegroup/web-spot", 10.0)
        assert (group.desired, group.status) == (2, "UPDATING"), "what was kept said ACTIVE"
    assert [operation for operation, _ in cloud.writes()] == ["UpdateNodegroupConfig"]


def test_the_twin_of_a_managed_group_is_printed_of_what_eks_says(cloud):
    cloud.make_nodegroup("blue", "web-od", "ON_DEMAND", size=1)
    asked = ["aws", "twin", "--cluster", "blue", "--nodegroup"]
    done = CliRunner().invoke(cli, [*asked, "web-od"])
    assert "name: web-spot\n  spot: true" in done.output, done.output
    done = CliRunner().invoke(cli, [*asked, "web-od", "--form", "terraform"])
    assert 'resource "aws_eks_node_group" "web-spot"' in done.output
    with pytest.raises(ScalingError, match="No node group found"):
        CliRunner().invoke(cli, [*asked, "absent"], catch_exceptions=False)
    with pytest.raises(SettingsError, match="Give --cluster and --nodegroup"):
        CliRunner().invoke(cli, ["aws", "twin"], catch_exceptions=False)


async def test_managed_groups_count_only_where_that_is_wished(cloud):
    cloud.make_nodegroup("blue", "web-spot", "SPOT", size=1)
    async with asking(managed_too=False) as groups:
        assert [g.node_group for g in await groups.all_groups(10.0)] == [ON_DEMAND, SPOT]
    async with asking(all_managed=False) as groups:
        assert [g.node_group for g in await groups.all_groups(10.0)] == [ON_DEMAND, SPOT]
    async with asking(tagged=False) as groups:
        assert [g.node_group for g in await groups.all_groups(10.0)] == ["nodegroup/web-spot"]


@pytest.mark.parametrize(
    ("fault", "words", "is_passing"),
    [
        ((403, "ExpiredToken"), "ExpiredToken: told so$", True),
        ((403, "AccessDenied"), "credentials that may do autoscaling:SetDesired", False),
        ((400, "Throttling"), "Throttling: told so", True),
        ((503, "ServiceUnavailable"), "ServiceUnavailable", True),
        ((400, "ScalingActivityInProgress"), "ScalingActivityInProgress", True),
        ((400, "ValidationError"), "ValidationError", False),
    ],
)
async def test_what_goes_wrong_is_said_and_whether_it_passes(cloud, fault, words, is_passing):
    cloud.before = lambda operation, _: fault if operation in WRITES else None
    async with asking() as groups:
        group = await groups.group(SPOT, 10.0)
        with pytest.raises(ScalingError, match=words) as told:
            await groups.set_desired(group, 3, 10.0)
    assert told.value.is_passing is is_passing
    assert cloud.desired("web-s") == 2
    # Nothing is sent twice by the library: who asks reads anew first.
    assert len(cloud.writes()) == 1


async def test_a_cut_answer_may_have_been_carried_out_and_passes(cloud):
    cloud.cut.append("SetDesiredCapacity")
    async with asking() as groups:
        group = await groups.group(SPOT, 10.0)
        with pytest.raises(ScalingError) as told:
            await groups.set_desired(group, 3, 10.0)
    assert told.value.is_passing
    assert (cloud.desired("web-s"), len(cloud.writes())) == (3, 1)


async def test_reading_goes_on_after_an_outage_and_hands_on_what_is_there(cloud):
    taken, stop = [], asyncio.Event()

    def take(groups):
        taken.append([g.node_group for g in groups])
        stop.set()

    async with asking() as groups:
        assert isinstance(groups, AwsGroups)
        async with asyncio.timeout(20):
            await groups.run(take, stop)
    assert taken == [[ON_DEMAND, SPOT]]


async def test_without_a_region_the_fix_is_said(cloud, monkeypatch):
    monkeypatch.delenv("AWS_REGION")
    scope = GroupScope(tags=GroupTags(), tagged=True, managed_too=False, all_managed=False)
    with pytest.raises(SettingsError, match="set AWS_REGION"):
        async with open_groups("", scope, lambda: 0.0):
            pass
