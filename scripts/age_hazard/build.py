"""Build the first bundle: the age-hazard baseline, written as ONNX.

Comes in: `models/age_hazard_table.json`, and the product's catalogue of instance types; with
`--traces DIR` that table is first fitted on a folder of availability series
(`scripts.age_hazard.fit`). Goes out: the table, `age_hazard.onnx` and `MODEL_MANIFEST.json`, the
latter two the same bytes for the same table and catalogue; what a manifest already says of networks
beside it is kept. What it means and how good it is:
`docs/model-card.md`.

    python -m scripts.age_hazard.build [--traces DIR --date 2026-11-23] [--out models]
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from scripts.age_hazard.fit import (
    HORIZONS,
    STEP_HOURS,
    Curve,
    Floats,
    curves,
    fit_table,
    step_middles,
)
from spotvortex.core.domain.cloud.instance_types import family_of

TABLE_NAME: Final = "age_hazard_table.json"
TABLE_OF_PRICES: Final = "on_demand_us_east_1.json"
GRAPH_NAME: Final = "age_hazard.onnx"
HOURS_RANGE: Final = (0.0, 100_000.0)
LEVEL_RANGE: Final = (1e-6, 30.0)
"""Wide on purpose: a node that has lived for months, or an offering that has just lost a whole pool
within minutes, must not be out of range when it matters. The curves are flat beyond their knots."""
OPSET: Final = 17
IR_VERSION: Final = 8

DESCRIPTION: Final = (
    "The age-hazard baseline written as ONNX: a table, not a trained network. The hazard of losing "
    "an offering falls with the time since it was last lost; its level is what the cluster's own "
    "memory of losses says. It reads neither family nor price, so its scope is every family of the "
    "product's catalogue; what it was fitted on is another matter: see fitted_on."
)
FIRST_FAMILIES: Final = (
    "m5 m5a m5ad m5d m5dn m5n m5zn m6a m6g m6gd m6i m6id m6idn m6in m7a m7g m7gd m7i m7i-flex "
    "c5 c5a c5ad c5d c5n c6a c6g c6gd c6gn c6i c6id c6in c7a c7g c7gd c7gn c7i c7i-flex "
    "r5 r5a r5ad r5b r5d r5dn r5n r6a r6g r6gd r6i r6id r6idn r6in r7a r7g r7gd r7i r7iz "
    "t2 t3 t3a t4g"
)
"""The sixty families of the Go agent's bundle; they come first."""

CATALOGUE: Final = Path(__file__).resolve().parents[2] / "spotvortex/market" / TABLE_OF_PRICES


def families() -> list[str]:
    """Return every family of the catalogue: a model that reads no family is limited to none."""
    first = FIRST_FAMILIES.split()
    prices = json.loads(CATALOGUE.read_text("utf-8"))["prices"]
    return first + sorted({family_of(name) for name in prices} - set(first))


