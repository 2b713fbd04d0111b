"""What an observation is made of, and how far each part may be trusted.

Comes in: nothing. Goes out: the names of inputs, their states and ages. Declares only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class InputState(StrEnum):
    """Whether an input can be read at all; its age is a figure of its own."""

    OK = "ok"
    STALE = "stale"
    ABSENT = "absent"
    DENIED = "denied"


class InputName(StrEnum):
    """What an observation is made of, each with an age of its own."""

    NODES = "nodes"
    PODS = "pods"
    PDBS = "pdbs"
    OWNERS = "owners"
    STATEFUL_SETS = "statefulsets"
    NAMESPACES = "namespaces"
    NODEPOOLS = "nodepools"
    INTERRUPTIONS = "interruptions"
    LAUNCHES = "launches"
    FREEZE = "freeze"
    PRICES = "prices"
    NOTICES = "notices"
    COMMITMENTS = "commitments"
    PRICE_FILE = "price_file"
    USAGE = "usage"
    PLACEMENT_SCORES = "placement_scores"
    ADVISOR = "advisor"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputHealth:
    """How far one input may be trusted now.

    Attributes:
        name: the input.
        state: whether it can be read at all.
        age_s: seconds since its source last confirmed it, infinite if never.
        required: true where no pool may move without it.
        detail: what is missing and how to mend it, in words; "" where nothing is.
    """

    name: InputName
    state: InputState
    age_s: float
    required: bool = True
    detail: str = ""
