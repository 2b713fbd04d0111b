"""Where prices come from, one source after another, and what has to run for that.

Comes in: settings. Goes out: a market, and tasks that keep it. Nothing is asked here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, Protocol, TypeVar

from spotvortex.aws.on_demand_prices import open_list_prices
from spotvortex.aws.placement_scores import open_placement_scores
from spotvortex.aws.spot_prices import open_spot_prices
from spotvortex.core.domain.cloud.commitments import Commitments
from spotvortex.core.domain.cloud.signals import AdvisorBands
from spotvortex.core.domain.inputs import InputName
from spotvortex.errors import PriceFileError, SettingsError
from spotvortex.market.files.advisor import read_advisor
from spotvortex.market.files.commitments import read_commitments
from spotvortex.market.files.stated import StatedMarket, WatchedMarket
from spotvortex.market.files.watched import WatchedFile
from spotvortex.market.freshest import FreshestMarket
from spotvortex.market.karpenter.gauges import KarpenterMarket
from spotvortex.market.karpenter.history import PrometheusHistory
from spotvortex.market.karpenter.scrape import KarpenterScrape
from spotvortex.market.last_resort import LastResortMarket, LayeredMarket
from spotvortex.market.on_demand import OnDemandMarket
from spotvortex.market.placement import PlacementMarket
from spotvortex.market.recorded import RecordedMarket, load_recorded
from spotvortex.market.scripted import load_scripted
from spotvortex.market.signals import SignalledMarket
from spotvortex.market.spot_history import SpotHistoryMarket
from spotvortex.ports.edges import Background
from spotvortex.ports.market import Market
from spotvortex.settings.load import aws_region, has_role_of_its_own
from spotvortex.settings.model import Settings

WARM_S: Final = 40.0
"""Longest time, in seconds, that who looks once waits for a source that is far away."""


PLACEMENT_S: Final = 10.0
"""The same for placement scores, in seconds: those that have come by then are shown."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return seconds since the epoch, UTC."""
        return time.time()  # noqa: TID251 - this is the WallClock of the daemon


Client_contra = TypeVar("Client_contra", contravariant=True)
Value = TypeVar("Value")


