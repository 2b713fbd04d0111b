"""A log of decisions under other settings."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from spotvortex.cli.options import DetailsOption
from spotvortex.errors import SettingsError
from spotvortex.report.explain import what_if
from spotvortex.settings.load import changed_limits
from spotvortex.settings.load import load as load_settings
from spotvortex.telemetry import logs


class WhatIfForm(StrEnum):
    """The forms of the answer."""

    TABLE = "table"
    JSON = "json"


def command(
    *,
    setting: Annotated[
        list[str],
        typer.Option("--set", metavar="NAME=VALUE", help="A setting to change; several times."),
    ],
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", help="Decision logs, the oldest first; else SPOTVORTEX_DECISION_LOG."
        ),
    ] = None,
    details: DetailsOption = False,
    output: Annotated[
        WhatIfForm, typer.Option("--output", "-o", help="How the answer is written.")
    ] = WhatIfForm.TABLE,
) -> None:
    """Decide a log again under other settings: what would have differed, by record and in money.

    The world stays as it was recorded: what would have followed is not played on. For that, see
    history export and backtest.
    """
    logs.set_up("ERROR")
    asked = dict(_pair(text) for text in setting)
    changes = changed_limits(asked)
    report = what_if.what_if(file or _own_log(), asked, changes)
    if output is WhatIfForm.JSON:
        typer.echo(what_if.render(report))
        return
    for line in what_if.lines(report, details=details):
        typer.echo(line)


def _pair(text: str) -> tuple[str, str]:
    name, is_one, value = text.partition("=")
    if not is_one or not name.strip():
        raise SettingsError(f"--set {text}: give NAME=VALUE, as in MIN_DISCOUNT_RATIO=0.3")
    return name.strip(), value.strip()


def _own_log() -> list[Path]:
    path = load_settings().decision_log
    if path is None:
        raise SettingsError("--file: name a decision log, or set SPOTVORTEX_DECISION_LOG")
    return [path]
