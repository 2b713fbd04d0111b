"""The version of Karpenter is read off its pods; in doubt it is the oldest."""

import asyncio

import pytest

from spotvortex.kube.write import karpenter_version as module
from spotvortex.kube.write.karpenter_version import KarpenterVersion, version_of
from tests.controlplane.manifests import NodeShape, PodShape, node_manifest, pod_manifest
from tests.kube.fake_api import Answer, FakeApi, refused, serving, until
from tests.kube.scenes import connected, fresh

ECR = "public.ecr.aws/karpenter/controller"
DIGEST = "@sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("images", "version"),
    [
        ([f"{ECR}:1.15.2{DIGEST}"], (1, 15)),
        ([f"{ECR}:v1.9.0"], (1, 9)),
        ([f"{ECR}:1.14.3", f"{ECR}:1.9.1"], (1, 9)),
        (["registry:5000/mirror/karpenter-controller:1.12.0-hotfix"], (1, 12)),
        ([f"{ECR}:1.15.2", "sidecar/proxy:3.0.1"], (1, 15)),
        ([f"{ECR}{DIGEST}"], None),
        ([f"{ECR}:latest"], None),
        ([f"{ECR}:1.15.2", f"{ECR}:latest"], None),
        (["registry:5000/karpenter/controller"], None),
        ([], None),
    ],
)
def test_the_oldest_tag_counts_and_any_without_one_leaves_it_unknown(images, version):
    assert version_of(images) == version


def pods(*images):
    return Answer({"items": [{"spec": {"containers": [{"image": image}]}} for image in images]})


@pytest.mark.parametrize(("tag", "reads"), [("1.9.0", False), ("1.11.9", False), ("1.12.0", True)])
async def test_durations_are_for_those_that_read_them(tag, reads):
    async with serving(FakeApi([pods(f"{ECR}:{tag}")])) as client:
        version = KarpenterVersion(client)
        assert not version.reads_durations(), "unknown before the first look"
        await version.look()
        assert version.reads_durations() is reads


async def test_an_upgrade_is_seen_and_a_failed_look_changes_nothing(monkeypatch):
    monkeypatch.setattr(module, "EVERY_S", 0.01)
    api = FakeApi([pods(f"{ECR}:1.9.0"), refused(500), pods(f"{ECR}:1.14.3")])
    async with serving(api) as client:
        version, stop, seen = KarpenterVersion(client), asyncio.Event(), []
        async with asyncio.TaskGroup() as group:
            group.create_task(version.run(stop))
            await until(lambda: seen.append(version.version) or version.version == (1, 14))
            stop.set()
    assert set(seen) <= {None, (1, 9), (1, 14)}
    assert (1, 9) in seen


@pytest.mark.controlplane
async def test_it_is_found_among_the_pods_of_a_cluster(control_plane):
    admin = control_plane.api()
    node, name = fresh("node"), fresh("karpenter")
    admin.create(node_manifest(node, NodeShape()))
    labels = {"app.kubernetes.io/name": "karpenter"}
    pod = pod_manifest(name, PodShape(namespace="default", spec={"nodeName": node}))
    pod["metadata"]["labels"] = pod["metadata"].get("labels", {}) | labels
    pod["spec"]["containers"][0]["image"] = f"{ECR}:1.14.3{DIGEST}"
    admin.create(pod)
    async with connected(control_plane) as client:
        version = KarpenterVersion(client)
        await version.look()
    assert version.version == (1, 14)
    admin.request("DELETE", f"/api/v1/namespaces/default/pods/{name}", {"gracePeriodSeconds": 0})
    admin.request("DELETE", f"/api/v1/nodes/{node}")
