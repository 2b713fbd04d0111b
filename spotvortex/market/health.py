"""How far prices may be trusted now.

Comes in: quotes and the age of their source. Goes out: the health of the input `prices`, in words
that say what is missing and how to provide it. May not change a quote.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final

from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.market import SpotQuote

SPOT_MAX_AGE_S: Final = 24 * 3600.0
"""Spot prices move about every six hours, 31 at most, a few per cent in a day."""

_PROVIDE_SPOT: Final = (
    "give the pod a role that may read them (docs/aws-prices.md), or set "
    "SPOTVORTEX_KARPENTER_METRICS_URL (docs/karpenter-metrics.md), or SPOTVORTEX_PRICE_FILE to a "
    "file with spot records (docs/price-file.md)"
)
_RENEW: Final = "renew the price file, or see why Karpenter renews none"
_PROVIDE_ON_DEMAND: Final = "add on-demand records to the price file (docs/price-file.md)"


def prices_health(
    quotes: Collection[SpotQuote], age_s: float, max_age_s: float = SPOT_MAX_AGE_S
) -> InputHealth:
    """Judge the quotes of one instant.

    Args:
        quotes: one an offering asked for.
        age_s: time since the source's newest record, infinite where there is none.
        max_age_s: the age beyond which a spot price is not used; the source has left it out.
    """
    details = _details(quotes, max_age_s)
    state = _state(quotes, age_s, max_age_s)
    if age_s > max_age_s and math.isfinite(age_s):
        details.append(
            f"the newest spot record is {_hours(age_s)} old, the limit is {_hours(max_age_s)}: "
            f"{_RENEW}"
        )
    if state is InputState.ABSENT and not details:
        details.append(f"no spot prices: {_PROVIDE_SPOT}")
    return InputHealth(
        name=InputName.PRICES, state=state, age_s=age_s, required=False, detail="; ".join(details)
    )


def _state(quotes: Collection[SpotQuote], age_s: float, max_age_s: float) -> InputState:
    """Absent is what never was; stale is what has been let grow old."""
    if math.isinf(age_s):
        return InputState.ABSENT
    if age_s > max_age_s:
        return InputState.STALE
    if quotes and all(q.spot_usd_per_hour is None for q in quotes):
        return InputState.STALE if any(map(_is_aged, quotes)) else InputState.ABSENT
    if quotes and all(q.on_demand_usd_per_hour is None for q in quotes):
        return InputState.ABSENT
    return InputState.OK


def _is_aged(quote: SpotQuote) -> bool:
    """Tell whether there is a record, but too old to be used."""
    return quote.spot_usd_per_hour is None and math.isfinite(quote.age_s)


def _details(quotes: Collection[SpotQuote], max_age_s: float) -> list[str]:
    aged = [q for q in quotes if _is_aged(q)]
    never = [q for q in quotes if q.spot_usd_per_hour is None and not _is_aged(q)]
    no_on_demand = [q for q in quotes if q.on_demand_usd_per_hour is None]
    n_lent = sum(q.last_resort for q in quotes)
    told = (
        _missing("spot price", never, len(quotes), _PROVIDE_SPOT),
        _aged(aged, len(quotes), max_age_s),
        _missing("on-demand price", no_on_demand, len(quotes), _PROVIDE_ON_DEMAND),
        f"on-demand prices of {n_lent} offerings are of last resort" if n_lent else "",
    )
    return [text for text in told if text]


def _missing(what: str, quotes: Sequence[SpotQuote], n_asked: int, fix: str) -> str:
    if not quotes:
        return ""
    return f"no {what} for {len(quotes)} of {n_asked} offerings, as {quotes[0].offering}: {fix}"


def _aged(quotes: Sequence[SpotQuote], n_asked: int, max_age_s: float) -> str:
    if not quotes:
        return ""
    oldest = max(quotes, key=lambda q: (q.age_s, q.offering))
    return (
        f"the spot price of {len(quotes)} of {n_asked} offerings is too old to use, as that of "
        f"{oldest.offering}: {_hours(oldest.age_s)}, the limit is {_hours(max_age_s)}: {_RENEW}"
    )


def _hours(seconds: float) -> str:
    return f"{seconds / 3600.0:.1f} h"
