"""What the owner of a pool asks for, and how it bounds the limits of all pools.

Comes in: the raw annotations of NodePools, and what settings say by pool. Goes out: `PoolRules`,
and limits that obey them. Where two say something the more careful one counts; what cannot be read
is a problem that stops the pool; a rule that vanishes stays in force until another one is stated,
so that deleting an object never widens what the controller may do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final, TypeVar

from spotvortex.core.domain.labels import MAX_SPOT_RATIO, MODE, ON_DEMAND_FLOOR
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import Mode

MAX_FLOOR: Final = 10_000

_FLOOR: Final = re.compile(r"(\d{1,5})\s*(vcpu)?", re.IGNORECASE)
_STRENGTH: Final = tuple(Mode)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRules:
    """What the owner asks for one pool; None where nothing is asked.

    Attributes:
        mode: the strongest mode allowed.
        max_spot_ratio: highest share of the pool's nodes that may be Spot, 0..1.
        floor_nodes: nodes that stay on-demand.
        floor_vcpu: vCPU that stay on-demand.
        problem: the rule that cannot be read and how to mend it, "" where all can; it stops the
            pool.
    """

    mode: Mode | None = None
    max_spot_ratio: float | None = None
    floor_nodes: int | None = None
    floor_vcpu: int | None = None
    problem: str = ""


NO_RULES: Final = PoolRules()

EVERY_OTHER: Final = "*"
"""The name by which settings say what holds where nobody says anything of a pool."""


def read_rules(said: Iterable[tuple[str, str]]) -> PoolRules:
    """Read the annotations of one NodePool, or the settings of one pool, by annotation name."""
    rules = NO_RULES
    for name, text in said:
        rules = _read(rules, name, text.strip())
    return rules


def _read(rules: PoolRules, name: str, text: str) -> PoolRules:
    if name == MODE:
        if text in list(Mode):
            return replace(rules, mode=Mode(text))
        return _problem(rules, name, text, "one of " + ", ".join(Mode))
    if name == MAX_SPOT_RATIO:
        ratio = _number(text)
        if ratio is not None and 0.0 <= ratio <= 1.0:
            return replace(rules, max_spot_ratio=ratio)
        return _problem(rules, name, text, "a number from 0 to 1")
    if name == ON_DEMAND_FLOOR:
        found = _FLOOR.fullmatch(text)
        if found is not None and int(found[1]) <= MAX_FLOOR:
            if found[2]:
                return replace(rules, floor_vcpu=int(found[1]))
            return replace(rules, floor_nodes=int(found[1]))
        return _problem(rules, name, text, 'nodes as "3", or vCPU as "24 vcpu"')
    return rules


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _problem(rules: PoolRules, name: str, text: str, wanted: str) -> PoolRules:
    return replace(rules, problem=f"{name}={text[:40]!r:.110}: give {wanted}")


def more_careful(one: PoolRules, other: PoolRules) -> PoolRules:
    """Combine two that both hold: the weaker mode, the lower ratio, the higher floor."""
    return PoolRules(
        mode=_either(one.mode, other.mode, weaker),
        max_spot_ratio=_either(one.max_spot_ratio, other.max_spot_ratio, min),
        floor_nodes=_either(one.floor_nodes, other.floor_nodes, max),
        floor_vcpu=_either(one.floor_vcpu, other.floor_vcpu, max),
        problem=one.problem or other.problem,
    )


def _either(
    one: Value | None, other: Value | None, choose: Callable[[Value, Value], Value]
) -> Value | None:
    if one is None or other is None:
        return other if one is None else one
    return choose(one, other)


def weaker(one: Mode, other: Mode) -> Mode:
    """Return the mode that may do less."""
    return min(one, other, key=_STRENGTH.index)


def all_careful(rules: Iterable[PoolRules]) -> PoolRules:
    """Combine the rules of all NodePools of a pool."""
    return reduce(more_careful, rules, NO_RULES)


def rules_of(groups: Iterable[NodeGroupFact]) -> PoolRules:
    """Return what is asked for one pool by its NodePools."""
    return all_careful(read_rules(group.rules) for group in groups)


def with_settings(said: PoolRules, pool: str, by_pool: Mapping[str, PoolRules]) -> PoolRules:
    """Return what is asked for one pool, by its NodePools and by settings.

    Args:
        said: what its NodePools say.
        pool: its name.
        by_pool: what settings say: of pools by name, beside what their NodePools say, and of every
            other one by `*`, where neither says anything.
    """
    asked = more_careful(said, by_pool.get(pool, NO_RULES))
    return remembered(asked, by_pool.get(EVERY_OTHER, NO_RULES))


def remembered(said: PoolRules, before: PoolRules) -> PoolRules:
    """Return the rules in force: those stated now; for each not stated now, the one stated last."""
    floor_is_said = said.floor_nodes is not None or said.floor_vcpu is not None
    floor = said if floor_is_said else before
    return PoolRules(
        mode=before.mode if said.mode is None else said.mode,
        max_spot_ratio=(
            before.max_spot_ratio if said.max_spot_ratio is None else said.max_spot_ratio
        ),
        floor_nodes=floor.floor_nodes,
        floor_vcpu=floor.floor_vcpu,
        problem=said.problem,
    )


def obeying(limits: Limits, rules: PoolRules) -> Limits:
    """Return the limits of one pool: never wider than those of all, and these without rules."""
    if rules == NO_RULES:
        return limits
    ratio = 1.0 if rules.max_spot_ratio is None else rules.max_spot_ratio
    return replace(
        limits,
        mode=limits.mode if rules.mode is None else weaker(limits.mode, rules.mode),
        max_spot_ratio=min(limits.max_spot_ratio, ratio),
        on_demand_floor_nodes=max(limits.on_demand_floor_nodes, rules.floor_nodes or 0),
        on_demand_floor_vcpu=max(limits.on_demand_floor_vcpu, rules.floor_vcpu or 0),
    )
