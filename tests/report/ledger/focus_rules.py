"""What FOCUS asks of the dataset Cost and Usage, as far as a ledger of nodes can break it.

From the FOCUS Specification, version 1.2 (May 2025), `specification/columns/*.md` of the repository
FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec at tag v1.2: the content constraints of each column, and
those of its requirements that hold between columns of one row. Rules of columns that are left out
(regions, resources, SKUs, sub-accounts, tags, other currencies) are not here. Beside them stand
three of the ledger's own: it corrects no billed period, consumes what it prices, and knows no
negotiated price.
"""

import math
import re
from typing import NamedTuple

MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")


class Column(NamedTuple):
    """Content constraints of one column."""

    level: str
    nulls: bool
    kind: str
    allowed: tuple[str, ...] = ()


MUST, MAY, SHOULD = "Mandatory", "Conditional", "Recommended"
TEXT, DECIMAL, TIME = "String", "Decimal", "Date/Time"
CATEGORIES = (
    "AI and Machine Learning",
    "Analytics",
    "Business Applications",
    "Compute",
    "Databases",
    "Developer Tools",
    "Identity",
    "Integration",
    "Internet of Things",
    "Management and Governance",
    "Media",
    "Migration",
    "Mobile",
    "Multicloud",
    "Networking",
    "Other",
    "Security",
    "Storage",
    "Web",
)

COLUMNS = {
    "BilledCost": Column(MUST, nulls=False, kind=DECIMAL),
    "BillingAccountId": Column(MUST, nulls=False, kind=TEXT),
    "BillingAccountName": Column(MUST, nulls=True, kind=TEXT),
    "BillingCurrency": Column(MUST, nulls=False, kind=TEXT, allowed=("USD",)),
    "BillingPeriodEnd": Column(MUST, nulls=False, kind=TIME),
    "BillingPeriodStart": Column(MUST, nulls=False, kind=TIME),
    "ChargeCategory": Column(
        MUST, nulls=False, kind=TEXT, allowed=("Usage", "Purchase", "Tax", "Credit", "Adjustment")
    ),
    "ChargeClass": Column(MUST, nulls=True, kind=TEXT, allowed=("Correction",)),
    "ChargeDescription": Column(MUST, nulls=True, kind=TEXT),
    "ChargeFrequency": Column(
        SHOULD, nulls=False, kind=TEXT, allowed=("One-Time", "Recurring", "Usage-Based")
    ),
    "ChargePeriodEnd": Column(MUST, nulls=False, kind=TIME),
    "ChargePeriodStart": Column(MUST, nulls=False, kind=TIME),
    "CommitmentDiscountCategory": Column(MAY, nulls=True, kind=TEXT, allowed=("Spend", "Usage")),
    "CommitmentDiscountId": Column(MAY, nulls=True, kind=TEXT),
    "CommitmentDiscountName": Column(MAY, nulls=True, kind=TEXT),
    "CommitmentDiscountQuantity": Column(MAY, nulls=True, kind=DECIMAL),
    "CommitmentDiscountStatus": Column(MAY, nulls=True, kind=TEXT, allowed=("Used", "Unused")),
    "CommitmentDiscountType": Column(MAY, nulls=True, kind=TEXT),
    "CommitmentDiscountUnit": Column(MAY, nulls=True, kind=TEXT),
    "ConsumedQuantity": Column(MAY, nulls=True, kind=DECIMAL),
    "ConsumedUnit": Column(MAY, nulls=True, kind=TEXT),
    "ContractedCost": Column(MUST, nulls=False, kind=DECIMAL),
    "ContractedUnitPrice": Column(MAY, nulls=True, kind=DECIMAL),
    "EffectiveCost": Column(MUST, nulls=False, kind=DECIMAL),
    "InvoiceIssuerName": Column(MUST, nulls=False, kind=TEXT),
    "ListCost": Column(MUST, nulls=False, kind=DECIMAL),
    "ListUnitPrice": Column(MAY, nulls=True, kind=DECIMAL),
    "PricingCategory": Column(
        MAY, nulls=True, kind=TEXT, allowed=("Standard", "Dynamic", "Committed", "Other")
    ),
    "PricingQuantity": Column(MUST, nulls=True, kind=DECIMAL),
    "PricingUnit": Column(MUST, nulls=True, kind=TEXT),
    "ProviderName": Column(MUST, nulls=False, kind=TEXT),
    "PublisherName": Column(MUST, nulls=False, kind=TEXT),
    "ServiceCategory": Column(MUST, nulls=False, kind=TEXT, allowed=CATEGORIES),
    "ServiceName": Column(MUST, nulls=False, kind=TEXT),
}
"""The columns that are served, of which 21 are mandatory."""


def faults_of(rows):
    """Yield every rule that a dataset breaks, in words."""
    for number, row in enumerate(rows, 1):
        for name, column in COLUMNS.items():
            fault = _fault_of(row.get(name), column)
            if fault:
                yield f"row {number}: {name} {fault}"
        for name in row.keys() - COLUMNS.keys():
            if not re.fullmatch(r"x_[A-Z][A-Za-z]*", name):
                yield f"row {number}: {name} is neither of FOCUS nor behind x_"
        yield from (f"row {number}: {words}" for words, holds in _between(row) if not holds)
    yield from _over_all(rows)


