"""What is known of an offering, with sane defaults."""

from __future__ import annotations

from spotvortex.core.scoring.features import OfferingContext
from tests.core.builders import quote


def context(**of_quote: object) -> OfferingContext:
    """Return the context of one offering; every field of its quote can be overridden."""
    made = quote(**of_quote)
    return OfferingContext(
        offering=made.offering, quote=made, hours_since_loss=3.0, hazard_per_hour=0.002
    )
