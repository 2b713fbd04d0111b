"""The crash proxy: what passes, what is counted, and each thing that it can make go wrong."""

import concurrent.futures
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.controlplane.api import Api, wait_until
from tests.controlplane.cluster import ControlPlane
from tests.e2e.equipment.daemon import Daemon
from tests.witness.crash_proxy import CrashProxy, Reply
from tests.witness.hand import Hand
from tests.witness.judge.kinds import classify, is_mutating
from tests.witness.judge.names import ANCHOR, NAMESPACE, STATE

pytestmark = pytest.mark.controlplane
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


@pytest.fixture
def proxy(hand_plane: ControlPlane) -> Iterator[CrashProxy]:
    with CrashProxy(hand_plane) as running:
        yield running


@pytest.fixture
def api(hand_plane: ControlPlane, proxy: CrashProxy) -> Api:
    return through(hand_plane, proxy)


def through(plane: ControlPlane, proxy: CrashProxy, user: str = "replica-a") -> Api:
    return Api(proxy.url, plane.token(user), plane.ssl_context())


def config_map(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def exists(plane: ControlPlane, name: str) -> bool:
    return plane.api().request("GET", f"{MAPS}/{name}")[0] == 200


@pytest.fixture
def victim() -> Iterator[subprocess.Popen]:
    """A process that may be killed."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def open_watch(plane: ControlPlane, proxy: CrashProxy) -> tuple:
    port = int(proxy.url.rsplit(":", 1)[1])
    connection = http.client.HTTPSConnection(
        "127.0.0.1", port, context=plane.ssl_context(), timeout=30
    )
    path = f"{MAPS}?watch=1&timeoutSeconds=30"
    connection.request("GET", path, headers={"Authorization": f"Bearer {plane.token()}"})
    return connection, connection.getresponse()


def ends(response: http.client.HTTPResponse) -> bool:
    """Read a stream until it ends, within its connection's time-out."""
    try:
        while response.readline():
            pass
    except TimeoutError:
        return False
    except (OSError, http.client.IncompleteRead):
        return True
    return True


def test_every_kind_of_request_has_its_name(stage, proxy):
    node, pods = stage.spot[0], stage.pods_on(stage.spot[0])
    hand = Hand(stage.plane, "replica-a", through(stage.plane, proxy))
    uid = node["metadata"]["uid"]
    hand.take_lease()
    hand.anchor("kinds-anchor", stage.on_demand[0], "plan-1")
    hand.move(node, pods, "plan-1")
    hand.unmark(node)
    hand.delete_own(ANCHOR, plan="plan-1")
    for note in ("2026-01-01T00:00:00Z", None):
        notes = {"spotvortex.io/at-risk": note}
        hand.patch_node(node, {"metadata": {"uid": uid, "annotations": notes}})
    hand.take_lease()
    counts = proxy.counts()
    assert counts == {
        "clear-risk": 1,
        "create-anchor": 1,
        "create-placeholder": 2,
        "delete-anchors": 1,
        "delete-placeholders": 1,
        "evict": 2,
        "lease-create": 2,
        "lease-update": 1,
        "mark": 1,
        "note-risk": 1,
        "unmark": 1,
    }
    assert [s.number for s in proxy.seen("evict")] == [1, 2]
    assert json.loads(proxy.seen("mark")[0].body)["spec"] == {"unschedulable": True}


@pytest.mark.parametrize(
    ("method", "uri", "body", "kind"),
    [
        ("POST", MAPS, config_map(STATE), "state-create"),
        ("PATCH", f"{MAPS}/{STATE}", {}, "state-update"),
        ("POST", "/apis/batch/v1/namespaces/spotvortex/jobs", {}, "create-tether"),
        ("DELETE", "/apis/batch/v1/namespaces/spotvortex/jobs?a=b", {}, "delete-tethers"),
        ("POST", "/api/v1/namespaces/default/events", {}, "event"),
        ("DELETE", "/apis/karpenter.sh/v1/nodeclaims/x", {}, "delete-nodeclaim"),
        ("GET", "/api/v1/nodes?watch=1", None, "watch-nodes"),
        ("GET", "/api/v1/nodes/x", None, "get-nodes"),
        ("GET", "/readyz", None, "get-server"),
        ("POST", f"{MAPS}?dryRun=All", {}, "dry-run"),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {}, "review"),
    ],
)
def test_the_rarer_kinds_are_known(method, uri, body, kind):
    assert classify(method, uri, json.dumps(body).encode() if body is not None else b"") == kind
    writes = method != "GET" and kind not in ("dry-run", "review")
    assert is_mutating(kind, method) is writes


def test_a_kill_before_keeps_the_request_from_the_server(hand_plane, proxy, api, victim):
    fault = proxy.kill(victim.pid, "create-configmap", n=2)
    api.must("POST", MAPS, config_map("kill-first"))
    assert victim.poll() is None
    with pytest.raises(OSError, match=r".*"):
        api.request("POST", MAPS, config_map("kill-second"))
    assert victim.wait(30) == -9
    assert fault.n_done == 1
    assert exists(hand_plane, "kill-first")
    assert not exists(hand_plane, "kill-second")
    # It acts once: what the restarted process asks passes.
    api.must("POST", MAPS, config_map("kill-third"))


