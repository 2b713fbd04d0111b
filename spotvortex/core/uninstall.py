"""What the controller has left in a cluster, and what is done with it at an uninstall.

Comes in: an inventory, as it was read. Goes out: the order in which things are removed, or the
reason why one has to stay. May not touch what a person or another controller has made: a cordon is
lifted only where the controller's label and journal both say that it is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from spotvortex.core.domain import labels
from spotvortex.core.domain.labels import PodKind


class ObjectKind(StrEnum):
    """The kinds of things that the controller leaves in a cluster, in order of their removal."""

    NODE_POOL = "nodepool"
    NODE = "node"
    POD = "pod"
    TETHER = "job"
    STATE = "configmap"
    LEASE = "lease"
    FREEZE = "freeze"


ORDER: Final = tuple(ObjectKind)
OF_THE_DAEMON: Final = frozenset({ObjectKind.STATE, ObjectKind.LEASE, ObjectKind.FREEZE})
"""What a running daemon would write again, and the freeze that holds it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """One thing that the controller has left.

    Attributes:
        thing: its kind.
        name: its name; our namespace is known.
        uid: a deletion names it, so that no later object of the same name is hit.
        version: resource version; a change of a node names it.
        detail: what it is, for a person.
        pod: of a pod, what it is for; None of anything else.
        marks: on a node, the labels and annotations of ours.
        cordoned: on a node, whether it is cordoned, by anybody.
        n_growths: of the journal of groups, how many have not given back what a wave did not use.
    """

    thing: ObjectKind
    name: str
    uid: str = ""
    version: str = ""
    detail: str = ""
    pod: PodKind | None = None
    marks: frozenset[str] = frozenset()
    cordoned: bool = False
    n_growths: int = 0

    @property
    def is_our_cordon(self) -> bool:
        """Tell whether the controller cordoned the node: its label and its journal both say so."""
        return self.cordoned and {labels.CORDONED, labels.DRAIN} <= self.marks

    @property
    def is_in_flight(self) -> bool:
        """Tell whether a frozen daemon undoes it: a marked or kept node, room, a group's change.

        Anchors are none: a frozen daemon lets them run out, and they keep nothing in its hands.
        """
        if self.thing is ObjectKind.NODE:
            return bool(self.marks & {labels.CORDONED, labels.DRAIN, labels.KEPT})
        changed = self.thing is ObjectKind.NODE_POOL or self.n_growths > 0
        return changed or self.pod is PodKind.PLACEHOLDER

    @property
    def key(self) -> tuple[ObjectKind, str]:
        """What makes it the same thing in a later inventory."""
        return self.thing, self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All that is left; `daemons` says in words what shows that a daemon still runs."""

    leftovers: tuple[Leftover, ...]
    daemons: tuple[str, ...] = ()

    @property
    def n_in_flight(self) -> int:
        """How many things a daemon that still runs would undo."""
        return sum(left.is_in_flight for left in self.leftovers)


@dataclass(frozen=True, slots=True, kw_only=True)
class StillThere:
    """A thing that is still there, and why; "" where nobody tried to remove it."""

    leftover: Leftover
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UninstallResult:
    """What was found, and what of it is left; `applied` is false for a dry run."""

    found: tuple[Leftover, ...]
    left: tuple[StillThere, ...]
    applied: bool

    @property
    def removed(self) -> tuple[Leftover, ...]:
        """What was found and is no longer there."""
        still = {left.leftover.key for left in self.left}
        return tuple(found for found in self.found if found.key not in still)


def describe_node(found: frozenset[str], *, cordoned: bool) -> str:
    """Say what the controller's marks on a node mean."""
    drained = found & {labels.CORDONED, labels.DRAIN}
    if not drained:
        words = []
    elif len(drained) == 2:
        words = [
            "cordoned by SpotVortex" if cordoned else "marked by SpotVortex, no longer cordoned"
        ]
    else:
        half = "label" if labels.CORDONED in drained else "journal"
        whose = ": whose cordon it is cannot be told, so it stays" if cordoned else ""
        words = [f"SpotVortex's {half} alone{whose}"]
    words += ["at risk"] if labels.AT_RISK in found else []
    words += ["kept from scale-down by SpotVortex"] if labels.KEPT in found else []
    return ", ".join(words)


def describe_journal(n_growths: int) -> str:
    """Say what the journal of groups means: without a daemon nobody ends what it asked for."""
    if not n_growths:
        return "state"
    return (
        f"state: {n_growths} of the groups that SpotVortex has grown have not given back what a "
        "wave did not use; without a daemon look at their sizes"
    )


def removable(inventory: Inventory) -> tuple[Leftover, ...]:
    """Return what to remove now, in order; the freeze is never among it, for it goes last."""
    kept = OF_THE_DAEMON if inventory.daemons else {ObjectKind.FREEZE}
    wanted = (left for left in inventory.leftovers if left.thing not in kept)
    return tuple(sorted(wanted, key=lambda left: (ORDER.index(left.thing), left.name)))


def may_thaw(inventory: Inventory) -> bool:
    """Tell whether the freeze may go: nothing else is left, and nobody would begin anew."""
    return not inventory.daemons and all(
        left.thing is ObjectKind.FREEZE for left in inventory.leftovers
    )


def remaining(
    inventory: Inventory, failures: dict[tuple[ObjectKind, str], str]
) -> tuple[StillThere, ...]:
    """Return everything that is still there, each with the reason.

    Args:
        inventory: the last one taken.
        failures: the server's word for each thing whose removal failed.
    """
    return tuple(
        StillThere(leftover=left, reason=failures.get(left.key) or _why(left, inventory))
        for left in inventory.leftovers
    )


def _why(left: Leftover, inventory: Inventory) -> str:
    if left.thing in OF_THE_DAEMON and inventory.daemons:
        return (
            f"a SpotVortex daemon still runs ({', '.join(inventory.daemons)}): "
            "delete the Deployment, then run this again"
        )
    if left.thing is ObjectKind.FREEZE:
        return "it goes when nothing else is left"
    return "it is still there or came again: run this once more"
