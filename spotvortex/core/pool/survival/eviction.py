"""What the Eviction API would answer for one pod, in the server's own order.

Comes in: how a pod stands, and the budgets that cover it. Goes out: whether it can be evicted now,
or what refuses. Decisions, drains and the doctor ask here, so that all say the same. May not judge
whether an eviction is wise.

The order is that of `EvictionREST.Create` in Kubernetes 1.36: phase and deletion first, then
several budgets, then readiness with `unhealthyPodEvictionPolicy`, then the budget itself
(https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/#how-api-initiated-eviction-works).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, Protocol

from spotvortex.core.domain.observation import PdbFact
from spotvortex.core.domain.types import Blocker


class PodState(Protocol):
    """How a pod stands, as far as the Eviction API looks."""

    @property
    def ready(self) -> bool:
        """Whether its Ready condition is true."""
        ...

    @property
    def pending(self) -> bool:
        """Whether its phase is Pending, or finished: the server treats these alike."""
        ...

    @property
    def terminating(self) -> bool:
        """Whether it has a deletion time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PodEvictability:
    """One pod of a node, with all that stands against moving it.

    Attributes:
        namespace: the pod's namespace.
        name: the pod's name.
        uid: the pod's uid.
        workload: `namespace/Kind/name` of its owner, or of itself where it has none.
        ready: its Ready condition.
        pending: its phase is Pending, or finished: the Eviction API treats them alike.
        terminating: it has a deletion time.
        stays: a drain leaves it: a DaemonSet or mirror pod.
        grace_s: its termination grace period, in seconds.
        cpu_milli: its CPU request, in thousandths of a core.
        blockers: why it cannot be moved freely.
        budgets: keys of the PodDisruptionBudgets that cover it, sorted.
    """

    namespace: str
    name: str
    uid: str
    workload: str
    ready: bool
    pending: bool
    terminating: bool
    stays: bool
    grace_s: float
    cpu_milli: int
    blockers: tuple[Blocker, ...] = ()
    budgets: tuple[str, ...] = ()


class Refusal(StrEnum):
    """Why the Eviction API refuses a pod."""

    TWO_BUDGETS = "two-pdbs"
    NOT_OBSERVED = "pdb-not-observed"
    ALLOWS_ZERO = "pdb-allows-0"
    UNREADY = "unready-under-pdb"


@dataclass(frozen=True, slots=True)
class Evictable:
    """The server would evict the pod; `status` is its answer."""

    status: ClassVar[int] = 201


@dataclass(frozen=True, slots=True)
class Blocked:
    """The server would refuse to evict the pod.

    Attributes:
        refusal: why.
        pdb: key of the first PodDisruptionBudget that refuses.
    """

    refusal: Refusal
    pdb: str

    @property
    def status(self) -> int:
        """The server's answer: 500 for several budgets, for good, else 429 with a cause."""
        return 500 if self.refusal is Refusal.TWO_BUDGETS else 429


Verdict = Evictable | Blocked

BUDGET_CAUSE: Final = "DisruptionBudget"
"""The cause in the server's 429 by which a budget's refusal is told from a busy server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAnswer:
    """What the server itself said.

    Attributes:
        status: the HTTP status.
        causes: reasons of the causes in the body.
        message: the message in the body, "" where there is none.
    """

    status: int
    causes: tuple[str, ...] = ()
    message: str = ""

    @property
    def is_blocked_by_budget(self) -> bool:
        """Tell whether a budget refused."""
        return self.status == 429 and BUDGET_CAUSE in self.causes


_EVICTABLE: Final = Evictable()


def eviction_verdict(pod: PodState, budgets: Sequence[PdbFact]) -> Verdict:
    """Say what the Eviction API would answer now.

    Args:
        pod: how it stands.
        budgets: every budget that covers it.
    """
    if pod.pending or pod.terminating or not budgets:
        return _EVICTABLE
    pdb = budgets[0]
    if len(budgets) > 1:
        return Blocked(Refusal.TWO_BUDGETS, pdb.key)
    if not pod.ready and _lets_unready_go(pdb):
        return _EVICTABLE
    if not pdb.observed:
        return Blocked(Refusal.NOT_OBSERVED, pdb.key)
    if pdb.disruptions_allowed <= 0:
        return Blocked(Refusal.ALLOWS_ZERO if pod.ready else Refusal.UNREADY, pdb.key)
    return _EVICTABLE


def refuses_nobody(pdb: PdbFact) -> bool:
    """Tell whether a budget, alone on a pod, lets it go however it stands; most do."""
    return pdb.observed and pdb.disruptions_allowed > 0


def _lets_unready_go(pdb: PdbFact) -> bool:
    """Tell whether pods that are not Ready may go whatever the budget allows.

    By `AlwaysAllow` always; else while the workload is not disrupted, which takes a budget that
    wants at least one healthy pod. The figures may be of an older version of it.
    """
    return pdb.evicts_unhealthy or pdb.current_healthy >= pdb.desired_healthy > 0
