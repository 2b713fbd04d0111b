"""What is installed can only read in shadow, is locked down, and is probed where it answers."""

import re
import shutil
import subprocess
import tomllib
from collections import Counter

import pytest
import yaml

from spotvortex.core.domain import labels as label_names
from spotvortex.core.domain.types import Mode
from spotvortex.core.pool.owner_rules import NO_RULES, read_rules, with_settings
from spotvortex.server.pages import PATHS
from spotvortex.settings.model import PREFIX, Settings
from tests.deploy.manifests import (
    ACCOUNT,
    ACTIVE,
    CANARY,
    COMPONENT,
    KUSTOMIZE,
    NAMESPACE,
    SHADOW,
    active_bounds,
    active_fence,
    active_roles,
    merge,
    only,
    render,
    shadow_cluster_role,
)
from tests.paths import ROOT

BASE = KUSTOMIZE / "base"
STATUS = "cluster-autoscaler-status"


@pytest.fixture
def container():
    (found,) = only(render(SHADOW), "Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def test_every_file_of_the_folders_is_listed_and_is_one_manifest():
    folders = [path.parent for path in KUSTOMIZE.rglob("kustomization.yaml")]
    assert {BASE, SHADOW, ACTIVE} <= set(folders)
    for folder in folders:
        kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
        listed = {
            *kustomization["resources"],
            *(p["path"] for p in kustomization.get("patches", [])),
        }
        settings = {"kustomization.yaml", *kustomization.get("configurations", ())}
        files = {path.name for path in folder.glob("*.yaml")} - settings
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
        ("apps", "statefulsets"),
        ("", "namespaces"),
        ("karpenter.sh", "nodepools"),
        ("", "events"),
    }
    reading = {(*r, verb) for r in resources for verb in ("get", "list", "watch")}
    measures = {("metrics.k8s.io", r, verb) for r in ("nodes", "pods") for verb in ("get", "list")}
    assert granted == reading | measures | {("", "configmaps", "get")}


KEPT = {label_names.LEDGER, label_names.MEMORY}
"""The ConfigMaps that the daemon may write in every mode."""


def test_shadow_grants_beside_that_role_two_config_maps_of_its_own_and_can_make_none():
    kinds = Counter(m["kind"] for m in render(SHADOW) if "Role" in m["kind"])
    assert kinds == {"ClusterRole": 1, "ClusterRoleBinding": 1, "Role": 2, "RoleBinding": 2}
    for rule in shadow_cluster_role()["rules"]:
        of_one = {"resourceNames"} if rule["resources"] == ["configmaps"] else set()
        assert rule.keys() == {"apiGroups", "resources", "verbs"} | of_one
        assert rule.get("resourceNames", [STATUS]) == [STATUS]
    roles = {m["metadata"]["name"]: m for m in render(SHADOW) if m["kind"] == "Role"}
    assert roles.keys() == KEPT
    for name, role in roles.items():
        assert role["metadata"]["namespace"] == NAMESPACE
        assert rights_of(role) == {("", "configmaps", v, (name,)) for v in ("get", "patch")}


def test_what_is_kept_says_nothing_of_its_data_so_that_it_is_never_reset():
    found = [m for m in render(SHADOW) if m["kind"] == "ConfigMap"]
    assert {m["metadata"]["name"] for m in found} == KEPT
    for config_map in found:
        assert config_map["metadata"]["namespace"] == NAMESPACE
        assert not {"data", "binaryData", "immutable"} & config_map.keys()


