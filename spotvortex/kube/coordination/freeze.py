"""The ConfigMap with which a person stops the controller.

Comes in: a client. Goes out: whether there is a freeze, watched like any other input, and UNKNOWN
where that cannot be confirmed. May not write anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from random import Random
from typing import Final

from spotvortex.core.domain import labels
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.types import Freeze
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.reflector import Reflector, Resource
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire.codec import Codec
from spotvortex.kube.cache.inputs import PROBE_EVERY_S, Input, confirm_by_probes, health_of

_LEVELS: Final = {labels.HARD: Freeze.HARD, labels.LEAVE: Freeze.LEAVE}
"""Level by its key or value in the freeze's data, the strictest first."""


class _Freezes:
    """The sink of the one ConfigMap that is watched."""

    def __init__(self) -> None:
        self.found: dict[str, Freeze] = {}

    def keys(self) -> AbstractSet[str]:
        return self.found.keys()

    def put(self, key: str, obj: wire.ConfigMap) -> None:
        data = obj.data or {}
        said = (level for name, level in _LEVELS.items() if _says(data, name))
        self.found[key] = next(said, Freeze.SOFT)

    def remove(self, key: str) -> None:
        self.found.pop(key, None)


def _says(data: Mapping[str, str], name: str) -> bool:
    """Tell whether a freeze's data have a key or a value of a name; a key of "false" is none."""
    return data.get(name, "false") != "false" or name in data.values()


class FreezeWatch:
    """Watches for the freeze; `run` has to be running.

    One that cannot be read counts as a soft freeze: it is there. One that was not confirmed for
    `stale_after_s` seconds is UNKNOWN.
    """

    def __init__(
        self, client: KubeClient, namespace: str, rng: Random, stale_after_s: float
    ) -> None:
        self._client = client
        self._stale_after_s = stale_after_s
        self._sink = _Freezes()
        self._input = Input(
            resource=Resource(
                name=InputName.FREEZE,
                path=paths.config_maps(namespace),
                field_selector=f"metadata.name={labels.FREEZE}",
            ),
            right="configmaps",
            cost="whether a person has stopped SpotVortex cannot be seen, so nothing is written",
        )
        self.reflector: Reflector[wire.ConfigMap] = Reflector(
            client, self._input.resource, Codec(wire.ConfigMap), self._sink, rng
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until told to stop."""
        async with asyncio.TaskGroup() as group:
            probes = confirm_by_probes(
                self._client, [self.reflector], InputName.FREEZE, PROBE_EVERY_S
            )
            tasks = [group.create_task(self.reflector.run()), group.create_task(probes)]
            await stop.wait()
            for task in tasks:
                task.cancel()

    def state(self) -> Freeze:
        """Return whether a person has stopped the controller, as of now."""
        if self.health().state is not InputState.OK:
            return Freeze.UNKNOWN
        if self._sink.found:
            return next(iter(self._sink.found.values()))
        return Freeze.SOFT if self.reflector.unread else Freeze.NONE

    def health(self) -> InputHealth:
        """Return how far the freeze may be trusted, as the input "freeze"."""
        age_s = asyncio.get_running_loop().time() - self.reflector.last_confirmed
        return health_of(self._input, self.reflector, age_s, self._stale_after_s)
