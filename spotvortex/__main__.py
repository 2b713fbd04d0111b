"""The words that a person types, and the one choice between a real and a simulated cluster.

Comes in: arguments. Goes out: an exit code: 0 well, 1 a fault of ours, 2 something to set right by
the user, who is told what. Every setting is a variable of the environment; see settings.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from spotvortex import __version__, app, settings, trial_words
from spotvortex.code_digest import code_version
from spotvortex.core.domain.types import Action
from spotvortex.edges import kubernetes_edges
from spotvortex.errors import SpotVortexError
from spotvortex.faultsearch import report as fault_search
from spotvortex.report import checks, document
from spotvortex.report import uninstall as leaving
from spotvortex.report.assess import screen
from spotvortex.report.doctor import screen as doctor_screen
from spotvortex.report.explain import account as explanation
from spotvortex.report.explain import records
from spotvortex.report.explain.replays import replay_all
from spotvortex.sim.runtime.demo import simulated_edges
from spotvortex.sim.runtime.virtual_loop import PacedLoop
from spotvortex.telemetry import logs
from spotvortex.trial_words import Output, OutputOption, load

cli = typer.Typer(
    help="How much of each workload pool may run on Spot: decided, proven and explained.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


FileOption = Annotated[
    Path | None, typer.Option("--file", help="A decision log; else SPOTVORTEX_DECISION_LOG.")
]
UrlOption = Annotated[
    str, typer.Option("--url", help="A running daemon, as in http://127.0.0.1:8080.")
]


@cli.command()
def run(
    *,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Use the built-in cluster and market.")
    ] = False,
    speed: Annotated[
        float, typer.Option(min=0.1, max=3600.0, help="Simulated seconds per real one.")
    ] = 60.0,
    seed: Annotated[int, typer.Option(help="Seed of the simulated world.")] = 1,
    context: Annotated[str, typer.Option(help="Context of the kubeconfig.")] = "",
) -> None:
    """Decide all day, in shadow mode: record what would be done, and write nothing."""
    loaded = load(context)
    logs.set_up(loaded.log_level)
    stop = asyncio.Event()
    if not simulated:
        asyncio.run(app.run_daemon(loaded, kubernetes_edges(loaded), stop))
        return
    if "decision_format" not in loaded.model_fields_set:
        loaded = loaded.model_copy(update={"decision_format": "text"})
    with asyncio.Runner(loop_factory=lambda: PacedLoop(speed)) as runner:
        runner.run(app.run_daemon(loaded, simulated_edges(seed), stop))


@cli.command()
def assess(
    *,
    context: Annotated[str, typer.Option(help="Context of the kubeconfig.")] = "",
    output: Annotated[Output, typer.Option(help="How the report is written.")] = Output.TEXT,
    details: Annotated[bool, typer.Option("--details", help="Show every row.")] = False,
) -> None:
    """Look at the cluster once, read-only, and say what there is to gain and what would break."""
    loaded = load(context)
    logs.set_up("WARNING" if loaded.log_level == "INFO" else loaded.log_level)
    report = asyncio.run(app.assess(loaded))
    if output is Output.JSON:
        typer.echo(document.render(report))
    else:
        screen.show(report, Console(highlight=False), details=details)


@cli.command()
def doctor(
    *,
    context: Annotated[str, typer.Option(help="Context of the kubeconfig.")] = "",
    output: OutputOption = Output.TEXT,
    details: Annotated[bool, typer.Option("--details", help="Show every row.")] = False,
    ask: Annotated[
        str,
        typer.Option(
            "--dry-run-evictions",
            metavar="NODE|all",
            help="Ask the API server too, with dryRun=All; needs the right to create evictions.",
        ),
    ] = "",
) -> None:
    """Look at the cluster once, read-only, and say what blocks each node's drain, and the fix."""
    loaded = load(context)
    logs.set_up("WARNING" if loaded.log_level == "INFO" else loaded.log_level)
    found = asyncio.run(app.doctor(loaded, ask))
    if output is Output.JSON:
        typer.echo(doctor_screen.render(found))
    else:
        doctor_screen.show(found, Console(highlight=False), details=details)


