"""A market with what AWS says of capacity beside its prices.

Comes in: another market, the file of Spot Advisor's bands, and placement scores. Goes out: the same
facts with both, and the health of each. May not change a quote.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from spotvortex.core.domain.cloud.signals import (
    DAY_S,
    NO_BANDS,
    NO_SIGNALS,
    STALE_DAYS,
    AdvisorBands,
    MarketSignals,
)
from spotvortex.core.domain.inputs import InputHealth, InputState
from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.domain.types import Offering
from spotvortex.market.files.watched import WatchedFile
from spotvortex.market.placement import PlacementMarket
from spotvortex.ports.market import Market


class SignalledMarket:
    """Implements `ports.Market`: prices, and what AWS says of capacity."""

    def __init__(
        self,
        prices: Market,
        advisor: WatchedFile[AdvisorBands] | None,
        placement: PlacementMarket | None,
    ) -> None:
        """Take the prices, the file if there is a path of one, and the scores where asked for."""
        self._prices, self._advisor, self._placement = prices, advisor, placement

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return a quote for every offering, and the signals. See `ports.Market.facts`."""
        asked = tuple(offerings)
        found = self._prices.facts(asked, now)
        if self._advisor is None and self._placement is None:
            return found
        inputs = list(found.inputs)
        bands, placement = NO_BANDS, dict(NO_SIGNALS.placement)
        if self._advisor is not None:
            bands = self._advisor.value or NO_BANDS
            health = self._advisor.health(now)
            inputs += [_dated(health, bands, now)] if health is not None else []
        if self._placement is not None:
            placement = self._placement.placement(asked)
            inputs.append(self._placement.health(now))
        signals = MarketSignals(bands=bands, placement=placement)
        return dataclasses.replace(found, inputs=tuple(inputs), signals=signals)


def _dated(health: InputHealth, bands: AdvisorBands, now: float) -> InputHealth:
    """Say of bands that have no date, or one of long ago, that they scale nothing."""
    if health.state is not InputState.OK:
        return health
    if bands.at is None:
        fix = "give the file a member `date`, or put its date in its name (2026-11-01)"
        detail = f"the file has no date, so that its bands are shown and scale nothing; {fix}"
        return dataclasses.replace(health, state=InputState.STALE, detail=detail)
    if now - bands.at > STALE_DAYS * DAY_S:
        detail = f"the bands are older than {STALE_DAYS:.0f} days and scale nothing: fetch new ones"
        return dataclasses.replace(health, state=InputState.STALE, detail=detail)
    return health
