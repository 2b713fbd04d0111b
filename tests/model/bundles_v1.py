"""Bundles of the v1 contract for the tests: the Go agent's layout, with small graphs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.onnx_ml_pb2 import ModelProto

from tests.model.bundles import edit_manifest, move_weights_outside

FAMILIES = [f"{kind}{number}{extra}" for kind in "cmrt" for number in "567" for extra in "adgin"]
RISING = 6.0
SCORES = ("capacity_score", "runtime_score")


def risk_graph(
    slope: float = RISING,
    *,
    batch: str | int = 1,
    relative: bool = True,
    bias: float = -3.6,
    heads: np.ndarray | None = None,
    dtype: int = TensorProto.FLOAT,
    outputs: tuple[str, str] = SCORES,
) -> ModelProto:
    """Return sigmoid(slope x mean price + bias) for both scores.

    Args:
        slope: 0 gives a constant, below 0 a network that calls dear Spot safe.
        batch: 1 as the Go agent exports it, or a name.
        relative: prices as a share of on-demand; else raw, so that size is what it measures.
        bias: NaN makes every output NaN.
        heads: `float[lead times, quantiles]`, by which a score is multiplied; None for [batch, 1].
        dtype: of the whole graph.
        outputs: the names of the two scores.
    """
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    weights = np.full((12, 2), slope / 12.0, dtype=kind)
    constants = {
        "weights": weights,
        "bias": np.full((1, 2), bias, dtype=kind),
        "spot_column": np.array(0, dtype=np.int64),
        "on_demand_column": np.array(1, dtype=np.int64),
    }
    divisor = "on_demand" if relative else "one"
    nodes = [
        helper.make_node("Gather", ["input", "spot_column"], ["spot"], axis=2),
        helper.make_node("Gather", ["input", "on_demand_column"], ["on_demand"], axis=2),
        helper.make_node("Div", ["on_demand", "on_demand"], ["one"]),
        helper.make_node("Div", ["spot", divisor], ["price"]),
        helper.make_node("MatMul", ["price", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["both"]),
        helper.make_node("Split", ["both"], ["half0", "half1"], axis=1),
    ]
    shape: list[str | int] = [batch, 1]
    if heads is None:
        nodes += [helper.make_node("Identity", [f"half{i}"], [outputs[i]]) for i in range(2)]
    else:
        constants |= {"heads": heads.astype(kind), "last_axis": np.array([2], dtype=np.int64)}
        shape = [batch, *heads.shape]
        for i in range(2):
            nodes += [
                helper.make_node("Unsqueeze", [f"half{i}", "last_axis"], [f"wide{i}"]),
                helper.make_node("Mul", [f"wide{i}", "heads"], [outputs[i]]),
            ]
    graph = helper.make_graph(
        nodes,
        "risk",
        [helper.make_tensor_value_info("input", dtype, [batch, 12, 10])],
        [helper.make_tensor_value_info(name, dtype, shape) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def policy_graph(
    n_actions: int = 6, *, batch: str | int = "batch", fill: float = 0.0
) -> ModelProto:
    """Return q = state x weights, whose columns begin at `fill` and rise by a half."""
    weights = np.outer(np.ones(13), fill + np.arange(n_actions) * 0.5).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["state", "weights"], ["q_values"])],
        "policy",
        [helper.make_tensor_value_info("state", TensorProto.FLOAT, [batch, 13])],
        [helper.make_tensor_value_info("q_values", TensorProto.FLOAT, [batch, n_actions])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def go_bundle(
    folder: Path, risk: ModelProto | None = None, policy: ModelProto | None = None
) -> Path:
    """Lay out a bundle as the Go agent does.

    `tft.onnx` opens `tft.onnx.data`; `rl_policy.onnx` opens a file under another name, which is a
    link to `rl_policy.onnx.data`. All five files are listed.
    """
    bundle = folder / "v1"
    bundle.mkdir()
    for name, model, opened in (
        ("tft.onnx", risk or risk_graph(), "tft.onnx.data"),
        ("rl_policy.onnx", policy or policy_graph(), "rl_value_dense.onnx.data"),
    ):
        (bundle / f"{name}.data").write_bytes(move_weights_outside(model, opened))
        (bundle / name).write_bytes(model.SerializeToString())
    (bundle / "rl_value_dense.onnx.data").symlink_to("rl_policy.onnx.data")
    scope = {"cloud": "aws", "supported_instance_families": FAMILIES}
    manifest = {
        "schema_version": "v1",
        "generated_at": "2026-03-11T08:13:57Z",
        **scope,
        "model_scope": scope,
        "artifacts": {},
        "parity": {"status": "validated"},
    }
    (bundle / "MODEL_MANIFEST.json").write_text(json.dumps(manifest))
    list_files(bundle)
    return bundle


def list_files(bundle: Path) -> None:
    """List every file of a bundle with the checksum that it has now."""
    files = {
        path.name: {"path": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in sorted(bundle.iterdir())
        if path.name != "MODEL_MANIFEST.json" and path.is_file()
    }
    edit_manifest(bundle, lambda m: m.update(artifacts=files))
