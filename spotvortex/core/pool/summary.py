"""What the facts of one pool say by themselves, before prices, scores and time come in.

Comes in: the facts of one pool. Goes out: a `PoolSummary`, dear to compute and good for as long as
the facts are the same object. The order in which nodes or budgets come never matters.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import TypeVar, cast

from spotvortex.core.domain.observation import NodeFact, PoolFacts
from spotvortex.core.domain.types import HARD_BLOCKERS, Blocker, CapacityType, Offering
from spotvortex.core.domain.workloads import SURVIVAL_DEFAULT, SurvivalDefault
from spotvortex.core.pool.blocking import blockers_of, capacity_types_of, pdb_blocked_nodes
from spotvortex.core.pool.group_fit import Sizes, sizes_of
from spotvortex.core.pool.offerings import usable_by
from spotvortex.core.pool.survival.safety_vector import SafetyVector, vector_of
from spotvortex.core.pool.survival.zone_loss import (
    NO_MARGINS,
    Margins,
    PodsOn,
    budget_margins,
    pods_on,
    relieving_nodes,
    workload_margins,
)

Answer = TypeVar("Answer")


class LastAnswers:
    """The last answer to each question about one pool, given again while the same is asked.

    It only saves work: from cycle to cycle prices and scores change, and seldom the order of nodes.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[tuple[object, ...], object]] = {}

    def of(
        self, question: Hashable, asked: tuple[object, ...], answer: Callable[[], Answer]
    ) -> Answer:
        """Return the answer to a question.

        Args:
            question: names it; it always has answers of one type.
            asked: all that the answer depends on, beside the pool's own facts.
            answer: finds it.
        """
        known = self._known.get(question)
        if known is None or known[0] != asked:
            known = self._known[question] = (asked, answer())
        return cast(Answer, known[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSummary:
    """One pool, sorted and summed.

    A node is movable if nothing holds it in place, nor any pod that may run on its kind alone; an
    interruption asks neither. Ratios are requests / allocatable of usable nodes, 0..1, None where
    none reports any.

    Attributes:
        facts: the pool as it was observed.
        nodes: all nodes, sorted by name.
        spot: the Spot nodes.
        on_demand: the on-demand nodes.
        movable_spot: the Spot nodes that are movable.
        movable_on_demand: the on-demand nodes that are movable.
        blockers: what holds each node, by node name.
        capacity_types: the kinds of capacity that the pool can have.
        margins: what each workload can spare beyond the loss that hits it most.
        budget_margins: the same of each budget.
        pods_on: by name of a movable node, how many pods of each of both it runs.
        relieving: Spot nodes whose leaving makes a loss that takes too much hurt less.
        unread: the first owner's word that cannot be read, with its object and the fix, "" of none.
        vector: how well the pool would stand a loss, None without pods.
        cpu_requested_ratio: CPU requested of what is allocatable.
        memory_requested_ratio: memory requested of what is allocatable.
        usable: the Spot offerings that it may use, held or not.
        sizes: sizes of its instance types.
        last: what was found out last about its nodes in the order in which they would move.
    """

    facts: PoolFacts
    nodes: tuple[NodeFact, ...]
    spot: tuple[NodeFact, ...]
    on_demand: tuple[NodeFact, ...]
    movable_spot: tuple[NodeFact, ...]
    movable_on_demand: tuple[NodeFact, ...]
    blockers: Mapping[str, Set[Blocker]]
    capacity_types: Set[CapacityType]
    margins: Margins
    budget_margins: Margins
    pods_on: PodsOn
    relieving: Set[str]
    unread: str
    vector: SafetyVector | None
    cpu_requested_ratio: float | None
    memory_requested_ratio: float | None
    sizes: Sizes
    usable: tuple[Offering, ...] = ()
    last: LastAnswers = field(default_factory=LastAnswers, compare=False, repr=False)

    def n_of(self, kind: CapacityType) -> int:
        """Count the nodes of one capacity type."""
        return sum(1 for node in self.nodes if node.capacity_type is kind)


def summary_of(
    pool: PoolFacts,
    before: PoolSummary | None = None,
    default: SurvivalDefault = SURVIVAL_DEFAULT,
) -> PoolSummary:
    """Sort and sum one pool; an earlier shape of it, by the same default, only saves work."""
    words, budgets = NO_MARGINS, NO_MARGINS
    if before is not None:
        words, budgets = before.margins, before.budget_margins
    margins = workload_margins(pool, default, words)
    nodes = tuple(sorted(pool.nodes, key=lambda n: (n.name, n.uid)))
    pdb_blocked = pdb_blocked_nodes(pool)
    blockers = {n.name: blockers_of(n, pdb_blocked) for n in nodes}
    spot = tuple(n for n in nodes if n.capacity_type is CapacityType.SPOT)
    on_demand = tuple(n for n in nodes if n.capacity_type is CapacityType.ON_DEMAND)
    movable_spot = _movable(spot, blockers, HARD_BLOCKERS | {Blocker.PINNED_SPOT})
    movable_on_demand = _movable(on_demand, blockers, HARD_BLOCKERS | {Blocker.PINNED_ON_DEMAND})
    usable = [n for n in nodes if n.ready and not n.cordoned and not n.moving]
    cpu = _ratio((n.load.cpu_milli, n.allocatable_cpu_milli) for n in usable)
    memory = _ratio((n.load.memory_bytes, n.allocatable_memory_bytes) for n in usable)
    found = capacity_types_of(pool)
    requested = max((r for r in (cpu, memory) if r is not None), default=None)
    return PoolSummary(
        facts=pool,
        nodes=nodes,
        spot=spot,
        on_demand=on_demand,
        movable_spot=movable_spot,
        movable_on_demand=movable_on_demand,
        blockers=blockers,
        capacity_types=found,
        margins=margins,
        budget_margins=budget_margins(pool, budgets),
        pods_on=pods_on(
            (*pool.workloads, *pool.pdbs), {n.name for n in (*movable_spot, *movable_on_demand)}
        ),
        relieving=relieving_nodes(pool, margins),
        unread=next((w.problem for w in pool.workloads if w.problem), ""),
        vector=vector_of(pool, margins, requested),
        cpu_requested_ratio=cpu,
        memory_requested_ratio=memory,
        sizes=sizes_of(nodes),
        usable=usable_by(pool) if CapacityType.SPOT in found else (),
    )


def _movable(
    nodes: Iterable[NodeFact], blockers: Mapping[str, Set[Blocker]], hard: Set[Blocker]
) -> tuple[NodeFact, ...]:
    return tuple(
        n
        for n in nodes
        if n.ready and not n.cordoned and not n.moving and hard.isdisjoint(blockers[n.name])
    )


def _ratio(pairs: Iterable[tuple[int, int]]) -> float | None:
    used = room = 0
    for requested, allocatable in pairs:
        used += requested
        room += allocatable
    return round(used / room, 6) if room else None
