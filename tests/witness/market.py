"""A scripted risk for the real daemon: calm, stress, calm by the clock while it runs.

Comes in: a script of scores by time. Goes out: a price file and a model bundle, as environment
variables. Recorded prices may lie in the future, where they do not count yet, so the file is the
script; the bundle's score is a steep function of spot / on-demand, so each price stands for one
score. Time is the machine's: a daemon that is killed and started again goes on in the same script.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper

from tests.witness.scene import INSTANCE_TYPES, ZONES

PRICED_ZONES = (*ZONES, "us-west-2d")
"""Where the provider of the scene launches nodes: one more zone than volumes lie in."""

CALM, MEDIUM, HIGH, EMERGENCY = 0.03, 0.45, 0.70, 0.97
"""Scores that mean, by the default thresholds: enter, DECREASE_10, DECREASE_30, EMERGENCY_EXIT."""

ON_DEMAND_USD = 0.2
STEEPNESS, MIDDLE_RATIO = 20.0, 0.5
"""score = sigmoid(STEEPNESS * (spot / on-demand - MIDDLE_RATIO)), so every score used here has a
price below on-demand and no price forbids what the score allows."""

HISTORY_HOURS, HISTORY_STEP_HOURS = 48, 6
GRAPH = "scripted.onnx"
RISK_CAPS = {
    "SPOTVORTEX_MEDIUM_RISK": "0.35",
    "SPOTVORTEX_HIGH_RISK": "0.6",
    "SPOTVORTEX_EMERGENCY_RISK": "0.9",
    "SPOTVORTEX_EMERGENCY_RUNTIME_RISK": "0.8",
}
"""Caps of an owner, so that a scripted risk leads to a move whatever a loss would cost."""

Script = Sequence[tuple[float, float]]
"""Pairs of seconds after the start and the score from then on."""


def write_scripted_risk(
    folder: Path,
    script: Script,
    *,
    start: float | None = None,
    instance_types: Sequence[str] = INSTANCE_TYPES,
    zones: Sequence[str] = PRICED_ZONES,
) -> dict[str, str]:
    """Write what makes a daemon see a risk by the clock; return its environment variables.

    Args:
        folder: where price file and bundle are written.
        script: the scores; before its first time the risk is calm.
        start: seconds since the epoch from which the script counts; None is now.
        instance_types: those that the cluster runs on, or may.
        zones: theirs, all of one region.
    """
    prices = folder / "scripted-prices.jsonl"
    lines = _records(script, time.time() if start is None else start, instance_types, zones)
    prices.write_text("".join(json.dumps(line) + "\n" for line in lines))
    families = sorted({kind.partition(".")[0] for kind in instance_types})
    bundle = _write_bundle(folder / "scripted-model", families)
    return RISK_CAPS | {"SPOTVORTEX_PRICE_FILE": str(prices), "SPOTVORTEX_MODEL_DIR": str(bundle)}


def price_for(score: float) -> float:
    """Return the Spot price that gives a score, USD per hour."""
    return ON_DEMAND_USD * (MIDDLE_RATIO + math.log(score / (1.0 - score)) / STEEPNESS)


def _records(
    script: Script, start: float, instance_types: Sequence[str], zones: Sequence[str]
) -> Iterator[dict[str, str]]:
    # Two days of calm, so that no history is too short and no price too old.
    before = range(-HISTORY_HOURS + 1, 0, HISTORY_STEP_HOURS)
    changes = [(start + 3600.0 * hours, CALM) for hours in before]
    changes += [(start + after_s, score) for after_s, score in script]
    for kind in instance_types:
        region = zones[0].rstrip("abcdef")
        yield {"InstanceType": kind, "Region": region, "OnDemandPrice": str(ON_DEMAND_USD)}
        for zone in zones:
            for at, score in changes:
                yield {
                    "InstanceType": kind,
                    "AvailabilityZone": zone,
                    "ProductDescription": "Linux/UNIX",
                    "SpotPrice": f"{price_for(score):.6f}",
                    "Timestamp": datetime.fromtimestamp(at, UTC).isoformat(),
                }


def _write_bundle(folder: Path, families: Sequence[str]) -> Path:
    folder.mkdir(exist_ok=True)
    graph = _graph().SerializeToString()
    (folder / GRAPH).write_bytes(graph)
    manifest = {
        "schema_version": 2,
        "name": "scripted",
        "kind": "scripted",
        "description": "A steep function of the price; for tests alone.",
        "fitted_on": "nothing",
        "generated_at": "2026-01-01T00:00:00Z",
        "cloud": "aws",
        "supported_instance_families": list(families),
        "graph": GRAPH,
        "artifacts": {GRAPH: hashlib.sha256(graph).hexdigest()},
        "features": [
            _feature("hazard_per_hour", "losses per node-hour", 1e-6, 30.0),
            _feature("price_ratio", "ratio", 0.0, 1.0),
        ],
        "scores": [_score("capacity_score", 60), _score("runtime_score", 120)],
    }
    (folder / "MODEL_MANIFEST.json").write_text(json.dumps(manifest))
    return folder


def _feature(name: str, unit: str, low: float, high: float) -> dict[str, Any]:
    return {"name": name, "unit": unit, "low": low, "high": high}


def _score(name: str, minutes: int) -> dict[str, Any]:
    return {
        "name": name,
        "output": name,
        "direction": "higher-is-riskier",
        "horizon_minutes": minutes,
        "calibration": "none",
    }


def _graph() -> Any:
    """Both scores by the price alone: losses in the scene do not disturb the script."""
    floats, outputs = TensorProto.FLOAT, ("capacity_score", "runtime_score")
    constants = [
        helper.make_tensor("weights", floats, [2, 1], [0.0, STEEPNESS]),
        helper.make_tensor("bias", floats, [1], [-STEEPNESS * MIDDLE_RATIO]),
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
    ]
    nodes = [
        helper.make_node("Gemm", ["features", "weights", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["column"]),
        *(helper.make_node("Squeeze", ["column", "axis"], [name]) for name in outputs),
    ]
    graph = helper.make_graph(
        nodes,
        "scripted",
        [helper.make_tensor_value_info("features", floats, ["batch", 2])],
        [helper.make_tensor_value_info(name, floats, ["batch"]) for name in outputs],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
