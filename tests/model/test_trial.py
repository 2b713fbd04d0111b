"""`spotvortex model check`: a bundle on trial before it is used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from spotvortex.cli.main import cli
from spotvortex.core.scoring.trajectory import trajectories
from spotvortex.model.forecaster import load
from spotvortex.model.trial.behaviour import State, plausible, tried
from tests.model.bundles import SHIPPED, copy_of_shipped, edit_manifest, linear_graph, put_graph


def checked(*words: object) -> Result:
    result = CliRunner().invoke(cli, ["model", "check", *map(str, words), "--output", "json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def found(result: Result) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(result.output)["checks"]}


def test_shipped_bundle_passes() -> None:
    checks = found(checked(SHIPPED))
    names = {"contract", "decides", "behaviour", "challenger", "policy", "training"}
    assert names <= set(checks)
    assert checks["decides"]["detail"].startswith("the interruption memory; asked beside it: age")
    assert all(c["finding"] == "ok" for name, c in checks.items() if "speed" not in name)


def test_bundle_that_breaks_its_contract_is_told_with_the_field(tmp_path: Path) -> None:
    bundle = copy_of_shipped(tmp_path)
    edit_manifest(bundle, lambda m: m.update(cloud="gcp"))
    result = checked(bundle)
    assert result.exit_code == 2
    assert "cloud is 'gcp'" in found(result)["contract"]["detail"]


def test_network_that_answers_a_constant_is_wrong(tmp_path: Path) -> None:
    bundle = copy_of_shipped(tmp_path)
    put_graph(bundle, linear_graph([[0.0, 0.0], [0.0, 0.0]]))
    result = checked(bundle)
    assert result.exit_code == 1
    assert "the interruption memory decides meanwhile" in found(result)["behaviour"]["fix"]
    edit_manifest(bundle, lambda m: m.update(decides="graph"))
    result = checked(bundle)
    assert result.exit_code == 2
    assert "abstains everywhere" in found(result)["behaviour"]["detail"]


def test_network_that_says_all_or_nothing_is_doubted(tmp_path: Path) -> None:
    bundle = copy_of_shipped(tmp_path)
    put_graph(bundle, linear_graph([[-60.0, -60.0], [2000.0, 2000.0]]))
    behaviour = found(checked(bundle))["behaviour"]
    assert "all but 0 or 1" in behaviour["detail"]
    assert "calibrate" in behaviour["fix"]


def test_slow_bundle_is_doubted() -> None:
    ticks = iter(float(10 * k) for k in range(100))
    slow = [f for f in tried(load(SHIPPED, "aws"), lambda: next(ticks)) if "speed" in f.name]
    assert slow
    assert {finding.state for finding in slow} == {State.DOUBT}


def samples(path: Path) -> Path:
    """Write a file of samples in which every second node is lost."""
    x = trajectories(plausible())
    n = len(x)
    np.savez(
        path,
        x=x,
        lost_step=np.where(np.arange(n) % 2, 12, 3),
        n_known=np.full(n, 12),
        share=np.full(n, 0.9),
        generated=np.zeros(n, dtype=bool),
    )
    return path


def test_figures_stand_beside_those_of_the_memory(tmp_path: Path) -> None:
    result = checked(SHIPPED, "--data", samples(tmp_path / "data.npz"))
    told = [c["detail"] for c in json.loads(result.output)["checks"] if "min" in c["name"]]
    assert any(text.startswith("interruption memory: AUC") for text in told)
    assert any(text.startswith("age-hazard baseline: AUC") for text in told)
    assert all("50.0% lost" in text for text in told)


@pytest.mark.parametrize("content", [b"", b"no samples", b"PK\x03\x04"])
def test_file_that_holds_no_samples_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    result = checked(SHIPPED, "--data", path)
    assert result.exit_code == 2
    detail = found(result)["contract"]["detail"]
    assert "is no file of samples; make one with" in detail
    assert "pickle" not in detail
