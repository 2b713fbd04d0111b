"""Reads Karpenter's metrics once a minute.

Comes in: the address of the endpoint. Goes out: scrapes, into the market. Behind a Service may be
several replicas, of which only the leader has the gauges: an answer without them is asked for
again, on a new connection. A failure is said once, and again when it has ended. May not judge what
a scrape says.
"""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import Final

import aiohttp

from spotvortex.aio import Retries, pause, retried
from spotvortex.errors import MetricsError
from spotvortex.market.karpenter import http
from spotvortex.market.karpenter.exposition import Key, Scrape, ScrapeParser
from spotvortex.market.karpenter.gauges import KarpenterMarket
from spotvortex.ports.cluster import WallClock

VARIABLE: Final = "SPOTVORTEX_KARPENTER_METRICS_URL"
EVERY_S: Final = 60.0
"""Time between two scrapes, in seconds: Karpenter renews its gauges as often."""

ANSWER_S: Final = 10.0
MAX_BYTES: Final = 64 * 1024 * 1024
"""Bound of one scrape; 33,000 series of offerings are 6 MB."""

RETRIES: Final = Retries(
    n_attempts=6,
    within_s=25.0,
    first_s=0.2,
    longest_s=3.0,
    is_worth=lambda error: isinstance(error, MetricsError) and error.is_passing,
)

log = logging.getLogger(__name__)


class KarpenterScrape:
    """Scrapes one endpoint into one market; `run` has to be running.

    Attributes:
        first: set when the first scrape is done, or has failed.
        trouble: why the last scrape failed, "" where it did not.
    """

    def __init__(self, url: str, market: KarpenterMarket, clock: WallClock, rng: Random) -> None:
        self._url, self._market, self._clock, self._rng = url, market, clock, rng
        self._known: dict[bytes, Key | None] = {}
        self.first = asyncio.Event()
        self.trouble = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Scrape until told to stop."""
        async with http.session(ANSWER_S) as client:
            while not stop.is_set():
                await self._once(client)
                self.first.set()
                await pause(stop, EVERY_S)

    async def _once(self, client: aiohttp.ClientSession) -> None:
        async def request() -> Scrape:
            return await self._scrape(client)

        try:
            scrape = await retried(request, RETRIES, self._rng)
        except MetricsError as error:
            if not self.trouble:
                log.warning("karpenter_metrics.unread", extra={"by": VARIABLE, "error": str(error)})
            self.trouble = str(error)
            return
        if self.trouble:
            log.info("karpenter_metrics.read_again", extra={"by": VARIABLE})
        self.trouble = ""
        self._market.take(scrape, self._clock.now())

    async def _scrape(self, client: aiohttp.ClientSession) -> Scrape:
        parser = ScrapeParser(self._known)
        await http.read(client, self._url, parser.feed, max_bytes=MAX_BYTES)
        scrape = parser.finish()
        if not scrape.available and not scrape.spot:
            raise MetricsError(
                f"{http.shown(self._url)} has no series of offerings: is it the /metrics of "
                "Karpenter's AWS provider, and does one of its replicas lead?",
                is_passing=True,
            )
        return scrape
