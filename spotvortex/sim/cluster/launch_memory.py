"""What a provisioner remembers of launches that failed, each kind in its own way.

Comes in: what was asked for, what failed, came or was lost, and when. Goes out: what may be asked
for now, and how long a fall back takes. Karpenter leaves an offering alone for three minutes after
a failed launch, and, where told so, after an interruption that it has heard of. Cluster Autoscaler
waits for a group, and then backs off from it. SpotHedge keeps two lists. May not buy anything.

Sources: Karpenter v1.14, `unavailableofferings` (3 minutes) and its interruption controller;
Cluster Autoscaler's FAQ, `max-node-provision-time`, `initial-node-group-backoff-duration`,
`max-node-group-backoff-duration`, `node-group-backoff-reset-timeout`; Mao et al., SkyServe
(EuroSys 2025), dynamic placement by two lists.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.types import Offering
from spotvortex.sim.cluster.objects import SimNode
from spotvortex.sim.cluster.scenario import NodeGroup

UNAVAILABLE_S: Final = 180.0
"""How long Karpenter (v1.14) leaves an offering alone after a failed launch."""

BACK_OFF_S: Final = 300.0
MAX_BACK_OFF_S: Final = 1800.0
BACK_OFF_RESET_S: Final = 10_800.0
"""Cluster Autoscaler's first and longest back-off from a group; after so long without, the next is
a first one."""

MIN_ACTIVE: Final = 2
"""With fewer offerings on its active list, SpotHedge begins both lists anew."""


@dataclass(slots=True)
class _BackOff:
    """How a group of Cluster Autoscaler stands.

    Attributes:
        asked_since: since when it has been asked in vain, None while it gives.
        until: end of its last back-off, seconds since the epoch.
        last_s: how long that was, 0 before the first.
    """

    asked_since: float | None = None
    until: float = -math.inf
    last_s: float = 0.0


class LaunchMemory:
    """What is known of failed launches; times are seconds since the epoch."""

    def __init__(self) -> None:
        """Start knowing nothing."""
        self._unavailable_until: dict[Offering, float] = {}
        self._failed_at: dict[str, float] = {}
        self._groups: dict[str, _BackOff] = {}
        self._lost: dict[str, dict[Offering, None]] = {}

    def may_ask(self, group: NodeGroup, offering: Offering, at: float) -> bool:
        """Tell whether an offering may be asked for by a group now."""
        if group.max_provision_s > 0.0:
            return self._of(group).until <= at
        return group.lists_lost or self._unavailable_until.get(offering, -math.inf) <= at

    def failed(self, group: NodeGroup, offering: Offering, at: float) -> None:
        """Take note of a launch that failed for lack of capacity."""
        self._failed_at[group.name] = at
        if group.lists_lost:
            self._list(group, offering)
        elif group.max_provision_s <= 0.0:
            self._unavailable_until[offering] = at + UNAVAILABLE_S

    def came(self, group: NodeGroup, offering: Offering) -> None:
        """Take note of a launch."""
        if group.max_provision_s > 0.0:
            self._of(group).asked_since = None
        self._lost.get(group.name, {}).pop(offering, None)

    def interrupted(self, node: SimNode, at: float) -> None:
        """Take note of an interruption that the provisioner has heard of."""
        if node.group.lists_lost:
            self._list(node.group, node.offering)
        elif node.group.remembers_interruptions:
            self._unavailable_until[node.offering] = at + UNAVAILABLE_S

    def waits(self, group: NodeGroup, at: float) -> bool:
        """Tell whether a group that gives nothing is still waited for, rather than another asked.

        Once it has been asked in vain for long enough, it is backed off from: twice as long each
        time.
        """
        state = self._of(group)
        if group.max_provision_s <= 0.0 or state.until > at:
            return False
        if state.asked_since is None:
            state.asked_since = at
        if at - state.asked_since < group.max_provision_s:
            return True
        is_first = at - state.until > BACK_OFF_RESET_S
        state.last_s = BACK_OFF_S if is_first else min(2.0 * state.last_s, MAX_BACK_OFF_S)
        state.until, state.asked_since = at + state.last_s, None
        return False

    def fallback_s(self, group: NodeGroup, at: float) -> float:
        """Return how much later on-demand is asked for, where Spot has failed just now."""
        return group.second_attempt_s if self._failed_at.get(group.name) == at else 0.0

    def is_last(self, group: NodeGroup, offering: Offering) -> bool:
        """Tell whether an offering is to be tried after those that have not failed."""
        return offering in self._lost.get(group.name, ())

    def _of(self, group: NodeGroup) -> _BackOff:
        return self._groups.setdefault(group.name, _BackOff())

    def _list(self, group: NodeGroup, offering: Offering) -> None:
        lost = self._lost.setdefault(group.name, {})
        lost[offering] = None
        if len(group.instance_types) * len(group.zones) - len(lost) < MIN_ACTIVE:
            lost.clear()
