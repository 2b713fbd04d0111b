"""A synthetic Cost and Usage Report of nodes that lived from one second to another.

Columns are those of AWS's own report (line items, pricing, Savings Plans). Each instance is billed
by the second, at least a minute, one line an hour; on Spot at the price of each second. A Savings
Plan pays hour by hour, for the line items in their order, as far as its commitment reaches.
"""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime

HOUR_S, MINIMUM_S = 3600.0, 60.0
COLUMNS = (
    "lineItem/LineItemType",
    "lineItem/UsageStartDate",
    "lineItem/ResourceId",
    "lineItem/UsageAmount",
    "lineItem/UnblendedCost",
    "lineItem/UsageType",
    "pricing/publicOnDemandCost",
    "savingsPlan/SavingsPlanEffectiveCost",
    "resourceTags/user:pool",
)


@dataclass(frozen=True)
class Life:
    """One instance."""

    uid: str
    pool: str
    offering: object
    on_spot: bool
    since: float
    until: float


def _integral(steps, since, until):
    """The money of one instance at a price that changes in steps of (time, USD per hour)."""
    total = 0.0
    for (at, usd), (end, _) in zip(steps, [*steps[1:], (float("inf"), 0.0)], strict=True):
        total += max(0.0, min(until, end) - max(since, at)) * usd / HOUR_S
    return total


@dataclass(frozen=True)
class Account:
    """What is billed.

    `spot` and `on_demand` are steps of prices by offering; `plan_usd_per_hour` is committed, and
    saves a quarter of the on-demand price.
    """

    spot: dict
    on_demand: dict
    plan_usd_per_hour: float = 0.0
    discount: float = 0.25

    def report(self, lives, since, until):
        """The report of some time, as CSV."""
        out = io.StringIO()
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        hour = since
        while hour < until:
            writer.writerows(self._hour(lives, hour, min(hour + HOUR_S, until)))
            hour += HOUR_S
        return out.getvalue()

    def _hour(self, lives, since, until):
        left = self.plan_usd_per_hour * (until - since) / HOUR_S
        for life in sorted(lives, key=lambda one: (one.since, one.uid)):
            begin = max(since, life.since)
            end = min(until, max(life.until, life.since + MINIMUM_S))
            if begin >= end:
                continue
            public = _integral(self.on_demand[life.offering], begin, end)
            if life.on_spot:
                usd = _integral(self.spot[life.offering], begin, end)
                yield _line("Usage", since, life, end - begin, usd, public)
                continue
            drawn = min(left, public * (1.0 - self.discount))
            left -= drawn
            share = drawn / (public * (1.0 - self.discount))
            if share > 0.0:
                seconds = (end - begin) * share
                covered = public * share
                line = _line("SavingsPlanCoveredUsage", since, life, seconds, covered, covered)
                yield line | {"savingsPlan/SavingsPlanEffectiveCost": repr(drawn)}
            if share < 1.0:
                usd = public * (1.0 - share)
                yield _line("Usage", since, life, (end - begin) * (1.0 - share), usd, usd)
        if left > 0.0:
            yield _fee(since, left)


def _line(kind, hour, life, seconds, usd, public):
    market = "SpotUsage" if life.on_spot else "BoxUsage"
    return {
        "lineItem/LineItemType": kind,
        "lineItem/UsageStartDate": _moment(hour),
        "lineItem/ResourceId": life.uid,
        "lineItem/UsageAmount": repr(seconds / HOUR_S),
        "lineItem/UnblendedCost": repr(usd),
        "lineItem/UsageType": f"{market}:{life.offering.instance_type}",
        "pricing/publicOnDemandCost": repr(public),
        "savingsPlan/SavingsPlanEffectiveCost": "",
        "resourceTags/user:pool": life.pool,
    }


def _fee(hour, unused):
    empty = dict.fromkeys(COLUMNS, "")
    return empty | {
        "lineItem/LineItemType": "SavingsPlanRecurringFee",
        "lineItem/UsageStartDate": _moment(hour),
        "lineItem/UnblendedCost": repr(unused),
    }


def _moment(at):
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def effective(row):
    """What a line item costs in the end, as AWS documents it for each type."""
    if row["lineItem/LineItemType"] == "SavingsPlanCoveredUsage":
        return float(row["savingsPlan/SavingsPlanEffectiveCost"])
    return float(row["lineItem/UnblendedCost"])


def lines_of(report):
    """Read a report."""
    return list(csv.DictReader(io.StringIO(report)))
