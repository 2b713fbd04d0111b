"""The daemon on the standard scene, under exactly the rights, the quotas and the fence that ship.

Comes in: a scene. Goes out: a running daemon, answers to what a test waits for, and figures from
the witness's watch: which nodes went and why, and how many there were beyond what was needed.
Shares no code with the product but the settings' names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.deploy.manifests import ACTIVE, active_bounds, active_fence, active_roles
from tests.e2e.equipment.daemon import Daemon
from tests.witness.judge.names import ANCHOR, KIND, NAMESPACE, TETHER_PREFIX
from tests.witness.market import CALM, Script, write_scripted_risk
from tests.witness.recording import Recording
from tests.witness.scene import PODS_PER_NODE, ActiveScene, Shape, active_scene
from tests.witness.watch import History, NodeState

USER = "replica-a"
SETTLE_S = 10.0
QUICK = {
    "SPOTVORTEX_MODE": "active",
    "SPOTVORTEX_TICK_S": "0.5",
    "SPOTVORTEX_SETTLE_S": f"{SETTLE_S:g}",
    "SPOTVORTEX_DWELL_S": "10",
    "SPOTVORTEX_MAX_DWELL_S": "10",
    "SPOTVORTEX_MAX_POOL_DISRUPTION_RATIO": "0.4",
    "SPOTVORTEX_MAX_CLUSTER_DISRUPTION_RATIO": "0.4",
    "SPOTVORTEX_MAX_REQUESTED_RATIO": "1",
}
"""Short times, and bounds that let a small pool move more than one node at a time."""


def most_moving(n_nodes: int) -> int:
    """Return how many nodes `QUICK` lets move at once, of so many: a share, rounded down."""
    return int(n_nodes * float(QUICK["SPOTVORTEX_MAX_POOL_DISRUPTION_RATIO"]) + 1e-9)


ALL_ZONES = ("us-west-2a", "us-west-2b", "us-west-2c", "us-west-2d")
"""Where the provider of the scene launches; a zone without a price would have no score."""

ALWAYS_CALM: Script = ((-60.0, CALM),)
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
EVENTS = "/api/v1/namespaces/default/events"


def install(plane: ControlPlane, user: str = USER, overlay: Path = ACTIVE) -> None:
    """Install what ships: the namespace as restricted as it may be, bounds, rights and fence."""
    home = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": RESTRICTED},
    }
    username = plane.username(user)
    rights = active_roles(username, overlay=overlay)
    fence = active_fence(username, overlay=overlay)
    plane.apply([home, *active_bounds(), *rights, *fence])


@contextmanager
def played_scene(shape: Shape, overlay: Path = ACTIVE) -> Iterator[ActiveScene]:
    """Build the scene on a control plane of its own, with everything that ships installed."""
    started: list[ControlPlane] = []

    def start(**options: Any) -> ControlPlane:
        started.append(ControlPlane(**options))
        return started[0].start()

    try:
        with active_scene(start, shape) as scene:
            install(scene.plane, overlay=overlay)
            yield scene
    finally:
        for plane in started:
            plane.stop()


def daemon_of(
    scene: ActiveScene,
    folder: Path,
    *,
    user: str = USER,
    script: Script = ALWAYS_CALM,
    **changes: str,
) -> Daemon:
    """Return a daemon, not started yet, that sees a risk by the clock from now on.

    Args:
        scene: where it acts.
        folder: of its records and its log.
        user: whose token it has.
        script: the scores that it sees.
        changes: settings beside `QUICK`, by their names without the prefix, in small letters.
    """
    given = {f"SPOTVORTEX_{name.upper()}": value for name, value in changes.items()}
    config = {"KUBECONFIG": str(scene.plane.kubeconfig(user))}
    return Daemon(folder, config | QUICK | scripted(folder, script) | given)


def scripted(folder: Path, script: Script) -> dict[str, str]:
    """Return settings that make a daemon see the scores of a script from now on."""
    return write_scripted_risk(folder, script, zones=ALL_ZONES)


class Clock:
    """Prints when each stage of a scene was reached, in seconds since the start."""

    def __init__(self, name: str) -> None:
        self._name, self._start = name, time.monotonic()

    def tell(self, text: str) -> None:
        """Print one stage."""
        print(f"{self._name}: {time.monotonic() - self._start:6.1f} s {text}", flush=True)


def own_pods(plane: ControlPlane, kind: str) -> list[dict[str, Any]]:
    """Return our pods of one kind that are neither finished nor about to end."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={KIND.replace('/', '%2F')}%3D{kind}"
    return [
        pod
        for pod in plane.api().items(path)
        if "deletionTimestamp" not in pod["metadata"]
        and pod["status"].get("phase") not in ("Succeeded", "Failed")
    ]


