"""What is asked of the groups of pairs, and when it is given up.

Comes in: an observation, the decisions made from it, and what was asked before. Goes out: calls
that steer groups or give them back, what is remembered, and the groups that are left alone from now
on, because another writer takes back what was set. Whatever is not to be steered any more (the
driver off, a pool without a pair or in a weaker mode, a freeze) is given back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from spotvortex.core.decision.messages import Decision, MaintenanceCall
from spotvortex.core.decision.weights import (
    Stance,
    Steering,
    WeightRules,
    keeps_what_stands,
    pair_of,
    stance_of,
    wanted_values,
)
from spotvortex.core.domain.group_state import GroupValues
from spotvortex.core.domain.observation import NodeGroupFact, Observation, PoolFacts
from spotvortex.core.domain.types import Mode
from spotvortex.core.drain.group_calls import RestoreGroup, SteerGroup

AGAIN_S: Final = 60.0
"""Time after a call in which the same group is not asked again, unless its weight is to change."""

PAUSE_S: Final = 10.0
"""Time after a call, or after it was taken back, in which its group is not asked at all: so each
request has ended before the next one, and no chore comes while the drainer rests its like."""

MAX_REVERTS: Final = 3
REVERTS_S: Final = 600.0
"""A group that another writer takes back so often within this time, in seconds, is given up."""

GIVEN_UP_S: Final = 6 * 3600.0
"""Time in seconds until a group that was given up is tried again; a restart tries at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedSide:
    """What a group was asked for last.

    Attributes:
        at: when, seconds since the epoch.
        call: the call.
        values: what the group's values are to be.
        generation: the group's when it was asked; once it was seen as wanted, the one seen then.
        was_sent: it was to be sent, not only told or recorded.
        was_seen: it was seen as wanted.
    """

    at: float
    call: SteerGroup | RestoreGroup
    values: GroupValues
    generation: int
    was_sent: bool
    was_seen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMemory:
    """What is remembered of one group while the process runs.

    Attributes:
        stance: where new capacity was to go last.
        asked: what the group was asked for last, None before the first.
        reverted_at: when another writer took something back, the latest ones.
        given_up_until: wall time until which the group is left alone.
        owners: its owner's own values before the first patch was told; of `EXPORT` alone.
    """

    stance: Stance = Stance.AS_OWNED
    asked: AskedSide | None = None
    reverted_at: tuple[float, ...] = ()
    given_up_until: float = 0.0
    owners: GroupValues | None = None


