"""The first look at a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final

import typer

from spotvortex.app import inspect
from spotvortex.cli.console import console
from spotvortex.cli.options import DetailsOption, Form, FormOption, load_quietly
from spotvortex.errors import SpotVortexError
from spotvortex.report.assess import forms, screen, workloads_screen
from spotvortex.report.assess.assessment import Report

RENDERED: Final[Mapping[Form, Callable[[Sequence[Report]], str]]] = {
    Form.JSON: forms.json_of,
    Form.YAML: forms.yaml_of,
    Form.CSV: forms.csv_of,
    Form.HTML: forms.html_of,
}


def command(
    *,
    context: Annotated[
        list[str] | None, typer.Option(help="Context of the kubeconfig; may be given repeatedly.")
    ] = None,
    output: FormOption = Form.TABLE,
    details: DetailsOption = False,
    workloads: Annotated[
        bool, typer.Option("--workloads", help="Show how far each workload is ready for Spot.")
    ] = False,
) -> None:
    """Look at the cluster once, read-only, and say what there is to gain and what would break.

    Of several contexts, one that cannot be read is named, and the others are shown all the same.
    """
    reports, failed = _looked(context or [""])
    if output is Form.TABLE:
        for report in reports:
            if workloads:
                workloads_screen.show(report, console())
            else:
                screen.show(report, console(), details=details)
    elif reports:
        typer.echo(RENDERED[output](reports).rstrip("\n"))
    if failed:
        raise SpotVortexError("; ".join(failed))


def _looked(contexts: Sequence[str]) -> tuple[list[Report], list[str]]:
    """Assess one cluster after the other; return the reports, and what kept one from being read."""
    reports: list[Report] = []
    failed: list[str] = []
    for context in contexts:
        try:
            reports.append(asyncio.run(inspect.assess(load_quietly(context))))
        except SpotVortexError as error:
            failed.append(f"{context}: {error}" if len(contexts) > 1 else str(error))
    return reports, failed
