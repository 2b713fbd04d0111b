"""Auto Scaling groups as a provisioner: the controller grows one and ends nodes of the other.

Comes in: calls of the core. Goes out: answers. A group is read right before each write; what a
write is for stands in the journal before it is made, so that the next process finds it. One call at
a time, since each is a few requests that belong together. No write outlives the lease. May not
create a pod, and decides no more than `core.drain.growth` says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from spotvortex.core.domain.autoscaling import released_instance
from spotvortex.core.domain.cloud.scaling_groups import (
    ScalingGroup,
    no_growth,
    no_release,
    nodes_left,
)
from spotvortex.core.drain.calls import Again, Answer, CreatePlaceholder, Done, Refused, ReleaseNode
from spotvortex.core.drain.group_calls import GrowGroup, RestoreGroup, SettleGroup, SteerGroup
from spotvortex.core.drain.growth import (
    MAX_INSTANCES,
    Growth,
    Standing,
    begin_growth,
    standing_of,
    to_give_back,
    with_released,
)
from spotvortex.errors import ConflictError, ScalingError
from spotvortex.kube.write.autoscaler.wanted_nodes import nodes_wanted_of_autoscaler
from spotvortex.kube.write.bounded import BoundedRequests, RequestSender
from spotvortex.kube.write.scaling.idle_nodes import carries_pods
from spotvortex.kube.write.scaling.journal import Book, end_growth, read_book, write_growth
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.ports.provisioner import Unable, WantedNodes
from spotvortex.ports.scaling import ScalingService

log = logging.getLogger(__name__)

PATIENCE: Final = 2
"""So many waves of a group may end in a row without a node moved, before the next one waits."""

WAIT_S: Final = 120.0
LONGEST_WAIT_S: Final = 600.0

UPDATING: Final = "UPDATING"
"""The status of a managed node group while EKS carries out a change (EKS API Reference,
"Nodegroup")."""

MAX_LOOKS: Final = 3
"""How often a group is looked at anew where its size changes under the journal's hand."""


