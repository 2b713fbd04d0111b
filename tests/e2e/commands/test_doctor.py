"""`spotvortex doctor` on a real API server: what it says is what the Eviction API answers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.controlplane.api import wait_until
from tests.controlplane.cluster import ControlPlane
from tests.deploy.manifests import shadow_cluster_role
from tests.e2e.conftest import USER
from tests.e2e.equipment import unhealthy_scene
from tests.paths import ROOT

pytestmark = pytest.mark.controlplane


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane of these tests' own: the last one stops a part of it."""
    with ControlPlane(with_kwok=True, karpenter_crds=True) as started:
        unhealthy_scene.build(started)
        role = shadow_cluster_role()
        started.apply([role])
        started.grant(USER, role["metadata"]["name"])
        yield started


def doctor(
    plane: ControlPlane, *arguments: str, user: str = "admin"
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SPOTVORTEX_")}
    environment |= {"KUBECONFIG": str(plane.kubeconfig(user)), "COLUMNS": "160"}
    return subprocess.run(
        [sys.executable, "-m", "spotvortex", "doctor", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def diagnosis(plane: ControlPlane, *arguments: str, user: str = "admin") -> dict[str, Any]:
    done = doctor(plane, "--output", "json", *arguments, user=user)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def evicted_in_a_dry_run(plane: ControlPlane, name: str) -> tuple[int, list[str]]:
    """Ask the Eviction API without any code of the product."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": unhealthy_scene.NAMESPACE},
    }
    path = f"{unhealthy_scene.PODS}/{name}/eviction?dryRun=All"
    status, answer = plane.api().request("POST", path, body)
    causes = answer.get("details", {}).get("causes", [])
    return answer.get("code") or status, [cause["reason"] for cause in causes]


def fixture_of(pod: str) -> str:
    name = pod.partition("/")[2]
    return max((f for f in unhealthy_scene.EXPECTED if name.startswith(f)), key=len)


def test_for_each_blocker_the_doctor_says_what_the_eviction_api_answers(plane: ControlPlane):
    found = diagnosis(plane, "--dry-run-evictions", unhealthy_scene.NODE)
    asked = {row["pod"]: row for row in found["asked"]}
    assert {fixture_of(pod) for pod in asked} == set(unhealthy_scene.EXPECTED)
    for pod, row in asked.items():
        status, causes = evicted_in_a_dry_run(plane, pod.partition("/")[2])
        expected = unhealthy_scene.EXPECTED[fixture_of(pod)][0]
        assert row["ours"] == row["server"] == status == expected, row
        assert row["agrees"], row
        assert causes == (["DisruptionBudget"] if status == 429 else []), row
    assert found["n_not_asked"] == 0


def test_each_fixture_has_its_trouble_and_every_trouble_its_fix(plane: ControlPlane):
    found = diagnosis(plane)
    troubles: dict[str, set[str]] = {name: set() for name in unhealthy_scene.EXPECTED}
    for finding in found["findings"]:
        assert finding["fix"]
        assert finding["nodes"] == [unhealthy_scene.NODE]
        for pod in finding["pods"]:
            troubles[fixture_of(pod)].add(finding["trouble"])
    for name, (_, trouble) in unhealthy_scene.EXPECTED.items():
        if trouble is not None:
            assert trouble in troubles[name], name
        else:
            assert not troubles[name] - {"bare-pod"}, name
    held = next(share for share in found["shares"] if share["place"] == "held")
    assert (held["n_nodes"], held["nodes_ratio"], held["cpu_milli"]) == (1, 1.0, 4000)


def test_the_screen_names_workload_reason_and_fix(plane: ControlPlane):
    done = doctor(plane)
    assert done.returncode == 0, done.stderr
    assert "HOLDS NODES IN PLACE" in done.stdout
    assert f"{unhealthy_scene.NAMESPACE}/Deployment/never: pdb-never-allows" in done.stdout
    assert "fix: " in done.stdout
    everything = doctor(plane, "--details").stdout
    assert "maxUnavailable 0: needs 2 healthy, has 2" in everything
    assert f"  {unhealthy_scene.NODE}  sickbay on-demand  held: " in everything


def test_the_doctor_only_reads_and_asking_takes_a_right_of_its_own(plane: ControlPlane):
    before = len(plane.audit_events(USER))
    assert diagnosis(plane, user=USER)["findings"]
    events = plane.audit_events(USER)[before:]
    assert events
    assert {event["verb"] for event in events} <= {"get", "list", "watch"}
    rows = diagnosis(plane, "--dry-run-evictions", "all", user=USER)["asked"]
    assert {row["server"] for row in rows} == {403}
    assert not any(row["agrees"] for row in rows)


def test_an_unknown_node_is_told(plane: ControlPlane):
    done = doctor(plane, "--dry-run-evictions", "no-such")
    assert done.returncode == 2
    assert "there is no node 'no-such'" in done.stderr


def test_a_version_of_a_budget_that_was_not_seen_refuses_and_nothing_was_evicted(
    plane: ControlPlane,
):
    """The last test: without its controllers the cluster cannot take note of new budgets."""
    plane.stop_server("kube-controller-manager")
    names = {pod["metadata"]["name"] for pod in plane.api().items(unhealthy_scene.PODS)}
    assert {fixture_of(f"x/{name}") for name in names} == set(unhealthy_scene.EXPECTED)
    plane.api().patch(f"{unhealthy_scene.PDBS}/open", {"spec": {"maxUnavailable": 2}})
    plane.api().patch(f"{unhealthy_scene.PDBS}/always", {"spec": {"minAvailable": 1}})
    wait_until(lambda: _generation(plane, "open") == 2)
    rows = diagnosis(plane, "--dry-run-evictions", unhealthy_scene.NODE)["asked"]
    assert all(row["agrees"] for row in rows)
    open_rows = [row for row in rows if fixture_of(row["pod"]) == "open"]
    assert [(row["server"], row["why"]) for row in open_rows] == [
        (429, "pdb-not-observed sickbay/open")
    ] * 3
    ours = {fixture_of(row["pod"]): (row["ours"], row["why"]) for row in rows}
    assert ours["always-unready"] == (201, "")
    assert ours["always-ready"] == (429, "pdb-not-observed sickbay/always")


def _generation(plane: ControlPlane, name: str) -> int:
    found: int = plane.api().get(f"{unhealthy_scene.PDBS}/{name}")["metadata"]["generation"]
    return found
