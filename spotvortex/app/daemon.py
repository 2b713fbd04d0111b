"""The daemon: opens the edges, hands them to the tasks, closes all in order.

Comes in: settings, and on which side of the world to work. Goes out: a daemon that runs until it is
stopped. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import time
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from io import FileIO
from typing import Final

from spotvortex import __version__
from spotvortex.app import bundle
from spotvortex.code_digest import code_version
from spotvortex.core.decision.weights import WeightRules
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.types import Mode
from spotvortex.persistence.ledger_file import LedgerFile
from spotvortex.persistence.memory_file import open_folder
from spotvortex.pipeline.drains.actuators import Actuators, RecordingActuator
from spotvortex.pipeline.drains.guard import GuardedActuator
from spotvortex.pipeline.drains.write_rate import WriteRate
from spotvortex.pipeline.health import watch_stalls
from spotvortex.pipeline.supervisor import Ports, make_boards, supervise
from spotvortex.ports.edges import Edges
from spotvortex.ports.ledger import LedgerStore
from spotvortex.ports.null import NullAnnouncer, NullLedgerStore
from spotvortex.ports.telemetry import Telemetry
from spotvortex.report.console.doctor import DoctorRound
from spotvortex.report.console.site import Console
from spotvortex.results.course import ALONE
from spotvortex.server.serve import console_address, serve
from spotvortex.server.views import PageSources
from spotvortex.settings.load import ignored_variables, tracing_is_on, tracing_protocol
from spotvortex.settings.model import Settings
from spotvortex.telemetry.hub import Hub
from spotvortex.telemetry.journal import DecisionJournal, LineFormat, open_sink
from spotvortex.telemetry.ledger_book import LedgerBook
from spotvortex.telemetry.metrics import Metrics
from spotvortex.telemetry.tracing import Tracing, otlp_exporter
from spotvortex.telemetry.trends import Trends

log = logging.getLogger(__name__)

SELDOM: Final = 1_000
"""Collections of what is young between two of everything that is not frozen, instead of ten: at
5,000 nodes one takes 0.1 s, and finds next to nothing that the others have left."""


async def run_daemon(
    settings: Settings, opening: AbstractAsyncContextManager[Edges], stop: asyncio.Event
) -> None:
    """Run until `stop` is set or a signal comes, then stop in order; the server closes last."""
    spare_collections()
    async with AsyncExitStack() as stack:
        forecaster = bundle.load(settings)
        edges = await stack.enter_async_context(opening)
        spare_collections()
        limits = _allowed(settings.limits(), edges)
        metrics = Metrics(version=__version__, mode=limits.mode)
        exporter = otlp_exporter(tracing_protocol()) if tracing_is_on() else None
        trends = Trends(edges.courses)
        book = _book(settings, edges, limits)
        metrics.follow_ledger(book.totals)
        hub = Hub(metrics, Tracing(exporter, version=__version__), trends, book)
        stack.push_async_callback(asyncio.to_thread, hub.close)
        journal = _journal(settings, metrics, stack.enter_context(open_sink(settings.decision_log)))
        if edges.traffic is not None:
            metrics.follow(edges.traffic)
        if edges.notice_traffic is not None:
            metrics.follow_notices(edges.notice_traffic)
        ports = Ports(
            edges=_watched(edges, hub),
            forecaster=forecaster,
            predictors=forecaster.predictors,
            hands=_hands(edges, hub, limits, settings.max_writes_per_s),
            announcer=edges.announcer or NullAnnouncer(),
            pool_rules=settings.rules_of_pools(),
            weights=_weights(settings, edges),
            journal=journal,
            telemetry=hub,
        )
        ports = _remembering(ports, settings)
        views = make_boards(ports, limits, settings.tick_s)
        pages = PageSources(
            health=views.heartbeats,
            readiness=views.status,
            metrics=metrics,
            decisions=journal,
            plans=views.status,
            clock=edges.clock,
            ledger=book,
            leader_address=edges.leader_address,
        )
        doctor = DoctorRound(edges.cluster.standings_on, edges.name)
        pages = replace(pages, console=Console(views=pages, trends=trends, doctor=doctor))
        served = _served(settings, pages, edges.time_scale)
        port = await stack.enter_async_context(served)
        _stop_on_signals(stop)
        _tell_start(settings, edges, limits, port)
        await supervise(ports, views, limits, settings.tick_s, stop)
        journal.close(edges.clock.now())
        log.info("daemon.stopped")


def spare_collections() -> None:
    """Keep what there is out of garbage collections, and collect what is not young seldom.

    What was imported stays, and so does what was opened: a collection that walks through all that
    AWS's library has read takes 0.1 to 0.2 s, whenever it comes.
    """
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], SELDOM)


def _served(
    settings: Settings, pages: PageSources, time_scale: float
) -> AbstractAsyncContextManager[int]:
    token = settings.http_token.get_secret_value()
    host, port = settings.http_host, settings.http_port
    return serve(host, port, pages, time_scale=time_scale, token=token)


def _tell_start(settings: Settings, edges: Edges, limits: Limits, port: int) -> None:
    """Say in the log what runs, and where a person can look at it."""
    log.debug("settings.ignored", extra={"variables": ignored_variables()})
    console = console_address(settings.http_host, port, settings.http_token.get_secret_value())
    started = {"on": edges.name, "mode": limits.mode, "port": port, "console": console}
    log.info("daemon.started", extra=started)


def _allowed(limits: Limits, edges: Edges) -> Limits:
    """Weaken the mode to what the edges can carry out: the account's rights set the ceiling."""
    if not limits.mode.writes or edges.writing is not None:
        return limits
    return replace(limits, mode=Mode.ADVISE if edges.announcer is not None else Mode.SHADOW)


