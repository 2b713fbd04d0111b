"""A model bundle, tried before it is used."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, assert_never

import typer

from spotvortex.cli.console import console
from spotvortex.cli.options import Output, OutputOption
from spotvortex.core.domain.types import Predictor
from spotvortex.errors import ModelContractError
from spotvortex.model.forecaster import OnnxForecaster, load
from spotvortex.model.trial.behaviour import State, TrialFinding, tried
from spotvortex.model.trial.outcomes import PredictionOutcome, outcomes
from spotvortex.report import checks
from spotvortex.settings.model import BUNDLED_MODELS
from spotvortex.telemetry import logs


class ModelTask(StrEnum):
    """What is done."""

    CHECK = "check"


def command(
    task: Annotated[ModelTask, typer.Argument(help="check: contract, behaviour, speed, figures.")],
    path: Annotated[
        Path, typer.Argument(help="The bundle's folder; the one that ships where none is given.")
    ] = BUNDLED_MODELS,
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="Samples to judge it on: a file of scripts.train.dataset."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Try a model bundle: is it what its manifest says, does it behave, how good was it."""
    logs.set_up("ERROR")
    match task:
        case ModelTask.CHECK:
            found = checked(path, data)
        case _ as never:
            assert_never(never)
    if output is Output.JSON:
        typer.echo(checks.render(found))
    else:
        checks.show(found, console())
    raise typer.Exit(checks.exit_code(found))


def checked(path: Path, data: Path | None) -> tuple[checks.Check, ...]:
    """Return what was found of a bundle."""
    try:
        bundle = load(path, "aws")
        judged = outcomes(bundle, data) if data is not None else []
    except ModelContractError as error:
        return (checks.wrong("contract", str(error)),)
    return (
        checks.ok("contract", f"{bundle.name}, digest {bundle.digest[:12]}, {_files(bundle)}"),
        checks.ok("decides", _decides(bundle)),
        *_training(bundle),
        *(_of_finding(finding) for finding in tried(bundle)),
        *(_of_outcome(outcome) for outcome in judged),
    )


def _files(bundle: OnnxForecaster) -> str:
    n_families = len(bundle.scope.entries)
    return f"{len(bundle.files)} files as their checksums say, {n_families} families"


def _decides(bundle: OnnxForecaster) -> str:
    """Say who gives the scores that are decided on, and who is asked beside."""
    memory_decides = bundle.decides is Predictor.MEMORY
    decider = "the interruption memory" if memory_decides else bundle.name
    return f"{decider}; asked beside it: {', '.join(c.name for c in bundle.challengers)}"


def _training(bundle: OnnxForecaster) -> tuple[checks.Check, ...]:
    training = bundle.training
    if training is None:
        return ()
    days = [day for s in training.sources for day in (s.first_day, s.last_day)]
    text = f"{len(training.sources)} sources, {min(days)} to {max(days)}, seeds {training.seeds}"
    since = f". {training.code_changes}" if training.code_changes else ""
    return (checks.ok("training", f"{text}, code {training.code[:12]}{since}"),)


def _of_finding(finding: TrialFinding) -> checks.Check:
    match finding.state:
        case State.OK:
            return checks.ok(finding.name, finding.text)
        case State.DOUBT:
            return checks.missing(finding.name, finding.text, finding.fix)
        case State.WRONG:
            return checks.wrong(finding.name, finding.text, finding.fix)
        case _ as never:
            assert_never(never)


def _of_outcome(outcome: PredictionOutcome) -> checks.Check:
    text = (
        f"{outcome.who}: AUC {outcome.auc:.3f}, Brier {outcome.brier:.4f}, calibration error "
        f"{outcome.ece:.3f}; {outcome.n} samples, {outcome.lost:.1%} lost"
    )
    return checks.ok(f"{outcome.minutes} min", text)
