"""What was spent and saved, by pool or by time."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from spotvortex.app.kept_ledger import from_cluster
from spotvortex.cli.options import ContextOption, load_quietly
from spotvortex.core.ledger.ledger import Ledger
from spotvortex.core.ledger.ledger_text import LedgerFormatError, from_text
from spotvortex.errors import RecordError, SettingsError
from spotvortex.report.document import Json
from spotvortex.report.ledger import alone, focus, screen
from spotvortex.report.ledger.account import By, account_of
from spotvortex.report.running_daemon import ask, base_of
from spotvortex.settings.load import load as load_settings


class LedgerForm(StrEnum):
    """The forms of the ledger."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    FOCUS = "focus"


def command(
    *,
    output: Annotated[
        LedgerForm,
        typer.Option("-o", "--output", help="How it is written; focus is FOCUS 1.2, as CSV."),
    ] = LedgerForm.TABLE,
    by: Annotated[By, typer.Option(help="By what it is added up.")] = By.POOL,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="URL|FILE|configmap",
            help="Where the ledger is: a daemon (the settings' own), a file, or the ConfigMap.",
        ),
    ] = "",
    context: ContextOption = "",
    account: Annotated[
        str, typer.Option(help="FOCUS: the id of the account that is billed.")
    ] = "unknown",
    history: Annotated[
        Path | None,
        typer.Option(help="A folder of history export: estimate Karpenter alone by a backtest."),
    ] = None,
) -> None:
    """Say what was spent and saved: of a running daemon, of its ConfigMap, or of a file.

    Money is beside all on-demand, and a range where commitments are not stated. FOCUS rows are what
    nodes cost, one an hour, day or month, pool and way of buying, as they are kept.
    """
    if not account.strip():
        raise SettingsError("--account: give the id of the account that is billed")
    found = _read(source, context)
    if output is LedgerForm.FOCUS:
        typer.echo(focus.as_focus(found, account), nl=False)
        return
    summed = account_of(found, by)
    beside = None if history is None else _alone(history, found)
    if output is LedgerForm.JSON:
        more: dict[str, Json] = {} if beside is None else {"beside_alone": alone.as_json(beside)}
        typer.echo(screen.render(summed, more))
    elif output is LedgerForm.CSV:
        typer.echo(screen.as_csv(summed), nl=False)
    else:
        for line in (*screen.lines_of(summed), *(alone.lines_of(beside) if beside else ())):
            typer.echo(line)


def _alone(history: Path, found: Ledger) -> alone.BesideAlone:
    """Replay a history with SpotVortex and without, and lay both over the ledger."""
    # What replays is half a second of imports, which a look at the ledger does without.
    from spotvortex.cli.replayed_history import replayed  # noqa: PLC0415

    ours, without = replayed(history)
    beside = alone.beside_alone(found, ours, without)
    if beside is None:
        raise RecordError(
            f"--history {history}: the ledger has no hour of what is replayed, {_span(ours)}"
        )
    return beside


def _span(replay: alone.HistoryReplay) -> str:
    return f"{screen.moment(replay.start_at)} to {screen.moment(replay.ends_at)} UTC"


CONFIG_MAP: Final = "configmap"


def _read(source: str, context: str) -> Ledger:
    text, place = _text_of(source, context)
    try:
        return from_text(text)
    except LedgerFormatError as error:
        raise RecordError(f"{place} holds no ledger that this version can read: {error}") from error


def _text_of(source: str, context: str) -> tuple[str, str]:
    """Return a ledger's text, and where it comes from."""
    if source.lower() == CONFIG_MAP:
        return asyncio.run(from_cluster(load_quietly(context)))
    if source and "://" not in source:
        return _from_file(Path(source)), source
    loaded = load_settings()
    address = base_of(source or f"http://127.0.0.1:{loaded.http_port}")
    way_out = f"give --from: another daemon, a file, or {CONFIG_MAP}"
    answer = ask(f"{address}/ledger", loaded.http_token.get_secret_value(), way_out)
    if answer is None:
        raise RecordError(f"{address} serves no ledger: its daemon is of an older version")
    return answer, f"{address}/ledger"


def _from_file(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from error
