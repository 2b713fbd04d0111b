"""What one placeholder of a room asks for."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.drain.calls import CreateRoom, RoomShape
from tests.core.drain.drains import pod

AVOID = (Offering(instance_type="m6i.large", zone="us-east-1a"),)
POD = pod("a", cpu_milli=250, memory_bytes=3 << 20)
SHAPE = RoomShape(pods=(POD, pod("b")), zone="us-east-1b", avoid=AVOID)
ROOM = CreateRoom(
    plan_id="p1",
    for_uids=("u1", "u2"),
    pool="web",
    capacity_type=CapacityType.SPOT,
    sides=("web-spot",),
    shapes=(SHAPE, RoomShape(pods=(pod("c"),), zone="", avoid=())),
    expires_s=900,
)


@pytest.mark.parametrize("together", [1, 16])
def test_a_placeholder_asks_for_the_room_of_all_the_pods_for_which_it_stands(together):
    found = ROOM.single(replace(SHAPE, together=together), POD, name="room-0")
    assert (found.cpu_milli, found.memory_bytes) == (250 * together, (3 << 20) * together)
    assert (found.n_pods, found.name, found.zone) == (together, "room-0", "us-east-1b")


def test_a_placeholder_of_a_room_is_of_the_plan_and_of_no_node():
    found = ROOM.single(SHAPE, POD)
    assert (found.plan_id, found.for_uid, found.order, found.name) == ("p1", "p1", "", "")
    assert (found.for_pod, found.pod_uid) == ("shop/a", "uid-a")
    assert (found.pool, found.sides, found.capacity_type) == ("web", ("web-spot",), "spot")
    assert (found.avoid, found.expires_s) == (AVOID, 900)


def test_a_room_is_for_the_pods_of_all_its_shapes():
    assert ROOM.pod_uids == {"uid-a", "uid-b", "uid-c"}
