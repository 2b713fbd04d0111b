"""What a decision reads of losses, and which nodes of a pool go first for their sake.

Comes in: a pool's summary and the nodes that may move, in the order in which they would. Goes out:
that order with those first that harm nobody, and a `LossSafety`. May not judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from spotvortex.core.domain.inputs import InputName, InputState
from spotvortex.core.domain.observation import NodeFact
from spotvortex.core.pool.context import CycleContext
from spotvortex.core.pool.input import MAX_CANDIDATES, GroupFit
from spotvortex.core.pool.summary import PoolSummary
from spotvortex.core.pool.survival.loss_safety import LossSafety
from spotvortex.core.pool.survival.zone_loss import (
    Margin,
    Margins,
    n_above_floors,
    n_safe,
    pick_safe,
)

_WORDS: Final = frozenset({InputName.OWNERS, InputName.STATEFUL_SETS, InputName.NAMESPACES})
"""The inputs that carry owners' words; a world that has none of them has no words either."""


def safe_first(
    entry: Sequence[NodeFact], room: GroupFit, shape: PoolSummary, sight: CycleContext
) -> tuple[NodeFact, ...]:
    """Put the nodes first that may become Spot together, of those that a NodePool may take.

    So a node with pods of a workload that can spare none holds by itself, and the others go on.
    """
    n_hosted = room.n_placed if room.node_group else len(entry)
    margins = binding_margins(shape, sight)
    picked = set(pick_safe(_names(entry[:n_hosted]), shape.pods_on, margins, MAX_CANDIDATES))
    first = [n for n in entry if n.name in picked]
    return (*first, *(n for n in entry if n.name not in picked))


def relieving_first(
    away: Sequence[NodeFact], room: GroupFit, shape: PoolSummary, sight: CycleContext
) -> tuple[NodeFact, ...]:
    """Put the nodes first whose leaving makes a loss hurt less, where that is switched on.

    Of those that a NodePool may take: the others stay behind all of these.
    """
    if not sight.relieve_first:
        return tuple(away)
    n_hosted = room.n_placed if room.node_group else len(away)
    hosted = sorted(away[:n_hosted], key=lambda node: node.name not in shape.relieving)
    return (*hosted, *away[n_hosted:])


def binding_margins(shape: PoolSummary, sight: CycleContext) -> Margins:
    """Return the margins that bound a move: of workloads, and of budgets where those bind."""
    if not sight.budgets_bind:
        return shape.margins
    return Margins(by_key={**shape.margins.by_key, **shape.budget_margins.by_key})


def _names(nodes: Sequence[NodeFact]) -> list[str]:
    return [node.name for node in nodes]


def loss_safety(
    shape: PoolSummary,
    away: Sequence[NodeFact],
    entry: Sequence[NodeFact],
    sight: CycleContext,
) -> LossSafety:
    """Say how far losses are from taking too much, given the nodes that may move, in order."""
    looked_at = away[:MAX_CANDIDATES], entry[:MAX_CANDIDATES]
    found = shape.last.of("loss safety", looked_at, lambda: _loss_safety(shape, *looked_at))
    words_known = all(h.state is InputState.OK for h in sight.inputs if h.name in _WORDS)
    known = _is_ok(sight, InputName.PDBS)
    if (known, words_known) == (found.known, found.words_known):
        return found
    return replace(found, known=known, words_known=words_known)


def _loss_safety(
    shape: PoolSummary, away: Sequence[NodeFact], entry: Sequence[NodeFact]
) -> LossSafety:
    """Say the same where budgets and words can be read."""
    order = _names(entry)
    budget = shape.budget_margins.tightest
    least = _least(order, shape)
    relieving = [node.name in shape.relieving for node in away]
    return LossSafety(
        n_pdbs=len(shape.facts.pdbs),
        known=True,
        margin_pods=budget.pods if budget else None,
        margin_pdb=budget.of if budget else "",
        margin_zone=budget.zone if budget else "",
        safe_to_spot_nodes=n_safe(order, shape.pods_on, shape.budget_margins),
        n_workloads=len(shape.margins.by_key),
        unread=shape.unread,
        least_pods=least.pods if least else None,
        least_of=least.of if least else "",
        least_loss=least.loss if least else "",
        safe_by_word_nodes=n_safe(order, shape.pods_on, shape.margins),
        above_floor_nodes=n_above_floors(order, shape.pods_on, shape.margins),
        n_breaking=sum(1 for _, margin in shape.margins.by_key.values() if margin.breaks),
        n_relieving=(*relieving, False).index(False),
    )


def _least(order: Sequence[str], shape: PoolSummary) -> Margin | None:
    """Return the tightest margin of the workloads on the nodes to move first, else of all."""
    keys = {key for name in order for key, _ in shape.pods_on.get(name, ())}
    known = shape.margins.by_key
    margins = [known[key][1] for key in keys if key in known]
    return min(margins, key=lambda m: (m.room, m.pods, m.of), default=shape.margins.tightest)


def _is_ok(sight: CycleContext, name: InputName) -> bool:
    health = next((h for h in sight.inputs if h.name is name), None)
    return health is not None and health.state is InputState.OK
