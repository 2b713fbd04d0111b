"""Launches on Spot that failed for lack of capacity, as Karpenter's Events tell of them.

Comes in: Events `InsufficientCapacityError` at NodeClaims, and the NodePools. Goes out: offerings
on which a launch failed, with the time. An Event names its offering in the cloud's own words, or
not at all; then the NodePool does, where it can launch on one alone. In doubt nothing is named. May
not count failures: the interruption memory does.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.cloud.launches import LaunchRefusal
from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.kube.api.wire.events import Event

MAX_REFUSALS: Final = 1000
"""Offerings told, those of the latest failures."""

_FLEET: Final = "with fleet error(s), "
"""What comes before the cloud's own answers. Without it Karpenter has asked nobody: for three
minutes it remembers what it did not get, and says so again and again."""

_CAPACITY: Final = ("InsufficientInstanceCapacity: ", "UnfulfillableCapacity: ")
"""Answers that tell of capacity; others tell of quotas, rights and prices."""

_NAMED: Final = re.compile(
    r"sufficient ([a-z0-9.-]{1,64}) capacity in the Availability Zone you requested "
    r"\(([a-z0-9-]{1,64})\)"
)
_SPOT: Final = re.compile(r"\bSpot\b")

GroupOf = Callable[[str], NodeGroupFact | None]
"""Returns a NodePool by name, None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What one Event says.

    Attributes:
        at: wall time of it.
        node_pool: the NodePool that wanted the node.
        named: the offerings that it names.
        of_spot: it speaks of Spot; a launch is of one capacity type.
    """

    at: float
    node_pool: str
    named: tuple[Offering, ...]
    of_spot: bool

    def offerings(self, group: NodeGroupFact) -> tuple[Offering, ...]:
        """Return the Spot offerings on which the launch failed, as far as that can be told."""
        if not self.of_spot and group.capacity_types != (CapacityType.SPOT,):
            return ()
        if self.named or len(group.instance_types) != 1 or len(group.zones) != 1:
            return self.named
        return (Offering(instance_type=group.instance_types[0], zone=group.zones[0]),)


class LaunchEvents:
    """The failed launches of which Karpenter has said so; the sink of such Events."""

    def __init__(self, group_of: GroupOf) -> None:
        self._group_of = group_of
        self._told: dict[str, _Told | None] = {}

    def keys(self) -> AbstractSet[str]:
        """Return the Events known; the server forgets each after an hour."""
        return self._told.keys()

    def put(self, key: str, obj: Event) -> None:
        """Take an Event."""
        self._told[key] = _told(obj)

    def remove(self, key: str) -> None:
        """Forget an Event."""
        self._told.pop(key, None)

    def refusals(self) -> tuple[LaunchRefusal, ...]:
        """Return the offerings on which launches failed, each with its latest time, in order."""
        latest: dict[Offering, float] = {}
        for told in filter(None, self._told.values()):
            group = self._group_of(told.node_pool)
            for offering in told.offerings(group) if group is not None else ():
                latest[offering] = max(told.at, latest.get(offering, told.at))
        kept = sorted(latest, key=lambda o: (-latest[o], o))[:MAX_REFUSALS]
        return tuple(LaunchRefusal(offering=o, at=latest[o]) for o in sorted(kept))


def _told(event: Event) -> _Told | None:
    """Read an Event, None where it tells of no capacity, or not when."""
    about = event.involved_object
    node_pool = ((about.name if about is not None else None) or "").rpartition("-")[0]
    _, _, said = (event.message or "").partition(_FLEET)
    answers = [a for a in re.split(r"; (?=\w+: )", said) if a.startswith(_CAPACITY)]
    at = _latest(event.event_time, event.last_timestamp, event.metadata.creation_timestamp)
    if not node_pool or not answers or at is None:
        return None
    return _Told(
        at=at,
        node_pool=node_pool,
        named=tuple(_offerings(answers)),
        of_spot=any(map(_SPOT.search, answers)),
    )


def _offerings(answers: Iterable[str]) -> list[Offering]:
    found = (_NAMED.search(answer) for answer in answers)
    return sorted({Offering(instance_type=f[1], zone=f[2]) for f in found if f is not None})


def _latest(*texts: str | None) -> float | None:
    times: list[float] = []
    for text in filter(None, texts):
        try:
            times.append(dt.datetime.fromisoformat(text).timestamp())
        except (ValueError, OverflowError):
            continue
    return max(times, default=None)
