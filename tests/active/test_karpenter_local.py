"""The four scenario groups of the suite karpenter-local, on real Karpenter, with a pair.

The daemon is a process of its own, with the rights of the overlay `weights`. Prices are scripted by
the variables of the suite: SPOTVORTEX_E2E_SUITE, SPOTVORTEX_TEST_PRICE_PROVIDER_JSON and _FILE. The
groups are guardrails, steering by weights, drains under budgets, and the fake prices themselves.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.active.scene.play import (
    QUICK,
    SETTLE_S,
    USER,
    Clock,
    anchored,
    most_moving,
    own_pods,
    played_scene,
    surplus,
)
from tests.controlplane.api import wait_until
from tests.deploy.manifests import WEIGHTS
from tests.e2e.equipment.daemon import Daemon
from tests.paths import ROOT
from tests.witness.crash_proxy import CrashProxy
from tests.witness.judge.case import CLUSTER
from tests.witness.judge.names import PLACEHOLDER, RESTORE
from tests.witness.market import CALM, EMERGENCY, ON_DEMAND_USD, price_for, write_scripted_risk
from tests.witness.recording import Recording
from tests.witness.scene import PAIR, POOL, SHOP, ActiveScene, Shape

pytestmark = [pytest.mark.karpenter, pytest.mark.timeout(900)]

N_NODES = 6
SPOT, OTHER = PAIR
POOLS = "/apis/karpenter.sh/v1/nodepools"
BUDGETS = f"/apis/policy/v1/namespaces/{SHOP}/poddisruptionbudgets"
HISTORY = 300
"""Points of a scripted history: long enough for full confidence."""

N_CYCLES = 30
"""Cycles in which nothing happens: well over a settling time."""

SUITE = {
    "SPOTVORTEX_E2E_SUITE": "karpenter-local",
    "SPOTVORTEX_WEIGHTS": "apply",
    "SPOTVORTEX_SPOT_WEIGHT": "90",
}


def prices(score: float) -> str:
    """A script in which every offering has the price that stands for a score, always."""
    price = price_for(score)
    step = {
        "current_price": price,
        "on_demand_price": ON_DEMAND_USD,
        "price_history": [price] * HISTORY,
    }
    return json.dumps({"default": step})


@dataclass
class Local:
    """The scene, in which daemons follow one another."""

    scene: ActiveScene
    folder: Path
    clock: Clock
    n_daemons: int = 0

    def daemon(self, score: float, **changes: str) -> Daemon:
        """Return a daemon, not started yet, that sees a score from scripted prices."""
        self.n_daemons += 1
        folder = self.folder / f"daemon-{self.n_daemons}"
        folder.mkdir()
        script = write_scripted_risk(folder, [])
        # The suite's own prices count.
        del script["SPOTVORTEX_PRICE_FILE"]
        given = {f"SPOTVORTEX_{name.upper()}": value for name, value in changes.items()}
        if "test_price_provider_file" not in changes:
            given["SPOTVORTEX_TEST_PRICE_PROVIDER_JSON"] = prices(score)
        config = script | {"KUBECONFIG": str(self.scene.plane.kubeconfig(USER))}
        return Daemon(folder, QUICK | SUITE | config | given)

    def node_pool(self, name: str) -> dict[str, Any]:
        """Return a NodePool as it is."""
        pool: dict[str, Any] = self.scene.plane.api().get(f"{POOLS}/{name}")
        return pool

    def weights(self) -> tuple[int, int]:
        """Return the weights of the Spot side and of the other."""
        spot, other = (self.node_pool(name)["spec"].get("weight", 0) for name in PAIR)
        return spot, other

    def cpu_limit(self, name: str) -> str | None:
        """Return the CPU limit of a side, None where it has none."""
        limit: str | None = self.node_pool(name)["spec"].get("limits", {}).get("cpu")
        return limit

    def used_milli(self, name: str) -> int:
        """Return what a side's nodes use: as Karpenter counts, or more where they say more."""
        counted = self.node_pool(name)["status"]["resources"]["cpu"]
        nodes = [n for n in self.scene.nodes() if side_of(n) == name]
        shown = sum(milli(n["status"]["allocatable"]["cpu"]) for n in nodes)
        self.clock.tell(f"{name}: {counted} by Karpenter, {shown} m of {len(nodes)} nodes")
        return max(milli(counted), shown)

    def noted(self) -> list[str]:
        """Return the NodePools that carry our note."""
        pools = [self.node_pool(name) for name in PAIR]
        return [p["metadata"]["name"] for p in pools if RESTORE in p["metadata"]["annotations"]]

    def is_steered_off_spot(self) -> bool:
        """Tell whether both sides are as a pool wants them that leaves Spot.

        The Spot side's own weight is the wanted one already: only its limit is set, by a request
        of its own.
        """
        return self.weights() == (10, 90) and self.noted() == list(PAIR)

    def is_as_owned(self) -> bool:
        """Tell whether both NodePools ask for what they did when they were made."""
        now = [spec for _, spec in self.scene.node_pools()]
        return now == [spec for _, spec in self.scene.first_pools] and not self.noted()

    def allow(self, n_unavailable: int) -> None:
        """Let every budget of the workloads allow so many pods to be away."""
        api = self.scene.plane.api()
        for budget in api.items(BUDGETS):
            path = f"{BUDGETS}/{budget['metadata']['name']}"
            api.patch(path, {"spec": {"maxUnavailable": n_unavailable}})

    def untouched(self) -> tuple[set[str], set[str], bool]:
        """Return what changes when a node is drained: nodes, pods, and whether one is cordoned."""
        nodes = self.scene.nodes()
        uids = {node["metadata"]["uid"] for node in nodes}
        pods = {pod["metadata"]["uid"] for pod in self.scene.pods()}
        return uids, pods, any(node["spec"].get("unschedulable") for node in nodes)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """A pair on Spot whose owner prefers Spot, under budgets of one pod."""
    # Karpenter's own consolidation between the two sides would move what a test counts.
    shape = Shape(n_nodes=N_NODES, n_stateful=2, grace_s=2, pair=True, still=True)
    with played_scene(shape, WEIGHTS) as scene:
        yield Local(scene, tmp_path_factory.mktemp("local"), Clock("karpenter-local"))


