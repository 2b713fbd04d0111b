"""The gate's figures as metrics in Prometheus' text form, for a dashboard to plot.

Comes in: a `Matrix`. Goes out: the text of a file, as a textfile collector or a push gateway takes
it. The form knows no slash in a name, so the figure's own name stands in the label `figure`. May
not compute a figure; one that is not known has no series.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from spotvortex.report.evaluation.matrix import NET_PROFIT, OUTAGE_DELTA
from spotvortex.results.matrix import Matrix
from spotvortex.results.verdict import GateStatus

Labels = dict[str, str]

NET_PROFIT_METRIC: Final = "eval_net_profit_improvement_pct"
SEED_METRIC: Final = "eval_seed_net_profit_improvement_pct"
OUTAGE_METRIC: Final = "eval_outage_delta"
PASS_METRIC: Final = "eval_gate_passed"  # noqa: S105 -- a verdict


def render_metrics(matrix: Matrix) -> str:
    """Render every figure."""
    return "".join(
        _metric(name, words, series)
        for name, words, series in (
            (
                NET_PROFIT_METRIC,
                (
                    f"{NET_PROFIT}: median improvement of net profit over a rival, percent;"
                    " family all is the median over seeds"
                ),
                _profits(matrix),
            ),
            (
                SEED_METRIC,
                f"{NET_PROFIT} of each seed, all its worlds together, percent",
                _seed_profits(matrix),
            ),
            (
                OUTAGE_METRIC,
                (
                    f"{OUTAGE_DELTA}: outage minutes beyond a rival's; of each seed all its worlds"
                    " together, of a cell the worst world"
                ),
                _outages(matrix),
            ),
            (PASS_METRIC, "1 where the gate is passed, else 0", _passes(matrix)),
        )
    )


def _metric(name: str, words: str, series: Iterable[tuple[Labels, float]]) -> str:
    lines = [f"# HELP {name} {words}", f"# TYPE {name} gauge"]
    for labels, value in series:
        inner = ",".join(f'{key}="{_escaped(said)}"' for key, said in labels.items())
        lines.append(f"{name}{{{inner}}} {value!r}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _common(matrix: Matrix, figure: str) -> Labels:
    return {"figure": figure, "policy": matrix.policy, "constants": matrix.constants_digest[:12]}


def _profits(matrix: Matrix) -> Iterator[tuple[Labels, float]]:
    common = _common(matrix, NET_PROFIT)
    if matrix.net_profit_improvement_pct is not None:
        whole = {"family": "all", "commitment": "all", "rival": matrix.rival}
        yield common | whole, matrix.net_profit_improvement_pct
    for cell in matrix.cells:
        if cell.improvement_pct is not None:
            of_cell = {"family": cell.family, "commitment": cell.commitment, "rival": cell.rival}
            yield common | of_cell, cell.improvement_pct.spread.median


def _seed_profits(matrix: Matrix) -> Iterator[tuple[Labels, float]]:
    for one in matrix.seeds:
        if one.net_profit_improvement_pct is not None:
            labels = {"rival": matrix.rival, "seed": str(one.seed)}
            yield _common(matrix, NET_PROFIT) | labels, one.net_profit_improvement_pct


def _outages(matrix: Matrix) -> Iterator[tuple[Labels, float]]:
    common = _common(matrix, OUTAGE_DELTA)
    for one in matrix.seeds:
        whole = {"family": "all", "commitment": "all", "rival": matrix.rival}
        yield common | whole | {"seed": str(one.seed)}, one.outage_delta_minutes
    for cell in matrix.cells:
        of_cell = {"family": cell.family, "commitment": cell.commitment, "rival": cell.rival}
        yield common | of_cell | {"seed": "worst"}, cell.outages.worst_delta_minutes


def _passes(matrix: Matrix) -> Iterator[tuple[Labels, float]]:
    common = {"policy": matrix.policy, "constants": matrix.constants_digest[:12]}
    whole = {"family": "all", "commitment": "all", "rival": "all"}
    yield common | whole, float(matrix.standing is GateStatus.PASS)
    for cell in matrix.judged:
        of_cell = {"family": cell.family, "commitment": cell.commitment, "rival": cell.rival}
        yield common | of_cell, float(cell.standing is GateStatus.PASS)
