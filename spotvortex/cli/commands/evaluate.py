"""The policy, judged over many simulated worlds."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Final

import typer

from spotvortex.batch import runner
from spotvortex.batch.executors import dask_executor, local_executor
from spotvortex.batch.results_file import open_results, read_results
from spotvortex.cli import matrix
from spotvortex.cli.console import console
from spotvortex.cli.options import (
    HtmlOption,
    Output,
    OutputOption,
    WorkersOption,
    check_writable,
    write_file,
)
from spotvortex.cli.progress import bar, tell
from spotvortex.errors import ResultsError, SettingsError
from spotvortex.evaluation import composition, protocol, worlds
from spotvortex.evaluation.matrix import constants
from spotvortex.evaluation.provenance import made_under
from spotvortex.evaluation.verdict import evaluate as judge_all
from spotvortex.report.evaluation import evaluation as report
from spotvortex.results.accounting import RunResult
from spotvortex.results.verdict import Evaluation
from spotvortex.settings.load import load as load_settings
from spotvortex.telemetry import logs

RESULTS: Final = {1: Path("evaluation.jsonl"), 2: Path("evaluation-2.jsonl")}
"""Where the runs of each protocol are kept, unless told otherwise."""

QUICK_RESULTS: Final = Path("evaluation-2-quick.jsonl")
"""Where those of protocol 2's `--quick` are, whose runs are shorter."""


def command(  # noqa: PLR0913 -- options of a command line
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Five seeds of one mix, beside Karpenter alone.")
    ] = False,
    variants: Annotated[
        bool, typer.Option("--variants", help="The protocol's changed worlds as well.")
    ] = False,
    traces: Annotated[
        Path | None,
        typer.Option(help="A capacity trace in CSV: the worlds of the replay family."),
    ] = None,
    protocol_name: Annotated[
        str, typer.Option("--protocol", help="1, 2, or a file of either's form; JSON.")
    ] = "1",
    ablations: Annotated[
        bool,
        typer.Option("--ablations", help="Protocol 2: SpotVortex with something taken away too."),
    ] = False,
    seeds: Annotated[
        int, typer.Option(min=0, help="Protocol 2: the first so many seeds; 0 for all.")
    ] = 0,
    results: Annotated[
        Path | None,
        typer.Option(
            help="Where results are kept; runs that are there are not repeated.",
            show_default=f"{RESULTS[1]}, of protocol 2 {RESULTS[2]} or, quick, {QUICK_RESULTS}",
        ),
    ] = None,
    policy: Annotated[str, typer.Option(help="Which policy is judged.")] = worlds.OURS,
    workers: WorkersOption = 0,
    dask: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Send the runs to this dask scheduler.")
    ] = "",
    html: HtmlOption = None,
    metrics: Annotated[
        Path | None,
        typer.Option(help="Protocol 2: also write its figures there, as Prometheus reads them."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Judge the policy against what users run, over many simulated worlds; end with 1 on FAIL."""
    logs.set_up("ERROR")
    version, path = _protocol(protocol_name)
    if version != constants.VERSION:
        _refuse({"--ablations": ablations, "--seeds": seeds, "--metrics": metrics})
    is_short = quick and version == constants.VERSION
    results = results or (QUICK_RESULTS if is_short else RESULTS[version])
    check_writable(results, "--results")
    check_writable(html, "--html")
    check_writable(metrics, "--metrics")
    typed = matrix.Typed(
        path=path,
        model_dir=load_settings().model_dir,
        traces=traces,
        results=results,
        policy=policy,
        quick=quick,
        variants=variants,
        ablations=ablations,
        n_seeds=seeds,
    )
    opening = dask_executor(dask) if dask else local_executor(workers or os.cpu_count() or 1)
    if version == constants.VERSION:
        made = matrix.evaluate(typed, opening)
        raise typer.Exit(matrix.write(made, output, html, metrics))
    judged = _first(typed, opening)
    if html is not None:
        write_file(html, report.render_html(judged), "--html")
    if output is Output.JSON:
        typer.echo(report.render(judged))
    else:
        report.show(judged, console())
    raise typer.Exit(0 if judged.main.passes else 1)


def _refuse(of_the_second: Mapping[str, object]) -> None:
    """Refuse options of protocol 2 that were given beside another, which would ignore them."""
    for option, given in of_the_second.items():
        if given:
            raise SettingsError(f"{option}: is of protocol 2 alone; add --protocol 2")


def _protocol(name: str) -> tuple[int, Path]:
    """Return the version and the file of a protocol that is named by its version or its path.

    Raises:
        SettingsError: it is neither a version nor a file.
    """
    own = {str(protocol.VERSION): protocol.OWN_PATH, str(constants.VERSION): constants.OWN_PATH}
    path = own.get(name, Path(name))
    if not path.is_file():
        raise SettingsError(f"--protocol {name}: is neither 1, 2 nor a file")
    try:
        version = json.loads(path.read_bytes()).get("version")
    except (OSError, ValueError, AttributeError):
        return protocol.VERSION, path  # its reader says what is wrong with it
    return (version if version in RESULTS else protocol.VERSION), path


def _first(typed: matrix.Typed, opening: AbstractContextManager[Executor]) -> Evaluation:
    """Make the runs of protocol 1 and judge them."""
    of = protocol.load(typed.path)
    if typed.traces is not None:
        worlds.read_long_trace(typed.traces, of.n_days)
    extent = (
        composition.quick(of)
        if typed.quick
        else composition.whole(of, typed.model_dir, with_variants=typed.variants)
    )
    if typed.policy not in extent.policies:
        raise SettingsError(f"--policy {typed.policy}: is none of {', '.join(extent.policies)}")
    specs = composition.specs_of(of, extent, typed.path, typed.model_dir, typed.traces)
    wanted = {spec.key for spec in specs}
    _run(specs, opening, typed.results, made_under(of))
    _, found = read_results(typed.results, RunResult)
    return judge_all((r for r in found if composition.key_of(r) in wanted), of, typed.policy)


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
