"""What AWS says of an offering scales what is assumed of it, within bounds, and fades."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.cloud.signals import (
    BANDS,
    DAY_S,
    FRESH_DAYS,
    LEAST_MULTIPLE,
    MOST_MULTIPLE,
    NO_SIGNALS,
    SCORE_MAX_AGE_S,
    STALE_DAYS,
    AdvisorBands,
    MarketSignals,
    OfferingSignal,
    Placement,
    prior_multiple,
    signals_about,
)
from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.scoring.interruption_memory import (
    EMPTY_MEMORY,
    OfferingMemory,
    context,
    memory_of,
    remembered_score,
)
from tests.core.builders import AT, WEB_A, WEB_B


def advised(band, at=AT, **placement):
    bands = AdvisorBands(at=at, by_region={"us-east-1": {WEB_A.instance_type: band}})
    scores = {WEB_A: Placement(**({"at": AT, "for_one": None} | placement))} if placement else {}
    return MarketSignals(bands=bands, placement=scores)


def scored(score, at=AT):
    return MarketSignals(placement={WEB_A: Placement(for_one=9, for_many=score, at=at)})


def test_what_nobody_states_scales_nothing():
    assert prior_multiple(WEB_A, NO_SIGNALS, AT) == 1.0
    assert signals_about([WEB_A, WEB_B], NO_SIGNALS, AT) == ()


def test_a_worse_band_scales_more_and_the_typical_one_about_nothing():
    found = [prior_multiple(WEB_A, advised(band), AT) for band in range(len(BANDS))]
    assert found == pytest.approx([0.490, 0.860, 1.126, 1.351, 1.840], abs=1e-3)
    assert found == sorted(found)


def test_a_band_fades_with_the_age_of_the_file_and_without_a_date_says_nothing():
    ages = [0.0, FRESH_DAYS, 200.0, STALE_DAYS, 5000.0]
    found = [prior_multiple(WEB_A, advised(4, AT - days * DAY_S), AT) for days in ages]
    assert found[0] == found[1] > found[2] > found[3] == found[4] == 1.0
    assert prior_multiple(WEB_A, advised(4, at=None), AT) == 1.0


@pytest.mark.parametrize(("score", "multiple"), [(1, 2.0), (2, 1.5), (3, 1.0), (10, 1.0)])
def test_a_poor_placement_score_for_many_raises_and_a_good_one_lowers_nothing(score, multiple):
    assert prior_multiple(WEB_A, scored(score), AT) == multiple
    assert prior_multiple(WEB_B, scored(score), AT) == 1.0
    assert prior_multiple(WEB_A, scored(score, AT - SCORE_MAX_AGE_S - 1.0), AT) == 1.0


def test_where_only_the_score_for_one_is_known_that_counts():
    signals = MarketSignals(placement={WEB_A: Placement(for_one=1, for_many=None, at=AT)})
    assert prior_multiple(WEB_A, signals, AT) == 2.0


@given(
    band=st.integers(-2, 9),
    one=st.none() | st.integers(-1, 12),
    many=st.none() | st.integers(-1, 12),
    age=st.floats(-1e9, 1e9),
)
def test_the_effect_is_bounded_whatever_is_said(band, one, many, age):
    signals = advised(band, AT - age, for_one=one, for_many=many)
    assert LEAST_MULTIPLE <= prior_multiple(WEB_A, signals, AT) <= MOST_MULTIPLE


def test_what_is_said_is_kept_by_offering_and_the_rest_left_out():
    signals = advised(4, for_one=3, for_many=2)
    (found,) = signals_about([WEB_A, WEB_B._replace(instance_type="x9.large")], signals, AT)
    assert found == OfferingSignal(
        offering=WEB_A, band=4, placement_one=3, placement_many=2, prior_multiple=2.75987
    )


def test_it_scales_both_priors_of_the_memory_and_the_clusters_own_losses_outweigh_it():
    plain, warned = MarketFacts(), MarketFacts(signals=advised(4))
    before, after = (context(EMPTY_MEMORY, WEB_A, market, AT) for market in (plain, warned))
    scale = prior_multiple(WEB_A, warned.signals, AT)
    assert after.hazard_per_hour == pytest.approx(before.hazard_per_hour * scale)
    assert after.level_per_hour == pytest.approx(before.level_per_hour * scale)
    assert remembered_score(after).runtime_score > remembered_score(before).runtime_score
    known = OfferingMemory(updated_at=AT, exposure_hours=2400.0, shaped_hours=2400.0)
    memory = memory_of({WEB_A: known}, {}, AT)
    calm, told = (context(memory, WEB_A, market, AT) for market in (plain, warned))
    assert told.hazard_per_hour / calm.hazard_per_hour == pytest.approx(scale)
    assert told.hazard_per_hour < before.hazard_per_hour / 40
