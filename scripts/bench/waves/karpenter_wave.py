"""Fifteen of 50 nodes off Spot on real Karpenter: the daemon, and a bare script's same steps.

Usage: python -m scripts.bench.waves.karpenter_wave

Prints one JSON line: seconds until fifteen Spot nodes are gone, every pod is Ready and nothing but
anchors is left. Each has a control plane of its own with Karpenter, four pods a node, ten workloads
with budgets of 25 %. The bare script asks for room for all pods at once, anchors the nodes that
came, cordons, evicts as fast as budgets let it and deletes NodeClaims; it holds no lease, keeps no
journal and judges nothing. The daemon has everything that ships; its time begins with its first
placeholder.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from scripts.bench.machine import machine
from tests.active.scene.play import daemon_of, own_pods, played_scene
from tests.controlplane.api import wait_until
from tests.witness.hand import Hand
from tests.witness.judge.names import PLACEHOLDER
from tests.witness.scene import POD_CPU, ActiveScene, Shape

N_NODES, N_MOVED = 50, 15
SHAPE: Final = Shape(
    n_nodes=N_NODES, n_stateful=0, grace_s=2, max_unavailable="25%", after_loss="0"
)
LIMIT_S: Final = 600.0
KIND: Final = "karpenter.sh/capacity-type"
Json = dict[str, Any]


class BareScript:
    """What a person's script does."""

    def __init__(self, scene: ActiveScene) -> None:
        self.scene = scene
        self.hand = Hand(scene.plane, api=scene.plane.api())
        self.hand.cpu = POD_CPU

    def pods_on(self, names: set[str]) -> list[Json]:
        """Return the workloads' pods on nodes."""
        return [p for p in self.scene.pods() if p["spec"].get("nodeName") in names]

    def make_room(self, nodes: list[Json]) -> None:
        """Ask for room for every pod at once, and anchor the nodes that came."""
        by_name = {node["metadata"]["name"]: node for node in nodes}
        pods = self.pods_on(set(by_name))
        before = {n["metadata"]["name"] for n in self.scene.nodes()}
        for i, pod in enumerate(pods):
            self.hand.placeholder(f"room-{i}", by_name[pod["spec"]["nodeName"]], "bare")
        wait_until(lambda: self.n_bound() == len(pods), LIMIT_S, every_s=0.2)
        for node in self.scene.nodes():
            if node["metadata"]["name"] not in before:
                self.hand.anchor(f"keep-{node['metadata']['name']}", node, "bare")

    def n_bound(self) -> int:
        """Count the room that is there."""
        pods = own_pods(self.scene.plane, PLACEHOLDER)
        return sum(pod["status"]["phase"] == "Running" for pod in pods)

    def empty(self, nodes: list[Json]) -> None:
        """Evict all pods, and delete each node's NodeClaim once it is empty."""
        left = {node["metadata"]["name"]: node for node in nodes}
        while left:
            held = self.pods_on(set(left))
            for pod in held:
                if not pod["metadata"].get("deletionTimestamp"):
                    self.hand.evict(pod)
            used = {pod["spec"]["nodeName"] for pod in held}
            for name in set(left) - used:
                self.hand.delete_claim(left.pop(name))
            time.sleep(0.1)

    def run(self) -> None:
        """Move fifteen nodes."""
        spot = [n for n in self.scene.nodes() if n["metadata"]["labels"][KIND] == "spot"]
        nodes = spot[:N_MOVED]
        self.make_room(nodes)
        for node in nodes:
            self.hand.mark(node, "bare")
        self.empty(nodes)
        self.hand.delete_own(PLACEHOLDER, plan="bare")


def is_moved(scene: ActiveScene) -> bool:
    """Tell whether the wave is over."""
    counts = scene.counts()
    waiting = own_pods(scene.plane, PLACEHOLDER)
    marked = [left for left in scene.ours_left() if left.startswith("node")]
    return counts.spot <= N_NODES - N_MOVED and scene.all_running() and not waiting and not marked


def bare_s() -> float:
    """Return how long the bare script takes."""
    with played_scene(SHAPE) as scene:
        begun = time.monotonic()
        BareScript(scene).run()
        wait_until(lambda: is_moved(scene), LIMIT_S, every_s=0.2)
        return time.monotonic() - begun


def daemon_s() -> dict[str, float]:
    """Return how long the daemon takes, from its first placeholder."""
    cap = str(1 - N_MOVED / N_NODES)
    with tempfile.TemporaryDirectory() as folder, played_scene(SHAPE) as scene:
        before = scene.counts()
        with daemon_of(scene, Path(folder), max_spot_ratio=cap) as daemon:
            daemon.wait_ready()
            ready = time.monotonic()
            wait_until(lambda: own_pods(scene.plane, PLACEHOLDER), LIMIT_S, every_s=0.1)
            begun = time.monotonic()
            wait_until(lambda: is_moved(scene), LIMIT_S, every_s=0.2)
            ended = time.monotonic()
            waves = {r["id"] for r in daemon.records() if r["n_nodes"]}
            daemon.stop()
    return {
        "daemon_s": round(ended - begun, 1),
        "ready_to_first_placeholder_s": round(begun - ready, 1),
        "n_spot_before": before.spot,
        "n_waves": len(waves),
    }


def main() -> int:
    """Measure both."""
    print(json.dumps({"machine": machine()}), flush=True)
    bare = bare_s()
    print(json.dumps({"bare_s": round(bare, 1)}), flush=True)
    found = daemon_s()
    print(json.dumps(found | {"ratio": round(found["daemon_s"] / bare, 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