class _Graph:
    """Nodes and constants in the order in which they are written down."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: Any, dtype: type = np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def curve(self, name: str, curve: Curve, x: str) -> str:
        """Write a curve at `x` (float32[..., 1], positive): exp(y0 + sum of clipped slopes)."""
        log_x, log_y = np.log(curve.x), np.log(curve.y)
        width = np.diff(log_x)
        slopes = np.diff(log_y) / width
        log = self.node("Log", [x], f"{name}_log")
        past = self.node("Sub", [log, self.constant(f"{name}_knots", log_x[:-1])], f"{name}_past")
        above = self.node("Max", [past, "zero"], f"{name}_above")
        within = self.node("Min", [above, self.constant(f"{name}_width", width)], f"{name}_within")
        column = self.constant(f"{name}_slopes", slopes[:, None])
        rise = self.node("MatMul", [within, column], f"{name}_rise")
        first = self.constant(f"{name}_first", log_y[0])
        return self.node("Exp", [self.node("Add", [rise, first], f"{name}_sum")], name)


def build_graph(shape: Curve, base: Curve) -> bytes:
    """Write the two curves and the quadrature as an ONNX graph."""
    graph = _Graph()
    graph.constant("zero", 0.0)
    graph.constant("one", 1.0)
    graph.constant("last_axis", [2], np.int64)
    graph.nodes.append(
        helper.make_node("Split", ["features"], ["hours_since_loss", "hazard_per_hour"], axis=1)
    )
    level = graph.node("Max", ["hazard_per_hour", graph.constant("floor", base.x[0])], "level")
    level3 = graph.node("Unsqueeze", [level, "last_axis"], "level3")
    base2 = graph.node("Squeeze", [graph.curve("base", base, level3), "last_axis"], "base2")
    age = graph.node("Max", ["hours_since_loss", "zero"], "age")
    longest = max(minutes for _, minutes in HORIZONS)
    ages = graph.node("Add", [age, graph.constant("offsets", step_middles(longest)[None])], "ages")
    ages3 = graph.node("Unsqueeze", [ages, "last_axis"], "ages3")
    shape2 = graph.node("Squeeze", [graph.curve("shape", shape, ages3), "last_axis"], "shape2")
    weights = graph.constant("weights", _weights(longest))
    integral = graph.node("MatMul", [shape2, weights], "integral")
    expected = graph.node("Mul", [integral, base2], "expected_losses")
    kept = graph.node("Exp", [graph.node("Neg", [expected], "minus")], "kept")
    lost = graph.node("Sub", ["one", kept], "lost")
    halves = [f"{name}_column" for name, _ in HORIZONS]
    graph.nodes.append(helper.make_node("Split", [lost], halves, axis=1))
    graph.constant("column_axis", [1], np.int64)
    for (name, _), half in zip(HORIZONS, halves, strict=True):
        graph.node("Squeeze", [half, "column_axis"], name)
    return _serialise(graph)


def _serialise(graph: _Graph) -> bytes:
    value = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "age_hazard",
            [value("features", onnx.TensorProto.FLOAT, ["batch", 2])],
            [value(name, onnx.TensorProto.FLOAT, ["batch"]) for name, _ in HORIZONS],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="spotvortex",
    )
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


BESIDE: Final = ("decides", "challenger", "policy", "training")
"""Members of the manifest that the training writes (`scripts.train.bundle`)."""


def build_manifest(
    table: dict[str, Any], graph: bytes, before: Mapping[str, Any] | None = None
) -> bytes:
    """Write the manifest that goes with a graph.

    Args:
        table: the fitted table.
        graph: the graph's bytes.
        before: the manifest there was; its networks beside the graph are kept.
    """
    kept = {name: value for name, value in (before or {}).items() if name in BESIDE}
    files = {n: d for n, d in (before or {}).get("artifacts", {}).items() if n != GRAPH_NAME}
    calibration = "in-sample on the series it was fitted on, see docs/model-card.md"
    manifest = {
        "schema_version": 2,
        "name": "age-hazard baseline",
        "kind": "age-hazard",
        "description": DESCRIPTION,
        "fitted_on": table["fitted_on"],
        "generated_at": f"{table['date']}T00:00:00Z",
        "cloud": "aws",
        "supported_instance_families": families(),
        "graph": GRAPH_NAME,
        "artifacts": {GRAPH_NAME: hashlib.sha256(graph).hexdigest(), **files},
        "features": [
            _feature("hours_since_loss", "hours", HOURS_RANGE),
            _feature("hazard_per_hour", "losses per node-hour", LEVEL_RANGE),
        ],
        "scores": [
            {
                "name": name,
                "output": name,
                "direction": "higher-is-riskier",
                "horizon_minutes": minutes,
                "calibration": calibration,
            }
            for name, minutes in HORIZONS
        ],
        **kept,
    }
    return (json.dumps(manifest, indent=2) + "\n").encode()


def _feature(name: str, unit: str, span: tuple[float, float]) -> dict[str, Any]:
    return {"name": name, "unit": unit, "low": span[0], "high": span[1]}


def _weights(longest: int) -> Floats:
    """Return what each step adds to each horizon: `[n_steps, n_horizons]`, hours."""
    offsets = step_middles(longest)[:, None]
    within = offsets < np.array([m / 60 for _, m in HORIZONS])
    return np.where(within, STEP_HOURS, 0.0)


def main() -> None:
    """Fit if asked to, then build."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--traces", type=Path, help="folder of availability series to fit on")
    parser.add_argument("--date", help="the day of the fit, needed with --traces")
    parser.add_argument("--out", type=Path, default=Path("models"), help="the bundle's folder")
    options = parser.parse_args()
    out: Path = options.out
    if options.traces and not options.date:
        parser.error("--traces needs --date")
    if options.traces:
        fitted = fit_table(options.traces, options.date)
        (out / TABLE_NAME).write_text(json.dumps(fitted, indent=1) + "\n")
    table = json.loads((out / TABLE_NAME).read_text())
    graph = build_graph(*curves(table))
    (out / GRAPH_NAME).write_bytes(graph)
    manifest = out / "MODEL_MANIFEST.json"
    before = json.loads(manifest.read_text()) if manifest.exists() else None
    manifest.write_bytes(build_manifest(table, graph, before))
    print(json.dumps(table["brier_by_horizon_minutes"], indent=1))
    print(f"{GRAPH_NAME}: {len(graph)} bytes")


if __name__ == "__main__":
    main()
