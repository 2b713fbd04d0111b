"""The first screen fits on a screen whatever the cluster, and says what to do next."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.observation import NodeGroupFact
from spotvortex.core.domain.types import Blocker, CapacityType
from tests.core.builders import (
    HEALTHY,
    cluster,
    health,
    market,
    observation,
    on_demand,
    pool,
    quote,
    with_load_blocker,
    work,
)
from tests.report.reports import report, screen

MAX_LINES = 60
N_POOLS = 300


def names():
    return [f"pool-{i:03}" for i in range(N_POOLS)]


def free(name):
    return pool(name)


def pinned_by_pool(name):
    only = NodeGroupFact(name=name, pool=name, capacity_types=(CapacityType.ON_DEMAND,))
    return pool(name, n_spot=0, n_on_demand=1, node_groups=(only,))


def pinned_by_pods(name):
    return pool(name, nodes=(with_load_blocker(on_demand(name), Blocker.PINNED_ON_DEMAND),))


def at_risk(name):
    covered = ((f"{name}-s0", 2), (f"{name}-d1", 1))
    return pool(name, workloads=(work(name, healthy_by_node=covered),))


def held(name):
    blockers = list(Blocker)
    nodes = tuple(with_load_blocker(on_demand(f"{name}-{b}"), b) for b in blockers)
    return pool(name, nodes=nodes)


@pytest.mark.parametrize("kind", [free, pinned_by_pool, pinned_by_pods, at_risk, held])
def test_the_first_screen_has_at_most_sixty_lines_for_300_pools(kind):
    inputs = tuple(
        health(name, state=InputState.DENIED) for name in ("pdbs", "owners", "nodepools", "prices")
    )
    facts = cluster(*map(kind, names()), inputs=(*HEALTHY, *inputs))
    lines = screen(report(observed=replace(observation(), cluster=facts)))
    assert len(lines) <= MAX_LINES
    assert max(map(len, lines)) <= 120


def test_what_is_left_out_is_counted_and_shown_with_details():
    some = names()[:60]
    made = report(*map(free, some))
    lines = screen(made)
    assert sum("52 more with --details" in line for line in lines) == 2
    whole = screen(made, details=True)
    assert not [line for line in whole if "more with --details" in line]
    assert {name for name in some if any(name in line for line in whole)} == set(some)


def test_a_cluster_without_on_demand_nodes_has_nothing_to_gain():
    lines = screen(report(pool(n_on_demand=0)))
    assert "  there is no on-demand node in any pool: nothing to gain here" in lines
    assert any(line.startswith("ON-DEMAND YOU MAY NOT NEED") and "0 of 0" in line for line in lines)
    assert not any("nothing to gain" in line for line in screen(report(pool())))


def test_without_pools_it_says_how_to_label():
    unpooled = cluster(unpooled=(on_demand("d1", pool=""),))
    for made in (report(), report(observed=replace(observation(), cluster=unpooled))):
        last = screen(made)[-1]
        assert "no pool was found: label nodes spotvortex.io/pool" in last
        assert not any("SPOTVORTEX WOULD" in line for line in screen(made))
    assert any("1 node belongs to no pool, never moved" in line for line in screen(made))
    assert not any("no pool was found" in line for line in screen(report(pool())))


def test_a_saving_says_for_how_many_nodes_the_prices_are_known():
    no_spot = market(quote(spot_usd_per_hour=None))
    text = "\n".join(screen(report(observed=observation(pool(), market=no_spot))))
    assert "saving unknown: no Spot price" in text
    text = "\n".join(screen(report(observed=observation(pool(), market=market(quote())))))
    assert "(4 priced)" in text


def test_what_cannot_be_read_is_not_said_to_be_safe():
    unread = [health(n, state=InputState.DENIED) for n in ("pdbs", "owners", "nodepools")]
    facts = cluster(pool(), inputs=(*HEALTHY[:2], *unread))
    text = "\n".join(screen(report(observed=replace(observation(), cluster=facts))))
    assert "0 workloads, as far as can be seen without pdbs, owners" in text
    assert "if lost, takes too much" not in text
    assert "if lost, takes too much" in "\n".join(screen(report(pool())))


def test_without_any_price_the_cost_is_unknown_and_not_nothing():
    bare = market(quote(spot_usd_per_hour=None, on_demand_usd_per_hour=None))
    text = "\n".join(screen(report(observed=observation(pool(), market=bare))))
    assert "cost unknown: no price for any of 10 nodes" in text
    assert "$0.00/h at list price" not in text


def test_no_word_is_cut_however_narrow_the_terminal():
    lines = screen(report(pool("web"), at_risk("api"), held("jobs")), details=True, width=40)
    assert max(map(len, lines)) <= 40
    assert not [line for line in lines if "\N{HORIZONTAL ELLIPSIS}" in line]


def test_nothing_is_done_and_the_screen_says_so():
    lines = screen(report(pool()))
    assert "read-only" in lines[0]
    assert any(line.startswith("SPOTVORTEX WOULD (nothing is done)") for line in lines)
    (would,) = [line for line in lines if "INCREASE_30" in line]
    assert "web" in would
    assert "1 node · spot 2/10" in would


def test_a_refused_wish_is_shown_with_the_gate():
    text = "\n".join(screen(report(pool(), in_range=False)))
    assert "HOLD" in text
    assert "wanted INCREASE_30" in text


def test_a_loss_names_the_workload_and_what_is_left():
    (line,) = [
        line for line in screen(report(at_risk("web"))) if "  lose m6i.large/us-east-1a" in line
    ]
    assert "shop/Deployment/web 1 of 3 left, 2 must stay" in line


def test_details_show_every_group_and_every_workload_that_holds_a_node():
    made = report(held("web"))
    text = "\n".join(screen(made, details=True))
    assert "nodes by pool, type, zone and capacity type" in text
    assert "shop/Deployment/api" in text
    assert all(blocker in text for blocker in Blocker)


def test_a_table_without_rows_is_not_shown():
    whole = "\n".join(screen(report(), details=True))
    assert "safety vector" not in whole
    assert "workloads that hold" not in whole
    assert "safety vector" in "\n".join(screen(report(pool()), details=True))
