"""Leaves a cluster: stops a daemon that still runs, waits for it, and removes what is left.

Comes in: a client with the rights of whoever types the command, never the daemon's. Goes out: what
was found and what is left, each with its reason. Every request names what it saw: a node's resource
version, any other thing's uid. It is safe to run again at any point.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final

from spotvortex.aio import Backoff
from spotvortex.core.domain import labels
from spotvortex.core.domain.group_state import GroupValues
from spotvortex.core.drain.calls import Again, Refused
from spotvortex.core.drain.group_calls import RestoreGroup
from spotvortex.core.uninstall import (
    Inventory,
    Leftover,
    ObjectKind,
    StillThere,
    UninstallResult,
    may_thaw,
    remaining,
    removable,
)
from spotvortex.errors import ApiError, ConflictError, NotServedError, UnreachableError
from spotvortex.kube.admin import inventory
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import APPLY_PATCH, MERGE_PATCH, KubeClient
from spotvortex.kube.api.patient_reads import PatientReads
from spotvortex.kube.write import node_pools
from spotvortex.kube.write.bounded import BoundedRequests
from spotvortex.ports.cluster import WallClock
from spotvortex.ports.lease_timing import LeaseTiming

ANSWER_S: Final = 15.0
LOOK_S: Final = 2.0
GONE_S: Final = 15.0
"""Time in seconds that deleted pods may take to be gone."""

RESTORE_S: Final = 60.0
"""Time in seconds for one NodePool to be given back."""

MANAGER: Final = "spotvortex-uninstall"
"""The field manager under which the freeze is made."""

MAX_TRIES: Final = 5
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 3.2
"""Pauses in seconds after a node's first conflict, doubling with each, and their bound."""

Tell = Callable[[str], None]


