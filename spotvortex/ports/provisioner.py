"""The provisioner, which creates and ends the nodes of a pool, as those who write ask it.

Comes in: a call of the core. Goes out: which nodes a placeholder may get, in labels of nodes; how a
drained node is released; how new capacity is steered; and what cannot be done for a pool, in words.
One implementation a way of provisioning. May not decide whether anything is moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from spotvortex.core.drain.calls import Answer, CreatePlaceholder, ReleaseNode
from spotvortex.core.drain.group_calls import GrowGroup, RestoreGroup, SettleGroup, SteerGroup


class RuleOperator(StrEnum):
    """How a rule compares, in the words of a node selector term."""

    IN = "In"
    NOT_IN = "NotIn"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRule:
    """One expression over a label of nodes.

    Attributes:
        key: the label.
        operator: how its value is compared.
        values: with what.
    """

    key: str
    operator: RuleOperator
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedNodes:
    """Which nodes a placeholder may get.

    Attributes:
        labels: every one of them is wanted.
        all_of: every one of these rules holds; they keep a placeholder within its pool.
        any_of: of these groups of rules all of one must hold, the first that can be met; none where
            it is empty.
        annotations: what the placeholder itself carries, beside what all of them do.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    all_of: tuple[NodeRule, ...] = ()
    any_of: tuple[tuple[NodeRule, ...], ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unable:
    """The provisioner cannot give what is asked for; `reason` is for people."""

    reason: str


class Provisioner(Protocol):
    """One way in which nodes come and go."""

    @property
    def name(self) -> str:
        """What it is called in settings and reports."""
        ...

    def wanted_nodes(self, call: CreatePlaceholder) -> WantedNodes | Unable:
        """Return what nodes must be like for a placeholder to get the capacity that is asked for.

        IMPORTANT: no node outside the sides that the call names may be like that.
        What the pod itself demands, and the zone of its volumes, is added by whoever asks.
        """
        ...

    async def release(self, call: ReleaseNode, until: float) -> Answer:
        """Have a drained node ended; called again where the answer does not come.

        Args:
            call: which node.
            until: when we may no longer write, as `ports.writing.ClusterWriter.apply` has it.

        Raises:
            ApiError: its server did not answer, or refused.
        """
        ...

    async def steer(self, call: SteerGroup | RestoreGroup, until: float) -> Answer:
        """Have new capacity go to one side of a pair, or as the owner has it; called again too.

        Args:
            call: which group, and how.
            until: when we may no longer write, as `ports.writing.ClusterWriter.apply` has it.

        Raises:
            ApiError: its server did not answer, or refused.
        """
        ...

    async def grow(self, call: GrowGroup | SettleGroup, until: float) -> Answer:
        """Have a group get nodes for a wave, or give back what was not used; called again too.

        Args:
            call: which group, and for which plan.
            until: when we may no longer write, as `ports.writing.ClusterWriter.apply` has it.

        Raises:
            ApiError: the API server did not answer, or refused.
        """
        ...

    @property
    def cannot_move(self) -> str:
        """Why no node at all can be moved, "" where nodes can."""
        ...
