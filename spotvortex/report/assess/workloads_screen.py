"""How far each workload is ready for Spot, on a terminal.

Comes in: a `Report`. Goes out: text through rich, a block a workload, the worst first; what is to
be copied stands whole on lines of its own. May not compute anything that the JSON output does not
show too.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from rich.console import Console
from rich.text import Text

from spotvortex.report.assess.assessment import Report
from spotvortex.report.assess.readiness import SpotReadiness, WorkloadReadiness

_STYLES: Final = {
    SpotReadiness.HELD: "red",
    SpotReadiness.SINGLE: "red",
    SpotReadiness.PINNED: "yellow",
    SpotReadiness.FULL: "yellow",
    SpotReadiness.READY: "green",
}


def show(report: Report, console: Console) -> None:
    """Print a line of sums, then each workload with why it is no further, and the fix."""
    rows = report.readiness
    counts = Counter(row.readiness for row in rows)
    sums = ", ".join(f"{counts[state]} {state}" for state in SpotReadiness if counts[state])
    where = f"context {report.context} · read-only · {report.seconds:.1f} s"
    console.print(Text.assemble(("spotvortex assess --workloads", "bold"), f"   {where}"))
    console.print(Text(f"{len(rows)} workloads: {sums}" if rows else "no workload has replicas"))
    for row in rows:
        _show(row, console)


def _show(row: WorkloadReadiness, console: Console) -> None:
    spare = "" if row.spare_pods is None else f", {row.spare_pods} more may go"
    pods = f"{row.n_on_spot} of {row.healthy} pods on Spot{spare}"
    state = (f"{row.readiness:<7}", _STYLES[row.readiness])
    console.print(Text.assemble(state, f" {row.workload} · {pods} · {', '.join(row.pools)}"))
    for reason, fix in zip(row.reasons, row.fixes, strict=True):
        console.print(Text(f"        {reason}"))
        console.print(Text(f"        {row.owner}: {fix}"))
    for command in row.commands:
        # Never folded: it is to be copied.
        console.print(Text(f"        {command}"), soft_wrap=True)
