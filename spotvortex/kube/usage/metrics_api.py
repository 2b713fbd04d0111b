"""What nodes and pods use, from metrics.k8s.io, wherever the cluster serves it.

Comes in: a client, and who knows what pods have asked for. Goes out: `UsageFacts`. Once a minute
one list of nodes, and one of pods in clusters that are not too large for it; neither is watched,
since everything changes all the time. May not write, and needs no right: without one it says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol, TypeVar

from spotvortex.aio import pause
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.usage import NO_USAGE, Amount, UsageFacts, UsageSource, WorkloadUse
from spotvortex.errors import ApiError, ForbiddenError, NotServedError
from spotvortex.kube.api import quantities
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.wire.codec import Codec
from spotvortex.kube.api.wire.metrics import NodeMetrics, PodMetrics, Used
from spotvortex.ports.cluster import WallClock

log = logging.getLogger(__name__)

GROUP: Final = "metrics.k8s.io"
NODES: Final = f"/apis/{GROUP}/v1beta1/nodes"
PODS: Final = f"/apis/{GROUP}/v1beta1/pods"

EVERY_S: Final = 60.0
"""Seconds between two reads; metrics-server itself looks every 15 s."""

UNSERVED_S: Final = 600.0
"""Seconds until the next look where the group is not served, or may not be read."""

ANSWER_S: Final = 20.0
OLD_S: Final = 300.0
"""Age above which a sample, or a whole read, counts no longer."""

MAX_PODS: Final = 10_000
"""Pods of a cluster above which only nodes are measured: the list has no pages, and 4 MB then."""

MAX_WORKLOADS: Final = 50
"""Workloads that are kept: those that ask for most beyond what they use."""

A_BREATH: Final = 100
"""Objects between two breaths of the loop."""

COST: Final = "utilisation is taken from requests, which say nothing of what is used"

Measured = TypeVar("Measured", NodeMetrics, PodMetrics)
LISTED_S: Final = 60.0
"""Longest wait for the first list of pods, without which no pod has a workload."""


class KnownRequests(Protocol):
    """Knows what pods have asked for."""

    @property
    def n_pods(self) -> int:
        """Number of pods in the cluster."""
        ...

    @property
    def has_pods(self) -> bool:
        """Whether they have all been listed once."""
        ...

    def asked(self, key: str) -> tuple[str, Amount] | None:
        """Return a pod's workload and what it requests, None of one unknown or without an owner."""
        ...


