"""Decisions for a person: each in one line, and which of them are worth a line.

Comes in: the decision of a pool in each cycle, and what was told of the pool before. Goes out: a
line, and whether a person has to hear it. Told is what moves nodes, the end of that, and why a pool
holds, once for each kind of reason; what alternates is told once, and what stays again every six
hours, so that a log of a day says of each pool why it holds. Records keep every change. May not
leave out a wave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from spotvortex.core.decision.gates.disruption import SHOWS_S
from spotvortex.core.decision.messages import Decision, Proposal
from spotvortex.core.domain.types import Action, GateName, Outcome
from spotvortex.core.record.record import HEARTBEAT_S, shown_risk

MAX_LINE: Final = 400
"""Characters of a line; what is longer is cut."""

LASTS_S: Final = 600.0
"""A reason that came back is told once it has lasted for so long, and is no alternation."""

AGAIN_S: Final = 21_600.0
"""A pool of which nothing new is to be told is told again after this time."""

_WAITS: Final = frozenset({GateName.BUDGETS, GateName.COOLDOWN})
"""Gates that say: not yet. Which of them speaks first changes with every node that moves."""

WAITS: Final = "waits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a person knows of a pool. Times are seconds since the epoch.

    Attributes:
        kind: the kind of decision that was told last.
        at: when that was.
        present: the kind of the newest decision, told or not.
        since: since when it has been that.
        seen: when each kind was seen last, within the last hour.
        moving: a wave was told, and its end was not.
    """

    kind: str
    at: float
    present: str
    since: float
    seen: Mapping[str, float]
    moving: bool


def kind_of_line(decision: Decision) -> str:
    """Return what a line is about: an action with its reason, or the main reason of a HOLD.

    Of a refused wish that is the gate that refuses first, and which way the wish went.
    """
    if decision.n_nodes:
        return f"{decision.action} {decision.reason}"
    if not decision.refused_by:
        return decision.reason
    first = decision.refused_by[0]
    return f"{WAITS if first in _WAITS else first} {_direction(decision.proposal)}"


def _direction(proposal: Proposal) -> str:
    if proposal.action is Action.HOLD:
        return "shift" if proposal.is_shift else "HOLD"
    return "more" if proposal.action.towards_spot else "less"


def tell(decision: Decision, told: Told | None) -> tuple[bool, Told]:
    """Say whether a person has to hear of a decision, and what is known afterwards.

    Args:
        decision: the newest of its pool.
        told: what was known of the pool, None before its first decision.
    """
    kind, at = kind_of_line(decision), decision.at
    if told is None:
        told = Told(kind="", at=at, present=kind, since=at, seen={}, moving=False)
    since = told.since if kind == told.present else at
    seen = {k: last for k, last in told.seen.items() if at - last < HEARTBEAT_S}
    moves = decision.n_nodes > 0 and decision.mode.writes
    is_over = told.moving and not moves and _is_over(decision)
    is_news = kind not in seen and not (told.moving and kind.startswith(WAITS))
    is_back = kind != told.kind and at - since >= LASTS_S
    tells = moves or is_over or is_news or is_back or at - told.at >= AGAIN_S
    return tells, Told(
        kind=kind if tells else told.kind,
        at=at if tells else told.at,
        present=kind,
        since=since,
        seen=seen | {kind: at},
        moving=moves or (told.moving and not is_over),
    )


def _is_over(decision: Decision) -> bool:
    """Tell whether nothing of the pool's last wave is under way any more."""
    begun = decision.basis.state.last_wave_at
    shows = begun is None or decision.at - begun >= SHOWS_S
    return shows and not decision.input.n_in_flight


def describe(decision: Decision) -> str:
    """Say a decision in one line for a person, at most `MAX_LINE` characters; the time is UTC."""
    data = decision.input
    risk = shown_risk(data)
    leaving = f", {data.n_leaving} leaving" if data.n_leaving else ""
    line = (
        f"{datetime.fromtimestamp(decision.at, UTC):%H:%M:%S} {decision.pool:<8} "
        f"{decision.action:<14} spot {data.n_spot}/{data.n_counted}{leaving} "
        f"({decision.current_ratio:.2f} -> {decision.target_ratio:.2f})  "
        f"risk {_two(risk.capacity)}/{_two(risk.runtime)}  conf {data.confidence:.2f}  "
        f"{_why(decision)}"
    ).replace("\n", " ")
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 3]}..."


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _why(decision: Decision) -> str:
    refused = [v for v in decision.verdicts if v.outcome is Outcome.REFUSE]
    if refused:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        wish = decision.proposal
        wanted = "nothing was wanted" if wish.is_still else f"wanted {wish.action}"
        first = f"{refused[0].gate} refuses: {refused[0].in_words}{more}"
        return f"{first} | {wanted} ({wish.reason})"
    if decision.n_nodes:
        verb = "moves" if decision.mode.writes else "would move"
        nodes = "node" if decision.n_nodes == 1 else "nodes"
        return f"{verb} {decision.n_nodes} {nodes}: {decision.reason}"
    return decision.reason
