"""What our account may do, asked of the server once, for `check`.

Comes in: a client. Goes out: for every watched input whether it is served and which rights are
missing, and the offerings of the nodes. A SelfSubjectAccessReview is created for each right:
the one verb of ours that is no reading, and the server keeps nothing of it. The daemon and `assess`
never come here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from spotvortex.core.types import Offering
from spotvortex.errors import ForbiddenError, NotServedError, ServerError
from spotvortex.kube import wire
from spotvortex.kube.capacity import INSTANCE_TYPE, ZONE
from spotvortex.kube.client import KubeClient
from spotvortex.kube.codec import Codec
from spotvortex.kube.inputs import METADATA_LIST, NODES, WATCHED, Input

VERBS: Final = ("get", "list", "watch")
REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
ANSWER_S: Final = 10.0
PAGE_SIZE: Final = 500

_Answer = TypeVar("_Answer", bound=msgspec.Struct)


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
    """How far an input can be read: whether it is served, and the verbs that are denied."""

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
        ApiError: the server does not answer, or does not let us ask.
    """
    return tuple([await _access(client, watched) for watched in WATCHED])


async def offerings(client: KubeClient) -> frozenset[Offering]:
    """Return what the nodes run on; of a node only its metadata is read.

    Raises:
        ApiError: the nodes cannot be listed.
    """
    codec, found, token = Codec(wire.Owner), set[Offering](), ""
    while True:  # ends with the page that names no further one
        query = {"limit": str(PAGE_SIZE)} | ({"continue": token} if token else {})
        page = codec.page(
            await client.get_bytes(
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


async def _access(client: KubeClient, watched: Input) -> Access:
    served = await _is_served(client, watched)
    denied = [verb for verb in VERBS if served and not await _is_allowed(client, watched, verb)]
    return Access(watched=watched, served=served, denied=tuple(denied))


async def _is_served(client: KubeClient, watched: Input) -> bool:
    """Ask discovery; where that is closed to us, take it that the resource is there."""
    group, _, resource = watched.resource.path.rpartition("/")
    try:
        body = await client.get_bytes(group, timeout=ANSWER_S)
    except NotServedError:
        return False
    except ForbiddenError:
        return True
    return any(r.name == resource for r in _decoded(body, _Resources).resources)


async def _is_allowed(client: KubeClient, watched: Input, verb: str) -> bool:
    group, _, resource = watched.right.rpartition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"group": group, "resource": resource, "verb": verb}},
    }
    body = await client.post_bytes(REVIEWS, review, timeout=ANSWER_S)
    return _decoded(body, _Review).status.allowed


def _decoded(body: bytes, kind: type[_Answer]) -> _Answer:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise ServerError(f"unreadable answer: {error}", reason="Unreadable") from error
