"""The answers: one method a path.

Comes in: requests. Goes out: JSON, the text exposition, and the pages of the console. Reads only.
May not wait for anything.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from spotvortex.core.decision.messages import Decision, Plan, Verdict
from spotvortex.core.domain.cloud.signals import BANDS, OfferingSignal
from spotvortex.core.drain.messages import DrainOrder
from spotvortex.core.ledger.ledger_text import to_text
from spotvortex.core.pool.cost import cost_of
from spotvortex.core.record.codec import Json, encode, rfc3339
from spotvortex.core.record.record import shown_risk
from spotvortex.core.scoring.calibration.live import Calibration
from spotvortex.core.scoring.calibration.rows import rows_of
from spotvortex.results.schemas import DECISIONS, POOLS
from spotvortex.server.query import DecisionsQuery, asked_pool
from spotvortex.server.views import PageSources

PAGES: Final[Mapping[str, str]] = {
    "/": "this list",
    "/healthz": "whether the tasks are at work",
    "/livez": "the same as /healthz",
    "/readyz": "whether decisions can be made, and what is missing",
    "/metrics": "Prometheus series",
    "/decisions": "the newest decisions; ?pool= &action= &since= &limit=",
    "/decisions/{id}": "one decision, whole",
    "/pools": "the newest decision of every pool; ?pool= of one",
    "/ledger": "the savings ledger",
    "/console": "pages for a browser; with a token, or on a loopback address",
}
"""Every path, with what it answers."""

PATHS: Final = tuple(PAGES)

CONSOLE: Final = "/console"
_SAFE: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What a browser is told with every page: nothing from elsewhere, in no frame, kept nowhere."""

