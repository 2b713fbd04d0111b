"""What results were made under: protocol, code of the simulator and of the decisions, models.

Comes in: the protocol, and what else decided, as digests of models. Goes out: one line of text that
is the same exactly where results belong together. May not look at anything that changes while runs
are made.
"""

from __future__ import annotations

from spotvortex.code_digest import simulator_version
from spotvortex.evaluation.matrix.constants import Constants
from spotvortex.evaluation.protocol import Protocol


def made_under(protocol: Protocol | Constants, *more: str) -> str:
    """Return the line; `more` names what else decided, as `model 3f2a9c1d7b44`."""
    return ", ".join((f"protocol {protocol.digest}", f"simulator {simulator_version()}", *more))
