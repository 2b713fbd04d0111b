"""What goes wrong in mid-wave at AWS, by others or with the daemon: nothing is lost or left over.

The daemon is a process with the rights, bounds and fence that ship. A wave of six nodes is of two.
Each scene is played with Auto Scaling groups and with EKS managed node groups, those apart: the way
out and back of both is in `test_moves.py`.
"""

import itertools
from collections import Counter

import pytest

from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.groups.cloud import WRITES
from tests.groups.scene import PODS_A_NODE, SHOP, TwinGroups

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(900)]
OFF_SPOT = {"max_spot_ratio": "0"}
ONE_WAVE = OFF_SPOT | {"bind_s": "10", "settle_s": "600"}


@pytest.fixture
def plane():
    with ControlPlane(with_kwok=True) as started:
        yield started


@pytest.fixture(
    params=[
        pytest.param(False, id="asg"),
        pytest.param(True, id="mng", marks=pytest.mark.large),
    ]
)
def managed(request):
    return request.param


def sizes(twins):
    return twins.cloud.desired(twins.spot.group), twins.cloud.desired(twins.on_demand.group)


def settled(daemon):
    return [line for line in daemon.log_path.read_text().splitlines() if "group.settled" in line]


def one_wave(twins, folder, **changes):
    """Play one wave to its end, and return what the daemon said when it was settled."""
    with twins.daemon(folder, **(ONE_WAVE | changes)) as daemon:
        daemon.wait_ready()
        wait_until(lambda: settled(daemon), 240, every_s=0.5)
        wait_until(twins.is_quiet, 30, every_s=0.5)
        (said,) = settled(daemon)
        assert daemon.stop() == 0
    return said


@pytest.mark.parametrize("missing", [1, 2])
def test_a_replacement_that_does_not_come_whole_moves_no_pod_and_every_size_is_as_before(
    plane, tmp_path, managed, missing
):
    with TwinGroups(plane, managed=managed) as twins:
        before = twins.pod_uids()
        twins.cloud.shortage[twins.on_demand.group] = missing
        said = one_wave(twins, tmp_path / "one")
        assert "moved=0" in said
        assert sizes(twins) == (6, 0)
        assert twins.counts() == {twins.spot.group: 6}
        assert twins.pod_uids() == before


@pytest.mark.parametrize(("more", "ends_at"), [(1, 1), (-2, 0)])
def test_a_size_that_somebody_sets_in_mid_wave_stays_theirs(
    plane, tmp_path, managed, more, ends_at
):
    with TwinGroups(plane, managed=managed) as twins:
        group, others = twins.on_demand.group, []
        twins.cloud.shortage[group] = 2

        def interfere(operation, _):
            if operation == twins.grows and not others:
                others.append(operation)
                twins.cloud.resize(group, twins.cloud.desired(group) + more)

        twins.cloud.after = interfere
        before = twins.pod_uids()
        said = one_wave(twins, tmp_path / "one")
        assert "moved=0" in said
        assert sizes(twins) == (6, ends_at)
        assert twins.pod_uids() == before


def test_a_group_at_its_largest_is_held_and_says_so_and_no_write_is_refused(
    plane, tmp_path, managed
):
    twins = TwinGroups(plane, 3, managed=managed)
    twins.largest = 1
    with twins:
        full = f"no node more may be added: largest size 1 of {twins.on_demand.group}"

        with twins.daemon(tmp_path / "one", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: sizes(twins) == (2, 1) and twins.is_quiet(), 240, every_s=0.5)
            wait_until(lambda: says(daemon, full), 180, every_s=0.5)
            assert daemon.stop() == 0
        assert sizes(twins) == (2, 1)
        ups = [a for operation, a in twins.cloud.writes() if operation == twins.grows]
        assert len(ups) == 1


def test_a_wave_that_cannot_succeed_is_not_begun_and_the_record_says_what_is_short(
    plane, tmp_path, managed
):
    with TwinGroups(plane, 3, managed=managed) as twins:
        cloud, ec2 = twins.cloud, twins.cloud.client("ec2")
        # Three vCPUs are left, and a node of c5.xlarge takes four.
        cloud.quotas, cloud.used_vcpus = {"L-1216C47A": 16.0}, 13
        with twins.daemon(tmp_path / "quota", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: says(daemon, "3 of 16 vCPUs are left of quota L-1216C47A"), 180)
            assert daemon.stop() == 0
        cloud.quotas = {}
        template = f"of-{twins.on_demand.group}"
        ec2.delete_launch_template(LaunchTemplateName=template)
        with twins.daemon(tmp_path / "template", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: says(daemon, f"its launch template {template}, version"), 180)
            assert daemon.stop() == 0
        assert cloud.writes() == []
        assert sizes(twins) == (3, 0)


