"""With the rights of the component `weights` a NodePool's weight and CPU limit change, no more."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from spotvortex.core.domain import labels
from spotvortex.core.domain.group_state import GroupValues
from spotvortex.core.drain.calls import Done
from spotvortex.core.drain.group_calls import RestoreGroup, SteerGroup
from spotvortex.kube.write import node_pools
from spotvortex.kube.write.bounded import BoundedRequests
from spotvortex.ports.lease_timing import LeaseTiming
from tests.controlplane.api import MERGE_PATCH, wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import node_class_manifest, nodepool_manifest
from tests.deploy.manifests import ACTIVE, WEIGHTS, active_roles, render, shadow_cluster_role
from tests.deploy.test_fence import Place, is_fenced
from tests.kube.scenes import connected, fresh

pytestmark = pytest.mark.controlplane

USER = "spotvortex-active"
POOLS = "/apis/karpenter.sh/v1/nodepools"
NOTE = {"annotations": {labels.RESTORE: "{}"}}


class Weights(Place):
    """An account with the rights of the overlay `weights`, behind its fence."""

    def pool(self, **spec):
        """Make a NodePool of somebody else's; return it."""
        manifest = nodepool_manifest(fresh("fenced"), spec={"weight": 50} | spec)
        manifest["metadata"] |= {"annotations": {"team": "web"}, "labels": {"a": "b"}}
        return self.admin.create(manifest)

    def change(self, pool, change, query=""):
        path = f"{POOLS}/{pool['metadata']['name']}{query}"
        return self.us.request("PATCH", path, change, content_type=MERGE_PATCH)


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane) -> Iterator[Weights]:
    """Our account with the shipped rights to read, to write and to steer."""
    place = Weights(control_plane, USER, "fence-weights", WEIGHTS)
    place.admin.apply([node_class_manifest()])
    place.admin.apply(active_roles(place.username, place.namespace, WEIGHTS))
    role = shadow_cluster_role()
    name = "fence-weights-reads"
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": place.username}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": subject["apiGroup"], "kind": "ClusterRole", "name": name},
        "subjects": [subject],
    }
    place.admin.apply([role | {"metadata": {"name": name}}, binding])
    place.put_up_the_fence()
    probe = place.pool()
    foreign = {"metadata": {"labels": {"a": "c"}}}
    wait_until(lambda: is_fenced(place.change(probe, foreign, "?dryRun=All")), 60)
    # Another module may have left the fence of the overlay `active`, which refuses every change.
    kind = "ValidatingAdmissionPolicyBinding"
    for left in (m for m in render(ACTIVE) if m["kind"] == kind):
        if "claims" in left["metadata"]["name"]:
            place.admin.request("DELETE", place.admin.path_of(left))
    own = {"spec": {"weight": 1}, "metadata": NOTE}
    trial = "?dryRun=All&fieldManager=spotvortex-weights"
    wait_until(lambda: place.change(probe, own, trial)[0] == 200, 60)
    yield place
    place.clear()
    place.admin.delete(place.admin.path_of(binding))


async def asked(place, call):
    """Carry a call out as our account."""
    async with connected(place.plane, USER) as client:
        until = asyncio.get_running_loop().time() + 30.0
        requests = BoundedRequests(client=client, until=until, timing=LeaseTiming())
        if isinstance(call, SteerGroup):
            return await node_pools.steer(call, requests)
        return await node_pools.restore(call, requests)


@pytest.mark.parametrize("spec", [{}, {"limits": {"cpu": "64", "memory": "1Ti"}}])
async def test_a_pair_is_steered_and_given_back_through_the_fence(place, spec):
    pool = place.pool(**spec)
    name, uid = pool["metadata"]["name"], pool["metadata"]["uid"]
    call = SteerGroup(group=name, uid=uid, weight=10, cpu_limit_milli=8000)
    assert await asked(place, call) == Done()
    steered = place.admin.get(f"{POOLS}/{name}")
    assert (steered["spec"]["weight"], steered["spec"]["limits"]["cpu"]) == (10, "8")
    assert json.loads(steered["metadata"]["annotations"][labels.RESTORE])["weight"] == 50
    assert await asked(place, RestoreGroup(group=name, uid=uid, owners=GroupValues())) == Done()
    back = place.admin.get(f"{POOLS}/{name}")
    assert back["spec"] == pool["spec"]
    assert back["metadata"]["annotations"] == pool["metadata"]["annotations"]


OTHERS = "of a NodePool's"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"metadata": {"labels": {"a": "c"}}}, OTHERS),
        ({"metadata": {"annotations": {"team": "ours"}}}, OTHERS),
        ({"metadata": {"annotations": {"team": None}}}, OTHERS),
        ({"metadata": {"finalizers": ["spotvortex.io/last"]}}, OTHERS),
        ({"spec": {"limits": {"memory": "1Gi"}}, "metadata": NOTE}, OTHERS),
        ({"spec": {"disruption": {"consolidateAfter": "1m"}}, "metadata": NOTE}, OTHERS),
        ({"spec": {"template": {"spec": {"expireAfter": "1h"}}}, "metadata": NOTE}, OTHERS),
        ({"spec": {"weight": 1}}, "together with"),
        ({"spec": {"weight": None}}, "together with"),
        ({"spec": {"limits": {"cpu": "1"}}}, "together with"),
    ],
)
def test_a_foreign_change_of_a_nodepool_is_refused(place, change, why):
    refused = place.change(place.pool(), change)
    assert is_fenced(refused), refused
    assert why in refused[1]["message"]


def test_a_nodepool_is_neither_made_nor_deleted_and_has_no_other_right(place):
    pool = place.pool()
    assert place.us.request("DELETE", f"{POOLS}/{pool['metadata']['name']}")[0] == 403
    assert place.us.request("POST", POOLS, nodepool_manifest("ours"))[0] == 403


def test_active_alone_grants_no_write_of_a_nodepool():
    granted = [
        (rule["resources"], rule["verbs"])
        for manifest in render(ACTIVE)
        if manifest["kind"] == "ClusterRole"
        for rule in manifest["rules"]
        if "nodepools" in rule["resources"]
    ]
    assert granted == [(["nodepools"], ["get", "list", "watch"])]