def cycled(daemon: Daemon, n: int = N_CYCLES) -> None:
    """Wait for so many more cycles."""
    start = daemon.metric("spotvortex_cycles_total")
    wait_until(lambda: daemon.metric("spotvortex_cycles_total") >= start + n, 120)


def breaches(recording: Recording, n_nodes: int, **rules: Any) -> list[Any]:
    """Return what the observer says of a group that might move and steer."""
    bound = dict.fromkeys((POOL, CLUSTER), most_moving(n_nodes))
    return recording.breaches(
        max_in_flight=bound, settle_s=SETTLE_S, anchors_stay=True, steers=True, **rules
    )


def side_of(node: dict[str, Any]) -> str:
    """Return the NodePool of a node."""
    name: str = node["metadata"]["labels"]["karpenter.sh/nodepool"]
    return name


def milli(cpu: str) -> int:
    """Read CPU as Kubernetes writes it, in thousandths of a core."""
    return int(cpu.removesuffix("m")) if cpu.endswith("m") else 1000 * int(cpu)


def bad_limits(recording: Recording) -> list[str]:
    """Return our writes of NodePools that closed on-demand, or Spot below its use."""
    found = []
    for write in recording.observer().case.writes:
        if write.resource != "nodepools" or not write.done or RESTORE not in write.note:
            continue
        limit = write.answer["spec"].get("limits", {}).get("cpu")
        used = write.answer.get("status", {}).get("resources", {}).get("cpu", "0")
        if limit is not None and (write.name == OTHER or milli(limit) < milli(used)):
            found.append(f"{write}: limit {limit}, {used} in use")
    return found


# -- 1. guardrails ------------------------------------------------------------


