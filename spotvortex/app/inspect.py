"""One look at a cluster: assess, doctor, snapshot.

Comes in: settings. Goes out: what was seen, decided once and reported. Nothing is written, and
nothing stays.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from spotvortex import __version__
from spotvortex.app import bundle
from spotvortex.app.kubernetes import answering_client, kubernetes_edges, run_background
from spotvortex.core.decision.messages import ControllerState, Plan
from spotvortex.core.decision.reconcile import reconcile
from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.observation import Observation
from spotvortex.core.pool.assess import AssessmentMemory, AssessmentRules
from spotvortex.core.scoring.interruption_memory import EMPTY_MEMORY, Memory
from spotvortex.core.scoring.memory_join import joined
from spotvortex.errors import ApiError, NotServedError
from spotvortex.kube.admin import eviction_dry_run
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import KubeClient
from spotvortex.pipeline.scorer import Scorer
from spotvortex.ports.edges import Edges
from spotvortex.ports.model import Forecaster
from spotvortex.report.assess.assessment import Provenance, Report, make_report
from spotvortex.report.doctor.diagnosis import Diagnosis, diagnose
from spotvortex.report.doctor.dry_run import compared, questions
from spotvortex.results.cluster_snapshot import Snapshot, snapshot_of
from spotvortex.settings.load import kubeconfig
from spotvortex.settings.model import Settings

EXPANDER: Final = paths.named(
    paths.config_maps("kube-system"), "cluster-autoscaler-priority-expander"
)
ANSWER_S: Final = 10.0

ASSESS_S = 45.0
"""An assessment that is not done by then says what it is waiting for, and ends."""


async def assess(settings: Settings) -> Report:
    """Read the cluster once, decide once, and report; nothing is written and nothing stays.

    Raises:
        SettingsError: there is no cluster to read.
        ApiError: the API server did not let us read nodes and pods in time.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    forecaster = bundle.load(settings)
    async with kubernetes_edges(settings, looks_once=True) as edges:
        plan = await _decided(settings, edges, forecaster)
        frame = Provenance(context=edges.name, seconds=loop.time() - started, version=__version__)
        return make_report(plan, frame)


async def decide_once(settings: Settings) -> Plan:
    """Read the cluster once, and return what is decided; nothing is written and nothing stays.

    Raises:
        SettingsError: there is no cluster to read.
        ApiError: the API server did not let us read nodes and pods in time.
    """
    forecaster = bundle.load(settings)
    async with kubernetes_edges(settings, looks_once=True) as edges:
        return await _decided(settings, edges, forecaster)


async def _decided(settings: Settings, edges: Edges, forecaster: Forecaster) -> Plan:
    limits = settings.limits()
    scorer = Scorer(forecaster=forecaster, offload=asyncio.to_thread)
    rules = AssessmentRules(limits=limits, model_digest=forecaster.digest)
    observation = await _observe_once(edges, warmed=edges.warmed)
    memory = AssessmentMemory(interruptions=_recalled(edges, observation.at))
    _, assessment = await scorer.assess(memory, observation, rules)
    _, plan = reconcile(ControllerState(), assessment, limits)
    return plan


async def applied_priorities(settings: Settings) -> str:
    """Return what Cluster Autoscaler's priority expander is told, "" where it is told nothing.

    Raises:
        SettingsError: there is no cluster to read.
        ApiError: the server does not answer, or refuses.
    """
    try:
        async with answering_client(settings) as client:
            body = await client.get_bytes(EXPANDER, timeout=ANSWER_S)
    except NotServedError:
        return ""
    data = json.loads(body).get("data") or {}
    return str(data.get("priorities", ""))


def _recalled(edges: Edges, at: float) -> Memory:
    """Return what is known of the weeks before, where anything keeps them."""
    before = None if edges.recall is None else edges.recall.recall(EMPTY_MEMORY)
    return EMPTY_MEMORY if before is None else joined(EMPTY_MEMORY, before, at)


async def doctor(settings: Settings, ask: str = "") -> Diagnosis:
    """Read the cluster once and say what blocks each node's drain.

    Args:
        settings: where the cluster is.
        ask: a node's name, or `all`: the API server is asked about its pods too, in dry runs.

    Raises:
        SettingsError: there is no cluster to read, or no node of that name.
        ApiError: the API server did not let us read nodes and pods in time.
    """
    async with kubernetes_edges(settings, looks_once=True) as edges:
        observation = await _observe_once(edges)
        seen, standings_on = observation.cluster, edges.cluster.standings_on
        found = diagnose(seen, standings_on, observation.at, edges.name)
        if not ask:
            return found
        asked, n_left = questions(seen, standings_on, ask)
    client = await KubeClient.connect(
        kubeconfig=kubeconfig(settings), context=settings.kube_context
    )
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
    async with kubernetes_edges(settings, looks_once=True) as edges:
        observation = await _observe_once(edges)
        view = edges.cluster
        return snapshot_of(observation.cluster, view.pods_on, view.standings_on, observation.at)


async def _observe_once(
    edges: Edges, warmed: Callable[[], Awaitable[None]] | None = None
) -> Observation:
    """Look once; where `warmed` is given, once the sources of prices have been asked."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for name, background in edges.background:
            group.create_task(run_background(background, stop), name=name)
        await _synced_or_denied(edges)
        now = edges.clock.now()
        cluster = edges.cluster.snapshot(now)
        market = edges.market.facts(cluster.offerings, now)
        if warmed is not None and cluster.offerings:
            await warmed()
            now = edges.clock.now()
            market = edges.market.facts(cluster.offerings, now)
        usage = edges.usage.facts(now)
        stop.set()
    missing = [h for h in cluster.inputs if h.required and h.state is not InputState.OK]
    if missing:
        words = "; ".join(f"{h.name} {h.state}: {h.detail}" for h in missing)
        raise ApiError(f"{edges.name} could not be read: {words}")
    return Observation(cycle=1, at=now, cluster=cluster, market=market, usage=usage)


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