def test_a_kill_after_lets_the_server_do_it_and_loses_the_answer(hand_plane, proxy, api, victim):
    proxy.kill(victim.pid, "mutating", after=True)
    api.get("/readyz")
    with pytest.raises(OSError, match=r".*"):
        api.request("POST", MAPS, config_map("kill-after"))
    assert victim.wait(30) == -9
    assert exists(hand_plane, "kill-after")


def test_answers_are_given_in_the_servers_place(hand_plane, proxy, api):
    busy = {"kind": "Status", "code": 429, "message": "too many requests"}
    proxy.answer(
        "create-configmap",
        Reply(status=429, body=json.dumps(busy).encode(), headers={"Retry-After": "1"}),
        times=2,
    )
    for _ in range(2):
        assert api.request("POST", MAPS, config_map("answered")) == (429, busy)
    assert not exists(hand_plane, "answered")
    assert api.request("POST", MAPS, config_map("answered"))[0] == 201
    proxy.answer("watch-*", Reply(status=410))
    connection, response = open_watch(hand_plane, proxy)
    connection.close()
    assert response.status == 410


def test_watches_pass_piece_by_piece_beside_other_requests(hand_plane, proxy, api):
    connection, response = open_watch(hand_plane, proxy)
    for name in ("watched-1", "watched-2"):
        api.must("POST", MAPS, config_map(name))
        found = ""
        while found != name:
            found = json.loads(response.readline())["object"]["metadata"]["name"]
    connection.close()
    assert proxy.counts(mutating=False)["watch-configmaps"] == 1


def test_answers_can_be_slow_cut_dropped_and_lost(hand_plane, proxy, api):
    wait_until(lambda: exists(hand_plane, "kube-root-ca.crt"))
    proxy.slow("get-configmaps", 0.7)
    began = time.monotonic()
    assert api.request("GET", f"{MAPS}/kube-root-ca.crt")[0] == 200
    assert time.monotonic() - began >= 0.7
    proxy.cut("list-configmaps")
    with pytest.raises(http.client.IncompleteRead):
        api.get(MAPS)
    proxy.drop("create-configmap")
    with pytest.raises(OSError, match=r".*"):
        api.request("POST", MAPS, config_map("dropped"))
    proxy.lose("create-configmap")
    with pytest.raises(OSError, match=r".*"):
        api.request("POST", MAPS, config_map("lost"))
    assert not exists(hand_plane, "dropped")
    assert exists(hand_plane, "lost")
    assert len(api.items(MAPS)) > 1


def test_a_fault_can_be_taken_back(proxy, api):
    fault = proxy.drop("mutating", times=100)
    proxy.disarm()
    api.must("POST", MAPS, config_map("disarmed"))
    assert fault.n_met == 0


def test_a_partition_holds_everything_back_and_heals(hand_plane, proxy, api):
    connection, response = open_watch(hand_plane, proxy)
    response.readline()
    with proxy.partitioned():
        with pytest.raises(TimeoutError):
            api.request("GET", "/readyz", timeout=0.5)
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(api.request("GET", "/readyz")[0]))
        asking.start()
        hand_plane.api().must("POST", MAPS, config_map("parted"))
        time.sleep(0.5)
        assert not answers
    asking.join(30)
    assert answers == [200]
    found = ""
    while found != "parted":
        found = json.loads(response.readline())["object"]["metadata"]["name"]
    connection.close()


def test_a_reset_ends_open_watches(hand_plane, proxy):
    connection, response = open_watch(hand_plane, proxy)
    wait_until(lambda: proxy.counts(mutating=False).get("watch-configmaps"))
    response.readline()
    proxy.reset_all()
    assert ends(response)
    connection.close()


def ask_often(plane: ControlPlane, port: int, times: int) -> list[int]:
    """Ask over one connection, one request after the other."""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", port, context=plane.ssl_context(), timeout=20
    )
    codes = []
    for _ in range(times):
        connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {plane.token()}"})
        answer = connection.getresponse()
        answer.read()
        codes.append(answer.status)
    connection.close()
    return codes


def test_more_than_fifty_requests_a_second_pass(hand_plane, proxy):
    # Processor time, of the proxy and of those who ask: what others take says nothing about it.
    port, began = int(proxy.url.rsplit(":", 1)[1]), time.process_time()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask_often, hand_plane, port, 50) for _ in range(8)]
    assert [code for one in asked for code in one.result()] == [200] * 400
    assert time.process_time() - began < 400 / 50


def test_a_kubeconfig_for_it_differs_by_its_port_alone(hand_plane, proxy):
    config = json.loads(hand_plane.kubeconfig("replica-a", server=proxy.url).read_text())
    cluster = config["clusters"][0]["cluster"]
    assert cluster == {"server": proxy.url, "certificate-authority": str(hand_plane.ca_path)}


def test_a_real_daemon_works_through_it_and_is_killed_by_it(stage, proxy, tmp_path):
    config = stage.plane.kubeconfig("replica-a", server=proxy.url)
    with Daemon(tmp_path, {"KUBECONFIG": str(config)}) as daemon:
        daemon.wait_ready()
        # It is ready once it has read all, and watches from then on.
        wait_until(lambda: proxy.counts(mutating=False).get("watch-nodes"))
        assert proxy.counts() == {}
        assert daemon.process is not None
        proxy.kill(daemon.process.pid, "watch-*")
        proxy.reset_all()
        assert daemon.process.wait(60) == -9