def anchored(scene: ActiveScene) -> set[str]:
    """Return the names of the nodes that an anchor of ours keeps."""
    return {pod["spec"]["nodeName"] for pod in own_pods(scene.plane, ANCHOR)}


def lasting_tethers(plane: ControlPlane) -> list[str]:
    """Return the names of our tethers that do not vanish by themselves within half an hour."""
    jobs = plane.api().items(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs")
    return [
        job["metadata"]["name"]
        for job in jobs
        if job["metadata"]["name"].startswith(TETHER_PREFIX)
        and not (job["spec"].get("ttlSecondsAfterFinished", 9999) <= 1800 and _is_over(job))
    ]


def n_tethers(plane: ControlPlane) -> int:
    """Count our tethers; a new one is made every 300 s of activity at most."""
    jobs = plane.api().items(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs")
    return sum(job["metadata"]["name"].startswith(TETHER_PREFIX) for job in jobs)


def _is_over(job: dict[str, Any]) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def empty_nodes(scene: ActiveScene) -> set[str]:
    """Return the names of the pool's nodes without a workload's pod."""
    used = {pod["spec"].get("nodeName") for pod in scene.pods()}
    return {node["metadata"]["name"] for node in scene.nodes()} - used


def wait_still(look: Callable[[], Any], still_s: float, timeout_s: float) -> Any:
    """Wait until an answer has been the same, and true, for a while; return it."""
    last, since = None, time.monotonic()

    def still() -> bool:
        nonlocal last, since
        now = look()
        if now != last or not now:
            last, since = now, time.monotonic()
        return time.monotonic() - since >= still_s

    wait_until(still, timeout_s, every_s=0.5)
    return last


# -- what the witness saw -----------------------------------------------------


def node_counts(history: History, pool: str) -> list[tuple[float, int, int]]:
    """Return time, Ready Spot and Ready on-demand nodes of a pool, at each change of them."""
    times = sorted({at for changes in history.changes["node"].values() for at, _ in changes})
    counted: list[tuple[float, int, int]] = []
    for at in times:
        nodes = [n for n in history.nodes_at(at) if n.pool == pool and n.ready]
        n_spot = sum(n.capacity_type == "spot" for n in nodes)
        row = (at, n_spot, len(nodes) - n_spot)
        if not counted or counted[-1][1:] != row[1:]:
            counted.append(row)
    return counted


def surplus(history: History, pool: str, n_needed: int) -> tuple[int, float]:
    """Return by how many nodes a pool was larger than needed at most, and the node-seconds of it.

    Args:
        history: of the scene.
        pool: its name.
        n_needed: nodes that the workloads fill.
    """
    counts = node_counts(history, pool)
    most, total = 0, 0.0
    for (at, spot, on_demand), (until, _, _) in pairwise(counts):
        extra = max(0, spot + on_demand - n_needed)
        most, total = max(most, extra), total + extra * (until - at)
    return most, total


def n_full(n_pods: int) -> int:
    """Return how many nodes a number of pods fills."""
    return -(-n_pods // PODS_PER_NODE)


def gone_nodes(history: History, pool: str, since: float = 0.0) -> dict[str, NodeState]:
    """Return the nodes of a pool that went for good after a time, by uid, as they last were."""
    gone: dict[str, NodeState] = {}
    for uid, changes in history.changes["node"].items():
        states = [state for _, state in changes if isinstance(state, NodeState)]
        if changes[-1][1] is None and changes[-1][0] > since and states and states[-1].pool == pool:
            gone[uid] = states[-1]
    return gone


def disruptions(plane: ControlPlane) -> dict[str, list[str]]:
    """Return what Karpenter's Events say of nodes and NodeClaims, by the object's name."""
    told: dict[str, list[str]] = {}
    for event in plane.api().items(EVENTS):
        component = event.get("reportingComponent") or event.get("source", {}).get("component")
        if component == "karpenter":
            text = f"{event['reason']}: {event['message']}"
            told.setdefault(event["involvedObject"].get("name", ""), []).append(text)
    return told


def unexplained(scene: ActiveScene, recording: Recording, since: float = 0.0) -> list[NodeState]:
    """Return the nodes that went without a drain of ours and without a word of Karpenter's."""
    ours = {mark.node_uid for mark in recording.observer().case.marks}
    told = disruptions(scene.plane)
    gone = gone_nodes(recording.history, scene_pool(scene), since)
    return [
        node
        for uid, node in gone.items()
        if uid not in ours and not any("Disrupt" in text for text in told.get(node.name, []))
    ]


def scene_pool(scene: ActiveScene) -> str:
    """Return the name of the scene's pool."""
    labels = scene.nodes()[0]["metadata"]["labels"]
    return str(labels.get("spotvortex.io/pool") or labels["karpenter.sh/nodepool"])
