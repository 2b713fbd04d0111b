"""The series that tasks count by themselves: name, unit, help and a closed set of labels.

Comes in: nothing. Goes out: one value a series, by which a task counts or measures. What follows
from a message is not declared here: telemetry reads it off the message. May not hold a count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Counted:
    """A series that only rises.

    Attributes:
        name: its name, without prefix and suffix.
        text: its help.
        labels: their names; values come from closed sets, never names of pods or nodes.
    """

    name: str
    text: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """A series of values in buckets.

    Attributes:
        name: its name with its unit, without prefix.
        text: its help.
        buckets: their upper bounds, rising.
        labels: their names, as of `Counted`.
    """

    name: str
    text: str
    buckets: tuple[float, ...]
    labels: tuple[str, ...] = ()


CALLS: Final = Counted("calls", "Requests that change the cluster.", ("call", "answer"))
SHADOW_CALLS: Final = Counted("shadow_calls", "Requests recorded, not sent.", ("call",))
EXTRA_ROOM: Final = Counted(
    "extra_room_pods", "Pods for whose room was asked at notices beyond those that were lost."
)
CHANNEL_REPLACED: Final = Counted(
    "channel_replaced", "Messages that a newer one replaced unread.", ("channel",)
)
LOSSES: Final = Counted(
    "losses_learned", "Spot nodes that were lost, by what proves it.", ("evidence",)
)
RECOMMENDATIONS: Final = Counted(
    "rebalance_followed", "Rebalance recommendations that are over, by what came.", ("followed",)
)
RECOMMENDATION_LEAD: Final = Measured(
    "rebalance_lead_seconds",
    "Time from a rebalance recommendation to the loss of its node.",
    (30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0),
)
LAUNCHES: Final = Counted("launches_learned", "Spot nodes seen to have come up.")
REFUSALS: Final = Counted(
    "launch_failures_learned", "Spot offerings seen to have failed a launch of the provisioner."
)
WEIGHTS_GIVEN_UP: Final = Counted(
    "weights_given_up", "NodePools left alone since another writer takes their weight back."
)
CHALLENGER_RUNS: Final = Counted(
    "challenger_runs",
    "Times at which a model was asked beside what decides.",
    ("model", "answer"),
)
CHALLENGER_DIFFERENCE: Final = Measured(
    "challenger_difference_ratio",
    "Difference of a challenger's capacity score of an offering from the one that decides.",
    (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    ("model",),
)
LOOP_STALL: Final = Measured(
    "event_loop_stall_seconds",
    "Lateness of the event loop.",
    # No step may hold the loop for more than 20 ms; from 0.25 s on probes and watches suffer.
    (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
LOOP_BUSY: Final = Measured(
    "event_loop_busy_seconds",
    "Lateness of the event loop by its own computing; it is late for others' too.",
    LOOP_STALL.buckets,
)

COUNTED: Final = (
    CALLS,
    SHADOW_CALLS,
    EXTRA_ROOM,
    CHANNEL_REPLACED,
    LOSSES,
    LAUNCHES,
    REFUSALS,
    RECOMMENDATIONS,
    WEIGHTS_GIVEN_UP,
    CHALLENGER_RUNS,
)
MEASURED: Final = (RECOMMENDATION_LEAD, LOOP_STALL, LOOP_BUSY, CHALLENGER_DIFFERENCE)
"""All of them: telemetry declares what stands here, and knows no other."""
