"""What the configured mode needs beyond reading, judged as the daemon would meet it.

Comes in: a client of the account that asks, and settings. Goes out: checks. Nothing is made: rights
are reviews, and everything else is a dry run.
"""

from __future__ import annotations

from random import Random

from spotvortex.app.groups import asks_for_groups, provisioner_of, scaling_groups
from spotvortex.aws.session import open_queue
from spotvortex.core.decision.weights import Steering
from spotvortex.core.domain.types import Mode
from spotvortex.errors import NotServedError, QueueError, ScalingError, SettingsError
from spotvortex.kube.admin import access_review, install_trial
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.coordination.kept_ledger import KeptLedger
from spotvortex.kube.coordination.kept_memory import KeptMemory
from spotvortex.kube.coordination.kept_value import ANSWER_S
from spotvortex.kube.write.manifests import PlaceholderOptions
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.report import checks
from spotvortex.settings.load import aws_region
from spotvortex.settings.model import Settings


async def of_mode(client: KubeClient, settings: Settings) -> list[checks.Check]:
    """Judge the rights and objects of the mode; shadow needs what it keeps, and a named queue.

    Raises:
        ApiError: the server does not answer, or forbids the question.
    """
    mode = Mode(settings.mode)
    kept = [] if settings.state_dir is not None else await _of_kept(client, settings.namespace)
    if settings.notice_source != "karpenter":
        kept.append(await _of_queue(settings))
    if asks_for_groups(settings):
        kept.append(await _of_groups(settings))
    if mode is Mode.SHADOW:
        return kept
    namespace = settings.namespace
    who = await install_trial.username(client)
    unsaid = await access_review.missing_write_rights(client, namespace, access_review.EVENTS)
    found = [checks.of_account(who, namespace), checks.of_events(unsaid)]
    found += kept
    if not mode.writes:
        return found
    provisioner = provisioner_of(settings, client, LeaseTiming())
    missing = await access_review.missing_write_rights(client, namespace)
    found += [checks.of_provisioner(provisioner.cannot_move), checks.of_writes(missing)]
    if settings.weight_rules().steering is Steering.APPLY:
        steering = access_review.STEERING
        denied = await access_review.missing_write_rights(client, namespace, steering)
        found.append(checks.of_weights(denied))
    if asks_for_groups(settings):
        denied = await access_review.missing_write_rights(client, namespace, access_review.GROWTHS)
        found.append(checks.of_journal(denied))
    home = PlaceholderOptions(namespace=namespace, image=settings.placeholder_image)
    trial = await install_trial.attempt(client, home)
    return [*found, checks.of_placeholder(trial), checks.of_fence(trial, who, namespace)]


async def _of_kept(client: KubeClient, namespace: str) -> list[checks.Check]:
    """Judge the ConfigMaps of the memory and of the ledger; a folder is judged elsewhere."""
    memory = await _unkept(client, namespace, KeptMemory.NAME)
    ledger = await _unkept(client, namespace, KeptLedger.NAME)
    return [checks.of_memory(memory), checks.of_ledger(ledger)]


async def _unkept(client: KubeClient, namespace: str, config_map: str) -> str:
    """Say why nothing can be kept in a ConfigMap of the daemon, "" where it can."""
    rights = access_review.to_keep(config_map)
    missing = await access_review.missing_write_rights(client, namespace, rights)
    if missing:
        return f"no right to {', '.join(missing)}"
    path = paths.named(paths.config_maps(namespace), config_map)
    try:
        await client.get_bytes(path, timeout=ANSWER_S)
    except NotServedError as error:
        return str(error)
    return ""


async def _of_groups(settings: Settings) -> checks.Check:
    """Read the groups once."""
    try:
        async with scaling_groups(settings) as groups:
            found = await groups.all_groups(ANSWER_S) if groups is not None else []
    except (ScalingError, SettingsError) as error:
        return checks.of_groups((), str(error))
    return checks.of_groups(found, "")


async def _of_queue(settings: Settings) -> checks.Check:
    """Ask for what changes nothing: that no message be given back."""
    queue = settings.interruption_queue
    rng = Random()  # noqa: S311 - jitter of retries
    try:
        async with open_queue(
            queue, region=aws_region(), wait_s=1, n_connections=1, rng=rng
        ) as client:
            await client.release(["none"])
    except (QueueError, SettingsError) as error:
        return checks.wrong("queue", str(error))
    return checks.ok("queue", f"{queue} answers; whether it may be read is seen when it is")
