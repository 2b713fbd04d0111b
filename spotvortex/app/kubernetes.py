"""The real side of the world: an API server, prices, and what may write there.

Comes in: settings. Goes out: `Edges`. What writes is opened only where the mode asks for it and the
account's rights allow it; a right that is missing makes the mode a weaker one, and is named.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Final

from spotvortex.app.groups import provisioner_of, scaling_groups, use_of
from spotvortex.app.prices import PriceSources, SystemClock, open_prices
from spotvortex.app.recollection import FirstStart
from spotvortex.app.usage import open_usage
from spotvortex.aws.groups.service import AwsGroups
from spotvortex.aws.interruptions import QueueOptions, SqsNotices, open_notices
from spotvortex.core.decision.weights import Steering
from spotvortex.core.domain.observation import WriteAuthority
from spotvortex.core.domain.types import Mode
from spotvortex.errors import ApiError, UnreachableError
from spotvortex.kube.admin import access_review
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.cache.view import KubeClusterView
from spotvortex.kube.coordination.freeze import FreezeWatch
from spotvortex.kube.coordination.kept_ledger import KeptLedger
from spotvortex.kube.coordination.kept_memory import KeptMemory
from spotvortex.kube.coordination.kept_value import Place
from spotvortex.kube.coordination.lease import LeaseKeeper, LeaseOptions
from spotvortex.kube.coordination.state import VERSION, ClusterState
from spotvortex.kube.coordination.state_store import VersionedConfigMap
from spotvortex.kube.write.bounded import BoundedRequests
from spotvortex.kube.write.events import EventRecorder
from spotvortex.kube.write.karpenter_version import KarpenterVersion
from spotvortex.kube.write.manifests import PlaceholderOptions
from spotvortex.kube.write.writer import KubeWriter
from spotvortex.ports.edges import Background, Edges
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.ports.null import NullMemoryStore, NullNotices
from spotvortex.ports.provisioner import Provisioner
from spotvortex.ports.writing import Recall, Writing
from spotvortex.settings.load import aws_region, kubeconfig
from spotvortex.settings.model import Settings

log = logging.getLogger(__name__)

Awaited = Callable[[], Awaitable[None]]

ANSWERS_S: Final = 3.0
"""Time for an API server to answer at all, before a command that looks once begins to wait."""


@asynccontextmanager
async def answering_client(settings: Settings) -> AsyncIterator[KubeClient]:
    """Open a client of a server that answers, for a command that looks once.

    Raises:
        SettingsError: there is no cluster to look at.
        UnreachableError: it does not answer.
    """
    client = await KubeClient.connect(
        kubeconfig=kubeconfig(settings), context=settings.kube_context
    )
    try:
        await answering(client)
        yield client
    finally:
        await client.close()


async def answering(client: KubeClient) -> None:
    """Ask whether the API server answers, so that a command ends at once where it does not.

    Raises:
        UnreachableError: it does not, within `ANSWERS_S`; another answer is one.
    """
    try:
        await client.probe(ANSWERS_S)
    except UnreachableError as error:
        name = f"{client.context_name} ({client.server})"
        raise UnreachableError(f"{name} does not answer: {error}") from error
    except ApiError as error:
        log.debug("probe.refused", extra={"error": str(error)})


@asynccontextmanager
async def kubernetes_edges(settings: Settings, *, looks_once: bool = False) -> AsyncIterator[Edges]:
    """Open the real side: the API server of the kubeconfig or of the pod, and recorded prices.

    Args:
        settings: where the cluster and the prices are.
        looks_once: nothing is written or kept, whatever the mode, and the server is asked first, so
            that nobody waits for a silent one.

    Raises:
        SettingsError: there is no cluster to read.
        UnreachableError: this is one look, and the server does not answer.
    """
    rng = Random()  # noqa: S311 - jitter of reconnects
    prices = open_prices(settings, rng)
    client = await KubeClient.connect(
        kubeconfig=kubeconfig(settings), context=settings.kube_context
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        if looks_once:
            await answering(client)
        view = KubeClusterView(
            client, rng, settings.max_input_age_s, settings.namespace, use_of(settings)
        )
        usage = open_usage(settings, client, view, rng)
        groups = await stack.enter_async_context(scaling_groups(settings))
        opening = _Opening(
            settings=settings,
            client=client,
            rng=rng,
            stack=stack,
            timing=LeaseTiming(),
            groups=groups,
        )
        side = _Side() if looks_once else await _writing_side(opening)
        yield Edges(
            name=f"{client.context_name} ({client.server})",
            cluster=view,
            market=prices.market,
            warmed=both(prices.warmed, usage.warmed),
            usage=usage,
            clock=SystemClock(),
            offload=asyncio.to_thread,
            background=[
                ("watches", view.run),
                *_of_groups(view, groups),
                *prices.background,
                *side.background,
                *usage.background,
            ],
            traffic=view.traffic,
            notice_traffic=side.notices.traffic if side.notices is not None else None,
            announcer=side.announcer,
            writing=side.writing,
            kept=side.kept,
            ledger=side.ledger,
            recall=FirstStart(places) if (places := _places(side.kept, prices)) else None,
            notices=side.notices,
            leader_address=side.leader_address,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """What may be said and written, and what has to run for that."""

    background: Sequence[tuple[str, Background]] = ()
    announcer: EventAnnouncer | None = None
    writing: Writing | None = None
    kept: KeptMemory | None = None
    ledger: KeptLedger | None = None
    notices: SqsNotices | None = None
    leader_address: Callable[[], str] = str


def _places(kept: KeptMemory | None, prices: PriceSources) -> list[Recall]:
    """Return where a memory that is blank may be recalled from, the most trusted first."""
    return [place for place in (kept, prices.history) if place is not None]


def _of_groups(view: KubeClusterView, groups: AwsGroups | None) -> Sequence[tuple[str, Background]]:
    """Return what keeps the view's groups of AWS, and what they were grown for."""
    if groups is None:
        return ()
    return (
        ("scaling_groups", partial(groups.run, view.take_scaling)),
        ("growths", view.growths.run),
    )


