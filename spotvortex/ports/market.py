"""Prices, as the tasks ask for them. May not import an edge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.domain.types import Offering


class Market(Protocol):
    """What gives prices of offerings."""

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return a quote for every offering asked for; an unknown price is None, never a guess."""
        ...
