"""Prices and capacity, replayed over a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from spotvortex.cli.console import console
from spotvortex.cli.options import HtmlOption, Output, OutputOption, check_writable, write_file
from spotvortex.cli.progress import bar
from spotvortex.errors import SettingsError
from spotvortex.evaluation import composition, protocol, worlds
from spotvortex.report.evaluation import backtest as report
from spotvortex.results import own_history
from spotvortex.settings.load import load as load_settings
from spotvortex.sim.market.semimarkov import FAMILIES
from spotvortex.telemetry import logs


def command(  # noqa: PLR0913 -- options of a command line
    *,
    prices: Annotated[
        Path | None, typer.Option(help="A price file; see docs/price-file.md.")
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(help="A folder of history export: prices, capacity and cluster in one."),
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="A snapshot of a cluster; else a pool of 20 nodes.")
    ] = None,
    capacity: Annotated[
        Path | None, typer.Option(help="A capacity trace; else capacity is drawn.")
    ] = None,
    family: Annotated[
        str, typer.Option(help="Of what kind drawn capacity is: " + ", ".join(FAMILIES))
    ] = "normal",
    policy: Annotated[
        list[str] | None,
        typer.Option(help="May be given several times; B0, all on-demand, is always run."),
    ] = None,
    days: Annotated[int, typer.Option(min=0, help="0 for all that the prices cover.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn.")] = 0,
    tick: Annotated[float, typer.Option(min=10.0, help="Seconds between two decisions.")] = 600.0,
    decisions: Annotated[
        Path | None,
        typer.Option(help="Write the decision records there, for explain, why-not and replay."),
    ] = None,
    html: HtmlOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Replay prices and capacity over a cluster, under several policies side by side."""
    logs.set_up("ERROR")
    check_writable(html, "--html")
    check_writable(decisions, "--decisions")
    files = _files(history, prices, capacity, cluster)
    spec = composition.BacktestSpec(
        prices=files[0],
        counts=files[1],
        snapshot=files[2],
        family=_one_of(family, FAMILIES, "--family"),
        seed=seed,
        n_days=days,
        tick_s=tick,
        model_dir=load_settings().model_dir,
        records=decisions,
    )
    of = protocol.load()
    known = composition.of_one_world(of)
    chosen = [_one_of(n, known, "--policy") for n in policy or composition.side_by_side(of)]
    n_total = len(dict.fromkeys((worlds.B0, *chosen)))
    with bar("policies", transient=True) as advance:
        done = iter(range(n_total + 1))
        accounts = composition.backtest(spec, chosen, lambda _: advance(next(done), n_total, ""))
    found = report.Backtest(accounts=accounts, costs=of.costs)
    if output is Output.JSON:
        typer.echo(report.render(found))
    else:
        report.show(found, console())
    if html is not None:
        write_file(html, report.render_html(found), "--html")


def _files(
    history: Path | None, prices: Path | None, capacity: Path | None, cluster: Path | None
) -> tuple[Path, Path | None, Path | None]:
    """Return prices, capacity and cluster: what was typed counts before a history's own."""
    if history is not None:
        if not (history / own_history.MANIFEST).is_file():
            raise SettingsError(f"--history {history}: is no folder of spotvortex history export")
        prices = prices or history / own_history.PRICES
        capacity = capacity or history / own_history.CAPACITY
        cluster = cluster or history / own_history.CLUSTER
    if prices is None:
        raise SettingsError("--prices or --history: give one of them")
    return prices, capacity, cluster


def _one_of(name: str, known: Iterable[str], option: str) -> str:
    names = list(known)
    if name not in names:
        raise SettingsError(f"{option} {name}: is none of {', '.join(names)}")
    return name
