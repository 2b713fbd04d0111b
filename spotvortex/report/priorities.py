"""The text of the ConfigMap by which Cluster Autoscaler's priority expander chooses groups.

Comes in: one plan. Goes out: the ConfigMap as YAML: of each pool the groups of the capacity that
its proposal leads to come first. It is for a person to apply; nothing of ours writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

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
