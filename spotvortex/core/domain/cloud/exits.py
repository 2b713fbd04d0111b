"""How nodes went, as far as the cluster showed it.

Comes in and goes out: values. May not judge what a node's end means: `core.scoring.loss_evidence`
does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_EXITS: Final = 5000
"""The latest exits that are kept."""


class ExitNotice(StrEnum):
    """Who has said of a node that the cloud takes it."""

    NONE = ""
    KARPENTER = "karpenter"
    """Karpenter's interruption controller, by its Event `SpotInterrupted`."""
    TERMINATION_HANDLER = "termination-handler"
    """AWS Node Termination Handler, by its taint `spot-itn`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeExit:
    """How one node stood when it was last seen.

    Attributes:
        uid: the node's uid.
        in_order: somebody was taking it away while it was still Ready: it was cordoned, deleted, or
            tainted by a provisioner; so too where it was first seen in the middle of that.
        not_ready_since: wall time since which it had not been Ready, None where it was Ready, or
            does not say since when.
        notice: who has said that the cloud takes it.
        deleted_at: wall time at which a node of Karpenter's was deleted, as neither a cordon nor a
            taint was to be seen that would tell of a reason; None else.
    """

    uid: str
    in_order: bool = False
    not_ready_since: float | None = None
    notice: ExitNotice = ExitNotice.NONE
    deleted_at: float | None = None
