"""Prove the equipment: what the other tests take for granted about their control plane."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml

from tests.controlplane.api import Api, wait_until
from tests.controlplane.cluster import READER_ROLE, ControlPlane
from tests.controlplane.fill import Scene, fill, fill_scene
from tests.controlplane.manifests import (
    NodeShape,
    PodShape,
    deployment_manifest,
    namespace_manifest,
    node_class_manifest,
    node_manifest,
    nodepool_manifest,
    pdb_manifest,
    pod_manifest,
)
from tests.controlplane.processes.components import STATIC_CONTROLLERS
from tests.controlplane.processes.process import PREFIX
from tests.controlplane.proxy import LoopbackProxy
from tests.paths import ROOT

pytestmark = pytest.mark.controlplane


@pytest.fixture
def own_temp(tmp_path, monkeypatch) -> Path:
    """A temporary folder of the test's own: beside it others make and remove folders of runs."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert tempfile.gettempdir() == str(tmp_path)
    return tmp_path


def _folders(temp: Path) -> set[Path]:
    return set(temp.glob(f"{PREFIX}*"))


def _ready_replicas(api: Api, shape: PodShape) -> int:
    path = f"/apis/apps/v1/namespaces/{shape.namespace}/deployments/{shape.app}"
    return api.get(path)["status"].get("readyReplicas", 0)


def _allowed(api: Api) -> set[int]:
    budgets = api.items("/apis/policy/v1/poddisruptionbudgets")
    return {budget["status"]["disruptionsAllowed"] for budget in budgets}


def _watch(plane: ControlPlane, version: str) -> tuple[int, str]:
    """Watch ConfigMaps from a version; return the code of the answer or of its first event."""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", plane.layout.api_port, context=plane.ssl_context(), timeout=20
    )
    path = f"/api/v1/configmaps?watch=1&timeoutSeconds=5&resourceVersion={version}"
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {plane.token()}"})
        response = connection.getresponse()
        if response.status != 200:
            return response.status, response.read().decode()
        line = response.readline()
    finally:
        connection.close()
    event = json.loads(line) if line else {}
    return event.get("object", {}).get("code", 200), event.get("type", "")


