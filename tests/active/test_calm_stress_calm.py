"""Calm, stress, calm: the whole life of a pool under the active daemon, on real Karpenter.

Karpenter launches by its KWOK provider, and once by its AWS provider over an emulator of AWS. In
calm the daemon moves nothing. Under stress it falls back to on-demand in waves: room by
placeholders, anchors on the nodes that give it, drains. In calm again it releases anchors and
Karpenter takes the nodes back to Spot, or a wave of ours does. No NodePool is written, and nothing
of ours is left.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.active.scene.play import (
    Clock,
    anchored,
    daemon_of,
    empty_nodes,
    gone_nodes,
    lasting_tethers,
    most_moving,
    n_tethers,
    node_counts,
    own_pods,
    played_scene,
    surplus,
    unexplained,
)
from tests.controlplane.api import wait_until
from tests.e2e.equipment.daemon import Daemon
from tests.karpenter_aws.scene import played_on_aws
from tests.witness.judge.case import CLUSTER
from tests.witness.judge.names import PLACEHOLDER
from tests.witness.market import CALM, HIGH
from tests.witness.recording import Recording
from tests.witness.scene import POOL, ActiveScene, Counts, Shape

SETTLE_S = 25.0
"""Long enough for Karpenter to take a released node back to Spot before the next wave does."""

# The scene is built, played and ended within the first test.
pytestmark = [pytest.mark.karpenter, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Play:
    """How large a scene is, and how long its stages may take, in seconds."""

    shape: Shape
    calm_s: float
    stress_s: float
    return_s: float
    max_in_flight: int
    made: Callable[[Shape], AbstractContextManager[ActiveScene]] = played_scene


def shape_of(n_nodes: int, n_stateful: int, budget: int | str = 1, *, pair: bool = False) -> Shape:
    """Return a scene with real budgets, whose owner lets everything be on Spot again.

    Without that word pool safety rightly keeps some nodes on-demand after a fall back, and the end
    would depend on the zones that Karpenter chooses.
    """
    return Shape(
        n_nodes=n_nodes,
        n_stateful=n_stateful,
        max_unavailable=budget,
        after_loss="0",
        pair=pair,
    )


SMALL = Play(shape_of(8, 3, "25%"), calm_s=25, stress_s=170, return_s=300, max_in_flight=3)
AWS = replace(SMALL, made=played_on_aws)
PAIR = Play(shape_of(8, 3, pair=True), calm_s=25, stress_s=170, return_s=300, max_in_flight=3)
LARGE = Play(shape_of(60, 9), calm_s=60, stress_s=900, return_s=1800, max_in_flight=24)


@dataclass(frozen=True)
class Played:
    """A scene in which the daemon has stopped."""

    scene: ActiveScene
    recording: Recording
    plan: Play
    exit_code: int
    start: Counts
    after_stress: Counts
    end: Counts
    records: list[dict[str, Any]]
    stress_anchors: int
    seconds: float
    clock: Clock


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(SMALL, id="8 nodes"),
        pytest.param(PAIR, id="8 nodes of a pair", marks=pytest.mark.large),
        pytest.param(
            AWS, id="8 nodes of AWS", marks=[pytest.mark.large, pytest.mark.karpenter_aws]
        ),
        pytest.param(LARGE, id="60 nodes", marks=[pytest.mark.large, pytest.mark.timeout(3600)]),
    ],
)
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    plan: Play = request.param
    folder = tmp_path_factory.mktemp("calm")
    with plan.made(plan.shape) as scene:
        end_of_stress = plan.calm_s + plan.stress_s
        script = [(-60.0, CALM), (plan.calm_s, HIGH), (end_of_stress, CALM)]
        start, at = scene.counts(), time.time()
        daemon = daemon_of(scene, folder, script=script, settle_s=f"{SETTLE_S:g}")
        clock = Clock(f"calm, stress, calm with {plan.shape.n_nodes} nodes")
        with Recording(scene.plane) as recording, daemon:
            daemon.wait_ready()
            clock.tell(f"ready: {scene.counts()}")
            under_stress(scene, clock, at + end_of_stress)
            after_stress, n_anchors = scene.counts(), len(anchored(scene))
            wait_until(lambda: time.time() > at + end_of_stress, plan.stress_s + 60)
            in_calm_again(scene, daemon, plan, clock)
            code = daemon.stop()
            wait_until(scene.all_running, 120)
        end = scene.counts()
        records = daemon.records()
        yield Played(
            scene=scene,
            recording=recording,
            plan=plan,
            exit_code=code,
            start=start,
            after_stress=after_stress,
            end=end,
            records=records,
            stress_anchors=n_anchors,
            seconds=time.time() - at,
            clock=clock,
        )


def under_stress(scene: ActiveScene, clock: Clock, until: float) -> None:
    """Wait for the end of the fall back, or of the stress where that comes first."""
    wait_until(lambda: own_pods(scene.plane, PLACEHOLDER), until - time.time())
    clock.tell("the first room is asked for")
    over = lambda: not scene.counts().spot and scene.all_running()  # noqa: E731
    wait_until(lambda: over() or time.time() > until - 5, until - time.time() + 60, every_s=0.5)
    clock.tell(f"fallen back: {scene.counts()}")


def in_calm_again(scene: ActiveScene, daemon: Daemon, plan: Play, clock: Clock) -> None:
    """Wait until the pool is on Spot again, and all of our moves have ended."""
    before = scene.counts()
    wait_until(lambda: len(anchored(scene)) < before.on_demand, 120)
    clock.tell(f"the first anchor is released: {scene.counts()}")
    wait_until(lambda: scene.counts().on_demand < before.on_demand, plan.return_s)
    clock.tell(f"the first node is on Spot again: {scene.counts()}")

    def returned() -> bool:
        return not scene.counts().on_demand and scene.all_running() and not ours(scene)

    try:
        wait_until(returned, plan.return_s, every_s=0.5)
    finally:
        clock.tell(f"returned: {scene.counts()}, last: {said(daemon.records()[-1])}")


def ours(scene: ActiveScene) -> list[str]:
    return scene.ours_left()


def said(record: dict[str, Any]) -> str:
    refused = [v[:3] for v in record["verdicts"] if v[1] != "allow"]
    return f"{record['action']} {record['reason']} {refused}"


def test_nothing_moves_in_calm(played: Played):
    first = next(r for r in played.records if r["n_nodes"])
    assert played.start.on_demand == 0
    assert first["action"] == "DECREASE_30"
    assert first["reason"] == "high_risk"


def test_under_stress_the_pool_falls_back_in_waves_and_anchors_what_it_fell_back_to(
    played: Played,
):
    waves = [r for r in played.records if r["n_nodes"] and r["action"].startswith("DECREASE")]
    assert len(waves) >= 2
    assert played.after_stress.on_demand >= played.plan.shape.n_nodes // 2
    assert played.stress_anchors >= played.after_stress.on_demand - played.plan.max_in_flight


def test_in_calm_again_the_pool_is_on_spot_and_nothing_of_ours_is_left(played: Played):
    assert played.exit_code == 0
    assert played.end.on_demand == 0
    # Karpenter itself may begin with a node or two more than the pods need.
    most = max(played.start.spot, played.plan.shape.n_nodes)
    assert played.plan.shape.n_nodes - 1 <= played.end.spot <= most + 1
    assert played.scene.ours_left() == []
    assert lasting_tethers(played.scene.plane) == []
    assert n_tethers(played.scene.plane) <= 1 + played.seconds / 300
    assert empty_nodes(played.scene) == set()
    assert played.scene.all_running()
    assert played.scene.pool_is_unchanged()


def test_no_invariant_was_broken_and_every_node_that_went_is_explained(played: Played):
    history = played.recording.history
    peak = max(spot + other for _, spot, other in node_counts(history, POOL))
    # The bound is a share of the nodes, and a wave adds nodes before it takes any away.
    bound = dict.fromkeys((POOL, CLUSTER), most_moving(peak))
    observer = played.recording.observer(max_in_flight=bound, settle_s=SETTLE_S)
    marked = {mark.node_uid for mark in observer.case.marks}
    gone = gone_nodes(history, POOL)
    by_karpenter = [n for uid, n in gone.items() if uid not in marked]
    released = sum(n.capacity_type == "on-demand" for n in by_karpenter)
    most, node_s = surplus(history, POOL, played.plan.shape.n_nodes)
    played.clock.tell(
        f"{observer.seen()}, {len(gone)} nodes went, {released} on-demand ones by "
        f"Karpenter once released, {peak} nodes at most, "
        f"{most} more than needed at most, {node_s:.0f} node-seconds too many"
    )
    assert observer.breaches() == []
    assert unexplained(played.scene, played.recording) == []
    # Karpenter may have launched one more for room that it could not place otherwise, or have
    # taken one Spot node more than its pods need away by itself.
    assert observer.seen()["marks"] >= min(played.start.spot, played.after_stress.on_demand) - 1