_EXPOSITION: Final = "text/plain; version=0.0.4; charset=utf-8"
_OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def json_answer(
    body: Mapping[str, Json], status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a body as compact JSON; a number that JSON has no word for is an error."""
    text = json.dumps(body, separators=(",", ":"), allow_nan=False)
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


class Pages:
    """One method a path."""

    def __init__(self, views: PageSources, *, shows_console: bool) -> None:
        self._views = views
        self._shows_console = shows_console

    async def index(self, request: web.Request) -> web.Response:
        """Say what can be asked; a browser is sent to the console."""
        if self._views.console and "text/html" in request.headers.get("Accept", ""):
            return web.Response(status=302, headers={"Location": CONSOLE})
        return json_answer({"name": "spotvortex", "paths": dict(PAGES)})

    async def healthz(self, _request: web.Request) -> web.Response:
        """Say whether every task is alive; 503 names those that are late."""
        failing = self._views.health.failing()
        return json_answer({"ok": not failing, "failing": failing}, 503 if failing else 200)

    async def readyz(self, _request: web.Request) -> web.Response:
        """Say whether decisions can be made; 503 says what is missing."""
        reasons = self._views.readiness.reasons(self._views.clock.now())
        return json_answer({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        """Return every series; with exemplars, the trace of a cycle, to who reads OpenMetrics."""
        asked = "application/openmetrics-text" in request.headers.get("Accept", "")
        body = self._views.metrics.exposition(open_metrics=asked)
        kind = _OPEN_METRICS if asked else _EXPOSITION
        return web.Response(body=body, headers={"Content-Type": kind})

    async def decisions(self, request: web.Request) -> web.Response:
        """Return the newest records that match."""
        query = DecisionsQuery(request)
        records = self._views.decisions.find(
            pool=query.text("pool"), action=query.action(), since=query.since(), limit=query.limit()
        )
        # The lines are served as they were written, so that their digests still hold.
        lines = ",".join(record.line for record in records)
        text = f'{{"schema":"{DECISIONS}","decisions":[{lines}]}}'
        return web.Response(text=text, content_type="application/json")

    async def decision(self, request: web.Request) -> web.Response:
        """Return one record as it was written."""
        decision_id = request.match_info["id"]
        record = self._views.decisions.get(decision_id)
        if record is None:
            return json_answer({"error": f"no decision {decision_id} is kept here"}, 404)
        return web.Response(text=record.line, content_type="application/json")

    async def pools(self, request: web.Request) -> web.Response:
        """Return the newest decision of every pool, or of the one that is asked for."""
        name, plan = asked_pool(request), self._views.plans.last_plan()
        if plan is None:
            return json_answer({"schema": POOLS, "cycle": None, "time": None, "pools": []})
        chosen = [d for d in plan.decisions if name in (None, d.pool)]
        if name is not None and not chosen:
            return _no_pool(name, plan)
        orders = [o for o in (*plan.resumed, *plan.orders) if name in (None, o.pool)]
        return json_answer(
            {
                "schema": POOLS,
                "cycle": plan.cycle,
                "time": rfc3339(plan.at),
                "leader": plan.observation.standing.leader,
                "freeze": plan.observation.standing.freeze.value,
                "savings": self._savings(),
                "in_flight": [_order(order) for order in orders[:MAX_IN_FLIGHT]],
                "pools": [_pool(decision) for decision in chosen],
                "calibration": _calibration(plan.calibration),
            }
        )

    def _savings(self) -> Mapping[str, Json]:
        """Return what the ledger has counted of all pools."""
        totals = self._views.ledger.ledger.totals.values()
        return {
            "realised_usd": encode(math.fsum(sums.net_usd for sums in totals)),
            "realised_at_least_usd": encode(math.fsum(sums.least_usd for sums in totals)),
            "projected_usd": encode(math.fsum(sums.projected_usd for sums in totals)),
        }

    async def ledger(self, _request: web.Request) -> web.Response:
        """Return the savings ledger as it is kept."""
        text = to_text(self._views.ledger.ledger)
        return web.Response(text=text, content_type="application/json")

    async def console(self, request: web.Request) -> web.Response:
        """Return a page of the console; 403 says how it can be served."""
        if self._views.console is None:
            raise web.HTTPNotFound(reason="there is no console here")
        if not self._shows_console:
            raise web.HTTPForbidden(
                reason="the console wants SPOTVORTEX_HTTP_TOKEN, or SPOTVORTEX_HTTP_HOST=127.0.0.1"
            )
        page = self._views.console.answer(request.match_info.get("path", ""), request.query)
        return web.Response(
            text=page.body, status=page.status, content_type=page.content_type, headers=_SAFE
        )


MAX_IN_FLIGHT: Final = 100
"""Orders that are listed at once."""


MAX_NAMED: Final = 20
"""Pools that an answer about an unknown one names."""


def _no_pool(name: str, plan: Plan) -> web.Response:
    """Say that the newest plan has no such pool, and which it has."""
    there = [decision.pool for decision in plan.decisions]
    more = f" and {len(there) - MAX_NAMED} more" if len(there) > MAX_NAMED else ""
    named = f"there are {', '.join(there[:MAX_NAMED])}{more}" if there else "it has none"
    return json_answer({"error": f"the newest plan has no pool {name}; {named}"}, 404)


def _order(order: DrainOrder) -> Mapping[str, Json]:
    return {
        "node": order.node,
        "pool": order.pool,
        "to": order.to.value,
        "reason": order.reason,
        "mode": order.mode.value,
    }


def _calibration(calibration: Calibration) -> Mapping[str, Json]:
    """Return how good past predictions were, by model, band and horizon."""
    return {
        "drifted": calibration.drifted,
        "rows": [
            {
                "model": row.model,
                "band": row.band,
                "minutes": row.minutes,
                "n": encode(row.tally.n),
                "predicted": encode(row.tally.predicted),
                "lost": encode(row.tally.lost),
                "brier": encode(row.tally.brier),
                "observed_ratio": encode(row.tally.observed_ratio),
            }
            for row in rows_of(calibration)
        ],
    }


def _pool(decision: Decision) -> Mapping[str, Json]:
    data, cost = decision.input, cost_of(decision.input)
    risk = shown_risk(data)
    return {
        "pool": decision.pool,
        "decision_id": decision.decision_id,
        "provisioner": data.provisioner.value,
        "mode": decision.mode.value,
        "nodes": {
            "spot": data.n_spot,
            "on_demand": data.n_on_demand,
            "reserved": data.n_reserved,
            "unknown": data.n_unknown,
            "moving": data.n_moving,
            "not_ready": data.n_not_ready,
        },
        "current_ratio": encode(decision.current_ratio),
        "target_ratio": encode(decision.target_ratio),
        "proposal": decision.proposal.action.value,
        "action": decision.action.value,
        "reason": decision.reason,
        "kind": decision.proposal.kind.value,
        "n_nodes": decision.n_nodes,
        "moves": [move.candidate.node for move in decision.moves],
        "gates": [_gate(verdict) for verdict in decision.verdicts],
        "confidence": encode(data.confidence),
        "savings_usd_per_hour": encode(decision.savings_usd_per_hour),
        "cost_usd_per_hour": encode(cost.usd_per_hour),
        "all_on_demand_usd_per_hour": encode(cost.all_on_demand_usd_per_hour),
        "n_unpriced": cost.n_unpriced,
        "capacity_score": encode(risk.capacity),
        "runtime_score": encode(risk.runtime),
        "utilisation": {
            "source": data.usage.source.value,
            "cpu_ratio": encode(data.usage.cpu_ratio),
            "memory_ratio": encode(data.usage.memory_ratio),
        },
        "signals": [_signal(signal) for signal in data.signals],
    }


def _signal(signal: OfferingSignal) -> Mapping[str, Json]:
    return {
        "offering": str(signal.offering),
        "advisor_band": None if signal.band is None else BANDS[signal.band],
        "placement_score_one": signal.placement_one,
        "placement_score_many": signal.placement_many,
        "prior_multiple": encode(signal.prior_multiple),
    }


def _gate(verdict: Verdict) -> Mapping[str, Json]:
    return {
        "gate": verdict.gate,
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "limit": verdict.limit,
    }
