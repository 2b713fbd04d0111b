"""Bundles for the tests: copies of the shipped one, and small graphs with one thing wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper, numpy_helper
from onnx.onnx_ml_pb2 import ModelProto

from tests.paths import ROOT

SHIPPED = ROOT / "models"
GRAPH = "age_hazard.onnx"


def copy_of_shipped(folder: Path) -> Path:
    """Copy the shipped bundle into a folder."""
    return Path(shutil.copytree(SHIPPED, folder / "bundle"))


def without_networks(folder: Path) -> Path:
    """Copy the shipped bundle without the networks beside the model that decides."""
    bundle = copy_of_shipped(folder)
    edit_manifest(bundle, _only_the_decider)
    return bundle


def _only_the_decider(manifest: dict[str, Any]) -> None:
    for name in ("challenger", "policy", "training"):
        manifest.pop(name, None)
    manifest["artifacts"] = {GRAPH: manifest["artifacts"][GRAPH]}


def edit_manifest(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest of a bundle in place."""
    path = bundle / "MODEL_MANIFEST.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def put_graph(bundle: Path, model: ModelProto | bytes) -> None:
    """Replace the graph of a bundle, and its checksum."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    (bundle / GRAPH).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit_manifest(bundle, lambda m: m["artifacts"].update({GRAPH: digest}))


def linear_graph(
    weights: list[list[float]],
    *,
    dtype: int = TensorProto.FLOAT,
    batch: str | int = "batch",
    outputs: tuple[str, ...] = ("capacity_score", "runtime_score"),
    keep_last_axis: bool = False,
    activation: str = "Sigmoid",
) -> ModelProto:
    """Return a graph that gives activation(features x weights), one output a column."""
    matrix = helper.make_tensor(
        "weights", dtype, [len(weights), 2], [w for row in weights for w in row]
    )
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    halves = [f"half{i}" for i in range(2)]
    operator, extra = ("Identity", []) if keep_last_axis else ("Squeeze", ["axis"])
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["product"]),
        helper.make_node(activation, ["product"], ["both"]),
        helper.make_node("Split", ["both"], halves, axis=1),
        *(
            helper.make_node(operator, [half, *extra], [name])
            for half, name in zip(halves, outputs, strict=True)
        ),
    ]
    shape: list[str | int] = [batch, 1] if keep_last_axis else [batch]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("features", dtype, [batch, len(weights)])],
        [helper.make_tensor_value_info(name, dtype, shape) for name in outputs],
        [matrix, axis],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def graph_with_outside_weights(file_name: str) -> tuple[ModelProto, bytes]:
    """Return a risk-like graph whose weights lie in another file, and that file's bytes."""
    model = linear_graph([[-0.002, -0.002], [2.0, 2.0]])
    return model, move_weights_outside(model, file_name)


def move_weights_outside(model: ModelProto, file_name: str) -> bytes:
    """Move a graph's first initializer into another file, and return that file's bytes."""
    weights = model.graph.initializer[0]
    content = numpy_helper.to_array(weights).tobytes()
    weights.ClearField("float_data")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", file_name), ("offset", "0"), ("length", str(len(content)))):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    return content
