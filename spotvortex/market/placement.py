"""Placement scores of the types in use, each asked for about every two hours.

Comes in: answers for one type and a number of instances. Goes out: scores by offering. AWS renews
them about that often, and counts the configurations that an account asks about in a day, so that
only the first types in use are asked about, always in the same two ways. May not judge a score.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from functools import partial
from random import Random
from typing import Final

from spotvortex.aio import pause
from spotvortex.core.domain.cloud.signals import MANY, Placement
from spotvortex.core.domain.cloud.zones import region_of
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.types import Offering
from spotvortex.market.asked_types import AskedTypes
from spotvortex.ports.cluster import WallClock
from spotvortex.ports.prices import PlacementScores

EVERY_S: Final = 2 * 3600.0
"""Time between two answers about a type: scores were seen to be renewed every 110 minutes."""

MAX_TYPES: Final = 20
"""Types that are asked about, each in two configurations: an account has 50 in 24 hours or so."""

BETWEEN_S: Final = 0.25
"""Time between two requests: nothing waits for them."""

COST: Final = "scores rest on what the cluster itself has seen"


class PlacementMarket(AskedTypes):
    """Keeps placement scores; `run` has to be running."""

    def __init__(self, region: str, clock: WallClock, rng: Random) -> None:
        super().__init__("placement_scores", EVERY_S, clock, rng)
        self._region = region
        self._found: dict[str, tuple[Mapping[str, int], Mapping[str, int]]] = {}
        self._types: dict[str, None] = {}

    def placement(self, offerings: Iterable[Offering]) -> dict[Offering, Placement]:
        """Return what is known of offerings, and take note that they are in use."""
        found: dict[Offering, Placement] = {}
        for offering in offerings:
            if region_of(offering.zone) != self._region:
                continue
            if len(self._types) < MAX_TYPES:
                self._types.setdefault(offering.instance_type)
            if offering.instance_type in self._types:
                self.want(offering.instance_type)
            one, many = self._found.get(offering.instance_type, ({}, {}))
            if offering.zone in one or offering.zone in many:
                found[offering] = Placement(
                    for_one=one.get(offering.zone),
                    for_many=many.get(offering.zone),
                    at=self.known_at[offering.instance_type],
                )
        return found

    def health(self, now: float) -> InputHealth:
        """Say how far the scores may be trusted."""
        lacking = InputState.STALE if self._found else InputState.ABSENT
        return InputHealth(
            name=InputName.PLACEMENT_SCORES,
            state=lacking if self.trouble else InputState.OK,
            age_s=now - max(self.known_at.values(), default=-math.inf),
            required=False,
            detail=f"{self.trouble}; {COST}" if self.trouble else "",
        )

    async def run(self, scores: PlacementScores, stop: asyncio.Event) -> None:
        """Ask until told to stop: for what is new at once, for the rest every two hours."""

        async def ask(types: list[str]) -> None:
            """Ask for one type after the other, and no further after the first that fails."""
            for instance_type in types:
                if stop.is_set():
                    return
                one = await self.patiently(partial(scores.scores, instance_type, 1))
                await pause(stop, BETWEEN_S)
                many = await self.patiently(partial(scores.scores, instance_type, MANY))
                await pause(stop, BETWEEN_S)
                self._found[instance_type] = one, many
                self.known_at[instance_type] = self._clock.now()

        await self.keep(ask, stop)
