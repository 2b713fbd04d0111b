"""A market with what people keep in files beside it: their commitments, and how a file is read.

Comes in: another market, and the files. Goes out: the same quotes with the commitments, and the
health of each file beside that of the prices. May not change a quote.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from spotvortex.core.domain.cloud.commitments import Commitments, CommitmentState
from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.domain.types import Offering
from spotvortex.market.files.watched import WatchedFile
from spotvortex.market.recorded import RecordedMarket
from spotvortex.ports.market import Market


class WatchedMarket:
    """Implements `ports.Market` by a price file that is read again when it changes."""

    def __init__(self, file: WatchedFile[RecordedMarket]) -> None:
        """Take a file that has been read once."""
        self._file = file

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return a quote for every offering. See `ports.Market.facts`."""
        assert self._file.value is not None
        return self._file.value.facts(offerings, now)


class StatedMarket:
    """Implements `ports.Market`: prices, commitments, and how the files of both are."""

    def __init__(
        self,
        prices: Market,
        commitments: WatchedFile[Commitments] | None,
        files: Sequence[WatchedFile[RecordedMarket]] = (),
    ) -> None:
        """Take the prices, the statement of commitments if there is a path of one, and files."""
        self._prices, self._commitments, self._files = prices, commitments, files

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return a quote for every offering, and the commitments. See `ports.Market.facts`."""
        found = self._prices.facts(offerings, now)
        watched = [file.health(now) for file in self._files]
        if self._commitments is not None:
            watched.append(self._commitments.health(now))
        return dataclasses.replace(
            found,
            inputs=(*found.inputs, *(health for health in watched if health is not None)),
            commitments=stated_by(self._commitments),
        )


def stated_by(file: WatchedFile[Commitments] | None) -> Commitments:
    """Return what is stated; nothing is where there is no path, or no file there."""
    if file is not None and file.value is not None:
        return file.value
    if file is not None and file.is_there:
        return Commitments(state=CommitmentState.UNREADABLE)
    return Commitments()
