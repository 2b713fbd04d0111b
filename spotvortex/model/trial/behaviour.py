"""How a bundle behaves on offerings that it may meet.

Comes in: a bundle that has passed its checks. Goes out: findings, each in a sentence: does it say a
figure at all, does it tell offerings apart, does it say nothing but 0 and 1, how long does it take.
May not judge how good it is: `outcomes` does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotvortex.core.decision.learned_policy import ACTIONS, STATE_SIZE
from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.domain.types import Offering, Predictor
from spotvortex.core.scoring.features import OfferingContext
from spotvortex.model.behaviour import SPREAD_FLOOR, is_probability
from spotvortex.model.forecaster import OnnxForecaster

AT: Final = 1_700_000_000.0
N_TIMED: Final = 500
"""Offerings of a large cluster, scored at once."""

SLOW_S: Final = 1.0
"""A fifth of what the daemon waits for."""

SATURATED: Final = 1e-4
MOST_SATURATED: Final = 0.5

_AGES_HOURS: Final = (0.1, 0.5, 2.0, 8.0, 30.0, 200.0, 2000.0)
_LEVELS: Final = (1e-4, 2e-3, 2e-2, 0.2, 1.0)
_TYPES: Final = ("t3.medium", "m6i.large", "c7g.4xlarge", "r5.16xlarge")
_PRICE_RATIOS: Final = (0.2, 0.4, 0.8)
_ON_DEMAND_USD: Final = 0.2

Scores = NDArray[np.float32]


class State(StrEnum):
    """How one thing was found."""

    OK = "ok"
    DOUBT = "doubt"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFinding:
    """One thing that a trial has found.

    Attributes:
        name: what was tried.
        state: how it was found.
        text: what was found, in words.
        fix: what to do, "" where nothing is.
    """

    name: str
    state: State
    text: str
    fix: str = ""


def tried(
    bundle: OnnxForecaster, clock: Callable[[], float] = time.perf_counter
) -> list[TrialFinding]:
    """Try every network of a bundle.

    Args:
        bundle: what to try.
        clock: seconds, for the speed.
    """
    contexts = plausible()
    found = [_graph(bundle, contexts)]
    if not bundle.degenerate:
        found.append(
            _speed("speed", lambda many: bundle.score(bundle.tensor(many, AT)), contexts, clock)
        )
    if bundle.challenger is not None:
        found.append(_challenger(bundle, contexts))
        challenger = bundle.challenger
        found.append(
            _speed(
                "challenger speed",
                lambda many: challenger.score(challenger.tensor(many, AT)),
                contexts,
                clock,
            )
        )
    if bundle.has_policy:
        found.append(_policy(bundle))
    return found


def plausible() -> list[OfferingContext]:
    """Return offerings of every age, level, size and price that a cluster may hold."""
    return [
        _context(age, level, name, ratio)
        for age, level, name, ratio in product(_AGES_HOURS, _LEVELS, _TYPES, _PRICE_RATIOS)
    ]


def _context(age: float, level: float, name: str, ratio: float) -> OfferingContext:
    offering = Offering(instance_type=name, zone="us-east-1a")
    price = _ON_DEMAND_USD * ratio
    quote = SpotQuote(
        offering=offering,
        spot_usd_per_hour=price,
        on_demand_usd_per_hour=_ON_DEMAND_USD,
        history_usd_per_hour=(price,) * 1009,
        age_s=0.0,
    )
    return OfferingContext(
        offering=offering,
        quote=quote,
        hours_since_loss=age,
        hazard_per_hour=level,
        held_hours=age,
        level_per_hour=level,
        exposure_hours=min(age, 72.0),
    )


def _graph(bundle: OnnxForecaster, contexts: list[OfferingContext]) -> TrialFinding:
    """Judge the graph: in doubt only, where the interruption memory decides."""
    if bundle.degenerate:
        memory_decides = bundle.decides is Predictor.MEMORY
        return TrialFinding(
            name="behaviour",
            state=State.DOUBT if memory_decides else State.WRONG,
            text=f"{bundle.name} abstains everywhere: {bundle.degenerate_reason}",
            fix="train it again; the interruption memory decides meanwhile"
            if memory_decides
            else 'train it again, or let the interruption memory decide: `"decides": "memory"`',
        )
    return _judged("behaviour", bundle.score(bundle.tensor(contexts, AT)))


def _challenger(bundle: OnnxForecaster, contexts: list[OfferingContext]) -> TrialFinding:
    challenger = bundle.challenger
    assert challenger is not None
    if challenger.degenerate_reason:
        return TrialFinding(
            name="challenger",
            state=State.DOUBT,
            text=f"{challenger.name} abstains everywhere: {challenger.degenerate_reason}",
            fix="train it again; it decides nothing meanwhile",
        )
    return _judged("challenger", challenger.score(challenger.tensor(contexts, AT)))


def _judged(name: str, scores: Scores) -> TrialFinding:
    """Judge scores by how many there are, how far apart, and how many are all but 0 or 1."""
    told = is_probability(scores).all(axis=1)
    if not told.all():
        return TrialFinding(
            name=name,
            state=State.WRONG if not told.any() else State.DOUBT,
            text=f"gives no figure for {np.mean(~told):.0%} of {len(scores)} plausible offerings",
            fix="look at its ranges and at what it makes of large values",
        )
    spread = float(np.ptp(scores, axis=0).min())
    if spread < SPREAD_FLOOR:
        return TrialFinding(
            name=name,
            state=State.WRONG,
            text=f"says nearly the same of every offering: its scores spread by {spread:.4f}",
            fix=f"a spread of {SPREAD_FLOOR} is the least that tells offerings apart",
        )
    ends = float(np.mean((scores < SATURATED) | (scores > 1.0 - SATURATED)))
    state = State.DOUBT if ends > MOST_SATURATED else State.OK
    low, high = float(scores.min()), float(scores.max())
    text = f"{len(scores)} plausible offerings: {low:.4g} to {high:.4g}, {ends:.0%} all but 0 or 1"
    fix = "more than half says all or nothing; calibrate it" if state is State.DOUBT else ""
    return TrialFinding(name=name, state=state, text=text, fix=fix)


def _speed(
    name: str,
    score: Callable[[list[OfferingContext]], Scores],
    contexts: list[OfferingContext],
    clock: Callable[[], float],
) -> TrialFinding:
    many = (contexts * (N_TIMED // len(contexts) + 1))[:N_TIMED]
    begun = clock()
    score(many)
    took = clock() - begun
    return TrialFinding(
        name=name,
        state=State.OK if took < SLOW_S else State.DOUBT,
        text=f"{N_TIMED} offerings in {took * 1000:.0f} ms",
        fix="" if took < SLOW_S else "the daemon gives a model 5 s; make it smaller",
    )


def _policy(bundle: OnnxForecaster) -> TrialFinding:
    """Try the policy network on states drawn evenly from all that there are."""
    states = np.random.default_rng(1).uniform(0.0, 1.0, (1000, STATE_SIZE)).astype(np.float32)
    values = bundle.q_values(states)
    if not np.isfinite(values).all():
        return TrialFinding(
            name="policy", state=State.WRONG, text="values of some states are no figures"
        )
    best = np.bincount(values.argmax(axis=1), minlength=len(ACTIONS))
    told = ", ".join(
        f"{action.value} {n / 10:.0f} %" for action, n in zip(ACTIONS, best, strict=True) if n
    )
    alone = int(np.count_nonzero(best)) == 1
    return TrialFinding(
        name="policy",
        state=State.DOUBT if alone else State.OK,
        text=f"best of 1000 states: {told}",
        fix="it answers the same everywhere" if alone else "",
    )
