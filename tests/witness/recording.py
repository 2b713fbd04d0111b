"""One scene from its first moment to its last, for the observer.

Comes in: a control plane. Goes out: what the observer found between entry and exit of the block.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any, Self

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.credentials import SHADOW_USER
from tests.witness.judge.case import Breach, Rules
from tests.witness.judge.names import NAMESPACE
from tests.witness.judge.observer import Observer
from tests.witness.watch import ClusterWatch, History
from tests.witness.writes import answers_of, seconds


class Recording:
    """Watches a control plane for as long as its block lasts; ask for breaches after it.

    Args:
        plane: what to watch.
        users: user names that are ours.
        namespace: ours.
    """

    def __init__(
        self,
        plane: ControlPlane,
        users: Collection[str] = (SHADOW_USER,),
        namespace: str = NAMESPACE,
    ) -> None:
        self._plane, self._users, self._namespace = plane, users, namespace
        self._watch = ClusterWatch(plane)
        self._since, self._until = 0.0, float("inf")

    def __enter__(self) -> Self:
        self._since = time.time()
        self._watch.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._watch.__exit__(*exc)
        self._until = time.time()

    @property
    def history(self) -> History:
        """What the watch saw."""
        return self._watch.history

    def events(self) -> list[dict[str, Any]]:
        """Return the audit events of this time, of everybody."""
        return [
            event
            for event in self._plane.audit_events()
            if self._since <= seconds(event["requestReceivedTimestamp"]) <= self._until
        ]

    def observer(self, rules: Rules | None = None, **changes: Any) -> Observer:
        """Return the observer of this time; the fields of `Rules` may be given by name."""
        bounds = rules or Rules(**changes)
        events = self.events()
        history = self.history.corrected(answers_of(events))
        return Observer(events, self._users, self._namespace, bounds, history=history)

    def breaches(self, rules: Rules | None = None, **changes: Any) -> list[Breach]:
        """Return every breach."""
        return self.observer(rules, **changes).breaches()