def test_guardrails_shadow_drains_and_steers_in_its_records_alone(local: Local):
    before = local.untouched()
    daemon = local.daemon(EMERGENCY, mode="shadow")
    with Recording(local.scene.plane) as recording, daemon:
        daemon.wait_ready()
        steered = 'spotvortex_shadow_calls_total{call="SteerGroup"}'
        wait_until(lambda: f"{steered} 2.0" in str(daemon.get("/metrics")[1]), 60)
        evicted = 'spotvortex_shadow_calls_total{call="EvictPod"}'
        wait_until(lambda: evicted in str(daemon.get("/metrics")[1]), 60)
        cycled(daemon)
        assert f"{steered} 2.0" in str(daemon.get("/metrics")[1])
        assert daemon.stop() == 0
    assert any(r["action"] == "EMERGENCY_EXIT" for r in daemon.records())
    assert recording.breaches(shadow=True) == []
    assert local.untouched() == before
    assert local.scene.pool_is_unchanged()


def test_guardrails_what_a_budget_forbids_moves_no_node_and_no_weight(local: Local):
    before = local.untouched()
    local.allow(0)
    daemon = local.daemon(EMERGENCY)
    with Recording(local.scene.plane) as recording, daemon:
        daemon.wait_ready()
        wait_until(lambda: daemon.records() and daemon.records()[-1]["proposal"], 60)
        cycled(daemon)
        assert daemon.stop() == 0
    local.allow(1)
    assert {r["action"] for r in daemon.records()} == {"HOLD"}
    assert breaches(recording, N_NODES) == []
    assert recording.observer().seen()["marks"] == 0
    assert local.untouched() == before
    assert local.scene.pool_is_unchanged()


# -- 2. steering and weights --------------------------------------------------


@contextmanager
def another_writer(local: Local, name: str) -> Iterator[list[float]]:
    """Take every change of a NodePool's weight back at once, as a GitOps tool would."""
    api, end, times = local.scene.plane.api(), threading.Event(), list[float]()
    owned = local.node_pool(name)["spec"]
    wanted = {"weight": owned.get("weight"), "limits": owned.get("limits")}

    def look() -> None:
        while not end.wait(0.1):
            spec = api.get(f"{POOLS}/{name}")["spec"]
            if {key: spec.get(key) for key in wanted} != wanted:
                api.patch(f"{POOLS}/{name}", {"spec": wanted})
                times.append(time.monotonic())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield times
    finally:
        end.set()
        thread.join(30)


def events_of(local: Local, name: str) -> list[str]:
    events = local.scene.plane.api().items("/api/v1/namespaces/default/events")
    about = [e for e in events if e["involvedObject"].get("name") == name]
    return [e["reason"] for e in about if e["involvedObject"]["kind"] == "NodePool"]


def test_steering_is_given_up_where_another_writer_takes_it_back(local: Local):
    local.allow(0)
    daemon = local.daemon(CALM, max_spot_ratio="0")
    with Recording(local.scene.plane) as recording, another_writer(local, SPOT) as times, daemon:
        daemon.wait_ready()
        given_up = "spotvortex_weights_given_up_total"
        wait_until(lambda: daemon.metric(given_up) == 1.0, 120)
        wait_until(local.is_as_owned, 30)
        cycled(daemon)
        assert daemon.metric(given_up) == 1.0
        wait_until(lambda: "SpotVortexWeightsGivenUp" in events_of(local, SPOT), 30)
        assert daemon.stop() == 0
    local.clock.tell(f"given up after {len(times)} reverts")
    assert len(times) == 3
    assert local.is_as_owned()
    assert breaches(recording, N_NODES) == []
    assert bad_limits(recording) == []


