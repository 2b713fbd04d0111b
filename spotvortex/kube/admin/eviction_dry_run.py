"""What the Eviction API itself says of a pod, asked in a dry run: nothing is evicted.

Comes in: a client and pods. Goes out: the server's answers in its own words. Every request carries
`dryRun=All`; evictions that are meant go through the actuator.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from spotvortex.core.pool.survival.eviction import PodEvictability, ServerAnswer
from spotvortex.errors import ApiError, UnreachableError
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.wire.codec import read_status
from spotvortex.kube.write import manifests

ANSWER_S: Final = 10.0


async def ask(client: KubeClient, pods: Iterable[PodEvictability]) -> tuple[ServerAnswer, ...]:
    """Ask about each pod in turn.

    Raises:
        UnreachableError: the server does not answer.
    """
    return tuple([await ask_one(client, pod) for pod in pods])


async def ask_one(client: KubeClient, pod: PodEvictability) -> ServerAnswer:
    """Ask about one pod.

    Raises:
        UnreachableError: the server does not answer.
    """
    path = paths.eviction(pod.namespace, pod.name)
    asked = manifests.eviction(pod.namespace, pod.name, pod.uid)
    try:
        body = await client.post_bytes(path, asked, timeout=ANSWER_S, dry_run=True)
    except UnreachableError:
        raise
    except ApiError as error:
        return ServerAnswer(status=error.status, causes=error.causes, message=str(error))
    # Several budgets are refused in the body, whatever the status line says.
    told = read_status(body)
    return ServerAnswer(status=told.code or 201, message=told.message or "")