class Keeping(Protocol[Client_contra]):
    """A market that a client keeps."""

    async def run(self, client: Client_contra, stop: asyncio.Event, /) -> None:
        """Ask until told to stop."""
        ...

    def give_up(self, why: str) -> None:
        """Take note that nobody can be asked."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSources:
    """A market, and what keeps it.

    Attributes:
        market: the prices.
        scrape: what reads Karpenter's metrics, None where they are not read.
        history: what reads their past, None where that is not read.
        aws: what asks AWS for Spot prices, None where it is not asked.
        aws_list: what asks AWS for list prices, None likewise.
        price_file: the price file, None without one.
        commitments: the statement of commitments, None where no path of one is set.
        placement: what asks AWS for placement scores, None where it is not asked.
        advisor: the bands of Spot Advisor, None where no path of one is set.
    """

    market: Market
    scrape: KarpenterScrape | None = None
    history: PrometheusHistory | None = None
    aws: SpotHistoryMarket | None = None
    aws_list: OnDemandMarket | None = None
    price_file: WatchedFile[RecordedMarket] | None = None
    commitments: WatchedFile[Commitments] | None = None
    placement: PlacementMarket | None = None
    advisor: WatchedFile[AdvisorBands] | None = None

    @property
    def background(self) -> list[tuple[str, Background]]:
        """What has to run for the market, by name."""
        found: list[tuple[str, Background]] = []
        if self.scrape is not None:
            found.append(("karpenter_metrics", self.scrape.run))
        if self.history is not None:
            found.append(("prometheus", self.history.run))
        if self.aws is not None:
            found.append(("spot_prices", partial(_kept, self.aws, open_spot_prices)))
        if self.aws_list is not None:
            found.append(("on_demand_prices", partial(_kept, self.aws_list, open_list_prices)))
        if self.placement is not None:
            scores = partial(_kept, self.placement, open_placement_scores)
            found.append(("placement_scores", scores))
        files = {"price_file": self.price_file, "commitments": self.commitments}
        for name, file in {**files, "advisor": self.advisor}.items():
            if file is not None:
                found.append((name, file.run))
        return found

    async def warmed(self) -> None:
        """Wait until every source has been asked once, however that went; not for long."""
        try:
            async with asyncio.timeout(WARM_S):
                for source in (self.scrape, self.history, self.aws, self.aws_list):
                    if source is not None:
                        await source.first.wait()
            if self.placement is not None:
                async with asyncio.timeout(PLACEMENT_S):
                    await self.placement.first.wait()
        except TimeoutError:
            return


def open_prices(settings: Settings, rng: Random) -> PriceSources:
    """Open what the settings name, over on-demand prices of last resort; a test brings its own.

    Raises:
        PriceFileError: a price file cannot be read.
    """
    found = _scripted_prices(settings) or _open_sources(settings, rng)
    clock, placement = SystemClock(), None
    if settings.placement_scores == "auto" and found.aws is not None:
        placement = PlacementMarket(aws_region(), clock, rng)
    advisor = _stated(settings.advisor_file, read_advisor, InputName.ADVISOR)
    market = SignalledMarket(found.market, advisor, placement)
    return replace(found, market=market, placement=placement, advisor=advisor)


def _scripted_prices(settings: Settings) -> PriceSources | None:
    """Return the prices that a test has scripted, None where it has not."""
    scripted = settings.test_price_provider_json or None
    if not scripted and not settings.test_price_provider_file:
        return None
    market = load_scripted(settings.test_price_provider_file, scripted)
    commitments = _commitments(settings)
    return PriceSources(market=StatedMarket(market, commitments), commitments=commitments)


def _open_sources(settings: Settings, rng: Random) -> PriceSources:
    commitments = _commitments(settings)
    age, clock, sources = settings.max_price_age_s, SystemClock(), list[Market]()
    aws = aws_list = scrape = history = price_file = None
    if settings.price_file is not None:
        price_file = _price_file(settings.price_file, age)
        sources.append(WatchedMarket(price_file))
    if reads_history(settings):
        aws = SpotHistoryMarket(clock, rng, age)
        aws_list = OnDemandMarket(aws_region(), clock, rng, age)
        sources += (aws, aws_list)
    if settings.karpenter_metrics_url or settings.prometheus_url:
        karpenter = KarpenterMarket(age)
        sources.append(karpenter)
        if settings.karpenter_metrics_url:
            scrape = KarpenterScrape(settings.karpenter_metrics_url, karpenter, clock, rng)
        if settings.prometheus_url:
            history = PrometheusHistory(settings.prometheus_url, karpenter, clock, rng)
    files = () if price_file is None else (price_file,)
    return PriceSources(
        market=StatedMarket(_layered(sources, age), commitments, files),
        scrape=scrape,
        history=history,
        aws=aws,
        aws_list=aws_list,
        price_file=price_file,
        commitments=commitments,
    )


def _price_file(path: Path, age_s: float) -> WatchedFile[RecordedMarket]:
    read = partial(load_recorded, spot_max_age_s=age_s)
    file = WatchedFile(path, read, InputName.PRICE_FILE, SystemClock())
    file.look()
    if file.value is None:
        raise PriceFileError(file.trouble)
    return file


def _commitments(settings: Settings) -> WatchedFile[Commitments] | None:
    """Read the statement once; one that cannot be read holds growth, and ends nothing."""
    return _stated(settings.commitments_path, read_commitments, InputName.COMMITMENTS)


def _stated(
    path: Path | None, read: Callable[[Path], Value], name: InputName
) -> WatchedFile[Value] | None:
    """Read a file once, None where no path of one is set."""
    if path is None:
        return None
    file = WatchedFile(path, read, name, SystemClock())
    file.look()
    return file


def reads_history(settings: Settings) -> bool:
    """Tell whether AWS is asked for Spot prices: where that is wished, or the pod has a role."""
    match settings.price_source:
        case "aws":
            return True
        case "auto":
            return has_role_of_its_own() and bool(aws_region())
        case _:
            return False


async def _kept(
    market: Keeping[Client_contra],
    opened: Callable[[str], AbstractAsyncContextManager[Client_contra]],
    stop: asyncio.Event,
) -> None:
    """Keep a market by AWS; where no client can be made, say so and go on without."""
    try:
        async with opened(aws_region()) as client:
            await market.run(client, stop)
    except SettingsError as error:
        market.give_up(str(error))
        await stop.wait()


def _layered(sources: Sequence[Market], age_s: float) -> Market:
    if not sources:
        return LastResortMarket()
    first = sources[0] if len(sources) == 1 else FreshestMarket(sources, age_s)
    return LayeredMarket(first, LastResortMarket(), age_s)
