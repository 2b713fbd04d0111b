"""Checks of whole moves: replacement first, bounds, the floor, one wave at a time, nothing twice.

Comes in: a `Case`. Goes out: breaches of invariants 2, 3, 4, 8 and 9.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from tests.witness.judge.case import CLUSTER, Breach, Case, Eviction, Mark, breach
from tests.witness.judge.names import ANCHOR, FOR, KIND, ORDER, PLACEHOLDER, PLAN
from tests.witness.watch import NodeState, PodState
from tests.witness.writes import Write, order_of, selected

_KEPT = ("on-demand", "reserved")


def replacement_first(case: Case) -> Iterator[Breach]:
    """2: no node is marked before as much room is bound as its wave is then still to evict.

    The room of a wave is nobody's own: the scheduler gives any of it to whichever pod comes first.
    """
    by_plan: dict[str, list[Eviction]] = defaultdict(list)
    for eviction in case.evictions:
        if eviction.mark is None:
            yield breach(2, f"evicted from a node without a mark: {eviction.write}", eviction.write)
        elif eviction.mark.voluntary:
            by_plan[eviction.mark.plan].append(eviction)
    for plan, evictions in by_plan.items():
        yield from _room(case, plan, evictions)


def _room(case: Case, plan: str, evictions: list[Eviction]) -> Iterator[Breach]:
    history = case.history
    sets = [(p, node) for p, node in history.plans(PLACEHOLDER) if p == plan]
    asked = [uid for p, node in sets for uid in history.own(PLACEHOLDER, p, node)]
    n_evicted = len({eviction.pod_uid for eviction in evictions})
    if n_evicted > len(asked):
        text = f"plan {plan}: {n_evicted} pods evicted, room was asked for {len(asked)}"
        yield breach(2, text, evictions[0].write)
    marks = {id(e.mark): e.mark for e in evictions if e.mark is not None}
    for mark in marks.values():
        at = mark.write.at
        begun = {key for key, other in marks.items() if other.write.at <= at}
        due = {e.pod_uid for e in evictions if e.write.at >= at and id(e.mark) in begun}
        n_bound = sum(_gave_room(case, uid, at) for uid in asked)
        if n_bound < len(due):
            text = f"{mark.write.name}: marked with room for {n_bound} of {len(due)} pods"
            yield breach(2, text, mark.write, evictions[0].write)


def _gave_room(case: Case, pod_uid: str, at: float) -> bool:
    """Tell whether a placeholder was on a Ready node at some time close to then."""
    history, lag = case.history, case.rules.lag_s
    for since, until, pod in history.pod_spans(pod_uid):
        start, end = max(since, at - lag), min(until, at + lag)
        if start > end or pod is None or not pod.node or _is_over(pod):
            continue
        uid = history.node_uid(pod.node, start) or history.node_uid(pod.node, end)
        nodes = (history.node_at(uid, start), history.node_at(uid, end))
        if any(node is not None and node.ready for node in nodes):
            return True
    return False


def budgets(case: Case) -> Iterator[Breach]:
    """3: no mark of ours takes a bound's last place twice; others' moves count."""
    for mark in case.marks:
        if not mark.voluntary:
            continue
        moving = _in_flight(case, mark)
        for pool, most in case.rules.max_in_flight.items():
            if pool not in (CLUSTER, mark.pool):
                continue
            n = 1 + sum(node.pool == pool or pool == CLUSTER for node in moving)
            if n > most:
                where = f"pool {pool}" if pool else "the cluster"
                text = f"{mark.write.name} is number {n} on the move in {where}, at most {most}"
                yield breach(3, text, mark.write)


def _in_flight(case: Case, mark: Mark) -> list[NodeState]:
    """Return the other nodes that surely were on the move when one was marked."""
    history, lag, at = case.history, case.rules.lag_s, mark.write.at
    ours = {
        other.node_uid
        for other in case.marks
        if other.write.done_at <= at
        and not case.unmarked_between(other.write.name, other.write.done_at, at)
        and not history.gone_by(other.node_uid, at + lag)
    }
    found = []
    for node in history.nodes_at(at):
        before = history.node_at(node.uid, at - lag)
        others = before is not None and before.moving and node.moving
        if node.uid != mark.node_uid and (
            node.uid in ours or (others and not _came_back(case, node, at))
        ):
            found.append(node)
    return found


def _came_back(case: Case, node: NodeState, at: float) -> bool:
    """Tell whether we had just uncordoned a node, which the watch may not show yet."""
    return not node.deleting and case.unmarked_between(node.name, at - 2 * case.rules.lag_s, at)


def floor(case: Case) -> Iterator[Breach]:
    """4: neither a mark nor an anchor taken away brings a pool below its floor."""
    for mark in case.marks:
        node = case.history.node_at(mark.node_uid, mark.write.at)
        least = case.rules.floors.get(mark.pool, 0)
        if not mark.voluntary or not least or node is None or node.capacity_type not in _KEPT:
            continue
        moving = {n.uid for n in _in_flight(case, mark)} | {mark.node_uid}
        n = _n_kept(case, mark.pool, mark.write.at, leaving_out=moving)
        if n < least:
            text = (
                f"{mark.write.name} leaves {n} on-demand nodes in {mark.pool}, the floor is {least}"
            )
            yield breach(4, text, mark.write)
    yield from _released(case)


def _released(case: Case) -> Iterator[Breach]:
    """Find nodes that went soon after we took their anchor away, below the floor."""
    for write in case.done():
        is_release = write.verb == "deletecollection" and selected(write, KIND) == ANCHOR
        uid = selected(write, FOR)
        node = case.history.node_at(uid, write.at) if is_release else None
        if node is None or node.pool not in case.rules.floors:
            continue
        left = _left_at(case, uid, write.at)
        if left is None or case.mark_of(uid, left) is not None:
            continue
        least = case.rules.floors[node.pool]
        n = _n_kept(case, node.pool, left, leaving_out={uid})
        if n < least:
            text = f"{node.name} went without its anchor: {n} on-demand nodes in {node.pool}"
            yield breach(4, f"{text}, the floor is {least}", write)


def _left_at(case: Case, uid: str, after: float) -> float | None:
    changes = case.history.changes["node"].get(uid, [])
    leaving = (at for at, s in changes if at > after and (s is None or _is_leaving(s)))
    return next(leaving, None)


def _is_leaving(state: object) -> bool:
    return isinstance(state, NodeState) and (state.deleting or state.disrupted)


def _n_kept(case: Case, pool: str, at: float, *, leaving_out: set[str]) -> int:
    return sum(
        node.pool == pool
        and node.capacity_type in _KEPT
        and node.uid not in leaving_out
        and not node.moving
        for node in case.history.nodes_at(at)
    )


# -- waves ------------------------------------------------------------------


@dataclass(slots=True)
class _Wave:
    """What was done for one plan in one pool."""

    pool: str
    plan: str
    writes: list[Write] = field(default_factory=list)


def one_wave(case: Case) -> Iterator[Breach]:
    """8: the next wave of a pool begins a settle window after the last one began, and after it."""
    by_pool: dict[str, list[_Wave]] = defaultdict(list)
    for wave in _waves(case):
        by_pool[wave.pool].append(wave)
    for pool, waves in by_pool.items():
        waves.sort(key=lambda wave: wave.writes[0].at)
        for before, after in pairwise(waves):
            gap = after.writes[0].at - before.writes[0].at
            names = f"pool {pool}: wave {after.plan} began {gap:.1f} s after wave {before.plan}"
            evidence = before.writes[0], after.writes[0]
            if gap < case.rules.settle_s - case.rules.wave_slack_s:
                yield breach(8, f"{names}, at least {case.rules.settle_s:g} s are due", *evidence)
            elif before.writes[-1].at > after.writes[0].at:
                yield breach(8, f"{names}, which was not over", *evidence)


def _waves(case: Case) -> list[_Wave]:
    """Gather what belongs to each plan; interruptions are no waves."""
    waves: dict[str, _Wave] = {}
    for write, plan, pool in _steps(case):
        wave = waves.setdefault(plan, _Wave(pool, plan))
        wave.pool = wave.pool or pool
        wave.writes.append(write)
    for wave in waves.values():
        wave.writes.sort(key=lambda write: write.at)
    return list(waves.values())


def _steps(case: Case) -> Iterator[tuple[Write, str, str]]:
    for write in case.own_creations(PLACEHOLDER):
        if order_of(write.note.get(ORDER)).get("kind") != "interruption":
            node = case.history.node_at(str(write.label.get(FOR)), write.at)
            yield write, str(write.label.get(PLAN)), node.pool if node else ""
    for mark in case.marks:
        if mark.voluntary:
            yield mark.write, mark.plan, mark.pool
    for eviction in case.evictions:
        if eviction.mark is not None and eviction.mark.voluntary:
            yield eviction.write, eviction.mark.plan, eviction.mark.pool


def nothing_twice(case: Case) -> Iterator[Breach]:
    """9: no pod is evicted twice, no room is asked for twice."""
    yield from _evicted_twice(case)
    yield from _created_twice(case)
    yield from _two_sets(case)


def _evicted_twice(case: Case) -> Iterator[Breach]:
    by_pod: dict[str, list[Eviction]] = defaultdict(list)
    for eviction in case.evictions:
        if eviction.pod_uid:
            by_pod[eviction.pod_uid].append(eviction)
    for evictions in by_pod.values():
        if len(evictions) > 1:
            writes = [eviction.write for eviction in evictions]
            yield breach(9, f"evicted {len(writes)} times: {writes[0]}", *writes)


def _created_twice(case: Case) -> Iterator[Breach]:
    by_set: dict[tuple[str, str], list[Write]] = defaultdict(list)
    for write in case.own_creations(PLACEHOLDER):
        by_set[str(write.label.get(PLAN)), str(write.label.get(FOR))].append(write)
    for (plan, for_uid), writes in by_set.items():
        names = Counter(write.name for write in writes)
        done = _done_at(case, plan, for_uid)
        again = [name for name, n in names.items() if n > 1 and _last(writes, name) > done]
        if again:
            yield breach(9, f"plan {plan} asked for {again[0]} again", *writes)
        n_pods = _n_movable(case, for_uid, writes)
        if n_pods is not None and len(names) > n_pods:
            text = f"plan {plan} asked for room for {len(names)} pods, its node had {n_pods}"
            yield breach(9, text, *writes)


def _done_at(case: Case, plan: str, node_uid: str) -> float:
    """Return when the node began to be emptied, or its room was given up.

    Until then what somebody else took away may be asked for again.
    """
    emptied = (e.write.at for e in case.evictions if e.node_uid == node_uid)
    given_up = (
        write.at
        for write in case.done()
        if write.verb == "deletecollection"
        and (selected(write, PLAN), selected(write, FOR)) in ((plan, node_uid), (plan, ""))
    )
    return min([*emptied, *given_up], default=math.inf)


def _last(writes: list[Write], name: str) -> float:
    return max(write.at for write in writes if write.name == name)


def _n_movable(case: Case, node_uid: str, writes: list[Write]) -> int | None:
    """Count the pods that were on a node at any time while room was asked for."""
    start, end = writes[0].at - case.rules.lag_s, writes[-1].at + case.rules.lag_s
    history = case.history
    node = history.node_at(node_uid, start) or history.node_at(node_uid, end)
    if node is None:
        return None
    return sum(_was_there(case, uid, node.name, start, end) for uid in history.ever_on(node.name))


def _was_there(case: Case, uid: str, node: str, start: float, end: float) -> bool:
    first = case.history.first(uid)
    if first.kind or first.stays:
        return False
    spans = case.history.pod_spans(uid)
    return any(
        pod is not None and pod.node == node and since <= end and until >= start
        for since, until, pod in spans
    )


def _two_sets(case: Case) -> Iterator[Breach]:
    """Find two plans whose placeholders for one node were there at once."""
    alive: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(dict)
    for plan, for_uid in case.history.plans(PLACEHOLDER):
        uids = case.history.own(PLACEHOLDER, plan, for_uid)
        alive[for_uid][plan] = [_life(case, uid) for uid in uids]
    for for_uid, plans in alive.items():
        lives = sorted(
            (min(s for s, _ in spans), max(e for _, e in spans), plan)
            for plan, spans in plans.items()
        )
        for (_, end, one), (start, _, other) in pairwise(lives):
            if start + case.rules.lag_s < end:
                yield breach(9, f"plans {one} and {other} both asked for node {for_uid} at once")


def _life(case: Case, uid: str) -> tuple[float, float]:
    states = case.history.pod_states(uid)
    ended = (at for at, s in states if _is_over(s))
    return states[0][0], next(ended, float("inf"))


def _is_over(state: PodState | None) -> bool:
    return state is None or state.deleting or state.finished
