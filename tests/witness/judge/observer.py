"""The observer: whether a finished scene kept the safety invariants of architecture section 9.

Comes in: the audit log's events, and the history that a watch recorded beside the scene. Goes out:
every breach, with the requests that show it. It imports nothing of the product, so that no mistake
of the product's can hide from it in shared code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from tests.witness.judge import moves, requests
from tests.witness.judge.case import Breach, Case, Rules, breach
from tests.witness.judge.names import ANCHOR, NAMESPACE, PLACEHOLDER
from tests.witness.watch import History
from tests.witness.writes import writes_of

Check = Callable[[Case], Iterator[Breach]]


def no_stray_cordon(case: Case) -> Iterator[Breach]:
    """5: at the end no node bears our label or journal, unless orders may be in hand."""
    for node in case.history.nodes_at(float("inf")):
        unfinished = node.labelled != bool(node.journal)
        if (node.labelled or node.journal) and (unfinished or not case.rules.orders_stay):
            touched = (w for w in case.writes if w.resource == "nodes" and w.name == node.name)
            yield breach(5, f"{node.name} is still marked by SpotVortex at the end", *touched)


def nothing_left(case: Case) -> Iterator[Breach]:
    """11: at the end no pod of ours is left, but anchors where they may stay."""
    for pod in case.history.pods_at(float("inf")):
        ours = pod.kind and pod.namespace == case.namespace
        stays = (pod.kind == ANCHOR and case.rules.anchors_stay) or case.rules.orders_stay
        if ours and not stays and not pod.deleting:
            made = (w for w in case.writes if w.resource == "pods" and w.name == pod.name)
            yield breach(11, f"{pod.kind} {pod.name} is left at the end", *made)


CHECKS: tuple[Check, ...] = (
    requests.shadow,
    requests.fence,
    moves.replacement_first,
    moves.budgets,
    moves.floor,
    no_stray_cordon,
    requests.do_not_disrupt,
    requests.preconditions,
    requests.lease,
    moves.one_wave,
    moves.nothing_twice,
    nothing_left,
)


class Observer:
    """Looks at one finished scene.

    Args:
        audit_events: of everybody, as `ControlPlane.audit_events()` gives them.
        our_users: the user names that are ours.
        namespace: ours.
        rules: the bounds that the scene was run with.
        history: what a `ClusterWatch` recorded; without it single requests alone are judged.
    """

    def __init__(
        self,
        audit_events: Iterable[dict[str, Any]],
        our_users: Collection[str],
        namespace: str = NAMESPACE,
        rules: Rules | None = None,
        *,
        history: History | None = None,
    ) -> None:
        self.case = Case(
            writes=writes_of(audit_events, our_users),
            history=history or History(),
            rules=rules or Rules(),
            namespace=namespace,
        )

    def seen(self) -> dict[str, int]:
        """Count what there was to judge, so that a test can tell a clean scene from an idle one."""
        room = self.case.own_creations(PLACEHOLDER)
        return {
            "writes": len(self.case.writes),
            "placeholders": sum(1 for _ in room),
            "marks": len(self.case.marks),
            "evictions": len(self.case.evictions),
            "without a mark": sum(eviction.mark is None for eviction in self.case.evictions),
            "changes": self.case.history.n_changes,
        }

    def breaches(self) -> list[Breach]:
        """Return every breach, by invariant."""
        found = [breach for check in CHECKS for breach in check(self.case)]
        return sorted(found, key=lambda breach: breach.invariant)
