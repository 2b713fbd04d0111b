"""Room that the lost nodes of a plan share: asked for together, and counted once for all of them.

Comes in: requests for the room of single nodes, or to give back what is beyond their need, and the
placeholders of a plan as a view shows them. Goes out: one request for all that were made within a
moment, and how much of the room there is and ever was bound. May not decide who gets it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from spotvortex.core.domain.observation import OwnPod
from spotvortex.core.drain.calls import (
    Again,
    Answer,
    CreateRoom,
    DeletePlaceholders,
    RoomShape,
)
from spotvortex.core.drain.machine import shape_of

LONGEST_S: Final = 0.5
"""Seconds from a plan's first request to its sending, at most; twice as many for the next one, and
so on, so that a plan sends few however long its nodes come one after the other."""

MOST_S: Final = 8.0
"""Seconds to which that doubles."""

QUIET_SHARE: Final = 0.06
"""Share of that time without a further request after which what was asked for is sent, where no
further one of the plan is to be expected."""

MANY_PODS: Final = 200
"""Pods that all plans ask for within a moment from which on one placeholder stands for several of
them. Fewer get one each, which finds its place between other pods, too."""

MOMENT_S: Final = 5.0
"""Seconds of that moment: all plans load the same server."""

MOST_TOGETHER: Final = 8
"""Most pods that one placeholder stands for. They were together on the node that is lost, so a node
of its type has room for them."""

MOST_ALIKE: Final = 16
"""The same where half of the nodes have just as many pods of a kind: those of each then have one
placeholder."""

SOON_S: Final = 1e-3
MAX_LOOKS: Final = 1_000

COUNTED_S: Final = 0.2
"""Seconds for which a count of a plan's placeholders is good."""

MAX_PLANS: Final = 1_000
MAX_UNSURE: Final = 20_000


