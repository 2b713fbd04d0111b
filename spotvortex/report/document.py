"""The assessment as one JSON document.

Comes in: a `Report`. Goes out: JSON with every figure of the screen and of its details. Infinite
and unknown numbers are null.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TypeAlias

from spotvortex.report.assess.assessment import Report, gates_in_words

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def render(report: Report) -> str:
    """Render a report as indented JSON."""
    document = plain(report)
    assert isinstance(document, dict)
    document["saving_usd_per_hour"] = [0.0, report.saving_usd_per_hour]
    for entry, decision in zip(document["decisions"], report.decisions, strict=True):  # type: ignore[arg-type]
        assert isinstance(entry, dict)
        entry["pool"] = decision.pool
        entry["current_ratio"] = plain(decision.current_ratio)
        entry["n_nodes"] = decision.n_nodes
        entry["in_words"] = gates_in_words(decision)
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False)


def plain(value: object) -> Json:
    """Turn core values into what JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value)]
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(f"no JSON form for {type(value).__name__}")
