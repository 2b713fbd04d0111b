"""A daemon that never comes back, and one that is sent away: what stays in the cluster, and how
what stays is cleared by the documented lines."""

import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from tests.active.scene.town import CONFIG_MAPS, OWN_PODS, POOL, Size, Town, town
from tests.controlplane.api import wait_until
from tests.paths import ROOT
from tests.witness.judge.case import CLUSTER
from tests.witness.judge.names import AT_RISK, CORDONED, DRAIN, FREEZE, NAMESPACE, STATE
from tests.witness.recording import Recording

pytestmark = pytest.mark.controlplane

PAGE = ROOT / "docs" / "uninstall.md"
SHORT = {"SPOTVORTEX_LEFTOVER_S": "40"}
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
USER = "replica-a"
PERSONS = "web-on-demand-5"
needs_kubectl = pytest.mark.skipif(
    not (shutil.which("kubectl") and shutil.which("jq")), reason="no kubectl, or no jq, on PATH"
)


@pytest.fixture(scope="module")
def place(starting):
    # Slow pods, so that a wave lasts longer than a command takes to start.
    with town(starting, Size(grace_s=20)) as built:
        yield built


def ours(place: Town) -> set[str]:
    """What of ours is in our namespace."""
    pods = {p["metadata"]["name"] for p in place.api.items(OWN_PODS)}
    jobs = {j["metadata"]["name"] for j in place.api.items(JOBS)}
    leases = {x["metadata"]["name"] for x in place.api.items(LEASES)}
    maps = {m["metadata"]["name"] for m in place.api.items(CONFIG_MAPS)}
    return pods | jobs | leases | {name for name in maps if name.startswith("spotvortex")}


def marks(place: Town) -> dict[str, set[str]]:
    """By node what it bears of ours, its cordon included."""
    found = {}
    for node in place.nodes():
        metadata = node["metadata"]
        names = {*metadata.get("labels", {}), *metadata.get("annotations", {})}
        bears = names & {CORDONED, DRAIN, AT_RISK}
        if node["spec"].get("unschedulable"):
            bears.add("cordon")
        if bears:
            found[metadata["name"]] = bears
    return found


def drains(place: Town) -> set[str]:
    """The marked nodes with a pod whose eviction is still to come: they stay for its grace."""
    staying = (p for p in place.pods() if "deletionTimestamp" not in p["metadata"])
    return {p["spec"].get("nodeName", "") for p in staying} & set(place.cordoned())


def die_in_mid_wave(place: Town, daemon):
    """Kill the daemon once a node is marked that it cannot release at once.

    A node that an earlier scene has emptied comes first, and is marked and gone within a second.
    """
    wait_until(lambda: drains(place), 90, every_s=0.05)
    daemon.process.kill()
    daemon.process.wait(60)


def run_the_page(place: Town, folder):
    """Run every line that the page gives for a namespace that is gone."""
    text = PAGE.read_text().partition("## When the namespace is already gone")[2]
    lines = re.findall(r"^kubectl .+$", text, re.MULTILINE)
    assert len(lines) == 3
    kubeconfig = str(place.plane.kubeconfig("admin"))
    environment = {"PATH": os.environ["PATH"], "KUBECONFIG": kubeconfig, "HOME": str(folder)}
    for line in lines:
        subprocess.run(["bash", "-c", line], check=True, env=environment, timeout=60)


def note_a_person_and_a_risk(place: Town):
    """A person's cordon, and a recommendation on a node that nobody marked."""
    place.api.patch(f"/api/v1/nodes/{PERSONS}", {"spec": {"unschedulable": True}})
    note = {AT_RISK: "2027-01-15T08:00:00Z"}
    path = "/api/v1/nodes/web-on-demand-4"
    place.api.patch(path, {"metadata": {"annotations": note}})


def assert_clear_but_for_the_person(place: Town):
    assert marks(place) == {PERSONS: {"cordon"}}
    place.api.patch(f"/api/v1/nodes/{PERSONS}", {"spec": {"unschedulable": None}})
    assert place.node_pool() == place.first_pool


def assert_kept(recording, **changes):
    observer = recording.observer(max_in_flight={POOL: 6, CLUSTER: 6}, **changes)
    print(observer.seen())
    assert observer.breaches() == []


@needs_kubectl
def test_of_a_daemon_that_never_comes_back_only_cordons_stay_and_the_page_clears_them(
    place, tmp_path
):
    with Recording(place.plane) as recording:
        with place.daemon(USER, tmp_path / "dead", **SHORT) as daemon:
            die_in_mid_wave(place, daemon)
        assert place.own_pods()
        died_at = time.monotonic()
        wait_until(lambda: ours(place) == {STATE, "spotvortex"}, 180)
        print(f"gone by themselves after {time.monotonic() - died_at:.0f} s of 40")
        left = marks(place)
        assert left
        assert all(bears == {CORDONED, DRAIN, "cordon"} for bears in left.values())
        wait_until(place.all_running, 60)
        note_a_person_and_a_risk(place)
        run_the_page(place, tmp_path)
        assert_clear_but_for_the_person(place)
    assert_kept(recording, orders_stay=True)


def uninstall(place: Town) -> tuple[int, str]:
    """Run the command as a person does, with their own rights."""
    done = subprocess.run(
        [sys.executable, "-m", "spotvortex", "uninstall", "--apply"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "KUBECONFIG": str(place.plane.kubeconfig("admin")),
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    waited = [int(s) for s in re.findall(r"things, (\d+) of at most 120 s", done.stderr)]
    print(done.stdout, f"waited {max(waited, default=0)} s")
    # Whoever is waited for in vain is waited for to the end.
    assert max(waited, default=0) < 110, done.stderr
    return done.returncode, done.stdout


def test_the_whole_way_out_leaves_nothing_while_a_daemon_is_in_mid_wave(place, tmp_path):
    with Recording(place.plane) as recording:
        with place.daemon(USER, tmp_path / "sent-away") as daemon:
            place.await_wave()
            code, told = uninstall(place)
            assert code == 1
            assert "delete the Deployment" in told
            assert marks(place) == {}
            assert ours(place) == {STATE, "spotvortex", FREEZE}
            # As the deletion of the Deployment does.
            assert daemon.stop() == 0
        assert uninstall(place)[0] == 0
        assert ours(place) == set()
        assert marks(place) == {}
        wait_until(place.all_running, 60)
        assert uninstall(place)[0] == 0
    assert place.node_pool() == place.first_pool
    assert_kept(recording)


@needs_kubectl
def test_with_the_namespace_goes_all_but_cordons_and_the_page_clears_them(place, tmp_path):
    with Recording(place.plane) as recording:
        with place.daemon(USER, tmp_path / "homeless", **SHORT) as daemon:
            # Its pod goes with the namespace, here without the time to end well.
            die_in_mid_wave(place, daemon)
            place.api.delete(f"/api/v1/namespaces/{NAMESPACE}")
        path = f"/api/v1/namespaces/{NAMESPACE}"
        wait_until(lambda: place.api.request("GET", path)[0] == 404, 120)
        left = marks(place)
        assert left
        assert all(bears == {CORDONED, DRAIN, "cordon"} for bears in left.values())
        note_a_person_and_a_risk(place)
        run_the_page(place, tmp_path)
        assert_clear_but_for_the_person(place)
        wait_until(place.all_running, 60)
    assert_kept(recording, orders_stay=True)