NOTHING_ASKED: Final = GroupMemory()


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A group that is left alone from now on.

    Attributes:
        group: its name.
        uid: its uid.
        pool: the workload pool that it serves.
        reason: why, for people.
    """

    group: str
    uid: str
    pool: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """What one cycle makes of the weights.

    Attributes:
        groups: what is remembered, by the group's name.
        calls: what is to be asked for now.
        given_up: the groups that are given up in this cycle.
    """

    groups: Mapping[str, GroupMemory] = field(default_factory=dict)
    calls: tuple[MaintenanceCall, ...] = ()
    given_up: tuple[GivenUp, ...] = ()


def steer(
    before: Mapping[str, GroupMemory],
    observation: Observation,
    decisions: Iterable[Decision],
    how: WeightRules,
) -> Steered:
    """Say what to ask of the groups of pairs now.

    Args:
        before: what is remembered, by group.
        observation: what the decisions were made from.
        decisions: of this cycle.
        how: what is done with weights.
    """
    by_pool = {decision.pool: decision for decision in decisions}
    groups, calls, given_up = dict[str, GroupMemory](), list[MaintenanceCall](), list[GivenUp]()
    for pool in observation.cluster.pools:
        known = {g.name: before.get(g.name, NOTHING_ASKED) for g in pool.node_groups}
        now = {g.name: seen(known[g.name], g, observation.at) for g in pool.node_groups}
        given_up += _given_up(pool, known, now)
        cycle = _Cycle(observation=observation, pool=pool, memory=now, how=how)
        calls += cycle.calls(by_pool.get(pool.name))
        groups |= cycle.memory
    return Steered(groups=groups, calls=tuple(calls), given_up=tuple(given_up))


def seen(memory: GroupMemory, group: NodeGroupFact, at: float) -> GroupMemory:
    """Take note of how a group stands: as it was asked for, or taken back by another writer.

    Its generation tells: ours is the first change after the question, so one more is another's.
    """
    asked, state = memory.asked, group.state
    if asked is None or not asked.was_sent:
        return memory
    if isinstance(asked.call, RestoreGroup):
        return replace(memory, asked=None) if state.owners is None else memory
    if state.values == asked.values:
        asked = replace(asked, was_seen=True, generation=state.generation)
        return replace(memory, asked=asked)
    n_changes = state.generation - asked.generation
    if n_changes < (1 if asked.was_seen else 2):
        return memory
    times = (*(t for t in memory.reverted_at if at - t < REVERTS_S), at)
    if len(times) < MAX_REVERTS:
        return replace(memory, asked=None, reverted_at=times)
    return GroupMemory(reverted_at=(at,), given_up_until=at + GIVEN_UP_S)


def _given_up(
    pool: PoolFacts, before: Mapping[str, GroupMemory], now: Mapping[str, GroupMemory]
) -> Iterator[GivenUp]:
    for group in pool.node_groups:
        if now[group.name].given_up_until != before[group.name].given_up_until:
            reason = (
                f"another writer took weight or limit of {group.name} back {MAX_REVERTS} times in "
                f"{REVERTS_S / 60:g} minutes: both sides of pool {pool.name} are left alone for "
                f"{GIVEN_UP_S / 3600:g} hours"
            )
            yield GivenUp(group=group.name, uid=group.state.uid, pool=pool.name, reason=reason)


@dataclass(slots=True, kw_only=True)
class _Cycle:
    """One pool in one cycle; `memory` is brought up to date."""

    observation: Observation
    pool: PoolFacts
    memory: dict[str, GroupMemory]
    how: WeightRules

    def calls(self, decision: Decision | None) -> Iterator[MaintenanceCall]:
        """Say what to ask, what opens a side before what makes the other one lighter."""
        pair = pair_of(self.pool.node_groups)
        if decision is None or pair is None or not self._may_steer(decision):
            yield from self._given_back(decision)
            return
        sides = (pair.spot, pair.on_demand)
        owners = {g.name: self._owners(g) for g in sides}
        remembered = self.memory[pair.spot.name].stance
        stance = stance_of(decision, pair, owners)
        killed = decision.basis.limits.max_spot_ratio <= 0.0
        if keeps_what_stands(decision) and not killed and remembered is not Stance.AS_OWNED:
            # What another writer took back is still wanted.
            stance = remembered
        for group in sides:
            self.memory[group.name] = replace(self.memory[group.name], stance=stance)
        wanted = wanted_values(stance, self.pool, pair, owners, self.how)
        for group in sides if stance is Stance.SPOT else sides[::-1]:
            yield from self._wanted(group, wanted[group.name], owners[group.name], decision)

    def _may_steer(self, decision: Decision) -> bool:
        """Tell whether new capacity is steered at all, or the owner's own values come back."""
        if self.how.steering is Steering.OFF or self.observation.standing.freeze.undoes:
            return False
        if any(self.observation.at < m.given_up_until for m in self.memory.values()):
            return False
        steered = any(g.state.owners is not None for g in self.pool.node_groups)
        return decision.mode.writes or not steered

    def _owners(self, group: NodeGroupFact) -> GroupValues:
        kept = group.state.owners or self.memory[group.name].owners
        return group.state.values if kept is None else kept

    def _given_back(self, decision: Decision | None) -> Iterator[MaintenanceCall]:
        for group in self.pool.node_groups:
            kept = group.state.owners
            self.memory[group.name] = replace(self.memory[group.name], stance=Stance.AS_OWNED)
            if kept is not None:
                call = RestoreGroup(group=group.name, uid=group.state.uid, owners=kept)
                yield from self._asked(group, call, kept, decision)

    def _wanted(
        self, group: NodeGroupFact, values: GroupValues, owners: GroupValues, decision: Decision
    ) -> Iterator[MaintenanceCall]:
        """Ask for values, unless the group has them and nothing of ours is left in vain."""
        name, uid, state = group.name, group.state.uid, group.state
        if values == owners:
            if state.owners is not None or state.values != values:
                call = RestoreGroup(group=name, uid=uid, owners=owners)
                yield from self._asked(group, call, values, decision)
        elif state.values != values:
            limit = values.cpu_limit_milli
            limit = None if limit == owners.cpu_limit_milli else limit
            steering = SteerGroup(group=name, uid=uid, weight=values.weight, cpu_limit_milli=limit)
            yield from self._asked(group, steering, values, decision)

    def _asked(
        self,
        group: NodeGroupFact,
        call: SteerGroup | RestoreGroup,
        values: GroupValues,
        decision: Decision | None,
    ) -> Iterator[MaintenanceCall]:
        """Ask, unless it has just been asked; what is only told or recorded is told once."""
        memory, at = self.memory[group.name], self.observation.at
        mode = decision.mode if decision is not None else Mode.ACTIVE
        if isinstance(call, RestoreGroup) and group.state.owners is not None:
            # It is in the cluster, whatever the pool's mode has become.
            mode = Mode.ACTIVE
        sends = mode.writes and self.how.steering is not Steering.EXPORT
        if not _is_due(memory, call, at, sends=sends):
            return
        asked = AskedSide(
            at=at, call=call, values=values, generation=group.state.generation, was_sent=sends
        )
        exports = self.how.steering is Steering.EXPORT
        owners = memory.owners or (group.state.values if exports else None)
        if self.observation.standing.leader or not sends:
            self.memory[group.name] = replace(memory, asked=asked, owners=owners)
        why = f"{decision.action} {decision.reason}" if decision is not None else "no decision"
        yield MaintenanceCall(
            key=f"weights/{group.state.uid}",
            pool=self.pool.name,
            call=call,
            mode=mode,
            reason=why,
            traceparent=decision.basis.traceparent if decision is not None else "",
        )


def _is_due(
    memory: GroupMemory, call: SteerGroup | RestoreGroup, at: float, *, sends: bool
) -> bool:
    asked = memory.asked
    if asked is None:
        return not any(at - reverted < PAUSE_S for reverted in memory.reverted_at)
    if call == asked.call and sends == asked.was_sent:
        return sends and at - asked.at >= AGAIN_S
    if isinstance(call, SteerGroup) and isinstance(asked.call, SteerGroup):
        again_s = AGAIN_S if call.weight == asked.call.weight else PAUSE_S
        return at - asked.at >= again_s
    return at - asked.at >= PAUSE_S
