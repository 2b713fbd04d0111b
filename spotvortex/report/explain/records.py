"""Where decision records are looked up: a log of them, or the running daemon.

Comes in: the id of a decision, or the name of a pool. Goes out: one record's line, the newest that
fits. May not change or read anything into it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from spotvortex.errors import RecordError
from spotvortex.report.running_daemon import ask, base_of


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a decision log without their ends.

    Raises:
        RecordError: the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            for line in file:
                yield line.removesuffix("\n")
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from error


RECORD_BEGINS: Final = '{"v":'
"""How the line of a record begins; one of the daemon's log, or a checkpoint, does not."""


def record_lines(paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield the records of some logs with their place; what is no record is passed over.

    So that what `kubectl logs` gives is a log too, where records stand among lines of another kind.

    Raises:
        RecordError: a file cannot be read.
    """
    for path in paths:
        for number, line in enumerate(lines_of(path), 1):
            if line.startswith(RECORD_BEGINS):
                yield f"{path}:{number}", line


def from_file(path: Path, wanted: str) -> str:
    """Return the newest record of this id or pool; a line that is no record is passed over.

    Raises:
        RecordError: the file cannot be read, or holds no such record.
    """
    text = json.dumps(wanted)
    marks = (f'"id":{text}', f'"pool":{text}')
    found = ""
    for line in lines_of(path):
        if any(mark in line for mark in marks) and _is_of(line, wanted):
            found = line
    if not found:
        pools = sorted({pool for line in lines_of(path) if (pool := _pool_of(line))})
        raise RecordError(f"{path} has no record of a decision or pool {wanted}{_among(pools)}")
    return found


MAX_NAMED: Final = 12
"""Pools that are named to whoever asks for one that is not there."""


def _among(pools: Sequence[str]) -> str:
    if not pools:
        return "; no line of it is a record"
    more = ", ..." if len(pools) > MAX_NAMED else ""
    return f"; its pools are {', '.join(pools[:MAX_NAMED])}{more}"


def _pool_of(line: str) -> str:
    document = _document(line)
    pool = document.get("pool")
    return pool if isinstance(pool, str) else ""


def _document(line: str) -> Mapping[str, object]:
    """Return what a line holds, nothing where it is no object."""
    try:
        document = json.loads(line)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _is_of(line: str, wanted: str) -> bool:
    document = _document(line)
    return wanted in (document.get("id"), document.get("pool"))


def from_daemon(url: str, wanted: str, token: str = "") -> str:
    """Return the newest record of this id or pool that a running daemon keeps in memory.

    Args:
        url: where it answers.
        wanted: the id, or the pool.
        token: what it may want to see, "" where it wants none.

    Raises:
        RecordError: it cannot be reached, or keeps no such record.
    """
    base = base_of(url)
    way_out = "give --file, or --url of a running daemon"
    line = ask(f"{base}/decisions/{quote(wanted, safe='')}", token, way_out)
    if line is None:
        newest = ask(f"{base}/decisions?limit=1&pool={quote(wanted, safe='')}", token)
        if newest is None:
            raise _no_daemon(url)
        line = ask(f"{base}/decisions/{_only_id(newest, url)}", token)
    if line is None:
        raise RecordError(
            f"{url} keeps no record of a decision or pool {wanted}{_shown_at(base, token)}"
        )
    return line


def _shown_at(base: str, token: str) -> str:
    """Name the pools of a daemon, or nothing where it does not say them."""
    try:
        pools = json.loads(ask(f"{base}/pools", token) or "{}").get("pools", [])
        names = sorted(str(pool["pool"]) for pool in pools)
    except (RecordError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    return _among(names) if names else ""


def _only_id(text: str, url: str) -> str:
    """Return the id of the one decision in an answer, "" where there is none."""
    try:
        decisions = json.loads(text)["decisions"]
        return quote(decisions[0]["id"], safe="") if decisions else ""
    except (ValueError, LookupError, TypeError) as error:
        raise _no_daemon(url) from error


def _no_daemon(url: str) -> RecordError:
    parts = urlsplit(url)
    way_out = (
        f"give the address alone: --url {parts.scheme}://{parts.netloc}"
        if parts.path.strip("/")
        else "give --url of a running daemon"
    )
    return RecordError(f"{url} does not answer like a SpotVortex daemon; {way_out}")
