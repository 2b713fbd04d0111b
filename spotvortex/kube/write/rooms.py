"""Room for the pods of many lost nodes at once: one Job for all pods that are alike.

Comes in: a `CreateRoom`. Goes out: an answer. Of each shape one pod is read, and what a placeholder
for it looks like; shapes that come to the same are one Job. The name of a Job says what it is for,
so the same call made twice finds it there. May not decide how much is asked for.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from spotvortex.core.domain.labels import (
    MANAGED_BY,
    MANAGER,
    PLAN,
    TETHER_PREFIX,
    is_label_value,
)
from spotvortex.core.domain.types import short_digest
from spotvortex.core.drain.calls import (
    Again,
    Answer,
    CreateRoom,
    Done,
    Gone,
    PodView,
    Refused,
    RoomShape,
)
from spotvortex.errors import ApiError, ConflictError, NotServedError
from spotvortex.kube.api import paths
from spotvortex.kube.api.errors import is_there_already, of_creation, of_write
from spotvortex.kube.api.wire.codec import decoded
from spotvortex.kube.write.bounded import BoundedRequests
from spotvortex.kube.write.manifests import (
    Json,
    PlaceholderOptions,
    as_extra,
    deletion,
    placeholder,
    room_job,
)
from spotvortex.kube.write.placeholder_spec import Original, UnsatisfiableError, placeholder_spec
from spotvortex.ports.provisioner import Provisioner, Unable

MAX_READ: Final = 5
"""Pods of a shape that are read until one is still there."""

MOST_OF_A_JOB: Final = 10_000
"""Placeholders of one Job, as the fence has it; pods beyond them go without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """Asks for room by Jobs; extra room by Jobs of its own, after the others.

    Attributes:
        home: where the Jobs live.
        provisioner: says which nodes are wanted.
    """

    home: PlaceholderOptions
    provisioner: Provisioner

    async def create(self, call: CreateRoom, requests: BoundedRequests) -> Answer:
        """Create the Jobs of a call, or find them there."""
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(self._pod(call, s, requests)) for s in call.shapes]
        found = [read.result() for read in reads]
        answers: list[Answer] = [pod for pod in found if not isinstance(pod, dict)]
        n_of: Counter[str] = Counter()
        n_extra: Counter[str] = Counter()
        for pod, shape in zip(found, call.shapes, strict=True):
            if isinstance(pod, dict):
                n_of[json.dumps(pod, sort_keys=True)] += len(shape.pods) // shape.together
                extra = as_extra(pod, call.plan_id)
                n_extra[json.dumps(extra, sort_keys=True)] += shape.n_extra // shape.together
        for text, n in n_of.items():
            answers.append(await self._job(call, text, n, requests))
        for text, n in (+n_extra).items():
            # After all that is needed, and nothing waits for it: a quota may end before it.
            await self._job(call, text, n, requests)
        return _worst_that_matters(answers)

    async def delete(self, plan_id: str, requests: BoundedRequests) -> Answer:
        """Delete the Jobs of a plan; the garbage collector takes their pods.

        Raises:
            ApiError: the server did not do it.
        """
        if not is_label_value(plan_id):
            return Refused(reason=f"no Job of SpotVortex can have the label value {plan_id[:63]!r}")
        await requests.send(
            "DELETE",
            paths.jobs(self.home.namespace),
            deletion(background=True),
            query={"labelSelector": f"{MANAGED_BY}={MANAGER},{PLAN}={plan_id}"},
        )
        return Done()

    async def _pod(
        self, call: CreateRoom, shape: RoomShape, requests: BoundedRequests
    ) -> Json | Answer:
        """Return a placeholder for the pods of a shape, or why there can be none."""
        like = call.single(shape, shape.pods[0])
        wanted = self.provisioner.wanted_nodes(like)
        if isinstance(wanted, Unable):
            return Refused(reason=wanted.reason)
        try:
            original = await _first_there(shape.pods, requests)
            if original is None:
                return Gone()
            spec = placeholder_spec(like, wanted, original.spec)
        except UnsatisfiableError as error:
            return Refused(reason=str(error))
        except ValueError as error:
            return Refused(reason=f"{like.for_pod}: {error}")
        except ApiError as error:
            return of_write(error)
        return placeholder(like, spec, self.home, {})

    async def _job(self, call: CreateRoom, text: str, n: int, requests: BoundedRequests) -> Answer:
        whom = "|".join((call.plan_id, *sorted(call.pod_uids), text))
        name = TETHER_PREFIX + short_digest(whom)
        job = room_job(name, json.loads(text), min(n, MOST_OF_A_JOB), call.expires_s)
        try:
            await requests.send("POST", paths.jobs(self.home.namespace), job)
        except ConflictError as error:
            return Done() if is_there_already(error) else Again(reason=str(error))
        except ApiError as error:
            return of_creation(error)
        return Done()


async def _first_there(pods: Sequence[PodView], requests: BoundedRequests) -> Original | None:
    for pod in pods[:MAX_READ]:
        try:
            body = await requests.get(paths.pod(pod.namespace, pod.name))
        except NotServedError:
            continue
        found = decoded(body, Original)
        if found.metadata.uid == pod.uid:
            return found
    return None


def _worst_that_matters(answers: Sequence[Answer]) -> Answer:
    """Return the answer to the whole: later where some may work later, done where any was done."""
    for kind in (Again, Done, Refused):
        answer = next((a for a in answers if isinstance(a, kind)), None)
        if answer is not None:
            return answer
    return Gone()