def _weights(settings: Settings, edges: Edges) -> WeightRules:
    """Switch the steering of pairs off where the account's rights do not allow it."""
    may = edges.writing is None or edges.writing.steers
    return settings.weight_rules() if may else WeightRules()


def _hands(edges: Edges, telemetry: Telemetry, limits: Limits, per_s: float) -> Actuators:
    """Give each mode its actuator; where nothing may be written, all of them only record."""
    shadow = RecordingActuator(cluster=edges.cluster, telemetry=telemetry)
    if edges.writing is None:
        return Actuators(recording=shadow, writing=shadow)
    guarded = GuardedActuator(
        cluster=edges.cluster,
        writer=edges.writing.writer,
        authority=edges.writing.authority,
        clock=edges.clock,
        telemetry=telemetry,
        limits=limits,
        rate=WriteRate(per_s=per_s, burst=per_s),
    )
    return Actuators(recording=shadow, writing=guarded)


def _book(settings: Settings, edges: Edges, limits: Limits) -> LedgerBook:
    """Open the ledger; a simulated cluster's money is never mixed with that of a real one."""
    store: LedgerStore = edges.ledger or NullLedgerStore()
    if settings.state_dir is not None and edges.time_scale == 1.0:
        store = LedgerFile(settings.state_dir)
    return LedgerBook(
        store=store,
        offload=edges.offload,
        writes=limits.mode.writes,
        alone=edges.courses.get(ALONE),
    )


def _journal(settings: Settings, metrics: Metrics, sink: FileIO) -> DecisionJournal:
    return DecisionJournal(
        code_version=code_version(),
        counts=metrics,
        sink=sink,
        line_format=LineFormat(settings.decision_format),
    )


def _remembering(ports: Ports, settings: Settings) -> Ports:
    """Give the tasks what the modes that write need, and a place for the memory.

    A simulated cluster's losses are never mixed with real ones.
    """
    edges = ports.edges
    writing = edges.writing
    ports = replace(
        ports,
        recall=edges.recall or ports.recall,
        store=edges.kept or ports.store,
        notices=edges.notices or ports.notices,
    )
    if writing is not None:
        ports = replace(
            ports,
            state=writing.state,
            authority=writing.authority,
            notices=writing.notices,
            store=writing.memory,
        )
    if settings.state_dir is not None and edges.time_scale == 1.0:
        return replace(ports, store=open_folder(settings.state_dir))
    return ports


def _watched(edges: Edges, telemetry: Telemetry) -> Edges:
    """Add the watch over the loop's stalls, where the loop runs in real time."""
    if edges.time_scale != 1.0:
        return edges

    async def stalls(stop: asyncio.Event) -> None:
        await watch_stalls(telemetry, stop, time.thread_time)

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
