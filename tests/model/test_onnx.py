from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto
from onnx.onnx_ml_pb2 import ModelProto

from spotvortex.errors import ModelContractError
from spotvortex.model.forecaster import OnnxForecaster, load
from spotvortex.ports.model import Forecaster
from tests.core.builders import AT
from tests.model.bundles import (
    SHIPPED,
    copy_of_shipped,
    edit_manifest,
    graph_with_outside_weights,
    linear_graph,
    put_graph,
)
from tests.model.contexts import context

RISK_LIKE = [[-0.002, -0.002], [2.0, 2.0]]

ages = st.floats(0.0, 100_000.0, width=32)
hazards = st.floats(9.999999974752427e-07, 30.0, width=32)


@pytest.fixture(scope="module")
def shipped() -> OnnxForecaster:
    return load(SHIPPED, "aws")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return copy_of_shipped(tmp_path)


def rows(*values: tuple[float, float]) -> np.ndarray:
    return np.array(values, dtype=np.float32).reshape(-1, 2)


def load_with(bundle: Path, model: ModelProto | bytes) -> OnnxForecaster:
    put_graph(bundle, model)
    return load(bundle, "aws")


def refusal(bundle: Path, model: ModelProto | bytes) -> str:
    with pytest.raises(ModelContractError) as caught:
        load_with(bundle, model)
    return str(caught.value)


def test_shipped_bundle_is_a_forecaster_that_is_not_degenerate(shipped: OnnxForecaster) -> None:
    port: Forecaster = shipped
    assert port.tensor([context()], AT).tolist() == [[3.0, np.float32(0.002)]]
    assert port.has_policy
    assert port.scope.covers("m6i.large")
    assert not port.scope.covers("x9g.large")
    assert not shipped.degenerate


@given(age=ages, more=ages, hazard=hazards)
def test_more_recent_loss_is_never_safer(
    shipped: OnnxForecaster, age: float, more: float, hazard: float
) -> None:
    young, old = shipped.score(rows((min(age, more), hazard), (max(age, more), hazard)))
    assert (young >= old - 1e-6).all()


@given(age=ages, hazard=hazards, more=hazards)
def test_higher_hazard_is_never_safer(
    shipped: OnnxForecaster, age: float, hazard: float, more: float
) -> None:
    calm, harsh = shipped.score(rows((age, min(hazard, more)), (age, max(hazard, more))))
    assert (harsh >= calm - 1e-6).all()


@given(age=ages, hazard=hazards)
def test_longer_horizon_is_never_safer(shipped: OnnxForecaster, age: float, hazard: float) -> None:
    capacity, runtime = shipped.score(rows((age, hazard)))[0]
    assert 0.0 <= capacity <= runtime <= 1.0


def test_unknown_feature_gives_nan_for_its_row_alone(shipped: OnnxForecaster) -> None:
    scores = shipped.score(rows((1.0, 0.1), (np.nan, 0.1), (1.0, np.inf), (1.0, 0.1)))
    assert np.isnan(scores[1:3]).all()
    assert np.isfinite(scores[[0, 3]]).all()


def test_ends_of_the_training_range_are_in_it_and_what_is_unknown_is_not(
    shipped: OnnxForecaster,
) -> None:
    tensor = rows((0.0, 1e-6), (100_000.0, 30.0), (100_001.0, 1.0), (1.0, 31.0), (np.nan, 1.0))
    assert shipped.in_range(tensor).tolist() == [True, True, False, False, False]


def test_no_rows_give_no_scores(shipped: OnnxForecaster) -> None:
    assert shipped.score(rows()).shape == (0, 2)


def test_batch_beyond_the_bound_is_split_and_gives_the_same(shipped: OnnxForecaster) -> None:
    spread = np.linspace(0.001, 3.0, 1300)
    batch = rows(*((float(i % 50), float(h)) for i, h in enumerate(spread)))
    whole = shipped.score(batch)
    parts = np.concatenate([shipped.score(batch[i : i + 100]) for i in range(0, 1300, 100)])
    np.testing.assert_allclose(whole, parts, rtol=1e-5)


def test_matrix_of_another_width_is_refused(shipped: OnnxForecaster) -> None:
    with pytest.raises(ModelContractError, match=r"expected \[n, 2\]"):
        shipped.score(np.zeros((3, 5), dtype=np.float32))


def test_weights_beside_the_graph_are_taken_from_the_checked_bytes(bundle: Path) -> None:
    model, content = graph_with_outside_weights("weights.data")
    (bundle / "weights.data").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit_manifest(bundle, lambda m: m["artifacts"].update({"weights.data": digest}))
    score = load_with(bundle, model).score(rows((0.0, 1.0)))
    np.testing.assert_allclose(score, 1.0 / (1.0 + np.exp(-2.0)), rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (b"no graph at all", "age_hazard.onnx: is no ONNX file"),
        (b"", "cannot be opened"),
        (linear_graph(RISK_LIKE, dtype=TensorProto.DOUBLE), "is tensor(double)"),
        (linear_graph([*RISK_LIKE, [0.0, 0.0]]), "shape ['batch', 3]"),
        (linear_graph(RISK_LIKE, batch=7), "shape [7, 2]"),
        (linear_graph(RISK_LIKE, keep_last_axis=True), "shape ['batch', 1]"),
        (linear_graph(RISK_LIKE, outputs=("capacity_score", "other")), "no output 'runtime_score'"),
        (linear_graph([[np.nan, 0.0], [0.0, 0.0]]), "not finite"),
    ],
    ids=["garbage", "empty", "dtype", "width", "batch-of-7", "rank", "output", "nan"],
)
def test_graph_that_breaks_the_contract_is_refused(
    bundle: Path, model: ModelProto | bytes, told: str
) -> None:
    text = refusal(bundle, model)
    assert told in text


def test_input_of_another_name_is_refused(bundle: Path) -> None:
    model = linear_graph(RISK_LIKE)
    model.graph.input[0].name = model.graph.node[0].input[0] = "x"
    assert "expected one input 'features'" in refusal(bundle, model)


def test_degenerate_bundle_is_loaded_and_abstains(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        forecaster = load_with(bundle, linear_graph([[0.002, 0.002], [2.0, 2.0]]))
    assert forecaster.degenerate
    assert "hours_since_loss" in forecaster.degenerate_reason
    assert np.isnan(forecaster.score(rows((1.0, 0.1)))).all()
    assert [record.message for record in caplog.records] == ["model.degenerate"]


def test_score_beyond_the_probe_that_is_no_probability_becomes_nan(bundle: Path) -> None:
    edit_manifest(bundle, lambda m: m["features"][0].update(high=1.0))
    edit_manifest(bundle, lambda m: m["features"][1].update(high=3.0))
    model = linear_graph([[-0.1, -0.1], [0.3, 0.3]], activation="Relu")
    scores = load_with(bundle, model).score(rows((0.0, 10.0), (0.0, 1.0)))
    assert np.isnan(scores[0]).all()
    np.testing.assert_allclose(scores[1], 0.3, rtol=1e-6)


def test_run_that_fails_is_a_contract_error(shipped: OnnxForecaster) -> None:
    with pytest.raises(ModelContractError, match="cannot be run"):
        shipped._risk.run(np.zeros((1, 3), dtype=np.float32))
