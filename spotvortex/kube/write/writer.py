"""The hand that reaches into a real cluster: every call, as one request or two.

Comes in: a `Call`. Goes out: an `Answer`; what goes wrong is an answer as well. Each write names
the very object that is meant, by uid or by resource version, so a call can be made twice without
harm. May not decide anything: whether a call may be made is asked before it gets here.
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
from spotvortex.errors import ApiError, ConflictError, NotServedError
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.codec import decoded
from spotvortex.kube.api.errors import (
    is_over_quota,
    is_there_already,
    of_creation,
    of_eviction,
    of_write,
)
from spotvortex.kube.write import manifests
from spotvortex.kube.write.manifests import Json, PlaceholderOptions
from spotvortex.kube.write.nodes import ANSWER_S, NodeWrites
from spotvortex.kube.write.owner_jobs import OwnerJobs
from spotvortex.kube.write.placeholder_spec import Original, UnsatisfiableError, placeholder_spec
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
    ) -> None:
        self._client = client
        self._home = home
        self._provisioner = provisioner
        self._tethers = OwnerJobs(client, home.namespace, rng)
        self._nodes = NodeWrites(client)

    def own_write(self, uid: str, seen_version: str = "") -> OwnWrite | None:
        """Return what our newest write left on a node that the watch has not shown yet.

        Args:
            uid: the node's.
            seen_version: the resource version of the node as the watch shows it.
        """
        return self._nodes.own.get(uid, seen_version)

    async def apply(self, call: Call) -> Answer:
        """Carry a call out and return the cluster's answer."""
        try:
            return await self._apply(call)
        except ApiError as error:
            return of_write(error)

    async def _apply(self, call: Call) -> Answer:
        match call:
            case MarkNode() | UnmarkNode() | NoteRisk() | ClearRisk():
                return await self._nodes.apply(call)
            case EvictPod():
                return await self._evict(call)
            case CreatePlaceholder():
                return await self._place(call)
            case CreateAnchor():
                return await self._tethered(
                    call, lambda tether: manifests.anchor(call, self._home, tether)
                )
            case ReleaseNode():
                return await self._provisioner.release(call)
            case DeletePlaceholders():
                labels = {
                    label_names.KIND: label_names.PodKind.PLACEHOLDER,
                    label_names.PLAN: call.plan_id,
                }
                return await self._delete_own(labels | {label_names.FOR: call.for_uid})
            case DeleteAnchors():
                return await self._delete_own(
                    {label_names.KIND: label_names.PodKind.ANCHOR, label_names.FOR: call.node_uid}
                )
            case _:
                assert_never(call)

    async def _evict(self, call: EvictPod) -> Answer:
        path = paths.eviction(call.namespace, call.name)
        body = manifests.eviction(call.namespace, call.name, call.uid)
        try:
            await self._client.send("POST", path, body, timeout=ANSWER_S)
        except ApiError as error:
            return of_eviction(error)
        return Done()

    async def _place(self, call: CreatePlaceholder) -> Answer:
        wanted = self._provisioner.wanted_nodes(call)
        if isinstance(wanted, Unable):
            return Refused(reason=wanted.reason)
        original = await self._original(call)
        if original is None:
            return Gone()
        try:
            like = placeholder_spec(call, wanted, original.spec)
        except UnsatisfiableError as error:
            return Refused(reason=str(error))
        except ValueError as error:
            return Refused(reason=f"{call.for_pod}: {error}")
        return await self._tethered(
            call, lambda tether: manifests.placeholder(call, like, self._home, tether)
        )

    async def _original(self, call: CreatePlaceholder) -> Original | None:
        """Return the pod whose room is asked for, None where it is gone or another one."""
        namespace, _, name = call.for_pod.partition("/")
        try:
            body = await self._client.get_bytes(paths.pod(namespace, name), timeout=ANSWER_S)
        except NotServedError:
            return None
        found = decoded(body, Original)
        return found if found.metadata.uid == call.pod_uid else None

    async def _tethered(
        self, call: CreatePlaceholder | CreateAnchor, pod: Callable[[Json], Json]
    ) -> Answer:
        """Create a pod of ours, which `pod` makes from the reference to what it hangs on."""
        try:
            tether = await self._tethers.reference(call.expires_s)
        except ApiError as error:
            return of_creation(error)
        return await self._create(call.name, call.plan_id, pod(tether))

    async def _create(self, name: str, plan_id: str, pod: Json) -> Answer:
        path = paths.pods(self._home.namespace)
        try:
            await self._client.send("POST", path, pod, timeout=ANSWER_S)
        except ConflictError as error:
            if is_there_already(error):
                return await self._already(name, plan_id, str(error))
            # A quota that several requests count on at once.
            return Again(reason=str(error))
        except ApiError as error:
            if is_over_quota(error):
                # The quota comes before the name: what is there already may be what has filled it.
                found = await self._already(name, plan_id, str(error))
                return found if isinstance(found, Done) else of_creation(error)
            return of_creation(error)
        return Done()

    async def _already(self, name: str, plan_id: str, words: str) -> Answer:
        """Tell whether the pod of that name is what an earlier try of the same call made."""
        path = paths.pod(self._home.namespace, name)
        try:
            body = await self._client.get_bytes(path, timeout=ANSWER_S)
        except NotServedError:
            return Again(reason=words)
        metadata = decoded(body, _OwnPod).metadata
        if metadata.labels.get(label_names.PLAN) != plan_id:
            return Refused(reason=words)
        return Again(reason=words) if metadata.deletion_timestamp else Done()

    async def _delete_own(self, labels: dict[str, str]) -> Answer:
        """Delete the pods of ours that have all these labels, at once: they do nothing."""
        for value in labels.values():
            if not label_names.is_label_value(value):
                return Refused(reason=f"no pod of ours can have the label value {value[:63]!r}")
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        await self._client.send(
            "DELETE",
            paths.pods(self._home.namespace),
            manifests.deletion(grace_s=0),
            query={"labelSelector": selector},
            timeout=ANSWER_S,
        )
        return Done()