def _config_map(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def test_pods_of_a_deployment_run_on_simulated_nodes(control_plane):
    api = control_plane.api()
    shape = PodShape(app="runs", namespace="runs", spec={"nodeSelector": {"place": "runs"}})
    node = NodeShape(style="plain", labels={"place": "runs"}, ready=False)
    api.apply([namespace_manifest("runs"), pdb_manifest("runs", "runs")])
    api.create(node_manifest("runs-1", node))
    api.apply([deployment_manifest(shape, replicas=3)])
    wait_until(lambda: _ready_replicas(api, shape) == 3)
    pods = api.items("/api/v1/namespaces/runs/pods")
    assert {pod["spec"]["nodeName"] for pod in pods} == {"runs-1"}
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    budget = "/apis/policy/v1/namespaces/runs/poddisruptionbudgets/runs"
    wait_until(lambda: api.get(budget)["status"]["disruptionsAllowed"] == 1)


def test_pod_fails_at_its_deadline_and_uses_its_grace_period(control_plane):
    api = control_plane.api()
    api.apply([namespace_manifest("ends")])
    api.create(node_manifest("ends-1", NodeShape(style="plain")))
    patient = {"test.spotvortex.io/use-grace-period": "true"}
    limited = PodShape(namespace="ends", node_name="ends-1", spec={"activeDeadlineSeconds": 1})
    slow = PodShape(namespace="ends", node_name="ends-1", grace_s=4, annotations=patient)
    api.create(pod_manifest("limited", limited))
    api.create(pod_manifest("slow", slow))
    pods = "/api/v1/namespaces/ends/pods"
    wait_until(lambda: api.get(f"{pods}/limited")["status"]["phase"] == "Failed")
    assert api.get(f"{pods}/limited")["status"]["reason"] == "DeadlineExceeded"
    wait_until(lambda: api.get(f"{pods}/slow")["status"]["phase"] == "Running")
    began = time.monotonic()
    assert api.delete(f"{pods}/slow")["metadata"]["deletionTimestamp"]
    wait_until(lambda: api.request("GET", f"{pods}/slow")[0] == 404)
    # Others end after one second. The time of its end is cut to whole seconds.
    assert time.monotonic() - began >= 2.5


def test_tokens_have_the_rights_of_their_users(control_plane):
    nodes = "/api/v1/nodes?limit=1"
    assert control_plane.api("nobody").request("GET", nodes)[0] == 403
    assert control_plane.api("reader").request("GET", nodes)[0] == 200
    refused = control_plane.api("reader").request(
        "POST", "/api/v1/namespaces/default/configmaps", _config_map("refused")
    )
    assert refused[0] == 403
    stranger = Api(control_plane.url, "not-a-token", control_plane.ssl_context())
    assert stranger.request("GET", nodes)[0] == 401


def test_shadow_user_has_what_its_service_account_is_granted(fresh_control_plane):
    plane = fresh_control_plane(with_controllers=False, with_scheduler=False)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    shadow = plane.api("spotvortex-shadow")
    user = shadow.must("POST", path, review)["status"]["userInfo"]
    assert user["username"] == "system:serviceaccount:spotvortex:spotvortex"
    assert "system:serviceaccounts:spotvortex" in user["groups"]
    for path in ("/api/v1/pods", "/api/v1/nodes"):
        assert shadow.request("GET", path)[0] == 403
    plane.grant("spotvortex-shadow", READER_ROLE)
    assert shadow.request("GET", "/api/v1/pods")[0] == 200


def test_audit_log_tells_verbs_by_user(control_plane):
    writer = control_plane.api("admin")
    reader = control_plane.api("reader")
    writer.apply([_config_map("audited")])
    writer.delete("/api/v1/namespaces/default/configmaps/audited")
    reader.get("/api/v1/namespaces/default/configmaps?limit=7")
    seen = [
        event["verb"]
        for event in control_plane.audit_events("admin")
        if event.get("objectRef", {}).get("name") == "audited"
    ]
    assert seen == ["patch", "delete"]
    events = control_plane.audit_events("reader")
    assert {event["verb"] for event in events} <= {"get", "list", "watch", "create"}
    assert any(event["requestURI"].endswith("configmaps?limit=7") for event in events)


def test_kubeconfig_has_a_context_for_each_user(control_plane):
    path = control_plane.kubeconfig("reader")
    config = yaml.safe_load(path.read_text())
    assert config["current-context"] == "reader"
    assert {"admin", "spotvortex-shadow", "reader", "nobody"} <= {
        context["name"] for context in config["contexts"]
    }
    assert path.stat().st_mode & 0o077 == 0


def test_karpenter_objects_can_be_written_without_karpenter(control_plane):
    api = control_plane.api()
    api.apply([nodepool_manifest("written", spec={"weight": 10})])
    assert api.get("/apis/karpenter.sh/v1/nodepools/written")["spec"]["weight"] == 10


def test_everything_listens_on_loopback_only(control_plane):
    addresses = {
        connection.laddr.ip
        for pid in control_plane.pids().values()
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}


def test_killed_apiserver_comes_back_with_its_data(fresh_control_plane):
    plane = fresh_control_plane(with_controllers=False, with_scheduler=False)
    plane.apply([_config_map("kept")])
    url, pid = plane.url, plane.pids()["kube-apiserver"]
    plane.kill_apiserver()
    assert not psutil.pid_exists(pid)
    with pytest.raises(OSError, match="refused"):
        plane.api().get("/readyz")
    plane.start_apiserver()
    assert plane.url == url
    kept = plane.api().get("/api/v1/namespaces/default/configmaps/kept")
    assert kept["metadata"]["name"] == "kept"


def test_watch_from_before_an_expiry_answers_410(fresh_control_plane):
    plane = fresh_control_plane(with_controllers=False, with_scheduler=False)
    old = plane.apply([_config_map("old")])[0]["metadata"]["resourceVersion"]
    plane.apply([_config_map("new")])
    assert _watch(plane, old) == (200, "ADDED")
    plane.expire_watches()
    assert _watch(plane, old)[0] == 410


def test_watch_without_cache_answers_410_after_compaction(fresh_control_plane):
    plane = fresh_control_plane(with_controllers=False, with_scheduler=False, watch_cache=False)
    old = plane.apply([_config_map("old")])[0]["metadata"]["resourceVersion"]
    plane.apply([_config_map("new")])
    assert _watch(plane, old) == (200, "ADDED")
    # The compacted version must lie beyond the one that the watch would start with.
    plane.apply([_config_map("newer"), _config_map("newest")])
    assert plane.compact_etcd() > int(old)
    assert _watch(plane, old)[0] == 410


def test_partition_blocks_and_heals(control_plane):
    with LoopbackProxy(control_plane.url) as proxy:
        api = Api(proxy.url, control_plane.token("reader"), control_plane.ssl_context())
        assert api.get("/readyz") == "ok"
        proxy.partition()
        with pytest.raises(TimeoutError):
            api.request("GET", "/readyz", timeout=0.5)
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(api.request("GET", "/livez")[0]))
        asking.start()
        time.sleep(0.3)
        assert not answers
        proxy.heal()
        asking.join(30)
        assert answers == [200]


