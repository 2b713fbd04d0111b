"""A cluster's own history, written down as training data."""

from __future__ import annotations

import secrets
from enum import StrEnum
from pathlib import Path
from typing import Annotated, assert_never

import typer

from spotvortex.cli.progress import bar
from spotvortex.core.record.codec import CodecError
from spotvortex.core.record.history import OwnHistory
from spotvortex.core.scoring.interruption_memory import Memory
from spotvortex.core.scoring.memory_text import from_text
from spotvortex.errors import RecordError, SettingsError, in_words
from spotvortex.report.explain.records import record_lines
from spotvortex.results import own_history
from spotvortex.results.cluster_snapshot import REDACTION_KEY_BYTES
from spotvortex.settings.load import load as load_settings
from spotvortex.telemetry import logs

EVERY: int = 200
"""Records between two steps of the bar."""


class HistoryTask(StrEnum):
    """What is done."""

    EXPORT = "export"


def command(
    task: Annotated[HistoryTask, typer.Argument(help="export: write it down, without names.")],
    *,
    out: Annotated[Path, typer.Option(help="A folder; it is made, and has to be empty.")],
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", help="Decision logs, the oldest first; else SPOTVORTEX_DECISION_LOG."
        ),
    ] = None,
    memory: Annotated[
        Path | None,
        typer.Option(help="The interruption memory's text: its counts are written down too."),
    ] = None,
) -> None:
    """Write losses, launches, prices and decisions of the decision log as training data.

    Pools get words in place of their names, by a key that is drawn for this export and kept
    nowhere; nodes, workloads and namespaces are left out. scripts/train and backtest --history
    take the folder (docs/history.md).
    """
    logs.set_up("ERROR")
    match task:
        case HistoryTask.EXPORT:
            history = _gathered(file or _own_log())
        case _ as never:
            assert_never(never)
    files = own_history.files_of(history, secrets.token_bytes(REDACTION_KEY_BYTES))
    if memory is not None:
        files[own_history.MEMORY] = own_history.memory_text_of(_remembered(memory))
    _write(out, files)
    typer.echo(
        f"{out}: {len(history.decisions)} decisions, {len(history.offerings)} offerings, "
        f"{sum(len(known.losses) for known in history.offerings.values())} losses"
    )


def _own_log() -> list[Path]:
    path = load_settings().decision_log
    if path is None:
        raise SettingsError("--file: name a decision log, or set SPOTVORTEX_DECISION_LOG")
    return [path]


def _remembered(path: Path) -> Memory:
    """Read a memory's text.

    Raises:
        SettingsError: it is none.
    """
    try:
        return from_text(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"--memory {path}: {error}") from error


def _gathered(paths: list[Path]) -> OwnHistory:
    """Read every record of the logs, oldest first.

    Raises:
        RecordError: a file cannot be read, a record cannot, or there is none.
    """
    history = OwnHistory()
    with bar("records", transient=True) as advance:
        for place, line in record_lines(paths):
            try:
                history.take(line)
            except CodecError as error:
                raise RecordError(f"{place}: {error}") from error
            if len(history.decisions) % EVERY == 0:
                advance(len(history.decisions), 0, "")
    if not history.decisions:
        raise RecordError(f"{paths[0]} holds no record, so there is no history; name another log")
    return history


def _write(out: Path, files: dict[str, str]) -> None:
    """Write every file into a folder that is empty.

    Raises:
        SettingsError: it cannot be made or written, or holds something.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise SettingsError(f"--out {out}: is not empty; name a new folder")
        for name, text in files.items():
            (out / name).write_text(text, "utf-8")
    except OSError as error:
        raise SettingsError(f"--out {out}: {in_words(error)}; name another") from error