def _fault_of(value, column):
    if value is None:
        return "is missing"
    if value == "":
        return "" if column.nulls else "is null"
    if column.kind == DECIMAL and not NUMBER.fullmatch(value):
        return f"{value} is no number"
    if column.kind == TIME and not MOMENT.fullmatch(value):
        return f"{value} is no moment of UTC"
    if column.kind == TEXT and value != value.strip():
        return "has spaces around it"
    if column.allowed and value not in column.allowed:
        return f"{value} is not allowed"
    return ""


def _between(row):
    """Yield the requirements between columns of one row, and whether each holds."""
    row = dict.fromkeys(COLUMNS, "") | row
    usage, purchase = row["ChargeCategory"] == "Usage", row["ChargeCategory"] == "Purchase"
    unused = row["CommitmentDiscountStatus"] == "Unused"
    yield (
        "a purchase is not usage-based",
        not (purchase and row["ChargeFrequency"] == "Usage-Based"),
    )
    yield "usage and purchases have a pricing quantity", row["PricingQuantity"] != ""
    yield (
        "a pricing unit goes with its quantity",
        bool(row["PricingUnit"]) == bool(row["PricingQuantity"]),
    )
    yield (
        "only usage that was used is consumed",
        bool(row["ConsumedQuantity"]) == (usage and not unused),
    )
    yield (
        "a consumed unit goes with its quantity",
        bool(row["ConsumedUnit"]) == bool(row["ConsumedQuantity"]),
    )
    yield (
        "usage and purchases have unit prices",
        ""
        not in (
            row["ListUnitPrice"],
            row["ContractedUnitPrice"],
        ),
    )
    for kind in ("List", "Contracted"):
        product = _figure(row, f"{kind}UnitPrice") * _figure(row, "PricingQuantity")
        yield (
            f"{kind}UnitPrice times the quantity is {kind}Cost",
            math.isclose(product, _figure(row, f"{kind}Cost"), rel_tol=1e-6, abs_tol=1e-8),
        )
        yield f"{kind}UnitPrice is not negative", _figure(row, f"{kind}UnitPrice") >= 0.0
    yield "usage and purchases have a pricing category", row["PricingCategory"] != ""
    committed = bool(row["CommitmentDiscountId"])
    yield (
        "what a commitment pays for is Committed, its purchase is not",
        ((row["PricingCategory"] == "Committed") == (committed and not purchase)),
    )
    yield (
        "a commitment has a category and a type",
        committed == bool(row["CommitmentDiscountCategory"]) == bool(row["CommitmentDiscountType"]),
    )
    yield (
        "a commitment has its name, and nothing else has one",
        committed == bool(row["CommitmentDiscountName"]),
    )
    yield "the ledger corrects no period that was billed", row["ChargeClass"] == ""
    if usage and not committed:
        yield (
            "what no commitment pays for costs what it is billed at",
            _same(row, "BilledCost", "EffectiveCost")
            and _same(row, "BilledCost", "ContractedCost"),
        )
    if row["ConsumedUnit"] and row["ConsumedUnit"] == row["PricingUnit"]:
        yield (
            "of one unit as much is priced as is consumed",
            _same(row, "ConsumedQuantity", "PricingQuantity"),
        )
    if row["CommitmentDiscountCategory"] == "Spend":
        paid = "BilledCost" if purchase else "EffectiveCost"
        yield (
            "the quantity of a commitment to spend is what is spent of it",
            _same(row, "CommitmentDiscountQuantity", paid),
        )
    yield (
        "usage of a commitment has a status, nothing else does",
        (bool(row["CommitmentDiscountStatus"]) == (committed and usage)),
    )
    yield (
        "a commitment's quantity has a unit",
        bool(row["CommitmentDiscountQuantity"]) == bool(row["CommitmentDiscountUnit"]),
    )
    yield (
        "the purchase of what covers later charges has no effective cost",
        not (purchase and _figure(row, "EffectiveCost") != 0.0),
    )
    yield (
        "what a purchase has paid for is not billed again",
        not (committed and usage and _figure(row, "BilledCost") != 0.0),
    )
    yield (
        "a charge period ends after its beginning",
        (row["ChargePeriodStart"] < row["ChargePeriodEnd"]),
    )
    yield (
        "a charge period lies within its billing period",
        (
            row["BillingPeriodStart"] <= row["ChargePeriodStart"]
            and row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
        ),
    )


def _figure(row, name):
    """A figure of a row; what is missing equals nothing, and is named by its own rule."""
    value = row[name]
    return float(value) if NUMBER.fullmatch(value) else math.nan


def _same(row, one, other):
    return math.isclose(_figure(row, one), _figure(row, other), rel_tol=1e-6, abs_tol=1e-8)


def _over_all(rows):
    """The effective cost of what a commitment was used for, or not, is its billed purchase."""
    rows = [dict.fromkeys(COLUMNS, "") | row for row in rows]
    used = sum(_figure(r, "EffectiveCost") for r in rows if r["CommitmentDiscountStatus"])
    paid = sum(_figure(r, "BilledCost") for r in rows if r["ChargeCategory"] == "Purchase")
    if not math.isclose(used, paid, rel_tol=1e-6, abs_tol=1e-8):
        yield f"commitments: {used} used or not, {paid} purchased"
