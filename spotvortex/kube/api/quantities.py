"""Kubernetes quantities as whole numbers.

Comes in: `100m`, `1.5Gi`, `2e3` or a plain number, as the API server writes them. Goes out:
milli-CPU, bytes or a count, rounded up as Kubernetes does. A text that is no quantity is a
ValueError.
Grammar: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Final

Quantity = str | int | float

_GRAMMAR = re.compile(
    r"([+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40}))(?:[eE]([+-]?\d{1,3})|([KMGTPE]i|[numkMGTPE]))?"
)
_SCALE: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
_LARGEST: Final = 2**63 - 1
"""The API server's own bound; larger quantities are cut to it."""


# Clusters use a few hundred different requests, and allocatable differs by instance type.
@lru_cache(maxsize=8192)
def cpu_milli(quantity: Quantity) -> int:
    """Return a CPU quantity in thousandths of a core, rounded up."""
    return _whole(_parse(quantity) * 1000)


def cpu_or_none(quantity: Quantity | None) -> int | None:
    """Return a CPU quantity as `cpu_milli` does, None for None."""
    return None if quantity is None else cpu_milli(quantity)


@lru_cache(maxsize=8192)
def memory_bytes(quantity: Quantity) -> int:
    """Return a memory quantity in bytes, rounded up."""
    return _whole(_parse(quantity))


def count(quantity: Quantity) -> int:
    """Return a plain number, rounded up."""
    return _whole(_parse(quantity))


def _parse(quantity: Quantity) -> Decimal:
    match = _GRAMMAR.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"not a quantity: {str(quantity)[:40]!r}")
    number, exponent, suffix = match.groups()
    if exponent:
        return Decimal(number).scaleb(int(exponent))
    return Decimal(number) * _SCALE.get(suffix, 1)


def _whole(value: Decimal) -> int:
    # Bounded before it becomes an integer: 1e999 would be one of a thousand digits.
    bounded = max(Decimal(-_LARGEST), min(value, Decimal(_LARGEST)))
    return int(bounded.to_integral_value(rounding=ROUND_CEILING))
