"""The daemon dies at any write; the next one goes on, and the end is the same.

Each flow is gone through twice, once with deaths right before each kind of write, once with deaths
right after it, when the answer is lost. A life begins where the one before it ended. A fall back
and a return are gone through by a pair of NodePools as well.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.active.scene.bench import NO_BUDGET, RULES, Bench, Size
from tests.active.scene.cloud import ImpatientSqs
from tests.active.scene.lives import Lives, Point
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.core.events import interruption, rebalance
from tests.witness.crash_proxy import CrashProxy
from tests.witness.market import CALM, EMERGENCY
from tests.witness.recording import Recording

# Eleven lives take a while on a busy machine.
pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(900)]

MOMENTS = [
    pytest.param(False, id="before"),
    # The same points once the server has done it and the answer is lost: twice the time.
    pytest.param(True, id="after", marks=pytest.mark.large),
]

DECREASE = (
    "lease-create",
    "state-create",
    "lease-update",
    "create-tether",
    "state-update",
    "create-placeholder",
    "create-anchor",
    "mark",
    "evict",
    "delete-nodeclaim",
    "delete-placeholders",
)


class PoolLives(Lives):
    """Lives of a daemon that looks after one pool of the bench."""

    bench: Bench


@contextmanager
def flow(plane: ControlPlane, folder: Path, size: Size, **rules) -> Iterator[PoolLives]:
    """A pool, a proxy and a witness; at the end nothing may have been done wrongly."""
    with Bench(plane, size) as bench, CrashProxy(plane) as proxy:
        with Recording(plane) as recording:
            lives = PoolLives(bench=bench, proxy=proxy, folder=folder)
            yield lives
        observer = recording.observer(**(RULES | rules))
        print(f"{len(lives.reached)} crash points: {', '.join(map(str, lives.reached))}")
        print(f"requests {proxy.counts()}, judged {observer.seen()}")
        assert observer.breaches() == []
        assert bench.pool_is_unchanged()


PAIR_SAMPLE = (Point("create-placeholder"), Point("evict", after=True), Point("delete-nodeclaim"))
"""Where a pair differs from a mixed pool, if anywhere: in its room, and in who takes the node."""


def cases(kinds: tuple[str, ...]) -> list[Any]:
    """Return the points of a flow for a mixed pool, and for a pair a few of them, or all."""

    def all_of(*, after: bool) -> tuple[Point, ...]:
        return tuple(Point(kind, after) for kind in kinds)

    return [
        pytest.param(all_of(after=False), False, id="before"),
        pytest.param(all_of(after=True), False, id="after", marks=pytest.mark.large),
        pytest.param(PAIR_SAMPLE, True, id="pair"),
        pytest.param(all_of(after=False), True, id="pair before", marks=pytest.mark.large),
        pytest.param(all_of(after=True), True, id="pair after", marks=pytest.mark.large),
    ]


@pytest.mark.parametrize(("points", "pair"), cases(DECREASE))
def test_a_fall_back_ends_the_same_however_often_it_is_cut(plane, tmp_path, points, pair):
    with flow(plane, tmp_path, Size(pair=pair)) as lives:
        bench = lives.bench
        variables = bench.variables(tmp_path, EMERGENCY, lives.proxy.url)
        lives.die_at(points, variables)
        lives.live_on(variables, lambda: bench.at_end(on_demand=2))
        kept = {p["spec"]["nodeName"] for p in bench.own_pods("anchor")}
        assert kept == {node["metadata"]["name"] for node in bench.nodes()}
    assert len(lives.reached) == len(points)


RETURN = (
    "create-tether",
    "create-placeholder",
    "mark",
    "evict",
    "delete-nodeclaim",
    "delete-placeholders",
)


@pytest.mark.parametrize(("points", "pair"), cases(RETURN))
def test_a_return_ends_the_same_however_often_it_is_cut(plane, tmp_path, points, pair):
    # What never consolidates is brought back by drains of ours.
    ends = {"kind_from": "on-demand", "kind_to": "spot"}
    size = Size(**ends, pdb=False, consolidate_after="Never", pair=pair)
    with flow(plane, tmp_path, size) as lives:
        variables = _anchored(lives, tmp_path)
        lives.die_at(points, variables)
        lives.live_on(variables, lambda: lives.bench.at_end(spot=2))
        assert anchors_went(lives.bench)
    assert len(lives.reached) == len(points)


def anchors_went(bench: Bench) -> bool:
    """Tell whether no node has an anchor; one on a node that is gone waits for its collector."""
    kept = {p["spec"]["nodeName"] for p in bench.own_pods("anchor")}
    return kept.isdisjoint(node["metadata"]["name"] for node in bench.nodes())


@pytest.mark.parametrize("after", MOMENTS)
def test_an_anchor_is_released_once_and_the_rest_is_left_to_who_consolidates(
    plane, tmp_path, after
):
    size = Size(kind_from="on-demand", kind_to="spot", pdb=False)
    with flow(plane, tmp_path, size) as lives:
        bench, variables = lives.bench, _anchored(lives, tmp_path)
        lives.die_once(Point("delete-anchors", after), variables)
        lives.live_on(variables, lambda: len(bench.own_pods("anchor")) == 1 and bench.is_clean())
        counts = lives.proxy.counts()
        assert (counts.get("mark"), counts.get("create-placeholder")) == (None, None)
    assert len(lives.reached) == 1


def _anchored(lives: PoolLives, folder: Path) -> dict[str, str]:
    """Have both nodes anchored by a floor, and return settings without it: a return is due."""
    variables = lives.bench.variables(folder, CALM, lives.proxy.url)
    kept = {"SPOTVORTEX_ON_DEMAND_FLOOR": "2"}
    lives.live_on(variables | kept, lambda: len(lives.bench.own_pods("anchor")) == 2)
    return variables


@pytest.mark.parametrize("after", MOMENTS)
def test_an_abort_is_ended_by_whoever_comes_next(plane, tmp_path, after):
    with flow(plane, tmp_path, Size()) as lives:
        bench = lives.bench
        variables = bench.variables(tmp_path, EMERGENCY, lives.proxy.url)
        for kind in ("unmark", "delete-placeholders"):
            # A budget that never yields holds the order where a person may still want it undone.
            lives.proxy.answer("evict", NO_BUDGET, times=1000)
            lives.die_once(Point(kind, after), variables, lambda: _freeze_in_mid_drain(bench))
        lives.live_on(variables, lambda: bench.at_end(spot=2, on_demand=2))
        assert not lives.proxy.counts().get("delete-nodeclaim")
    assert len(lives.reached) == 2


def _freeze_in_mid_drain(bench: Bench) -> None:
    if not bench.is_frozen():
        wait_until(lambda: len(bench.marked()) == 2, 60)
        bench.freeze()


@pytest.mark.parametrize("after", MOMENTS)
def test_a_floor_is_kept_by_as_many_anchors_as_without_a_crash(plane, tmp_path, after):
    with flow(plane, tmp_path, Size(n_from=1), floors={}) as lives:
        bench = lives.bench
        variables = bench.variables(tmp_path, CALM, lives.proxy.url)
        variables |= {"SPOTVORTEX_ON_DEMAND_FLOOR": "2", "SPOTVORTEX_MAX_SPOT_RATIO": "0.4"}
        lives.die_at([Point(kind, after) for kind in ("create-tether", "create-anchor")], variables)
        lives.live_on(variables, lambda: len(bench.own_pods("anchor")) == 2)
        assert len({p["spec"]["nodeName"] for p in bench.own_pods("anchor")}) == 2
        assert bench.at_end(spot=1, on_demand=2)
    assert len(lives.reached) == 2


INTERRUPTION = (
    "mark",
    "create-tether",
    "evict",
    "delete-nodeclaim",
    "delete-tethers",
)
STILL = {"SPOTVORTEX_MAX_SPOT_RATIO": "0.67"}
"""Two of three nodes, or one of two, may be Spot: nothing but a notice moves a node."""


@pytest.mark.parametrize("after", MOMENTS)
def test_an_interrupted_node_is_emptied_however_often_that_is_cut(plane, tmp_path, after):
    with ImpatientSqs() as queue, flow(plane, tmp_path, Size(n_to=1)) as lives:
        bench = lives.bench
        variables = bench.variables(tmp_path, CALM, lives.proxy.url) | STILL | queue.variables()
        queue.send(interruption(bench.an_instance(), at=time.time()))
        lives.die_at([Point(kind, after) for kind in INTERRUPTION], variables)
        lives.live_on(variables, lambda: bench.at_end(spot=1, on_demand=1) and not queue.n_left())
    assert len(lives.reached) == len(INTERRUPTION)


@pytest.mark.parametrize("after", MOMENTS)
def test_the_note_of_a_risk_is_made_once_and_taken_away_when_it_has_run_out(plane, tmp_path, after):
    with ImpatientSqs() as queue, flow(plane, tmp_path, Size(n_to=1)) as lives:
        bench = lives.bench
        variables = bench.variables(tmp_path, CALM, lives.proxy.url) | STILL | queue.variables()
        variables["SPOTVORTEX_REBALANCE_TTL_S"] = "60"
        queue.send(rebalance(bench.an_instance(), at=time.time() - 25.0))
        lives.die_at([Point(kind, after) for kind in ("note-risk", "clear-risk")], variables)
        lives.live_on(variables, lambda: bench.at_end(spot=2, on_demand=1) and not queue.n_left())
        counts = lives.proxy.counts()
        assert (counts.get("mark"), counts.get("evict")) == (None, None)
    assert len(lives.reached) == 2