def says(daemon, words):
    """Tell whether a gate of the pool gives these words as its reason."""
    gates = daemon.pools().get("web", {"gates": []})["gates"]
    return any(words in verdict["reason"] for verdict in gates)


class Weather:
    """A bad day of AWS: each kind of write fails three ways before it passes; some reads fail too.

    A write is first throttled, then carried out with its answer cut off, and the next one meets a
    token that has run out. Every seventh read is throttled, cut off, or meets such a token, too.
    """

    def __init__(self, cloud):
        self.cloud, self.turns, self.n_reads = cloud, Counter(), 0
        self.seen = Counter()

    def __call__(self, operation, _):
        if operation not in WRITES:
            self.n_reads += 1
            turn = self.n_reads // 7 if self.n_reads % 7 == 0 else 0
            return self.trouble(operation, turn % 3 + 1) if turn else None
        self.turns[operation] += 1
        return self.trouble(operation, self.turns[operation])

    def trouble(self, operation, turn):
        how = {1: (400, "Throttling"), 2: "cut", 3: (403, "ExpiredToken")}.get(turn)
        self.seen[how] += how is not None
        if how != "cut":
            return how
        self.cloud.cut.append(operation)
        return None


def test_throttled_cut_and_expired_requests_cost_time_and_nothing_else(plane, tmp_path, managed):
    with TwinGroups(plane, managed=managed) as twins:
        weather = twins.cloud.before = Weather(twins.cloud)
        with twins.daemon(tmp_path / "one", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: twins.is_all(twins.on_demand), 360, every_s=0.5)
            assert daemon.stop() == 0
        assert min(weather.seen[how] for how in ((400, "Throttling"), "cut", (403, "ExpiredToken")))
        assert max(twins.bridge.sizes[twins.on_demand.group]) <= twins.n_nodes


MOMENTS = ("before", "after")


def test_a_crash_before_or_after_any_kind_of_write_to_aws_loses_and_doubles_nothing(
    plane, tmp_path, managed
):
    with TwinGroups(plane, 4, managed=managed) as twins:
        kinds = (twins.grows, "TerminateInstanceInAutoScalingGroup")
        for number, (wanted, moment) in enumerate(itertools.product(kinds, MOMENTS)):
            with twins.daemon(tmp_path / str(number), **OFF_SPOT) as daemon:
                daemon.wait_ready()
                arm(twins.cloud, moment, wanted, daemon)
                assert daemon.process.wait(240) == -9, (wanted, moment)
            disarm(twins.cloud)
            twins.release_lease()
            assert sum(sizes(twins)) <= 5, (wanted, moment)
        with twins.daemon(tmp_path / "last", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: twins.is_all(twins.on_demand), 360, every_s=0.5)
            assert daemon.stop() == 0


def test_a_group_that_a_person_makes_smaller_in_mid_wave_is_not_made_up_for(
    plane, tmp_path, managed
):
    with TwinGroups(plane, managed=managed) as twins:
        group, others = twins.spot.group, []
        spare(twins)

        def interfere(operation, _):
            if operation == twins.grows and not others:
                others.append(operation)
                twins.cloud.resize(group, twins.cloud.desired(group) - 1)

        twins.cloud.after = interfere
        with twins.daemon(tmp_path / "one", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: sizes(twins)[0] == 0 and twins.is_quiet(), 360, every_s=0.5)
            assert daemon.stop() == 0
        # Five are left, as that person wanted; one more may stay that pods had taken meanwhile.
        assert sizes(twins)[1] == twins.counts()[twins.on_demand.group]
        assert 5 <= sizes(twins)[1] <= 6


def spare(twins):
    """Have a node's worth of pods less, so that one node less will do."""
    for app in ("one", "two"):
        path = f"/apis/apps/v1/namespaces/{SHOP}/deployments/{app}"
        twins.api.patch(path, {"spec": {"replicas": twins.n_nodes - 1}})
    twins.n_pods = PODS_A_NODE * (twins.n_nodes - 1)
    wait_until(twins.all_running, 60)


def arm(cloud, moment, wanted, daemon):
    """Have the daemon killed at the next write of a kind: it is carried out, or it is not."""

    def kill(operation, _):
        if operation != wanted:
            return None
        daemon.process.kill()
        return (503, "ServiceUnavailable") if moment == "before" else None

    setattr(cloud, moment, kill)


def disarm(cloud):
    cloud.before = cloud.after = None
