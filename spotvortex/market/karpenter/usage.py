"""What nodes use, out of a Prometheus that scrapes the kubelets.

Comes in: the names of the nodes. Goes out: `UsageFacts`. cAdvisor's series of the root control
group are the whole node; which label names the node differs by how the Prometheus was set up, so
each that is known is tried, and a series that names no node of the cluster is left out. May not
add up series: of two about one node, as a pair of Prometheus servers has them, the larger counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from spotvortex.aio import pause
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.usage import NO_USAGE, Amount, UsageFacts, UsageSource
from spotvortex.errors import MetricsError
from spotvortex.market.karpenter import http
from spotvortex.market.karpenter.prometheus import ANSWER_S, Piece, Prometheus, Series
from spotvortex.ports.cluster import WallClock

EVERY_S: Final = 60.0
OLD_S: Final = 300.0
"""Age above which a read counts no longer."""

STEP_S: Final = 60.0
NAMES: Final = ("node", "kubernetes_node", "kubernetes_io_hostname", "instance")
"""Labels that name a node: of kube-prometheus-stack, of older charts, and of the configuration that
Prometheus ships for Kubernetes."""

_BY: Final = f"max by ({', '.join(NAMES)})"
CPU: Final = f'{_BY} (rate(container_cpu_usage_seconds_total{{id="/"}}[5m]))'
MEMORY: Final = f'{_BY} (container_memory_working_set_bytes{{id="/"}})'

log = logging.getLogger(__name__)


class PrometheusUsage:
    """Implements `ports.Usage` by one Prometheus; `run` has to be running.

    Attributes:
        first: set when it has been asked once, however that went.
    """

    def __init__(
        self, url: str, nodes: Callable[[], Collection[str]], clock: WallClock, rng: Random
    ) -> None:
        """Know nothing yet; `nodes` tells the names of the cluster's nodes."""
        self._url, self._nodes, self._clock, self._rng = url, nodes, clock, rng
        self._found, self._read_at, self._trouble = NO_USAGE, 0.0, "not asked yet"
        self.first = asyncio.Event()

    def facts(self, now: float) -> UsageFacts:
        """Return what was measured last. See `ports.Usage.facts`."""
        age_s = now - self._read_at
        is_good = bool(self._found.nodes) and age_s <= OLD_S
        health = InputHealth(
            name=InputName.USAGE,
            state=InputState.OK if is_good else InputState.STALE,
            age_s=age_s,
            required=False,
            detail=self._trouble,
        )
        return replace(self._found if is_good else NO_USAGE, inputs=(health,))

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until told to stop."""
        async with http.session(ANSWER_S) as client:
            prometheus = Prometheus(self._url, client, self._rng)
            while not stop.is_set():
                await self.look(prometheus)
                self.first.set()
                await pause(stop, EVERY_S)

    async def look(self, prometheus: Prometheus) -> None:
        """Ask once; without an answer what was read before counts until it is old."""
        now = self._clock.now()
        piece = Piece(start=now - STEP_S, end=now, step_s=STEP_S)
        try:
            cpu = await prometheus.query_range(CPU, piece)
            memory = await prometheus.query_range(MEMORY, piece)
        except MetricsError as error:
            self._say(f"utilisation is not known of Prometheus: {error}")
            return
        nodes = joined(cpu, memory, frozenset(self._nodes()))
        self._found = UsageFacts(source=UsageSource.PROMETHEUS, nodes=nodes)
        self._read_at = now
        missing = "it has no series of cAdvisor's root group that names a node of this cluster"
        self._say("" if nodes else f"utilisation is not known of Prometheus: {missing}")

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.info("usage.asked", extra={"trouble": trouble, "n_nodes": len(self._found.nodes)})
        self._trouble = trouble


def joined(
    cpu: Sequence[Series], memory: Sequence[Series], names: frozenset[str]
) -> Mapping[str, Amount]:
    """Return what each node uses of which both are known."""
    cores, sizes = _last_by_node(cpu, names), _last_by_node(memory, names)
    return {
        name: Amount(round(cores[name] * 1000.0), round(sizes[name]))
        for name in sorted(cores.keys() & sizes.keys())
    }


def _last_by_node(found: Sequence[Series], names: frozenset[str]) -> dict[str, float]:
    last: dict[str, float] = {}
    for series in found:
        name = _node_of(series.labels, names)
        if name and series.values:
            last[name] = max(series.values[-1][1], last.get(name, 0.0))
    return last


def _node_of(labels: Mapping[str, str], names: frozenset[str]) -> str:
    """Return the node that a series is about, "" where it names none of the cluster."""
    given = (labels.get(label, "") for label in NAMES)
    bare = (name if name in names else name.rpartition(":")[0] for name in given)
    return next((name for name in bare if name in names), "")
