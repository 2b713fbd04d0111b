"""Kinds of series that prometheus_client does not have.

Comes in: figures by label values. Goes out: families for a registry. May not know what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import Metric

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
