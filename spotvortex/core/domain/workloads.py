"""One workload with where its pods run, and how much of it its owner lets a loss take.

Comes in: rows made by the edges, and the owner's word as text. Goes out: the same rows, and how
many pods must stay. May not judge a loss: `core.pool.survival.zone_loss` does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.labels import MIN_AVAILABLE_AFTER_LOSS, ON_DEMAND_FLOOR
from spotvortex.core.domain.types import Offering

WANTED: Final = 'give pods as "3", or a share of the replicas as "50%"'
"""What a word has to be, in words."""

_WORD: Final = re.compile(r"([0-9]{1,6})(%?)")
_MAX_SHARE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotShare:
    """The Ready pods of one budget or workload on the Spot nodes of one offering, cluster-wide.

    Attributes:
        offering: the instance type and zone.
        n_nodes: Spot nodes of the offering that run such a pod.
        n_pods: Ready pods on them.
        n_leaving: those of the pods whose node is on the move.
    """

    offering: Offering
    n_nodes: int
    n_pods: int
    n_leaving: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadFact:
    """One workload with where its pods run, over the whole cluster.

    Pods of DaemonSets, mirror pods, bare pods and pods that are being deleted are none of it. A
    Job is one only where its own pods carry a word.

    Attributes:
        namespace: its namespace.
        kind: the kind of its owner.
        name: the owner's name.
        n_replicas: pods that live, Ready or not.
        said: the owner's word on what must stay after a loss, as it stands; "" where nobody said.
        said_by: whose word it is, as in "Deployment shop/web" or "Namespace shop".
        floor: the owner's word on what must stay on-demand, as it stands; "" where nobody said.
        floor_by: whose word that is.
        healthy_by_node: node name and number of Ready pods.
        n_leaving: Ready pods, on Spot or not, whose node is on the move.
        spot_by_offering: its Ready pods on Spot, sorted by offering.
        pools: the pools where any pod of it is, by name.
    """

    namespace: str
    kind: str
    name: str
    n_replicas: int
    said: str = ""
    said_by: str = ""
    floor: str = ""
    floor_by: str = ""
    healthy_by_node: tuple[tuple[str, int], ...] = ()
    n_leaving: int = 0
    spot_by_offering: tuple[SpotShare, ...] = ()
    pools: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """`namespace/Kind/name`."""
        return f"{self.namespace}/{self.kind}/{self.name}"

    @property
    def healthy(self) -> int:
        """Ready pods."""
        return sum([n for _, n in self.healthy_by_node])

    @property
    def problem(self) -> str:
        """The word that cannot be read, with the object and the fix, "" where there is none."""
        if self.said and not is_word(self.said):
            return f"{self.said_by}: {MIN_AVAILABLE_AFTER_LOSS}={self.said[:40]!r}: {WANTED}"
        if self.floor and not is_word(self.floor):
            return f"{self.floor_by}: {ON_DEMAND_FLOOR}={self.floor[:40]!r}: {WANTED}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalDefault:
    """What must stay of a workload of which nobody said it.

    Attributes:
        offering_ratio: least share of the replicas that stays after the loss of one Spot offering.
        zone_ratio: the same after the loss of all Spot of one zone; at least one pod.
    """

    offering_ratio: float = 0.5
    zone_ratio: float = 0.3333


SURVIVAL_DEFAULT: Final = SurvivalDefault()


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Pods that must stay Ready, by what is lost.

    Attributes:
        after_offering: after the loss of one Spot offering.
        after_zone: after the loss of the Spot of one zone.
        on_demand: after the loss of all Spot: the floor that its owner has set.
    """

    after_offering: int
    after_zone: int
    on_demand: int = 0

    @property
    def most(self) -> int:
        """Pods that must stay after any of the losses."""
        return max(self.after_offering, self.after_zone, self.on_demand)


NOTHING: Final = Need(after_offering=0, after_zone=0)


def is_word(text: str) -> bool:
    """Tell whether a text says how much must stay: pods, or a percentage up to 100."""
    found = _WORD.fullmatch(text.strip())
    return found is not None and not (found[2] and int(found[1]) > _MAX_SHARE)


def pods_of(word: str, n_replicas: int) -> int:
    """Return how many pods a word that can be read asks for, a share rounded up."""
    text = word.strip()
    if text.endswith("%"):
        return math.ceil(int(text[:-1]) * n_replicas / 100.0)
    return int(text)


def strictest(words: Iterable[str], n_replicas: int) -> str:
    """Return the word that asks for most; one that cannot be read comes before all others."""

    def rank(word: str) -> tuple[float, str]:
        return pods_of(word, n_replicas) if is_word(word) else math.inf, word

    return max(words, key=rank, default="")


def need_of(workload: WorkloadFact, default: SurvivalDefault) -> Need:
    """Return what must stay of a workload: its owner's word, else the default.

    A single replica cannot survive the loss of its node by construction, so that nothing is asked
    of it but by its owner's word. A word that cannot be read counts as none here; see `problem`.
    """
    n = workload.n_replicas
    floor = pods_of(workload.floor, n) if is_word(workload.floor) else 0
    if is_word(workload.said):
        pods = pods_of(workload.said, n)
        return Need(after_offering=pods, after_zone=pods, on_demand=floor)
    if n <= 1:
        return Need(after_offering=0, after_zone=0, on_demand=floor) if floor else NOTHING
    least = 1 if default.zone_ratio > 0.0 else 0
    return Need(
        after_offering=share(default.offering_ratio, n),
        after_zone=max(least, share(default.zone_ratio, n)),
        on_demand=floor,
    )


def share(ratio: float, n: int) -> int:
    """Return a share of some pods, rounded up; what is whole but for rounding counts as whole."""
    return math.ceil(ratio * n - 1e-9)
