"""Results of runs on disk: JSON Lines that can be taken up again where they ended.

Comes in: a path, what the results are made under, and results by key as they come. Goes out: the
file, whose first line says what it was made under, and the results read back in order of their
keys. A last line that was cut off is dropped; a file made under something else is refused, so that
results of two protocols or two versions never mix. May not know what a result means.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final, TypeVar

from spotvortex.core.record.codec import CodecError, Json, decode, encode
from spotvortex.errors import ResultsError

Result = TypeVar("Result")

TAIL_BYTES: Final = 65_536
"""How much is read at once in the search for the end of the last whole line."""


@dataclass(slots=True, kw_only=True)
class ResultsFile:
    """A file of results that is open for more, unbuffered.

    Attributes:
        path: where the file lies.
        file: the open file.
        keys: keys of the results that are in it.
    """

    path: Path
    file: FileIO
    keys: set[str]

    def append(self, key: str, result: object) -> None:
        """Write one result, a dataclass of the core, and hand it to the system at once.

        Raises:
            ResultsError: it cannot be written.
        """
        self._write({"key": key, "result": encode(result)})
        self.keys.add(key)

    def state(self, made_under: str) -> None:
        """Write the first line.

        Raises:
            ResultsError: it cannot be written.
        """
        self._write({"made_under": made_under})

    def _write(self, document: Json) -> None:
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
        left = memoryview(f"{text}\n".encode())
        try:
            while left:  # a full disk takes a part, and then nothing with an error
                left = left[self.file.write(left) :]
        except OSError as error:
            raise ResultsError(f"{self.path} cannot be written: {error.strerror}") from error


@contextmanager
def open_results(path: Path, made_under: str, tell: Callable[[str], None]) -> Iterator[ResultsFile]:
    """Open a file of results for more, or begin it.

    Args:
        path: the file.
        made_under: what has to be the same for results to belong together, as the digest of the
            protocol and the version of the code.
        tell: is told what was dropped.

    Raises:
        ResultsError: it cannot be opened, is no such file, or was made under something else.
    """
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if dropped := _drop_torn_line(path):
                tell(f"{path}: its last line was cut off; {dropped} bytes are dropped")
            keys = _known_keys(path, made_under)
            file = stack.enter_context(FileIO(path, "a"))
        except OSError as error:
            raise ResultsError(f"{path} cannot be opened: {error.strerror}") from error
        results = ResultsFile(path=path, file=file, keys=keys or set())
        if keys is None:
            results.state(made_under)
        yield results


def _drop_torn_line(path: Path) -> int:
    """Cut off what follows the last end of a line; return its bytes."""
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        size = end = file.seek(0, 2)
        while end > 0:
            start = max(0, end - TAIL_BYTES)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
    return size - end


def _known_keys(path: Path, made_under: str) -> set[str] | None:
    """Return the keys that are there, None where the file has yet to be begun."""
    if not path.exists() or not path.stat().st_size:
        return None
    lines = _documents(path)
    first = _made_under(path, next(lines))
    if first != made_under:
        raise ResultsError(
            f"{path} was made under {first}, this is {made_under}; give another file, or remove it"
        )
    return {key for key, _ in _entries(path, lines)}


def _documents(path: Path) -> Iterator[tuple[int, object]]:
    """Yield every line with its number."""
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, 1):
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ResultsError(f"{path}:{number}: not JSON; remove the line") from error


def _made_under(path: Path, first: tuple[int, object]) -> str:
    match first:
        case (_, {"made_under": str(made_under)}):
            return made_under
    raise ResultsError(f"{path} is no file of results: its first line does not say made_under")


def _entries(path: Path, lines: Iterator[tuple[int, object]]) -> Iterator[tuple[str, Json]]:
    for number, document in lines:
        match document:
            case {"key": str(key), "result": result}:
                yield key, result
            case _:
                raise ResultsError(f"{path}:{number}: no key and result; remove the line")


def read_results(path: Path, kind: type[Result]) -> tuple[str, tuple[Result, ...]]:
    """Read all results, in order of their keys; a last line that was cut off counts as wrong.

    Returns:
        What they were made under, and the results.

    Raises:
        ResultsError: the file cannot be read, or a line is no such result; the text names it.
    """
    try:
        lines = _documents(path)
        first = next(lines, (0, None))
        made_under = _made_under(path, first)
        found = dict(_entries(path, lines))
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}") from error
    return made_under, tuple(_decoded(path, kind, key, found[key]) for key in sorted(found))


def _decoded(path: Path, kind: type[Result], key: str, data: Json) -> Result:
    try:
        return decode(kind, data)
    except CodecError as error:
        raise ResultsError(f"{path}: the result {key}: {error}") from error
