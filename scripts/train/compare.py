"""The table in which networks and baselines stand side by side, on validation alone.

Comes in: samples, and the folder of finished runs. Goes out: `comparison.json` and a table in
Markdown: AUC, Brier skill over base rate + age hazard, calibration error, each with a 95 % interval
over days of markets; by class; the reliability diagram; what the network looks at; and what decides
by default, by a rule that is fixed here. May not train.

    python -m scripts.train.compare data.npz --runs runs --out comparison.json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from scripts.train import baselines
from scripts.train.fit import VARIANTS, scales
from scripts.train.metrics import figures, skill
from scripts.train.samples import Samples, read_samples
from scripts.train.tft import N_KNOWN, N_OBSERVED, N_TIMED, Tft
from spotvortex.core.scoring.trajectory import AHEAD_HOURS, COLUMNS, PAST_HOURS
from spotvortex.model.quality import bins

Floats = NDArray[np.float64]
HORIZONS: Final = (10, 30, 60, 120)
REFERENCE: Final = "base rate + age hazard"
MEMORY: Final = "memory"

RULE: Final = (
    "The network decides by default only if the worst of its seeds has a higher Brier skill than "
    "the interruption memory, with the whole 95 % interval of the difference above zero, at 60 and "
    "at 120 minutes, on recorded markets later in time and on a region that it has not seen, and "
    "if on drawn markets it is nowhere worse by more than its interval."
)


def probabilities(folder: Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a finished run says: the probability by the end of each step ahead."""
    kept = torch.load(folder / "calibrated.pt", weights_only=True)
    variant = next(v for v in sorted(VARIANTS, key=len, reverse=True) if folder.name.startswith(v))
    model = Tft(VARIANTS[variant], *scales(x[:2]))
    model.load_state_dict(kept)
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part) for part in torch.from_numpy(x).split(4096)]).numpy()


def looked_at(folder: Path, x: NDArray[np.float32]) -> dict[str, dict[str, float]]:
    """Return the mean weights of variable selection and attention of one run."""
    model = Tft(VARIANTS["all"], *scales(x[:2]))
    model.load_state_dict(torch.load(folder / "calibrated.pt", weights_only=True))
    model.eval()
    with torch.no_grad():
        _, weights = model.log_hazard(torch.from_numpy(x[:8192]))
    mean = {name: w.reshape(-1, w.shape[-1]).mean(dim=0).tolist() for name, w in weights.items()}
    steps = [f"{hours:+.2f} h" for hours in (*PAST_HOURS, *AHEAD_HOURS)]
    names = {
        "static": COLUMNS[N_TIMED:],
        "past": COLUMNS[:N_TIMED],
        "ahead": COLUMNS[N_OBSERVED : N_OBSERVED + N_KNOWN],
        "attention": steps,
    }
    return {
        part: {n: round(w, 4) for n, w in zip(names[part], mean[part], strict=True)}
        for part in mean
    }


def rivals(samples: Samples, minutes: int) -> dict[str, Floats]:
    """Return what everything but networks says."""
    return {
        "constant": baselines.constant(samples, minutes),
        "base rate": baselines.base_rate(samples, minutes),
        REFERENCE: baselines.base_and_age(samples, minutes),
        "age hazard (shipped table)": baselines.age_hazard(samples, minutes),
        MEMORY: baselines.memory(samples, minutes),
        "gradient-boosted trees": baselines.trees(samples, minutes),
    }


def _judge(
    said: dict[str, Floats], samples: Samples, chosen: NDArray[np.bool_], minutes: int
) -> dict[str, Any]:
    """Return the figures of every prediction on some samples, and its skill over the memory."""
    y, known = samples.label(minutes)
    rows = chosen & known
    if not rows.any() or y[rows].sum() < 5:
        return {"n": int(rows.sum()), "lost": float(y[rows].mean()) if rows.any() else 0.0}
    reference, memory = said[REFERENCE][rows], said[MEMORY][rows]
    block = samples.block[rows]
    found: dict[str, Any] = {}
    for name, p in said.items():
        found[name] = asdict(figures(p[rows], y[rows], reference, block))
        found[name]["over_memory"] = list(skill(p[rows], y[rows], memory, block))
    return found


