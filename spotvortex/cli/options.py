"""What several commands have in common: options, forms of output, reading of settings.

Comes in: arguments. Goes out: settings with what was typed, or a record that was asked for. May not
run anything.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from spotvortex.cli.common import KUBECONFIG, QUIET
from spotvortex.core.domain.types import Mode
from spotvortex.errors import SettingsError, in_words
from spotvortex.report.explain import records
from spotvortex.settings.load import load as load_settings
from spotvortex.settings.model import Settings
from spotvortex.telemetry import logs


class Output(StrEnum):
    """The forms of a report."""

    TEXT = "text"
    JSON = "json"


class Form(StrEnum):
    """The forms of an answer that people and programs read."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"
    HTML = "html"


FormOption = Annotated[Form, typer.Option("--output", "-o", help="How the answer is written.")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How the answer is written.")]
ContextOption = Annotated[str, typer.Option(help="Context of the kubeconfig.")]
ModeOption = Annotated[
    Mode | None, typer.Option("--mode", help="What may be done at most; else SPOTVORTEX_MODE.")
]
DetailsOption = Annotated[bool, typer.Option("--details", help="Show every row.")]
WorkersOption = Annotated[
    int, typer.Option(min=0, help="Processes of this machine; 0 for one a processor.")
]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", help="Also write one self-contained page there.")
]
FileOption = Annotated[
    Path | None, typer.Option("--file", help="A decision log; else SPOTVORTEX_DECISION_LOG.")
]
UrlOption = Annotated[
    str,
    typer.Option("--url", help="A running daemon; else http://127.0.0.1 and the settings' port."),
]


def check_writable(path: Path | None, option: str) -> None:
    """Refuse a file that could not be written at the end, before long work begins.

    Raises:
        SettingsError: its folder is not there, or it may not be written; the text names the option.
    """
    if path is None:
        return
    if path.is_dir():
        raise SettingsError(f"{option} {path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise SettingsError(f"{option} {path}: there is no folder {path.parent}; make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SettingsError(f"{option} {path}: may not be written; name another place")


def write_file(path: Path, text: str, option: str) -> None:
    """Write a file that was asked for, in UTF-8.

    Raises:
        SettingsError: it cannot be written, for all that was looked at before; the text says why.
    """
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise SettingsError(
            f"{option} {path}: cannot be written ({in_words(error)}); name another place"
        ) from error


def load(context: str, mode: Mode | None = None) -> Settings:
    """Read the settings; a context, a kubeconfig and a mode that were typed count before theirs."""
    loaded = load_settings()
    typed = {"kube_context": context, "kubeconfig": KUBECONFIG.get(), "mode": mode and mode.value}
    return loaded.model_copy(update={name: value for name, value in typed.items() if value})


def load_quietly(context: str) -> Settings:
    """Read the settings for a command whose answer is what counts, not its log.

    What the log warns of, the answer says in its own words; a level that was chosen counts.
    """
    loaded = load(context)
    level = "ERROR" if loaded.log_level == "INFO" else loaded.log_level
    logs.set_up("ERROR" if QUIET.get() else level, loaded.log_format)
    return loaded


def record(wanted: str, file: Path | None, url: str) -> str:
    """Look a record up where the user says, else in the log, else at the daemon of the settings."""
    if file is not None and url:
        raise SettingsError("--file and --url: give one of them")
    if file is not None:
        return records.from_file(file, wanted)
    loaded = load_settings()
    if loaded.decision_log is not None and not url:
        return records.from_file(loaded.decision_log, wanted)
    address = url or f"http://127.0.0.1:{loaded.http_port}"
    return records.from_daemon(address, wanted, loaded.http_token.get_secret_value())
