"""What goes wrong in an episode, and when.

Comes in: a list of faults. Goes out: which of them are at work at an instant. Each is plain data,
so that a failing episode can be made smaller by leaving some out. May not carry anything out: the
edges of the simulation ask, and do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FaultKind(StrEnum):
    """Kinds of faults. `size` of a fault means what stands in brackets."""

    PRICES_STALE = "prices-stale"  # prices stand still
    PRICES_NAN = "prices-nan"  # spot prices are no numbers
    PRICES_GONE = "prices-gone"  # there are no prices
    MODEL_FAILS = "model-fails"  # the model cannot be run
    MODEL_NAN = "model-nan"  # the model gives no numbers
    API_ERRORS = "api-errors"  # [share] of the requests are answered 500
    THROTTLED = "throttled"  # [share] of the requests are answered 429
    ANSWERS_LOST = "answers-lost"  # [share] of the requests are carried out, the answer is lost
    SLOW = "slow"  # requests take up to [seconds] longer
    PARTITION = "partition"  # a process is cut off from the API server
    LEASE_STUCK = "lease-stuck"  # a process's lease is not renewed, while all else passes
    WATCH_CUT = "watch-cut"  # a process sees nothing any more, and can still write
    WATCH_LAG = "watch-lag"  # watches are [seconds] behind
    CLOCK_SKEW = "clock-skew"  # a process's clock is [seconds] ahead
    TASK_CRASH = "task-crash"  # a task raises at its [n]-th await from then on
    KILL_BEFORE = "kill-before"  # the process dies right before its [n]-th write from then on
    KILL_AFTER = "kill-after"  # the same, right after it
    LATE_WRITE = "late-write"  # one write is held up for [seconds] between check and server
    DEATH = "death"  # every process dies, for good
    NOTICE_STORM = "notice-storm"  # [n] notices, most of them foreign or told before
    INTERRUPTION = "interruption"  # [n] Spot nodes get a notice
    UNCORDON = "uncordon"  # a person uncordons every node
    PERSON_CORDON = "person-cordon"  # a person cordons [n] nodes
    NODE_DELETED = "node-deleted"  # a person deletes [n] nodes
    PLACEHOLDERS_DELETED = "placeholders-deleted"  # somebody deletes all placeholders
    ANCHORS_DELETED = "anchors-deleted"  # somebody deletes all anchors
    FREEZE_SOFT = "freeze-soft"  # a person freezes the controller
    FREEZE_LEAVE = "freeze-leave"  # a person uninstalls it: not even losses are answered
    FREEZE_HARD = "freeze-hard"  # a person freezes it hard
    STATE_LOST = "state-lost"  # somebody deletes the controller's state
    STATE_UNREADABLE = "state-unreadable"  # somebody scribbles on it
    GROUP_RESIZED = "group-resized"  # a person sets a scaling group's size by [n] off
    GROUPS_STARVED = "groups-starved"  # scaling groups get no instance
    SCALED = "scaled"  # every Deployment is scaled by a factor of [size]


ONCE: Final = frozenset(
    {
        FaultKind.TASK_CRASH,
        FaultKind.KILL_BEFORE,
        FaultKind.KILL_AFTER,
        FaultKind.LATE_WRITE,
        FaultKind.DEATH,
        FaultKind.NOTICE_STORM,
        FaultKind.INTERRUPTION,
        FaultKind.UNCORDON,
        FaultKind.PERSON_CORDON,
        FaultKind.NODE_DELETED,
        FaultKind.PLACEHOLDERS_DELETED,
        FaultKind.ANCHORS_DELETED,
        FaultKind.STATE_LOST,
        FaultKind.STATE_UNREADABLE,
        FaultKind.SCALED,
        FaultKind.GROUP_RESIZED,
    }
)
"""Kinds that happen at an instant; the others last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        kind: what goes wrong.
        at_s: when it begins, seconds since the episode's start.
        lasts_s: for how long, in seconds; of no meaning for a kind that happens at an instant.
        size: how much of it: see `FaultKind`.
        who: number of the process that it befalls.
    """

    kind: FaultKind
    at_s: float
    lasts_s: float = 0.0
    size: float = 0.0
    who: int = 0

    def __str__(self) -> str:
        span = "" if self.kind in ONCE else f" for {self.lasts_s:g} s"
        return f"{self.kind} of process {self.who} at {self.at_s:g} s{span}, size {self.size:g}"


class Schedule:
    """Faults by time. Times are seconds since the episode's start."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._lasting: dict[tuple[FaultKind, int], list[Fault]] = {}
        self._once: list[Fault] = []
        for fault in faults:
            if fault.kind not in ONCE:
                self._lasting.setdefault((fault.kind, fault.who), []).append(fault)
            else:
                self._once.append(fault)
        self._once.sort(key=lambda f: (f.at_s, f.kind))

    def at_work(self, kind: FaultKind, now_s: float, who: int = 0) -> Fault | None:
        """Return a lasting fault of a kind that is at work on a process."""
        for fault in self._lasting.get((kind, who), ()):
            if fault.at_s <= now_s < fault.at_s + fault.lasts_s:
                return fault
        return None

    @property
    def is_clear(self) -> bool:
        """Tell whether nothing goes wrong any more, but for what lasts."""
        return not self._lasting and not self._once

    def due(self, now_s: float, kinds: frozenset[FaultKind], who: int | None = None) -> list[Fault]:
        """Return, once each, the faults of some kinds whose instant has come.

        Args:
            now_s: seconds since the episode's start.
            kinds: which ones.
            who: only those of one process; None for all.
        """
        if not self._once or self._once[0].at_s > now_s:
            return []
        found = [
            fault
            for fault in self._once
            if fault.at_s <= now_s and fault.kind in kinds and who in (None, fault.who)
        ]
        for fault in found:
            self._once.remove(fault)
        return found
