"""Leftovers of every kind, put into a real cluster by hand, go; what is not ours stays."""

import datetime as dt
import itertools
import json
import logging
import os
import re
import shutil
import subprocess
import threading
import time

import pytest
from typer.testing import CliRunner

from spotvortex.cli.main import cli
from spotvortex.core.domain import labels as label_names
from spotvortex.core.domain.labels import PodKind, pod_labels
from spotvortex.errors import ForbiddenError
from spotvortex.kube.write.manifests import owner_job, owner_reference
from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import (
    NodeShape,
    PodShape,
    namespace_manifest,
    node_manifest,
    nodepool_manifest,
    pod_manifest,
)
from tests.paths import ROOT

pytestmark = pytest.mark.controlplane

NUMBERS = itertools.count()
CONFIG_MAPS = (
    label_names.STATE,
    f"{label_names.STATE}-aside",
    label_names.MEMORY,
    label_names.LEDGER,
)
PAGE = ROOT / "docs" / "uninstall.md"
LABEL = {label_names.CORDONED: label_names.CORDONED_VALUE}
JOURNAL = {label_names.DRAIN: '{"phase": "Evicting"}'}
NODES = {
    "ours": (NodeShape(labels=LABEL, annotations=JOURNAL | {label_names.AT_RISK: "{}"}), True),
    "uncordoned": (NodeShape(labels=LABEL, annotations=JOURNAL), False),
    "half": (NodeShape(labels=LABEL), True),
    "risky": (NodeShape(annotations={label_names.AT_RISK: "{}"}), False),
    "persons": (NodeShape(labels={label_names.POOL: "web"}, annotations={"note": "mine"}), True),
}
DETAILS = {
    "ours": "cordoned by SpotVortex, at risk",
    "uncordoned": "marked by SpotVortex, no longer cordoned",
    "half": "SpotVortex's label alone: whose cordon it is cannot be told, so it stays",
    "risky": "at risk",
}