class _TooLateError(Exception):
    """There is too little time before the lease's end to make a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vain:
    """Waves of a group that ended in a row without a node moved, and until when the next waits."""

    n_waves: int
    until: float


@dataclass(slots=True, kw_only=True)
class ScalingProvisioner:
    """Auto Scaling groups: implements `ports.provisioner.Provisioner` by their desired size.

    Attributes:
        client: sends the requests to the API server.
        timing: how long a request may take.
        namespace: the controller's own, in which the journal is.
        service: reads and changes groups.
        name: what it is called in settings and reports.
    """

    client: RequestSender
    timing: LeaseTiming
    namespace: str
    service: ScalingService
    name: str = "asg"
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _vain: dict[str, _Vain] = field(default_factory=dict)

    def wanted_nodes(self, call: CreatePlaceholder) -> WantedNodes | Unable:
        """Ask by the labels of the groups' nodes, as where Cluster Autoscaler grows them."""
        return nodes_wanted_of_autoscaler(call)

    async def steer(self, call: SteerGroup | RestoreGroup, until: float) -> Answer:  # noqa: ARG002
        """Refuse: a node group has no weight."""
        return Refused(reason=f"{call.group} has no weight that could be set")

    async def grow(self, call: GrowGroup | SettleGroup, until: float) -> Answer:
        """Set the size for a wave, or take back what a wave did not use."""
        if isinstance(call, GrowGroup):
            return await self._in_turn(lambda: self._grow(call, until))
        return await self._in_turn(lambda: self._settle(call, until))

    async def release(self, call: ReleaseNode, until: float) -> Answer:
        """End a drained node's instance, and have its group one node smaller.

        A node that is lost anyway is left to its group, which replaces it.
        """
        instance = released_instance(call.claim)
        if not instance:
            return Refused(reason=f"{call.claim} is no instance of a group")
        if call.urgent:
            return Done()
        return await self._in_turn(lambda: self._release(call.plan_id, instance, until))

    @property
    def cannot_move(self) -> str:
        """Nothing: what a group cannot give the gate `fit` says."""
        return ""

    async def _in_turn(self, work: Callable[[], Awaitable[Answer]]) -> Answer:
        async with self._turn:
            try:
                return await work()
            except _TooLateError:
                return Again(reason="not sent, the lease ends too soon")
            except ConflictError as error:
                return Again(reason=str(error))
            except ScalingError as error:
                return Again(str(error)) if error.is_passing else Refused(str(error))

    async def _grow(self, call: GrowGroup, until: float) -> Answer:
        fresh: Growth | None = None
        for _ in range(MAX_LOOKS):
            book = await read_book(self.namespace, self._requests(until))
            known = book.of_group(call.group)
            # IMPORTANT: nothing is asked between the last look at a size and its write.
            ahead = known is None or known.plan != call.plan_id
            group = await self.service.group(call.group, self._bound_s(until), ahead=ahead)
            why = _against(call, group, book, known) or self._waits(call, known)
            if why is not None or group is None:
                return why or Refused(reason=f"there is no group {call.group}")
            if known is not None and not _is_overtaken(known, fresh, group):
                return await self._set(known, group, until)
            fresh = begin_growth(group, call.plan_id, call.n_nodes)
            await write_growth(self.namespace, book, fresh, self._requests(until))
        return Again(reason=f"the size of {call.group} keeps changing")

    def _waits(self, call: GrowGroup, known: Growth | None) -> Answer | None:
        """Refuse a wave soon after others whose new nodes took no pod: each costs instances."""
        vain = self._vain.get(call.group)
        left_s = vain.until - asyncio.get_running_loop().time() if vain is not None else 0.0
        if vain is None or known is not None or left_s <= 0.0:
            return None
        words = f"{vain.n_waves} waves in a row found no place on what {call.group} launched"
        return Refused(reason=f"{words}; the next may begin in {left_s:.0f} s")

    def _note_end(self, group: str, *, moved: bool) -> None:
        """Count the waves of a group in a row that moved nothing; this process alone knows it."""
        if moved:
            self._vain.pop(group, None)
            return
        before = self._vain.get(group)
        n = 1 if before is None else before.n_waves + 1
        wait_s = min(LONGEST_WAIT_S, WAIT_S * 2.0 ** min(n - PATIENCE, 8)) if n >= PATIENCE else 0.0
        until = asyncio.get_running_loop().time() + wait_s
        self._vain[group] = _Vain(n_waves=n, until=until)

    async def _set(self, growth: Growth, group: ScalingGroup, until: float) -> Answer:
        match standing_of(growth, group.desired):
            case Standing.WRITTEN:
                return Done()
            case Standing.CHANGED:
                words = f"{growth.before} to {growth.target}, and somebody set {group.desired}"
                return Refused(reason=f"{group.name} was to go from {words}")
            case Standing.TO_WRITE:
                await self.service.set_desired(group, growth.target, self._bound_s(until))
                fields = {"group": group.name, "desired": growth.target, "plan": growth.plan}
                log.info("group.grown", extra=fields)
                return Done()

    async def _release(self, plan: str, instance: str, until: float) -> Answer:
        home = await self.service.home_of(instance, self._bound_s(until))
        if home is None or home.leaving:
            return Done()
        why = no_release(home.group)
        if not why and home.group.desired <= home.group.smallest:
            why = f"{home.group.name}: it is at its smallest size, {home.group.smallest}"
        if why:
            return Refused(reason=why)
        book = await read_book(self.namespace, self._requests(until))
        growth = book.of_plan(plan)
        if growth is not None and instance not in growth.released:
            noted = with_released(growth, instance)
            await write_growth(self.namespace, book, noted, self._requests(until))
        await self.service.end(instance, self._bound_s(until))
        log.info("group.instance_ended", extra={"group": home.group.name, "instance": instance})
        return Done()

    async def _settle(self, call: SettleGroup, until: float) -> Answer:
        book = await read_book(self.namespace, self._requests(until))
        growth = book.of_group(call.group)
        if growth is None or growth.plan != call.plan_id:
            return Done()
        gone = await self.service.gone(growth.released, self._bound_s(until))
        group = await self.service.group(call.group, self._bound_s(until), ahead=False)
        if group is not None:
            if _is_on_its_way(growth, group):
                return Again(
                    reason=f"{group.name} has not taken its size yet: it is {group.status}"
                )
            await self._give_back(growth, group, len(gone), call, until)
        await end_growth(self.namespace, book, call.group, self._requests(until))
        self._note_end(call.group, moved=bool(growth.released))
        return Done()

    async def _give_back(
        self, growth: Growth, group: ScalingGroup, n_gone: int, call: SettleGroup, until: float
    ) -> None:
        back = to_give_back(growth, group, n_gone, call.in_use)
        if back.desired is not None:
            await self.service.set_desired(group, back.desired, self._bound_s(until))
        nodes, n_kept = dict(call.idle), back.n_kept
        for instance in back.ended:
            node = nodes.get(instance, "")
            if node and await self._carries_pods(node, until):
                n_kept += 1
                continue
            await self.service.end(instance, self._bound_s(until))
        fields = {
            "group": group.name,
            "plan": growth.plan,
            "moved": n_gone,
            "desired": back.desired,
            "ended": back.n_kept + len(back.ended) - n_kept,
            "kept": n_kept,
        }
        log.info("group.settled", extra=fields)

    async def _carries_pods(self, node: str, until: float) -> bool:
        return await carries_pods(node, self.namespace, self.client, self._bound_s(until))

    def _requests(self, until: float) -> BoundedRequests:
        return BoundedRequests(client=self.client, until=until, timing=self.timing)

    def _bound_s(self, until: float) -> float:
        left_s = until - asyncio.get_running_loop().time()
        answer_s = self.timing.answer_s(left_s)
        if answer_s is None:
            raise _TooLateError
        return answer_s


def _against(
    call: GrowGroup, group: ScalingGroup | None, book: Book, known: Growth | None
) -> Answer | None:
    """Say why a group is not grown now, None where it may be, or has been begun for this wave."""
    if known is not None and known.plan == call.plan_id:
        return None
    if known is not None:
        return Again(reason=f"{call.group} has not given back what plan {known.plan} left")
    if book.is_unread(call.group):
        return Refused(reason=f"what the journal says of {call.group} cannot be read")
    if group is None:
        return Refused(reason=f"there is no group {call.group}")
    why = no_growth(group)
    left, words = nodes_left(group)
    if not why and call.n_nodes > left:
        why = f"{group.name}: {call.n_nodes} nodes more are wanted, {left} may be: {words}"
    if not why and len(group.instances) > MAX_INSTANCES:
        why = f"{group.name}: it has more than {MAX_INSTANCES} instances"
    return Refused(reason=why) if why else None


def _is_on_its_way(growth: Growth, group: ScalingGroup) -> bool:
    """Tell whether EKS may still set the size that was asked for: it does so after its answer."""
    written = standing_of(growth, group.desired) is Standing.WRITTEN
    return bool(group.managed) and group.status == UPDATING and not written


def _is_overtaken(known: Growth, fresh: Growth | None, group: ScalingGroup) -> bool:
    """Tell whether another size was set since this very call wrote its journal."""
    return known == fresh and group.desired != known.before
