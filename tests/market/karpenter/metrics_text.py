"""Karpenter's metrics as its process writes them, and a server of them on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from spotvortex.core.domain.types import Offering


@dataclass
class Karpenter:
    """One process: what it knows of offerings and of nodes, by (type, zone, capacity type)."""

    available: dict = field(default_factory=dict)
    prices: dict = field(default_factory=dict)
    nodes: dict = field(default_factory=dict)
    interrupted: dict = field(default_factory=dict)
    started_at: float = 1_784_000_000.0

    def text(self) -> bytes:
        """Write everything, with the series of a kind that nobody wants, by the real library."""
        registry = CollectorRegistry()
        labels = ("capacity_type", "instance_type", "zone")
        head = "karpenter_cloudprovider_instance_type_offering"
        there = Gauge(f"{head}_available", "Availability.", labels, registry=registry)
        price = Gauge(f"{head}_price_estimate", "Price.", labels, registry=registry)
        cores = Gauge(
            "karpenter_cloudprovider_instance_type_cpu_cores", "Cores.", ["x"], registry=registry
        )
        slow = Histogram(
            "karpenter_cloudprovider_duration_seconds", "Time.", ["x"], registry=registry
        )
        went = Counter(
            "karpenter_nodeclaims_disrupted",
            "Disrupted.",
            ("capacity_type", "nodepool", "reason"),
            registry=registry,
        )
        Gauge("process_start_time_seconds", "Start.", registry=registry).set(self.started_at)
        cores.labels("m5.large").set(2)
        slow.labels("m5.large").observe(0.2)
        for gauge, values in ((there, self.available), (price, self.prices)):
            for (instance_type, zone, kind), value in values.items():
                gauge.labels(kind, instance_type, zone).set(value)
        on_node = ("node_name", "resource_type", *labels)
        room = Gauge("karpenter_nodes_allocatable", "Room.", on_node, registry=registry)
        for (instance_type, zone, kind), names in self.nodes.items():
            for name in names:
                for resource, value in (("pods", 29), ("cpu", 3.9)):
                    room.labels(name, resource, kind, instance_type, zone).set(value)
        for (kind, reason), value in self.interrupted.items():
            went.labels(kind, "web", reason).inc(value)
        return generate_latest(registry)


def offering(instance_type="m5.large", zone="us-east-1a"):
    return Offering(instance_type=instance_type, zone=zone)


@dataclass
class Endpoint:
    """Answers in turn; the last one again and again. An exception closes the connection."""

    answers: list
    asked: list = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.query)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer = answer(request) if callable(answer) else answer
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return web.Response(status=status, body=body, content_type="text/plain")


@asynccontextmanager
async def serving(endpoint: Endpoint) -> AsyncIterator[str]:
    """Serve it on loopback; gives the address of its root."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", endpoint.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
