"""The console's addresses: which page answers which path.

Comes in: a path below the root and its parameters. Goes out: a page, its kind and its status. Reads
only; a bad question is answered with a page that says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from spotvortex.core.decision.messages import Decision, Plan
from spotvortex.core.domain.types import Action
from spotvortex.core.record.record import DecisionRecord
from spotvortex.errors import RecordError
from spotvortex.report.console.decisions import (
    MAX_ROWS,
    Filter,
    decision_page,
    decisions_page,
)
from spotvortex.report.console.doctor import DoctorRound, doctor_page
from spotvortex.report.console.frame import ROOT, SCRIPT, frame, style
from spotvortex.report.console.ledger import ledger_page
from spotvortex.report.console.overview import Lines, overview
from spotvortex.report.console.pool import pool_page
from spotvortex.report.console.waves import waves_page
from spotvortex.report.explain.account import read_account
from spotvortex.report.html.page import link, paragraph
from spotvortex.report.ledger.account import account_of
from spotvortex.server.views import PageAnswer, PageSources
from spotvortex.telemetry.trends import Trends

HTML: Final = "text/html"
OK: Final = 200
BAD: Final = 400
MISSING: Final = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """Implements `server.views.ConsolePages`.

    Attributes:
        views: what the daemon shows.
        trends: how ratio and cost have gone.
        doctor: finds what blocks drains, None where no cluster can be looked at.
    """

    views: PageSources
    trends: Trends
    doctor: DoctorRound | None = None

    def answer(self, path: str, query: Mapping[str, str]) -> PageAnswer:
        """Answer a path below the root."""
        if path in _ASSETS:
            kind, make = _ASSETS[path]
            return PageAnswer(status=OK, content_type=kind, body=make())
        first, _, rest = path.partition("/")
        if not path:
            return self._overview()
        if first == "pools" and rest:
            return self._pool(rest)
        if path == "ledger":
            return _page("Ledger", "/ledger", ledger_page(self.views.ledger.ledger))
        if path == "doctor":
            return self._doctor()
        if path == "waves":
            return self._waves()
        if first == "decisions":
            return self._decision(rest) if rest else self._decisions(query)
        return _missing(f"There is no page {path}.")

    def _overview(self) -> PageAnswer:
        plan = self.views.plans.last_plan()
        unwell = [
            *self.views.readiness.reasons(self.views.clock.now()),
            *self.views.health.failing(),
        ]
        if plan is None:
            words = "; ".join(unwell) or "the first cycle is under way"
            return _page("Overview", "", [paragraph(f"Nothing is decided yet: {words}.")])
        account = account_of(self.views.ledger.ledger)
        lines = Lines(points=self.trends.of_all(), courses=self.trends.of_courses())
        return _page("Overview", "", overview(plan, lines, account, unwell))

    def _doctor(self) -> PageAnswer:
        plan = self.views.plans.last_plan()
        if plan is None or self.doctor is None:
            return _page("Doctor", "/doctor", [paragraph("There is no cluster to look at yet.")])
        return _page("Doctor", "/doctor", doctor_page(self.doctor.diagnosis(plan)))

    def _waves(self) -> PageAnswer:
        plan = self.views.plans.last_plan()
        nothing = [paragraph("Nothing is decided yet.")]
        return _page("Waves", "/waves", nothing if plan is None else waves_page(plan))

    def _pool(self, name: str) -> PageAnswer:
        decision = _decision_of(self.views.plans.last_plan(), name)
        if decision is None:
            return _missing(f"The newest plan has no pool {name}.")
        return _page(f"Pool {name}", "", pool_page(decision, self.trends.of(name)))

    def _decisions(self, query: Mapping[str, str]) -> PageAnswer:
        named = query.get("action", "")
        if named and named not in set(Action):
            words = f"There is no action {named}; there are {', '.join(Action)}."
            return _page("Decisions", "/decisions", [paragraph(words, "bad")], BAD)
        chosen = Filter(pool=query.get("pool", ""), action=Action(named) if named else None)
        records = self.views.decisions.find(
            pool=chosen.pool or None, action=chosen.action, since=None, limit=MAX_ROWS
        )
        plan = self.views.plans.last_plan()
        pools = sorted({d.pool for d in plan.decisions} | {chosen.pool} - {""}) if plan else []
        return _page("Decisions", "/decisions", decisions_page(records, chosen, pools))

    def _decision(self, decision_id: str) -> PageAnswer:
        record = self.views.decisions.get(decision_id)
        if record is None:
            return _missing(f"No decision {decision_id} is kept here.")
        before = self._before(record)
        try:
            past = read_account(before.line) if before else None
            parts = list(decision_page(read_account(record.line), past))
        except RecordError as error:
            return _page("Decision", "/decisions", [paragraph(str(error), "bad")], BAD)
        return _page(f"Decision for {record.pool}", "/decisions", parts)

    def _before(self, record: DecisionRecord) -> DecisionRecord | None:
        """Return the newest record of the same pool that is older."""
        kept = self.views.decisions.find(pool=record.pool, action=None, since=None, limit=LOOK_BACK)
        return next((r for r in kept if r.at < record.at), None)


LOOK_BACK: Final = 10_000
"""Records of a pool among which the one before is looked for."""


_ASSETS: Final[Mapping[str, tuple[str, Callable[[], str]]]] = {
    "style.css": ("text/css", style),
    "live.js": ("text/javascript", lambda: SCRIPT),
}


def _decision_of(plan: Plan | None, pool: str) -> Decision | None:
    decisions = plan.decisions if plan else ()
    return next((d for d in decisions if d.pool == pool), None)


def _page(title: str, place: str, parts: Iterable[str], status: int = OK) -> PageAnswer:
    return PageAnswer(status=status, content_type=HTML, body=frame(title, place, parts))


def _missing(words: str) -> PageAnswer:
    back = f"<p>{link(ROOT, 'To the overview')}</p>"
    return _page("Not found", "-", [paragraph(words), back], MISSING)
