"""What goes wrong in mid-wave at AWS, by others or with the daemon: nothing is lost or left over.

The daemon is a process with the rights, bounds and fence that ship. A wave of six nodes is of two.
"""

import pytest

from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.groups.scene import TwinGroups

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(400)]
OFF_SPOT = {"max_spot_ratio": "0"}
ONE_WAVE = OFF_SPOT | {"bind_s": "10", "settle_s": "600"}


@pytest.fixture
def plane():
    with ControlPlane(with_kwok=True) as started:
        yield started


def sizes(twins):
    return twins.cloud.desired(twins.spot.group), twins.cloud.desired(twins.on_demand.group)


def settled(daemon):
    return [line for line in daemon.log_path.read_text().splitlines() if "group.settled" in line]


def one_wave(twins, folder, **changes):
    """Play one wave to its end, and return what the daemon said when it was settled."""
    with twins.daemon(folder, **(ONE_WAVE | changes)) as daemon:
        daemon.wait_ready()
        wait_until(lambda: settled(daemon), 120, every_s=0.5)
        wait_until(twins.is_quiet, 30, every_s=0.5)
        (said,) = settled(daemon)
        assert daemon.stop() == 0
    return said


@pytest.mark.parametrize("missing", [1, 2])
def test_a_replacement_that_does_not_come_whole_moves_no_pod_and_every_size_is_as_before(
    plane, tmp_path, missing
):
    with TwinGroups(plane) as twins:
        before = twins.pod_uids()
        twins.cloud.shortage[twins.on_demand.group] = missing
        said = one_wave(twins, tmp_path / "one")
        assert "moved=0" in said
        assert sizes(twins) == (6, 0)
        assert twins.counts() == {twins.spot.group: 6}
        assert twins.pod_uids() == before


@pytest.mark.parametrize(("more", "ends_at"), [(1, 1), (-2, 0)])
def test_a_size_that_somebody_sets_in_mid_wave_stays_theirs(plane, tmp_path, more, ends_at):
    with TwinGroups(plane) as twins:
        group, others = twins.on_demand.group, []
        twins.cloud.shortage[group] = 2

        def interfere(operation, _):
            if operation == "SetDesiredCapacity" and not others:
                others.append(operation)
                twins.cloud.resize(group, twins.cloud.desired(group) + more)

        twins.cloud.after = interfere
        before = twins.pod_uids()
        said = one_wave(twins, tmp_path / "one")
        assert "moved=0" in said
        assert sizes(twins) == (6, ends_at)
        assert twins.pod_uids() == before


def test_a_group_at_its_largest_is_held_and_says_so_and_no_write_is_refused(plane, tmp_path):
    twins = TwinGroups(plane, 3)
    twins.largest = 1
    with twins:
        full = "no node more may be added: largest size 1 of web-od-asg"

        def refused():
            gates = daemon.pools().get("web", {"gates": []})["gates"]
            return any(full in verdict["reason"] for verdict in gates)

        with twins.daemon(tmp_path / "one", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: sizes(twins) == (2, 1) and twins.is_quiet(), 120, every_s=0.5)
            wait_until(refused, 90, every_s=0.5)
            assert daemon.stop() == 0
        assert sizes(twins) == (2, 1)
        ups = [a for operation, a in twins.cloud.writes() if operation == "SetDesiredCapacity"]
        assert len(ups) == 1


CRASHES = [
    (operation, moment)
    for operation in ("SetDesiredCapacity", "TerminateInstanceInAutoScalingGroup")
    for moment in ("before", "after")
]


def test_a_crash_before_or_after_any_kind_of_write_to_aws_loses_and_doubles_nothing(
    plane, tmp_path
):
    with TwinGroups(plane, 4) as twins:
        for number, (wanted, moment) in enumerate(CRASHES):
            with twins.daemon(tmp_path / str(number), **OFF_SPOT) as daemon:
                daemon.wait_ready()
                arm(twins.cloud, moment, wanted, daemon)
                assert daemon.process.wait(120) == -9, (wanted, moment)
            disarm(twins.cloud)
            twins.release_lease()
            assert sum(sizes(twins)) <= 5, (wanted, moment)
        with twins.daemon(tmp_path / "last", **OFF_SPOT) as daemon:
            daemon.wait_ready()
            wait_until(lambda: twins.is_all(twins.on_demand), 200, every_s=0.5)
            assert daemon.stop() == 0


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
