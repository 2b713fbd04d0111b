"""Where prices come from, one source after another, and what has to run for that.

Comes in: settings. Goes out: a market, and tasks that keep it. Nothing is asked here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from spotvortex.market.freshest import FreshestMarket
from spotvortex.market.karpenter.gauges import KarpenterMarket
from spotvortex.market.karpenter.scrape import KarpenterScrape
from spotvortex.market.last_resort import LastResortMarket, LayeredMarket
from spotvortex.market.recorded import load_recorded
from spotvortex.market.scripted import load_scripted
from spotvortex.ports.edges import Background
from spotvortex.ports.market import Market
from spotvortex.settings.model import Settings

WARM_S: Final = 40.0
"""Longest time, in seconds, that who looks once waits for a source that is far away."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return seconds since the epoch, UTC."""
        return time.time()  # noqa: TID251 - this is the WallClock of the daemon


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """A market, and what keeps it.

    Attributes:
        market: the prices.
        background: what has to run for that, by name.
        warmed: waits until every source has been asked once, however that went; not for long.
        scrape: what reads Karpenter's metrics, None where they are not read.
    """

    market: Market
    background: Sequence[tuple[str, Background]] = ()
    warmed: Callable[[], Awaitable[None]] | None = None
    scrape: KarpenterScrape | None = None


def open_prices(settings: Settings, rng: Random) -> Prices:
    """Open what the settings name, over on-demand prices of last resort; a test brings its own.

    Raises:
        PriceFileError: a file cannot be read.
    """
    scripted = settings.test_price_provider_json or None
    if scripted or settings.test_price_provider_file:
        return Prices(market=load_scripted(settings.test_price_provider_file, scripted))
    age, sources = settings.max_price_age_s, list[Market]()
    if settings.price_file is not None:
        sources.append(load_recorded(settings.price_file, age))
    if not settings.karpenter_metrics_url:
        return Prices(market=_layered(sources, age))
    karpenter = KarpenterMarket(age)
    sources.append(karpenter)
    scrape = KarpenterScrape(settings.karpenter_metrics_url, karpenter, SystemClock(), rng)

    async def warmed() -> None:
        try:
            async with asyncio.timeout(WARM_S):
                await scrape.first.wait()
        except TimeoutError:
            return

    return Prices(
        market=_layered(sources, age),
        background=(("karpenter_metrics", scrape.run),),
        warmed=warmed,
        scrape=scrape,
    )


def _layered(sources: Sequence[Market], age_s: float) -> Market:
    if not sources:
        return LastResortMarket()
    first = sources[0] if len(sources) == 1 else FreshestMarket(sources, age_s)
    return LayeredMarket(first, LastResortMarket(), age_s)
