"""The page of the doctor: what blocks drains, as `spotvortex doctor` finds it.

Comes in: the newest plan's cluster, and the pods of its nodes. Goes out: the parts of a page. A
diagnosis is made when somebody asks, at most once in `EVERY_S`, and not of a cluster of more than
`MAX_NODES`: it is made on the loop. May not change anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from spotvortex.core.decision.messages import Plan
from spotvortex.report.console.frame import bullets, moment
from spotvortex.report.doctor.diagnosis import Diagnosis, Finding, StandingsOn, diagnose
from spotvortex.report.doctor.screen import PLACES, TITLES
from spotvortex.report.fixes import Weight
from spotvortex.report.html.page import heading, paragraph, table

EVERY_S: Final = 300.0
"""Least time between two diagnoses, in seconds of the plans' clock."""

MAX_NODES: Final = 1_000
MAX_ROWS: Final = 50
"""Findings of a kind that are listed; the rest are counted."""


@dataclass(slots=True)
class DoctorRound:
    """Makes a diagnosis now and then.

    Attributes:
        standings_on: gives the pods of a node.
        name: where it looks.
    """

    standings_on: StandingsOn
    name: str
    _newest: Diagnosis | None = None

    def diagnosis(self, plan: Plan) -> Diagnosis | None:
        """Return a diagnosis that is not older than `EVERY_S`, None where there are many nodes."""
        cluster = plan.observation.cluster
        if len(cluster.nodes) > MAX_NODES:
            return None
        if self._newest is None or plan.at - self._newest.at >= EVERY_S:
            self._newest = diagnose(cluster, self.standings_on, plan.at, self.name)
        return self._newest


def doctor_page(found: Diagnosis | None) -> Iterator[str]:
    """Yield the parts of the page."""
    if found is None:
        words = f"More than {MAX_NODES:,} nodes are not looked through here: run spotvortex doctor."
        yield paragraph(words)
        return
    age = f"As of {moment(found.at)} UTC; looked at anew every {EVERY_S / 60.0:.0f} minutes."
    yield paragraph(age, "faint")
    if found.missing:
        yield bullets([f"{m.name} {m.state}: {m.detail}" for m in found.missing])
    shares = (
        (PLACES[s.place], str(s.n_nodes), f"{s.nodes_ratio:.0%}", f"{s.cpu_milli / 1000.0:,.0f}")
        for s in found.shares
        if s.n_nodes
    )
    yield table("Where the nodes stand", ("nodes", "number", "share", "vCPU"), shares)
    if not found.findings and not found.missing:
        yield paragraph("Nothing blocks a drain.", "good")
    for weight in Weight:
        yield from _of_weight(weight, [f for f in found.findings if f.weight is weight])
    words = "The findings of every node, and dry runs of evictions: spotvortex doctor --details."
    yield paragraph(words, "faint")


_HEAD: Final = ("workload", "trouble", "nodes", "pods", "detail", "fix")


def _of_weight(weight: Weight, findings: Sequence[Finding]) -> Iterator[str]:
    if not findings:
        return
    title = TITLES[weight].capitalize()
    yield heading(title)
    yield table(title, _HEAD, map(_row, findings[:MAX_ROWS]))
    if len(findings) > MAX_ROWS:
        yield paragraph(f"and {len(findings) - MAX_ROWS} more", "faint")


def _row(finding: Finding) -> Sequence[str]:
    budget = f" ({finding.pdb})" if finding.pdb else ""
    return (
        finding.workload,
        f"{finding.trouble.value.replace('-', ' ')}{budget}",
        str(finding.n_nodes),
        str(finding.n_pods),
        finding.detail,
        finding.fix,
    )