def compare(samples: Samples, runs: Path) -> dict[str, Any]:
    """Judge every finished run and baseline on validation."""
    folders = sorted(p.parent for p in runs.glob("*/calibrated.pt"))
    curves = {folder.name: probabilities(folder, samples.x) for folder in folders}
    classes = samples.names_of_class()
    region = samples.region
    recorded = samples.validate & ~samples.generated
    groups = {"recorded, later in time": recorded}
    for name in {f.name.rpartition("-")[0].partition("-without-")[2] for f in folders} - {""}:
        groups[f"recorded, {name}"] = recorded & (region == name)
    for name in np.unique(classes[samples.validate]):
        groups[str(name)] = samples.validate & (classes == name)
    found: dict[str, Any] = {"rule": RULE, "horizons": {}}
    for minutes in HORIZONS:
        said = rivals(samples, minutes)
        said |= {n: c[:, minutes // 10 - 1].astype(float) for n, c in curves.items()}
        table = {name: _judge(said, samples, rows, minutes) for name, rows in groups.items()}
        found["horizons"][str(minutes)] = table
        if minutes in (60, 120):
            y, known = samples.label(minutes)
            rows = recorded & known
            found.setdefault("reliability", {})[str(minutes)] = {
                name: bins(p[rows], y[rows]) for name, p in said.items()
            }
    seeds = [f for f in folders if f.name.startswith("all-") and "without" not in f.name]
    if seeds:
        found["worst_seed"] = _worst(found, [f.name for f in seeds])
        found["looks_at"] = looked_at(runs / found["worst_seed"], samples.x[recorded])
        found["decides"], found["because"] = decide(found)
    return found


def _worst(found: dict[str, Any], names: list[str]) -> str:
    """Return the seed of least Brier skill at 60 minutes on recorded markets later in time."""
    table = found["horizons"]["60"]["recorded, later in time"]
    return min(names, key=lambda name: table[name]["skill"])


def decide(found: dict[str, Any]) -> tuple[str, list[str]]:
    """Apply the rule: return what decides by default, and what spoke against the network."""
    against = []
    for minutes in ("60", "120"):
        for group, table in found["horizons"][minutes].items():
            for name, row in table.items():
                if isinstance(row, dict) and _counts(name, group, found["worst_seed"]):
                    _, low, high = row["over_memory"]
                    drawn = group.startswith("generated")
                    if (drawn and high < 0.0) or (not drawn and low <= 0.0):
                        against.append(
                            f"{name}, {minutes} min, {group}: skill over the memory "
                            f"{row['over_memory'][0]:+.3f} [{low:+.3f}, {high:+.3f}]"
                        )
    return ("memory" if against else "network"), against


def _counts(name: str, group: str, worst: str) -> bool:
    """Tell whether a row is one that the rule asks about."""
    if "-without-" in name and name.startswith("all-"):
        region = name.rpartition("-")[0].partition("-without-")[2]
        return group == f"recorded, {region}"
    return name == worst and (group == "recorded, later in time" or group.startswith("generated"))


def markdown(found: dict[str, Any], minutes: str, group: str) -> str:
    """Return one table of the comparison."""
    head = "prediction|AUC|Brier skill over base rate + age hazard|over the memory|ECE|mean said"
    lines = [f"| {head.replace('|', ' | ')} |", "|---|---|---|---|---|---|"]
    for name, row in found["horizons"][minutes][group].items():
        if isinstance(row, dict):
            over = row["over_memory"]
            lines.append(
                f"| {name} | {row['auc']:.3f} [{row['auc_low']:.3f}, {row['auc_high']:.3f}] "
                f"| {row['skill']:+.3f} [{row['skill_low']:+.3f}, {row['skill_high']:+.3f}] "
                f"| {over[0]:+.3f} [{over[1]:+.3f}, {over[2]:+.3f}] "
                f"| {row['ece']:.3f} | {row['mean']:.3f} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Compare, write, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = compare(read_samples(options.data), options.runs)
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    for minutes in ("60", "120"):
        for group in [g for g in found["horizons"][minutes] if g.startswith("recorded")]:
            print(f"\n{group}, {minutes} min\n\n{markdown(found, minutes, group)}")
    print(f"\ndecides: {found.get('decides')}", *found.get("because", []), sep="\n")


if __name__ == "__main__":
    main()
