"""Simulated prices: slow, administrative, without spikes.

Comes in: a seed and a start. Goes out: quotes behind the `Market` port, with a week of history
from the first moment. The price of an offering depends on seed, offering and time alone, never on
who asks or how often. May not know the cluster.

Shape, after the AWS Spot price history of us-east-1, March to May 2021 (711 offerings): a price
moves about every 6.2 hours (p5 4.7, p95 12.3), by 0.20 % in the median, 2.7 % at p99 and 7.1 % at
most; the ratio to on-demand is 0.25 (p5), 0.345 (p50), 0.525 (p95); daily changes persist a little
(autocorrelation 0.42) and levels revert within weeks.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import Final, Protocol

from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.ports.market import Market
from spotvortex.sim.market.instance_types import MACHINES, instance_type_of
from spotvortex.sim.market.random_streams import stream

STEP_S: Final = 600.0
"""Grid of the history."""

HISTORY_POINTS: Final = 7 * 144 + 1
"""Both ends of seven days, so that the change over a whole week is known."""

_LEAD_S: Final = 8 * 86400.0
_PERIOD_S: Final = 6.2 * 3600.0
_JITTER_S: Final = 0.75 * 3600.0
_SKIPPED_RATIO: Final = 0.08
_STEP_MEDIAN: Final = 0.002
_STEP_SIGMA: Final = 1.1
_STEP_MAX: Final = 0.071
_RATIO_MEDIAN: Final = 0.345
_RATIO_SIGMA: Final = 0.2
_RATIO_MIN: Final = 0.25
_RATIO_MAX: Final = 0.52


class PriceTrack:
    """The price of one offering over time, made on demand and kept."""

    def __init__(self, seed: int, offering: Offering, since: float) -> None:
        """Start the track.

        Args:
            seed: the market's seed.
            offering: of a known instance type.
            since: the time of the first record, seconds since the epoch.
        """
        self._chance = stream(seed, "price", offering)
        self._on_demand = instance_type_of(offering.instance_type).on_demand_usd_per_hour
        drawn = _RATIO_MEDIAN * math.exp(self._chance.gauss(0.0, _RATIO_SIGMA))
        self._base = min(max(drawn, _RATIO_MIN * 1.02), _RATIO_MAX * 0.98)
        self._ratio = self._base
        self._rises = self._chance.random() < 0.5
        self._due = since + self._chance.random() * _PERIOD_S
        self._times = [since]
        self._prices = [self._price()]
        self._grid_start = math.ceil(since / STEP_S) * STEP_S
        self._means: list[float] = []
        self._history: tuple[float, ...] = ()

    def price(self, at: float) -> float:
        """Return the price in USD/h."""
        return self._prices[self._record(at)]

    def since(self, at: float) -> float:
        """Return the time of the record that holds at a time."""
        return self._times[self._record(at)]

    def history(self, at: float) -> tuple[float, ...]:
        """Return the means over the last whole grid steps, oldest first."""
        n_steps = max(0, math.floor((at - self._grid_start) / STEP_S))
        if n_steps < len(self._means):
            return tuple(self._means[max(0, n_steps - HISTORY_POINTS) : n_steps])
        if n_steps > len(self._means) or not self._history:
            for index in range(len(self._means), n_steps):
                self._means.append(self._mean(self._grid_start + index * STEP_S))
            self._history = tuple(self._means[-HISTORY_POINTS:])
        return self._history

    def _record(self, at: float) -> int:
        while self._due <= at:
            self._change()
        return max(0, bisect_right(self._times, at) - 1)

    def _change(self) -> None:
        """Make the next record, or skip one: then the price holds for twice as long."""
        if self._chance.random() >= _SKIPPED_RATIO:
            self._ratio = self._next_ratio()
            self._times.append(self._due)
            self._prices.append(self._price())
        self._due += _PERIOD_S + self._chance.uniform(-_JITTER_S, _JITTER_S)

    def _next_ratio(self) -> float:
        """Draw the next ratio: in the same direction with 0.7, and pulled towards the base."""
        if self._chance.random() > 0.7:
            self._rises = not self._rises
        apart = self._ratio / self._base - 1.0
        if self._chance.random() < min(1.0, abs(apart) / 0.2):
            self._rises = apart < 0.0
        size = min(_STEP_MEDIAN * math.exp(self._chance.gauss(0.0, _STEP_SIGMA)), _STEP_MAX)
        ratio = self._ratio * (1.0 + (size if self._rises else -size))
        return min(max(ratio, _RATIO_MIN), _RATIO_MAX)

    def _price(self) -> float:
        return round(self._ratio * self._on_demand, 6)

    def _mean(self, start: float) -> float:
        """Return the time-weighted mean over one grid step."""
        return self.usd(start, start + STEP_S) * 3600.0 / STEP_S

    def usd(self, since: float, until: float) -> float:
        """Return the integral of the price over a time, in USD."""
        first, last = self._record(since), self._record(until)
        if first == last:
            return self._prices[first] * (until - since) / 3600.0
        edges = [since, *self._times[first + 1 : last + 1], until]
        parts = zip(self._prices[first : last + 1], pairwise(edges), strict=True)
        return math.fsum(price * (end - begin) for price, (begin, end) in parts) / 3600.0


class PricedMarket(Market, Protocol):
    """Prices as a provisioner and a ledger ask for them."""

    def spot_usd_per_hour(self, offering: Offering, now: float) -> float:
        """Return the spot price, infinite where there is none."""
        ...

    def on_demand_usd_per_hour(self, offering: Offering) -> float:
        """Return the list price."""
        ...

    def spot_usd(self, offering: Offering, since: float, until: float) -> float:
        """Return what one Spot node costs from a time to another, in USD."""
        ...


class SimulatedMarket:
    """Quotes for every offering of a known instance type; the rest stay unknown."""

    def __init__(self, *, seed: int, start_at: float) -> None:
        """Open a market that has been running for a week.

        Args:
            seed: the world's seed.
            start_at: start of the simulation, seconds since the epoch.
        """
        self._seed = seed
        self._since = start_at - _LEAD_S
        self._tracks: dict[Offering, PriceTrack] = {}

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return a quote for every offering asked for."""
        quotes = {offering: self._quote(offering, now) for offering in sorted(set(offerings))}
        health = InputHealth(name=InputName.PRICES, state=InputState.OK, age_s=0.0)
        return MarketFacts(quotes=quotes, inputs=(health,))

    def spot_usd_per_hour(self, offering: Offering, now: float) -> float:
        """Return the spot price of an offering of a known instance type."""
        return self._track(offering).price(now)

    def on_demand_usd_per_hour(self, offering: Offering) -> float:
        """Return the list price."""
        return instance_type_of(offering.instance_type).on_demand_usd_per_hour

    def spot_usd(self, offering: Offering, since: float, until: float) -> float:
        """Return what one Spot node costs from a time to another, in USD."""
        return self._track(offering).usd(since, until)

    def _quote(self, offering: Offering, now: float) -> SpotQuote:
        machine = MACHINES.get(offering.instance_type)
        if machine is None:
            return SpotQuote(offering=offering)
        track = self._track(offering)
        return SpotQuote(
            offering=offering,
            spot_usd_per_hour=track.price(now),
            on_demand_usd_per_hour=machine.on_demand_usd_per_hour,
            history_usd_per_hour=track.history(now),
            step_s=STEP_S,
            age_s=max(0.0, now - track.since(now)),
            source="simulated",
        )

    def _track(self, offering: Offering) -> PriceTrack:
        track = self._tracks.get(offering)
        if track is None:
            track = self._tracks[offering] = PriceTrack(self._seed, offering, self._since)
        return track