def rights_of(role):
    """Every (group, resource, verb, names) of a role."""
    return {
        (group, resource, verb, tuple(rule.get("resourceNames", ())))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def active_role(kind, name):
    (found,) = [m for m in render(ACTIVE) if m["kind"] == kind and m["metadata"]["name"] == name]
    return found


def test_active_writes_three_things_and_events_outside_our_namespace():
    assert rights_of(active_role("ClusterRole", "spotvortex-active")) == {
        ("", "nodes", "patch", ()),
        ("", "pods/eviction", "create", ()),
        ("karpenter.sh", "nodeclaims", "get", ()),
        ("karpenter.sh", "nodeclaims", "delete", ()),
    }
    events = active_role("ClusterRole", "spotvortex-events")
    assert rights_of(events) == {("", "events", "create", ()), ("", "events", "patch", ())}


def test_active_writes_in_our_namespace_only_names_of_ours_where_that_can_be_said():
    role = active_role("Role", "spotvortex-active")
    assert role["metadata"]["namespace"] == NAMESPACE
    state, freeze, lease = label_names.STATE, label_names.FREEZE, label_names.LEASE
    assert rights_of(role) == {
        *(("", "pods", verb, ()) for verb in ("create", "deletecollection")),
        ("batch", "jobs", "create", ()),
        ("batch", "jobs", "deletecollection", ()),
        ("", "configmaps", "create", ()),
        *(("", "configmaps", verb, (state, freeze)) for verb in ("get", "list", "watch")),
        ("", "configmaps", "update", (state,)),
        *(("", "configmaps", verb, (label_names.GROWTHS,)) for verb in ("get", "update")),
        ("coordination.k8s.io", "leases", "create", ()),
        *(("coordination.k8s.io", "leases", verb, (lease,)) for verb in ("get", "update")),
    }


def test_no_role_has_a_wildcard_and_all_are_bound_to_our_account_alone():
    manifests = render(ACTIVE)
    roles = [m for m in manifests if m["kind"] in {"Role", "ClusterRole"}]
    bindings = [m for m in manifests if m["kind"].endswith("RoleBinding")]
    assert "*" not in {word for role in roles for right in rights_of(role) for word in right[:3]}
    assert {r["metadata"]["name"] for r in roles} == {b["roleRef"]["name"] for b in bindings}
    account = {"kind": "ServiceAccount", "name": "spotvortex", "namespace": NAMESPACE}
    assert all(binding["subjects"] == [account] for binding in bindings)
    assert f"system:serviceaccount:{account['namespace']}:{account['name']}" == ACCOUNT


def test_the_roles_of_a_test_are_those_that_are_shipped():
    shipped = [rights_of(m) for m in render(ACTIVE) if m["kind"] in {"Role", "ClusterRole"}]
    tested = active_roles("somebody", "elsewhere")
    assert [rights_of(m) for m in tested if "rules" in m] == shipped
    subjects = [m["subjects"] for m in tested if "subjects" in m]
    named = [[s["name"] for s in found] for found in subjects]
    assert named == [["somebody", "spotvortex"]] * len(shipped)
    assert {m["metadata"].get("namespace") for m in tested} == {"elsewhere", None}


def test_the_fence_stands_around_whom_the_writing_rights_are_bound_to_and_denies():
    policies = [m for m in render(ACTIVE) if m["kind"] == "ValidatingAdmissionPolicy"]
    bindings = [m for m in render(ACTIVE) if m["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert len(policies) == len(bindings) == 5
    for policy, binding in zip(policies, bindings, strict=True):
        assert binding["spec"]["policyName"] == policy["metadata"]["name"]
        assert binding["spec"]["validationActions"] == ["Deny"]
        # Where nobody may write by these rights, everybody else goes on.
        assert binding["spec"]["paramRef"]["parameterNotFoundAction"] == "Allow"
        assert policy["spec"]["failurePolicy"] == "Fail"
        (condition,) = policy["spec"]["matchConditions"]
        assert "params." in condition["expression"]
        assert NAMESPACE + ":" not in condition["expression"]
    (named,) = [m for m in render(ACTIVE) if COMPONENT.items() <= m["metadata"]["labels"].items()]
    assert (named["kind"], named["roleRef"]["name"]) == ("ClusterRoleBinding", "spotvortex-active")
    assert len(active_fence("somebody", "elsewhere")) == 11


def test_the_fence_lets_exactly_the_marks_of_a_node_through():
    policy = only(
        [m for m in render(ACTIVE) if m["metadata"]["name"] == "spotvortex-nodes"],
        "ValidatingAdmissionPolicy",
    )
    names = set(re.findall(r"spotvortex\.io/[a-z-]+", yaml.safe_dump(policy["spec"])))
    assert names == {*label_names.NODE_LABELS, *label_names.NODE_ANNOTATIONS}


def test_placeholders_ask_below_every_workload_and_push_nothing_away():
    found = only(active_bounds(), "PriorityClass")
    assert found["metadata"]["name"] == label_names.PRIORITY_CLASS
    assert (found["value"], found["preemptionPolicy"]) == (label_names.PRIORITY, "Never")
    assert found["globalDefault"] is False


def test_active_runs_two_replicas_that_keep_each_other_and_no_class_of_the_system():
    deployment = only(render(ACTIVE), "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]["type"]) == (2, "RollingUpdate")
    assert "priorityClassName" not in deployment["template"]["spec"]
    budget = only(render(ACTIVE), "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow", (
        "or it holds nodes while not Ready"
    )
    labels = deployment["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert labels == {label_names.APP: label_names.MANAGER}


def test_every_variable_of_the_active_pod_is_a_setting():
    (found,) = only(render(ACTIVE), "Deployment")["spec"]["template"]["spec"]["containers"]
    values = {e["name"].removeprefix(PREFIX).lower(): e for e in found["env"]}
    assert values.keys() == {
        "commitments_path",
        "http_host",
        "http_port",
        "pod_ip",
        "http_token",
        "mode",
        "namespace",
        "node_name",
        "pod_name",
    }
    assert values.keys() <= Settings.model_fields.keys()
    assert Mode(values["mode"]["value"]) is Mode.ACTIVE
    paths = [
        values[n]["valueFrom"]["fieldRef"]["fieldPath"]
        for n in ("namespace", "node_name", "pod_name", "pod_ip")
    ]
    assert paths == ["metadata.namespace", "spec.nodeName", "metadata.name", "status.podIP"]


CHOSEN = ("SPOTVORTEX_MODE", "SPOTVORTEX_POOL_RULES")


def test_canary_only_looks_at_a_pool_that_nobody_has_chosen():
    (found,) = only(render(CANARY), "Deployment")["spec"]["template"]["spec"]["containers"]
    values = {e["name"].removeprefix(PREFIX).lower(): e.get("value") for e in found["env"]}
    rules = Settings(mode=values["mode"], pool_rules=values["pool_rules"]).rules_of_pools()
    chosen = read_rules([(label_names.MODE, "canary")])
    assert with_settings(chosen, "web", rules).mode is Mode.CANARY
    assert with_settings(NO_RULES, "api", rules).mode is Mode.SHADOW


@pytest.mark.parametrize(("mode", "like"), [("advise", "shadow"), ("canary", "active")])
def test_two_overlays_differ_by_their_mode_and_advise_by_its_events(mode, like):
    found, other = render(KUSTOMIZE / "overlays" / mode), render(KUSTOMIZE / "overlays" / like)
    for manifests in (found, other):
        container = only(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]
        (variable,) = [e for e in container["env"] if e["name"] == "SPOTVORTEX_MODE"]
        assert Mode(variable["value"]) is Mode(mode if manifests is found else like)
        container["env"] = [e for e in container["env"] if e["name"] not in CHOSEN]
    more = [m for m in found if m not in other]
    assert [m for m in other if m not in found] == []
    names = {(m["kind"], m["metadata"]["name"]) for m in more}
    events = {(kind, "spotvortex-events") for kind in ("ClusterRole", "ClusterRoleBinding")}
    assert names == (events if mode == "advise" else set())


@pytest.mark.program
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on PATH")
@pytest.mark.parametrize("overlay", ["shadow", "advise", "canary", "active", "weights"])
def test_kustomize_itself_gives_what_these_tests_read(overlay):
    folder = KUSTOMIZE / "overlays" / overlay
    command = ["kubectl", "kustomize", str(folder)]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    given = [as_text(m) for m in yaml.safe_load_all(built)]
    assert sorted(given) == sorted(as_text(m) for m in render(folder))


def as_text(manifest):
    """One text for a manifest, whatever the order of its variables."""
    if manifest["kind"] == "Deployment":
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        container["env"].sort(key=lambda e: e["name"])
    return yaml.safe_dump(manifest)


def test_active_changes_nothing_else_of_what_shadow_installs():
    ours = {(m["kind"], m["metadata"]["name"]): m for m in render(ACTIVE)}
    for manifest in render(SHADOW):
        if manifest["kind"] != "Deployment":
            assert ours[manifest["kind"], manifest["metadata"]["name"]] == manifest


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
    values = {e["name"].removeprefix(PREFIX).lower(): e.get("value") for e in container["env"]}
    from_elsewhere = {n: values.pop(n) for n in ("http_token", "namespace", "pod_name")}
    assert set(from_elsewhere.values()) == {None}
    (mount,) = container["volumeMounts"]
    assert values.pop("commitments_path") == f"{mount['mountPath']}/commitments.json"
    assert values == {"http_host": "0.0.0.0", "http_port": "8080", "mode": "shadow"}
    settings = Settings.model_validate(values)
    assert settings.http_port == container["ports"][0]["containerPort"]


@pytest.mark.parametrize("overlay", ["shadow", "advise", "canary", "active"])
def test_a_statement_of_commitments_is_mounted_if_there_is_one(overlay):
    pod = only(render(KUSTOMIZE / "overlays" / overlay), "Deployment")["spec"]["template"]["spec"]
    (volume,) = pod["volumes"]
    assert volume["configMap"] == {"name": "spotvortex-commitments", "optional": True}
    assert [m["name"] for m in pod["containers"][0]["volumeMounts"]] == [volume["name"]]


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
    assert names == {"requirements.lock", "scripts/dist/sbom.py", "spotvortex", "models", "LICENSE"}
    for name in names:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored


def test_the_image_of_the_deployment_has_the_version_of_the_code(container):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container["image"] == f"spotvortex:{version}"
