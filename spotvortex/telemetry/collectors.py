"""Kinds of series that prometheus_client does not have.

Comes in: figures by label values. Goes out: families for a registry. May not know what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from spotvortex.core.domain.cloud.notices import NoticeKind, RejectReason
from spotvortex.core.ledger.sums import PoolSums
from spotvortex.errors import QueueFault
from spotvortex.ports.edges import Traffic
from spotvortex.ports.writing import NoticeTraffic

Series = Mapping[tuple[str, ...], float | None]
"""Values by label values; None where the figure is not known."""


def own_registry() -> CollectorRegistry:
    """Return a registry with the process's own figures: processor time, memory, files, start."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


class LiveGauge:
    """A gauge whose series are exactly those of the last `show`."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: frozenset[tuple[str, ...]] = frozenset()

    def show(self, series: Series) -> None:
        """Set these series and remove all others."""
        known = {labels: value for labels, value in series.items() if value is not None}
        for labels, value in known.items():
            self._gauge.labels(*labels).set(value)
        for labels in self._shown - known.keys():
            self._gauge.remove(*labels)
        self._shown = frozenset(known)


class WithoutCreated:
    """A registry's families without the `_created` samples, which double the series for nothing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """Yield the families."""
        for family in self._registry.collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family


class TrafficSeries(Collector):
    """What an edge counts itself, read when somebody asks."""

    def __init__(self, traffic: Callable[[], Traffic]) -> None:
        self._traffic = traffic

    def collect(self) -> Iterable[Metric]:
        """Yield the families."""
        now = self._traffic()
        for name, text, label, counts in (
            ("requests", "Requests to the API server.", "verb", now.requests),
            ("relists", "Lists made anew after an expiry.", "resource", now.relists),
            ("skipped_objects", "Objects not understood.", "resource", now.skipped),
        ):
            yield _by_label(f"kube_{name}", text, label, dict(sorted(counts.items())))


class SavingsSeries(Collector):
    """What the ledger has counted by pool since it was begun, over restarts."""

    def __init__(self, totals: Callable[[], Mapping[str, PoolSums]]) -> None:
        self._totals = totals

    def collect(self) -> Iterable[Metric]:
        """Yield the families; nodes of no pool have no series."""
        pools = {name: sums for name, sums in sorted(self._totals().items()) if name}
        savings = _counter("savings_usd", "Savings since the ledger was begun.", "pool", "kind")
        costs = _counter("move_cost_usd", "What moves have cost beside it.", "pool", "kind")
        double = _counter("double_running_seconds", "Nodes that were being emptied.", "pool")
        restarts = _counter("restarts", "Pods that moves have evicted.", "pool")
        for pool, sums in pools.items():
            savings.add_metric([pool, "realised"], sums.saved_usd)
            savings.add_metric([pool, "overspent"], sums.overspent_usd)
            savings.add_metric([pool, "at_stake"], sums.at_stake_usd)
            savings.add_metric([pool, "projected"], sums.projected_usd)
            costs.add_metric([pool, "double_running"], sums.double_usd)
            costs.add_metric([pool, "restarts"], sums.restart_usd)
            double.add_metric([pool], sums.double_hours * 3600.0)
            restarts.add_metric([pool], sums.n_restarts)
        return (savings, costs, double, restarts)


class NoticeSeries(Collector):
    """What came from a source of notices since start."""

    def __init__(self, traffic: Callable[[], NoticeTraffic]) -> None:
        self._traffic = traffic

    def collect(self) -> Iterable[Metric]:
        """Yield the families."""
        now = self._traffic()
        messages = {
            "received": now.received,
            "redelivered": now.redelivered,
            "duplicate": now.duplicates,
            "expired": now.expired,
            "left": now.left,
            "deleted": now.deleted,
        }
        yield _by_label("notices", "New notices.", "kind", _whole(NoticeKind, now.notices))
        yield _plain("notices_settled", "Notices that were settled.", now.settled)
        yield _by_label("notice_messages", "Messages with notices.", "event", messages)
        rejects = _whole(RejectReason, now.rejects)
        yield _by_label("notice_rejects", "Messages without a notice.", "reason", rejects)
        errors = _whole(QueueFault, now.errors)
        yield _by_label("notice_queue_errors", "Failed requests to the queue.", "fault", errors)
        for name, kind in (
            ("aws_interruption_notice", NoticeKind.INTERRUPTION),
            ("aws_rebalance_recommendation", NoticeKind.REBALANCE),
        ):
            yield _plain(name, f"New notices of kind {kind}.", now.notices.get(kind, 0))


def _whole(values: Iterable[str], counts: Mapping[str, int]) -> dict[str, int]:
    return {str(value): counts.get(value, 0) for value in values}


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"spotvortex_{name}", text, labels=labels)


def _by_label(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"spotvortex_{name}", text, labels=[label])
    for value, n in counts.items():
        family.add_metric([value], n)
    return family


def _plain(name: str, text: str, n: int) -> Metric:
    return CounterMetricFamily(f"spotvortex_{name}", text, value=n)
