"""The ledger's costs as rows of FOCUS 1.2, the FinOps Open Cost and Usage Specification.

Comes in: a ledger. Goes out: CSV with every mandatory column of the dataset Cost and Usage, those
conditional ones that the ledger can fill, and columns of its own behind `x_`. One row is what one
pool's nodes of one way of buying cost in a period, as long as it is kept; what commitments pay for
is a row of its own, beside their purchase and what of them was not used. Not a bill: prices are
those that were seen, and regions and single instances are not kept. What was before the oldest
month has no billing period, and is left out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from spotvortex.core.domain.types import CapacityType
from spotvortex.core.ledger.ledger import Ledger
from spotvortex.core.ledger.periods import Period, PeriodLength, end_of, start_of
from spotvortex.core.ledger.sums import NodeSums

VERSION: Final = "1.2"

COLUMNS: Final = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountQuantity",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "CommitmentDiscountUnit",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "x_CapacityType",
    "x_OnDemandCost",
    "x_Pool",
)
"""Every column, in the order of the file."""

COMMITMENTS: Final = "stated-commitments"
"""The id under which all commitments that were stated are told together."""

_SAME: Final[Mapping[str, str]] = {
    "BillingCurrency": "USD",
    "InvoiceIssuerName": "AWS",
    "ProviderName": "AWS",
    "PublisherName": "AWS",
    "ServiceCategory": "Compute",
    "ServiceName": "Amazon Elastic Compute Cloud",
}
_OF_COMMITMENTS: Final[Mapping[str, str]] = {
    "CommitmentDiscountCategory": "Spend",
    "CommitmentDiscountId": COMMITMENTS,
    "CommitmentDiscountName": "Commitments as stated",
    "CommitmentDiscountType": "Savings Plans and reserved instances",
    "CommitmentDiscountUnit": "USD",
}

Row = dict[str, str | float]
"""Values by column; a column without a value is null."""


def as_focus(ledger: Ledger, account: str) -> str:
    """Return the ledger as FOCUS CSV.

    Args:
        ledger: what is accounted for.
        account: the id of the account that is billed, which the ledger does not know.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for row in rows_of(ledger):
        known = {**_SAME, "BillingAccountId": account} | row
        writer.writerow({name: _cell(value) for name, value in known.items()})
    return out.getvalue()


def _cell(value: str | float) -> str:
    return f"{value:.10f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def rows_of(ledger: Ledger) -> Iterator[Row]:
    """Yield what differs from row to row."""
    for period in ledger.periods:
        if period.span is PeriodLength.BEFORE:
            continue
        times = _times(period)
        used = 0.0
        for (pool, kind), sums in sorted(period.nodes.items()):
            of_pool: Row = times | {"x_Pool": pool, "x_CapacityType": kind.value}
            if sums.uncovered_usd > 0.0:
                yield of_pool | _beyond_commitments(sums, kind)
            if sums.committed_usd > 0.0:
                used += sums.committed_usd
                yield of_pool | _by_commitments(sums)
        unused = period.cluster.unused_usd
        if unused > 0.0:
            yield times | _unused(unused)
        if used + unused > 0.0:
            yield times | _purchase(used + unused)


def _times(period: Period) -> Row:
    month = start_of(PeriodLength.MONTH, period.start)
    return {
        "BillingPeriodStart": _moment(month),
        "BillingPeriodEnd": _moment(end_of(PeriodLength.MONTH, month)),
        "ChargePeriodStart": _moment(period.start),
        "ChargePeriodEnd": _moment(period.end),
    }


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _beyond_commitments(sums: NodeSums, kind: CapacityType) -> Row:
    """Return what is billed by the hour; the rest of the hours a commitment pays for."""
    hours = sums.node_hours * sums.uncovered_usd / sums.list_usd
    usd = sums.uncovered_usd
    is_spot = kind is CapacityType.SPOT
    return _usage(hours, usd) | {
        "BilledCost": usd,
        "EffectiveCost": usd,
        "ChargeDescription": f"{kind.value} node-hours of a pool, at the prices seen",
        "PricingCategory": "Dynamic" if is_spot else "Standard",
        "x_OnDemandCost": sums.on_demand_list_usd if is_spot else usd,
    }


def _by_commitments(sums: NodeSums) -> Row:
    usd = sums.list_usd - sums.uncovered_usd
    hours = sums.node_hours * usd / sums.list_usd
    return {
        **_usage(hours, usd),
        **_OF_COMMITMENTS,
        "BilledCost": 0.0,
        "EffectiveCost": sums.committed_usd,
        "ChargeDescription": "node-hours of a pool that commitments pay for",
        "CommitmentDiscountQuantity": sums.committed_usd,
        "CommitmentDiscountStatus": "Used",
        "PricingCategory": "Committed",
        "x_OnDemandCost": usd,
    }


def _usage(hours: float, usd: float) -> Row:
    """Return the columns of all usage: list and contract are one price here."""
    price = usd / hours
    return {
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": hours,
        "ConsumedUnit": "Hours",
        "PricingQuantity": hours,
        "PricingUnit": "Hours",
        "ContractedCost": usd,
        "ContractedUnitPrice": price,
        "ListCost": usd,
        "ListUnitPrice": price,
    }


def _unused(usd: float) -> Row:
    return _priced_in_usd(usd) | {
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "BilledCost": 0.0,
        "EffectiveCost": usd,
        "ChargeDescription": "commitments that nothing used",
        "CommitmentDiscountQuantity": usd,
        "CommitmentDiscountStatus": "Unused",
        "PricingCategory": "Committed",
    }


def _purchase(usd: float) -> Row:
    return _priced_in_usd(usd) | {
        "ChargeCategory": "Purchase",
        "ChargeFrequency": "Recurring",
        "BilledCost": usd,
        "EffectiveCost": 0.0,
        "ChargeDescription": "the fee of all commitments that were stated",
        "CommitmentDiscountQuantity": usd,
        "PricingCategory": "Standard",
    }


def _priced_in_usd(usd: float) -> Row:
    return {
        **_OF_COMMITMENTS,
        "PricingQuantity": usd,
        "PricingUnit": "USD",
        "ContractedCost": usd,
        "ContractedUnitPrice": 1.0,
        "ListCost": usd,
        "ListUnitPrice": 1.0,
    }
