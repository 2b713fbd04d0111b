"""Everything that the daemon needs, judged before it is started.

Comes in: settings. Goes out: checks, each by itself. Nothing is kept.
"""

from __future__ import annotations

import asyncio
from random import Random

from spotvortex.app import bundle, check_mode
from spotvortex.app.groups import use_of
from spotvortex.app.kubernetes import answering, run_background
from spotvortex.app.prices import PriceSources, SystemClock, open_prices
from spotvortex.core.domain.types import Offering, Predictor
from spotvortex.errors import ApiError, ModelContractError, PriceFileError, SettingsError
from spotvortex.kube.admin import access_review
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.patient_reads import PatientReads
from spotvortex.kube.cache.groups.autoscaler import AutoscalerWatch
from spotvortex.kube.cache.groups.node_groups import AutoscalerStatus, AutoscalerUse
from spotvortex.market.karpenter.history import VARIABLE as PROMETHEUS
from spotvortex.market.karpenter.scrape import VARIABLE as KARPENTER
from spotvortex.report import checks
from spotvortex.settings.load import kubeconfig
from spotvortex.settings.model import Settings


async def check(settings: Settings) -> tuple[checks.Check, ...]:
    """Look at everything that the daemon needs, and judge each by itself; nothing is kept."""
    cluster, offerings = await _check_cluster(settings)
    return (
        checks.ok("settings", "every variable is known and in range"),
        _check_model(settings),
        *await _check_prices(settings, offerings),
        *cluster,
        *([checks.of_state_dir(settings.state_dir)] if settings.state_dir else []),
        checks.of_decision_log(settings.decision_log),
    )


async def _check_cluster(settings: Settings) -> tuple[list[checks.Check], frozenset[Offering]]:
    """Judge the way to the cluster and the rights there; return what it runs on, if allowed."""
    try:
        client = await KubeClient.connect(
            kubeconfig=kubeconfig(settings), context=settings.kube_context
        )
    except SettingsError as error:
        return [checks.wrong("cluster", str(error))], frozenset()
    name = f"{client.context_name} ({client.server})"
    try:
        await answering(client)
        accesses = await access_review.survey(client)
        of_mode = await check_mode.of_mode(client, settings)
        autoscaler = await _check_autoscaler(client, settings)
        reads = PatientReads(client, Random())  # noqa: S311 - jitter of retries
        nodes = next(a for a in accesses if a.watched.resource.name == "nodes")
        offerings = await access_review.offerings(reads) if nodes.is_whole else frozenset()
    except ApiError as error:
        fix = "check that this machine reaches the server, and the credentials of this context"
        said = str(error) if name in str(error) else f"{name}: {error}"
        return [checks.wrong("cluster", said, fix)], frozenset()
    finally:
        await client.close()
    # Two inputs may be of one resource, as those of Karpenter's Events are.
    rights = dict.fromkeys(map(checks.of_access, accesses))
    whole = [checks.ok("cluster", name), *rights, *autoscaler, *of_mode]
    return whole, offerings


async def _check_autoscaler(client: KubeClient, settings: Settings) -> list[checks.Check]:
    """Judge what is known of Cluster Autoscaler, where its groups could be moved."""
    use, taken = use_of(settings), list[AutoscalerStatus]()
    if use is AutoscalerUse.NEVER:
        return []
    watch = AutoscalerWatch(client, taken.append)
    await watch.look()
    sizes = taken[-1].sizes if taken else {}
    if watch.found == "unseen" and use is AutoscalerUse.WHERE_IT_RUNS:
        return []
    return [checks.of_autoscaler(watch.found, len(sizes))]


def _check_model(settings: Settings) -> checks.Check:
    try:
        loaded = bundle.load(settings)
    except ModelContractError as error:
        return checks.wrong("model", str(error))
    return checks.of_model(
        loaded.name,
        loaded.digest,
        loaded.degenerate_reason,
        memory_decides=loaded.decides is Predictor.MEMORY,
    )


async def _check_prices(settings: Settings, offerings: frozenset[Offering]) -> list[checks.Check]:
    """Judge the prices, and the endpoints that they come from."""
    try:
        prices = open_prices(settings, Random())  # noqa: S311 - jitter of retries
    except PriceFileError as error:
        return [checks.wrong("prices", str(error))]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for name, background in prices.background:
            group.create_task(run_background(background, stop), name=name)
        facts = prices.market.facts(sorted(offerings), SystemClock().now())
        if offerings:
            await prices.warmed()
            facts = prices.market.facts(sorted(offerings), SystemClock().now())
        asked = _endpoints(prices)
        stop.set()
    said = prices.commitments
    trouble = said.trouble if said is not None else ""
    hold = settings.commitments == "hold"
    stated = checks.of_commitments(facts.commitments, trouble, SystemClock().now(), hold=hold)
    return [checks.of_prices(facts), stated, *asked]


def _endpoints(prices: PriceSources) -> list[checks.Check]:
    """Judge the endpoints that have been asked."""
    found: list[checks.Check] = []
    if prices.aws is not None and prices.aws.first.is_set():
        fix = "see docs/aws-prices.md, or set SPOTVORTEX_PRICE_SOURCE=file"
        found.append(checks.of_endpoint("spot prices of AWS", prices.aws.trouble, fix))
    if prices.aws_list is not None and prices.aws_list.first.is_set():
        fix = "see docs/aws-prices.md; the other sources of on-demand prices count meanwhile"
        found.append(checks.of_endpoint("list prices of AWS", prices.aws_list.trouble, fix))
    if prices.placement is not None and prices.placement.first.is_set():
        fix = "see docs/market-signals.md; nothing waits for them"
        found.append(checks.of_endpoint("placement scores of AWS", prices.placement.trouble, fix))
    if prices.advisor is not None:
        fix = "see docs/market-signals.md; nothing waits for it"
        found.append(checks.of_endpoint("bands of Spot Advisor", prices.advisor.trouble, fix))
    for variable, source in ((KARPENTER, prices.scrape), (PROMETHEUS, prices.history)):
        if source is not None and source.first.is_set():
            found.append(checks.of_endpoint(variable, source.trouble))
    return found
