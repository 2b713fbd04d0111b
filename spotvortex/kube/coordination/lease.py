"""Who may write: one Lease in the controller's namespace, held by one of its replicas.

Comes in: a client. Goes out: whether this process holds the lease, and until when on its own clock.
Nobody's clock is compared with another's. A holder counts from before the request that renewed the
lease was sent; a candidate counts from when it last saw the lease change. So the holder's time is
always over before the candidate's is, whatever the times of day are. Losing the lease is final
until it is acquired anew, also where the last request was only slow.
https://kubernetes.io/docs/concepts/architecture/leases/
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

import msgspec

from spotvortex.aio import pause
from spotvortex.core.domain import labels as label_names
from spotvortex.core.record.codec import rfc3339
from spotvortex.errors import ApiError, ConflictError, NotServedError
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.wire.codec import decoded
from spotvortex.ports.cluster import WallClock
from spotvortex.ports.lease_timing import LeaseTiming

SHORTEST_PAUSE_S: Final = 0.1

log = logging.getLogger(__name__)


class LeaseSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a Lease says; times are for people, nothing here reads them.

    Attributes:
        holder_identity: who holds the lease, None or "" where nobody does.
        lease_duration_seconds: how long the holder may be silent, in seconds.
        acquire_time: when the holder took the lease.
        renew_time: when the holder last renewed it.
        lease_transitions: how often it changed hands.
    """

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class LeaseMetadata(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The Lease's metadata: what shows a change, what the next write requires, and notes."""

    uid: str
    resource_version: str
    annotations: dict[str, str] = {}


class Lease(msgspec.Struct, frozen=True):
    """A Lease of coordination.k8s.io/v1."""

    metadata: LeaseMetadata
    spec: LeaseSpec = LeaseSpec()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseOptions:
    """In whose name, and by which times, the lease is held.

    Attributes:
        identity: the process's name on the lease; no two processes may have the same one.
        address: IP address at which the process answers people, "" where others cannot reach it.
        timing: how long the lease lasts, and the rest of its times.
    """

    identity: str
    address: str = ""
    timing: LeaseTiming = field(default_factory=LeaseTiming)


class LeaseKeeper:
    """Acquires the lease, keeps it, and gives it back.

    Attributes:
        valid_until: loop time until which the lease is held, minus infinity where it is not.
        holder: who holds it as far as is known, "" for nobody.
        n_transitions: how often it went to another holder, as the lease itself counts.
        state_kept: whether any holder has saved a state, as the lease itself says.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        options: LeaseOptions,
        clock: WallClock,
        rng: Random,
    ) -> None:
        self._client = client
        self._timing = options.timing
        self._collection = paths.leases(namespace)
        self._path = paths.named(self._collection, label_names.LEASE)
        self._identity = options.identity
        self._address = options.address
        self._clock = clock
        self._rng = rng
        self._seen: Lease | None = None
        self._changed_at = -math.inf
        self.valid_until = -math.inf
        self.holder = ""
        self.n_transitions = 0
        self.state_kept = False

    def keep_state(self) -> None:
        """Say with the next renewal, and ever after, that a state has been saved.

        A leader that dies before its first state is saved leaves a lease, and has lost nothing.
        """
        self.state_kept = True

    def holds(self, margin_s: float = 0.0) -> bool:
        """Tell whether this process holds the lease for at least `margin_s` more seconds."""
        return _loop_time() + margin_s < self.valid_until

    def may_write(self) -> bool:
        """Tell whether a write may still be carried out under the lease."""
        return self.holds(self._timing.margin_s)

    def writes_until(self) -> float:
        """Return the loop time by which every write has to be over."""
        return self.valid_until - self._timing.margin_s

    def leader_address(self) -> str:
        """Return where another process that holds the lease answers, as the lease says.

        "" where this process holds it, where nobody does, and where the note is another's: a
        holder that leaves no address of its own finds that of the one before it.
        """
        if self._seen is None or self.holds():
            return ""
        note = self._seen.metadata.annotations.get(label_names.LEADER_ADDRESS, "")
        of, _, address = note.rpartition("@")
        return address if of and of == self.holder != self._identity else ""

    async def run(self, stop: asyncio.Event) -> None:
        """Try to hold the lease until told to stop, then give it back."""
        try:
            while not stop.is_set():
                await self._turn()
                await pause(stop, self._pause_s())
        finally:
            await self._release()

    def _pause_s(self) -> float:
        if self.holds():
            # Sooner where a renewal has failed: what is left is halved with every try.
            left_s = self.valid_until - _loop_time()
            return max(SHORTEST_PAUSE_S, min(self._timing.renew_s, left_s / 2))
        return self._timing.poll_s * self._rng.uniform(0.75, 1.0)

    async def _turn(self) -> None:
        """Renew the lease if this process holds it, else see whether it can be taken."""
        try:
            if self.holds():
                await self._renew()
            else:
                self._lose("expired")
                await self._try()
        except ApiError as error:
            log.debug("lease.unanswered", extra={"error": str(error)})

    async def _renew(self) -> None:
        """Write the lease again, in what is left of its time."""
        assert self._seen is not None
        known, sent_at = self._seen, _loop_time()
        spec = msgspec.structs.replace(known.spec, renew_time=self._now())
        try:
            lease = await self._write(
                known, spec, min(self._timing.renew_s, self.valid_until - sent_at)
            )
        except ConflictError:
            await self._look_after_conflict(known)
        except NotServedError:
            self._vanish()
            self._lose("deleted")
        else:
            # A loop that stood still may be handed the answer after its time was over.
            if self.holds():
                self._won(lease, sent_at)
            else:
                self._lose("late")

    async def _look_after_conflict(self, known: Lease) -> None:
        """Tell this process's own last renewal, whose answer was lost, from somebody else's.

        The time of the lease is not made longer by it.
        """
        found = await self._look()
        spec = found.spec if found is not None else LeaseSpec()
        mine = (known.spec.holder_identity, known.spec.acquire_time)
        if (spec.holder_identity, spec.acquire_time) != mine:
            self._lose("taken")

    async def _try(self) -> None:
        """Take the lease if nobody holds it.

        A lease in this process's name is of a life before this one, or of another replica that was
        given the same name: it is awaited like anybody's.
        """
        found = await self._look()
        if found is None:
            # Whoever held it when it was deleted may not know yet.
            if self._stood_still_s() >= self._timing.lease_s:
                await self._create()
            return
        holder = found.spec.holder_identity or ""
        told_s = min(found.spec.lease_duration_seconds or 0, self._timing.longest_s)
        lasts_s = max(self._timing.lease_s, told_s)
        if holder and self._stood_still_s() < lasts_s:
            return
        n_before = found.spec.lease_transitions or 0
        sent_at = _loop_time()
        spec = self._spec(n_before + (holder != self._identity))
        try:
            lease = await self._write(found, spec, self._timing.renew_s)
        except ConflictError:
            # Another candidate was faster. What the lease says now is read at the next turn.
            return
        self._won(lease, sent_at)
        log.info("lease.acquired", extra={"holder": self._identity, "before": holder})

    async def _look(self) -> Lease | None:
        """Read the lease; the time since its last change runs from when this was seen."""
        try:
            body = await self._client.get_bytes(self._path, timeout=self._timing.renew_s)
        except NotServedError:
            self._vanish()
            return None
        found = _decoded(body)
        if self._seen is None or found.metadata != self._seen.metadata:
            self._take(found)
        return found

    def _stood_still_s(self) -> float:
        """Return for how long the lease has not changed, by this process's own clock."""
        return _loop_time() - self._changed_at

    async def _create(self) -> None:
        sent_at = _loop_time()
        body = self._manifest({}, self._spec(0))
        try:
            answer = await self._client.send(
                "POST", self._collection, body, timeout=self._timing.renew_s
            )
        except ConflictError:
            return
        self._won(_decoded(answer), sent_at)
        log.info("lease.acquired", extra={"holder": self._identity, "before": ""})

    def _spec(self, n_transitions: int) -> LeaseSpec:
        now = self._now()
        return LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=math.ceil(self._timing.lease_s),
            acquire_time=now,
            renew_time=now,
            lease_transitions=n_transitions,
        )

    async def _write(self, known: Lease, spec: LeaseSpec, timeout_s: float) -> Lease:
        """Write the lease if it is still the version that was read."""
        body = self._manifest(msgspec.to_builtins(known.metadata), spec)
        return _decoded(await self._client.send("PUT", self._path, body, timeout=timeout_s))

    def _manifest(self, metadata: Mapping[str, object], spec: LeaseSpec) -> dict[str, object]:
        labels = {label_names.MANAGED_BY: label_names.MANAGER}
        known = metadata.get("annotations")
        notes = (known if isinstance(known, dict) else {}) | self._notes()
        if notes:
            metadata = {**metadata, "annotations": notes}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": label_names.LEASE, "labels": labels, **metadata},
            "spec": msgspec.to_builtins(spec),
        }

    def _notes(self) -> dict[str, str]:
        """Return what this process writes beside its name."""
        notes = {label_names.STATE_KEPT: "true"} if self.state_kept else {}
        if self._address:
            notes[label_names.LEADER_ADDRESS] = f"{self._identity}@{self._address}"
        return notes

    def _won(self, lease: Lease, sent_at: float) -> None:
        self._take(lease)
        self.valid_until = sent_at + self._timing.lease_s

    def _take(self, lease: Lease) -> None:
        self._seen, self._changed_at = lease, _loop_time()
        self.holder = lease.spec.holder_identity or ""
        self.n_transitions = lease.spec.lease_transitions or 0
        self.state_kept = self.state_kept or label_names.STATE_KEPT in lease.metadata.annotations

    def _vanish(self) -> None:
        if self._seen is not None:
            self._seen, self._changed_at, self.holder = None, _loop_time(), ""

    def _lose(self, why: str) -> None:
        if self.valid_until > -math.inf:
            log.warning("lease.lost", extra={"holder": self._identity, "why": why})
        self.valid_until = -math.inf

    async def _release(self) -> None:
        """Give the lease back, so that a standby need not wait for its end.

        Not before what was given up without an answer is over: the server may carry on with it.
        """
        held, self.valid_until = self.holds(), -math.inf
        if not held or self._seen is None:
            return
        over_at = self._client.given_up_at + self._timing.margin_s
        await asyncio.sleep(max(0.0, over_at - _loop_time()))
        spec = msgspec.structs.replace(self._seen.spec, holder_identity="", renew_time=self._now())
        try:
            self._take(await self._write(self._seen, spec, self._timing.release_s))
        except ApiError as error:
            log.warning("lease.not_released", extra={"error": str(error)})
        else:
            log.info("lease.released", extra={"holder": self._identity})

    def _now(self) -> str:
        return rfc3339(self._clock.now(), "microseconds")


def _decoded(body: bytes) -> Lease:
    return decoded(body, Lease, "lease")


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
