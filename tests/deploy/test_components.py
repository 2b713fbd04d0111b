"""Components go over every overlay, as kubectl itself renders them."""

import json
import shutil
import subprocess

import pytest
import yaml

from spotvortex.settings.model import PREFIX, Settings
from tests.deploy.manifests import ACTIVE, ADVISE, KUSTOMIZE, NAMESPACE, SHADOW

pytestmark = [
    pytest.mark.program,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here"),
]

COMPONENTS = (
    "prometheus-operator",
    "dashboards",
    "network-policy",
    "aws-irsa",
    "aws-pod-identity",
    "notices",
    "otlp",
)


@pytest.fixture(params=[SHADOW, ADVISE, ACTIVE], ids=lambda overlay: overlay.name)
def rendered(request, tmp_path):
    """What a user's own kustomization over an overlay gives with all components."""
    shutil.copytree(KUSTOMIZE, tmp_path / "kustomize")
    own = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"kustomize/overlays/{request.param.name}"],
        "components": [f"kustomize/components/{name}" for name in COMPONENTS],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    done = subprocess.run(
        ["kubectl", "kustomize", str(tmp_path)], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def found(rendered, kind):
    return [m for m in rendered if m["kind"] == kind]


def test_the_monitor_scrapes_the_port_of_the_pods(rendered):
    (monitor,) = found(rendered, "PodMonitor")
    (deployment,) = found(rendered, "Deployment")
    pod = deployment["spec"]["template"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {p["name"] for p in pod["spec"]["containers"][0]["ports"]}
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    assert wanted <= pod["metadata"]["labels"].items()
    assert monitor["metadata"]["namespace"] == NAMESPACE


def test_the_policy_is_of_our_pods_and_of_no_placeholder(rendered):
    (policy,) = found(rendered, "NetworkPolicy")
    (deployment,) = found(rendered, "Deployment")
    wanted = policy["spec"]["podSelector"]["matchLabels"]
    assert wanted.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    ports = {p["port"] for rule in policy["spec"]["egress"] for p in rule["ports"]}
    assert ports == {53, 80, 443, 6443, "http"}
    one_another = [{"podSelector": {"matchLabels": wanted}}]
    (asked,) = [rule for rule in policy["spec"]["egress"] if rule.get("to") == one_another]
    assert asked["ports"] == [{"port": "http"}]
    (reached,) = policy["spec"]["ingress"]
    assert one_another[0] in reached["from"]


def test_the_dashboards_are_json_that_a_sidecar_finds(rendered):
    (config,) = [
        m for m in found(rendered, "ConfigMap") if m["metadata"]["name"] == "spotvortex-dashboards"
    ]
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    titles = {json.loads(text)["title"] for text in config["data"].values()}
    assert len(titles) == 3


def test_no_component_grants_a_right(rendered):
    plain = subprocess.run(
        ["kubectl", "kustomize", str(KUSTOMIZE / "overlays" / overlay_of(rendered))],
        capture_output=True,
        timeout=60,
        check=True,
    )
    roles = [m for m in yaml.safe_load_all(plain.stdout) if "Role" in m["kind"]]
    assert [m for m in rendered if "Role" in m["kind"]] == roles


def test_what_a_component_sets_is_a_setting_that_the_daemon_takes(rendered):
    (deployment,) = found(rendered, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    values = {
        e["name"].removeprefix(PREFIX).lower(): e["value"] for e in container["env"] if "value" in e
    }
    assert values.pop("otel_exporter_otlp_endpoint").endswith(":4318")
    settings = Settings.model_validate(values)
    assert (settings.price_source, settings.notice_source) == ("aws", "evidence")
    assert settings.interruption_queue.startswith("https://sqs.")
    (account,) = found(rendered, "ServiceAccount")
    assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].startswith("arn:aws:")


def overlay_of(rendered):
    """Tell the overlay by the mode of its pod."""
    (deployment,) = found(rendered, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return next(e["value"] for e in container["env"] if e["name"] == "SPOTVORTEX_MODE")