async def _writing_side(opening: _Opening) -> _Side:
    settings, client, rng = opening.settings, opening.client, opening.rng
    mode = Mode(settings.mode)
    identity = settings.identity()
    keeping = _keeping(settings, client, rng, identity)
    if mode is Mode.SHADOW:
        return await _listening(opening, keeping)
    recorder = EventRecorder(client, identity, SystemClock(), rng)
    announcer = EventAnnouncer(recorder)
    said: tuple[tuple[str, Background], ...] = (("events", recorder.run),)
    advising = replace(keeping, background=(*said, *keeping.background), announcer=announcer)
    if not mode.writes:
        return await _listening(opening, advising)
    provisioner = provisioner_of(settings, client, opening.timing, opening.groups)
    missing = await access_review.missing_write_rights(client, settings.namespace)
    if provisioner.cannot_move or missing:
        why = provisioner.cannot_move or "; ".join(missing)
        log.error("mode.weakened", extra={"to": Mode.ADVISE, "missing": why})
        return await _listening(opening, advising)
    side = await _writing(opening, identity, provisioner)
    return replace(side, background=(*said, *side.background), announcer=announcer)


async def _listening(opening: _Opening, side: _Side) -> _Side:
    """Add the queue of notices, as evidence, to what writes nothing."""
    notices = await _queue(opening, lambda: True, writes=False)
    if notices is None:
        return side
    return replace(side, background=(*side.background, ("notices", notices.run)), notices=notices)


def _keeping(
    settings: Settings,
    client: KubeClient,
    rng: Random,
    identity: str,
    bounded: Callable[[], BoundedRequests] | None = None,
) -> _Side:
    """Open the ConfigMaps of the memory and of the ledger, unless a folder keeps them."""
    if settings.state_dir is not None:
        return _Side()
    place = Place(namespace=settings.namespace, writer=identity)
    kept = KeptMemory(client, place, rng, bounded)
    ledger = KeptLedger(client, place, rng, bounded)
    running = ("memory", kept.run), ("ledger", ledger.run)
    return _Side(background=running, kept=kept, ledger=ledger)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opening:
    """What everything that is opened is opened with."""

    settings: Settings
    client: KubeClient
    rng: Random
    stack: AsyncExitStack
    timing: LeaseTiming
    groups: AwsGroups | None = None