@cli.command()
def check(
    *,
    context: Annotated[str, typer.Option(help="Context of the kubeconfig.")] = "",
    output: Annotated[Output, typer.Option(help="How the findings are written.")] = Output.TEXT,
) -> None:
    """Look at settings, bundle, prices and rights, and name each thing missing with the fix."""
    found: tuple[checks.Check, ...]
    try:
        loaded = load(context)
    except SpotVortexError as error:
        found = (checks.wrong("settings", str(error)),)
    else:
        logs.set_up("ERROR")
        found = asyncio.run(app.check(loaded))
    if output is Output.JSON:
        typer.echo(checks.render(found))
    else:
        checks.show(found, Console(highlight=False))
    raise typer.Exit(checks.exit_code(found))


@cli.command()
def uninstall(
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Remove it; else only look.")] = False,
    wait: Annotated[
        float, typer.Option(min=0.0, max=3600.0, help="Seconds given to a running daemon to undo.")
    ] = 120.0,
    context: Annotated[str, typer.Option(help="Context of the kubeconfig.")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """List what the daemon has left in the cluster, or remove it; end with 1 if any is left."""
    loaded = load(context)
    logs.set_up("WARNING" if loaded.log_level == "INFO" else loaded.log_level)
    found = asyncio.run(
        app.uninstall(loaded, wait, lambda line: typer.echo(line, err=True), apply=apply)
    )
    if output is Output.JSON:
        typer.echo(leaving.render(found))
    else:
        for line in leaving.in_words(found):
            typer.echo(line)
    raise typer.Exit(leaving.exit_code(found))


@cli.command()
def explain(
    wanted: Annotated[str, typer.Argument(metavar="ID|POOL", help="A decision, or a pool's last.")],
    *,
    file: FileOption = None,
    url: UrlOption = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what was decided and why, from its record."""
    account = explanation.read_account(_record(wanted, file, url))
    if output is Output.JSON:
        typer.echo(explanation.render(account))
    else:
        explanation.show(account, Console(highlight=False))


@cli.command()
def why_not(
    pool: Annotated[str, typer.Argument(metavar="POOL", help="By its newest record.")],
    action: Annotated[Action, typer.Argument(metavar="ACTION", help=", ".join(Action))],
    *,
    file: FileOption = None,
    url: UrlOption = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Say which gates would refuse an action, and the nearest change that would allow it."""
    account = explanation.read_account(_record(pool, file, url))
    answer = explanation.why_not(account, action)
    if output is Output.JSON:
        typer.echo(explanation.render_why_not(answer))
    else:
        explanation.show_why_not(answer, Console(highlight=False))


@cli.command()
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A decision log in JSON Lines.")],
) -> None:
    """Make every decision of a log again; end with 1 where one differs or the chain is broken."""
    tally = replay_all(file)
    for line in tally.in_words(code_version()):
        typer.echo(line)
    raise typer.Exit(0 if tally.is_whole else 1)


@cli.command()
def simulate(
    *,
    episodes: Annotated[int, typer.Option(min=1, help="How many are played.")] = 100,
    seed: Annotated[
        int, typer.Option(min=0, help="The first one's seed; the next ones follow.")
    ] = 1,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that play; 0 for one a processor.")
    ] = 0,
    episode: Annotated[
        Path | None, typer.Option("--episode", metavar="FILE", help="Play one that was kept.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Write failing ones here.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Play random episodes in which much goes wrong; end with 1 where a promise is broken."""
    if episode is not None:
        result = fault_search.play_file(episode)
    else:
        seeds = range(seed, seed + episodes)
        result = fault_search.play_seeds(seeds, workers or os.cpu_count() or 1, keep)
    if output is Output.JSON:
        typer.echo(result.render())
    else:
        for line in result.in_words():
            typer.echo(line)
    raise typer.Exit(result.exit_code)


def _record(wanted: str, file: Path | None, url: str) -> str:
    """Look a record up where the user says, else in the log, else at the daemon of the settings."""
    if file is None and not url:
        loaded = settings.load()
        file, url = loaded.decision_log, f"http://127.0.0.1:{loaded.http_port}"
    return records.from_daemon(url, wanted) if file is None else records.from_file(file, wanted)


cli.command()(trial_words.evaluate)
cli.command()(trial_words.backtest)
cli.command()(trial_words.snapshot)


@cli.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command line; what the user can set right is told in one line, not a traceback."""
    sys.exit(_guarded(cli))


def _guarded(command: Callable[[], None]) -> int:
    try:
        command()
    except SpotVortexError as error:
        sys.stderr.write(f"spotvortex: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    main()
