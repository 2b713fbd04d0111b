"""What a policy network is fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.train.rollouts import Explorer, costs_by_hour, transitions
from spotvortex.core.domain.types import Action
from spotvortex.evaluation import worlds
from spotvortex.model.forecaster import load
from spotvortex.results.accounting import Costs, RunResult
from spotvortex.results.timeline import EventKind, Hour, RunAccount, TimelineEvent
from spotvortex.sim.market.random_streams import stream
from tests.model.bundles import SHIPPED

COSTS = Costs(v=1.5, cm=3.0, ci=15.0)
ACTIONS = tuple(Action)


def test_explorer_stands_for_one_action_an_hour() -> None:
    explorer = Explorer(bundle=load(SHIPPED, "aws"), chance=stream(1, "test"))
    states = np.zeros((1, 13), dtype=np.float32)
    best = []
    for tick in range(60):
        explorer.tensor([], worlds.START_AT + 600.0 * tick)
        best.append(int(explorer.q_values(states).argmax()))
    by_hour = [best[k : k + 6] for k in range(0, 60, 6)]
    assert all(len(set(hour)) == 1 for hour in by_hour)
    assert len(set(best)) > 1
    made = transitions(explorer, [0.5] * 10)
    assert len(made) == 9
    assert [action for _, action, _, _ in made] == [hour[0] for hour in by_hour[:9]]


def test_hour_costs_its_nodes_and_what_was_lost_and_moved_in_it() -> None:
    hours = tuple(Hour(at_h=h, cost_usd_per_hour=1.0, spot_ratio=1.0, n_nodes=20) for h in (0, 1))
    lost = TimelineEvent(at_h=1.5, kind=EventKind.INTERRUPTION, n=2)
    result = RunResult(family="f", mix="m", seed=1, policy="p", days=(), digest="")
    quiet, busy = costs_by_hour(RunAccount(result=result, hours=hours, events=(lost,)), COSTS)
    usd = 1.0 / quiet / worlds.UNITS
    assert busy - quiet == pytest.approx(2 * 15.0 / 60.0 / worlds.UNITS)
    assert usd > 0.0
