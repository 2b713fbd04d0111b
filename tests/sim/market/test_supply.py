"""What every market's hidden side is made of: notices, and events in time."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from spotvortex.sim.market.supply import NoticeTiming, PoissonEvents


@given(st.integers(0, 1000), st.floats(0.0, 1.0))
def test_a_notice_never_comes_earlier_than_promised(seed, flawed):
    assert 0.0 <= NoticeTiming(flawed_ratio=flawed).lead_s(Random(seed)) <= 120.0


def test_without_flaw_every_notice_comes_in_time():
    notices = NoticeTiming(flawed_ratio=0.0)
    assert {notices.lead_s(Random(k)) for k in range(100)} == {120.0}


@given(st.integers(0, 100), st.lists(st.floats(0.0, 90_000.0), min_size=1, max_size=8))
def test_marks_are_the_same_however_they_are_asked_for(seed, cuts):
    whole = PoissonEvents(Random(seed), 2.0, 0.0).between(0.0, 90_000.0)
    pieces, parts, after = PoissonEvents(Random(seed), 2.0, 0.0), [], 0.0
    for until in [*sorted(cuts), 90_000.0]:
        parts += pieces.between(after, until)
        after = until
    assert parts == whole
    assert pieces.between(0.0, 90_000.0) == whole


def test_marks_come_as_often_as_asked_and_never_at_rate_nought():
    assert 1800 < len(PoissonEvents(Random(1), 2.0, 0.0).between(0.0, 1000 * 3600.0)) < 2200
    assert PoissonEvents(Random(1), 0.0, 0.0).between(0.0, 1e9) == []
