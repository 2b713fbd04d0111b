"""The text of the ConfigMap by which Cluster Autoscaler's priority expander chooses groups.

Comes in: one plan, and what a person has applied. Goes out: the ConfigMap as YAML: of each pool
the groups of the capacity that its proposal leads to come first; and where what is applied leads
elsewhere. It is for a person to apply; nothing of ours writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import yaml

from spotvortex.core.decision.messages import Plan
from spotvortex.core.domain.autoscaling import is_autoscaled, managed_name
from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import CapacityType

FIRST: Final = 50
SECOND: Final = 10
"""Priorities: the highest of which a group can be grown is taken; of equals one at random."""

_HEAD: Final = """\
# For --expander=priority; of a pool's groups the capacity that its proposal leads to comes first.
apiVersion: v1
kind: ConfigMap
metadata:
  name: cluster-autoscaler-priority-expander
  namespace: kube-system
data:
  priorities: |-
"""


def priorities_text(plan: Plan) -> str:
    """Return the ConfigMap; where no pool has such groups, a comment that says so."""
    names: dict[int, list[str]] = {FIRST: [], SECOND: []}
    unnamed = []
    for pool, group, priority in _ranked(plan):
        managed = managed_name(group.name)
        if managed:
            names[priority].append(f"^eks-{managed}-[0-9a-f-]+$")
        else:
            unnamed.append(f"# {group.name} of pool {pool}: add its groups to {priority} by name")
    lines = [
        line
        for priority, found in names.items()
        if found
        for line in (f"    {priority}:", *(f"      - {name}" for name in sorted(found)))
    ]
    notes = "".join(f"{line}\n" for line in unnamed)
    if not lines:
        return notes or "# no pool has node groups that Cluster Autoscaler is known to grow\n"
    return notes + _HEAD + "\n".join(lines) + "\n"


def _ranked(plan: Plan) -> Iterator[tuple[str, NodeGroupFact, int]]:
    away = {d.pool: d.proposal.action.away_from_spot for d in plan.decisions}
    for pool in plan.observation.cluster.pools:
        for group in pool.node_groups:
            if is_autoscaled(group.name) and group.capacity_types:
                is_spot = CapacityType.SPOT in group.capacity_types
                first = is_spot is not away.get(pool.name, False)
                yield pool.name, group, FIRST if first else SECOND


def compared(plan: Plan, applied: str) -> tuple[str, ...]:
    """Say where what is applied leads new nodes of a pool to the other capacity.

    Args:
        plan: what is decided now.
        applied: the value of `priorities`, as its owner wrote it; "" where there is none.
    """
    rules, found = _rules_in(applied), []
    best: dict[str, dict[int, int]] = {}
    for pool, group, priority in _ranked(plan):
        managed = managed_name(group.name)
        said = _said_of(f"eks-{managed}-", rules) if managed else None
        if managed and said is None:
            found.append(f"{pool}: no priority is given to {managed}")
        elif said is not None:
            best.setdefault(pool, {})[priority] = max(said, best.get(pool, {}).get(priority, 0))
    for pool, said_by in sorted(best.items()):
        if FIRST in said_by and SECOND in said_by and said_by[FIRST] <= said_by[SECOND]:
            first, second = said_by[FIRST], said_by[SECOND]
            found.append(f"{pool}: its wanted groups have {first}, the others {second}")
    return tuple(found)


def _rules_in(applied: str) -> dict[int, list[str]]:
    """Read priorities with their expressions; what is of another form counts for nothing."""
    try:
        found = yaml.safe_load(applied) if applied else None
    except yaml.YAMLError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        key: [word for word in words if isinstance(word, str)]
        for key, words in found.items()
        if isinstance(key, int) and isinstance(words, list)
    }


def _said_of(name: str, rules: Mapping[int, list[str]]) -> int | None:
    """Return the highest priority of which an expression matches a group's name."""
    return max(
        (n for n, words in rules.items() if any(_is_met(w, name) for w in words)), default=None
    )


def _is_met(expression: str, name: str) -> bool:
    # The rest of the name is a uuid, which nobody writes out.
    try:
        return re.search(expression, f"{name}0a1b2c3d-1111-2222-3333-444455556666") is not None
    except re.error:
        return False
