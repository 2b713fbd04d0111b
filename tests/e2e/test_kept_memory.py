"""As shipped, every mode remembers a loss and its ledger over a restart.

Shadow and advise write nothing else.
"""

import math
import os
import shutil
import subprocess
import sys

import pytest

from spotvortex.core.domain import labels
from spotvortex.core.ledger import ledger_text
from spotvortex.core.scoring import memory_text
from tests.controlplane.api import MERGE_PATCH, wait_until
from tests.controlplane.manifests import NodeShape, node_manifest
from tests.deploy.elsewhere import Elsewhere
from tests.deploy.manifests import ACTIVE, ADVISE, SHADOW
from tests.e2e.equipment.daemon import Daemon

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on PATH"),
]
LOST = 'spotvortex_losses_learned_total{evidence="karpenter"}'
FINALIZER = "karpenter.sh/termination"
READS = ("get", "list", "watch")
BESIDE = ("events", "selfsubjectaccessreviews", "leases")
TAINT = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}
FREED = {"metadata": {"finalizers": None}}


@pytest.fixture(params=[SHADOW, ADVISE, ACTIVE], ids=lambda p: p.name)
def place(request, control_plane, tmp_path):
    found = Elsewhere(control_plane, request.param, f"kept-{request.param.name}", tmp_path)
    yield found
    found.clear()


@pytest.fixture
def nodes(place):
    """Two Spot nodes of one offering, as Karpenter makes them."""
    names = [f"{place.namespace}-{n}" for n in "ab"]
    for name in names:
        made = node_manifest(name, NodeShape(pool=place.namespace, instance_type="c5.2xlarge"))
        made["metadata"]["finalizers"] = [FINALIZER]
        place.admin.create(made)
    yield names
    for name in names:
        place.admin.request("PATCH", f"/api/v1/nodes/{name}", FREED, content_type=MERGE_PATCH)
        place.admin.request("DELETE", f"/api/v1/nodes/{name}")


def interrupt(place, name):
    """Do to a node what Karpenter does at a notice: it says so, deletes, taints, drains."""
    path = f"/api/v1/nodes/{name}"
    about = {"apiVersion": "v1", "kind": "Node", "name": name}
    about["uid"] = place.admin.get(path)["metadata"]["uid"]
    said = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.spot-interrupted", "namespace": "default"},
        "involvedObject": about,
        "reason": "SpotInterrupted",
        "message": "Spot interruption warning was triggered",
        "type": "Warning",
    }
    place.admin.must("POST", "/api/v1/namespaces/default/events", said)
    place.admin.delete(path)
    place.admin.patch(path, {"spec": {"taints": [TAINT]}})
    place.admin.patch(path, FREED)


def variables(place, folder):
    return {
        "KUBECONFIG": str(place.kubeconfig(folder)),
        "SPOTVORTEX_MODE": place.namespace.removeprefix("kept-"),
        "SPOTVORTEX_NAMESPACE": place.namespace,
    }


def kept(place):
    path = f"/api/v1/namespaces/{place.namespace}/configmaps/{labels.MEMORY}"
    text = (place.admin.get(path).get("data") or {}).get("memory", "")
    found = memory_text.from_text(text).offerings if text else {}
    return {str(offering): known for offering, known in found.items()}


def ledger(place):
    path = f"/api/v1/namespaces/{place.namespace}/configmaps/{labels.LEDGER}"
    return ledger_text.from_text(place.admin.get(path)["data"]["ledger"])


def told(place, folder):
    """What `spotvortex ledger` says of the ConfigMap, where no daemon runs."""
    words = [sys.executable, "-m", "spotvortex", "ledger", "--from", "configmap"]
    environment = os.environ | variables(place, folder)
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def writes(place):
    """What the account has changed, as verb and object, but for Events and questions of rights."""
    ours = f"system:serviceaccount:{place.namespace}:spotvortex"
    found = [e for e in place.plane.audit_events() if e["user"].get("username") == ours]
    refs = [(e["verb"], e["objectRef"]) for e in found if e["verb"] not in READS]
    made = {(verb, ref["resource"], ref.get("name", "")) for verb, ref in refs}
    return {write for write in made if write[1] not in BESIDE}


def n_lost(daemon):
    """Count the losses that this process has learned; a loss that never was has no series."""
    return LOST in daemon.get("/metrics")[1] and daemon.metric(LOST)


def score(daemon, place):
    """Return the pool's score; nothing comparable until the daemon leads, where its mode writes."""
    series = f'spotvortex_capacity_score{{pool="{place.namespace}"}}'
    return daemon.metric(series) if series in daemon.get("/metrics")[1] else math.nan


def test_a_loss_is_remembered_by_the_next_process(place, nodes, tmp_path):
    daemon = Daemon(tmp_path, variables(place, tmp_path))
    with daemon:
        daemon.wait_ready()
        wait_until(lambda: score(daemon, place) >= 0.0)
        calm = score(daemon, place)
        interrupt(place, nodes[0])
        wait_until(lambda: n_lost(daemon) == 1, 60)
        wait_until(lambda: score(daemon, place) > calm)
        hurt = score(daemon, place)
        assert daemon.stop() == 0
    offering = "c5.2xlarge/us-east-1a"
    assert kept(place)[offering].losses == pytest.approx(1.0, rel=0.01)
    first = ledger(place)
    # Other tests may have left their nodes in the cluster.
    assert place.namespace in first.totals
    assert place.namespace in told(place, tmp_path)
    with daemon:
        daemon.wait_ready()
        wait_until(lambda: "memory.recalled n_offerings=" in daemon.log_path.read_text())
        wait_until(lambda: score(daemon, place) == pytest.approx(hurt, rel=0.02))
        assert not n_lost(daemon)
        assert daemon.stop() == 0
    assert kept(place)[offering].losses == pytest.approx(1.0, rel=0.01)
    assert kept(place)[offering].last_loss_at is not None
    assert "memory.not" not in daemon.log_path.read_text()
    assert "ledger.not" not in daemon.log_path.read_text()
    assert ledger(place).since == first.since
    assert ledger(place).at > first.at
    written = writes(place)
    assert ("patch", "configmaps", labels.MEMORY) in written
    kept_ones = {("patch", "configmaps", name) for name in (labels.MEMORY, labels.LEDGER)}
    assert written <= kept_ones or place.namespace == "kept-active"
