"""How nodes end on Karpenter's AWS provider, and what the daemon learns of each end.

Two daemons run beside it for the whole story, as they ship: one in shadow, one in active (which is
told to move nothing of its own accord). Neither has a right in AWS, and neither asks anything of
it. The acts follow each other; the last one judges what was learned of all of them.
"""

import time

import pytest

from tests.controlplane.api import wait_until
from tests.controlplane.manifests import PodShape, deployment_manifest, nodepool_manifest
from tests.core.events import INTERRUPTION, REBALANCE
from tests.karpenter_aws.bridge import CLAIMS
from tests.karpenter_aws.scene import aws_scene, instance_of, losses, told
from tests.witness.scene import POOL, Shape

pytestmark = [pytest.mark.karpenter_aws, pytest.mark.large, pytest.mark.timeout(600)]

SHAPE = Shape(n_nodes=6, n_stateful=0, grace_s=2, consolidate_after="Never", calm_s=3)
STILL = {"SPOTVORTEX_MIN_CONFIDENCE": "1"}
"""Nothing is that sure: the daemon moves nothing for prices or risk."""
WHOLE = {"instance-action": "terminate"}
LEARNED = [{"karpenter": 1.0}] * 2
"""What both daemons know of: the one node that was lost."""
NODE_POOLS = "/apis/karpenter.sh/v1/nodepools"
BRIEF = "brief"
SCRAPE_S = 60.0
"""Time between two looks of the daemon at Karpenter's metrics."""


class Story:
    """The scene, and both daemons."""

    def __init__(self, aws, daemons):
        self.aws, self.daemons = aws, daemons

    def learned(self):
        return [losses(daemon) for daemon in self.daemons]

    def await_cycles(self, n=4):
        """Let every daemon look a few times more."""
        for daemon in self.daemons:
            before = daemon.metric("spotvortex_cycles_total")
            wait_until(lambda d=daemon, b=before: d.metric("spotvortex_cycles_total") >= b + n)

    def patch_claim(self, node, change):
        """Change the NodeClaim of a node; None deletes it."""
        name = self.aws.claims()[node["metadata"]["name"]]["metadata"]["name"]
        api = self.aws.plane.api()
        if change is None:
            api.delete(f"{CLAIMS}/{name}")
        else:
            api.patch(f"{CLAIMS}/{name}", change)

    def consolidate(self, after):
        change = {"spec": {"disruption": {"consolidateAfter": after}}}
        self.aws.plane.api().patch(f"{NODE_POOLS}/{POOL}", change)

    def interrupt(self, *nodes):
        self.aws.karpenter.send(*(told(INTERRUPTION, node, **WHOLE) for node in nodes))


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("losses")
    with aws_scene(SHAPE) as aws:
        watcher = aws.watcher(folder / "watcher")
        mover = aws.mover(folder / "mover", **STILL)
        with watcher, mover:
            for daemon in (watcher, mover):
                daemon.wait_ready()
            yield Story(aws, (watcher, mover))


def test_at_a_notice_karpenter_deletes_the_claim_and_one_loss_is_learned_by_its_event(story):
    (node, *_) = story.aws.nodes()
    story.interrupt(node)
    name = node["metadata"]["name"]

    def is_leaving():
        claim = story.aws.claims().get(name)
        return claim is None or "deletionTimestamp" in claim["metadata"]

    wait_until(is_leaving, 30)
    story.aws.await_gone(node)
    wait_until(lambda: story.learned() == LEARNED, 60)
    assert story.aws.karpenter.n_messages() == 0
    assert instance_of(node) not in story.aws.karpenter.bridge.instances()


def test_a_rebalance_recommendation_moves_nothing_and_is_no_loss(story):
    before, (node, *_) = story.aws.uids(), story.aws.nodes()
    story.aws.karpenter.send(told(REBALANCE, node))
    wait_until(lambda: story.aws.karpenter.n_messages() == 0, 60)
    story.await_cycles()
    assert story.aws.uids() == before
    assert story.learned() == LEARNED


def test_a_claim_that_a_person_deletes_is_no_loss(story):
    (node, *_) = story.aws.nodes()
    story.patch_claim(node, None)
    story.aws.await_gone(node)


def test_a_node_that_a_person_deletes_is_no_loss(story):
    (node, *_) = story.aws.nodes()
    story.aws.plane.api().delete(f"/api/v1/nodes/{node['metadata']['name']}")
    story.aws.await_gone(node)


def test_a_node_that_drifted_is_no_loss(story):
    (node, *_) = story.aws.nodes()
    # As if the NodePool had been another when the node was launched.
    story.patch_claim(node, {"metadata": {"annotations": {"karpenter.sh/nodepool-hash": "1"}}})
    story.aws.await_gone(node)


def test_a_node_that_expires_is_no_loss(story):
    api, reference = story.aws.plane.api(), story.aws.scene.node_pools()[0][1]["template"]["spec"]
    pool = nodepool_manifest(BRIEF)
    pool["spec"]["template"]["spec"] |= {
        "nodeClassRef": reference["nodeClassRef"],
        "expireAfter": "45s",
    }
    pod = PodShape(app=BRIEF, grace_s=1, spec={"nodeSelector": {"karpenter.sh/nodepool": BRIEF}})
    story.aws.plane.apply([pool, deployment_manifest(pod)])

    def held():
        listed = api.items(f"/api/v1/nodes?labelSelector=karpenter.sh/nodepool%3D{BRIEF}")
        return {node["metadata"]["uid"] for node in listed}

    first = wait_until(held, 60)
    wait_until(lambda: not first & held(), 150)
    api.delete(f"/apis/apps/v1/namespaces/default/deployments/{BRIEF}")
    api.delete(f"{NODE_POOLS}/{BRIEF}")
    wait_until(lambda: not held(), 60)


def test_nodes_that_are_consolidated_are_no_losses(story):
    n_before = len(story.aws.scene.nodes())
    for app in ("app-0", "app-1", "app-2", "app-3"):
        story.aws.scene.scale(app, 1)
    story.consolidate("0s")
    wait_until(lambda: len(story.aws.scene.nodes()) < n_before, 120)
    story.consolidate("Never")
    wait_until(story.aws.scene.all_running, 60)


def test_of_all_these_ends_one_is_a_loss_once_karpenters_metrics_were_read_again(story):
    time.sleep(SCRAPE_S + 10.0)
    assert story.learned() == LEARNED


def test_nobody_but_karpenter_has_asked_the_cloud_for_anything(story):
    """Comes last."""
    story.await_cycles()
    cloud = story.aws.karpenter.cloud
    assert cloud.n_asked("karpenter") > 0
    assert cloud.n_asked("daemon") == 0
    for daemon in story.daemons:
        assert daemon.stop() == 0
