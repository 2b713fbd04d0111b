"""What the modes that write need of the outside, beyond what every mode needs, as protocols.

Comes in and goes out: core values only. May not import an edge.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from spotvortex.core.decision.messages import ControllerState
from spotvortex.core.domain.cloud.notices import Notice
from spotvortex.core.domain.inputs import InputHealth
from spotvortex.core.domain.observation import WriteAuthority
from spotvortex.core.drain.calls import Answer, Call
from spotvortex.core.scoring.interruption_memory import Memory
from spotvortex.ports.null import NullMemoryStore, NullNotices


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnWrite:
    """What this process's newest write has left on a node, which a view does not show yet.

    Attributes:
        resource_version: the version of the node that the write made.
        cordoned: `spec.unschedulable` as written.
        plan_id: the plan of the journal there, "" of none.
    """

    resource_version: int
    cordoned: bool
    plan_id: str


class ClusterWriter(Protocol):
    """Sends requests that change the cluster, without asking whether it should."""

    async def apply(self, call: Call, until: float) -> Answer:
        """Carry one call out; what the server says is an answer, also where it does not answer.

        A call is one request or several. Each is given up in time, and each that changes something
        is sent only if there is time for it; `Again` says so.

        Args:
            call: what to do.
            until: when we may no longer write, by the clock of the running loop (`loop.time()`).
                No request of the call is carried out after that.
        """
        ...

    def own_write(self, uid: str, seen_version: str) -> OwnWrite | None:
        """Return what this process wrote last on a node that a view shows at `seen_version`.

        None where the view has caught up with it, or where it is too old to matter.
        """
        ...


class Authority(Protocol):
    """Whether the controller may write now: the lease, and whether a person has frozen it."""

    def standing(self) -> WriteAuthority:
        """Return the authority of this instant, at no cost."""
        ...

    def writes_until(self) -> float:
        """Return until when a write may be carried out, by the clock of the running loop.

        It ends the margin before the lease does; minus infinity where we do not lead.
        """
        ...


class Announcer(Protocol):
    """Tells people at the objects themselves what was done and what was refused."""

    def say(self, node: str, uid: str, reason: str, text: str, *, warning: bool = False) -> None:
        """Publish a line about a node; never fails, and may be dropped."""
        ...

    def warn_of_group(self, group: str, uid: str, reason: str, text: str) -> None:
        """Publish a warning about a node group, as `say` does."""
        ...


class StateStore(Protocol):
    """Where waves, waits and rules survive a restart."""

    async def load(self) -> ControllerState:
        """Return what was saved last; where that is lost or unreadable, unsure for a day."""
        ...

    async def save(self, state: ControllerState) -> bool:
        """Save before anything is done on it. False where that failed: then nothing may be."""
        ...


class MemoryStore(Protocol):
    """Where the interruption memory survives a restart."""

    def load(self) -> Memory:
        """Return what was saved last, an empty memory where there is none."""
        ...

    def save(self, memory: Memory) -> bool:
        """Save; blocking, so called through `offload`. False where it failed, which is logged."""
        ...


class Recall(Protocol):
    """What was remembered of interruptions before this process began, where that comes late."""

    @property
    def is_settled(self) -> bool:
        """Tell whether it is known what comes: until then nothing is to be saved over it."""
        ...

    def recall(self, memory: Memory) -> Memory | None:
        """Return what is to be joined to a memory, once; None where nothing is, or not yet.

        Args:
            memory: what is remembered now, before the observation at hand; the first one given is
                what the store has loaded.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeTraffic:
    """What came from a source of notices since start.

    Attributes:
        received: messages that came.
        redelivered: messages that came once more while they were held.
        duplicates: messages that brought nothing new.
        expired: messages that no longer counted when they came, or before they were settled.
        left: messages that were not taken for want of room.
        deleted: messages that were deleted.
        settled: notices that were settled.
        notices: new notices, by kind.
        rejects: messages without a notice, by reason.
        errors: failed requests, by kind.
    """

    received: int = 0
    redelivered: int = 0
    duplicates: int = 0
    expired: int = 0
    left: int = 0
    deleted: int = 0
    settled: int = 0
    notices: Mapping[str, int] = field(default_factory=dict)
    rejects: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)


class Notices(Protocol):
    """What the cloud says about single instances."""

    @property
    def evidence_only(self) -> bool:
        """Whether somebody else answers them, and the controller only learns."""
        ...

    def pending(self, now: float) -> tuple[Notice, ...]:
        """Return the notices that count and have not been settled, the most urgent first.

        Each id comes once, and of one instance each kind once. Sorted by deadline, those without
        one last, then by id; bounded.
        """
        ...

    def settle(self, ids: Collection[str]) -> None:
        """Take note that nothing more is wanted of some notices: they need not come again.

        A notice is settled when its node carries the controller's mark, or when its instance is no
        pooled node of this cluster. From then on it is not pending any more; what it asked for is
        in the cluster. Ids that are not pending are ignored.
        """
        ...

    async def arrived(self) -> None:
        """Wait until there is a notice that no `pending` has returned yet."""
        ...

    def health(self, now: float) -> tuple[InputHealth, ...]:
        """Return the state and age of the source: one input, not required."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """All that the modes that write need of the outside, beyond what every mode needs.

    Attributes:
        writer: sends the requests.
        authority: tells whether the controller may write.
        state: where the controller's state is saved.
        memory: where the interruption memory is saved.
        notices: the source of notices.
        steers: the account's rights let pairs of node groups be steered.
    """

    writer: ClusterWriter
    authority: Authority
    state: StateStore
    memory: MemoryStore = field(default_factory=NullMemoryStore)
    notices: Notices = field(default_factory=NullNotices)
    steers: bool = True
