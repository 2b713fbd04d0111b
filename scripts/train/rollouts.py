"""What follows from actions, played in the project's own simulator.

Comes in: families of markets, seeds that neither protocol uses, a bundle for the scores. Goes out:
a folder with one `.npz` of transitions a world, gone on with when it is started again: the state
that a policy network sees at the start of an hour, the action that it stood for in that hour, what
the hour cost as a share of all on-demand, the state after it. The daemon's own tasks run, with
every gate; an action is what the network values most, not what is carried out. May not use a seed
of a protocol.

    python -m scripts.train.rollouts --out rollouts [--seeds 20] [--days 3]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.domain.cloud.instance_types import Scope
from spotvortex.core.domain.types import Action, Predictor
from spotvortex.core.scoring.features import Matrix, OfferingContext
from spotvortex.evaluation import protocol, worlds
from spotvortex.evaluation.run import Trial, run
from spotvortex.model.forecaster import OnnxForecaster, load
from spotvortex.results.accounting import Costs, DayTotals, RunResult
from spotvortex.results.timeline import EventKind, RunAccount
from spotvortex.settings.model import BUNDLED_MODELS
from spotvortex.sim.market.instance_types import instance_type_of
from spotvortex.sim.market.random_streams import stream

FIRST_SEED: Final = 5000
"""Far from the seeds of both protocols."""

FAMILIES: Final = ("normal", "stressed", "tracelike")
TICK_S: Final = 600.0
STEP_S: Final = 60.0
"""Coarser than the protocols, for speed."""

HOUR_S: Final = 3600.0
CHANCES: Final = {
    Action.HOLD: 0.35,
    Action.INCREASE_30: 0.25,
    Action.INCREASE_10: 0.12,
    Action.DECREASE_10: 0.10,
    Action.DECREASE_30: 0.11,
    Action.EMERGENCY_EXIT: 0.07,
}
"""How often each action is tried."""

ACTIONS: Final = tuple(Action)


@dataclass(slots=True, kw_only=True)
class Explorer:
    """A bundle whose policy network stands for one random action an hour.

    The bundle's graph gives the scores, whoever decides elsewhere: being asked, it learns the time.

    Attributes:
        bundle: gives the scores.
        chance: draws the actions.
        seen: by hour, the state at its start and the action of the hour.
        at: the time of the observation that is scored now.
    """

    bundle: OnnxForecaster
    chance: Random
    seen: dict[int, tuple[list[float], int]] = field(default_factory=dict)
    at: float = 0.0
    has_policy: bool = True
    decides: Predictor = Predictor.GRAPH
    digest: str = "explorer"

    @property
    def scope(self) -> Scope:
        """The families that the bundle knows."""
        return self.bundle.scope

    def tensor(self, contexts: list[OfferingContext], at: float) -> Matrix:
        """Build the bundle's input, and note the time."""
        self.at = at
        return self.bundle.tensor(contexts, at)

    def in_range(self, tensor: Matrix) -> NDArray[np.bool_]:
        """Return what the bundle says."""
        return self.bundle.in_range(tensor)

    def score(self, tensor: Matrix) -> Matrix:
        """Return what the bundle says."""
        return self.bundle.score(tensor)

    def q_values(self, states: Matrix) -> Matrix:
        """Value the action of the hour most, and HOLD next."""
        hour = int((self.at - worlds.START_AT) // HOUR_S)
        if hour not in self.seen:
            (action,) = self.chance.choices(list(CHANCES), list(CHANCES.values()))
            self.seen[hour] = states[0].tolist(), ACTIONS.index(action)
        values = np.zeros((len(states), len(ACTIONS)), dtype=np.float32)
        values[:, ACTIONS.index(Action.HOLD)] = 0.5
        values[:, self.seen[hour][1]] = 1.0
        return values


def trial_of(forecaster: Any, family: str, mix: str, seed: int, n_days: int, policy: str) -> Trial:
    """Make the trial of a policy in a world of the first protocol, at ticks of ten minutes."""
    of = protocol.load()
    plain = next(v for v in of.variants if not v.name)
    world = worlds.EvaluationWorld(family=family, mix=mix, seed=seed, n_days=n_days, variant=plain)
    trial = worlds.trial_of(world, policy, of, lambda _: forecaster)
    slower = replace(trial.scenario, step_s=STEP_S)
    if trial.controller is None:
        return replace(trial, scenario=slower)
    limits = replace(trial.controller.limits, max_input_age_s=2.0 * STEP_S)
    controller = replace(trial.controller, tick_s=TICK_S, limits=limits)
    return replace(trial, scenario=slower, controller=controller)


def played(trial: Trial, names: tuple[str, str, int, str]) -> RunAccount:
    """Run a trial."""
    family, mix, seed, policy = names

    def name(days: tuple[DayTotals, ...], digest: str) -> RunResult:
        return RunResult(family=family, mix=mix, seed=seed, policy=policy, days=days, digest=digest)

    return run(trial, name)


def costs_by_hour(account: RunAccount, costs: Costs) -> list[float]:
    """Return what each hour cost, as a share of the same nodes on-demand.

    Nodes, moves and interruptions are known by the hour; what was not served is known by the day,
    and is laid on the hours of the day in which something was lost or moved.
    """
    usd_per_hour = instance_type_of(worlds.UNIT.instance_type).on_demand_usd_per_hour
    minute = usd_per_hour / 60.0
    spent = [hour.cost_usd_per_hour for hour in account.hours]
    busy = [0.0] * len(spent)
    for event in account.events:
        hour = min(len(spent) - 1, int(event.at_h))
        price = {EventKind.INTERRUPTION: costs.ci, EventKind.MOVE: costs.cm}.get(event.kind, 0.0)
        spent[hour] += price * minute * event.n
        busy[hour] += event.n if price else 0.0
    for number, day in enumerate(account.result.days):
        hours = range(number * 24, min(len(spent), number * 24 + 24))
        total = sum(busy[h] for h in hours)
        for h in hours:
            part = busy[h] / total if total else 1.0 / len(hours)
            spent[h] += costs.v * day.unserved_od_usd * part
    return [usd / (worlds.UNITS * usd_per_hour) for usd in spent]


Transition = tuple[list[float], int, float, list[float]]


def transitions(explorer: Explorer, spent: list[float]) -> list[Transition]:
    """Pair what was seen and done in an hour with what it cost and what came next."""
    return [
        (*explorer.seen[hour], spent[hour], explorer.seen[hour + 1][0])
        for hour in sorted(explorer.seen)
        if hour + 1 in explorer.seen and hour < len(spent)
    ]


def main() -> None:
    """Play, and write down."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--days", type=int, default=3)
    options = parser.parse_args()
    bundle, of = load(BUNDLED_MODELS, "aws"), protocol.load()
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
        for family in FAMILIES:
            path, begun = options.out / f"{family}-{seed}.npz", time.perf_counter()
            if path.exists():
                continue
            explorer = Explorer(bundle=bundle, chance=stream(seed, "explore", family))
            names = (family, of.mixes[seed % len(of.mixes)], seed, worlds.OURS_LEARNED)
            account = played(trial_of(explorer, *names[:3], options.days, names[3]), names)
            rows = transitions(explorer, costs_by_hour(account, of.costs))
            states, actions, spent, after = (np.asarray(part) for part in zip(*rows, strict=True))
            np.savez(path, states=states, actions=actions, spent=spent, after=after)
            took = time.perf_counter() - begun
            print(f"{path.name}: {len(rows)} transitions, {took:.1f} s", flush=True)


if __name__ == "__main__":
    main()