def test_cut_resets_open_connections(control_plane):
    with LoopbackProxy(control_plane.url) as proxy:
        port = int(proxy.url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            wait_until(lambda: proxy.n_accepted == 1)
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        kubeconfig = control_plane.kubeconfig("reader", server=proxy.url)
        assert proxy.url in kubeconfig.read_text()
        again = Api(proxy.url, control_plane.token("reader"), control_plane.ssl_context())
        assert again.get("/readyz") == "ok"


def test_scene_on_kwok_becomes_ready(control_plane):
    scene = Scene(n_nodes=6, n_pods=24, pods_per_deployment=12, prefix="live", style="nodegroup")
    fill(control_plane, scene)
    api = control_plane.api()
    shapes = [
        PodShape(app=f"live-app-{number:05}", namespace=f"live-{number}") for number in (0, 1)
    ]
    wait_until(lambda: all(_ready_replicas(api, shape) == 12 for shape in shapes), 60)
    labels = api.get("/api/v1/nodes/live-node-00000")["metadata"]["labels"]
    assert labels["eks.amazonaws.com/capacityType"] == "SPOT"


@pytest.mark.parametrize("direct", [False, True])
async def test_static_scene_is_as_written_and_stays(fresh_control_plane, direct):
    plane = fresh_control_plane(controllers=STATIC_CONTROLLERS, with_scheduler=False)
    scene = Scene(n_nodes=10, n_pods=200, ballast=True, direct=direct)
    report = await fill_scene(plane, scene)
    assert (report.n_nodes, report.n_pods) == (10, 200)
    pods = plane.api().items("/api/v1/pods")
    assert len(pods) == len({pod["metadata"]["uid"] for pod in pods}) == 200
    # Of two that share a version, who watches from it hears of one only.
    assert len({pod["metadata"]["resourceVersion"] for pod in pods}) == 200
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    assert {pod["metadata"]["ownerReferences"][0]["kind"] for pod in pods} == {"ReplicaSet"}
    mean_bytes = sum(len(json.dumps(pod, separators=(",", ":"))) for pod in pods) / len(pods)
    assert 8_000 < mean_bytes < 11_000
    # Once the controller has counted the pods: its own time on a busy machine, not the scene's.
    wait_until(lambda: _allowed(plane.api()) == {1}, 180)
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pods[-1]["metadata"]["name"]},
    }
    path = "/api/v1/namespaces/{namespace}/pods/{name}".format_map(pods[-1]["metadata"])
    assert plane.api().request("POST", f"{path}/eviction", eviction)[0] == 201
    assert plane.api().get(path)["metadata"]["deletionTimestamp"]


def test_stop_leaves_no_process_and_no_file(own_temp, fresh_control_plane):
    plane = fresh_control_plane(with_kwok=True)
    pids, folder = list(plane.pids().values()), plane.layout.folder
    assert len(pids) == 5
    assert _folders(own_temp) == {folder}
    plane.stop()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert _folders(own_temp) == set()