async def _writing(opening: _Opening, identity: str, provisioner: Provisioner) -> _Side:
    """Open what writes: the lease, the freeze, the state, and the queue where one is read."""
    settings, client, timing = opening.settings, opening.client, opening.timing
    options = LeaseOptions(identity=identity, address=settings.pod_ip, timing=timing)
    lease = LeaseKeeper(client, settings.namespace, options, SystemClock(), opening.rng)

    def bounded() -> BoundedRequests:
        return BoundedRequests(client=client, until=lease.writes_until(), timing=timing)

    freeze = FreezeWatch(client, settings.namespace, opening.rng, settings.max_input_age_s)
    keeping = _keeping(settings, client, opening.rng, identity, bounded)
    state = ClusterState(
        store=VersionedConfigMap(client, settings.namespace, VERSION, bounded),
        clock=SystemClock(),
        was_kept=lambda: lease.state_kept,
        keep=lease.keep_state,
    )
    running: list[tuple[str, Background]] = [("freeze", freeze.run), ("lease", lease.run)]
    for _, keep in keeping.background:
        # IMPORTANT: the lease outlives what is kept, whose last saving would else come after it.
        running[-1] = ("lease", within(running[-1][1], keep))
    notices = await _queue(opening, lease.may_write)
    if notices is not None:
        running.append(("notices", notices.run))
    karpenter = KarpenterVersion(client)
    running.append(("karpenter_version", karpenter.run))
    home = PlaceholderOptions(
        namespace=settings.namespace,
        image=settings.placeholder_image,
        reads_durations=karpenter.reads_durations,
    )
    return _Side(
        background=running,
        notices=notices,
        writing=Writing(
            writer=KubeWriter(client, home, provisioner, opening.rng, timing),
            authority=LeaseAuthority(lease=lease, freeze=freeze, own_node=settings.node_name),
            state=state,
            memory=keeping.kept or NullMemoryStore(),
            notices=notices or NullNotices(),
            steers=await _may_steer(settings, client),
        ),
        kept=keeping.kept,
        ledger=keeping.ledger,
        leader_address=lease.leader_address,
    )


async def _may_steer(settings: Settings, client: KubeClient) -> bool:
    """Tell whether pairs may be steered; a right that is missing switches no more off than that."""
    if settings.weight_rules().steering is not Steering.APPLY:
        return True
    rights = access_review.STEERING
    missing = await access_review.missing_write_rights(client, settings.namespace, rights)
    if missing:
        log.error("weights.off", extra={"missing": "; ".join(missing)})
    return not missing


async def _queue(
    opening: _Opening, may_read: Callable[[], bool], *, writes: bool = True
) -> SqsNotices | None:
    """Open the queue of notices, None where Karpenter handles them and no queue is read."""
    settings = opening.settings
    if settings.notice_source == "karpenter":
        return None
    options = QueueOptions(
        queue=settings.interruption_queue,
        region=aws_region(),
        rebalance_ttl_s=settings.rebalance_ttl_s,
        evidence_only=not writes or settings.notice_source == "evidence",
    )
    notices = open_notices(options, clock=SystemClock(), rng=opening.rng, may_read=may_read)
    return await opening.stack.enter_async_context(notices)


def both(one: Awaited, other: Awaited) -> Awaited:
    """Wait for both; what is waited for happens elsewhere, so that one after the other will do."""

    async def wait() -> None:
        await one()
        await other()

    return wait


def within(outer: Background, inner: Background) -> Background:
    """Run one background inside another, which is told to stop only once the inner has ended."""

    async def run(stop: asyncio.Event) -> None:
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_background(outer, ended))
            try:
                await inner(stop)
            finally:
                ended.set()

    return run


async def run_background(background: Background, stop: asyncio.Event) -> None:
    """Run a background; a task group takes coroutines only, and a background may be more."""
    await background(stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseAuthority:
    """Implements `ports.Authority` by the lease and the freeze."""

    lease: LeaseKeeper
    freeze: FreezeWatch
    own_node: str

    def standing(self) -> WriteAuthority:
        """Return whether we may write at this instant."""
        return WriteAuthority(
            leader=self.lease.may_write(),
            freeze=self.freeze.state(),
            own_node=self.own_node,
        )

    def writes_until(self) -> float:
        """Return the loop time by which every write has to be over."""
        return self.lease.writes_until()


@dataclass(frozen=True, slots=True)
class EventAnnouncer:
    """Implements `ports.Announcer` by Events."""

    recorder: EventRecorder

    def say(self, node: str, uid: str, reason: str, text: str, *, warning: bool = False) -> None:
        """Publish an Event on a node."""
        self.recorder.emit(node, uid, "Warning" if warning else "Normal", reason, text)

    def warn_of_group(self, group: str, uid: str, reason: str, text: str) -> None:
        """Publish a warning on a NodePool."""
        self.recorder.warn_of_node_pool(group, uid, reason, text)
