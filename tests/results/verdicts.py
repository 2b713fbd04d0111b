"""Verdicts for the tests: one that passes everywhere, to be changed by what a test is about."""

from dataclasses import replace

from spotvortex.results.verdict import (
    POOLED,
    Appraisal,
    FamilyVerdict,
    Gain,
    GateBounds,
    Interval,
    Outages,
    Spread,
)
from tests.results.accounts import COSTS

GATE = GateBounds(
    min_improvement_pct=2.0,
    max_outage_delta_minutes=0.0,
    void_below_ratio=0.1,
    min_void_points=1.0,
)


def gain(median, width=0.5):
    return Gain(
        spread=Spread(low=median - 2 * width, median=median, high=median + 2 * width),
        interval=Interval(low=median - width, high=median + width),
    )


OUTAGES = Outages(
    policy_minutes=10.0,
    rival_minutes=25.0,
    policy_unserved_node_minutes=4.0,
    rival_unserved_node_minutes=9.0,
    worst_delta_minutes=0.0,
    worst_world="stressed/steady seed 3",
    n_less=20,
    n_equal=70,
    n_more=0,
    n_rival_hit=22,
)


def row(family, **given):
    made = FamilyVerdict(
        family=family,
        rivals=("B3-0min-10pct",),
        n_worlds=90,
        n_expected=90,
        n_void=0,
        improvement_pct=gain(2.4),
        points=gain(1.25),
        void_points=None,
        outages=OUTAGES,
        sign_p=0.001,
        holm_p=0.002,
        headroom_pct=6.0,
        regret_closed_ratio=0.4,
        profit_passes=True,
        outage_passes=True,
    )
    return replace(made, **given)


def verdict(*families, **given):
    made = Appraisal(
        policy="rules",
        rival="B3",
        costs=COSTS,
        variant="",
        gate=GATE,
        protocol_digest="ab" * 32,
        families=families or (row("calm"), row("stressed")),
        missing=(),
        pooled=row(POOLED, n_worlds=180, n_expected=180),
    )
    return replace(made, **given)
