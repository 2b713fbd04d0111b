"""What survives a restart, as text.

Comes in: the controller's state. Goes out: JSON with a version, and the very same state read back.
A text of another version is not guessed at: who cannot read what was remembered only protects, for
a day. May not know where the text is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from spotvortex.core.decision.messages import ControllerState, PoolState
from spotvortex.core.record.codec import CodecError, Rows, decode, encode
from spotvortex.core.record.schema import SCHEMA

VERSION: Final = 2
_OF_VERSION_1: Final[Rows] = {**SCHEMA.rows, PoolState: SCHEMA.rows[PoolState][:-2]}
"""Without what is remembered of moves from Spot to Spot."""

_ROWS: Final[Mapping[int, Rows]] = {VERSION: SCHEMA.rows, 1: _OF_VERSION_1}
"""The columns of each version that is read. A field more of `PoolState` is a version more, beside
which the one before is still read; a schema of records has a version of its own."""

MAX_POOLS: Final = 2_000
"""Pools written down; a cluster with more of them saves those with the newest waves."""


class StateFormatError(ValueError):
    """A stored state cannot be read; the text says where."""


def to_text(state: ControllerState) -> str:
    """Write the state as JSON, one pool a row, sorted by name."""
    newest = sorted(state.pools, key=lambda name: (-(state.pools[name].last_wave_at or 0.0), name))
    rows = _ROWS[VERSION]
    document = {
        "v": VERSION,
        "unsure_until": state.unsure_until,
        "pools": {name: encode(state.pools[name], rows) for name in sorted(newest[:MAX_POOLS])},
    }
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def from_text(text: str) -> ControllerState:
    """Read a state back.

    Raises:
        StateFormatError: another version, or not a state at all.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StateFormatError(f"no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("v") not in _ROWS:
        raise StateFormatError(f"not a state of version {VERSION}")
    pools, unsure = document.get("pools"), document.get("unsure_until")
    if (
        not isinstance(pools, dict)
        or isinstance(unsure, bool)
        or not isinstance(unsure, int | float)
    ):
        raise StateFormatError("pools and unsure_until are expected")
    try:
        read = {name: decode(PoolState, row, _ROWS[document["v"]]) for name, row in pools.items()}
    except CodecError as error:
        raise StateFormatError(str(error)) from error
    return ControllerState(pools=read, unsure_until=float(unsure))
