"""Kinds of series that prometheus_client does not have.

Comes in: figures by label values. Goes out: families for a registry. May not know what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from spotvortex.core.domain.cloud.notices import NoticeKind, RejectReason
from spotvortex.errors import QueueFault
from spotvortex.ports.writing import NoticeTraffic

Series = Mapping[tuple[str, ...], float | None]
"""Values by label values; None where the figure is not known."""


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


def _by_label(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"spotvortex_{name}", text, labels=[label])
    for value, n in counts.items():
        family.add_metric([value], n)
    return family


def _plain(name: str, text: str, n: int) -> Metric:
    return CounterMetricFamily(f"spotvortex_{name}", text, value=n)