class Uninstaller:
    """One run of leaving.

    Args:
        client: connected as the person who leaves.
        namespace: the controller's own.
        clock: the wall clock, for the Lease.
        tell: shows progress to the person.
        rng: for the jitter of pauses.
    """

    def __init__(
        self, client: KubeClient, namespace: str, clock: WallClock, tell: Tell, rng: Random
    ) -> None:
        self._client, self._namespace, self._clock = client, namespace, clock
        self._reads = PatientReads(client, rng)
        self._tell = tell
        self._rng = rng
        self._paths = inventory.collections(namespace)
        self._failures: dict[tuple[ObjectKind, str], str] = {}

    async def look(self) -> UninstallResult:
        """Say what there is, and write nothing.

        Raises:
            ApiError: something cannot be read.
        """
        found = (await self._take()).leftovers
        return UninstallResult(
            found=found, left=tuple(StillThere(leftover=f) for f in found), applied=False
        )

    async def leave(self, wait_s: float) -> UninstallResult:
        """Remove all that the controller has left, the freeze last.

        Args:
            wait_s: seconds given to a daemon that still runs, to undo what is in flight.

        Raises:
            ApiError: something cannot be read, a running daemon cannot be frozen, or the server is
                no longer reached; what was done until then stays done.
        """
        found = await self._take()
        if not found.leftovers:
            return UninstallResult(found=(), left=(), applied=True)
        await self._freeze()
        for wanted in removable(await self._undone(wait_s)):
            await self._try(wanted)
        last = await self._settled()
        if may_thaw(last):
            for freeze in last.leftovers:
                await self._try(freeze)
            last = await self._take()
        left = remaining(last, self._failures)
        return UninstallResult(found=found.leftovers, left=left, applied=True)

    async def _take(self) -> Inventory:
        return await inventory.take(self._reads, self._namespace, self._clock.now())

    async def _freeze(self) -> None:
        """Create the freeze that begins nothing at all, or let one of a person's say so too.

        A cluster without our namespace needs none.
        """
        path = paths.named(self._paths[ObjectKind.FREEZE], labels.FREEZE)
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": labels.FREEZE, "namespace": self._namespace},
            "data": {labels.LEAVE: "true"},
        }
        with suppress(NotServedError):
            await self._client.send(
                "PATCH",
                path,
                body,
                query={"fieldManager": MANAGER, "force": "true"},
                content_type=APPLY_PATCH,
                timeout=ANSWER_S,
            )

    async def _undone(self, wait_s: float) -> Inventory:
        """Wait until a running daemon has undone what is in flight, or the time is over."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:  # ends with the daemon, its work, or the time
            now = await self._take()
            waited_s = loop.time() - started
            if not now.daemons or not now.n_in_flight or waited_s >= wait_s:
                return now
            self._tell(
                f"waiting for {', '.join(now.daemons)} to undo {now.n_in_flight} things, "
                f"{waited_s:.0f} of at most {wait_s:.0f} s"
            )
            await asyncio.sleep(min(LOOK_S, wait_s - waited_s))

    async def _settled(self) -> Inventory:
        """Wait until what was deleted is gone; what failed is not waited for."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GONE_S
        while True:  # ends when all is gone that will go, or with the time
            now = await self._take()
            going = [left for left in removable(now) if left.key not in self._failures]
            if not going or loop.time() >= deadline:
                return now
            await asyncio.sleep(0.5)

    async def _try(self, left: Leftover) -> None:
        """Remove one thing, or keep the server's reason; a server out of reach ends it all."""
        try:
            if left.thing is ObjectKind.NODE:
                await self._unmark(left)
            elif left.thing is ObjectKind.NODE_POOL:
                await self._give_back(left)
            else:
                await self._delete(left)
        except UnreachableError:
            raise
        except ApiError as error:
            self._failures[left.key] = str(error)

    async def _unmark(self, seen: Leftover) -> None:
        """Take the controller's marks and cordon off a node; on a conflict look again."""
        left: Leftover | None = seen
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, self._rng)
        for _ in range(MAX_TRIES):
            if left is None:
                return
            try:
                await self._client.send(
                    "PATCH",
                    paths.node(left.name),
                    unmarking(left),
                    content_type=MERGE_PATCH,
                    timeout=ANSWER_S,
                )
            except NotServedError:
                return
            except ConflictError:
                # A new node is written by several controllers at once; soon they are through.
                await asyncio.sleep(backoff.after_failure())
                left = await inventory.node(self._reads, left.name)
            else:
                return
        self._failures[seen.key] = f"it was changed {MAX_TRIES} times by somebody else meanwhile"

    async def _give_back(self, left: Leftover) -> None:
        """Give a NodePool its owner's own values back."""
        until = asyncio.get_running_loop().time() + RESTORE_S
        requests = BoundedRequests(client=self._client, until=until, timing=LeaseTiming())
        call = RestoreGroup(group=left.name, uid=left.uid, owners=GroupValues())
        try:
            answer = await node_pools.restore(call, requests)
        except NotServedError:
            return
        if isinstance(answer, Again | Refused):
            self._failures[left.key] = answer.reason

    async def _delete(self, left: Leftover) -> None:
        options = {"preconditions": {"uid": left.uid}, "propagationPolicy": "Background"}
        path = paths.named(self._paths[left.thing], left.name)
        try:
            await self._client.send("DELETE", path, options, timeout=ANSWER_S)
        except NotServedError:
            return


def unmarking(left: Leftover) -> dict[str, object]:
    """Return the merge patch that unmarks a node, valid for the version seen alone."""
    gone = dict.fromkeys(sorted(left.marks))
    kept_by = dict.fromkeys([labels.SCALE_DOWN_DISABLED] if labels.KEPT in gone else [])
    metadata: dict[str, object] = {
        "resourceVersion": left.version,
        "labels": {name: None for name in gone if name in labels.NODE_LABELS},
        "annotations": {n: None for n in gone if n in labels.NODE_ANNOTATIONS} | kept_by,
    }
    patch: dict[str, object] = {"metadata": metadata}
    return patch | ({"spec": {"unschedulable": None}} if left.is_our_cordon else {})
