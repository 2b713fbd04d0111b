"""What measures nodes and pods, one source after another, and what has to run for that.

Comes in: settings, a client and the view of the cluster. Goes out: `OpenUsage`. Nothing is asked
here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from spotvortex.app.prices import SystemClock
from spotvortex.core.domain.usage import NO_USAGE, UsageFacts, UsageSource
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.cache.view import KubeClusterView
from spotvortex.kube.usage.metrics_api import MetricsApi
from spotvortex.market.karpenter.usage import PrometheusUsage
from spotvortex.ports.edges import Background
from spotvortex.settings.model import Settings

WARM_S: Final = 10.0
"""Longest time, in seconds, that who looks once waits for the first measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenUsage:
    """Implements `ports.Usage`: the first source that has measured counts.

    Attributes:
        metrics_api: reads metrics.k8s.io.
        prometheus: asks a Prometheus, None where none is set.
    """

    metrics_api: MetricsApi
    prometheus: PrometheusUsage | None = None

    @property
    def _sources(self) -> Sequence[MetricsApi | PrometheusUsage]:
        return [s for s in (self.metrics_api, self.prometheus) if s is not None]

    def facts(self, now: float) -> UsageFacts:
        """Return what the first source has measured; else nothing, and what each lacks."""
        found = [source.facts(now) for source in self._sources]
        for facts in found:
            if facts.source is not UsageSource.REQUESTS:
                return facts
        healths = [health for facts in found for health in facts.inputs]
        detail = "; ".join(health.detail for health in healths)
        return replace(NO_USAGE, inputs=(replace(healths[0], detail=detail),))

    @property
    def background(self) -> list[tuple[str, Background]]:
        """What has to run for it, by name."""
        found: list[tuple[str, Background]] = [("usage", self.metrics_api.run)]
        if self.prometheus is not None:
            found.append(("usage_prometheus", self.prometheus.run))
        return found

    async def warmed(self) -> None:
        """Wait until every source has been asked once, however that went; not for long."""
        try:
            async with asyncio.timeout(WARM_S):
                for source in self._sources:
                    await source.first.wait()
        except TimeoutError:
            return


def open_usage(
    settings: Settings, client: KubeClient, view: KubeClusterView, rng: Random
) -> OpenUsage:
    """Open what the settings name: the cluster's own metrics, then a Prometheus."""
    clock = SystemClock()
    prometheus = None
    if settings.prometheus_url:
        prometheus = PrometheusUsage(settings.prometheus_url, view.node_names, clock, rng)
    return OpenUsage(metrics_api=MetricsApi(client, clock, view), prometheus=prometheus)
