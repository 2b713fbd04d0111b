"""How far prices may be trusted now.

Comes in: quotes and the age of their source. Goes out: the health of the input `prices`, in words
that say what is missing and how to provide it. May not change a quote.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final

from spotvortex.core.observation import InputHealth, InputState, SpotQuote

SPOT_MAX_AGE_S: Final = 24 * 3600.0
"""Spot prices move about every six hours, a few per cent at most in a day."""

_PROVIDE_SPOT: Final = "set SPOTVORTEX_PRICE_FILE to a file with spot records (docs/price-file.md)"
_PROVIDE_ON_DEMAND: Final = "add on-demand records to the price file (docs/price-file.md)"


def prices_health(
    quotes: Collection[SpotQuote], age_s: float, max_age_s: float = SPOT_MAX_AGE_S
) -> InputHealth:
    """Judge the quotes of one instant.

    Args:
        quotes: one an offering asked for.
        age_s: time since the source's newest record, infinite where there is none.
        max_age_s: beyond this age the spot prices are stale.
    """
    no_spot = [q for q in quotes if q.spot_usd_per_hour is None]
    no_on_demand = [q for q in quotes if q.on_demand_usd_per_hour is None]
    lent = [q for q in quotes if q.last_resort]
    details = [
        _missing("spot price", no_spot, len(quotes), _PROVIDE_SPOT),
        _missing("on-demand price", no_on_demand, len(quotes), _PROVIDE_ON_DEMAND),
    ]
    if lent:
        details.append(f"on-demand prices of {len(lent)} offerings are of last resort")
    absent = math.isinf(age_s) or (
        bool(quotes) and len(quotes) in (len(no_spot), len(no_on_demand))
    )
    state = InputState.OK
    if absent:
        state = InputState.ABSENT
        details = details if any(details) else [f"no spot prices: {_PROVIDE_SPOT}"]
    elif age_s > max_age_s:
        state = InputState.STALE
        details.append(
            f"the newest spot record is {age_s / 3600.0:.1f} h old, the limit is "
            f"{max_age_s / 3600.0:.1f} h: renew the price file"
        )
    detail = "; ".join(filter(None, details))
    return InputHealth(name="prices", state=state, age_s=age_s, required=False, detail=detail)


def _missing(what: str, quotes: Sequence[SpotQuote], n_asked: int, fix: str) -> str:
    if not quotes:
        return ""
    return f"no {what} for {len(quotes)} of {n_asked} offerings, as {quotes[0].offering}: {fix}"
