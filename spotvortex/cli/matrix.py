"""Protocol 2 from the command line: its runs are made, and its matrix is written.

Comes in: what was typed. Goes out: the matrix on the terminal and in files. May not judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from spotvortex.batch import runner
from spotvortex.batch.results_file import ResultsFile, open_results, read_results
from spotvortex.cli.console import console
from spotvortex.cli.options import Output, write_file
from spotvortex.cli.progress import bar, tell
from spotvortex.errors import ResultsError, SettingsError
from spotvortex.evaluation.matrix import composition, constants
from spotvortex.evaluation.matrix.book import RunBook, chosen_of
from spotvortex.evaluation.matrix.composition import MatrixExtent, MatrixSpec, SpecList
from spotvortex.evaluation.matrix.constants import Constants
from spotvortex.evaluation.matrix.judge import JudgedPolicy, judge
from spotvortex.evaluation.matrix.rivals import ABLATIONS
from spotvortex.evaluation.matrix.worlds import variants_of
from spotvortex.evaluation.provenance import made_under
from spotvortex.evaluation.worlds import read_long_trace
from spotvortex.report.evaluation import matrix as report
from spotvortex.report.evaluation import matrix_page as report_page
from spotvortex.report.evaluation.figures import render_metrics
from spotvortex.results.matrix import Matrix, WorldRun
from spotvortex.results.verdict import GateStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What was typed.

    Attributes:
        path: the file of the protocol.
        model_dir: the folder of the model bundle.
        traces: recorded series, None without any.
        results: where runs are kept.
        policy: which policy is judged.
        quick: the smallest extent is enough.
        variants: the changed worlds as well.
        ablations: SpotVortex with something taken away as well.
        n_seeds: seeds at most, 0 for all.
    """

    path: Path
    model_dir: Path
    traces: Path | None
    results: Path
    policy: str
    quick: bool
    variants: bool
    ablations: bool
    n_seeds: int

    def extent(self, of: Constants) -> MatrixExtent:
        """Return how much of protocol 2 is run."""
        extent = composition.quick(of) if self.quick else composition.whole(of)
        if self.traces is None:
            extent = replace(extent, families=tuple(f.name for f in of.families if not f.replays))
        if self.n_seeds:
            kept = extent.seeds[: self.n_seeds]
            choosing = extent.choosing_seeds[: self.n_seeds]
            extent = replace(extent, seeds=kept, choosing_seeds=choosing)
        policies = (*extent.policies, *(ABLATIONS if self.ablations else ()))
        return replace(extent, policies=policies, with_variants=self.variants)


def evaluate(
    typed: Typed, opening: AbstractContextManager[Executor]
) -> tuple[Matrix, list[Matrix]]:
    """Make what is not there yet, and judge it; also all that is beside the verdict.

    Raises:
        ProtocolError: the constants cannot be read.
        ResultsError: a run failed; the others are kept, and the next start goes on with it.
        SettingsError: the policy is none that is run.
        TraceError: the traces cannot be read.
    """
    of = constants.load(typed.path)
    extent = typed.extent(of)
    if typed.policy not in extent.policies:
        raise SettingsError(f"--policy {typed.policy}: is none of {', '.join(extent.policies)}")
    if typed.traces is not None:
        read_long_trace(typed.traces, extent.n_days or of.world.n_days)
    chosen = _run(typed, of, extent, opening)
    runs = _read(typed.results).values()
    policies = [typed.policy, *(p for p in extent.policies if p != typed.policy)]
    questions = [JudgedPolicy(policy=p, extent=extent, chosen=chosen) for p in policies]
    main, *others = (judge(runs, of, question) for question in questions)
    if extent.with_variants:
        others += [judge(runs, of, questions[0], v.name) for v in variants_of(of.sensitivities)]
    return main, others


def _run(
    typed: Typed, of: Constants, extent: MatrixExtent, opening: AbstractContextManager[Executor]
) -> dict[tuple[str, str], str]:
    """Make the runs that choose the rivals' settings, then all others; return the settings."""
    specs = SpecList(
        of=of,
        extent=extent,
        constants_path=typed.path,
        model_dir=typed.model_dir,
        traces=typed.traces,
    )
    places = [(mix, seed) for mix in extent.mixes for seed in extent.choosing_seeds]
    days = (f"days {extent.n_days}",) if extent.n_days else ()
    with opening as executor, open_results(typed.results, made_under(of, *days), tell) as kept:
        _make("runs that choose the rivals' settings", specs.choosing(), executor, kept)
        chosen = chosen_of(RunBook(of, _read(typed.results)), extent.families, places)
        _make("runs that are judged", specs.judging(chosen), executor, kept)
    return chosen


def _make(what: str, specs: Sequence[MatrixSpec], executor: Executor, kept: ResultsFile) -> None:
    """Make runs, and raise the first failure."""
    with bar(what, transient=True) as advance:

        def each(done: runner.RunProgress) -> None:
            advance(done.n_ended, done.n_total, "")

        unique = list({spec.key: spec for spec in specs}.values())
        tally = runner.run_specs(unique, composition.work, executor, kept, each)
    if tally.failures:
        first = tally.failures[0]
        raise ResultsError(
            f"{len(tally.failures)} runs failed, the first is {first.key}: {first.reason}\n"
            f"{first.account}"
        )


def _read(path: Path) -> dict[str, WorldRun]:
    _, found = read_results(path, WorldRun)
    return {run.key: run for run in found}


def write(
    made: tuple[Matrix, list[Matrix]], output: Output, html: Path | None, metrics: Path | None
) -> int:
    """Print the matrix, write its files; return the exit code, 0 on PASS alone."""
    main, others = made
    if metrics is not None:
        write_file(metrics, render_metrics(main), "--metrics")
    if html is not None:
        write_file(html, report_page.render_html(main, others), "--html")
    if output is Output.JSON:
        typer.echo(report.render(main, others))
    else:
        report.show(main, others, console())
    return 0 if main.standing is GateStatus.PASS else 1
