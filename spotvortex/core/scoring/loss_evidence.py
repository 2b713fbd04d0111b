"""What proves that a Spot node was lost, and did not just go.

Comes in: how a node went. Goes out: the evidence that the cloud took it, the strongest that there
is, or none. A Ready node that vanishes is no loss: the cloud never makes one, a person does. In
doubt nothing is a loss, so that no scale-down is learned as one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from spotvortex.core.domain.cloud.exits import ExitNotice, NodeExit

RECENTLY_S: Final = 600.0
"""A node that has not been Ready for longer when it is deleted was ill, or forgotten: the cloud
controller deletes the node of an instance that has ended within minutes."""


class LossEvidence(StrEnum):
    """What a loss is known by, the strongest first."""

    NOTICE = "notice"
    """A message of our own queue: the daemon itself was emptying the node for it."""
    KARPENTER = "karpenter"
    """Karpenter's Event at the node."""
    TERMINATION_HANDLER = "termination-handler"
    """The taint of AWS Node Termination Handler."""
    GAUGE = "gauge"
    """Karpenter's metrics: its offering fell, and an interruption was counted, at its deletion."""
    NOT_READY = "not-ready"
    """It fell silent, and was deleted soon after, with nobody taking it away before."""


def evidence_of(ended: NodeExit, now: float) -> LossEvidence | None:
    """Return what proves that a node was lost, None where nothing does.

    Args:
        ended: how it went.
        now: the time at which it was first seen to be gone.
    """
    match ended.notice:
        case ExitNotice.KARPENTER:
            return LossEvidence.KARPENTER
        case ExitNotice.TERMINATION_HANDLER:
            return LossEvidence.TERMINATION_HANDLER
        case ExitNotice.NONE:
            since = ended.not_ready_since
            if since is None or ended.in_order or now - since > RECENTLY_S:
                return None
            return LossEvidence.NOT_READY
