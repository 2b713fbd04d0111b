"""The composition root: opens the edges, hands them to the tasks, closes all in order.

Comes in: settings, and on which side of the world to work. Goes out: a running daemon, or one
assessed cycle. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from random import Random

from spotvortex import __version__, server
from spotvortex.core.messages import ControllerState
from spotvortex.core.observation import InputState, Observation
from spotvortex.core.reconcile import reconcile
from spotvortex.errors import ApiError, SettingsError
from spotvortex.kube.client import KubeClient
from spotvortex.kube.view import KubeClusterView
from spotvortex.market.last_resort import LastResortMarket, LayeredMarket
from spotvortex.market.recorded import load_recorded
from spotvortex.model import onnx
from spotvortex.pipeline.actuation import Shadow
from spotvortex.pipeline.collector import offerings_of
from spotvortex.pipeline.heartbeats import Heartbeats
from spotvortex.pipeline.inference import Inference
from spotvortex.pipeline.stalls import watch_stalls
from spotvortex.pipeline.supervisor import Ports, make_views, supervise
from spotvortex.ports import Background, Edges, Market, Telemetry
from spotvortex.report.assessment import Frame, Report, make_report
from spotvortex.settings import Settings, kubeconfig, tracing_is_on
from spotvortex.telemetry.hub import Hub
from spotvortex.telemetry.journal import DecisionJournal, LineFormat, open_sink
from spotvortex.telemetry.metrics import Metrics
from spotvortex.telemetry.tracing import Tracing, otlp_exporter

log = logging.getLogger(__name__)

ASSESS_S = 45.0
"""An assessment that is not done by then says what it is waiting for, and ends."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return seconds since the epoch, UTC."""
        return time.time()  # noqa: TID251 - this is the WallClock of the daemon


def market_of(settings: Settings) -> Market:
    """Open the recorded prices, if any, over the table of last resort."""
    last_resort = LastResortMarket()
    if settings.price_file is None:
        return last_resort
    age = settings.max_price_age_s
    return LayeredMarket(load_recorded(settings.price_file, age), last_resort, age)


@asynccontextmanager
async def kubernetes_edges(settings: Settings) -> AsyncIterator[Edges]:
    """Open the real side: the API server of the kubeconfig or of the pod, and recorded prices."""
    market = market_of(settings)
    client = await KubeClient.connect(kubeconfig=kubeconfig(), context=settings.kube_context)
    try:
        view = KubeClusterView(client, Random())  # noqa: S311 - jitter of reconnects
        yield Edges(
            name=f"{client.context_name} ({client.server})",
            cluster=view,
            market=market,
            clock=SystemClock(),
            offload=asyncio.to_thread,
            background=[("watches", view.run)],
        )
    finally:
        await client.close()


async def run_daemon(
    settings: Settings, opening: AbstractAsyncContextManager[Edges], stop: asyncio.Event
) -> None:
    """Run until `stop` is set or a signal comes, then stop in order; the server closes last."""
    async with AsyncExitStack() as stack:
        forecaster = onnx.load(settings.model_dir, settings.cloud)
        metrics = Metrics(version=__version__, mode=settings.limits().mode)
        exporter = otlp_exporter() if tracing_is_on() else None
        hub = Hub(metrics, Tracing(exporter, version=__version__))
        stack.push_async_callback(asyncio.to_thread, hub.close)
        journal = _journal(settings, metrics)
        edges = await stack.enter_async_context(opening)
        ports = Ports(
            edges=_watched(edges, hub),
            forecaster=forecaster,
            actuator=Shadow(cluster=edges.cluster, telemetry=hub),
            journal=journal,
            telemetry=hub,
        )
        limits = settings.limits()
        views = make_views(ports, limits, settings.tick_s)
        pages = server.Views(
            health=views.heartbeats,
            readiness=views.status,
            metrics=metrics,
            decisions=journal,
            plans=views.status,
            clock=edges.clock,
        )
        served = server.serve(
            settings.http_host, settings.http_port, pages, time_scale=edges.time_scale
        )
        port = await stack.enter_async_context(served)
        _stop_on_signals(stop)
        log.info("daemon.started", extra={"on": edges.name, "mode": limits.mode, "port": port})
        await supervise(ports, views, limits, settings.tick_s, stop)
        log.info("daemon.stopped")


def _journal(settings: Settings, metrics: Metrics) -> DecisionJournal:
    try:
        sink = open_sink(settings.decision_log)
    except OSError as error:
        raise SettingsError(f"SPOTVORTEX_DECISION_LOG={settings.decision_log}: {error}") from error
    return DecisionJournal(
        code_version=__version__,
        counts=metrics,
        sink=sink,
        line_format=LineFormat(settings.decision_format),
    )


def _watched(edges: Edges, telemetry: Telemetry) -> Edges:
    """Add the watch over the loop's stalls, where the loop runs in real time."""
    if edges.time_scale != 1.0:
        return edges

    async def stalls(stop: asyncio.Event) -> None:
        await watch_stalls(telemetry, stop)

    return replace(edges, background=[*edges.background, ("stalls", stalls)])


def _stop_on_signals(stop: asyncio.Event) -> None:
    """Stop in order at the first signal; a second one ends the process at once."""
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, on_signal)


async def assess(settings: Settings) -> Report:
    """Read the cluster once, decide once, and report; nothing is written and nothing stays.

    Raises:
        SettingsError: there is no cluster to read.
        ApiError: the API server did not let us read nodes and pods in time.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    forecaster = onnx.load(settings.model_dir, settings.cloud)
    limits = settings.limits()
    telemetry = Hub(Metrics(version=__version__, mode=limits.mode), Tracing(None))
    inference = Inference(
        forecaster=forecaster,
        offload=asyncio.to_thread,
        telemetry=telemetry,
        heartbeats=Heartbeats({}),
    )
    async with kubernetes_edges(settings) as edges:
        observation = await _observe_once(edges)
        assessment = await inference.assess(observation)
        _, plan = reconcile(ControllerState(), assessment, limits)
        frame = Frame(context=edges.name, seconds=loop.time() - started, version=__version__)
        return make_report(plan, frame)


async def _observe_once(edges: Edges) -> Observation:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for name, background in edges.background:
            group.create_task(_run(background, stop), name=name)
        await _synced_or_denied(edges)
        now = edges.clock.now()
        cluster = edges.cluster.snapshot(now)
        market = edges.market.facts(offerings_of(cluster), now)
        stop.set()
    missing = [h for h in cluster.inputs if h.required and h.state is not InputState.OK]
    if missing:
        words = "; ".join(f"{h.name} {h.state}: {h.detail}" for h in missing)
        raise ApiError(f"{edges.name} could not be read: {words}")
    return Observation(cycle=1, at=now, cluster=cluster, market=market)


async def _synced_or_denied(edges: Edges) -> None:
    """Wait for the first lists, but not for a right that is missing, nor for ever."""
    try:
        async with asyncio.timeout(ASSESS_S), asyncio.TaskGroup() as group:
            synced = group.create_task(edges.cluster.synced())
            while not synced.done():
                await asyncio.wait((synced,), timeout=0.2)
                health = edges.cluster.health(edges.clock.now())
                if any(h.required and h.state is InputState.DENIED for h in health):
                    synced.cancel()
    except TimeoutError:
        return


async def _run(background: Background, stop: asyncio.Event) -> None:
    await background(stop)
