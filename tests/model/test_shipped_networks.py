"""The networks that ship: they are what the manifest says, and behave like a risk model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.types import Offering, Predictor
from spotvortex.core.scoring.interruption_memory import remembered_score
from spotvortex.core.scoring.trajectory import trajectories
from spotvortex.model.forecaster import load
from spotvortex.model.sequence_model import PROBE
from spotvortex.model.trial.behaviour import State, plausible, tried
from tests.model.bundles import SHIPPED, copy_of_shipped, edit_manifest

MANIFEST = json.loads((SHIPPED / "MODEL_MANIFEST.json").read_text())
NETWORKS = ("tft.onnx", "tft.onnx.data", "rl_policy.onnx", "rl_policy.onnx.data")
MOST_BYTES = 5 * 1024**2
ROOT = Path(__file__).resolve().parents[2]
TRAINING_CODE = (
    "scripts/train/*.py",
    "spotvortex/core/scoring/trajectory.py",
    "spotvortex/core/scoring/features.py",
    "spotvortex/core/scoring/hazard.py",
)
"""As in `scripts.train.bundle`, which needs torch."""


@pytest.fixture(scope="module")
def challenger():
    found = load(SHIPPED, "aws").challenger
    assert found is not None
    return found


def test_five_files_are_there_and_every_digest_is_that_of_its_file() -> None:
    assert set(NETWORKS) < set(MANIFEST["artifacts"])
    for name, digest in MANIFEST["artifacts"].items():
        assert hashlib.sha256((SHIPPED / name).read_bytes()).hexdigest() == digest, name
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < MOST_BYTES
    assert len(MANIFEST["supported_instance_families"]) >= 60


def test_manifest_says_where_the_networks_are_from() -> None:
    training = MANIFEST["training"]
    assert len(training["seeds"]) >= 5
    assert all(s["first_day"] < s["last_day"] for s in training["sources"])
    assert training["metrics"]["network_auc_60_min"] > 0.7
    assert "does not beat the interruption memory" in MANIFEST["challenger"]["why"]


def test_the_memory_decides_and_both_models_are_asked_beside_it() -> None:
    bundle = load(SHIPPED, "aws")
    assert bundle.decides is Predictor.MEMORY
    assert [c.predictor for c in bundle.challengers] == [Predictor.GRAPH, Predictor.NETWORK]
    figures = MANIFEST["training"]["metrics"]
    assert figures["memory_brier_60_min"] < figures["network_brier_60_min"]


def test_graph_beside_says_what_it_would_have_decided_on() -> None:
    bundle, contexts = load(SHIPPED, "aws"), plausible()
    graph = bundle.challengers[0]
    said = graph.score(graph.tensor(contexts, 0.0))
    assert said.tolist() == bundle.score(bundle.tensor(contexts, 0.0)).tolist()


def test_where_the_graph_decides_the_memory_is_asked_beside_it(tmp_path: Path) -> None:
    folder = copy_of_shipped(tmp_path)
    edit_manifest(folder, lambda m: m.pop("decides"))
    bundle = load(folder, "aws")
    assert bundle.decides is Predictor.GRAPH
    memory, _ = bundle.challengers
    assert memory.predictor is Predictor.MEMORY
    ((one, two),) = memory.score(memory.tensor([PROBE], 0.0)).tolist()
    wanted = remembered_score(PROBE)
    assert (one, two) == pytest.approx((wanted.capacity_score, wanted.runtime_score))


def test_manifest_says_what_has_changed_in_the_code_since_the_training() -> None:
    whole = hashlib.sha256()
    for path in sorted(p for pattern in TRAINING_CODE for p in ROOT.glob(pattern)):
        whole.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    training = MANIFEST["training"]
    assert training["code"] == whole.hexdigest() or training["code_changes"]


def test_every_network_behaves(challenger) -> None:
    assert challenger.degenerate_reason == ""
    found = {finding.name: finding for finding in tried(load(SHIPPED, "aws"), lambda: 0.0)}
    assert {"behaviour", "challenger", "policy"} <= set(found)
    assert all(f.state is not State.WRONG for f in found.values()), found


@given(
    held=st.floats(0.0, 5000.0),
    since=st.floats(0.0, 5000.0),
    level=st.floats(1e-6, 10.0),
    survivor=st.booleans(),
    size=st.sampled_from(["t3.nano", "m6i.large", "u-24tb1.112xlarge", "strange"]),
)
def test_challenger_stays_within_its_bounds_of_the_memory_and_in_order(
    challenger, held: float, since: float, level: float, survivor: bool, size: str
) -> None:
    made = replace(
        PROBE,
        offering=Offering(instance_type=size, zone="us-east-1a"),
        held_hours=held,
        hours_since_loss=since,
        level_per_hour=level,
        hazard_per_hour=level,
        is_survivor=survivor,
    )
    ((one, two),) = challenger.score(trajectories([made])).astype(float)
    assert 0.0 <= one <= two <= 1.0
    memory = remembered_score(made).capacity_score
    assert memory is not None
    if 1e-5 < memory < 0.9:
        assert 0.02 < np.log1p(-min(one, 0.999999)) / np.log1p(-memory) < 20.0


def test_what_is_unknown_does_not_silence_the_challenger(challenger) -> None:
    rows = trajectories(plausible()[:40])
    rows[:, :, :2] = np.nan
    assert np.isfinite(challenger.score(rows)).all()
    unknown_level = trajectories([replace(PROBE, level_per_hour=None)])
    assert np.isnan(challenger.score(unknown_level)).all()