class MetricsApi:
    """Implements `ports.Usage` by metrics.k8s.io; `run` has to be running.

    Attributes:
        first: set when it has been read once, however that went.
    """

    def __init__(self, client: KubeClient, clock: WallClock, requests: KnownRequests) -> None:
        """Know nothing yet."""
        self._client, self._clock, self._requests = client, clock, requests
        self._nodes, self._pods = Codec(NodeMetrics), Codec(PodMetrics)
        self._found = NO_USAGE
        self._read_at = 0.0
        self._state, self._detail = InputState.ABSENT, f"not read yet: {COST}"
        self.first = asyncio.Event()

    def facts(self, now: float) -> UsageFacts:
        """Return what was measured last. See `ports.Usage.facts`."""
        age_s = now - self._read_at
        state = self._state
        if state is InputState.OK and age_s > OLD_S:
            state = InputState.STALE
        health = InputHealth(
            name=InputName.USAGE, state=state, age_s=age_s, required=False, detail=self._detail
        )
        is_good = state is InputState.OK and bool(self._found.nodes)
        return replace(self._found if is_good else NO_USAGE, inputs=(health,))

    async def run(self, stop: asyncio.Event) -> None:
        """Read until told to stop."""
        loop = asyncio.get_running_loop()
        begin_by = loop.time() + LISTED_S
        while not self._requests.has_pods and loop.time() < begin_by and not stop.is_set():
            await pause(stop, 0.2)
        while not stop.is_set():
            await self.look()
            self.first.set()
            served = self._state not in (InputState.ABSENT, InputState.DENIED)
            await pause(stop, EVERY_S if served else UNSERVED_S)

    async def look(self) -> None:
        """Read once; without an answer what was read before counts until it is old."""
        try:
            nodes = {name: used async for name, used in self._read_nodes()}
        except (NotServedError, ForbiddenError) as error:
            self._refuse(error)
            return
        except ApiError as error:
            if self._state is not InputState.OK:
                self._say(InputState.STALE, f"{GROUP} does not answer: {error}; {COST}")
            return
        workloads, untold = await self._workloads()
        self._found = UsageFacts(
            source=UsageSource.METRICS_API, nodes=nodes, workloads=tuple(workloads)
        )
        self._read_at = self._clock.now()
        if not nodes:
            untold = f"{GROUP} measures no node yet; {COST}"
        self._say(InputState.OK if nodes else InputState.STALE, untold)

    def _refuse(self, error: ApiError) -> None:
        self._found = NO_USAGE
        if isinstance(error, ForbiddenError):
            fix = f"grant get,list on {GROUP}/nodes and {GROUP}/pods"
            self._say(InputState.DENIED, f"no right to read {GROUP}: {COST}; {fix}")
            return
        fix = "install metrics-server, or set SPOTVORTEX_PROMETHEUS_URL"
        self._say(InputState.ABSENT, f"the cluster serves no {GROUP}: {COST}; {fix}")

    def _say(self, state: InputState, detail: str) -> None:
        if (state, detail) != (self._state, self._detail):
            log.info("usage.read", extra={"state": state, "detail": detail})
        self._state, self._detail = state, detail

    async def _read_nodes(self) -> AsyncIterator[tuple[str, Amount]]:
        body = await self._client.get_bytes(NODES, timeout=ANSWER_S, verb="list")
        async for node in self._sound(self._nodes.page(body).objects):
            amount = _amount([node.usage])
            if amount is not None:
                yield node.metadata.name, amount

    async def _workloads(self) -> tuple[Sequence[WorkloadUse], str]:
        """Read pods, where that is not too much, and sum them; else say why they are not read."""
        n_pods = self._requests.n_pods
        if n_pods > MAX_PODS:
            return (), f"nodes alone are measured: {n_pods} pods are more than {MAX_PODS}"
        try:
            body = await self._client.get_bytes(PODS, timeout=ANSWER_S, verb="list")
            return await self._sums(self._pods.page(body).objects), ""
        except ApiError as error:
            return (), f"nodes alone are measured: {error}"

    async def _sums(self, pods: Sequence[PodMetrics]) -> Sequence[WorkloadUse]:
        sums: dict[str, WorkloadUse] = {}
        async for pod in self._sound(pods):
            known = self._requests.asked(pod.metadata.key)
            used = _amount([container.usage for container in pod.containers])
            if known is None or used is None:
                continue
            workload, asked = known
            before = sums.get(workload) or _NOTHING
            sums[workload] = WorkloadUse(
                workload=workload,
                n_pods=before.n_pods + 1,
                asked=_sum(before.asked, asked),
                used=_sum(before.used, used),
            )
        return sorted(sums.values(), key=_most_spare)[:MAX_WORKLOADS]

    async def _sound(self, objects: Sequence[Measured]) -> AsyncIterator[Measured]:
        """Yield the samples that are not too old, with a breath for the loop now and then."""
        now = self._clock.now()
        for i, measured in enumerate(objects):
            if i % A_BREATH == A_BREATH - 1:
                await asyncio.sleep(0)
            if not _is_old(measured.timestamp, now):
                yield measured


_NONE: Final = Amount(0, 0)
_NOTHING: Final = WorkloadUse(workload="", n_pods=0, asked=_NONE, used=_NONE)


def _is_old(at: datetime | None, now: float) -> bool:
    return at is not None and now - at.timestamp() > OLD_S


def _sum(one: Amount, other: Amount) -> Amount:
    return Amount(one.cpu_milli + other.cpu_milli, one.memory_bytes + other.memory_bytes)


def _most_spare(use: WorkloadUse) -> tuple[int, str]:
    return use.used.cpu_milli - use.asked.cpu_milli, use.workload


def _amount(parts: Sequence[Used]) -> Amount | None:
    """Add up, None where a part cannot be read or is negative."""
    try:
        cpu = sum(_cpu_milli(part.cpu) for part in parts)
        memory = sum(_memory_bytes(part.memory) for part in parts)
    except ValueError:
        return None
    return Amount(cpu, memory) if cpu >= 0 and memory >= 0 else None


def _cpu_milli(quantity: quantities.Quantity) -> int:
    """Read what metrics-server writes (`12345678n`) without the cost of the whole grammar.

    Each figure is another one, so that remembering them, as of requests, would only fill memory.
    """
    if isinstance(quantity, str) and quantity.endswith("n") and quantity[:-1].isdecimal():
        return -(-int(quantity[:-1]) // 1_000_000)
    return quantities.cpu_milli(quantity)


def _memory_bytes(quantity: quantities.Quantity) -> int:
    if isinstance(quantity, str) and quantity.endswith("Ki") and quantity[:-2].isdecimal():
        return int(quantity[:-2]) * 1024
    return quantities.memory_bytes(quantity)
