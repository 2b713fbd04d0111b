"""What is installed can only read in shadow, is locked down, and is probed where it answers."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from spotvortex.server import PATHS
from spotvortex.settings import PREFIX, Settings
from tests.deploy.manifests import KUSTOMIZE, SHADOW, merge, only, render, shadow_cluster_role

ROOT = Path(__file__).parents[2]
BASE = KUSTOMIZE / "base"


@pytest.fixture
def container():
    (found,) = only(render(SHADOW), "Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def test_every_file_of_the_folders_is_listed_and_is_one_manifest():
    for folder in (BASE, SHADOW):
        kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
        listed = {
            *kustomization["resources"],
            *(p["path"] for p in kustomization.get("patches", [])),
        }
        files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert files == {name for name in listed if name.endswith(".yaml")}
        for name in files:
            assert yaml.safe_load((folder / name).read_text())["kind"]


def test_the_shadow_role_reads_exactly_what_a_decision_needs():
    granted = {
        (group, resource, verb)
        for rule in shadow_cluster_role()["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    resources = {
        ("", "nodes"),
        ("", "pods"),
        ("policy", "poddisruptionbudgets"),
        ("apps", "replicasets"),
        ("karpenter.sh", "nodepools"),
    }
    assert granted == {(*r, verb) for r in resources for verb in ("get", "list", "watch")}


def test_shadow_grants_nothing_beside_that_role():
    kinds = sorted(m["kind"] for m in render(SHADOW) if "Role" in m["kind"])
    assert kinds == ["ClusterRole", "ClusterRoleBinding"]
    for rule in shadow_cluster_role()["rules"]:
        assert rule.keys() == {"apiGroups", "resources", "verbs"}


def test_the_role_is_bound_to_the_account_that_the_pod_runs_as():
    manifests = render(SHADOW)
    binding, account = only(manifests, "ClusterRoleBinding"), only(manifests, "ServiceAccount")
    assert binding["roleRef"]["name"] == shadow_cluster_role()["metadata"]["name"]
    assert binding["subjects"] == [
        {
            "kind": "ServiceAccount",
            "name": account["metadata"]["name"],
            "namespace": account["metadata"]["namespace"],
        }
    ]
    pod = only(manifests, "Deployment")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["metadata"]["name"]


def test_all_namespaced_objects_are_in_the_namespace_that_is_made():
    manifests = render(SHADOW)
    namespace = only(manifests, "Namespace")["metadata"]["name"]
    for kind in ("ServiceAccount", "Deployment", "Service"):
        assert only(manifests, kind)["metadata"]["namespace"] == namespace


def test_there_is_only_ever_one_replica():
    spec = only(render(SHADOW), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_the_pod_is_acceptable_to_restricted_pod_security(container):
    pod = only(render(SHADOW), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    labels = only(render(SHADOW), "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_memory_is_bounded(container):
    assert container["resources"]["limits"] == {"memory": "512Mi"}
    assert container["resources"]["requests"]["memory"] == "512Mi"


def test_probes_ask_for_paths_that_are_served(container):
    probes = {name: container[name]["httpGet"] for name in ("livenessProbe", "readinessProbe")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    assert {probe["path"] for probe in probes.values()} <= set(PATHS)
    ports = {port["name"] for port in container["ports"]}
    assert {probe["port"] for probe in probes.values()} <= ports
    (service_port,) = only(render(SHADOW), "Service")["spec"]["ports"]
    assert service_port["targetPort"] in ports


def test_every_variable_of_the_pod_is_a_setting_with_a_good_value(container):
    values = {e["name"].removeprefix(PREFIX).lower(): e["value"] for e in container["env"]}
    assert values == {"http_host": "0.0.0.0", "http_port": "8080", "mode": "shadow"}
    settings = Settings.model_validate(values)
    assert settings.http_port == container["ports"][0]["containerPort"]


def test_the_service_selects_the_pod():
    manifests = render(SHADOW)
    labels = only(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert only(manifests, "Service")["spec"]["selector"].items() <= labels.items()


def test_a_patch_merges_named_lists_by_name_and_replaces_others():
    target = {"env": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}], "args": ["x"]}
    change = {"env": [{"name": "b", "value": "3"}, {"name": "c", "value": "4"}], "args": ["y"]}
    assert merge(target, change) == {
        "env": [
            {"name": "a", "value": "1"},
            {"name": "b", "value": "3"},
            {"name": "c", "value": "4"},
        ],
        "args": ["y"],
    }


def test_the_image_runs_as_the_user_of_the_pod_and_checks_every_hash():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes -r requirements.lock" in dockerfile
    assert re.search(r"^USER 65532:65532$", dockerfile, re.MULTILINE)
    assert 'ENTRYPOINT ["python", "-m", "spotvortex"]' in dockerfile
    assert 'CMD ["run"]' in dockerfile


def test_what_the_image_copies_is_there_and_not_ignored():
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names == {"requirements.lock", "spotvortex", "models", "LICENSE"}
    for name in names:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored


def test_the_image_of_the_deployment_has_the_version_of_the_code(container):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container["image"] == f"spotvortex:{version}"
