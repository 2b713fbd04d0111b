"""Whether what the writing modes need stands in the cluster, asked by dry runs: nothing is made.

Comes in: a client, and where the controller's pods live. Goes out: who asks, what the server says
to a placeholder as it would be sent, and whether the fence refuses a pod that must not be. Every
request is a dry run or a review, which the server does not keep. So quota, PriorityClass, pod
security and fence are judged by the server itself, for the very account that asks, without a right
to read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from spotvortex.core.domain import labels as label_names
from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.calls import CreatePlaceholder
from spotvortex.errors import ApiError, UnreachableError
from spotvortex.kube.api import paths
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.errors import NO_LEASE
from spotvortex.kube.api.wire.codec import decoded
from spotvortex.kube.write import manifests
from spotvortex.kube.write.manifests import PlaceholderOptions
from spotvortex.kube.write.placeholder_spec import PlaceholderSpec

SELF: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ANSWER_S: Final = 10.0
NAME: Final = "spotvortex-check"
"""Of all that is tried, and never made."""

_ANYWHERE: Final = PlaceholderSpec(
    node_selector={}, node_affinity={}, tolerations=[], requests={}, limits={}, annotations={}
)
_POLICY: Final = "ValidatingAdmissionPolicy"
_LIFE_S: Final = 60


class _User(msgspec.Struct, frozen=True):
    username: str


class _SelfStatus(msgspec.Struct, frozen=True, rename="camel"):
    user_info: _User


class _SelfReview(msgspec.Struct, frozen=True):
    status: _SelfStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallTrial:
    """What the server says to what is tried.

    Attributes:
        refusal: why it would refuse a placeholder, "" where it would take one.
        stands_by: it refuses only because another replica leads.
        is_fenced: the fence refuses this account what it must not do.
    """

    refusal: str
    stands_by: bool
    is_fenced: bool


async def username(client: KubeClient) -> str:
    """Return who asks, as the server calls it; "" where it does not say (Kubernetes < 1.28).

    Raises:
        UnreachableError: the server does not answer.
    """
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        body = await client.post_bytes(SELF, review, timeout=ANSWER_S)
    except UnreachableError:
        raise
    except ApiError:
        return ""
    return decoded(body, _SelfReview).status.user_info.username


async def attempt(client: KubeClient, home: PlaceholderOptions) -> InstallTrial:
    """Try a placeholder as it would be sent, and one that the fence must refuse.

    Raises:
        UnreachableError: the server does not answer.
    """
    placeholder = _placeholder(home)
    refusal = await _refusal(client, home, placeholder)
    endless = await _refusal(client, home, _endless(placeholder))
    return InstallTrial(
        refusal="" if NO_LEASE in refusal else refusal,
        stands_by=NO_LEASE in refusal,
        is_fenced=_POLICY in endless,
    )


async def _refusal(client: KubeClient, home: PlaceholderOptions, pod: manifests.Json) -> str:
    path = paths.pods(home.namespace)
    try:
        await client.post_bytes(path, pod, timeout=ANSWER_S, dry_run=True)
    except UnreachableError:
        raise
    except ApiError as error:
        return str(error)
    return ""


def _placeholder(home: PlaceholderOptions) -> manifests.Json:
    call = CreatePlaceholder(
        name=NAME,
        plan_id="check",
        for_uid="check",
        pool="check",
        capacity_type=CapacityType.SPOT,
        sides=(),
        for_pod="check/check",
        pod_uid="check",
        cpu_milli=1,
        memory_bytes=1 << 20,
        zone="",
        avoid=(),
        order="{}",
        expires_s=_LIFE_S,
    )
    tether = manifests.owner_reference(f"{label_names.TETHER_PREFIX}check", NAME)
    return manifests.placeholder(call, _ANYWHERE, home, tether)


def _endless(placeholder: manifests.Json) -> manifests.Json:
    """Leave out of a placeholder what lets it end without the controller."""
    spec = placeholder["spec"]
    assert isinstance(spec, dict)
    kept = {key: value for key, value in spec.items() if key != "activeDeadlineSeconds"}
    return placeholder | {"spec": kept}
