"""Write the Grafana dashboards from a table of panels each, or check that they are up to date.

Usage: python -m scripts.dashboards [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.generated import write_or_check

FOLDER = (
    Path(__file__).resolve().parent.parent / "deploy" / "kustomize" / "components" / "dashboards"
)
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT = 12, 8
"""Two panels a row of Grafana's 24 columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One plot.

    Attributes:
        title: what it is called.
        unit: Grafana's name of the unit.
        queries: what is drawn, each with the legend of its series.
        words: what it says, for who points at it.
    """

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    words: str = ""


def _slowest(series: str) -> str:
    """Return the query for the time that 99 of 100 stay under."""
    buckets = f"rate(spotvortex_{series}_bucket[15m])"
    return f"histogram_quantile(0.99, sum by (le) ({buckets}))"


_POOLS = '{pool=~"$pool"}'

OPERATIONS = (
    Panel(
        title="Cycles per minute",
        unit="short",
        queries=(("sum(rate(spotvortex_cycles_total[5m])) * 60", "cycles"),),
    ),
    Panel(
        title="Who leads",
        unit="short",
        queries=(("spotvortex_leader", "{{pod}} {{mode}}"),),
        words="One replica is at 1. Two at 1 cannot write at once: the lease is held by one.",
    ),
    Panel(
        title="Age of inputs",
        unit="s",
        queries=(("max by (input) (spotvortex_input_age_seconds)", "{{input}}"),),
        words="Nodes and pods older than 20 s hold every move for price.",
    ),
    Panel(
        title="Refusals by gate",
        unit="short",
        queries=(
            (
                'sum by (gate) (increase(spotvortex_gate_verdicts_total{outcome="refuse"}[15m]))',
                "{{gate}}",
            ),
        ),
    ),
    Panel(
        title="Moves by their end",
        unit="short",
        queries=(("sum by (end) (increase(spotvortex_drains_total[1h]))", "{{end}}"),),
    ),
    Panel(
        title="Requests that change the cluster",
        unit="short",
        queries=(("sum by (call) (increase(spotvortex_calls_total[1h]))", "{{call}}"),),
    ),
    Panel(
        title="Time of a cycle, 99 of 100",
        unit="s",
        queries=((_slowest("reconcile_loop_duration_seconds"), "from observation to plan"),),
    ),
    Panel(
        title="Stalls of the event loop, 99 of 100",
        unit="s",
        queries=((_slowest("event_loop_stall_seconds"), "late by"),),
    ),
)

SAVINGS = (
    Panel(
        title="Cost",
        unit="currencyUSD",
        queries=(
            ("sum(spotvortex_cost_usd_per_hour)", "now, per hour"),
            ("sum(spotvortex_all_on_demand_usd_per_hour)", "all on-demand, per hour"),
        ),
        words="At list price; commitments are not in it.",
    ),
    Panel(
        title="Saved by Spot",
        unit="currencyUSD",
        queries=(
            (
                "sum(spotvortex_all_on_demand_usd_per_hour) - sum(spotvortex_cost_usd_per_hour)",
                "per hour",
            ),
        ),
    ),
    Panel(
        title="Spot share by pool",
        unit="percentunit",
        queries=((f"spotvortex_spot_ratio_current{_POOLS}", "{{pool}}"),),
    ),
    Panel(
        title="Target by pool",
        unit="percentunit",
        queries=((f"spotvortex_spot_ratio_target{_POOLS}", "{{pool}}"),),
    ),
    Panel(
        title="Nodes by capacity type",
        unit="short",
        queries=((f"sum by (capacity_type) (spotvortex_nodes{_POOLS})", "{{capacity_type}}"),),
    ),
    Panel(
        title="Saved since the ledger was begun",
        unit="currencyUSD",
        queries=(
            ('sum(spotvortex_savings_usd_total{kind="realised"})', "realised"),
            ('sum(spotvortex_savings_usd_total{kind="overspent"})', "overspent"),
            ('sum(spotvortex_savings_usd_total{kind="projected"})', "at the allowed target"),
        ),
        words="From the ledger, over restarts; beyond commitments where they are stated.",
    ),
    Panel(
        title="What moves have cost in a day",
        unit="currencyUSD",
        queries=(("sum by (kind) (increase(spotvortex_move_cost_usd_total[1d]))", "{{kind}}"),),
        words="Nodes that ran double while they were emptied, and room of pods that restarted.",
    ),
    Panel(
        title="Cost by pool",
        unit="currencyUSD",
        queries=((f"sum by (pool) (spotvortex_cost_usd_per_hour{_POOLS})", "{{pool}} per hour"),),
    ),
)

MODEL = (
    Panel(
        title="Capacity score",
        unit="percentunit",
        queries=((f"spotvortex_capacity_score{_POOLS}", "{{pool}}"),),
        words="Mean probability that a launch fails, or the offering is lost, within 60 minutes.",
    ),
    Panel(
        title="Runtime score",
        unit="percentunit",
        queries=((f"spotvortex_runtime_score{_POOLS}", "{{pool}}"),),
        words="Mean probability that a running node is interrupted within 120 minutes.",
    ),
    Panel(
        title="Confidence",
        unit="percentunit",
        queries=((f"spotvortex_confidence{_POOLS}", "{{pool}}"),),
    ),
    Panel(
        title="Losses that were learned",
        unit="short",
        queries=(
            ("sum by (evidence) (increase(spotvortex_losses_learned_total[1h]))", "{{evidence}}"),
        ),
    ),
    Panel(
        title="Launches, and failures of them",
        unit="short",
        queries=(
            ("sum(increase(spotvortex_launches_learned_total[1h]))", "launched"),
            ("sum(increase(spotvortex_launch_failures_learned_total[1h]))", "failed"),
        ),
    ),
    Panel(
        title="Workloads that one loss breaks",
        unit="short",
        queries=((f"spotvortex_unsafe_workloads{_POOLS}", "{{pool}}"),),
    ),
    Panel(
        title="Past predictions: squared error, all bands",
        unit="none",
        queries=(('spotvortex_prediction_brier_score{band="all"}', "{{model}} {{minutes}} min"),),
    ),
    Panel(
        title="Past predictions: losses over losses predicted, all bands",
        unit="none",
        queries=(
            ('spotvortex_prediction_observed_ratio{band="all"}', "{{model}} {{minutes}} min"),
        ),
    ),
    Panel(
        title="Time of the model, 99 of 100",
        unit="s",
        queries=((_slowest("inference_latency_seconds"), "scoring"),),
    ),
    Panel(
        title="Actions",
        unit="short",
        queries=(("sum by (action) (increase(spotvortex_action_taken_total[1h]))", "{{action}}"),),
    ),
)

DASHBOARDS = {"operations": OPERATIONS, "savings": SAVINGS, "model": MODEL}


def dashboard(name: str, panels: Sequence[Panel]) -> str:
    """Return a dashboard as Grafana imports it."""
    document = {
        "uid": f"spotvortex-{name}",
        "title": f"SpotVortex: {name}",
        "tags": ["spotvortex"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [_source(), _pools()]},
        "panels": list(_laid_out(panels)),
    }
    return json.dumps(document, indent=2) + "\n"


def _source() -> dict[str, object]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _pools() -> dict[str, object]:
    return {
        "name": "pool",
        "type": "query",
        "datasource": SOURCE,
        "query": "label_values(spotvortex_spot_ratio_current, pool)",
        "includeAll": True,
        "multi": True,
        "refresh": 2,
    }


def _laid_out(panels: Sequence[Panel]) -> Iterator[dict[str, object]]:
    for i, panel in enumerate(panels):
        yield {
            "id": i + 1,
            "type": "timeseries",
            "title": panel.title,
            "description": panel.words,
            "datasource": SOURCE,
            "gridPos": {
                "x": WIDTH * (i % 2),
                "y": HEIGHT * (i // 2),
                "w": WIDTH,
                "h": HEIGHT,
            },
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "targets": [
                {"refId": chr(ord("A") + n), "expr": query, "legendFormat": legend}
                for n, (query, legend) in enumerate(panel.queries)
            ],
        }


def main() -> int:
    """Write or check every dashboard."""
    return max(
        write_or_check(
            FOLDER / f"{name}.json",
            lambda name=name: dashboard(name, DASHBOARDS[name]),
            "dashboards",
        )
        for name in DASHBOARDS
    )


if __name__ == "__main__":
    sys.exit(main())
