"""Bundles of the v1 contract, in the Go agent's shapes: they load, run, and are seen through."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from scripts.age_hazard.build import CATALOGUE, FIRST_FAMILIES
from spotvortex.core.domain.cloud.instance_types import Scope
from spotvortex.errors import ModelContractError
from spotvortex.model.artifacts import read_bundle
from spotvortex.model.forecaster import OnnxForecaster, load
from spotvortex.model.manifest import ManifestV2, read_manifest
from spotvortex.ports.model import Forecaster
from tests.core.builders import AT
from tests.model.bundles import SHIPPED, copy_of_shipped, edit_manifest, without_networks
from tests.model.bundles_v1 import FAMILIES, go_bundle, list_files, policy_graph, risk_graph
from tests.model.contexts import context

CALM = context()
STRESSED = context(spot_usd_per_hour=0.095, history_usd_per_hour=(0.095,) * 12)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return go_bundle(tmp_path)


def refusal(bundle: Path) -> str:
    with pytest.raises(ModelContractError) as caught:
        load(bundle, "aws")
    return str(caught.value)


def score(forecaster: Forecaster, *contexts: Any) -> np.ndarray:
    return forecaster.score(forecaster.tensor(contexts, AT))


def relisted(bundle: Path) -> Path:
    list_files(bundle)
    return bundle


def test_bundle_in_the_layout_of_the_go_agent_loads_and_runs(bundle: Path) -> None:
    port: Forecaster = load(bundle, "aws")
    scores = score(port, CALM, STRESSED, CALM)
    np.testing.assert_allclose(scores[0], 1.0 / (1.0 + np.exp(1.8)), rtol=1e-5)
    np.testing.assert_allclose(scores[1], 1.0 / (1.0 + np.exp(-2.1)), rtol=1e-5)
    assert (scores[2] == scores[0]).all()
    assert port.in_range(port.tensor([CALM], AT)).tolist() == [True]


def test_sixty_families_are_in_scope(bundle: Path) -> None:
    forecaster = load(bundle, "aws")
    assert len(FAMILIES) >= 60
    assert all(forecaster.scope.covers(f"{family}.large") for family in FAMILIES)
    assert not forecaster.scope.covers("x9g.large")


def test_shipped_bundle_knows_those_sixty_and_every_family_of_the_catalogue() -> None:
    """It reads no family, so none limits it; what it was fitted on is said beside."""
    manifest = read_bundle(SHIPPED, "aws").manifest
    assert isinstance(manifest, ManifestV2)
    named = manifest.supported_instance_families
    first = FIRST_FAMILIES.split()
    assert (len(first), list(named[:60])) == (60, first)
    assert {"m7i-flex", "c7i-flex", "t2", "x8g", "m8g", "c8gd", "r8i-flex", "i7ie"} <= set(named)
    assert len(set(named)) == len(named)
    assert {f.name for f in manifest.features} == {"hours_since_loss", "hazard_per_hour"}
    assert "fitted_on" in manifest.description
    assert "p2, p3" in manifest.fitted_on
    scope = Scope(named)
    prices = json.loads(CATALOGUE.read_text())["prices"]
    assert all(scope.covers(instance_type) for instance_type in prices)


def test_the_shipped_manifest_has_the_four_members_that_the_go_agents_scripts_read() -> None:
    document = json.loads((SHIPPED / "MODEL_MANIFEST.json").read_text())
    assert document["schema_version"] == 2
    assert document["cloud"] == "aws"
    assert isinstance(document["artifacts"], dict)
    assert all(type(family) is str for family in document["supported_instance_families"])


@pytest.mark.parametrize("batch", [1, "batch"])
def test_batch_of_1_and_an_open_batch_give_the_same(tmp_path: Path, batch: str | int) -> None:
    forecaster = load(
        go_bundle(tmp_path, risk_graph(batch=batch), policy_graph(batch=batch)), "aws"
    )
    prices = np.linspace(0.01, 0.1, 700)
    many = [context(spot_usd_per_hour=p, history_usd_per_hour=(p,) * 12) for p in prices]
    expected = 1.0 / (1.0 + np.exp(3.6 - 6.0 * prices / 0.1))
    np.testing.assert_allclose(score(forecaster, *many)[:, 1], expected, rtol=1e-4)
    states = np.full((700, 13), 0.5, dtype=np.float32)
    assert forecaster.q_values(states).shape == (700, 6)


def test_unknown_price_gives_nan_for_its_row_alone(bundle: Path) -> None:
    forecaster = load(bundle, "aws")
    tensor = forecaster.tensor([CALM, context(spot_usd_per_hour=None), STRESSED], AT)
    assert np.isfinite(forecaster.score(tensor)).all(axis=1).tolist() == [True, False, True]
    assert forecaster.in_range(tensor).tolist() == [True, False, True]


def test_no_rows_give_no_scores_and_no_values(bundle: Path) -> None:
    forecaster = load(bundle, "aws")
    assert score(forecaster).shape == (0, 2)
    assert forecaster.q_values(np.empty((0, 13), dtype=np.float32)).shape == (0, 6)


def test_values_come_in_the_order_of_the_actions(bundle: Path) -> None:
    forecaster = load(bundle, "aws")
    assert forecaster.has_policy
    values = forecaster.q_values(np.full((2, 13), 0.5, dtype=np.float32))
    np.testing.assert_allclose(values, [[0.0, 3.25, 6.5, 9.75, 13.0, 16.25]] * 2)


def test_states_of_another_width_are_refused(bundle: Path) -> None:
    with pytest.raises(ModelContractError, match=r"expected \[n, 13\]"):
        load(bundle, "aws").q_values(np.zeros((1, 12), dtype=np.float32))


def test_bundle_without_a_policy_network_has_no_values(tmp_path: Path) -> None:
    forecaster = load(without_networks(tmp_path), "aws")
    with pytest.raises(ModelContractError, match="no policy network"):
        forecaster.q_values(np.zeros((1, 13), dtype=np.float32))


def test_v2_bundle_may_bring_a_policy_network(tmp_path: Path) -> None:
    bundle = copy_of_shipped(tmp_path)
    content = policy_graph().SerializeToString()
    (bundle / "q.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit_manifest(bundle, lambda m: m["artifacts"].update({"q.onnx": digest}))
    edit_manifest(bundle, lambda m: m.update(policy={"graph": "q.onnx"}))
    forecaster = load(bundle, "aws")
    assert forecaster.q_values(np.zeros((3, 13), dtype=np.float32)).shape == (3, 6)


# What a head may look like


def heads(lead_times: int, quantiles: int, lead: int, quantile: int) -> np.ndarray:
    """Ones at the figure that must be read, zeros elsewhere."""
    made = np.zeros((lead_times, quantiles))
    made[lead, quantile] = 1.0
    return made


@pytest.mark.parametrize(
    "found", [heads(12, 3, 6, 1), heads(12, 7, 6, 3), heads(4, 3, 3, 1), heads(7, 1, 6, 0)]
)
def test_head_with_lead_times_is_read_at_60_minutes_and_its_median(
    tmp_path: Path, found: np.ndarray
) -> None:
    forecaster = load(go_bundle(tmp_path, risk_graph(heads=found)), "aws")
    np.testing.assert_allclose(score(forecaster, CALM), 1.0 / (1.0 + np.exp(1.8)), rtol=1e-5)


def test_head_with_more_rows_than_it_was_given_is_refused(tmp_path: Path) -> None:
    model = risk_graph(heads=np.ones((2, 2, 2)))
    assert "has shape [2, 2, 2] for 1 rows" in refusal(go_bundle(tmp_path, model))


def test_head_of_another_rank_is_refused(tmp_path: Path) -> None:
    model = risk_graph(heads=np.ones((1, 2, 2, 2)))
    assert "shape [2, 2, 2, 2]" in refusal(go_bundle(tmp_path, model))


# What is refused at start


@pytest.mark.parametrize(
    ("risk", "told"),
    [
        (risk_graph(outputs=("capacity_score", "output")), "no output 'runtime_score'"),
        (risk_graph(dtype=TensorProto.DOUBLE), "is tensor(double)"),
        (risk_graph(batch=4), "shape [4, 12, 10]"),
        (risk_graph(bias=np.nan), "probe window is not finite"),
    ],
    ids=["output", "dtype", "batch-of-4", "nan"],
)
def test_risk_network_that_breaks_the_contract_is_refused(
    tmp_path: Path, risk: Any, told: str
) -> None:
    text = refusal(go_bundle(tmp_path, risk))
    assert text.startswith("tft.onnx: ")
    assert told in text


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (policy_graph(5), "shape ['batch', 5], expected float32[batch, 6]"),
        (policy_graph(7), "shape ['batch', 7], expected float32[batch, 6]"),
        (policy_graph(fill=np.inf), "not finite"),
    ],
    ids=["5-actions", "7-actions", "inf"],
)
def test_policy_network_that_breaks_the_contract_is_refused(
    tmp_path: Path, policy: Any, told: str
) -> None:
    text = refusal(go_bundle(tmp_path, policy=policy))
    assert text.startswith("rl_policy.onnx: ")
    assert told in text


def test_truncated_weights_are_refused_by_their_checksum(bundle: Path) -> None:
    os.truncate(bundle / "tft.onnx.data", 40)
    assert "artifacts['tft.onnx.data'] has sha256" in refusal(bundle)


def test_weights_truncated_before_they_were_listed_are_refused_by_their_size(bundle: Path) -> None:
    os.truncate(bundle / "tft.onnx.data", 40)
    assert "is cut short: the network reads up to byte 96, it has 40" in refusal(relisted(bundle))


def test_file_that_a_network_opens_must_be_there(bundle: Path) -> None:
    (bundle / "rl_value_dense.onnx.data").unlink()
    assert "does not list 'rl_value_dense.onnx.data'" in refusal(relisted(bundle))


def test_link_in_the_bundle_need_not_be_listed_where_its_target_is(bundle: Path) -> None:
    edit_manifest(bundle, lambda m: m["artifacts"].pop("rl_value_dense.onnx.data"))
    assert load(bundle, "aws").has_policy


def test_link_in_the_bundle_to_a_file_that_is_not_listed_is_refused(bundle: Path) -> None:
    for name in ("rl_value_dense.onnx.data", "rl_policy.onnx.data"):
        edit_manifest(bundle, lambda m, name=name: m["artifacts"].pop(name))
    assert "does not list 'rl_value_dense.onnx.data'" in refusal(bundle)


@pytest.mark.parametrize("listed", [True, False])
def test_link_out_of_the_bundle_is_refused(bundle: Path, tmp_path: Path, *, listed: bool) -> None:
    link = bundle / "rl_value_dense.onnx.data"
    (tmp_path / "elsewhere").write_bytes(link.read_bytes())
    link.unlink()
    link.symlink_to(tmp_path / "elsewhere")
    relisted(bundle)
    if not listed:
        edit_manifest(bundle, lambda m: m["artifacts"].pop(link.name))
    assert "is a link out of the bundle" in refusal(bundle)


@pytest.mark.parametrize("location", ["../elsewhere", "/etc/hostname", "a/../../elsewhere", ""])
def test_network_that_opens_a_file_elsewhere_is_refused(bundle: Path, location: str) -> None:
    risk = risk_graph()
    weights = risk.graph.initializer[0]
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", location
    (bundle / "tft.onnx").write_bytes(risk.SerializeToString())
    assert "leaves the bundle" in refusal(relisted(bundle))


def test_two_files_of_one_name_in_two_folders_are_not_mixed_up(tmp_path: Path) -> None:
    bundle = copy_of_shipped(tmp_path)
    model = policy_graph()
    second = numpy_helper.from_array(np.ones((13, 6), dtype=np.float32) * 2.0, "second")
    model.graph.initializer.append(second)
    add = model.graph.node.add(op_type="Add", name="sum")
    model.graph.node[0].output[0] = "product"
    add.input.extend(["product", "moved"])
    add.output.append("q_values")
    product = model.graph.node.add(op_type="MatMul")
    product.input.extend(["state", "second"])
    product.output.append("moved")
    ordered = [model.graph.node[0], model.graph.node[2], model.graph.node[1]]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    files = {}
    for tensor, folder in zip(model.graph.initializer, ("a", "b"), strict=True):
        content = numpy_helper.to_array(tensor).tobytes()
        (bundle / folder).mkdir()
        (bundle / folder / "w.data").write_bytes(content)
        files[f"{folder}/w.data"] = hashlib.sha256(content).hexdigest()
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", f"{folder}/w.data"
    (bundle / "q.onnx").write_bytes(model.SerializeToString())
    files["q.onnx"] = hashlib.sha256(model.SerializeToString()).hexdigest()
    edit_manifest(bundle, lambda m: m["artifacts"].update(files))
    edit_manifest(bundle, lambda m: m.update(policy={"graph": "q.onnx"}))
    values = load(bundle, "aws").q_values(np.ones((1, 13), dtype=np.float32))
    np.testing.assert_allclose(values[0], [26.0 + 13.0 * 0.5 * i for i in range(6)])


MISTAKES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda m: m.update(cloud="gcp"), "cloud is 'gcp'"),
    (lambda m: m.update(schema_version=2), "features is missing"),
    (lambda m: m.update(schema_version="v3"), "schema_version is 'v3'"),
    (lambda m: m["artifacts"].pop("rl_policy.onnx"), "does not list 'rl_policy.onnx'"),
    (lambda m: m["artifacts"].pop("tft.onnx"), "does not list 'tft.onnx'"),
    (
        lambda m: m["artifacts"].pop("tft.onnx.data"),
        "does not list 'tft.onnx.data', which tft.onnx",
    ),
    (lambda m: m["artifacts"]["tft.onnx"].pop("sha256"), "sha256"),
    (
        lambda m: m.update(models={"tft": {"path": "models/tft.onnx", "sha256": "0" * 64}}),
        "two checksums for 'tft.onnx'",
    ),
    (
        lambda m: (m.update(supported_instance_families=[]), m.pop("model_scope")),
        "supported_instance_families is empty",
    ),
    (lambda m: (m.pop("cloud"), m.pop("model_scope")), "cloud is ''"),
]


@pytest.mark.parametrize(("change", "told"), MISTAKES)
def test_mistake_in_the_manifest_is_named(
    bundle: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    edit_manifest(bundle, change)
    assert told in refusal(bundle)


def test_scope_and_files_may_stand_in_the_other_places(bundle: Path) -> None:
    def move(manifest: dict[str, Any]) -> None:
        manifest.pop("cloud")
        manifest.pop("supported_instance_families")
        manifest["models"] = {
            key: {**entry, "path": f"models/{entry['path']}"}
            for key, entry in manifest.pop("artifacts").items()
        }

    edit_manifest(bundle, move)
    forecaster = load(bundle, "aws")
    assert forecaster.scope.covers(f"{FAMILIES[0]}.large")


def test_bundle_in_a_mounted_config_map_loads_by_its_current_folder(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    go_bundle(tmp_path).rename(mount / "..2026_11_23")
    (mount / "..data").symlink_to("..2026_11_23")
    for path in (mount / "..data").iterdir():
        (mount / path.name).symlink_to(f"..data/{path.name}")
    assert load(mount / "..data", "aws").has_policy


# What is loaded and reported


@pytest.mark.parametrize(
    ("risk", "told"),
    [
        (risk_graph(0.0), "spreads by 0.0000"),
        (risk_graph(-6.0, bias=2.0), "falls by"),
        (risk_graph(1.0, relative=False, bias=0.0), "moves a score by"),
        (risk_graph(20.0, relative=False, bias=0.0), "moves a score by"),
        (risk_graph(6.0, heads=np.full((1, 1), 3.0)), "not in 0..1"),
    ],
    ids=["constant", "wrong-way", "size", "size-saturated", "no-probability"],
)
def test_degenerate_network_is_loaded_and_abstains(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, risk: Any, told: str
) -> None:
    with caplog.at_level(logging.WARNING):
        forecaster: OnnxForecaster = load(go_bundle(tmp_path, risk), "aws")
    assert forecaster.degenerate
    assert told in forecaster.degenerate_reason
    assert np.isnan(score(forecaster, CALM, STRESSED)).all()
    assert [record.message for record in caplog.records] == ["model.degenerate"]


def test_sound_network_is_not_degenerate(bundle: Path) -> None:
    assert load(bundle, "aws").degenerate_reason == ""


# No manifest makes it fail in another way

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
words = st.sampled_from(
    ("schema_version", "cloud", "artifacts", "models", "features", "scores", "model_scope", "graph")
)
versions = st.sampled_from(("v1", "1", 1, 2, 2.0, None))


@given(
    st.binary(max_size=200) | st.dictionaries(words, json_values).map(json.dumps).map(str.encode)
)
def test_no_manifest_makes_it_fail_in_another_way(raw: bytes) -> None:
    with pytest.raises(ModelContractError):
        read_manifest(raw, "aws")


@given(source=st.sampled_from(("v1", "v2")), data=st.data())
def test_no_change_of_a_member_makes_it_fail_in_another_way(
    manifests: dict[str, dict[str, Any]], source: str, data: st.DataObject
) -> None:
    changed = dict(manifests[source])
    changed[data.draw(st.sampled_from(sorted(changed)))] = data.draw(json_values | versions)
    with contextlib.suppress(ModelContractError):
        read_manifest(json.dumps(changed).encode(), "aws")


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    v1 = go_bundle(tmp_path_factory.mktemp("fuzz"))
    return {
        "v1": json.loads((v1 / "MODEL_MANIFEST.json").read_text()),
        "v2": json.loads((SHIPPED / "MODEL_MANIFEST.json").read_text()),
    }


def test_manifest_nested_without_end_is_refused() -> None:
    raw = b'{"schema_version": "v1", "parity": ' + b"[" * 500_000
    with pytest.raises(ModelContractError):
        read_manifest(raw, "aws")
