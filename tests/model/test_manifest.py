from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spotvortex.errors import ModelContractError
from spotvortex.model.artifacts import read_bundle
from tests.model.bundles import (
    GRAPH,
    SHIPPED,
    copy_of_shipped,
    edit_manifest,
    graph_with_outside_weights,
    put_graph,
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return copy_of_shipped(tmp_path)


def refusal(bundle: Path) -> str:
    with pytest.raises(ModelContractError) as caught:
        read_bundle(bundle, "aws")
    return str(caught.value)


def test_shipped_bundle_is_read_and_its_digest_is_that_of_the_manifest() -> None:
    bundle = read_bundle(SHIPPED, "aws")
    raw = (SHIPPED / "MODEL_MANIFEST.json").read_bytes()
    assert bundle.manifest.name == "age-hazard baseline"
    assert bundle.digest == hashlib.sha256(raw).hexdigest()
    assert set(bundle.graphs) == {GRAPH, "tft.onnx", "rl_policy.onnx"}
    assert bundle.graphs[GRAPH].beside == {}
    assert set(bundle.graphs["tft.onnx"].beside) == {"tft.onnx.data"}


def test_missing_manifest_is_refused(tmp_path: Path) -> None:
    assert "there is no manifest" in refusal(tmp_path)


def test_manifest_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "MODEL_MANIFEST.json").mkdir()
    assert "cannot be read" in refusal(tmp_path)


def test_endless_manifest_is_refused(bundle: Path) -> None:
    (bundle / "MODEL_MANIFEST.json").write_bytes(b" " * (1 << 20) + b"{}")
    assert "larger than" in refusal(bundle)


def test_broken_json_is_refused(bundle: Path) -> None:
    (bundle / "MODEL_MANIFEST.json").write_text('{"schema_version": 2,')
    assert "MODEL_MANIFEST.json" in refusal(bundle)


@pytest.mark.parametrize("version", [3, "v2", "", 0])
def test_other_schema_version_is_refused_and_the_understood_ones_named(
    bundle: Path, version: object
) -> None:
    edit_manifest(bundle, lambda m: m.update(schema_version=version))
    text = refusal(bundle)
    assert f"schema_version is {version!r}" in text
    assert "understood: 'v1', '1', 1, 2" in text


def test_features_beside_the_other_schema_version_are_refused(bundle: Path) -> None:
    edit_manifest(bundle, lambda m: m.update(schema_version="v1"))
    assert "features stands beside schema_version 'v1'" in refusal(bundle)


MISTAKES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda m: m.update(cloud="gcp"), "cloud is 'gcp'"),
    (lambda m: m.update(surprise=1), "surprise"),
    (lambda m: m.pop("scores"), "scores"),
    (lambda m: m.update(supported_instance_families=[]), "supported_instance_families is empty"),
    (lambda m: m.update(graph="other.onnx"), "does not list 'other.onnx', which is a network"),
    (lambda m: m.update(policy={"graph": "q.onnx"}), "does not list 'q.onnx', which is a network"),
    (lambda m: m.update(policy={"graph": "q.onnx", "actions": 6}), "actions"),
    (lambda m: m.update(features=[]), "features is empty"),
    (lambda m: m["features"].append(m["features"][0]), "names a feature twice"),
    (lambda m: m["features"][0].update(name="pool_name"), "features names pool_name"),
    (lambda m: m["features"][0].update(low=9.0, high=9.0), "features.hours_since_loss"),
    (lambda m: m["scores"][0].update(output="runtime_score"), "reads one output twice"),
    (lambda m: m["scores"][0].update(direction="lower-is-riskier"), "direction"),
    (lambda m: m["scores"][0].update(horizon_minutes=30), "scores"),
    (lambda m: m["scores"].append(m["scores"][0]), "scores"),
    (lambda m: m["scores"].pop(), "scores"),
    (lambda m: m["artifacts"].update({GRAPH: "0" * 64}), "sha256"),
    (lambda m: m["artifacts"].update({"gone.data": "0" * 64}), "'gone.data'] is missing"),
    (lambda m: m["artifacts"].update({"../out.data": "0" * 64}), "leaves the bundle"),
    (lambda m: m["artifacts"].update({"/etc/hostname": "0" * 64}), "leaves the bundle"),
    (lambda m: m["artifacts"].update({"": "0" * 64}), "leaves the bundle"),
    (lambda m: m["artifacts"].update({"a\0b": "0" * 64}), "cannot be followed"),
    (lambda m: m["artifacts"].update({"a" * 5000: "0" * 64}), "cannot be"),
]


@pytest.mark.parametrize(("change", "told"), MISTAKES)
def test_mistake_in_the_manifest_is_named(
    bundle: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    edit_manifest(bundle, change)
    assert told in refusal(bundle)


def test_one_changed_byte_of_the_graph_is_refused(bundle: Path) -> None:
    content = bytearray((bundle / GRAPH).read_bytes())
    content[100] ^= 1
    (bundle / GRAPH).write_bytes(content)
    assert "restore the bundle" in refusal(bundle)


def test_missing_graph_is_refused(bundle: Path) -> None:
    (bundle / GRAPH).unlink()
    assert f"artifacts['{GRAPH}'] is missing" in refusal(bundle)


def test_artifact_that_is_a_folder_is_refused(bundle: Path) -> None:
    (bundle / GRAPH).unlink()
    (bundle / GRAPH).mkdir()
    assert "cannot be read" in refusal(bundle)


def test_link_out_of_the_bundle_is_refused_even_with_the_right_content(
    bundle: Path, tmp_path: Path
) -> None:
    (bundle / GRAPH).rename(tmp_path / "outside.onnx")
    (bundle / GRAPH).symlink_to(tmp_path / "outside.onnx")
    assert "link out of the bundle" in refusal(bundle)


def test_link_to_itself_is_refused(bundle: Path) -> None:
    (bundle / GRAPH).unlink()
    (bundle / GRAPH).symlink_to(GRAPH)
    assert GRAPH in refusal(bundle)


def test_link_inside_the_bundle_needs_its_target_listed(bundle: Path) -> None:
    os.rename(bundle / GRAPH, bundle / "real.onnx")
    (bundle / GRAPH).symlink_to("real.onnx")
    assert "'real.onnx', which is not listed" in refusal(bundle)
    edit_manifest(bundle, lambda m: m["artifacts"].update({"real.onnx": m["artifacts"][GRAPH]}))
    assert GRAPH in read_bundle(bundle, "aws").graphs


def test_bundle_folder_itself_may_be_a_link(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(bundle)
    assert read_bundle(tmp_path / "current", "aws").manifest.cloud == "aws"


def test_file_that_the_graph_opens_must_be_listed(bundle: Path) -> None:
    model, content = graph_with_outside_weights("weights.data")
    (bundle / "weights.data").write_bytes(content)
    put_graph(bundle, model)
    assert "does not list 'weights.data'" in refusal(bundle)
