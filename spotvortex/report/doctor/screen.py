"""The diagnosis on a terminal, and as one JSON document.

Comes in: a `Diagnosis`. Goes out: text through rich, or JSON of the same values. May not compute
anything that the other form does not show too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Final

from rich.console import Console
from rich.text import Text

from spotvortex.core.domain.inputs import InputName
from spotvortex.report.doctor.diagnosis import Asked, Diagnosis, DrainReadiness, Finding
from spotvortex.report.document import plain
from spotvortex.report.fixes import Weight

MAX_ROWS: Final = 12
"""Findings of a block of the first screen; what is left out is counted and shown by --details."""

TITLES: Final = {
    Weight.HOLDS: "HOLDS NODES IN PLACE",
    Weight.LIMITS: "LIMITS WHERE THEIR PODS CAN GO",
    Weight.WARNS: "MAKES DRAINS LONG",
}

PLACES: Final = {
    DrainReadiness.FREE: "can move",
    DrainReadiness.HELD: "held by what is listed below",
    DrainReadiness.BUSY: "cordoned, leaving or not Ready",
    DrainReadiness.NEVER_MOVED: "reserved or of unknown capacity type: never moved",
    DrainReadiness.UNPOOLED: "of no pool: never moved (label spotvortex.io/pool)",
}


UNSEEN: Final = ", unless a PodDisruptionBudget holds them: those cannot be read"


def render(diagnosis: Diagnosis) -> str:
    """Render a diagnosis as indented JSON."""
    return json.dumps(plain(diagnosis), indent=2, sort_keys=True, allow_nan=False)


def show(diagnosis: Diagnosis, console: Console, *, details: bool = False) -> None:
    """Print the first screen, and every finding and node with `details`."""
    _line(console, ("spotvortex doctor", "bold"), f"   context {diagnosis.context} · read-only")
    for missing in diagnosis.missing:
        mark = (" !!  ", "red" if missing.required else "yellow")
        console.print(Text.assemble(mark, f"{missing.name} {missing.state}: {missing.detail}"))
    for row in diagnosis.hosting:
        _line(console, (" --  ", "dim"), f"{_n(row.n_nodes, 'node')} on {row.words}")
    _shares(diagnosis, console)
    for weight in Weight:
        found = [f for f in diagnosis.findings if f.weight is weight]
        _findings(TITLES[weight], found, console, details=details)
    if details:
        _nodes(diagnosis, console)
    if diagnosis.asked or diagnosis.n_not_asked:
        _asked(diagnosis, console, details=details)
    if not details:
        _line(console, ("next: ", "bold"), "spotvortex doctor --details · --output json")


def _line(console: Console, *parts: str | tuple[str, str]) -> None:
    console.print(Text.assemble(*parts), overflow="fold")


def _n(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _shares(diagnosis: Diagnosis, console: Console) -> None:
    whole = f"{_n(diagnosis.n_nodes, 'node')}, {diagnosis.cpu_milli / 1000.0:,.0f} vCPU"
    _line(console, ("THE CLUSTER: ", "bold"), whole)
    unseen = any(missing.name == InputName.PDBS for missing in diagnosis.missing)
    for share in diagnosis.shares:
        if share.n_nodes:
            doubt = UNSEEN if unseen and share.place is DrainReadiness.FREE else ""
            noun = "node " if share.n_nodes == 1 else "nodes"
            figures = f"{share.n_nodes:>5} {noun} {share.nodes_ratio:>4.0%}"
            cpu = f"{share.cpu_milli / 1000.0:>9,.0f} vCPU {share.cpu_ratio:>4.0%}"
            _line(console, f"  {figures} {cpu}   {PLACES[share.place]}{doubt}")


def _findings(title: str, findings: Sequence[Finding], console: Console, *, details: bool) -> None:
    if not findings:
        return
    _line(console, (title, "bold"))
    rows = None if details else MAX_ROWS
    for finding in islice(findings, rows):
        _finding(finding, console, details=details)
    left = len(findings) - len(findings[:rows])
    if left:
        _line(console, (f"  … {left} more with --details", "dim"))


def _finding(finding: Finding, console: Console, *, details: bool) -> None:
    counts = f"{_n(finding.n_nodes, 'node')}, {_n(finding.n_pods, 'pod')}"
    why = " · ".join(part for part in (finding.trouble, finding.pdb, finding.detail) if part)
    _line(
        console, f"  {finding.workload}: {why} ({counts}, {finding.cpu_milli / 1000.0:,.0f} vCPU)"
    )
    _line(console, ("     fix: ", "green"), finding.fix)
    if details:
        for noun, names, total in (
            ("nodes", finding.nodes, finding.n_nodes),
            ("pods", finding.pods, finding.n_pods),
        ):
            if names:
                more = f" and {total - len(names)} more" if total > len(names) else ""
                console.print(Text(f"     {noun}: {', '.join(names)}{more}"))


def _nodes(diagnosis: Diagnosis, console: Console) -> None:
    _line(console, ("NODES", "bold"))
    for node in diagnosis.nodes:
        troubles = ", ".join(node.troubles) or "-"
        where = f"{node.pool or '(no pool)'} {node.capacity_type}"
        _line(console, f"  {node.name}  {where}  {node.place}: {troubles}")


def _asked(diagnosis: Diagnosis, console: Console, *, details: bool) -> None:
    asked = diagnosis.asked
    agreeing = sum(1 for row in asked if row.agrees)
    title = f"THE SERVER'S OWN WORD (dry run): agrees on {agreeing} of {_n(len(asked), 'pod')}"
    _line(console, (title, "bold"))
    if diagnosis.n_not_asked:
        _line(console, f"  {_n(diagnosis.n_not_asked, 'pod')} not asked about; name one node to")
    for status, count in sorted(Counter(row.server for row in asked).items()):
        _line(console, f"  {status} for {_n(count, 'pod')}")
    for row in asked if details else [row for row in asked if not row.agrees][:MAX_ROWS]:
        _line(console, *_asked_words(row))


def _asked_words(row: Asked) -> tuple[str | tuple[str, str], ...]:
    mark = (" ok  ", "green") if row.agrees else (" !!  ", "yellow")
    ours = f"expected {row.ours}{f' ({row.why})' if row.why else ''}"
    words = f", in words: {row.words}" if row.words else ""
    return mark, f"{row.pod} on {row.node}: {ours}, the server {row.server}{words}"
