"""What is said of a setting, and what is read from its text, for `settings` and its page.

Comes in: the field of a setting, or the text of one. Goes out: words for a person, or a value. May
not read the environment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, get_args

from pydantic.fields import FieldInfo

from spotvortex.core.domain.labels import MAX_SPOT_RATIO, MODE, ON_DEMAND_FLOOR, PREFIX
from spotvortex.core.pool.owner_rules import PoolRules, read_rules

LONGEST_VALUE: Final = 60
"""Characters that are shown of a value."""

RULE_NAMES: Final = {n.removeprefix(PREFIX) for n in (MODE, MAX_SPOT_RATIO, ON_DEMAND_FLOOR)}


def unit_of(field: FieldInfo) -> str:
    """Return what the number of a setting counts, "" of one that is no number."""
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def values_of(field: FieldInfo) -> str:
    """Say in words what a setting takes."""
    low, high = (
        next((getattr(r, bound) for r in field.metadata if hasattr(r, bound)), None)
        for bound in ("ge", "le")
    )
    if low is not None and high is not None:
        whole = "a whole number" if field.annotation is int else "a number"
        return f"{whole} from {low:.10g} to {high:.10g}"
    if field.annotation is bool:
        return "true or false"
    choices = [c for c in get_args(field.annotation) if isinstance(c, str) and c]
    if choices:
        return " or ".join(choices)
    return "a path" if "Path" in str(field.annotation) else "text"


def refusal(variable: str, field: FieldInfo, value: object, why: str) -> str:
    """Say which variable is refused, with what value, why, and what to give instead."""
    unit = f" ({unit_of(field)})" if unit_of(field) else ""
    default = "" if field.default in (None, "") else f", or unset it for {field.default}"
    shown = repr(value)[:LONGEST_VALUE]
    return f"{variable}={shown}: {why}; give {values_of(field)}{unit}{default}"


def pool_rules(text: str) -> dict[str, PoolRules]:
    """Read rules by pool: a JSON object of pools, each an object of rule names and texts.

    Raises:
        ValueError: it is something else, or a rule that is not known; the text says what to give.
    """
    try:
        document = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from error
    pools = document if isinstance(document, dict) else None
    if pools is None:
        raise ValueError("give a JSON object with the names of pools")
    return {pool: _rules_of(pool, said) for pool, said in pools.items()}


def _rules_of(pool: str, said: object) -> PoolRules:
    shown = pool[:LONGEST_VALUE]
    known = ", ".join(sorted(RULE_NAMES))
    if not isinstance(said, Mapping) or not all(isinstance(text, str) for text in said.values()):
        raise ValueError(f"pool {shown}: give an object of texts by the names {known}")
    unknown = sorted(set(said) - RULE_NAMES)
    if unknown:
        raise ValueError(
            f"pool {shown} has no rule {', '.join(unknown)[:LONGEST_VALUE]}: give {known}"
        )
    rules = read_rules((f"{PREFIX}{name}", text) for name, text in said.items())
    if rules.problem:
        raise ValueError(f"pool {shown}: {rules.problem}")
    return rules
