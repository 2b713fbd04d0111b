"""A line of points for each pool stays short however long the daemon runs."""

from itertools import pairwise

import pytest

from spotvortex.telemetry.trends import MAX_POINTS, Trends
from tests.telemetry.decisions import AT, decision, plan


def planned(trends, n, pools=("web",)):
    for i in range(n):
        at = AT + 30.0 * i
        trends.planned(plan(*(decision(cycle=i + 1, at=at, pool=pool) for pool in pools), at=at))


def test_every_plan_gives_a_point_of_each_pool_and_one_of_all():
    trends = Trends()
    planned(trends, 3, ("jobs", "web"))
    assert [p.at for p in trends.of("web")] == [AT, AT + 30, AT + 60]
    one, both = trends.of("jobs")[0], trends.of_all()[0]
    assert both.cost.usd_per_hour == pytest.approx(2 * one.cost.usd_per_hour)
    assert both.spot_ratio == pytest.approx(one.spot_ratio)


def test_a_pool_that_is_gone_takes_its_line_with_it():
    trends = Trends()
    planned(trends, 2, ("jobs", "web"))
    planned(trends, 1, ("web",))
    assert trends.of("jobs") == ()
    assert len(trends.of("web")) == 3


@pytest.mark.parametrize("n", [MAX_POINTS, MAX_POINTS + 1, 5 * MAX_POINTS])
def test_a_full_line_thins_itself_and_keeps_its_ends(n):
    trends = Trends()
    planned(trends, n)
    points = trends.of_all()
    assert len(points) <= MAX_POINTS
    assert points[0].at == AT
    assert AT + 30.0 * n - points[-1].at <= 30.0 * n / len(points) * 2
    gaps = {later.at - earlier.at for earlier, later in pairwise(points)}
    assert len(gaps) == 1


def test_no_plan_no_line():
    assert Trends().of_all() == ()
    assert Trends().of("web") == ()
