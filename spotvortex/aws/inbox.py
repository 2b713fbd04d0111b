"""The notices that were received and are not settled yet, in memory.

Comes in: messages, and the ids of settled notices. Goes out: pending notices, and the messages that
may be deleted. A message may be deleted when all its notices are settled, and not before: until
then the queue keeps it, and nothing is lost with this process. Everything is bounded; what finds no
room is left to the queue, which brings it again. May not wait, nor speak to anybody.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from spotvortex.core.domain.cloud.notices import Notice, NoticeKind, Reject, read_notice
from spotvortex.ports.writing import NoticeTraffic

MAX_HELD: Final = 10_000
"""Most pending notices, and most messages in hand; about 1 KiB each."""

MAX_SETTLED: Final = 10_000
"""Most settled ids that are remembered."""

MAX_KEPT: Final = 1_000
"""Most messages that are kept for another try at deleting them; the others come again."""

SETTLED_S: Final = 900.0
"""How long a settled id is remembered: a message that could not be deleted is back sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One delivery of a message by the queue.

    Attributes:
        id: the message's id; the same at each delivery.
        receipt: by what name this delivery is deleted.
        body: the message's text.
    """

    id: str
    receipt: str
    body: bytes


@dataclass(slots=True, kw_only=True)
class _Held:
    """A message that waits for its notices; `ids` are its own, `missing` those not settled yet."""

    receipt: str
    ids: tuple[str, ...]
    missing: set[str]


@dataclass(slots=True)
class _Counts:
    """The counts of `NoticeTraffic`, while they grow."""

    received: int = 0
    redelivered: int = 0
    duplicates: int = 0
    expired: int = 0
    left: int = 0
    deleted: int = 0
    settled: int = 0
    notices: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)


class Inbox:
    """Holds notices until they are settled.

    Attributes:
        n_new: notices that no `pending` has returned yet.
        counts: what happened since start.
    """

    def __init__(
        self, rebalance_ttl_s: float, max_held: int = MAX_HELD, *, holds: bool = True
    ) -> None:
        """Begin empty; without `holds` a message may go as soon as it is read."""
        self._ttl_s = rebalance_ttl_s
        self._holds = holds
        self._max_held = max_held
        self._notices: dict[str, Notice] = {}
        self._by_target: dict[tuple[str, NoticeKind], str] = {}
        self._held: dict[str, _Held] = {}
        self._waiting: dict[str, list[str]] = {}
        self._deletable: dict[str, str] = {}
        self._settled: OrderedDict[str, float] = OrderedDict()
        self.n_new = 0
        self.counts = _Counts()

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be asked for."""
        return self.n_in_hand >= self._max_held or len(self._notices) >= self._max_held

    @property
    def n_in_hand(self) -> int:
        """Messages that are held or wait to be deleted."""
        return len(self._held) + len(self._deletable)

    @property
    def n_pending(self) -> int:
        """Notices that are not settled."""
        return len(self._notices)

    @property
    def n_deletable(self) -> int:
        """Messages that wait to be deleted."""
        return len(self._deletable)

    def take(self, message: Message, now: float) -> None:
        """Take one delivery, at `now` in seconds since the epoch."""
        self.counts.received += 1
        held = self._held.get(message.id)
        if held is not None:
            # Only the newest receipt is sure to delete it.
            held.receipt = message.receipt
            self.counts.redelivered += 1
            return
        found = read_notice(message.body, now, self._ttl_s)
        if isinstance(found, Reject):
            self.counts.rejects[found.reason] += 1
            self._deletable[message.id] = message.receipt
        elif len(self._notices) + len(found) > self._max_held or self.n_in_hand >= self._max_held:
            self.counts.left += 1
        else:
            self._hold(message, found, now)

    def _hold(self, message: Message, found: Iterable[Notice], now: float) -> None:
        fresh = [n for n in found if n.until > now]
        asked = [n for n in fresh if n.id not in self._settled]
        added = [n for n in asked if self._add(n)]
        missing = {self._stands_for(n) for n in asked}
        if not fresh:
            self.counts.expired += 1
        elif not added:
            self.counts.duplicates += 1
        if not missing or not self._holds:
            self._deletable[message.id] = message.receipt
            return
        ids = tuple(n.id for n in asked)
        self._held[message.id] = _Held(receipt=message.receipt, ids=ids, missing=missing)
        for identity in missing:
            self._waiting.setdefault(identity, []).append(message.id)

    def _add(self, notice: Notice) -> bool:
        """Add a notice unless one with its id, or of its kind for its instance, is pending."""
        target = notice.instance_id, notice.kind
        if notice.id in self._notices or target in self._by_target:
            return False
        self._notices[notice.id] = notice
        self._by_target[target] = notice.id
        self.counts.notices[notice.kind] += 1
        self.n_new += 1
        return True

    def _stands_for(self, notice: Notice) -> str:
        """Return the id of the pending notice that says the same."""
        known = notice.id in self._notices
        return notice.id if known else self._by_target[notice.instance_id, notice.kind]

    def pending(self, now: float) -> tuple[Notice, ...]:
        """Return the notices that count at `now`, by deadline and id; the others end here."""
        self._forget_settled(now)
        over = [n.id for n in self._notices.values() if n.until <= now]
        for identity in over:
            self.counts.expired += len(self._end(identity))
        self.n_new = 0
        return tuple(sorted(self._notices.values(), key=_urgency))

    def settle(self, ids: Iterable[str], now: float) -> None:
        """End some notices; what waited for them alone may be deleted."""
        for identity in ids:
            if identity in self._notices:
                self.counts.settled += 1
                self._remember(identity, now)
                for held in self._end(identity):
                    for own in held.ids:
                        self._remember(own, now)

    def _end(self, identity: str) -> list[_Held]:
        """Forget a notice, and return the messages that may go because of it."""
        notice = self._notices.pop(identity)
        del self._by_target[notice.instance_id, notice.kind]
        released = []
        for message_id in self._waiting.pop(identity, ()):
            held = self._held[message_id]
            held.missing.discard(identity)
            if not held.missing:
                self._deletable[message_id] = held.receipt
                released.append(self._held.pop(message_id))
        return released

    def _remember(self, identity: str, now: float) -> None:
        self._settled[identity] = now
        self._settled.move_to_end(identity)
        while len(self._settled) > MAX_SETTLED:
            self._settled.popitem(last=False)

    def _forget_settled(self, now: float) -> None:
        while self._settled and next(iter(self._settled.values())) < now - SETTLED_S:
            self._settled.popitem(last=False)

    def next_deletable(self, n: int) -> dict[str, str]:
        """Hand out up to `n` messages to delete, receipt by id.

        One that then cannot be deleted is kept by `keep`, or comes again, is known by its notice,
        and is handed out again.
        """
        batch = dict(islice(self._deletable.items(), n))
        for message_id in batch:
            del self._deletable[message_id]
        return batch

    def keep(self, batch: Mapping[str, str]) -> None:
        """Take back what could not be deleted, unless it has come again or too much waits."""
        for message_id, receipt in batch.items():
            if message_id not in self._held and len(self._deletable) < MAX_KEPT:
                self._deletable.setdefault(message_id, receipt)

    def release(self) -> dict[str, str]:
        """Forget all that is held and return it, receipt by id, the most urgent first."""
        ordered: dict[str, str] = {}
        for notice in sorted(self._notices.values(), key=_urgency):
            for message_id in self._waiting.get(notice.id, ()):
                ordered[message_id] = self._held[message_id].receipt
        for store in (self._notices, self._by_target, self._held, self._waiting):
            store.clear()
        self.n_new = 0
        return ordered

    def traffic(self) -> NoticeTraffic:
        """Return what happened since start."""
        c = self.counts
        return NoticeTraffic(
            received=c.received,
            redelivered=c.redelivered,
            duplicates=c.duplicates,
            expired=c.expired,
            left=c.left,
            deleted=c.deleted,
            settled=c.settled,
            notices=dict(c.notices),
            rejects=dict(c.rejects),
            errors=dict(c.errors),
        )


def _urgency(notice: Notice) -> tuple[float, str]:
    return math.inf if notice.deadline is None else notice.deadline, notice.id
