"""The words about simulated runs: evaluate, backtest, snapshot.

Comes in: arguments. Goes out: an exit code, as of `__main__`. May not run or judge anything itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spotvortex import settings, trials
from spotvortex.core.outcomes import RunResult
from spotvortex.errors import ResultsError
from spotvortex.report import evaluation as report
from spotvortex.sim import arena, protocol, runner
from spotvortex.sim.executors import dask_executor, local_executor
from spotvortex.sim.provenance import made_under
from spotvortex.sim.results_file import open_results, read_results
from spotvortex.sim.verdict import evaluate as judge_all
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
    policy: Annotated[str, typer.Option(help="Which policy is judged.")] = arena.OURS,
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
    extent = trials.quick(of) if quick else trials.whole(of, with_variants=variants)
    specs = trials.specs_of(of, extent, protocol_file, settings.load().model_dir, traces)
    executor = dask_executor(dask) if dask else local_executor(workers)
    wanted = {spec.key for spec in specs}
    _run(specs, executor, results, made_under(of))
    _, found = read_results(results, RunResult)
    judged = judge_all((r for r in found if _key(r) in wanted), of, policy)
    if html is not None:
        html.write_text(report.render_html(judged))
    if output is Output.JSON:
        typer.echo(report.render(judged))
    else:
        report.show(judged, Console(highlight=False))
    raise typer.Exit(0 if judged.main.passes else 1)


def _key(result: RunResult) -> str:
    return "/".join((result.family, result.mix, str(result.seed), result.variant, result.policy))


def _run(
    specs: Sequence[trials.RunSpec],
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
        tally = runner.run_specs(specs, trials.work, executor, kept, advance)
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
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def advance(done: runner.Progress) -> None:
            progress.update(task, completed=done.n_ended, total=done.n_total)

        yield advance
