"""What one policy's run looked like, hour by hour.

Comes in: nothing; whoever runs a world fills it. Goes out: values that a report draws. Declares
only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from spotvortex.results.accounting import RunResult


class EventKind(StrEnum):
    """What is drawn as an event."""

    INTERRUPTION = "interruption"
    MOVE = "move"
    ACTION = "action"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """One hour of a run.

    Attributes:
        at_h: its end, in hours since the start of the run.
        cost_usd_per_hour: money for nodes in that hour.
        spot_ratio: share of paid node-minutes on Spot, 0..1.
        n_nodes: nodes at the end of it.
        on_demand_usd: list price of the on-demand nodes in it: what a commitment may pay for.
    """

    at_h: float
    cost_usd_per_hour: float
    spot_ratio: float
    n_nodes: int
    on_demand_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """Something that happened at one moment of a run.

    Attributes:
        at_h: hours since the start of the run.
        kind: what happened.
        n: how much happened at once, as nodes lost.
        detail: what it happened to, "" where nothing is to be said.
    """

    at_h: float
    kind: EventKind
    n: int = 1
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAccount:
    """One policy's run in one world: its sums, its hours and its events, in order of time."""

    result: RunResult
    hours: tuple[Hour, ...] = ()
    events: tuple[TimelineEvent, ...] = ()
