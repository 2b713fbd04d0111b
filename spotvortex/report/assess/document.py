"""The assessment as one JSON document.

Comes in: a `Report`. Goes out: JSON with every figure of the screen and of its details. Infinite
and unknown numbers are null.
"""

from __future__ import annotations

from spotvortex.report.assess.assessment import Report, gates_in_words
from spotvortex.report.document import Json, plain
from spotvortex.results.schemas import ASSESS


def document_of(report: Report) -> dict[str, Json]:
    """Return a report as what JSON knows."""
    document = plain(report)
    assert isinstance(document, dict)
    document["schema"] = ASSESS
    document["saving_usd_per_hour"] = [
        report.least_saving_usd_per_hour,
        report.saving_usd_per_hour,
    ]
    commitments = document["commitments"]
    assert isinstance(commitments, dict)
    commitments["n_covered"] = report.commitments.n_covered
    commitments["unused_usd_per_hour"] = report.commitments.unused_usd_per_hour
    usage = document["usage"]
    assert isinstance(usage, dict)
    usage["overprovisioned"] = [row.pool for row in report.usage.overprovisioned]
    for entry, decision in zip(document["decisions"], report.decisions, strict=True):  # type: ignore[arg-type]
        assert isinstance(entry, dict)
        entry["pool"] = decision.pool
        entry["current_ratio"] = plain(decision.current_ratio)
        entry["n_nodes"] = decision.n_nodes
        entry["in_words"] = gates_in_words(decision)
    return document
