"""The interruption bands of Spot Advisor as values.

Comes in: the JSON file that AWS publishes for its Spot Instance Advisor, as it is. Goes out: the
bands for Linux by region and type, with the date of the file: its member `date`, or the date in its
name, since the published form has none. May not guess a date: how old a mounted file is says
nothing of when its figures were made.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import msgspec

from spotvortex.core.domain.cloud.signals import BANDS, AdvisorBands
from spotvortex.errors import AdvisorFileError

MAX_BYTES: Final = 32 * 1024 * 1024
_DATE: Final = re.compile(r"(20\d\d)-?([01]\d)-?([0-3]\d)")
_SEE: Final = "see docs/market-signals.md"


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """Of one type: `r` is the index of its band; what it saves is read elsewhere."""

    r: int


class _Systems(msgspec.Struct, frozen=True, rename="pascal"):
    linux: dict[str, _Entry] = {}


class _Document(msgspec.Struct, frozen=True):
    spot_advisor: dict[str, _Systems]
    date: date | None = None


def read_advisor(path: Path) -> AdvisorBands:
    """Read a file.

    Raises:
        AdvisorFileError: it cannot be read, or is not of the published form.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise AdvisorFileError(f"{path} has {size} bytes, more than {MAX_BYTES}; {_SEE}")
        found = msgspec.json.decode(path.read_bytes(), type=_Document)
    except OSError as error:
        raise AdvisorFileError(f"{path}: {error.strerror}; {_SEE}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AdvisorFileError(f"{path} is no file of Spot Advisor: {error}; {_SEE}") from error
    by_region = {
        region: {name: e.r for name, e in systems.linux.items() if 0 <= e.r < len(BANDS)}
        for region, systems in found.spot_advisor.items()
    }
    if not any(by_region.values()):
        raise AdvisorFileError(f"{path} lists no type of Linux in any region; {_SEE}")
    return AdvisorBands(at=_dated(found.date, path.name), by_region=by_region)


def _dated(stated: date | None, name: str) -> float | None:
    """Return the wall time of a file's date, None where it states none."""
    match = _DATE.search(name)
    if stated is None and match is not None:
        try:
            stated = date(*(int(part) for part in match.groups()))
        except ValueError:
            return None
    if stated is None:
        return None
    return datetime(stated.year, stated.month, stated.day, tzinfo=UTC).timestamp()
