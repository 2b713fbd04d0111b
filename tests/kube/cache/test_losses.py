"""A Spot node's end as AWS, Karpenter, the termination handler and people make it, by objects.

Each story is a sequence of what the API server shows. All of them, mixed at random, go through the
tables into the interruption memory: it learns the losses, each by its evidence, and nothing else.
"""

import asyncio
import datetime as dt
import random
from collections import Counter

import pytest

from spotvortex.core.domain.cloud.exits import ExitNotice
from spotvortex.core.domain.cloud.launches import LaunchFacts
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring.interruption_memory import EMPTY_MEMORY, update
from spotvortex.core.scoring.loss_evidence import LossEvidence
from spotvortex.kube.cache.view import KubeClusterView
from tests.controlplane.manifests import NodeShape, node_manifest
from tests.kube.cache.test_store import Scene
from tests.kube.objects import node
from tests.kube.scenes import await_true, connected, fresh

AT = 1_784_000_000.0
STEP_S = 20.0
SPOT = {
    "karpenter.sh/nodepool": "web",
    "karpenter.sh/capacity-type": "spot",
    "node.kubernetes.io/instance-type": "m6i.large",
    "topology.kubernetes.io/zone": "us-east-1a",
}
CORDONED = {"unschedulable": True}
DISRUPTED, UNREACHABLE, SCALED, HANDLED = (
    {"taints": [{"key": key, "effect": "NoSchedule"}]}
    for key in (
        "karpenter.sh/disrupted",
        "node.kubernetes.io/unreachable",
        "ToBeDeletedByClusterAutoscaler",
        "aws-node-termination-handler/spot-itn",
    )
)
GONE, TOLD, QUIET, WAIT, DELETED = "gone", "told", "quiet", "wait", "deleted"
STORIES = {
    # what the cloud takes
    "karpenter hears it": ([TOLD, DISRUPTED, DISRUPTED | CORDONED, GONE], LossEvidence.KARPENTER),
    "karpenter hears it, late watch": ([DISRUPTED, TOLD, GONE], LossEvidence.KARPENTER),
    "the handler hears it": (
        [HANDLED | CORDONED, (HANDLED | CORDONED, QUIET), GONE],
        LossEvidence.TERMINATION_HANDLER,
    ),
    "nobody hears it": ([({}, QUIET), (UNREACHABLE, QUIET), GONE], LossEvidence.NOT_READY),
    "nobody hears it, and karpenter clears up": (
        [({}, QUIET), (UNREACHABLE, QUIET), (DISRUPTED, QUIET), GONE],
        LossEvidence.NOT_READY,
    ),
    # what goes in order
    "consolidation": ([DISRUPTED, GONE], None),
    "drift, and the instance ends first": ([DISRUPTED, (DISRUPTED, QUIET), GONE], None),
    "scale-down": ([SCALED | CORDONED, (SCALED | CORDONED, QUIET), GONE], None),
    "an upgrade of a node group": ([CORDONED, CORDONED, (CORDONED, QUIET), GONE], None),
    "a person drains and deletes": ([CORDONED, GONE], None),
    "a person deletes a Ready node": ([GONE], None),
    "ill for long, then repaired": ([({}, QUIET), *[WAIT] * 31, GONE], None),
    "ill for a moment, then scaled down": ([({}, QUIET), {}, SCALED, GONE], None),
    "drained, but taken back, then consolidated": ([CORDONED, {}, DISRUPTED, GONE], None),
    "it stays": ([{}, {}], None),
    # what only the provisioner's metrics could tell apart, and they are not read here
    "karpenter deletes it, and its event is lost": ([DELETED, DISRUPTED, GONE], None),
    "expiry": ([DELETED, DISRUPTED, DISRUPTED, GONE], None),
}


