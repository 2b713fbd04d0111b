"""What changes a real cluster: every call, as one request or a few.

Comes in: a `Call`, and until when this process may write. Goes out: an `Answer`; what goes wrong is
an answer as well. Each write names the very object that is meant, by uid or by resource version, so
a call can be made twice without harm; each is bounded by the lease on its own. May not decide
anything: whether a call may be made is asked before it gets here.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import assert_never

import msgspec

from spotvortex.core.domain import labels as label_names
from spotvortex.core.drain.calls import (
    Again,
    Answer,
    Call,
    ClearRisk,
    CreateAnchor,
    CreatePlaceholder,
    CreateRoom,
    DeleteAnchors,
    DeletePlaceholders,
    Done,
    EvictPod,
    Gone,
    MarkNode,
    NoteRisk,
    Refused,
    ReleaseNode,
    UnmarkNode,
)
from spotvortex.core.drain.group_calls import GrowGroup, RestoreGroup, SettleGroup, SteerGroup
from spotvortex.core.drain.keeping import FreeNode, KeepNode
from spotvortex.errors import ApiError, ConflictError, NotServedError
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.errors import (
    is_over_quota,
    is_there_already,
    of_creation,
    of_eviction,
    of_write,
)
from spotvortex.kube.api.wire.codec import decoded
from spotvortex.kube.write import manifests
from spotvortex.kube.write.autoscaler import kept_nodes
from spotvortex.kube.write.bounded import BoundedRequests
from spotvortex.kube.write.manifests import Json, PlaceholderOptions
from spotvortex.kube.write.nodes import NodeWrites
from spotvortex.kube.write.owner_jobs import OwnerJobs
from spotvortex.kube.write.placeholder_spec import Original, UnsatisfiableError, placeholder_spec
from spotvortex.kube.write.rooms import Rooms
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.ports.provisioner import Provisioner, Unable
from spotvortex.ports.writing import OwnWrite


class _PodMeta(msgspec.Struct, frozen=True, rename="camel"):
    labels: dict[str, str] = {}
    deletion_timestamp: str | None = None


class _OwnPod(msgspec.Struct, frozen=True):
    metadata: _PodMeta


class KubeWriter:
    """Carries calls out in one cluster."""

    def __init__(
        self,
        client: KubeClient,
        home: PlaceholderOptions,
        provisioner: Provisioner,
        rng: Random,
        timing: LeaseTiming,
    ) -> None:
        self._client = client
        self._home = home
        self._provisioner = provisioner
        self._timing = timing
        self._tethers = OwnerJobs(home.namespace, rng)
        self._nodes = NodeWrites()
        self._rooms = Rooms(home=home, provisioner=provisioner)

    def own_write(self, uid: str, seen_version: str = "") -> OwnWrite | None:
        """Return what the newest write left on a node that the watch has not shown yet.

        Args:
            uid: the node's.
            seen_version: the resource version of the node as the watch shows it.
        """
        return self._nodes.own.get(uid, seen_version)

    async def apply(self, call: Call, until: float) -> Answer:
        """Carry a call out before `until`, by the loop's clock, and return the cluster's answer."""
        requests = BoundedRequests(client=self._client, until=until, timing=self._timing)
        try:
            return await self._apply(call, requests)
        except ApiError as error:
            return of_write(error)

    async def _apply(self, call: Call, requests: BoundedRequests) -> Answer:
        match call:
            case MarkNode() | UnmarkNode() | NoteRisk() | ClearRisk():
                return await self._nodes.apply(call, requests)
            case KeepNode():
                return await kept_nodes.keep(call, requests)
            case FreeNode():
                return await kept_nodes.free(call, requests)
            case EvictPod():
                return await _evict(call, requests)
            case CreatePlaceholder() | CreateRoom() | CreateAnchor():
                return await self._make(call, requests)
            case ReleaseNode() | SteerGroup() | RestoreGroup() | GrowGroup() | SettleGroup():
                return await self._provisioned(call, requests.until)
            case DeletePlaceholders() | DeleteAnchors():
                return await self._delete(call, requests)
            case _:
                assert_never(call)

    async def _make(
        self, call: CreatePlaceholder | CreateRoom | CreateAnchor, requests: BoundedRequests
    ) -> Answer:
        match call:
            case CreatePlaceholder():
                return await self._place(call, requests)
            case CreateRoom():
                return await self._rooms.create(call, requests)
            case CreateAnchor():
                return await self._tethered(
                    call, requests, lambda tether: manifests.anchor(call, self._home, tether)
                )

    async def _provisioned(
        self,
        call: ReleaseNode | SteerGroup | RestoreGroup | GrowGroup | SettleGroup,
        until: float,
    ) -> Answer:
        if isinstance(call, ReleaseNode):
            return await self._provisioner.release(call, until)
        if isinstance(call, GrowGroup | SettleGroup):
            return await self._provisioner.grow(call, until)
        return await self._provisioner.steer(call, until)

    async def _place(self, call: CreatePlaceholder, requests: BoundedRequests) -> Answer:
        wanted = self._provisioner.wanted_nodes(call)
        if isinstance(wanted, Unable):
            return Refused(reason=wanted.reason)
        original = await _original(call, requests)
        if original is None:
            return Gone()
        try:
            like = placeholder_spec(call, wanted, original.spec)
        except UnsatisfiableError as error:
            return Refused(reason=str(error))
        except ValueError as error:
            return Refused(reason=f"{call.for_pod}: {error}")
        return await self._tethered(
            call, requests, lambda tether: manifests.placeholder(call, like, self._home, tether)
        )

    async def _tethered(
        self,
        call: CreatePlaceholder | CreateAnchor,
        requests: BoundedRequests,
        pod: Callable[[Json], Json],
    ) -> Answer:
        """Create a pod, which `pod` makes from the reference to the Job that owns it."""
        try:
            tether = await self._tethers.reference(call.expires_s, requests)
        except ApiError as error:
            return of_creation(error)
        return await self._create(call, requests, pod(tether))

    async def _create(
        self, call: CreatePlaceholder | CreateAnchor, requests: BoundedRequests, pod: Json
    ) -> Answer:
        path = paths.pods(self._home.namespace)
        try:
            await requests.send("POST", path, pod)
        except ConflictError as error:
            if is_there_already(error):
                return await self._already(call, requests, str(error))
            # A quota that several requests count on at once.
            return Again(reason=str(error))
        except ApiError as error:
            if is_over_quota(error):
                # The quota comes before the name: what is there already may be what has filled it.
                found = await self._already(call, requests, str(error))
                return found if isinstance(found, Done) else of_creation(error)
            return of_creation(error)
        return Done()

    async def _already(
        self, call: CreatePlaceholder | CreateAnchor, requests: BoundedRequests, words: str
    ) -> Answer:
        """Tell whether the pod of that name is what an earlier try of the same call made."""
        path = paths.pod(self._home.namespace, call.name)
        try:
            body = await requests.get(path)
        except NotServedError:
            return Again(reason=words)
        metadata = decoded(body, _OwnPod).metadata
        if metadata.labels.get(label_names.PLAN) != call.plan_id:
            return Refused(reason=words)
        return Again(reason=words) if metadata.deletion_timestamp else Done()

    async def _delete(
        self, call: DeletePlaceholders | DeleteAnchors, requests: BoundedRequests
    ) -> Answer:
        """Delete pods of ours; the room that lost nodes share by its Jobs, since it may be much."""
        if isinstance(call, DeletePlaceholders) and call.unbound:
            return await self._delete_own(_labels_of(call), requests, fields="spec.nodeName=")
        if isinstance(call, DeleteAnchors) or call.for_uid not in ("", call.plan_id):
            return await self._delete_own(_labels_of(call), requests)
        answer = await self._rooms.delete(call.plan_id, requests)
        if call.for_uid or not isinstance(answer, Done):
            return answer
        others = f"{label_names.FOR}!={call.plan_id}"
        return await self._delete_own(_labels_of(call), requests, but=others)

    async def _delete_own(
        self, labels: dict[str, str], requests: BoundedRequests, but: str = "", fields: str = ""
    ) -> Answer:
        """Delete the controller's pods with all these labels, at once: they do nothing."""
        for value in labels.values():
            if not label_names.is_label_value(value):
                return Refused(
                    reason=f"no pod of SpotVortex can have the label value {value[:63]!r}"
                )
        selector = ",".join([*(f"{k}={v}" for k, v in labels.items()), *([but] if but else [])])
        await requests.send(
            "DELETE",
            paths.pods(self._home.namespace),
            manifests.deletion(grace_s=0),
            query={"labelSelector": selector} | ({"fieldSelector": fields} if fields else {}),
        )
        return Done()


def _labels_of(call: DeletePlaceholders | DeleteAnchors) -> dict[str, str]:
    """Return the labels of the pods that are to be deleted."""
    if isinstance(call, DeleteAnchors):
        return {label_names.KIND: label_names.PodKind.ANCHOR, label_names.FOR: call.node_uid}
    plan = {
        label_names.KIND: label_names.PodKind.PLACEHOLDER,
        label_names.PLAN: call.plan_id,
    }
    return plan | ({label_names.FOR: call.for_uid} if call.for_uid else {})


async def _evict(call: EvictPod, requests: BoundedRequests) -> Answer:
    path = paths.eviction(call.namespace, call.name)
    body = manifests.eviction(call.namespace, call.name, call.uid)
    try:
        await requests.send("POST", path, body)
    except ApiError as error:
        return of_eviction(error)
    return Done()


async def _original(call: CreatePlaceholder, requests: BoundedRequests) -> Original | None:
    """Return the pod whose room is asked for, None where it is gone or another one."""
    namespace, _, name = call.for_pod.partition("/")
    try:
        body = await requests.get(paths.pod(namespace, name))
    except NotServedError:
        return None
    found = decoded(body, Original)
    return found if found.metadata.uid == call.pod_uid else None
