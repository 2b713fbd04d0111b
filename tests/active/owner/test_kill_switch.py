"""The kill switch without any price, on real Karpenter: every node of a pool leaves Spot.

The daemon has the model that ships, and no price file: of no offering is a price known, so the
confidence is 0. `SPOTVORTEX_MAX_SPOT_RATIO=0` is an owner's word, which waits for neither.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.active.scene.play import (
    QUICK,
    SETTLE_S,
    USER,
    Clock,
    most_moving,
    own_pods,
    played_scene,
    surplus,
    unexplained,
)
from tests.controlplane.api import wait_until
from tests.e2e.equipment.daemon import Daemon
from tests.witness.judge.case import CLUSTER
from tests.witness.judge.names import PLACEHOLDER
from tests.witness.recording import Recording
from tests.witness.scene import POOL, ActiveScene, Counts, Shape

pytestmark = [pytest.mark.karpenter, pytest.mark.timeout(600)]

N_NODES = 6
"""So many that no workload has a single replica, which would hold its node."""


@dataclass(frozen=True)
class Played:
    """A scene in which the daemon has stopped."""

    scene: ActiveScene
    recording: Recording
    start: Counts
    end: Counts
    exit_code: int
    records: list[dict[str, Any]]
    clock: Clock


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """A pool on Spot under budgets of one pod, until nothing of it is on Spot."""
    folder = tmp_path_factory.mktemp("kill")
    shape = Shape(n_nodes=N_NODES, n_stateful=2, grace_s=2)
    clock = Clock("kill switch without prices")
    with played_scene(shape) as scene:
        config = {"KUBECONFIG": str(scene.plane.kubeconfig(USER))}
        daemon = Daemon(folder, config | QUICK | {"SPOTVORTEX_MAX_SPOT_RATIO": "0"})
        start = scene.counts()
        with Recording(scene.plane) as recording, daemon:
            daemon.wait_ready()
            clock.tell(f"ready: {start}")
            wait_until(lambda: is_off_spot(scene), 200, every_s=0.5)
            clock.tell(f"off Spot: {scene.counts()}")
            code = daemon.stop()
        yield Played(scene, recording, start, scene.counts(), code, daemon.records(), clock)


def is_off_spot(scene: ActiveScene) -> bool:
    settled = scene.all_running() and not own_pods(scene.plane, PLACEHOLDER)
    return settled and not scene.counts().spot


def test_every_node_leaves_spot_although_no_price_is_known(played: Played):
    assert (played.start.on_demand, played.end.spot, played.exit_code) == (0, 0, 0)
    assert played.start.spot >= N_NODES
    waves = [r for r in played.records if r["n_nodes"]]
    assert {r["kind"] for r in waves} == {"owner"}
    assert {r["confidence"] for r in waves} == {0.0}
    assert {r["confidence_limit"] for r in waves} == {"prices"}
    played.clock.tell(f"{len(waves)} waves of {[r['n_nodes'] for r in waves]} nodes")


def test_no_invariant_was_broken_and_every_node_that_went_is_explained(played: Played):
    most, _ = surplus(played.recording.history, POOL, N_NODES)
    bound = dict.fromkeys((POOL, CLUSTER), most_moving(N_NODES + most))
    observer = played.recording.observer(max_in_flight=bound, settle_s=SETTLE_S, anchors_stay=True)
    assert observer.breaches() == []
    assert unexplained(played.scene, played.recording) == []
    assert played.scene.pool_is_unchanged()
