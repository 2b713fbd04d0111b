"""Which Karpenter runs in the cluster, by the images of its pods.

Comes in: a client that may list pods. Goes out: the version, or None where no image says one, and
what follows for our pods. May not write. An unknown version is the oldest one that is supported.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from spotvortex.aio import pause
from spotvortex.errors import ApiError
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.wire.codec import decoded

EVERY_S: Final = 300.0
"""Time between two looks, in seconds: an upgrade of Karpenter takes minutes."""

ANSWER_S: Final = 10.0
SELECTOR: Final = "app.kubernetes.io/name=karpenter"
"""The label that Karpenter's chart gives its pods."""

DURATIONS_SINCE: Final = (1, 12)
"""From here on `karpenter.sh/do-not-disrupt` may be a duration, counted from the pod's start;
before, any text but "true" is no protection (kubernetes-sigs/karpenter pull request 2874, and
pkg/utils/pod/scheduling.go at v1.9.0)."""

_TAG: Final = re.compile(r":v?(\d+)\.(\d+)\.\d+[^/]*\Z")

Version = tuple[int, int]

log = logging.getLogger(__name__)


class _Container(Struct, frozen=True):
    image: str = ""


class _Spec(Struct, frozen=True):
    containers: list[_Container] = []


class _Pod(Struct, frozen=True):
    spec: _Spec = _Spec()


class _Pods(Struct, frozen=True):
    items: list[_Pod] = []


def version_of(images: Iterable[str]) -> Version | None:
    """Return major and minor version of the oldest of some images; None where one has no such tag.

    Each is the image of a container of a Karpenter pod; in an upgrade two versions run.
    """
    found = [_TAG.search(image.partition("@")[0]) for image in images if "karpenter" in image]
    versions = [(int(tag[1]), int(tag[2])) for tag in found if tag is not None]
    return min(versions) if versions and len(versions) == len(found) else None


class KarpenterVersion:
    """The version as it was seen last; `run` keeps it up to date.

    Attributes:
        version: major and minor, None while it is unknown.
    """

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self.version: Version | None = None

    def reads_durations(self) -> bool:
        """Tell whether an anchor may say for how long it keeps its node."""
        return self.version is not None and self.version >= DURATIONS_SINCE

    async def run(self, stop: asyncio.Event) -> None:
        """Look every few minutes until told to stop."""
        while not stop.is_set():
            await self.look()
            await pause(stop, EVERY_S)

    async def look(self) -> None:
        """Read the pods of Karpenter; what is known stays where they cannot be read."""
        try:
            body = await self._client.get_bytes(
                "/api/v1/pods", {"labelSelector": SELECTOR}, timeout=ANSWER_S, verb="list"
            )
            pods = decoded(body, _Pods).items
        except ApiError as error:
            log.info("karpenter.version_unread", extra={"error": str(error)})
            return
        seen = version_of(c.image for pod in pods for c in pod.spec.containers)
        if seen != self.version:
            log.info("karpenter.version", extra={"before": self.version, "now": seen})
        self.version = seen
