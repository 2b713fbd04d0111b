"""What the controller's account may do, asked once, for `check` and before anything is written.

Comes in: a client. Goes out: for every watched input whether it is served and which rights are
missing, the rights to write that are missing, and the offerings of the nodes. A
SelfSubjectAccessReview is created for each right: the server keeps nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from spotvortex.core.domain import labels as label_names
from spotvortex.core.domain.types import Offering
from spotvortex.errors import ForbiddenError, NotServedError
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.node_labels import INSTANCE_TYPE, ZONE
from spotvortex.kube.api.patient_reads import PatientReads
from spotvortex.kube.api.wire import owners as owner_wire
from spotvortex.kube.api.wire.codec import Codec, decoded
from spotvortex.kube.cache.inputs import METADATA_LIST, NODES, WATCHED, Input

VERBS: Final = ("get", "list", "watch")
REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
ANSWER_S: Final = 10.0
PAGE_SIZE: Final = 500

_UNDOTTED_GROUPS: Final = frozenset({"batch"})


class _Resource(msgspec.Struct, frozen=True):
    name: str


class _Resources(msgspec.Struct, frozen=True):
    resources: list[_Resource]


class _Allowed(msgspec.Struct, frozen=True):
    allowed: bool


class _Review(msgspec.Struct, frozen=True):
    status: _Allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How far an input can be read.

    Attributes:
        watched: the input.
        served: the API server knows the resource.
        denied: the verbs that are denied.
    """

    watched: Input
    served: bool
    denied: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Tell whether it can be listed and watched."""
        return self.served and not self.denied


async def survey(client: KubeClient) -> tuple[Access, ...]:
    """Ask for every right that the daemon needs.

    Raises:
        ApiError: the server does not answer, or forbids the question.
    """
    return tuple([await _access(client, watched) for watched in WATCHED])


async def offerings(reads: PatientReads) -> frozenset[Offering]:
    """Return what the nodes run on; of a node only its metadata is read.

    Raises:
        ApiError: the nodes cannot be listed.
    """
    codec, found, token = Codec(owner_wire.Owner), set[Offering](), ""
    while True:  # ends with the page that names no further one
        query = {"limit": str(PAGE_SIZE)} | ({"continue": token} if token else {})
        page = codec.page(
            await reads.get_bytes(
                NODES.resource.path, query, accept=METADATA_LIST, timeout=ANSWER_S, verb="list"
            )
        )
        found.update(filter(None, (_offering(node.metadata.labels or {}) for node in page.objects)))
        token = page.token
        if not token:
            return frozenset(found)


def _offering(labels: Mapping[str, str]) -> Offering | None:
    instance_type, zone = labels.get(INSTANCE_TYPE), labels.get(ZONE)
    return Offering(instance_type=instance_type, zone=zone) if instance_type and zone else None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRight:
    """One right that carrying a decision out needs.

    Attributes:
        verb: the verb of the request.
        resource: `group/resource` with an empty group left out, and a subresource after a second
            slash.
        ours: the right is needed in the controller's own namespace only.
        name: the one object that it is needed for, "" for all.
    """

    verb: str
    resource: str
    ours: bool = False
    name: str = ""

    def __str__(self) -> str:
        where = " in its own namespace" if self.ours else ""
        return f"{self.verb} {self.resource}{f' {self.name}' if self.name else ''}{where}"


WRITES: Final = (
    WriteRight(verb="patch", resource="nodes"),
    WriteRight(verb="create", resource="pods/eviction"),
    WriteRight(verb="get", resource="karpenter.sh/nodeclaims"),
    WriteRight(verb="delete", resource="karpenter.sh/nodeclaims"),
    WriteRight(verb="create", resource="pods", ours=True),
    WriteRight(verb="deletecollection", resource="pods", ours=True),
    WriteRight(verb="create", resource="batch/jobs", ours=True),
    WriteRight(verb="deletecollection", resource="batch/jobs", ours=True),
    WriteRight(verb="create", resource="coordination.k8s.io/leases", ours=True),
    *(
        WriteRight(
            verb=verb, resource="coordination.k8s.io/leases", ours=True, name=label_names.LEASE
        )
        for verb in ("get", "update")
    ),
    *(
        WriteRight(verb=verb, resource="configmaps", ours=True, name=label_names.FREEZE)
        for verb in ("list", "watch")
    ),
    WriteRight(verb="create", resource="configmaps", ours=True),
    *(
        WriteRight(verb=verb, resource="configmaps", ours=True, name=label_names.STATE)
        for verb in ("get", "update")
    ),
)
"""All that the daemon needs to carry a decision out; Events are best effort and not among them."""


STEERING: Final = tuple(
    WriteRight(verb=verb, resource="karpenter.sh/nodepools") for verb in ("get", "patch")
)
"""What it takes to steer pairs of NodePools, where that is switched on."""


GROWTHS: Final = tuple(
    WriteRight(verb=verb, resource="configmaps", ours=True, name=label_names.GROWTHS)
    for verb in ("get", "update")
)
"""What the journal of groups takes that are grown by AWS; `WRITES` has the right to make it."""


EVENTS: Final = tuple(WriteRight(verb=verb, resource="events") for verb in ("create", "patch"))
"""What it takes to say something at a node: best effort in every mode above shadow."""


def to_keep(config_map: str) -> tuple[WriteRight, ...]:
    """Return what it takes to keep something in a ConfigMap of ours: best effort too."""
    return tuple(
        WriteRight(verb=verb, resource="configmaps", ours=True, name=config_map)
        for verb in ("get", "patch")
    )


async def missing_write_rights(
    client: KubeClient, namespace: str, rights: tuple[WriteRight, ...] = WRITES
) -> tuple[str, ...]:
    """Return the rights to write that are missing, in words; none where all is well.

    Args:
        client: asks as the controller's own account.
        namespace: the controller's own.
        rights: which are needed.

    Raises:
        ApiError: the server does not answer, or forbids the question.
    """
    return tuple([str(right) for right in rights if not await _may(client, right, namespace)])


async def _may(client: KubeClient, right: WriteRight, namespace: str) -> bool:
    group, resource, subresource = _parts(right.resource)
    return await _review(
        client,
        {
            "group": group,
            "resource": resource,
            "subresource": subresource,
            "verb": right.verb,
            "namespace": namespace if right.ours else "",
            "name": right.name,
        },
    )


def _parts(resource: str) -> tuple[str, str, str]:
    """Split `group/resource` or `resource/subresource` into group, resource and subresource."""
    first, _, second = resource.partition("/")
    if not second:
        return "", first, ""
    is_group = "." in first or first in _UNDOTTED_GROUPS
    return (first, second, "") if is_group else ("", first, second)


async def _access(client: KubeClient, watched: Input) -> Access:
    served = await _is_served(client, watched)
    denied = [verb for verb in VERBS if served and not await _is_allowed(client, watched, verb)]
    return Access(watched=watched, served=served, denied=tuple(denied))


async def _is_served(client: KubeClient, watched: Input) -> bool:
    """Ask discovery; where that is forbidden, assume that the resource is there."""
    group, _, resource = watched.resource.path.rpartition("/")
    try:
        body = await client.get_bytes(group, timeout=ANSWER_S)
    except NotServedError:
        return False
    except ForbiddenError:
        return True
    return any(r.name == resource for r in decoded(body, _Resources).resources)


async def _is_allowed(client: KubeClient, watched: Input, verb: str) -> bool:
    group, _, resource = watched.right.rpartition("/")
    return await _review(client, {"group": group, "resource": resource, "verb": verb})


async def _review(client: KubeClient, attributes: Mapping[str, str]) -> bool:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": dict(attributes)},
    }
    body = await client.post_bytes(REVIEWS, review, timeout=ANSWER_S)
    return decoded(body, _Review).status.allowed
