"""The interruption memory as text: what a file, a ConfigMap or a person keeps of it.

Comes in: a memory. Goes out: a line of columns an offering, below a header with the version, and
what is kept of predictions; and the same memory read back, of the versions before too. May not
judge a loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from spotvortex.core.domain.types import Offering
from spotvortex.core.scoring.calibration import text
from spotvortex.core.scoring.hazard import base_of
from spotvortex.core.scoring.interruption_memory import Memory, OfferingMemory, memory_of

HEADER: Final = "# spotvortex interruption memory, version 4:"
_HEADER_3: Final = "# spotvortex interruption memory, version 3:"
_HEADER_2: Final = "# spotvortex interruption memory, version 2:"
_HEADER_1: Final = "# spotvortex interruption memory, version 1:"
_COLUMNS_1: Final = ("losses", "exposure_hours", "last_loss_at", "updated_at")
_COLUMNS_2: Final = (
    "losses",
    "exposure_hours",
    "loss_shares",
    "shaped_hours",
    "last_loss_at",
    "left_survivors",
    "updated_at",
)
_COLUMNS: Final = (*_COLUMNS_2, "launches", "refusals", "last_refused_at")
_LAYOUTS: Final = {
    HEADER: _COLUMNS,
    _HEADER_3: _COLUMNS,
    _HEADER_2: _COLUMNS_2,
    _HEADER_1: _COLUMNS_1,
}

_MAY_BE_UNKNOWN: Final = frozenset({"last_loss_at", "last_refused_at"})


class MemoryFormatError(ValueError):
    """A stored memory cannot be read; the text names the line."""


def to_text(memory: Memory) -> str:
    """Write the memory as plain text, one offering a line, then what was judged of predictions.

    Left out is what the cluster itself tells after a restart: the nodes, and since when they run.
    """
    rows = [
        " ".join([o.instance_type, o.zone, *(_cell(getattr(known, name)) for name in _COLUMNS)])
        for o, known in sorted(memory.offerings.items())
    ]
    judged = text.to_lines(memory.calibration)
    return "\n".join([f"{HEADER} type zone {' '.join(_COLUMNS)}", *rows, *judged, ""])


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(int(value)) if isinstance(value, bool) else repr(value)


def from_text(stored: str) -> Memory:
    """Read a stored memory back. What it counted goes on; nothing is learned of the time between.

    Version 3 knew of no predictions. Version 2 knew of no launches that failed. Version 1 counted
    no shapes either: its rate is taken for that of whole lives, and its node-hours for hours held
    of one node at a time.

    Raises:
        MemoryFormatError: another version, or a line that cannot be read.
    """
    head, *lines = stored.splitlines() or [""]
    columns = next((c for name, c in _LAYOUTS.items() if head.startswith(name)), None)
    if columns is None:
        raise MemoryFormatError(f"line 1: expected {HEADER!r}")
    judged = [line for line in lines if line.startswith(f"{text.MARK} ")]
    rows = [
        _row(number, line, columns)
        for number, line in enumerate(lines, 2)
        if line.strip() and not line.startswith(f"{text.MARK} ")
    ]
    try:
        calibration = text.from_lines(judged)
    except ValueError as error:
        raise MemoryFormatError(f"calibration: {error}") from error
    return replace(memory_of(dict(rows), {}), calibration=calibration)


def _row(number: int, line: str, columns: Sequence[str]) -> tuple[Offering, OfferingMemory]:
    cells = line.split(" ")
    if len(cells) != 2 + len(columns):
        raise MemoryFormatError(f"line {number}: {2 + len(columns)} cells expected")
    try:
        values = {
            name: None if cell == "-" and name in _MAY_BE_UNKNOWN else float(cell)
            for name, cell in zip(columns, cells[2:], strict=True)
        }
    except ValueError as error:
        raise MemoryFormatError(f"line {number}: {error}") from error
    if any(v is not None and not 0.0 <= v < math.inf for v in values.values()):
        raise MemoryFormatError(f"line {number}: figures must be finite and not negative")
    return Offering(instance_type=cells[0], zone=cells[1]), _known(values)


def _known(values: Mapping[str, float | None]) -> OfferingMemory:
    found = OfferingMemory(
        losses=values["losses"] or 0.0,
        exposure_hours=values["exposure_hours"] or 0.0,
        loss_shares=values.get("loss_shares") or 0.0,
        shaped_hours=values.get("shaped_hours") or 0.0,
        last_loss_at=values["last_loss_at"],
        left_survivors=bool(values.get("left_survivors")),
        updated_at=values["updated_at"] or 0.0,
        launches=values.get("launches") or 0.0,
        refusals=values.get("refusals") or 0.0,
        last_refused_at=values.get("last_refused_at"),
    )
    return found if "shaped_hours" in values else _shaped(found)


def _shaped(old: OfferingMemory) -> OfferingMemory:
    """Give an entry of version 1 the counts for which its level has its rate over whole lives."""
    rate = old.hazard_per_hour
    hours = old.exposure_hours * rate / base_of(rate)
    return replace(old, loss_shares=old.losses, shaped_hours=hours)
