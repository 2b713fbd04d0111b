"""The words about simulated runs: evaluate, backtest, snapshot.

Comes in: arguments. Goes out: an exit code, as of `__main__`. May not run or judge anything itself.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from spotvortex import app, settings
from spotvortex.batch import runner
from spotvortex.batch.executors import dask_executor, local_executor
from spotvortex.batch.results_file import open_results, read_results
from spotvortex.errors import ResultsError, SettingsError
from spotvortex.evaluation import composition, protocol, worlds
from spotvortex.evaluation.provenance import made_under
from spotvortex.evaluation.verdict import evaluate as judge_all
from spotvortex.report.bar import bar
from spotvortex.report.evaluation import backtest as backtests
from spotvortex.report.evaluation import evaluation as report
from spotvortex.report.evaluation.backtest import Backtest
from spotvortex.results import cluster_snapshot as snapshots
from spotvortex.results.accounting import RunResult
from spotvortex.sim.market.semimarkov import FAMILIES
from spotvortex.telemetry import logs

RESULTS: Final = Path("evaluation.jsonl")
N_CPUS: Final = os.cpu_count() or 1


class Output(StrEnum):
    """The forms of a report."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option(help="How the answer is written.")]
WorkersOption = Annotated[int, typer.Option(min=1, help="Processes of this machine.")]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", help="Also write one self-contained page there.")
]


def load(context: str) -> settings.Settings:
    """Read the settings; a context that was typed counts before theirs."""
    loaded = settings.load()
    return loaded.model_copy(update={"kube_context": context}) if context else loaded


def evaluate(  # noqa: PLR0913 -- options of a command line
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Five seeds of one mix, ours against B3 alone.")
    ] = False,
    variants: Annotated[
        bool, typer.Option("--variants", help="The protocol's changed worlds as well.")
    ] = False,
    traces: Annotated[
        Path | None,
        typer.Option(help="A capacity trace in CSV: the worlds of the replay family."),
    ] = None,
    protocol_file: Annotated[
        Path, typer.Option("--protocol", help="Constants, worlds and baselines; JSON.")
    ] = protocol.OWN_PATH,
    results: Annotated[
        Path, typer.Option(help="Where results are kept; runs that are there are not repeated.")
    ] = RESULTS,
    policy: Annotated[str, typer.Option(help="Which policy is judged.")] = worlds.OURS,
    workers: WorkersOption = N_CPUS,
    dask: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Send the runs to this dask scheduler.")
    ] = "",
    html: HtmlOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Judge the policy against Karpenter alone, over many simulated worlds; end with 1 on FAIL."""
    logs.set_up("ERROR")
    of = protocol.load(protocol_file)
    if traces is not None:
        worlds.read_long_trace(traces, of.n_days)
    model_dir = settings.load().model_dir
    extent = (
        composition.quick(of) if quick else composition.whole(of, model_dir, with_variants=variants)
    )
    specs = composition.specs_of(of, extent, protocol_file, model_dir, traces)
    executor = dask_executor(dask) if dask else local_executor(workers)
    wanted = {spec.key for spec in specs}
    _run(specs, executor, results, made_under(of))
    _, found = read_results(results, RunResult)
    judged = judge_all((r for r in found if composition.key_of(r) in wanted), of, policy)
    if html is not None:
        html.write_text(report.render_html(judged))
    if output is Output.JSON:
        typer.echo(report.render(judged))
    else:
        report.show(judged, Console(highlight=False))
    raise typer.Exit(0 if judged.main.passes else 1)


def _run(
    specs: Sequence[composition.RunSpec],
    opening: AbstractContextManager[Executor],
    path: Path,
    under: str,
) -> None:
    """Run what is not there yet.

    Raises:
        ResultsError: a run failed; the others are kept, and the next start goes on with it.
    """
    with (
        opening as executor,
        open_results(path, under, _tell) as kept,
        _bar("runs") as advance,
    ):
        tally = runner.run_specs(specs, composition.work, executor, kept, advance)
    if tally.failures:
        first = tally.failures[0]
        raise ResultsError(
            f"{len(tally.failures)} runs failed, the first is {first.key}: {first.reason}\n"
            f"{first.account}"
        )


def _tell(line: str) -> None:
    typer.echo(line, err=True)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[runner.Progress], None]]:
    """Show a bar on standard error, where that is a screen."""
    with bar(transient=True) as progress:
        task = progress.add_task(what, total=None)

        def advance(done: runner.Progress) -> None:
            progress.update(task, completed=done.n_ended, total=done.n_total)

        yield advance


def backtest(  # noqa: PLR0913 -- options of a command line
    *,
    prices: Annotated[Path, typer.Option(help="A price file; see docs/price-file.md.")],
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
        list[str] | None, typer.Option(help="May be given several times; B0 is always run.")
    ] = None,
    days: Annotated[int, typer.Option(min=0, help="0 for all that the prices cover.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn.")] = 0,
    tick: Annotated[float, typer.Option(min=10.0, help="Seconds between our decisions.")] = 600.0,
    decisions: Annotated[
        Path | None,
        typer.Option(help="Write our decision records there, for explain, why-not and replay."),
    ] = None,
    html: HtmlOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Replay prices and capacity over a cluster, under several policies side by side."""
    logs.set_up("ERROR")
    spec = composition.BacktestSpec(
        prices=prices,
        snapshot=cluster,
        counts=capacity,
        family=_one_of(family, FAMILIES, "--family"),
        seed=seed,
        n_days=days,
        tick_s=tick,
        model_dir=settings.load().model_dir,
        records=decisions,
    )
    of = protocol.load()
    known = composition.of_one_world(of)
    chosen = [_one_of(name, known, "--policy") for name in policy or composition.side_by_side(of)]
    with _bar("policies") as advance:
        done = iter(range(len(chosen) + 2))
        n_total = len(dict.fromkeys((worlds.B0, *chosen)))

        def each(name: str) -> None:
            advance(runner.Progress(n_ended=next(done), n_total=n_total, key=name))

        accounts = composition.backtest(spec, chosen, each)
    found = Backtest(accounts=accounts, costs=of.costs)
    if html is not None:
        html.write_text(backtests.render_html(found))
    if output is Output.JSON:
        typer.echo(backtests.render(found))
    else:
        backtests.show(found, Console(highlight=False))


def _one_of(name: str, known: Iterable[str], option: str) -> str:
    names = list(known)
    if name not in names:
        raise SettingsError(f"{option} {name}: is none of {', '.join(names)}")
    return name


def snapshot(
    *,
    out: Annotated[Path | None, typer.Option(help="A file; else standard output.")] = None,
    redact: Annotated[
        bool, typer.Option("--redact", help="Replace names of pools, namespaces, workloads.")
    ] = False,
    context: Annotated[str, typer.Option(help="Context of the kubeconfig.")] = "",
) -> None:
    """Write down, read-only, what a backtest needs to know of the cluster."""
    loaded = load(context)
    logs.set_up("WARNING" if loaded.log_level == "INFO" else loaded.log_level)
    taken = asyncio.run(app.snapshot(loaded))
    text = snapshots.to_text(snapshots.redacted(taken) if redact else taken)
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text + "\n")
