"""A small metrics-server over HTTPS, and its APIService, for the API server's real aggregator.

The API server proxies `/apis/metrics.k8s.io` to it, checks the caller's rights there as anywhere,
and answers 503 itself while nobody listens. A Service of type ExternalName leads to loopback, which
endpoints may not name.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.controlplane.cluster import ControlPlane
from tests.kube.usage.metrics import NODES, PODS

VERSION = "metrics.k8s.io/v1beta1"


def service():
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "metrics-server", "namespace": "kube-system"},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }


def api_service(port):
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": "metrics-server", "namespace": "kube-system", "port": port},
        },
    }


class MetricsServer:
    """Lists of what nodes and pods use, as they are set."""

    def __init__(self, nodes=(), pods=()):
        self.lists = {NODES: list(nodes), PODS: list(pods)}
        self.asked = []

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path == f"/apis/{VERSION}":
            resources = [
                {"name": "nodes", "namespaced": False, "kind": "NodeMetrics", "verbs": ["list"]},
                {"name": "pods", "namespaced": True, "kind": "PodMetrics", "verbs": ["list"]},
            ]
            body = {"kind": "APIResourceList", "groupVersion": VERSION, "resources": resources}
            return web.json_response(body)
        if request.path not in self.lists:
            return web.json_response({}, status=404)
        kind = "NodeMetricsList" if request.path == NODES else "PodMetricsList"
        body = {"apiVersion": VERSION, "kind": kind, "metadata": {}}
        return web.json_response(body | {"items": self.lists[request.path]})


@asynccontextmanager
async def serving(plane: ControlPlane, server: MetricsServer) -> AsyncIterator[int]:
    """Serve it by the API server's own certificate; gives the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    folder = plane.layout.certificates
    context.load_cert_chain(folder / "apiserver.crt", folder / "apiserver.key")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
