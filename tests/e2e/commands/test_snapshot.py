"""`spotvortex snapshot` against a real API server: what is there, nothing written, names hidden."""

import json
import os
import subprocess
import sys

import pytest

from spotvortex.results import cluster_snapshot as snapshots
from tests.controlplane.cluster import ControlPlane
from tests.e2e.conftest import USER
from tests.e2e.equipment import scene
from tests.paths import ROOT

pytestmark = pytest.mark.controlplane


def snapshot(plane: ControlPlane, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SPOTVORTEX_")}
    environment |= {"KUBECONFIG": str(plane.kubeconfig(USER)), "COLUMNS": "140"}
    done = subprocess.run(
        [sys.executable, "-m", "spotvortex", "snapshot", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_pools_of_a_cluster_are_written_down_with_their_workloads(shop, tmp_path):
    file = tmp_path / "cluster.json"
    assert snapshot(shop, "--out", str(file)) == ""
    taken = snapshots.from_text(file.read_text())
    pools = {pool.name: pool for pool in taken.pools}
    assert set(scene.POOLS) <= set(pools)
    assert sum(row.count for row in pools["web"].nodes) == 10
    checkout = [w for p in taken.pools for w in p.workloads if w.name == "checkout"]
    assert sum(w.replicas for w in checkout) == 6
    assert {w.max_unavailable for w in checkout} == {1}
    assert {w.kind for w in checkout} == {"Deployment"}


def test_a_redacted_one_goes_to_standard_output_without_names(shop):
    text = snapshot(shop, "--redact")
    assert "checkout" not in text
    assert sum(row["count"] for row in _rows(json.loads(text))) >= 20


def _rows(document):
    for pool in document["pools"]:
        for row in pool["nodes"]:
            yield {"count": row["count"] if isinstance(row, dict) else row[-1]}
