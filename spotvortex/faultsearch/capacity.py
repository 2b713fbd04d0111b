"""Watches the sizes of scaling groups: no capacity is lost, and none is made twice.

Comes in: each write to a group and to the controller's journal at the instant when it is carried
out, and a look after each step. Goes out: what is wrong, in words. It knows the groups themselves
and the text of the journal, and nothing that decides.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from spotvortex.sim.cluster.objects import SimNode
from spotvortex.sim.cluster.state import ClusterObjects

SEEN_S: Final = 60.0
"""What was so within this time may still be what a process knows."""

WAVE_S: Final = 600.0
"""A wave that begins right before the end of an episode may still be under way."""

SETTLED_S: Final = 30.0
"""A pod that has been on a node for so long is known to whoever asks."""


@dataclass(slots=True, kw_only=True)
class CapacityLedger:
    """Keeps account of one episode's scaling groups.

    Attributes:
        cluster: the true cluster.
        check: takes the number of a promise, whether it holds, and what is wrong else.
        clock: wall time, seconds since the epoch.
    """

    cluster: ClusterObjects
    check: Callable[[int, bool, str], None]
    clock: Callable[[], float]
    _began_with: int | None = None
    _known: dict[str, int] = field(default_factory=dict)
    _begun_at: dict[str, float] = field(default_factory=dict)
    _asked: Counter[str] = field(default_factory=Counter)
    _used_at: dict[str, float] = field(default_factory=dict)
    _seen_on: dict[str, float] = field(default_factory=dict)
    _ups: int = 0
    _downs: int = 0
    _n_kept: int = 0

    def look(self) -> None:
        """Look at sizes and nodes after a step: what is not ours was a person's."""
        if self._began_with is None:
            self._began_with = sum(self.cluster.desired.values())
            self._known = dict(self.cluster.desired)
        for name, size in self.cluster.desired.items():
            self._ups += max(0, size - self._known[name])
            self._downs += max(0, self._known[name] - size)
            # What a person took away may be asked for again: it cannot be told from a lost write.
            self._asked[_plan_of(self.cluster.growths, name)] -= max(0, self._known[name] - size)
        self._known = dict(self.cluster.desired)
        now = self.clock()
        for node in self.cluster.nodes.values():
            if node.movable and node.group.largest is not None:
                self._used_at[node.uid] = now
                for pod in node.movable:
                    self._seen_on.setdefault(f"{node.uid}/{pod.uid}", now)

    def resized(self, group: str, before: int, desired: int) -> None:
        """Judge a size that the controller sets, right before it is set."""
        self.look()
        journal = _growth(self.cluster.growths, group)
        self.check(14, journal is not None, f"{group} was set to {desired} without a journal")
        if journal is not None and desired > before:
            plan, most = str(journal["plan"]), int(str(journal["n_nodes"]))
            self._asked[plan] += desired - before
            text = f"plan {plan} asked {group} for {self._asked[plan]} nodes, it has {most} orders"
            self.check(14, self._asked[plan] <= most, text)

    def ended(self, instance_id: str) -> None:
        """Judge an instance that the controller ends, right before it does."""
        self.look()
        nodes = self.cluster.nodes.values()
        node = next((n for n in nodes if n.instance_id == instance_id), None)
        if node is None:
            return
        busy = [p.key for p in node.movable if not p.terminating and self._has_been(node, p.uid)]
        text = f"{node.name} was ended with {', '.join(busy)}"
        self.check(14, not busy or node.leaves_at is not None, text)

    def wrote(self) -> None:
        """Take the sizes as the controller has just left them."""
        self._known = dict(self.cluster.desired)

    def _has_been(self, node: SimNode, uid: str) -> bool:
        since = self._seen_on.get(f"{node.uid}/{uid}", self.clock())
        return self.clock() - since > SETTLED_S

    def journalled(self, before: Mapping[str, str], texts: Mapping[str, str]) -> None:
        """Take note of growths that begin and end."""
        self.look()
        there, now = _growths(before), _growths(texts)
        for plan in now.keys() - there.keys():
            self._begun_at[plan] = self.clock()
        for plan in there.keys() - now.keys():
            self._n_kept += self._may_be_kept(there[plan])

    def _may_be_kept(self, growth: Mapping[str, object]) -> int:
        """Count the new nodes that a wave which is over may leave, since others use them."""
        released = growth.get("released")
        ids = {str(i) for i in released} if isinstance(released, list) else set()
        staying = {n.instance_id for n in self.cluster.nodes.values() if n.leaves_at is None}
        since, now = self._begun_at[str(growth["plan"])], self.clock()
        used = [
            node
            for node in self.cluster.nodes.values()
            if node.group.known_as == growth["group"]
            and node.created_at >= since
            and now - self._used_at.get(node.uid, 0.0) <= SEEN_S
        ]
        n_nodes = int(str(growth["n_nodes"]))
        ended = len(ids - staying)
        return max(0, min(len(used), n_nodes - ended))

    def conclude(self) -> None:
        """Judge what is left at the end of an episode."""
        self.look()
        if not self.cluster.desired or self._began_with is None:
            return
        growths, now = _growths(self.cluster.growths), self.clock()
        left = [plan for plan in sorted(growths) if now - self._begun_at[plan] > WAVE_S]
        self.check(14, not left, f"the growth of {', '.join(left)} was never settled")
        n, began = sum(self.cluster.desired.values()), self._began_with
        text = (
            f"{n} nodes are wanted, {began} were, people added {self._ups} and took {self._downs}"
        )
        under_way = sum(int(str(growth["n_nodes"])) for growth in growths.values())
        most = began + self._ups + self._n_kept + under_way
        self.check(14, began - self._downs <= n <= most, f"{text}, {self._n_kept} may stay")


def _growths(texts: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Read a journal, by plan."""
    found = (json.loads(text) for text in texts.values())
    return {str(growth["plan"]): growth for growth in found}


def _growth(texts: Mapping[str, str], group: str) -> dict[str, object] | None:
    return next((g for g in _growths(texts).values() if g["group"] == group), None)


def _plan_of(texts: Mapping[str, str], group: str) -> str:
    growth = _growth(texts, group)
    return "" if growth is None else str(growth["plan"])
