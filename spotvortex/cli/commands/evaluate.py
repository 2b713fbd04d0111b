"""The policy, judged over many simulated worlds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Final

import typer

from spotvortex.batch import runner
from spotvortex.batch.executors import dask_executor, local_executor
from spotvortex.batch.results_file import open_results, read_results
from spotvortex.cli.console import console
from spotvortex.cli.options import (
    HtmlOption,
    Output,
    OutputOption,
    WorkersOption,
    check_writable,
)
from spotvortex.cli.progress import bar, tell
from spotvortex.errors import ResultsError, SettingsError
from spotvortex.evaluation import composition, protocol, worlds
from spotvortex.evaluation.provenance import made_under
from spotvortex.evaluation.verdict import evaluate as judge_all
from spotvortex.report.evaluation import evaluation as report
from spotvortex.results.accounting import RunResult
from spotvortex.settings.load import load as load_settings
from spotvortex.telemetry import logs

RESULTS: Final = Path("evaluation.jsonl")


def command(  # noqa: PLR0913 -- options of a command line
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Five seeds of one mix, SpotVortex against B3 alone.")
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
    workers: WorkersOption = 0,
    dask: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Send the runs to this dask scheduler.")
    ] = "",
    html: HtmlOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Judge the policy against Karpenter alone, over many simulated worlds; end with 1 on FAIL."""
    logs.set_up("ERROR")
    check_writable(results, "--results")
    check_writable(html, "--html")
    of = protocol.load(protocol_file)
    if traces is not None:
        worlds.read_long_trace(traces, of.n_days)
    model_dir = load_settings().model_dir
    extent = (
        composition.quick(of) if quick else composition.whole(of, model_dir, with_variants=variants)
    )
    if policy not in extent.policies:
        raise SettingsError(f"--policy {policy}: is none of {', '.join(extent.policies)}")
    specs = composition.specs_of(of, extent, protocol_file, model_dir, traces)
    executor = dask_executor(dask) if dask else local_executor(workers or os.cpu_count() or 1)
    wanted = {spec.key for spec in specs}
    _run(specs, executor, results, made_under(of))
    _, found = read_results(results, RunResult)
    judged = judge_all((r for r in found if composition.key_of(r) in wanted), of, policy)
    if html is not None:
        html.write_text(report.render_html(judged))
    if output is Output.JSON:
        typer.echo(report.render(judged))
    else:
        report.show(judged, console())
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
        open_results(path, under, tell) as kept,
        bar("runs", transient=True) as advance,
    ):

        def each(done: runner.RunProgress) -> None:
            advance(done.n_ended, done.n_total, "")

        tally = runner.run_specs(specs, composition.work, executor, kept, each)
    if tally.failures:
        first = tally.failures[0]
        raise ResultsError(
            f"{len(tally.failures)} runs failed, the first is {first.key}: {first.reason}\n"
            f"{first.account}"
        )
