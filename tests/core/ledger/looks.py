"""Plans as the ledger reads them: nodes, prices, decisions, at a time."""

from spotvortex.core.decision.messages import Plan
from spotvortex.core.ledger.flow import Pricing
from spotvortex.core.ledger.ledger import EMPTY_LEDGER, NOTHING_BESIDE, accrue
from tests.core.builders import market, observation, pool
from tests.telemetry.decisions import decision

START = 1_784_001_600.0
"""2026-07-14T04:00:00Z, the beginning of an hour."""


def look(at, *pools, decisions=None, **changes):
    """A plan over pools; each holds, unless decisions are given."""
    made = [decision(pool=p.name, at=at) for p in pools] if decisions is None else decisions
    observed = observation(*pools, at=at, **({"market": market()} | changes))
    return Plan(cycle=1, at=at, decisions=tuple(made), orders=(), observation=observed)


class Book:
    """A ledger that takes one look after another."""

    def __init__(self, ledger=EMPTY_LEDGER):
        self.ledger, self.pricing = ledger, Pricing()

    def take(self, plan, beside=NOTHING_BESIDE):
        self.ledger, self.pricing = accrue(self.ledger, plan, self.pricing, beside)
        return self

    def steady(self, *pools, since=START, hours=1.0, step_s=30.0, **changes):
        """Look at the same pools again and again."""
        for i in range(round(hours * 3600.0 / step_s) + 1):
            self.take(look(since + i * step_s, *pools, **changes))
        return self

    def total(self, pool="web"):
        return self.ledger.totals[pool]


def web(n_spot=2, n_on_demand=8, **changes):
    """Nodes of 0.03 USD an hour on Spot and 0.10 on-demand."""
    return pool("web", n_spot=n_spot, n_on_demand=n_on_demand, **changes)
