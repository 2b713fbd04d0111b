"""What is watched, and what cannot be known without it.

Comes in: a reflector's state and age. Goes out: an `InputHealth` with the fix in words. Names are
the core's own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.errors import ApiError
from spotvortex.kube.api.client import KubeClient
from spotvortex.kube.api.reflector import Reflector, ReflectorState, Resource
from spotvortex.kube.api.wire.codec import Obj

METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_META: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One watched resource: the right it needs and what is lost without it.

    Attributes:
        resource: what is listed and watched.
        right: the right to get, list and watch, `group/resource`, the group left out where it is
            empty.
        cost: what is lost without it, in words.
        required: no pool may move without it.
        needs_all: one object that cannot be read is as bad as none that can.
    """

    resource: Resource
    right: str
    cost: str
    required: bool = False
    needs_all: bool = False


NODES: Final = Input(
    resource=Resource(name=InputName.NODES, path="/api/v1/nodes"),
    right="nodes",
    cost="nothing can be seen",
    required=True,
)
PODS: Final = Input(
    resource=Resource(
        name=InputName.PODS,
        path="/api/v1/pods",
        field_selector="status.phase!=Succeeded,status.phase!=Failed",
    ),
    right="pods",
    cost="what runs where cannot be seen",
    required=True,
)
PDBS: Final = Input(
    resource=Resource(name=InputName.PDBS, path="/apis/policy/v1/poddisruptionbudgets"),
    right="policy/poddisruptionbudgets",
    cost="pool safety cannot be judged",
    needs_all=True,
)
OWNERS: Final = Input(
    resource=Resource(
        name=InputName.OWNERS,
        path="/apis/apps/v1/replicasets",
        accept_list=METADATA_LIST,
        accept_watch=_META,
    ),
    right="apps/replicasets",
    cost="Deployments are guessed from the names of ReplicaSets, and no pool grows towards Spot, "
    "since what a loss may take of them is not known",
)
STATEFUL_SETS: Final = Input(
    resource=Resource(
        name=InputName.STATEFUL_SETS,
        path="/apis/apps/v1/statefulsets",
        accept_list=METADATA_LIST,
        accept_watch=_META,
    ),
    right="apps/statefulsets",
    cost="what a loss may take of StatefulSets is not known: no pool grows towards Spot",
)
NAMESPACES: Final = Input(
    resource=Resource(
        name=InputName.NAMESPACES,
        path="/api/v1/namespaces",
        accept_list=METADATA_LIST,
        accept_watch=_META,
    ),
    right="namespaces",
    cost="what namespaces say that a loss may take is not known: no pool grows towards Spot",
)
NODEPOOLS: Final = Input(
    resource=Resource(name=InputName.NODEPOOLS, path="/apis/karpenter.sh/v1/nodepools"),
    right="karpenter.sh/nodepools",
    cost="pools are named by node labels alone, and what a pool may launch is not known",
)

INTERRUPTIONS: Final = Input(
    resource=Resource(
        name=InputName.INTERRUPTIONS,
        path="/api/v1/events",
        field_selector="reason=SpotInterrupted,involvedObject.kind=Node",
    ),
    right="events",
    cost="which nodes Karpenter lost to an interruption is not known",
)
"""Karpenter's own Events alone: the interruption controller of its AWS provider says so at the
node (pkg/controllers/interruption/events/events.go)."""

LAUNCHES: Final = Input(
    resource=Resource(
        name=InputName.LAUNCHES,
        path="/api/v1/events",
        field_selector="reason=InsufficientCapacityError,involvedObject.kind=NodeClaim",
    ),
    right="events",
    cost="which launches Karpenter found no capacity for is not known",
)
"""Karpenter's own Events alone, published before it deletes the claim
(pkg/controllers/nodeclaim/lifecycle/launch.go)."""

WATCHED: Final = (
    NODES,
    PODS,
    PDBS,
    OWNERS,
    STATEFUL_SETS,
    NAMESPACES,
    NODEPOOLS,
    INTERRUPTIONS,
    LAUNCHES,
)
"""All watched resources, in the order in which health lists them."""


def health_of(
    watched: Input, reflector: Reflector[Obj], age_s: float, stale_after_s: float
) -> InputHealth:
    """Return how far an input may be trusted.

    Args:
        watched: the input.
        reflector: what keeps it up to date.
        age_s: seconds since it was last confirmed.
        stale_after_s: age in seconds above which it is stale.
    """
    state, detail = _judge(watched, reflector, is_old=age_s > stale_after_s)
    return InputHealth(
        name=InputName(watched.resource.name),
        state=state,
        age_s=age_s,
        required=watched.required,
        detail=detail,
    )


def _judge(watched: Input, reflector: Reflector[Obj], *, is_old: bool) -> tuple[InputState, str]:
    name = watched.right.rpartition("/")[2]
    if reflector.state is ReflectorState.DENIED:
        fix = f"grant get,list,watch on {watched.right}"
        return InputState.DENIED, f"no right to list {name}: {watched.cost}; {fix}"
    if reflector.state is ReflectorState.ABSENT:
        return InputState.ABSENT, f"the cluster serves no {watched.right}: {watched.cost}"
    if is_old:
        reason = reflector.last_error or "the first list is not complete"
        if reflector.listed.is_set():
            reason = reflector.last_error or "the stream is silent and the server does not answer"
        return InputState.STALE, f"{name} not confirmed: {reason}"
    unread = len(reflector.unread)
    told = f"{unread} objects could not be read" if unread else ""
    if unread and watched.needs_all:
        return InputState.STALE, f"{told}: {watched.cost}"
    return InputState.OK, told


PROBE_EVERY_S: Final = 5.0

log = logging.getLogger(__name__)


async def confirm_by_probes(
    client: KubeClient, reflectors: Iterable[Reflector[Any]], what: str, every_s: float
) -> None:
    """Confirm open streams: a silent stream of a server that answers has missed nothing.

    Runs until it is cancelled.

    Args:
        client: the connection that the reflectors watch by.
        reflectors: whose streams; gone through anew after each probe.
        what: how the log calls them.
        every_s: seconds between two probes.
    """
    while True:  # ends by cancellation
        await asyncio.sleep(every_s)
        try:
            await client.probe()
        except ApiError as error:
            log.debug("%s.probe_failed", what, extra={"error": str(error)})
        else:
            for reflector in reflectors:
                reflector.confirm()
