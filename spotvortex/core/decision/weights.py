"""The weights of a pair: to which side of a pool new capacity goes, and by which values.

Comes in: a decision, the two groups of its pool, and their owner's own values. Goes out: the values
that they are to have. A fall back makes the on-demand side heavier and closes the Spot side at what
it uses; a growth makes the Spot side heavier; HOLD leaves what stands. Where the owner's own values
say the same, they come back. The on-demand side is never closed, so never both are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from spotvortex.core.decision.messages import Decision
from spotvortex.core.domain.group_state import GroupValues
from spotvortex.core.domain.moves import MoveKind
from spotvortex.core.domain.observation import NodeGroupFact, PoolFacts
from spotvortex.core.domain.types import Action, CapacityType
from spotvortex.core.drain.group_calls import RestoreGroup, SteerGroup

STEERS: Final = frozenset({MoveKind.PRICE, MoveKind.RISK, MoveKind.EMERGENCY})
"""Kinds of moves that say where the next node is to go; the others end at a number of nodes."""

_CORE_MILLI: Final = 1000


class Steering(StrEnum):
    """What is done with the weights of pairs."""

    OFF = "off"
    APPLY = "apply"
    EXPORT = "export"
    """They are told, for whoever applies them; nothing is sent."""


class Stance(StrEnum):
    """Where new capacity is to go."""

    AS_OWNED = "as-owned"
    SPOT = "spot"
    ON_DEMAND = "on-demand"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightRules:
    """How pairs are steered.

    Attributes:
        steering: what is done.
        spot: the Spot side's weight while Spot is wanted, and the other's while it is not.
        on_demand: the on-demand side's weight while Spot is wanted, and the Spot side's while it is
            not.
    """

    steering: Steering = Steering.OFF
    spot: int = 100
    on_demand: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightPair:
    """The two groups of a pool, each of which is bought in one way."""

    spot: NodeGroupFact
    on_demand: NodeGroupFact


def pair_of(groups: Iterable[NodeGroupFact]) -> WeightPair | None:
    """Return the two sides of a pool, None where its groups are anything but one of each kind.

    A group whose object nobody can name is no side that could be steered.
    """
    known = list(groups)
    spot = [g for g in known if set(g.capacity_types) == {CapacityType.SPOT}]
    other = [
        g
        for g in known
        if CapacityType.ON_DEMAND in g.capacity_types and CapacityType.SPOT not in g.capacity_types
    ]
    if len(known) != 2 or len(spot) != 1 or len(other) != 1:
        return None
    if not all(group.state.uid for group in known):
        return None
    return WeightPair(spot=spot[0], on_demand=other[0])


def keeps_what_stands(decision: Decision) -> bool:
    """Tell whether a decision asks for no other side than before."""
    return decision.action is Action.HOLD or decision.proposal.kind not in STEERS


def stance_of(decision: Decision, pair: WeightPair, owners: Mapping[str, GroupValues]) -> Stance:
    """Say where new capacity is to go; HOLD keeps what stands, as do a floor and a cap.

    A number of nodes that is reached says nothing of the node that comes next; a cap of 0 does.

    Args:
        decision: of the pool.
        pair: its two sides.
        owners: their owner's own values, by group.
    """
    if decision.basis.limits.max_spot_ratio <= 0.0:
        return Stance.ON_DEMAND
    if not keeps_what_stands(decision):
        return Stance.SPOT if decision.action.towards_spot else Stance.ON_DEMAND
    spot, other = pair.spot.state.values, pair.on_demand.state.values
    if spot == owners[pair.spot.name] and other == owners[pair.on_demand.name]:
        return Stance.AS_OWNED
    return Stance.SPOT if spot.weight > other.weight else Stance.ON_DEMAND


def wanted_values(
    stance: Stance,
    pool: PoolFacts,
    pair: WeightPair,
    owners: Mapping[str, GroupValues],
    how: WeightRules,
) -> dict[str, GroupValues]:
    """Return what each side's values are to be, by group.

    The Spot side is closed at what it uses, in whole cores: never below, never above what its owner
    allows, and only where the on-demand side has room left.
    """
    spot, other = owners[pair.spot.name], owners[pair.on_demand.name]
    if stance is Stance.SPOT and spot.weight <= other.weight:
        spot, other = replace(spot, weight=how.spot), replace(other, weight=how.on_demand)
    elif stance is Stance.ON_DEMAND:
        if spot.weight >= other.weight:
            spot, other = replace(spot, weight=how.on_demand), replace(other, weight=how.spot)
        limit = _closed_at(used_cpu_milli(pool, pair.spot), spot.cpu_limit_milli)
        if _has_room(pool, pair.on_demand, other):
            spot = replace(spot, cpu_limit_milli=limit)
    return {pair.spot.name: spot, pair.on_demand.name: other}


def _has_room(pool: PoolFacts, group: NodeGroupFact, owners: GroupValues) -> bool:
    limit = owners.cpu_limit_milli
    return limit is None or used_cpu_milli(pool, group) < limit


def _closed_at(used_milli: int, owners_milli: int | None) -> int:
    """Return the limit that lets no node be added; the owner's own where that is as low."""
    limit = -(-used_milli // _CORE_MILLI) * _CORE_MILLI
    return limit if owners_milli is None else min(limit, owners_milli)


def used_cpu_milli(pool: PoolFacts, group: NodeGroupFact) -> int:
    """Return what a group's nodes add up to: its provisioner's count, or more where nodes do."""
    seen = sum(n.allocatable_cpu_milli for n in pool.nodes if n.node_group == group.name)
    return max(group.state.used_cpu_milli, seen)


def patch_text(call: SteerGroup | RestoreGroup) -> str:
    """Return the merge patch of a NodePool that says the same, as JSON, for who applies it."""
    spec: dict[str, object]
    if isinstance(call, RestoreGroup):
        cpu = cpu_text(call.owners.cpu_limit_milli)
        spec = {"weight": call.owners.weight or None, "limits": {"cpu": cpu}}
    else:
        spec = {"weight": call.weight}
        if call.cpu_limit_milli is not None:
            spec["limits"] = {"cpu": cpu_text(call.cpu_limit_milli)}
    return json.dumps({"spec": spec})


def cpu_text(milli: int | None) -> str | None:
    """Write CPU as Kubernetes does, None for None."""
    if milli is None:
        return None
    return f"{milli}m" if milli % _CORE_MILLI else f"{milli // _CORE_MILLI}"
