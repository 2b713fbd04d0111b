"""The server refuses whoever does not hold the lease, whatever they still believe."""

import time

import pytest

from spotvortex.core.domain import labels
from spotvortex.kube.api.errors import NO_LEASE
from tests.controlplane.api import MERGE_PATCH, Api, wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import (
    NodeShape,
    PodShape,
    namespace_manifest,
    node_manifest,
    pod_manifest,
)
from tests.deploy.manifests import active_fence

pytestmark = pytest.mark.controlplane
HOME = "fence-lease"
ACCOUNT = f"/api/v1/namespaces/{HOME}/serviceaccounts/spotvortex"
USER = f"system:serviceaccount:{HOME}:spotvortex"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases/{labels.LEASE}"


def named(name, api_version, kind, **fields):
    meta = {"name": name, "namespace": HOME}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **fields}


class Place:
    """Two pods of our account, and what they write to."""

    def __init__(self, plane):
        self.plane, self.admin = plane, plane.api()
        self.admin.apply([namespace_manifest(HOME)])
        self.admin.apply([named("spotvortex", "v1", "ServiceAccount")])
        group = "rbac.authorization.k8s.io"
        binding = named(
            "fence-lease",
            f"{group}/v1",
            "ClusterRoleBinding",
            roleRef={"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
            subjects=[{"kind": "ServiceAccount", "name": "spotvortex", "namespace": HOME}],
        )
        del binding["metadata"]["namespace"]
        self.admin.apply([binding, node_manifest("fence-lease-node", NodeShape())])
        self.a, self.b, self.unbound = self.of("pod-a"), self.of("pod-b"), self.of("")

    def of(self, name):
        """Return the server as the pod of a name sees it, or as somebody with a token of none."""
        spec = {"expirationSeconds": 3600}
        if name:
            shape = PodShape(namespace=HOME, spec={"serviceAccountName": "spotvortex"})
            pod = self.admin.create(pod_manifest(name, shape))
            ref = {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": pod["metadata"]["uid"]}
            spec["boundObjectRef"] = ref
        body = named("", "authentication.k8s.io/v1", "TokenRequest", spec=spec)
        token = self.admin.must("POST", f"{ACCOUNT}/token", body)["status"]["token"]
        return Api(self.plane.url, token, self.plane.ssl_context())

    def lead(self, pod):
        spec = {"holderIdentity": f"{pod}_1_abc" if pod else "", "leaseDurationSeconds": 15}
        self.admin.apply([named(labels.LEASE, "coordination.k8s.io/v1", "Lease", spec=spec)])


@pytest.fixture(scope="module")
def place():
    """A server of its own: where another scene has just taken away the last policy with a Lease as
    its parameter, the API server was seen not to enforce one that comes a moment later.
    """
    with ControlPlane() as plane:
        yield from fenced(Place(plane))


def fenced(found):
    fence = [m for m in active_fence(USER, HOME) if "spotvortex-lease" in m["metadata"]["name"]]
    assert len(fence) == 2
    found.lead("pod-b")
    found.admin.apply(fence)
    wait_until(lambda: noted(found.a)[0] == 403, 60)
    yield found


def noted(api):
    change = {"metadata": {"annotations": {labels.AT_RISK: "soon"}}}
    path = "/api/v1/nodes/fence-lease-node"
    return api.request("PATCH", path, change, content_type=MERGE_PATCH)


def writes(place, api):
    """One write of each kind that ours makes; returns the answers' codes and words."""
    app = pod_manifest("app", PodShape(namespace=HOME))
    place.admin.apply([app])
    pods = f"/api/v1/namespaces/{HOME}/pods"
    eviction = named("app", "policy/v1", "Eviction")
    room = pod_manifest("room", PodShape(namespace=HOME))
    job_spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}}
    job = named("job", "batch/v1", "Job", spec=job_spec)
    jobs = f"/apis/batch/v1/namespaces/{HOME}/jobs"
    asked = {
        "note": noted(api),
        "create": api.request("POST", f"{pods}?dryRun=All", room),
        "evict": api.request("POST", f"{pods}/app/eviction?dryRun=All", eviction),
        "delete": api.request("DELETE", f"{pods}/app?dryRun=All"),
        "delete many": api.request("DELETE", f"{pods}?dryRun=All"),
        "job": api.request("POST", f"{jobs}?dryRun=All", job),
    }
    return {name: (code, str(body)) for name, (code, body) in asked.items()}


CONTAINER = {"name": "a", "image": "pause"}


def test_only_the_pod_that_holds_the_lease_writes(place):
    place.lead("pod-a")
    wait_until(lambda: noted(place.a)[0] == 200, 30)
    answers = writes(place, place.a)
    assert all(code < 300 for code, _ in answers.values()), answers
    refused = writes(place, place.b)
    assert all(code == 403 and NO_LEASE in words for code, words in refused.values()), refused


def test_who_has_just_lost_the_lease_is_refused_a_moment_later(place):
    took_s = []
    for winner, loser, api in 5 * [("pod-b", "pod-a", place.a), ("pod-a", "pod-b", place.b)]:
        place.lead(loser)
        wait_until(lambda api=api: noted(api)[0] == 200, 30, every_s=0.01)
        place.lead(winner)
        lost_at = time.monotonic()
        wait_until(lambda api=api: noted(api)[0] == 403, 30, every_s=0.001)
        took_s.append(time.monotonic() - lost_at)
    print(f"refused at most {max(took_s):.3f} s after the takeover")
    assert max(took_s) < 2.0


def test_nobody_writes_while_the_lease_is_given_back(place):
    place.lead("")
    wait_until(lambda: noted(place.a)[0] == noted(place.b)[0] == 403, 30)


def test_a_token_of_no_pod_passes_and_so_does_everybody_without_a_lease(place):
    place.lead("pod-a")
    wait_until(lambda: noted(place.b)[0] == 403, 30)
    assert noted(place.unbound)[0] == 200
    place.admin.delete(LEASE)
    wait_until(lambda: noted(place.b)[0] == 200, 30)
