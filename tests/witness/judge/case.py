"""What the checks look at: our writes, the history beside them, and the bounds given.

Comes in: writes and a `History`. Goes out: `Case`, with marks and evictions told apart and brought
together with the nodes that they are about; and `Breach`, what a check finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.witness.judge.names import DRAIN, NAMESPACE
from tests.witness.watch import History, NodeState, PodState
from tests.witness.writes import Write, order_of

CLUSTER = ""
"""Key of the whole cluster among the bounds by pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The bounds that a scene was run with.

    `max_in_flight` and `floors` are nodes by pool, `CLUSTER` the whole. `lag_s` is how much later
    than the API server the watch may show a change. `lease` is false for scenes whose writers take
    none. `wave_slack_s` is how much later than its decision a wave may begin, so how much of the
    window may seem to lack. `anchors_stay` allows anchors at the end, which keep a floor;
    `orders_stay` orders that are still in hand. `steers` allows weight and CPU limit of NodePools.
    """

    shadow: bool = False
    max_in_flight: Mapping[str, int] = field(default_factory=dict)
    floors: Mapping[str, int] = field(default_factory=dict)
    settle_s: float = 0.0
    wave_slack_s: float = 5.0
    lag_s: float = 0.5
    lease: bool = True
    anchors_stay: bool = False
    orders_stay: bool = False
    steers: bool = False


@dataclass(frozen=True, slots=True)
class Breach:
    """A broken invariant, by its number in architecture section 9.

    0 is the fence: a write to what is not ours to write. 11 is what was left behind.
    """

    invariant: int
    text: str
    events: tuple[dict[str, Any], ...] = field(default=(), repr=False)


def breach(invariant: int, text: str, *writes: Write) -> Breach:
    """Build a breach with the events that show it."""
    return Breach(invariant, text, tuple(write.event for write in writes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A journal that was put on a node."""

    write: Write
    node_uid: str
    plan: str
    pool: str
    voluntary: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """An eviction that the server carried out, and the mark under which it was made, if any."""

    write: Write
    pod_uid: str
    pod: PodState | None
    node_uid: str
    mark: Mark | None


@dataclass(slots=True)
class Case:
    """One finished scene."""

    writes: list[Write]
    history: History
    rules: Rules
    namespace: str = NAMESPACE
    marks: list[Mark] = field(default_factory=list)
    evictions: list[Eviction] = field(default_factory=list)
    _unmarks: dict[str, list[float]] = field(default_factory=dict)  # by name of the node
    _by_node: dict[str, list[Mark]] = field(default_factory=dict)  # by uid of the node

    def __post_init__(self) -> None:
        for write in self.done():
            if write.is_unmark:
                self._unmarks.setdefault(write.name, []).append(write.at)
        self.marks = [
            self._mark(w) for w in self.writes if w.is_mark and (w.done or self._has_landed(w))
        ]
        for mark in self.marks:
            self._by_node.setdefault(mark.node_uid, []).append(mark)
        self.evictions = [self._eviction(w) for w in self.done() if w.resource == "pods/eviction"]

    def done(self) -> Iterator[Write]:
        """Yield the writes that the server carried out."""
        return (write for write in self.writes if write.done)

    def own_creations(self, kind: str) -> Iterator[Write]:
        """Yield the pods of ours of a kind that were created."""
        for write in self.done():
            own = write.resource == "pods" and write.namespace == self.namespace
            if own and write.verb == "create" and write.label.get("spotvortex.io/kind") == kind:
                yield write

    def unmarked_between(self, name: str, start: float, end: float) -> bool:
        """Tell whether we took a node's journal away in that time."""
        return any(start < at <= end for at in self._unmarks.get(name, []))

    def mark_of(self, node_uid: str, at: float) -> Mark | None:
        """Return the mark of ours that was on a node."""
        earlier = [m for m in self._by_node.get(node_uid, []) if m.write.at <= at]
        last = earlier[-1] if earlier else None
        if last is None or self.unmarked_between(last.write.name, last.write.done_at, at):
            return None
        return last

    def _has_landed(self, write: Write) -> bool:
        """Tell whether a mark is on its node although its writer was gone before the answer."""
        states = self.history.changes["node"].get(write.precondition(), [])
        return any(isinstance(s, NodeState) and s.journal == write.note[DRAIN] for _, s in states)

    def _mark(self, write: Write) -> Mark:
        order = order_of(write.note[DRAIN])
        stored = write.answer.get("metadata") or {}
        uid = str(stored.get("uid") or write.precondition())
        node = self.history.node_at(uid, write.done_at + self.rules.lag_s)
        return Mark(
            write=write,
            node_uid=uid,
            plan=str(order.get("plan", "")),
            pool=node.pool if node else str(order.get("pool", "")),
            voluntary=order.get("kind") != "interruption",
        )

    def _eviction(self, write: Write) -> Eviction:
        lag = self.rules.lag_s
        uid = write.precondition() or self._uid_of(write)
        states = [(at, pod) for at, pod in self.history.pod_states(uid) if pod and pod.node]
        before = [pod for at, pod in states if at <= write.at + lag]
        pod = before[-1] if before else None
        node_uid = self._node_uid(pod.node, write.at) if pod else ""
        mark = self.mark_of(node_uid, write.at)
        return Eviction(write=write, pod_uid=uid, pod=pod, node_uid=node_uid, mark=mark)

    def _node_uid(self, name: str, at: float) -> str:
        lag = self.rules.lag_s
        return self.history.node_uid(name, at) or self.history.node_uid(name, at + lag)

    def _uid_of(self, write: Write) -> str:
        named = (write.namespace, write.name)
        pods = self.history.pods_at(write.at)
        return next((p.uid for p in pods if (p.namespace, p.name) == named), "")
