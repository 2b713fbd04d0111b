"""The Jobs that own the controller's pods, so that these go when it is gone for good.

Comes in: how long a pod may live. Goes out: an owner reference to a Job that has finished and
vanishes after that time; the garbage collector then takes every pod that hangs on it, bound or not.
A pod's own deadline begins only when a kubelet starts it, so it cannot do that.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Final

import msgspec

from spotvortex.core.domain import labels
from spotvortex.kube.api import paths
from spotvortex.kube.api.wire.codec import decoded
from spotvortex.kube.write.bounded import BoundedRequests
from spotvortex.kube.write.manifests import Json, owner_job, owner_reference

TETHER_FRESH_S: Final = 300.0
"""How long one tether is given to new pods, at most."""

FRESH_SHARE: Final = 1 / 6
"""The same as a share of its time: no pod may lose more than this of its own."""

MAX_CLASSES: Final = 16


class _Metadata(msgspec.Struct, frozen=True):
    name: str
    uid: str


class _Created(msgspec.Struct, frozen=True):
    metadata: _Metadata


class OwnerJobs:
    """The newest tether of each lifetime."""

    def __init__(self, namespace: str, rng: Random) -> None:
        self._namespace = namespace
        self._rng = rng
        self._newest: dict[int, tuple[float, Json]] = {}
        # Several placeholders are asked for at once, and one tether is enough for them.
        self._making = asyncio.Lock()

    async def reference(self, lifetime_s: int, requests: BoundedRequests) -> Json:
        """Return the owner reference for a pod that may live `lifetime_s` seconds.

        Raises:
            ApiError: a new tether was needed and could not be made.
        """
        async with self._making:
            known = self._newest.get(lifetime_s)
            if known is not None and _loop_time() < known[0]:
                return known[1]
            fresh_s = min(TETHER_FRESH_S, lifetime_s * FRESH_SHARE)
            # Counted from before it was sent: its own time can only begin later.
            until = _loop_time() + fresh_s
            made = await self._make(lifetime_s, requests)
            self._newest.pop(lifetime_s, None)
            self._newest[lifetime_s] = (until, made)
            if len(self._newest) > MAX_CLASSES:
                del self._newest[next(iter(self._newest))]
            return made

    async def _make(self, lifetime_s: int, requests: BoundedRequests) -> Json:
        # A random name, so that a lost answer or a restart never meets an old one.
        name = f"{labels.TETHER_PREFIX}{self._rng.getrandbits(40):010x}"
        job = owner_job(name, self._namespace, lifetime_s)
        path = paths.jobs(self._namespace)
        body = await requests.send("POST", path, job)
        stored = decoded(body, _Created)
        return owner_reference(stored.metadata.name, stored.metadata.uid)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
