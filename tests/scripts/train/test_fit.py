"""The trainer from end to end on a tiny data set; skipped where the extra `train` is missing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")
pytest.importorskip("sklearn", reason="the extra `train` (scikit-learn) is not installed")

import torch

from scripts.train import bundle, compare, fit
from scripts.train.dataset import samples_of
from scripts.train.samples import Samples, read_samples
from scripts.train.series import Market
from spotvortex.core.domain.types import Offering
from spotvortex.model.forecaster import load
from spotvortex.sim.market.semimarkov import TRACELIKE, generate
from spotvortex.sim.market.shortage_clock import TimeSpan
from tests.paths import ROOT

pytestmark = pytest.mark.trial

SPAN = TimeSpan(start_at=1_672_531_200.0, seconds=4 * 86_400.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a data set of three offerings and four days."""
    path = tmp_path_factory.mktemp("train")
    offerings = [Offering(instance_type="c6i.large", zone=f"us-east-1{z}") for z in "abc"]
    counts = generate(seed=5, family=TRACELIKE, offerings=offerings, span=SPAN)
    market = Market(name="tiny", counts=counts, start_at=SPAN.start_at, end_at=SPAN.end_at)
    np.savez(path / "data.npz", **samples_of([market], 1, 2), sources=np.array('{"tiny": "0"}'))
    return path


@pytest.fixture(scope="module")
def samples(folder: Path) -> Samples:
    """Return its samples."""
    return read_samples(folder / "data.npz")


def weights(model: torch.nn.Module) -> list[np.ndarray]:
    return [p.detach().numpy() for p in model.state_dict().values()]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_run_is_the_same_again_and_goes_on_where_it_was_stopped(
    folder: Path, samples: Samples
) -> None:
    plan = fit.Plan(seed=3, epochs=3)
    whole = weights(fit.train(samples, plan, folder / "whole"))
    fit.train(samples, replace(plan, epochs=1), folder / "halves")
    in_halves = weights(fit.train(samples, plan, folder / "halves"))
    for one, other in zip(whole, in_halves, strict=True):
        np.testing.assert_array_equal(one, other)
    log = (folder / "halves" / plan.name / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == list(range(1, len(log) + 1))


@pytest.mark.filterwarnings("ignore")
def test_trained_networks_are_compared_and_become_a_bundle(folder: Path, samples: Samples) -> None:
    runs = folder / "runs"
    for variant in ("all", "price-only"):
        fit.train(samples, fit.Plan(variant=variant, epochs=1), runs)
    found = compare.compare(samples, runs)
    assert found["worst_seed"] == "all-0"
    assert found["decides"] in ("memory", "network")
    table = found["horizons"]["60"]["recorded, later in time"]
    assert {"constant", "memory", "all-0", "price-only-0"} <= set(table)
    assert sum(found["looks_at"]["attention"].values()) == pytest.approx(1.0, abs=0.01)
    assert "| memory |" in compare.markdown(found, "60", "recorded, later in time")

    made = Path(shutil.copytree(ROOT / "models", folder / "models"))
    model = fit.Tft(fit.VARIANTS["all"], *fit.scales(samples.x[:2]))
    model.load_state_dict(torch.load(runs / "all-0" / "calibrated.pt", weights_only=True))
    model.eval()
    manifest = json.loads((made / bundle.MANIFEST).read_text())
    outputs = ["capacity_score", "runtime_score"]
    example = torch.from_numpy(samples.x[:2])
    files = bundle.export(
        bundle.Scores(model), example, made / bundle.RISK_GRAPH, "trajectory", outputs
    )
    assert set(files) == {"tft.onnx", "tft.onnx.data"}
    bundle.put(manifest, {"challenger": bundle.challenger_of(model, found)}, files)
    (made / bundle.MANIFEST).write_text(json.dumps(manifest))
    challenger = load(made, "aws").challenger
    assert challenger is not None
    with torch.no_grad():
        wanted = model(torch.from_numpy(samples.x[:700]))[:, [5, 11]].numpy()
    np.testing.assert_allclose(challenger.run(samples.x[:700]), wanted, atol=1e-5)


def test_network_starts_as_the_memory_itself(samples: Samples) -> None:
    model = fit.Tft(fit.VARIANTS["all"], *fit.scales(samples.x))
    model.eval()
    with torch.no_grad():
        said = model(torch.from_numpy(samples.x))[:, 5].numpy()
    np.testing.assert_allclose(said, compare.baselines.memory(samples, 60), rtol=1e-3, atol=1e-6)


def test_column_that_is_masked_reaches_nothing(samples: Samples) -> None:
    model = fit.Tft(fit.VARIANTS["price-only"], *fit.scales(samples.x))
    torch.nn.init.ones_(model.correction.weight)
    model.eval()
    changed = samples.x[:50].copy()
    changed[:, :, 3:] += 1.0
    with torch.no_grad():
        one, other = (model(torch.from_numpy(x)) for x in (samples.x[:50], changed))
    assert torch.equal(one, other)
