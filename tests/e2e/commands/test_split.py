"""`karpenter split` on the real API server: its pair is accepted, and one pool of two sides."""

import json
import os

import pytest
import yaml
from typer.testing import CliRunner

from spotvortex.cli.main import cli, main
from tests.controlplane.manifests import (
    NodeShape,
    node_class_manifest,
    node_manifest,
    nodepool_manifest,
)

pytestmark = pytest.mark.controlplane
POOLS = "/apis/karpenter.sh/v1/nodepools"
SPEC = {
    "limits": {"cpu": "64"},
    "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "1m"},
}


@pytest.fixture
def plane(control_plane, monkeypatch):
    """A control plane with one mixed NodePool."""
    for name in [n for n in os.environ if n.upper().startswith("SPOTVORTEX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig("admin")))
    control_plane.apply([node_class_manifest(), nodepool_manifest("split", spec=SPEC)])
    yield control_plane
    for name in ("split", "split-spot", "split-od"):
        control_plane.api().request("DELETE", f"{POOLS}/{name}")


def typed(*words, stdin=None):
    result = CliRunner().invoke(cli, ["karpenter", *words], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def refused(capsys, monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["spotvortex", "karpenter", "split", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    return capsys.readouterr().err


def test_the_server_takes_the_pair_and_assess_sees_one_pool_with_two_sides(plane):
    text = typed("split", "split")
    sides = list(yaml.safe_load_all(text))
    plane.apply(sides)
    stored = [plane.api().get(f"{POOLS}/{side['metadata']['name']}") for side in sides]
    assert [pool["spec"]["limits"]["cpu"] for pool in stored] == ["64", "64"]
    nodes = [
        node_manifest("split-node-0", NodeShape(pool="split-spot", capacity_type="spot")),
        node_manifest("split-node-1", NodeShape(pool="split-od", capacity_type="on-demand")),
        node_manifest("split-node-2", NodeShape(pool="split", capacity_type="spot")),
    ]
    try:
        plane.apply(nodes)
        result = CliRunner().invoke(cli, ["assess", "--output", "json"])
        report = json.loads(result.stdout)
        ours = [d for d in report["decisions"] if d["pool"].startswith("split")]
        assert [d["pool"] for d in ours] == ["split"]
        assert ours[0]["current_ratio"] == pytest.approx(2 / 3, abs=1e-3)
    finally:
        for node in nodes:
            plane.api().request("DELETE", f"/api/v1/nodes/{node['metadata']['name']}")


def test_a_file_gives_the_same_as_the_cluster_and_nothing_is_written(plane, tmp_path):
    found = plane.api().get(f"{POOLS}/split")
    path = tmp_path / "pools.yaml"
    path.write_text(yaml.safe_dump({"kind": "List", "items": [found]}))
    text = typed("split", "split")
    assert typed("split", "-f", str(path)) == text
    assert typed("split", "split", "-f", "-", stdin=json.dumps(found)) == text
    assert plane.api().get(f"{POOLS}/split") == found


def test_what_cannot_be_found_or_read_is_said_with_the_fix(plane, tmp_path, capsys, monkeypatch):
    assert "kubectl get nodepools lists them" in refused(capsys, monkeypatch, "none-such")
    assert "name a NodePool" in refused(capsys, monkeypatch)
    path = tmp_path / "pools.yaml"
    assert "No such file" in refused(capsys, monkeypatch, "-f", path)
    path.write_text("a: [")
    assert "pools.yaml" in refused(capsys, monkeypatch, "-f", path)
    path.write_text("kind: ConfigMap")
    assert "holds no NodePool; give the YAML of one" in refused(capsys, monkeypatch, "-f", path)
    pools = [nodepool_manifest("a"), nodepool_manifest("b")]
    path.write_text(yaml.safe_dump_all(pools))
    assert "name one; it has a, b" in refused(capsys, monkeypatch, "-f", path)
    assert "no NodePool c; it has a, b" in refused(capsys, monkeypatch, "c", "-f", path)
