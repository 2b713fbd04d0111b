"""A policy network is fitted and becomes part of a bundle; skipped without the extra `train`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

import torch

from scripts.train import bundle, policy
from spotvortex.core.domain.types import Action
from spotvortex.model.forecaster import load
from tests.model.bundles import SHIPPED

pytestmark = pytest.mark.trial

ACTIONS = tuple(Action)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fitted_network_prefers_what_was_cheap_and_becomes_part_of_a_bundle(
    tmp_path: Path,
) -> None:
    chance = np.random.default_rng(1)
    for world in range(3):
        states = chance.uniform(0.0, 1.0, (400, 13)).astype(np.float32)
        actions = chance.integers(0, 6, 400)
        wanted = ACTIONS.index(Action.INCREASE_30)
        np.savez(
            tmp_path / f"{world}.npz",
            states=states,
            actions=actions,
            spent=np.where(actions == wanted, 0.3, 1.0),
            after=states,
        )
    network = policy.train(tmp_path, 0, tmp_path / "runs")
    again = policy.train(tmp_path, 0, tmp_path / "again")
    with torch.no_grad():
        states = torch.rand(200, 13)
        best = network(states).argmax(dim=1)
        assert torch.equal(network(states), again(states))
    assert float((best == ACTIONS.index(Action.INCREASE_30)).float().mean()) > 0.9

    made = Path(shutil.copytree(SHIPPED, tmp_path / "models"))
    manifest = json.loads((made / bundle.MANIFEST).read_text())
    bundle.write_policy(tmp_path / "runs" / "policy-0", manifest, made)
    (made / bundle.MANIFEST).write_text(json.dumps(manifest))
    loaded = load(made, "aws")
    with torch.no_grad():
        wanted = network(states).numpy()
    np.testing.assert_allclose(loaded.q_values(states.numpy()), wanted, atol=1e-5)