class Life:
    """One node on its way through a story."""

    def __init__(self, name, story):
        self.name, self.steps = name, list(story)
        self.quiet_since = self.deleted_at = None

    def begin(self, scene):
        scene.put("nodes", self._node({}, quiet=False, at=AT))

    def step(self, scene, at):
        if not self.steps:
            return
        step = self.steps.pop(0)
        if step == GONE:
            scene.remove("nodes", self.name)
        elif step == DELETED:
            self.deleted_at = at
            scene.put("nodes", self._node({}, quiet=False, at=at))
        elif step == TOLD:
            about = {"kind": "Node", "name": self.name, "uid": f"uid-{self.name}"}
            meta = {"name": f"e-{self.name}", "namespace": "default", "resourceVersion": "1"}
            scene.put("interruptions", {"metadata": meta, "involvedObject": about})
        elif step != WAIT:
            spec, quiet = step if isinstance(step, tuple) else (step, "")
            scene.put("nodes", self._node(spec, quiet=quiet == QUIET, at=at))

    def _node(self, spec, *, quiet, at):
        self.quiet_since = (self.quiet_since or at) if quiet else None
        ready = {"type": "Ready", "status": "Unknown" if quiet else "True"}
        since = dt.datetime.fromtimestamp(self.quiet_since or AT, dt.UTC)
        ready["lastTransitionTime"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        found = node(self.name, SPOT, spec=dict(spec), status={"conditions": [ready]})
        found["metadata"]["uid"] = f"uid-{self.name}"
        if self.deleted_at is not None:
            deleted = dt.datetime.fromtimestamp(self.deleted_at, dt.UTC)
            found["metadata"]["deletionTimestamp"] = deleted.strftime("%Y-%m-%dT%H:%M:%SZ")
        return found


def learned(lives, rng=None):
    """Let them all live, some later than others, and return what was learned, by node."""
    scene, memory, found = Scene(), EMPTY_MEMORY, {}
    inputs = (InputHealth(name=InputName.NODES, state=InputState.OK, age_s=0.0),)
    for life in lives:
        life.begin(scene)
    at = AT
    while any(life.steps for life in lives):
        memory = update(memory, scene.cluster.snapshot(inputs), at)
        at += STEP_S
        for life in lives:
            if rng is None or rng.random() < 0.7:
                life.step(scene, at)
        memory = update(memory, scene.cluster.snapshot(inputs), at)
        for loss in memory.lost:
            assert loss.node not in found, "a loss is learned once"
            found[loss.node] = loss.evidence
    return found


@pytest.mark.parametrize("story", STORIES)
def test_each_story_is_told_for_what_it_is(story):
    steps, evidence = STORIES[story]
    assert learned([Life("n", steps)]) == ({} if evidence is None else {"n": evidence})


def test_of_a_thousand_ends_at_random_each_loss_is_learned_and_nothing_else():
    """Precision and recall are 1.0: the two sets are the same."""
    rng, said, expected = random.Random(1), {}, {}
    for number in range(20):
        chosen = {f"n{number}-{i}": rng.choice(list(STORIES)) for i in range(50)}
        said |= learned([Life(name, STORIES[s][0]) for name, s in chosen.items()], rng)
        expected |= {n: STORIES[s][1] for n, s in chosen.items() if STORIES[s][1] is not None}
    assert said == expected
    assert set(Counter(said.values())) == set(LossEvidence) - {
        LossEvidence.NOTICE,
        LossEvidence.GAUGE,
    }


def gauge(scene_of, *, fell=None, counted=None, late_s=60.0):
    """Play a story to its end, let the metrics show something then, and return what is learned."""
    scene, memory, found = Scene(), EMPTY_MEMORY, []
    inputs = (InputHealth(name=InputName.NODES, state=InputState.OK, age_s=0.0),)
    lives = [Life("n", STORIES[scene_of][0]), Life("stays", [])]
    for life in lives:
        life.begin(scene)
    at = AT
    while lives[0].steps:
        memory = update(memory, scene.cluster.snapshot(inputs), at)
        at += STEP_S
        lives[0].step(scene, at)
    for number in range(30):
        falls = {M6I: AT + fell} if fell is not None and number * STEP_S >= late_s else {}
        told = (AT + counted,) if counted is not None and number * STEP_S >= late_s else ()
        launches = LaunchFacts(falls=falls, interrupted_at=told)
        memory = update(memory, scene.cluster.snapshot(inputs), at, launches=launches)
        found += [(loss.node, loss.evidence) for loss in memory.lost]
        at += STEP_S
    return found, memory.offerings[M6I]


M6I = Offering(instance_type="m6i.large", zone="us-east-1a")


@pytest.mark.parametrize(
    ("story", "fell", "counted", "lost"),
    [
        ("karpenter deletes it, and its event is lost", 80.0, 75.0, True),
        ("karpenter deletes it, and its event is lost", 80.0, None, False),
        ("karpenter deletes it, and its event is lost", None, 75.0, False),
        ("karpenter deletes it, and its event is lost", 20.0 + 181.0, 75.0, False),
        ("karpenter deletes it, and its event is lost", 80.0, 20.0 + 181.0, False),
        ("consolidation", 80.0, 75.0, False),
        ("scale-down", 80.0, 75.0, False),
        ("drained, but taken back, then consolidated", 80.0, 75.0, False),
        ("a person drains and deletes", 80.0, 75.0, False),
        ("a person deletes a Ready node", 80.0, 75.0, False),
    ],
)
def test_a_fall_and_a_counted_interruption_confirm_what_karpenter_deleted_first(
    story, fell, counted, lost
):
    found, known = gauge(story, fell=fell, counted=counted)
    assert found == ([("n", LossEvidence.GAUGE)] if lost else [])
    assert known.losses == pytest.approx(float(lost), rel=0.01)
    assert known.loss_shares == pytest.approx(0.5 * lost, rel=0.01)
    assert known.left_survivors == lost


def test_two_sources_for_one_node_are_one_loss():
    found, known = gauge("karpenter hears it", fell=30.0, counted=25.0)
    assert found == [("n", LossEvidence.KARPENTER)] or found == []
    assert known.losses == pytest.approx(1.0, rel=0.01)


def test_an_interruption_of_one_node_proves_nothing_of_another_that_a_person_deletes():
    """Both are of one offering, whose fall and whose counted interruption are the first one's."""
    scene, memory, found = Scene(), EMPTY_MEMORY, []
    inputs = (InputHealth(name=InputName.NODES, state=InputState.OK, age_s=0.0),)
    stories = ("karpenter hears it", "expiry", "it stays")
    lives = [Life(name, STORIES[name][0]) for name in stories]
    for life in lives:
        life.begin(scene)
    launches = LaunchFacts(falls={M6I: AT + 30.0}, interrupted_at=(AT + 30.0,))
    for number in range(24):
        at = AT + number * STEP_S
        # The second is deleted once the first is gone.
        for life in lives[: 1 + (number > 4)]:
            life.step(scene, at)
        shown = launches if at >= AT + 30.0 else LaunchFacts()
        memory = update(memory, scene.cluster.snapshot(inputs), at, launches=shown)
        found += [(loss.node, loss.evidence) for loss in memory.lost]
    assert found == [("karpenter hears it", LossEvidence.KARPENTER)]


@pytest.mark.parametrize(("counted", "refusals"), [(None, 1.0), (90.0, 0.0), (400.0, 1.0)])
def test_a_fall_beside_no_interruption_is_a_launch_that_failed_and_counts_once(counted, refusals):
    _, known = gauge("it stays", fell=80.0, counted=counted)
    assert known.refusals == pytest.approx(refusals, rel=0.01)
    assert known.last_refused_at == (AT + 80.0 if refusals else None)
    assert known.losses == 0.0


def test_a_node_of_the_same_name_that_comes_at_once_is_another():
    scene = Scene()
    first, second = Life("n", [({}, QUIET)]), Life("n", [])
    first.begin(scene)
    first.step(scene, AT + 1.0)
    again = second._node({}, quiet=False, at=AT)
    again["metadata"]["uid"] = "uid-other"
    scene.put("nodes", again)
    (ended,) = scene.snapshot().exits
    assert (ended.uid, ended.in_order) == ("uid-n", False)


@pytest.mark.parametrize("since", ["", "yesterday", "9999-99-99T00:00:00Z"])
def test_a_time_that_is_none_proves_nothing(since):
    scene = Scene()
    life = Life("n", [])
    silent = life._node({}, quiet=True, at=AT)
    silent["status"]["conditions"][0]["lastTransitionTime"] = since
    scene.put("nodes", silent)
    scene.remove("nodes", "n")
    (ended,) = scene.snapshot().exits
    assert ended.not_ready_since is None


@pytest.mark.controlplane
async def test_on_a_real_server_karpenters_event_tells_and_others_do_not(control_plane):
    """Both nodes are drained and deleted alike; of one Karpenter has said why."""
    admin, names = control_plane.api(), (fresh("told"), fresh("moved"))
    made = {name: admin.create(node_manifest(name, NodeShape())) for name in names}
    for name, reason in zip(names, ("SpotInterrupted", "Disrupting"), strict=True):
        about = {"apiVersion": "v1", "kind": "Node", "name": name}
        meta = {"name": f"{name}.1", "namespace": "default"}
        event = {"apiVersion": "v1", "kind": "Event", "metadata": meta, "reason": reason}
        uid = made[name]["metadata"]["uid"]
        admin.create(event | {"type": "Warning", "involvedObject": about | {"uid": uid}})
    async with connected(control_plane) as client:
        view, stop = KubeClusterView(client, random.Random(1), 30.0), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(view.run(stop))
            await view.synced()
            for name in names:
                admin.patch(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": True}})
                admin.delete(f"/api/v1/nodes/{name}")

            async def both_went():
                return {e.uid for e in view.snapshot(AT).exits} >= uids

            uids = {made[name]["metadata"]["uid"] for name in names}
            await await_true(both_went)
            found = {e.uid: e.notice for e in view.snapshot(AT).exits}
            stop.set()
    told, moved = (made[name]["metadata"]["uid"] for name in names)
    assert (found[told], found[moved]) == (ExitNotice.KARPENTER, ExitNotice.NONE)
