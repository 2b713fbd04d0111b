"""What an episode is judged by, and what the judge says.

Comes in: nothing. Goes out: what was asked of the controller, who asks the server, whose the lease
was, and a `Breach`. Declares only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from spotvortex.core.domain.types import Freeze


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeBounds:
    """What was asked of the controller in an episode; see `core.domain.limits`.

    Attributes:
        writes: its mode may change the cluster.
        settle_s: time after a wave in which its pool is left alone, in seconds.
        max_pool_ratio: share of a pool's nodes that may be on the move at once, 0..1.
        max_cluster_ratio: share of all nodes that may be on the move at once, 0..1.
        floor_nodes: nodes of each pool that stay on-demand.
        max_input_age_s: age from which an input is stale, in seconds.
        drain_deadline_s: time after which a node that is not drained yet is given up, in seconds.
        longest_order_s: how long a node may carry a journal, in seconds.
        skew_s: how far the controller's clock may jump, in seconds.
        lease_s: how long the lease lasts without being renewed, in seconds.
    """

    writes: bool
    settle_s: float
    max_pool_ratio: float
    max_cluster_ratio: float
    floor_nodes: int
    max_input_age_s: float
    drain_deadline_s: float
    longest_order_s: float
    skew_s: float = 0.0
    lease_s: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A promise that was broken."""

    promise: int
    at_s: float
    text: str

    def __str__(self) -> str:
        return f"promise {self.promise} at {self.at_s:.2f} s: {self.text}"


class Asker(Protocol):
    """The process that a request comes from."""

    @property
    def name(self) -> str:
        """Its identity in the lease."""
        ...

    def blind_s(self, at: float) -> float:
        """Return for how long it had been cut off at a time, 0 where it was not."""
        ...

    @property
    def lag_now_s(self) -> float:
        """How far its watches are behind."""
        ...


class Record(Protocol):
    """Whose the lease is, and what was frozen at any time."""

    @property
    def holder(self) -> str:
        """Whose the lease is, "" where it has been given back."""
        ...

    @property
    def renewed_at(self) -> float:
        """When it was written last."""
        ...

    def freeze_at(self, at: float) -> Freeze:
        """Return the freeze."""
        ...
