"""Results of runs for the tests, with round figures: a demand worth 100 dollars on-demand a day."""

from dataclasses import replace

from spotvortex.results.accounting import Costs, DayTotals, RunResult

COSTS = Costs(v=1.5, cm=3.0, ci=15.0)


def day(number=0, **given):
    totals = DayTotals(
        day=number,
        node_usd=40.0,
        demanded_od_usd=100.0,
        unserved_od_usd=0.0,
        all_on_demand_usd=100.0,
        moved_od_usd_per_minute=0.0,
        interrupted_od_usd_per_minute=0.0,
        n_moved=0,
        n_interrupted=0,
        n_launch_failures=0,
        outage_minutes=0.0,
        unserved_node_minutes=0.0,
        node_minutes=1440.0,
        spot_node_minutes=1080.0,
    )
    return replace(totals, **given)


def run(policy, seed=0, family="normal", mix="steady", days=2, variant="", **given):
    return RunResult(
        family=family,
        mix=mix,
        seed=seed,
        policy=policy,
        days=tuple(day(i, **given) for i in range(days)),
        digest="0" * 64,
        variant=variant,
    )