@dataclass(slots=True)
class _Batch:
    calls: list[CreateRoom] = field(default_factory=list)
    answers: dict[frozenset[str], Answer] = field(default_factory=dict)
    newest_at: float = 0.0
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class RoomDesk:
    """Gathers requests of one plan, and sends them as one.

    A request to which no sure answer came is sent again as it was, so that the server can tell.
    """

    send: Callable[[CreateRoom], Awaitable[Answer]]
    _expected: Counter[str] = field(default_factory=Counter)
    _open: dict[CreateRoom, _Batch] = field(default_factory=dict)
    _longest_s: OrderedDict[str, float] = field(default_factory=OrderedDict)
    _unsure: OrderedDict[str, CreateRoom] = field(default_factory=OrderedDict)
    _sending: OrderedDict[str, asyncio.Lock] = field(default_factory=OrderedDict)
    _asked: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=MAX_PLANS))

    async def give_back(
        self, call: DeletePlaceholders, send: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Delete what a plan has beyond its need, unless more is just being asked for.

        What is asked for while this is on its way waits for its end, or it would go as well.
        """
        if any(key.plan_id == call.plan_id for key in self._open):
            return Again("more room of the plan is being asked for")
        async with self._turn(call.plan_id):
            return await send()

    @contextmanager
    def expecting(self, plan_id: str) -> Iterator[None]:
        """Expect one more request of a plan soon after the block: its node is being marked."""
        self._expected[plan_id] += 1
        try:
            yield
        finally:
            self._expected[plan_id] -= 1
            if not self._expected[plan_id]:
                del self._expected[plan_id]

    def _turn(self, plan_id: str) -> asyncio.Lock:
        """Return what lets one of a plan's requests after the other go."""
        lock = self._sending.setdefault(plan_id, asyncio.Lock())
        while len(self._sending) > MAX_PLANS:
            self._sending.popitem(last=False)
        return lock

    async def ask(self, call: CreateRoom) -> Answer:
        """Ask together with others of the plan; the answer is that to all of them."""
        key = replace(call, for_uids=(), shapes=())
        batch = self._open.setdefault(key, _Batch())
        batch.calls.append(call)
        batch.newest_at = _now()
        if len(batch.calls) > 1:
            await batch.over.wait()
        else:
            await self._send_for_all(key, batch)
        return batch.answers.get(call.pod_uids, Again("nobody asked"))

    async def _send_for_all(self, key: CreateRoom, batch: _Batch) -> None:
        try:
            await self._gather(key.plan_id, batch)
            # Who comes from now on is in another batch.
            del self._open[key]
            async with self._turn(key.plan_id):
                await self._flush(batch)
        finally:
            batch.over.set()

    def _wait_s(self, plan_id: str) -> float:
        longest_s = self._longest_s.get(plan_id, LONGEST_S)
        self._longest_s[plan_id] = min(2.0 * longest_s, MOST_S)
        while len(self._longest_s) > MAX_PLANS:
            self._longest_s.popitem(last=False)
        return longest_s

    async def _gather(self, plan_id: str, batch: _Batch) -> None:
        """Wait for further requests: as long as nodes of the plan are being marked, or a moment."""
        longest_s = self._wait_s(plan_id)
        quiet_s = QUIET_SHARE * longest_s
        until = _now() + longest_s
        for _ in range(MAX_LOOKS):
            if plan_id in self._expected:
                batch.newest_at = _now()
            left = min(until, batch.newest_at + quiet_s) - _now()
            if left < SOON_S:
                return
            await asyncio.sleep(left)

    async def _flush(self, batch: _Batch) -> None:
        before = {id(m): m for c in batch.calls if (m := self._before(c)) is not None}
        fresh = [c for c in batch.calls if self._before(c) is None]
        n_beside = self._n_beside()
        self._asked.append((_now(), sum(len(c.pod_uids) for c in fresh)))
        merged = [*before.values(), *([together(fresh, n_beside)] if fresh else [])]
        told = {id(call): await self.send(call) for call in merged}
        for call in batch.calls:
            sent = self._before(call) or merged[-1]
            batch.answers[call.pod_uids] = told[id(sent)]
        for call in merged:
            self._remember(call, told[id(call)])

    def _n_beside(self) -> int:
        """Count the pods that all plans have asked for in the last moment, or are about to."""
        while self._asked and self._asked[0][0] < _now() - MOMENT_S:
            self._asked.popleft()
        gathered = (len(c.pod_uids) for batch in self._open.values() for c in batch.calls)
        return sum(gathered) + sum(n for _, n in self._asked)

    def _before(self, call: CreateRoom) -> CreateRoom | None:
        """Return the request without a sure answer that asked for this very room."""
        found = [self._unsure.get(uid) for uid in call.pod_uids]
        return next((f for f in found if f is not None and call.pod_uids <= f.pod_uids), None)

    def _remember(self, call: CreateRoom, answer: Answer) -> None:
        for uid in call.pod_uids:
            if isinstance(answer, Again):
                self._unsure[uid] = call
            else:
                self._unsure.pop(uid, None)
        while len(self._unsure) > MAX_UNSURE:
            self._unsure.popitem(last=False)


def together(calls: Iterable[CreateRoom], n_beside: int = 0) -> CreateRoom:
    """Make one request of several of a plan: pods that are alike go into one shape.

    Where there are very many, one placeholder stands for several pods of a node: what makes, binds
    and runs a placeholder is five writes, beside which the evictions have to wait.

    Args:
        calls: the requests.
        n_beside: for how many pods room is asked at about the same time.
    """
    asked = list(calls)
    shapes = [shape for call in asked for shape in call.shapes]
    if n_beside + sum(len(shape.pods) for shape in shapes) >= MANY_PODS:
        usual = {kind: _usual(nodes) for kind, nodes in _by_kind(shapes).items()}
        shapes = [part for shape in shapes for part in in_parts(shape, usual[_kind(shape)])]
    alike = _by_kind(shapes)
    return replace(
        asked[0],
        for_uids=tuple(uid for call in asked for uid in call.for_uids),
        shapes=tuple(
            replace(
                shapes[0],
                pods=tuple(pod for shape in shapes for pod in shape.pods),
                n_extra=sum(shape.n_extra for shape in shapes),
            )
            for shapes in alike.values()
        ),
    )


def _kind(shape: RoomShape) -> tuple[object, ...]:
    return shape_of(shape.pods[0]), shape.zone, shape.avoid, shape.together


def _by_kind(shapes: Iterable[RoomShape]) -> dict[tuple[object, ...], list[RoomShape]]:
    found: dict[tuple[object, ...], list[RoomShape]] = {}
    for shape in shapes:
        found.setdefault(_kind(shape), []).append(shape)
    return found


def _usual(nodes: list[RoomShape]) -> int:
    """Return how many pods of a kind at least half of its nodes have, 0 where they differ more."""
    ((n_pods, n_nodes),) = Counter(len(node.pods) for node in nodes).most_common(1)
    return n_pods if 2 * n_nodes >= len(nodes) and n_pods <= MOST_ALIKE else 0


def in_parts(shape: RoomShape, usual: int = 0) -> Iterator[RoomShape]:
    """Split the pods of a node into parts that one placeholder stands for: of 8, 4, 2 and 1.

    A node with the `usual` number of pods is one part, so that a kind has five sizes at most.
    """
    left, size = shape.pods, MOST_TOGETHER
    if len(left) == usual:
        yield replace(shape, n_extra=usual if shape.n_extra else 0, together=usual)
        return
    while left:
        while size > len(left):
            size //= 2
        extra = size if shape.n_extra else 0
        yield replace(shape, pods=left[:size], n_extra=extra, together=size)
        left = left[size:]


@dataclass(frozen=True, slots=True)
class RoomCount:
    """Room in pods: what is there, what was ever bound by this process's count, what waits."""

    there: int
    given: int
    waiting: int = 0


@dataclass(slots=True)
class SharedRoom:
    """Counts the shared placeholders of each plan, at most every `COUNTED_S`."""

    placeholders: Callable[[str], Iterable[OwnPod]]
    is_bound: Callable[[OwnPod, dict[str, bool]], bool]
    _bound: OrderedDict[str, dict[str, int]] = field(default_factory=OrderedDict)
    _known: dict[str, tuple[float, RoomCount]] = field(default_factory=dict)

    def of(self, plan_id: str) -> RoomCount:
        """Return how much room a plan's nodes share."""
        known = self._known.get(plan_id)
        if known is not None and _now() < known[0]:
            return known[1]
        bound = self._bound.setdefault(plan_id, {})
        there, waiting, nodes = 0, 0, dict[str, bool]()
        for pod in self.placeholders(plan_id):
            if not pod.is_shared or pod.finished:
                continue
            there += 0 if pod.terminating else pod.n_pods
            waiting += 0 if pod.terminating or pod.node else pod.n_pods
            if pod.name not in bound and self.is_bound(pod, nodes):
                bound[pod.name] = pod.n_pods
        count = RoomCount(there=there, given=sum(bound.values()), waiting=waiting)
        self._known[plan_id] = _now() + COUNTED_S, count
        while len(self._bound) > MAX_PLANS:
            oldest, _ = self._bound.popitem(last=False)
            self._known.pop(oldest, None)
        return count


def _now() -> float:
    return asyncio.get_running_loop().time()