def _start_in_child(program: str = "ControlPlane(with_kwok=True).start()") -> tuple:
    code = (
        "import json, signal, time\n"
        "from tests.controlplane.cluster import ControlPlane\n"
        # A shell that starts its children in the background has them ignore Ctrl-C.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"plane = {program}\n"
        "print(json.dumps([str(plane.layout.folder), list(plane.pids().values())]), flush=True)\n"
        "time.sleep(100)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    folder, pids = json.loads(child.stdout.readline())
    return child, Path(folder), pids


def _end(child: subprocess.Popen, number: int) -> int:
    with child:
        child.send_signal(number)
        return child.wait(60)


def _all_gone(pids: list[int]) -> Callable[[], bool]:
    return lambda: not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_run_leaves_no_process_and_no_file(own_temp, number):
    child, folder, pids = _start_in_child()
    assert _folders(own_temp) == {folder}
    assert _end(child, number) == -number
    assert _all_gone(pids)()
    assert _folders(own_temp) == set()


def test_killed_run_leaves_no_process_and_the_next_removes_its_files(own_temp, fresh_control_plane):
    child, folder, pids = _start_in_child()
    assert _end(child, signal.SIGKILL) == -signal.SIGKILL
    wait_until(_all_gone(pids))
    assert _folders(own_temp) == {folder}
    plane = fresh_control_plane(with_controllers=False, with_scheduler=False)
    assert _folders(own_temp) == {plane.layout.folder}


def test_failed_start_names_the_reason_and_leaves_nothing(own_temp, fresh_control_plane):
    with pytest.raises(RuntimeError, match="unknown flag: --no-such-flag"):
        fresh_control_plane(apiserver_flags=("--no-such-flag",))
    assert _folders(own_temp) == set()


def test_script_prints_a_kubeconfig_and_stops_on_sigterm():
    script = subprocess.Popen(
        [sys.executable, "-m", "scripts.control_plane", "--fill", "3"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with script:
        assert script.stdout is not None
        kubeconfig = Path(script.stdout.readline().strip())
        assert "contexts" in script.stdout.readline()
        assert yaml.safe_load(kubeconfig.read_text())["current-context"] == "admin"
        script.send_signal(signal.SIGTERM)
        assert script.stdout.read() == "stopping\n"
        assert script.wait(30) == 0
    assert not kubeconfig.parent.exists()


@pytest.mark.karpenter
def test_karpenter_launches_ready_nodes_and_meets_scarcity(karpenter_control_plane):
    plane = karpenter_control_plane
    api = plane.api()
    # Consolidated, the first node could be gone before it is counted.
    still = {"disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "Never"}}
    pool = nodepool_manifest("equipment", families=("m5", "c5"), spec=still)
    api.apply([node_class_manifest(), pool])
    selector = {"nodeSelector": {"karpenter.sh/nodepool": "equipment"}}
    first = PodShape(app="first", cpu="1", memory="1Gi", spec=selector)
    second = PodShape(app="second", cpu="1", memory="1Gi", spec=selector)
    try:
        api.apply([deployment_manifest(first, replicas=3)])
        wait_until(lambda: _ready_replicas(api, first) == 3, 120)
        plane.set_unavailable_offerings([{"capacity_type": "spot"}])
        api.apply([deployment_manifest(second, replicas=12)])
        wait_until(lambda: _ready_replicas(api, second) == 12, 120)
    finally:
        plane.set_unavailable_offerings([])
    query = "labelSelector=karpenter.sh/nodepool%3Dequipment"
    nodes = api.items(f"/api/v1/nodes?{query}")
    kinds = [node["metadata"]["labels"]["karpenter.sh/capacity-type"] for node in nodes]
    assert "spot" in kinds
    assert "on-demand" in kinds
    assert {node["metadata"]["labels"]["kubernetes.io/os"] for node in nodes} == {"linux"}


def test_assets_in_kubebuilder_folder_are_used(control_plane, fresh_control_plane, monkeypatch):
    folder = control_plane.assets.path("etcd").parent
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(folder))
    plane = fresh_control_plane(with_controllers=False, with_scheduler=False)
    assert plane.assets.ready == folder
    assert psutil.Process(plane.pids()["etcd"]).exe().startswith(os.fspath(folder))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", "/nowhere")
    with pytest.raises(RuntimeError, match="KUBEBUILDER_ASSETS=/nowhere holds no etcd"):
        ControlPlane().start()