@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
def test_steering_goes_on_after_a_kill_around_its_request_and_ends_with_the_driver(
    local: Local, after: bool
):
    local.allow(0)
    plane = local.scene.plane
    with CrashProxy(plane) as proxy:
        first = local.daemon(CALM, max_spot_ratio="0")
        first.add({"KUBECONFIG": str(plane.kubeconfig(USER, server=proxy.url))})
        with first:
            assert first.process is not None
            proxy.kill(first.process.pid, "steer", after=after)
            wait_until(lambda: first.process.poll() is not None, 90)
    assert len(local.noted()) in ((1, 2) if after else (0, 1))
    with local.daemon(CALM, max_spot_ratio="0") as second:
        second.wait_ready()
        wait_until(local.is_steered_off_spot, 90)
        assert second.stop() == 0
    owned = {
        name: pool[1]["weight"] for name, pool in zip(PAIR, local.scene.first_pools, strict=True)
    }
    for name, weight in owned.items():
        note = local.node_pool(name)["metadata"]["annotations"][RESTORE]
        assert json.loads(note)["weight"] == weight
    with local.daemon(CALM, weights="off") as third:
        third.wait_ready()
        wait_until(local.is_as_owned, 90)
        assert third.stop() == 0


def test_steering_sends_new_capacity_to_the_side_that_the_decision_wants(local: Local):
    local.allow(0)
    before = local.scene.counts()
    daemon = local.daemon(CALM, max_spot_ratio="0")
    with Recording(local.scene.plane) as recording, daemon:
        daemon.wait_ready()
        wait_until(local.is_steered_off_spot, 60)
        used, limit = local.used_milli(SPOT), local.cpu_limit(SPOT)
        assert limit is not None
        assert 0 <= milli(limit) - used < 1000
        assert local.cpu_limit(OTHER) is None
        local.scene.scale("app-0", 5)
        wait_until(local.scene.all_running, 120)
        after = local.scene.counts()
        assert (after.spot, after.on_demand > before.on_demand) == (before.spot, True)
        # Nothing is asked for again: it is as it was wanted.
        generations = [local.node_pool(name)["metadata"]["generation"] for name in PAIR]
        cycled(daemon)
        assert [local.node_pool(n)["metadata"]["generation"] for n in PAIR] == generations
        assert daemon.stop() == 0
    local.clock.tell(
        f"new capacity on demand: {before} became {after}, Spot closed at {used} m CPU"
    )
    assert breaches(recording, N_NODES + 2) == []
    assert bad_limits(recording) == []


