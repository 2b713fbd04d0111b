"""Play policy networks against the rules, in worlds that neither was fitted on.

Comes in: the folder of `scripts.train.policy`. Goes out: `policy_trial.json`: for each world and
network what it costs more or less than the rules, in points of what all on-demand costs, and the
worst seed. May not fit anything, nor use a seed of a protocol or of the fit.

    OMP_NUM_THREADS=1 python -m scripts.train.policy_trial policy --out policy_trial.json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from scripts.train.policy import load_network
from scripts.train.rollouts import FAMILIES, played, trial_of
from spotvortex.core.domain.cloud.instance_types import Scope
from spotvortex.core.domain.types import Predictor
from spotvortex.core.scoring.features import Matrix, OfferingContext
from spotvortex.evaluation import protocol, worlds
from spotvortex.model.forecaster import OnnxForecaster, load
from spotvortex.results.accounting import (
    DayTotals,
    gain_points,
    outage_delta_minutes,
    total_of,
)
from spotvortex.settings.model import BUNDLED_MODELS

FIRST_SEED: Final = 6000


@dataclass(frozen=True, slots=True, kw_only=True)
class WithPolicy:
    """A bundle's scores with another policy network.

    Attributes:
        bundle: gives the scores.
        network: gives the values.
    """

    bundle: OnnxForecaster
    network: torch.nn.Module
    has_policy: bool = True
    digest: str = "with policy"

    @property
    def decides(self) -> Predictor:
        """Who gives the scores, as the bundle says."""
        return self.bundle.decides

    @property
    def scope(self) -> Scope:
        """The families that the bundle knows."""
        return self.bundle.scope

    def tensor(self, contexts: list[OfferingContext], at: float) -> Matrix:
        """Return what the bundle builds."""
        return self.bundle.tensor(contexts, at)

    def in_range(self, tensor: Matrix) -> NDArray[np.bool_]:
        """Return what the bundle says."""
        return self.bundle.in_range(tensor)

    def score(self, tensor: Matrix) -> Matrix:
        """Return what the bundle says."""
        return self.bundle.score(tensor)

    def q_values(self, states: Matrix) -> Matrix:
        """Return what the network says."""
        with torch.no_grad():
            return self.network(torch.from_numpy(states)).numpy()


def total(forecaster: Any, world: tuple[str, str, int], n_days: int, policy: str) -> DayTotals:
    """Return the sums of one policy's run."""
    account = played(trial_of(forecaster, *world, n_days, policy), (*world, policy))
    return total_of(account.result.days)


def compared(
    networks: dict[str, torch.nn.Module], world: tuple[str, str, int], n_days: int
) -> list[dict[str, Any]]:
    """Return how each network did against the rules in one world."""
    bundle, costs = load(BUNDLED_MODELS, "aws"), protocol.load().costs
    all_on_demand = total(bundle, world, n_days, worlds.B0).node_usd
    rules = replace(total(bundle, world, n_days, worlds.OURS), all_on_demand_usd=all_on_demand)
    rows = []
    for name, network in networks.items():
        learned = total(
            WithPolicy(bundle=bundle, network=network), world, n_days, worlds.OURS_LEARNED
        )
        rows.append(
            {
                "network": name,
                "world": "/".join(map(str, world)),
                "points_over_rules": round(gain_points(learned, rules, costs) or 0.0, 3),
                "outage_minutes_over_rules": round(outage_delta_minutes(learned, rules), 1),
                "spot_share": round(learned.spot_node_minutes / learned.node_minutes, 3),
                "spot_share_rules": round(rules.spot_node_minutes / rules.node_minutes, 3),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Play every network in every world."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("policy", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--days", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = sorted(path.parent for path in options.policy.glob("policy-*/policy.pt"))
    networks = {run.name: load_network(run) for run in runs}
    mixes = protocol.load().mixes
    rows = [
        row
        for seed in range(FIRST_SEED, FIRST_SEED + options.seeds)
        for family in FAMILIES
        for row in compared(networks, (family, mixes[seed % len(mixes)], seed), options.days)
    ]
    means = {
        name: round(mean(r["points_over_rules"] for r in rows if r["network"] == name), 3)
        for name in networks
    }
    worst = min(means, key=lambda name: means[name])
    found = {"rows": rows, "mean_points_over_rules": means, "worst": worst}
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(means), f"worst: {worst}")


if __name__ == "__main__":
    main()
