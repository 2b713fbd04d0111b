"""What is only recorded shows in the node as a drain sees it, until its order has ended."""

from spotvortex.core.drain.calls import Done, EvictPod, MarkNode, ReleaseNode, UnmarkNode
from spotvortex.core.drain.orders import to_text
from spotvortex.pipeline.drains.actuators import RecordingActuator
from tests.core.builders import cluster, pool
from tests.core.in_flight import order
from tests.pipeline.drains.test_guard import room
from tests.pipeline.live import Live, LiveView
from tests.pipeline.world import MemoryTelemetry, run

MADE = order("web-s0")
MARK = MarkNode(
    node="web-s0", uid=MADE.uid, plan_id="p1", order=to_text(MADE), resource_version="1"
)
UNMARK = UnmarkNode(node="web-s0", uid=MADE.uid, plan_id="p1")
EVICT = EvictPod(
    namespace="shop", name="web-s0-a", uid="uid-web-s0-a", node_uid=MADE.uid, plan_id="p1"
)
RELEASE = ReleaseNode(claim="claim-web-s0", node="web-s0", plan_id="p1")


def seen_after(*calls):
    """What a drain sees after each of these calls."""

    async def main():
        view = LiveView(live=Live(facts=cluster(pool())))
        hand = RecordingActuator(cluster=view, telemetry=MemoryTelemetry())
        found = []
        for call in calls:
            assert await hand.apply(call) == Done()
            found.append(await hand.look(MADE))
        hand.forget(MADE)
        return [*found, await hand.look(MADE)]

    return run(main)


def test_a_recorded_mark_shows_until_it_is_taken_away():
    marked, unmarked, _ = seen_after(MARK, UNMARK)
    assert (marked.cordoned, marked.marked) == (True, True)
    assert (unmarked.cordoned, unmarked.marked) == (False, False)


def test_recorded_room_is_bound_and_a_recorded_eviction_takes_its_pod_away():
    one, two, evicted, released, forgotten = seen_after(room(), room(), EVICT, RELEASE)
    assert [(s.bound, s.n_room) for s in (one, two, evicted)] == [(1, 1), (2, 2), (2, 2)]
    assert [p.name for p in two.pods] == ["web-s0-a"]
    assert evicted.pods == released.pods == ()
    assert (forgotten.bound, len(forgotten.pods)) == (0, 1)
