"""Write trained networks into `models/` beside the age hazard, and all of it into the manifest.

Comes in: the folder of finished runs with their comparison, a trained policy network where there is
one, and the bundle's folder. Goes out: `tft.onnx`, `tft.onnx.data`, `rl_policy.onnx`,
`rl_policy.onnx.data` and the members `decides`, `challenger`, `policy` and `training` of
`MODEL_MANIFEST.json`. The worst seed ships. May not let a network decide: what loses against the
interruption memory is asked beside it, and what wins is put at `graph` by hand.

    python -m scripts.train.bundle data.npz --runs runs --comparison comparison.json --out models
"""

from __future__ import annotations

import argparse
import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from scripts.train.fit import VARIANTS, scales
from scripts.train.samples import Samples, read_samples
from scripts.train.tft import Tft
from spotvortex.core.scoring.trajectory import AHEAD_HOURS, COLUMNS, N_STEPS, PAST_HOURS

RISK_GRAPH: Final = "tft.onnx"
POLICY_GRAPH: Final = "rl_policy.onnx"
MANIFEST: Final = "MODEL_MANIFEST.json"
EXTERNAL_FROM_BYTES: Final = 1024
ROOT: Final = Path(__file__).resolve().parents[2]
CODE: Final = (
    "scripts/train/*.py",
    "spotvortex/core/scoring/trajectory.py",
    "spotvortex/core/scoring/features.py",
    "spotvortex/core/scoring/hazard.py",
)
"""What shapes a trained network, beside the interruption memory that it reads."""

VERDICT: Final = "The network does not beat the interruption memory, and decides nothing."


class Scores(nn.Module):
    """The two figures that a bundle gives."""

    def __init__(self, model: Tft) -> None:
        super().__init__()
        self.model = model

    def forward(self, trajectory: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probability of a loss within 60 and within 120 minutes."""
        p = self.model(trajectory)
        return p[:, 5], p[:, 11]


def export(
    model: nn.Module, example: Tensor, path: Path, source: str, outputs: list[str]
) -> dict[str, str]:
    """Write a network, its larger weights into a file beside it; returns SHA-256 by name."""
    model.eval()  # the exporter puts a network back into the mode that it was in
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that embeds no paths is an older one
        torch.onnx.export(
            model,
            (example,),
            str(path),
            input_names=[source],
            output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in (source, *outputs)},
            opset_version=17,
            dynamo=False,
        )
    graph = onnx.load(path)
    for node in graph.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    data = path.with_name(path.name + ".data")
    data.unlink(missing_ok=True)
    onnx.save(
        graph,
        str(path),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=data.name,
        size_threshold=EXTERNAL_FROM_BYTES,
    )
    for one in (path, data):
        one.chmod(0o644)
    onnx.checker.check_model(str(path), full_check=True)
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in (path, data)}


def code_digest() -> str:
    """Return one digest of the code that shapes a trained network."""
    whole = hashlib.sha256()
    for path in sorted(path for pattern in CODE for path in ROOT.glob(pattern)):
        whole.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def put(manifest: dict[str, Any], members: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Add members and files to a manifest; what was there under the same names is replaced."""
    manifest["artifacts"] |= files
    manifest |= members


def challenger_of(model: Tft, found: dict[str, Any]) -> dict[str, Any]:
    """Return what the manifest says of the network."""
    shift, power = model.calibration.tolist()
    calibration = (
        f"summed hazard H becomes exp({shift:.4f}) x H^{power:.4f}, fitted on the tuning tenth of "
        "each record; out of sample: training.metrics"
    )
    columns = zip(COLUMNS, model.centre.tolist(), model.spread.tolist(), strict=True)
    return {
        "name": "temporal fusion transformer",
        "kind": "temporal fusion transformer that corrects the interruption memory's hazard",
        "graph": RISK_GRAPH,
        "input": "trajectory",
        "columns": [
            {"name": n, "centre": round(c, 6), "spread": round(s, 6)} for n, c, s in columns
        ],
        "past_hours": list(PAST_HOURS),
        "ahead_hours": [round(hours, 6) for hours in AHEAD_HOURS],
        "scores": [
            {
                "name": name,
                "output": name,
                "direction": "higher-is-riskier",
                "horizon_minutes": minutes,
                "calibration": calibration,
            }
            for name, minutes in (("capacity_score", 60), ("runtime_score", 120))
        ],
        "why": VERDICT if found["decides"] == "memory" else "it is on trial",
    }


def training_of(samples: Samples, found: dict[str, Any], seeds: list[int]) -> dict[str, Any]:
    """Return what the manifest says of the training."""
    metrics = {}
    for minutes in ("60", "120"):
        table = found["horizons"][minutes]["recorded, later in time"]
        for who, name in (("network", found["worst_seed"]), ("memory", "memory")):
            row = table[name]
            for figure in ("auc", "brier", "skill", "ece"):
                metrics[f"{who}_{figure}_{minutes}_min"] = round(row[figure], 4)
        low, high = table[found["worst_seed"]]["over_memory"][1:]
        over = table[found["worst_seed"]]["over_memory"][0]
        metrics |= {
            f"network_skill_over_memory_{minutes}_min": round(over, 4),
            f"network_skill_over_memory_{minutes}_min_low": round(low, 4),
            f"network_skill_over_memory_{minutes}_min_high": round(high, 4),
        }
    return {
        "sources": [
            {"name": name, "first_day": first, "last_day": last}
            for name, (first, last) in sorted(samples.days.items())
        ],
        "digests": samples.sources,
        "code": code_digest(),
        "code_changes": "",
        "seeds": seeds,
        "metrics": metrics,
    }


def write_policy(run: Path, manifest: dict[str, Any], out: Path) -> None:
    """Put a trained policy network into the bundle."""
    from scripts.train.policy import load_network  # noqa: PLC0415 -- only where there is one

    network = load_network(run)
    files = export(network, torch.zeros(2, 13), out / POLICY_GRAPH, "state", ["q_values"])
    policy = {"graph": POLICY_GRAPH, "input": "state", "output": "q_values"}
    put(manifest, {"policy": policy}, files)


def main() -> None:
    """Export, and write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--comparison", type=Path, required=True)
    parser.add_argument("--policy", type=Path, help="the run of a trained policy network")
    parser.add_argument("--out", type=Path, default=Path("models"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    samples, found = read_samples(options.data), json.loads(options.comparison.read_text())
    model = Tft(VARIANTS["all"], *scales(samples.x[:2]))
    run = options.runs / found["worst_seed"]
    model.load_state_dict(torch.load(run / "calibrated.pt", weights_only=True))
    model.eval()
    example = torch.from_numpy(samples.x[:2])
    assert example.shape[1:] == (N_STEPS, len(COLUMNS))
    manifest = json.loads((options.out / MANIFEST).read_text())
    outputs = ["capacity_score", "runtime_score"]
    files = export(Scores(model), example, options.out / RISK_GRAPH, "trajectory", outputs)
    seeds = sorted(int(p.name.rpartition("-")[2]) for p in options.runs.glob("all-[0-9]*"))
    members = {
        "decides": "memory",
        "challenger": challenger_of(model, found),
        "training": training_of(samples, found, seeds),
    }
    put(manifest, members, files)
    if options.policy:
        write_policy(options.policy, manifest, options.out)
    (options.out / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    n_bytes = sum(path.stat().st_size for path in options.out.iterdir())
    print(f"{options.out}: {n_bytes} bytes, {np.size(samples.at)} samples behind it")


if __name__ == "__main__":
    main()
