"""Helm gives, object by object, what kustomize gives: by mode, by component, in any namespace."""

import json
import shutil
import subprocess

import pytest
import yaml

from scripts.chart.__main__ import CHART, stale, texts
from scripts.chart.builds import Kustomize, identity, normal
from scripts.chart.templates import COMPONENTS, MODES
from tests.deploy.elsewhere import CLUSTER_SCOPED
from tests.deploy.helm.build import find_helm

pytestmark = [
    pytest.mark.program,
    pytest.mark.timeout(1800),  # a first build of helm
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here"),
]

ROLE = "arn:aws:iam::111122223333:role/spotvortex"
QUEUE = "https://sqs.eu-west-1.amazonaws.com/111122223333/spotvortex"
VALUES = {
    "prometheus-operator": {"monitoring": {"enabled": True}},
    "dashboards": {"dashboards": {"enabled": True}},
    "network-policy": {"networkPolicy": {"enabled": True}},
    "aws-irsa": {"aws": {"roleArn": ROLE}},
    "aws-pod-identity": {"aws": {"podIdentity": True}},
    "notices": {"notices": {"queue": QUEUE}},
    "otlp": {"otlp": {"endpoint": "http://otel-collector.monitoring:4318"}},
    "high-availability": {"highAvailability": {"enabled": True}},
    "weights": {"weights": {"enabled": True}},
}
"""The values that stand for each component, as it is shipped."""


@pytest.fixture(scope="module")
def helm():
    return find_helm()


@pytest.fixture(scope="module")
def kustomize(tmp_path_factory):
    return Kustomize(tmp_path_factory.mktemp("kustomize"))


def run(helm, *words, values=None, namespace="spotvortex"):
    """Run helm over the chart; values come on standard input."""
    return subprocess.run(
        [
            *(str(helm), *words, str(CHART), "--namespace", namespace, "--values", "-"),
            *("--kube-version", "1.30.0"),  # the oldest that the fence runs on
        ],
        input=json.dumps(values or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def rendered(helm, values, namespace="spotvortex"):
    done = run(helm, "template", "spotvortex", values=values, namespace=namespace)
    assert done.returncode == 0, done.stderr
    manifests = [normal(m) for m in yaml.safe_load_all(done.stdout) if m]
    assert len({identity(m) for m in manifests}) == len(manifests)
    return {identity(m): m for m in manifests}


def values_of(mode, components=()):
    found = {"mode": mode, "createNamespace": True}
    for component in components:
        for name, said in VALUES[component].items():
            found[name] = found.get(name, {}) | said
    return found


def cases_of(mode):
    """A mode alone, with each component, and with all that go over it."""
    over = [c.folder for c in COMPONENTS if mode in c.modes]
    return [(mode, chosen) for chosen in ([], *([name] for name in over), over)]


def named(case):
    mode, chosen = case
    return f"{mode}-{chosen[0] if len(chosen) == 1 else 'all' if chosen else 'plain'}"


@pytest.mark.parametrize("case", [c for m in MODES for c in cases_of(m)], ids=named)
def test_a_mode_gives_what_its_overlay_gives(helm, kustomize, case):
    mode, components = case
    assert rendered(helm, values_of(mode, components)) == kustomize.build(mode, components)


@pytest.mark.parametrize("mode", MODES)
def test_a_release_goes_into_any_namespace_as_an_overlay_does(helm, kustomize, mode):
    theirs = kustomize.build(mode, namespace="platform")
    for (kind, _), manifest in theirs.items():
        if kind in CLUSTER_SCOPED:
            # kustomize does not know that they have no namespace.
            del manifest["metadata"]["namespace"]
    assert rendered(helm, values_of(mode), "platform") == theirs


def test_the_namespace_is_made_by_helm_itself_where_nobody_says_otherwise(helm):
    kinds = {kind for kind, _ in rendered(helm, {})}
    assert "Namespace" not in kinds


def test_lint_finds_nothing(helm):
    done = run(helm, "lint", "--strict")
    assert done.returncode == 0, done.stdout + done.stderr


def test_image_and_settings_are_said_by_values(helm):
    values = {
        "image": {"repository": "example.com/spotvortex", "digest": f"sha256:{'0' * 64}"},
        "settings": {"MAX_SPOT_RATIO": "0.7"},
        "nodeSelector": {"role": "system"},
    }
    deployment = rendered(helm, values)["Deployment", "spotvortex"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == f"example.com/spotvortex@sha256:{'0' * 64}"
    assert {"name": "SPOTVORTEX_MAX_SPOT_RATIO", "value": "0.7"} in container["env"]
    assert pod["nodeSelector"] == {"role": "system"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"mode": "aktive"}, "mode"),
        ({"imge": {}}, "imge"),
        ({"settings": {"MAX_SPOT_RATIO": 0.7}}, "string"),
        ({"settings": {"MODE": "active"}}, "say it there"),
        ({"highAvailability": {"enabled": True}}, "two would decide twice"),
        ({"weights": {"enabled": True}}, "writes no NodePool"),
        ({"aws": {"roleArn": "spotvortex"}}, "roleArn"),
    ],
)
def test_a_value_that_means_nothing_is_refused(helm, values, said):
    done = run(helm, "template", "spotvortex", values=values)
    assert done.returncode != 0
    assert said in done.stderr


def test_the_chart_that_is_kept_is_the_one_that_is_made():
    assert stale(texts()) == []