@pytest.fixture
def place(control_plane: ControlPlane, monkeypatch):
    """A namespace of the test's own, taken for ours."""
    for name in [n for n in os.environ if n.upper().startswith("SPOTVORTEX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SPOTVORTEX_NAMESPACE", f"leaving-{next(NUMBERS)}")
    namespace = os.environ["SPOTVORTEX_NAMESPACE"]
    api = control_plane.api()
    api.apply([namespace_manifest(namespace)])
    root, ours = logging.getLogger(), logging.getLogger("spotvortex")
    handlers, level = list(root.handlers), ours.level
    yield Place(control_plane, namespace, monkeypatch)
    # The command's log went to a stream that is closed by now.
    root.handlers[:] = handlers
    ours.setLevel(level)
    for node in NODES:
        api.request("DELETE", f"/api/v1/nodes/leaving-{node}")
    api.request("DELETE", f"/api/v1/namespaces/{namespace}")


class Place:
    def __init__(self, plane, namespace, monkeypatch):
        self.plane, self.namespace, self.api = plane, namespace, plane.api()
        self._monkeypatch = monkeypatch

    def run(self, *words, user="admin"):
        self._monkeypatch.setenv("KUBECONFIG", str(self.plane.kubeconfig(user)))
        result = CliRunner().invoke(cli, ["uninstall", *words, "--output", "json"])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, json.loads(result.stdout), result.stderr

    def node(self, name):
        return self.api.get(f"/api/v1/nodes/leaving-{name}")

    def make_nodes(self, *names):
        for name in names or NODES:
            shape, cordoned = NODES[name]
            manifest = node_manifest(f"leaving-{name}", shape)
            manifest["spec"]["unschedulable"] = cordoned
            self.api.create(manifest)

    def make_pods(self):
        job = owner_job(f"{label_names.TETHER_PREFIX}a", self.namespace, label_names.LONGEST_LIFE_S)
        owner = owner_reference(
            f"{label_names.TETHER_PREFIX}a", self.api.create(job)["metadata"]["uid"]
        )
        placeholder = self.pod("asks", PodKind.PLACEHOLDER, spec={"nodeSelector": {"no": "such"}})
        anchor = self.pod("keeps", PodKind.ANCHOR, node_name="leaving-risky")
        for pod in (placeholder, anchor):
            pod["metadata"]["ownerReferences"] = [owner]
            self.api.create(pod)

    def pod(self, name, kind, **shape):
        labels = pod_labels(kind, plan_id="p-1", for_uid="u-1", pool="web")
        return pod_manifest(
            name, PodShape(namespace=self.namespace, labels=labels, grace_s=0, **shape)
        )

    def make_state(self, *, lease_s=-60.0, holder="spotvortex-a"):
        for name in (*CONFIG_MAPS, label_names.FREEZE, "foreign"):
            self.api.create(self._manifest("v1", "ConfigMap", name))
        renewed = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=lease_s - 15)
        self.api.create(
            self._manifest("coordination.k8s.io/v1", "Lease", label_names.LEASE)
            | {
                "spec": {
                    "holderIdentity": holder,
                    "leaseDurationSeconds": 15,
                    "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                }
            }
        )

    def _manifest(self, version, kind, name):
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": version, "kind": kind, "metadata": metadata}


def named(entries):
    return {(entry["thing"], entry["name"]) for entry in entries}


def test_every_leftover_is_listed_without_a_write_and_then_removed(place):
    n_before = len(place.plane.audit_events("reader"))
    place.make_nodes()
    place.make_pods()
    place.make_state()
    foreign = pod_manifest("foreign", PodShape(namespace=place.namespace, node_name="leaving-half"))
    place.api.create(foreign)
    persons = place.node("persons")

    code, told, _ = place.run(user="reader")
    everything = {
        *(("node", f"leaving-{name}") for name in DETAILS),
        *(("pod", name) for name in ("asks", "keeps")),
        ("job", f"{label_names.TETHER_PREFIX}a"),
        *(("configmap", name) for name in CONFIG_MAPS),
        ("lease", label_names.LEASE),
        ("freeze", label_names.FREEZE),
    }
    assert (code, told["applied"], told["removed"]) == (1, False, [])
    assert named(told["found"]) >= everything
    assert ("node", "leaving-persons") not in named(told["found"])
    details = {e["name"]: e["detail"] for e in told["found"] if e["thing"] == "node"}
    assert {name: details[f"leaving-{name}"] for name in DETAILS} == DETAILS
    looked = place.plane.audit_events("reader")[n_before:]
    assert {e["verb"] for e in looked} <= {"get", "list", "watch"}

    code, told, _ = place.run("--apply")
    assert (code, told["left"]) == (0, [])
    assert named(told["removed"]) >= everything
    for name, (_, was_cordoned) in NODES.items():
        node = place.node(name)
        assert label_names.CORDONED not in node["metadata"]["labels"]
        assert not node["metadata"].get("annotations", {}).keys() & set(
            label_names.NODE_ANNOTATIONS
        )
        cordoned = node["spec"].get("unschedulable", False)
        assert cordoned is (was_cordoned and name != "ours")
    kept = place.node("persons")
    # Controllers of the cluster add labels of their own.
    assert kept["metadata"]["labels"].items() >= persons["metadata"]["labels"].items()
    assert kept["metadata"]["annotations"]["note"] == "mine"
    left = [p["metadata"]["name"] for p in place.api.items(path(place, "pods"))]
    assert left == ["foreign"]
    maps = {m["metadata"]["name"] for m in place.api.items(path(place, "configmaps"))}
    assert maps - {"kube-root-ca.crt"} == {"foreign"}

    assert place.run()[:2] == (0, {"applied": False, "found": [], "left": [], "removed": []})


def path(place, plural):
    return f"/api/v1/namespaces/{place.namespace}/{plural}"


def test_a_running_daemon_is_frozen_and_undoes_its_work(place):
    place.make_nodes("ours")
    place.make_state(lease_s=30.0)
    freeze = f"{path(place, 'configmaps')}/{label_names.FREEZE}"
    place.api.delete(freeze)
    undone = threading.Event()

    def daemon():
        wait_until(lambda: place.plane.api("admin").request("GET", freeze)[0] == 200, 30)
        time.sleep(2.0)  # so that a look finds it still at work
        metadata = {
            "labels": {label_names.CORDONED: None},
            "annotations": {label_names.DRAIN: None, label_names.AT_RISK: None},
        }
        change = {"metadata": metadata, "spec": {"unschedulable": None}}
        place.api.patch("/api/v1/nodes/leaving-ours", change)
        undone.set()

    playing = threading.Thread(target=daemon)
    playing.start()
    code, told, progress = place.run("--apply", "--wait", "60")
    playing.join()
    assert undone.is_set()
    assert "waiting for lease of spotvortex-a to undo" in progress
    assert (code, named(told["removed"])) == (1, {("node", "leaving-ours")})
    assert {e["name"] for e in told["left"]} == {
        *CONFIG_MAPS,
        label_names.LEASE,
        label_names.FREEZE,
    }
    assert all("delete the Deployment" in entry["reason"] for entry in told["left"])


def test_a_freeze_of_a_persons_begins_nothing_at_all_from_then_on(place):
    place.make_nodes("ours")
    place.make_state(lease_s=30.0)
    freeze = f"{path(place, 'configmaps')}/{label_names.FREEZE}"
    assert place.api.get(freeze).get("data", {}) == {}
    place.run("--apply", "--wait", "1")
    assert place.api.get(freeze)["data"] == {label_names.LEAVE: "true"}


def test_what_a_daemon_does_not_undo_in_time_is_undone_for_it(place):
    place.make_nodes("ours")
    daemon = pod_manifest(
        "spotvortex-x",
        PodShape(namespace=place.namespace, labels={label_names.APP: label_names.MANAGER}),
    )
    place.api.create(daemon | {"spec": daemon["spec"] | {"nodeSelector": {"no": "such"}}})
    code, told, _ = place.run("--apply", "--wait", "1")
    assert not place.node("ours")["spec"].get("unschedulable")
    assert code == 1
    (freeze,) = told["left"]
    assert (freeze["name"], "pod spotvortex-x" in freeze["reason"]) == (label_names.FREEZE, True)

    place.api.delete(f"{path(place, 'pods')}/spotvortex-x")
    assert place.run("--apply")[0] == 0


def test_marks_are_cleared_where_the_namespace_is_gone(place, monkeypatch):
    monkeypatch.setenv("SPOTVORTEX_NAMESPACE", "never-was")
    place.make_nodes("ours")
    code, told, _ = place.run("--apply")
    assert (code, named(told["removed"])) == (0, {("node", "leaving-ours")})
    assert not place.node("ours")["spec"].get("unschedulable")
    result = CliRunner().invoke(cli, ["uninstall"])
    assert result.stdout.startswith("Nothing of SpotVortex is in this cluster")
    assert result.exit_code == 0


def test_who_may_not_freeze_removes_nothing_and_is_told_why(place):
    place.make_nodes("ours")
    with pytest.raises(ForbiddenError, match="cannot patch resource"):
        place.run("--apply", user="reader")
    assert place.node("ours")["spec"]["unschedulable"] is True


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on PATH")
def test_the_documented_line_lifts_our_cordons_and_no_other(place, tmp_path):
    (line,) = re.findall(r"^kubectl get nodes -l .+$", PAGE.read_text(), re.MULTILINE)
    place.make_nodes()
    kubeconfig = str(place.plane.kubeconfig("admin"))
    environment = {"PATH": os.environ["PATH"], "KUBECONFIG": kubeconfig, "HOME": str(tmp_path)}
    subprocess.run(["bash", "-c", line], check=True, env=environment, timeout=60)
    for name in ("ours", "uncordoned", "half"):
        node = place.node(name)
        assert not node["spec"].get("unschedulable")
        assert label_names.CORDONED not in node["metadata"]["labels"]
        assert not node["metadata"].get("annotations", {}).keys() & set(
            label_names.NODE_ANNOTATIONS
        )
    persons = place.node("persons")
    assert persons["spec"]["unschedulable"] is True
    assert persons["metadata"]["labels"][label_names.POOL] == "web"


def test_a_nodepool_that_the_daemon_steered_has_its_owners_values_again(place):
    pool = nodepool_manifest("leaving-web-spot", spec={"weight": 50})
    made = place.api.create(pool)
    path = place.api.path_of(made)
    steered = {
        "metadata": {"annotations": {label_names.RESTORE: json.dumps({"weight": 50, "set": SET})}},
        "spec": {"weight": SET["weight"], "limits": {"cpu": SET["cpu"]}},
    }
    place.api.patch(path, steered)
    try:
        _, looked, _ = place.run()
        kept = ("nodepool", "leaving-web-spot", "steered by SpotVortex: weight and CPU limit")
        assert kept in [(f["thing"], f["name"], f["detail"]) for f in looked["found"]]
        code, _, _ = place.run("--apply", "--wait", "0")
        assert code == 0
        back = place.api.get(path)
        assert back["spec"]["weight"] == 50
        assert "cpu" not in back["spec"].get("limits", {})
        assert label_names.RESTORE not in back["metadata"].get("annotations", {})
    finally:
        place.api.delete(path)


SET = {"weight": 10, "cpu": "8"}
