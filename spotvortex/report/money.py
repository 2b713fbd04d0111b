"""Amounts as every report writes them.

Comes in: an amount. Goes out: its text. May not compute what it is.
"""

from __future__ import annotations


def whole_usd(value: float) -> str:
    """Write an amount in dollars without cents."""
    return f"{'-' if value < 0 else ''}${abs(value):,.0f}"


def usd(value: float) -> str:
    """Write an amount in dollars, the sign before it."""
    return f"{'-' if value < 0 else ''}${abs(value):,.2f}"
