"""The expected answer for a pod beside that of the API server, asked in a dry run.

Comes in: the facts of a cluster, its pods, and what the server answered. Goes out: which pods to
ask about, and one row for each. May not ask by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.observation import ClusterFacts
from spotvortex.core.pool.survival.eviction import Blocked, PodEvictability, ServerAnswer
from spotvortex.errors import SettingsError
from spotvortex.report.doctor.diagnosis import Asked, StandingsOn, verdict_on

ALL: Final = "all"
MAX_ASKED: Final = 500
"""Pods that the server is asked about at most, those first that are expected to be blocked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionQuestion:
    """One pod, where it is, and what the server is expected to say.

    Attributes:
        pod: the pod.
        node: the name of its node.
        ours: the refusal that is expected, None where the pod should be evicted.
    """

    pod: PodEvictability
    node: str
    ours: Blocked | None


def questions(
    cluster: ClusterFacts, standings_on: StandingsOn, node: str
) -> tuple[list[EvictionQuestion], int]:
    """Return what to ask about one node, or `all`, and how many pods are left out.

    Raises:
        SettingsError: there is no node of that name.
    """
    names = [n.name for n in cluster.nodes if node in (ALL, n.name)]
    if not names and node != ALL:
        raise SettingsError(f"there is no node {node!r}; `kubectl get nodes` lists them")
    budgets = {pdb.key: pdb for pdb in cluster.pdbs}
    found = [
        EvictionQuestion(pod=pod, node=name, ours=verdict_on(pod, budgets))
        for name in names
        for pod in standings_on(name)
        if not pod.stays
    ]
    found.sort(key=lambda q: (q.ours is None, q.node, q.pod.namespace, q.pod.name))
    return found[:MAX_ASKED], max(0, len(found) - MAX_ASKED)


def compared(
    asked: Iterable[EvictionQuestion], answers: Sequence[ServerAnswer]
) -> tuple[Asked, ...]:
    """Put the server's answers beside those expected."""
    return tuple(_row(q, answer) for q, answer in zip(asked, answers, strict=True))


def _row(question: EvictionQuestion, answer: ServerAnswer) -> Asked:
    ours, pod = question.ours, question.pod
    expected = 201 if ours is None else ours.status
    return Asked(
        pod=f"{pod.namespace}/{pod.name}",
        node=question.node,
        ours=expected,
        why="" if ours is None else f"{ours.refusal} {ours.pdb}",
        server=answer.status,
        words=answer.message,
        agrees=answer.is_blocked_by_budget if expected == 429 else answer.status == expected,
    )