def test_steering_is_undone_by_uninstall(local: Local):
    assert set(local.noted()) == set(PAIR)
    environment = os.environ | {"KUBECONFIG": str(local.scene.plane.kubeconfig("admin"))}
    command = [sys.executable, "-m", "spotvortex", "uninstall", "--apply", "--wait", "5"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert local.is_as_owned()


# -- 3. drains under budgets --------------------------------------------------


def test_drains_an_emergency_empties_the_spot_side_under_budgets_of_one_pod(local: Local):
    local.allow(1)
    daemon = local.daemon(EMERGENCY)
    with Recording(local.scene.plane) as recording, daemon:
        daemon.wait_ready()
        wait_until(local.is_steered_off_spot, 60)
        local.clock.tell("the weights are swapped")
        wait_until(lambda: is_off_spot(local), 300, every_s=0.5)
        local.clock.tell(f"off Spot: {local.scene.counts()}")
        assert daemon.stop() == 0
        await_end(local)
    most, _ = surplus(recording.history, POOL, N_NODES)
    assert breaches(recording, N_NODES + 1 + most) == []
    assert bad_limits(recording) == []
    assert recording.observer().seen()["marks"] >= N_NODES
    assert set(local.noted()) == set(PAIR)


def await_end(local: Local) -> None:
    """Wait until all pods run, and Karpenter has taken every node that we have released."""
    wait_until(local.scene.all_running, 120)
    wait_until(lambda: not any("node" in thing for thing in local.scene.ours_left()), 120)


def is_off_spot(local: Local) -> bool:
    settled = local.scene.all_running() and not own_pods(local.scene.plane, PLACEHOLDER)
    return settled and not local.scene.counts().spot


def test_drains_a_growth_after_it_brings_the_owners_weights_back_and_nodes_to_spot(local: Local):
    daemon = local.daemon(CALM)
    with Recording(local.scene.plane) as recording, daemon:
        daemon.wait_ready()
        wait_until(local.is_as_owned, 90)
        local.clock.tell("the weights are the owner's again")
        wait_until(lambda: local.scene.counts().spot > 0, 200, every_s=0.5)
        wait_until(lambda: not own_pods(local.scene.plane, PLACEHOLDER), 120)
        local.clock.tell(f"back on Spot: {local.scene.counts()}")
        assert daemon.stop() == 0
        await_end(local)
    most, _ = surplus(recording.history, POOL, N_NODES)
    assert breaches(recording, N_NODES + 1 + most) == []
    assert local.is_as_owned()


def test_drains_a_floor_is_reached_on_the_on_demand_side_and_steers_nothing(local: Local):
    before = local.scene.counts()
    floor = before.on_demand + 1
    assert before.spot
    daemon = local.daemon(CALM, on_demand_floor=f"{floor}")
    with Recording(local.scene.plane) as recording, daemon:
        daemon.wait_ready()

        def kept() -> bool:
            settled = local.scene.all_running() and not own_pods(local.scene.plane, PLACEHOLDER)
            return settled and local.scene.counts().on_demand >= floor

        wait_until(kept, 240, every_s=0.5)
        wait_until(lambda: len(anchored(local.scene)) >= floor, 60)
        local.clock.tell(f"floor of {floor}: {before} became {local.scene.counts()}")
        cycled(daemon)
        assert daemon.stop() == 0
        await_end(local)
    most, _ = surplus(recording.history, POOL, N_NODES)
    assert breaches(recording, N_NODES + 1 + most) == []
    assert local.is_as_owned()


# -- 4. scripted fake prices --------------------------------------------------


def test_fake_prices_are_played_step_by_step_with_errors_wildcards_and_an_end(local: Local):
    labels = local.scene.nodes()[0]["metadata"]["labels"]
    kind = labels["node.kubernetes.io/instance-type"]
    zone = labels["topology.kubernetes.io/zone"]
    steps = [
        {"current_price": 0.05},
        {"current_price": 0.06, "price_history": []},
        {"error": "simulated throttling"},
        {"current_price": 0.07},
    ]
    script = {
        "default": {"current_price": 0.04, "on_demand_price": ON_DEMAND_USD},
        "repeat_last": False,
        "series": {f"{kind}:{zone}": steps},
    }
    path = local.folder / "prices.json"
    path.write_text(json.dumps(script))
    daemon = local.daemon(CALM, mode="shadow", tick_s="2", test_price_provider_file=str(path))
    series = f'spotvortex_spot_price_usd{{instance_type="{kind}",zone="{zone}"}}'
    seen: list[float | None] = []
    with Recording(local.scene.plane) as recording, daemon:
        daemon.wait_ready()

        def ended() -> bool:
            seen.append(value_of(daemon, series))
            return 0.07 in seen and seen[-1] is None

        wait_until(ended, 60, every_s=0.2)
        on_demand = value_of(daemon, f'spotvortex_ondemand_price_usd{{instance_type="{kind}"}}')
        cycled(daemon, 3)
        assert value_of(daemon, series) is None
        assert daemon.stop() == 0
    local.clock.tell(f"prices seen: {[value for value, _ in groupby(seen)]}")
    played = [value for value, _ in groupby(seen)]
    begun = played.index(0.06) if 0.05 not in played else played.index(0.05)
    assert played[begun:] in ([0.05, 0.06, None, 0.07, None], [0.06, None, 0.07, None])
    assert on_demand in (ON_DEMAND_USD, None)
    # Anchors of the daemons before it keep their floor until they run out.
    assert recording.breaches(shadow=True, anchors_stay=True) == []


def value_of(daemon: Daemon, series: str) -> float | None:
    """Return the value of a series, None where there is none."""
    try:
        return daemon.metric(series)
    except AssertionError:
        return None
