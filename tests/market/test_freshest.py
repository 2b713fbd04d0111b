"""Of several sources the youngest price counts, and the record names where it came from."""

import math

from spotvortex.core.domain.cloud.launches import LaunchFacts
from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.market.freshest import FreshestMarket
from spotvortex.market.health import prices_health
from tests.core.builders import AT, WEB_A, WEB_B

HOUR = 3600.0


class Fixed:
    """A source that says what a test tells it to."""

    def __init__(self, source, launches=None, **changes):
        self.values = {"age_s": HOUR, "source": source} | changes
        self.launches = launches or LaunchFacts()

    def facts(self, offerings, now):  # noqa: ARG002 - as the port
        quotes = {o: SpotQuote(offering=o, **self.values) for o in offerings}
        health = prices_health(quotes.values(), self.values["age_s"])
        return MarketFacts(quotes=quotes, inputs=(health,), launches=self.launches)


def best(*sources):
    return FreshestMarket(sources).facts([WEB_A], AT).quotes[WEB_A]


OLD = Fixed("file", spot_usd_per_hour=0.03, age_s=5 * HOUR, history_usd_per_hour=(0.1,) * 9)
NEW = Fixed("karpenter", spot_usd_per_hour=0.04, history_usd_per_hour=(0.2,))
BARE = Fixed("none", age_s=math.inf)
DEAR = Fixed("table", on_demand_usd_per_hour=0.1, age_s=math.inf)


def test_the_youngest_price_counts_whatever_the_order():
    for sources in ((OLD, NEW), (NEW, OLD)):
        found = best(*sources)
        assert (found.spot_usd_per_hour, found.age_s, found.source) == (0.04, HOUR, "karpenter")


def test_of_two_of_the_same_age_the_first_counts():
    other = Fixed("other", spot_usd_per_hour=0.05)
    assert best(NEW, other).source == "karpenter"
    assert best(other, NEW).source == "other"


def test_a_source_that_has_no_price_is_passed_over():
    aged = Fixed("karpenter", age_s=60.0)
    assert best(aged, OLD).source == "file"
    assert best(BARE, BARE).spot_usd_per_hour is None


def test_what_one_lacks_the_other_lends_and_both_are_named():
    found = best(NEW, DEAR)
    assert (found.on_demand_usd_per_hour, found.source) == (0.1, "karpenter; table")
    assert best(BARE, DEAR).source == "table"


def test_the_longer_history_counts():
    assert best(NEW, OLD).history_usd_per_hour == (0.1,) * 9


def test_health_is_that_of_what_is_given_and_launches_are_handed_on():
    fell = LaunchFacts(falls={WEB_B: AT})
    found = FreshestMarket([OLD, Fixed("karpenter", launches=fell)]).facts([WEB_A], AT)
    (health,) = found.inputs
    assert (health.state, health.age_s) == (InputState.ABSENT, HOUR)
    assert found.launches == fell
