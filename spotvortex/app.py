"""The composition root: opens the edges, hands them to the tasks, closes all in order.

Comes in: settings, and on which side of the world to work. Goes out: a running daemon, or one
assessed cycle. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace

from spotvortex import __version__, server
from spotvortex.code_digest import code_version
from spotvortex.core.decision.messages import ControllerState
from spotvortex.core.decision.reconcile import reconcile
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.observation import InputState, Observation
from spotvortex.core.domain.types import Mode, Offering
from spotvortex.core.uninstall import Leaving
from spotvortex.edges import SystemClock, kubernetes_edges, market_of
from spotvortex.errors import ApiError, ModelContractError, PriceFileError, SettingsError
from spotvortex.kube.admin import access_review, eviction_dry_run
from spotvortex.kube.admin.uninstall import Departure
from spotvortex.kube.api.client import KubeClient
from spotvortex.model import forecaster as bundles
from spotvortex.persistence.memory_file import open_folder
from spotvortex.pipeline.actuators import Hands, Shadow, Silent
from spotvortex.pipeline.assessor import Inference
from spotvortex.pipeline.guard import Guarded
from spotvortex.pipeline.heartbeats import Heartbeats
from spotvortex.pipeline.stalls import watch_stalls
from spotvortex.pipeline.supervisor import Ports, make_views, supervise
from spotvortex.pipeline.write_rate import WriteRate
from spotvortex.ports import Background, Edges, Telemetry
from spotvortex.ports_writing import MemoryStore
from spotvortex.report import checks
from spotvortex.report.assess.assessment import Frame, Report, make_report
from spotvortex.report.doctor.diagnosis import Diagnosis, diagnose
from spotvortex.report.doctor.dry_run import compared, questions
from spotvortex.results.cluster_snapshot import Snapshot, snapshot_of
from spotvortex.settings import Settings, ignored_variables, kubeconfig, tracing_is_on
from spotvortex.telemetry.hub import Hub
from spotvortex.telemetry.journal import DecisionJournal, LineFormat, open_sink
from spotvortex.telemetry.metrics import Metrics
from spotvortex.telemetry.tracing import Tracing, otlp_exporter

log = logging.getLogger(__name__)

ASSESS_S = 45.0
"""An assessment that is not done by then says what it is waiting for, and ends."""


async def run_daemon(
    settings: Settings, opening: AbstractAsyncContextManager[Edges], stop: asyncio.Event
) -> None:
    """Run until `stop` is set or a signal comes, then stop in order; the server closes last."""
    async with AsyncExitStack() as stack:
        forecaster = bundles.load(settings.model_dir, settings.cloud)
        edges = await stack.enter_async_context(opening)
        limits = _allowed(settings.limits(), edges)
        metrics = Metrics(version=__version__, mode=limits.mode)
        exporter = otlp_exporter() if tracing_is_on() else None
        hub = Hub(metrics, Tracing(exporter, version=__version__))
        stack.push_async_callback(asyncio.to_thread, hub.close)
        journal = _journal(settings, metrics)
        if edges.traffic is not None:
            metrics.follow(edges.traffic)
        if edges.notice_traffic is not None:
            metrics.follow_notices(edges.notice_traffic)
        ports = Ports(
            edges=_watched(edges, hub),
            forecaster=forecaster,
            hands=_hands(edges, hub, limits, settings.max_writes_per_s),
            announcer=edges.announcer or Silent(),
            pool_rules=settings.rules_of_pools(),
            journal=journal,
            telemetry=hub,
            store=_store(settings, edges),
            state=edges.writing.state if edges.writing else None,
            authority=edges.writing.authority if edges.writing else None,
            notices=edges.writing.notices if edges.writing else None,
        )
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
        log.debug("settings.ignored", extra={"variables": ignored_variables()})
        log.info("daemon.started", extra={"on": edges.name, "mode": limits.mode, "port": port})
        await supervise(ports, views, limits, settings.tick_s, stop)
        log.info("daemon.stopped")


def _allowed(limits: Limits, edges: Edges) -> Limits:
    """Weaken the mode to what the edges can carry out: our rights set the ceiling."""
    if not limits.mode.writes or edges.writing is not None:
        return limits
    return replace(limits, mode=Mode.ADVISE if edges.announcer is not None else Mode.SHADOW)


def _hands(edges: Edges, telemetry: Telemetry, limits: Limits, per_s: float) -> Hands:
    """Give each mode its hand; without anything to write with, all of them only record."""
    shadow = Shadow(cluster=edges.cluster, telemetry=telemetry)
    if edges.writing is None:
        return Hands(recording=shadow, writing=shadow)
    guarded = Guarded(
        cluster=edges.cluster,
        writer=edges.writing.writer,
        authority=edges.writing.authority,
        clock=edges.clock,
        telemetry=telemetry,
        limits=limits,
        rate=WriteRate(per_s=per_s, burst=per_s),
    )
    return Hands(recording=shadow, writing=guarded)


def _journal(settings: Settings, metrics: Metrics) -> DecisionJournal:
    try:
        sink = open_sink(settings.decision_log)
    except OSError as error:
        raise SettingsError(f"SPOTVORTEX_DECISION_LOG={settings.decision_log}: {error}") from error
    return DecisionJournal(
        code_version=code_version(),
        counts=metrics,
        sink=sink,
        line_format=LineFormat(settings.decision_format),
    )


def _store(settings: Settings, edges: Edges) -> MemoryStore | None:
    """Open the memory's file; a simulated cluster's losses are never mixed with real ones."""
    if settings.state_dir is not None and edges.time_scale == 1.0:
        return open_folder(settings.state_dir)
    return edges.writing.memory if edges.writing else None


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
    forecaster = bundles.load(settings.model_dir, settings.cloud)
    limits = settings.limits()
    telemetry = Hub(Metrics(version=__version__, mode=limits.mode), Tracing(None))
    inference = Inference(
        forecaster=forecaster,
        limits=limits,
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


async def doctor(settings: Settings, ask: str = "") -> Diagnosis:
    """Read the cluster once and say what blocks each node's drain.

    Args:
        settings: where the cluster is.
        ask: a node's name, or `all`: the API server is asked about its pods too, in dry runs.

    Raises:
        SettingsError: there is no cluster to read, or no node of that name.
        ApiError: the API server did not let us read nodes and pods in time.
    """
    async with kubernetes_edges(settings) as edges:
        observation = await _observe_once(edges)
        seen, standings_on = observation.cluster, edges.cluster.standings_on
        found = diagnose(seen, standings_on, observation.at, edges.name)
        if not ask:
            return found
        asked, n_left = questions(seen, standings_on, ask)
    client = await KubeClient.connect(kubeconfig=kubeconfig(), context=settings.kube_context)
    try:
        answers = await eviction_dry_run.ask(client, [question.pod for question in asked])
    finally:
        await client.close()
    return replace(found, asked=compared(asked, answers), n_not_asked=n_left)


async def snapshot(settings: Settings) -> Snapshot:
    """Read the cluster once and write down what a backtest needs to know of it.

    Raises:
        SettingsError: there is no cluster to read.
        ApiError: the API server did not let us read nodes and pods in time.
    """
    async with kubernetes_edges(settings) as edges:
        observation = await _observe_once(edges)
        view = edges.cluster
        return snapshot_of(observation.cluster, view.pods_on, view.standings_on, observation.at)


async def _observe_once(edges: Edges) -> Observation:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for name, background in edges.background:
            group.create_task(_run(background, stop), name=name)
        await _synced_or_denied(edges)
        now = edges.clock.now()
        cluster = edges.cluster.snapshot(now)
        market = edges.market.facts(cluster.offerings, now)
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


async def uninstall(
    settings: Settings, wait_s: float, tell: Callable[[str], None], *, apply: bool
) -> Leaving:
    """Look for all that is ours in the cluster, and remove it if `apply` is given.

    Args:
        settings: which cluster, and our namespace there.
        wait_s: seconds given to a daemon that still runs, to undo what is in flight.
        tell: shows progress.
        apply: without it nothing is written.

    Raises:
        SettingsError: there is no cluster to look at.
        ApiError: the API server does not let us look, or was lost on the way.
    """
    client = await KubeClient.connect(kubeconfig=kubeconfig(), context=settings.kube_context)
    try:
        departure = Departure(client, settings.namespace, SystemClock(), tell)
        return await (departure.leave(wait_s) if apply else departure.look())
    finally:
        await client.close()


async def check(settings: Settings) -> tuple[checks.Check, ...]:
    """Look at everything that the daemon needs, and judge each by itself; nothing is kept."""
    cluster, offerings = await _check_cluster(settings)
    return (
        checks.ok("settings", "every variable is known and in range"),
        _check_model(settings),
        _check_prices(settings, offerings),
        *cluster,
        checks.of_state_dir(settings.state_dir),
        checks.of_decision_log(settings.decision_log),
    )


async def _check_cluster(settings: Settings) -> tuple[list[checks.Check], frozenset[Offering]]:
    """Judge the way to the cluster and our rights there, and return what it runs on, if we may."""
    try:
        client = await KubeClient.connect(kubeconfig=kubeconfig(), context=settings.kube_context)
    except SettingsError as error:
        return [checks.wrong("cluster", str(error))], frozenset()
    name = f"{client.context_name} ({client.server})"
    try:
        accesses = await access_review.survey(client)
        nodes = next(a for a in accesses if a.watched.resource.name == "nodes")
        offerings = await access_review.offerings(client) if nodes.is_whole else frozenset()
    except ApiError as error:
        fix = "see to the connection and the credentials of this context"
        return [checks.wrong("cluster", f"{name}: {error}", fix)], frozenset()
    finally:
        await client.close()
    return [checks.ok("cluster", name), *map(checks.of_access, accesses)], offerings


def _check_model(settings: Settings) -> checks.Check:
    try:
        bundle = bundles.load(settings.model_dir, settings.cloud)
    except ModelContractError as error:
        return checks.wrong("model", str(error))
    if settings.policy_mode == "rl" and not bundle.has_policy:
        return checks.no_policy(bundle.name)
    return checks.of_model(bundle.name, bundle.digest, bundle.degenerate_reason)


def _check_prices(settings: Settings, offerings: frozenset[Offering]) -> checks.Check:
    try:
        market = market_of(settings)
    except PriceFileError as error:
        return checks.wrong("prices", str(error))
    return checks.of_prices(market.facts(sorted(offerings), SystemClock().now()))
