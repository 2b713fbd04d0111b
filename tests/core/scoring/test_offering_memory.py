"""What is remembered of one offering: each figure by itself, after one interval more."""

import math
from dataclasses import replace

import pytest

from spotvortex.core.domain.cloud.launches import LaunchFacts
from spotvortex.core.domain.market import SpotQuote
from spotvortex.core.scoring.features import OfferingContext
from spotvortex.core.scoring.interruption_memory import (
    DECAY_HOURS,
    EMPTY_MEMORY,
    NEVER_HELD_HOURS,
    OfferingMemory,
    context,
    remembered_score,
    stepped,
    update,
)
from spotvortex.core.scoring.node_ends import Gap
from tests.core.builders import AT, WEB_A, cluster, market, pool, quote, spot

DAY_S = 86_400.0
KNOWN = OfferingMemory(
    losses=2.0,
    exposure_hours=3.0,
    loss_shares=4.0,
    shaped_hours=5.0,
    last_loss_at=AT - DAY_S,
    left_survivors=True,
    held_since=AT - 2 * DAY_S,
    updated_at=AT,
    launches=6.0,
    refusals=7.0,
    last_refused_at=AT - 60.0,
)
CALM = Gap(
    start=AT, hours=0.0, n_before=0.0, n_lost=0.0, has_survivors=False, n_now=0.0, oldest=None
)
COUNTS = ("losses", "exposure_hours", "loss_shares", "shaped_hours", "launches", "refusals")


def counts(known):
    return tuple(getattr(known, name) for name in COUNTS)


def after(now=AT, before=KNOWN, **changes):
    return stepped(before, replace(CALM, **changes), now)


def test_an_interval_in_which_nothing_happens_fades_every_count_and_no_time():
    found = after(AT + DECAY_HOURS * 3600.0)
    faded = [n * math.exp(-1.0) for n in (2.0, 3.0, 4.0, 5.0, 6.0, 7.0)]
    assert counts(found) == pytest.approx(faded)
    assert (found.last_loss_at, found.left_survivors) == (AT - DAY_S, True)
    assert (found.last_refused_at, found.held_since) == (AT - 60.0, None)
    assert counts(after(AT - 60.0)) == counts(KNOWN)


def test_losses_count_by_number_and_by_the_share_that_they_took():
    found = after(n_before=4.0, n_lost=1.0, late_shares=(0.5, 0.25), has_survivors=False)
    assert (found.losses, found.loss_shares) == (5.0, pytest.approx(5.0))
    assert (found.last_loss_at, found.left_survivors) == (AT, False)
    late = after(late_shares=(0.5,), has_survivors=True)
    assert (late.losses, late.loss_shares, late.last_loss_at) == (3.0, 4.5, AT)


def test_what_is_held_now_counts_for_the_whole_interval_and_what_comes_up_is_a_launch():
    found = after(hours=0.5, n_before=1.0, n_now=4.0, oldest=AT - DAY_S, n_launched=3)
    assert found.exposure_hours == 3.0 + 4 * 0.5
    assert found.launches == 9.0
    assert found.shaped_hours > 5.0
    assert after(hours=0.5, n_now=4.0).shaped_hours == 5.0
    assert after(n_before=1.0, n_now=4.0).shaped_hours == 5.0


def test_a_launch_that_failed_is_counted_and_its_time_kept():
    found = after(refused_at=AT - 5.0)
    assert (found.refusals, found.last_refused_at) == (8.0, AT - 5.0)


@pytest.mark.parametrize(
    ("before", "oldest", "since"),
    [(None, AT, AT), (AT - 9.0, AT, AT - 9.0), (AT, AT - 9.0, AT - 9.0), (AT, None, None)],
)
def test_it_is_held_since_the_oldest_node_of_an_unbroken_chain(before, oldest, since):
    found = after(before=replace(KNOWN, held_since=before), oldest=oldest)
    assert found.held_since == since


def test_who_is_known_best_is_kept_by_all_that_was_counted():
    assert KNOWN.weight == 2.0 + 3.0 + 7.0 + 6.0


@pytest.mark.parametrize(
    ("launches", "refusals", "ratio"), [(0.0, 0.0, None), (3.0, 1.0, 0.25), (0.0, 0.5, 1.0)]
)
def test_the_share_of_launches_that_failed_is_known_from_the_first_on(launches, refusals, ratio):
    known = OfferingMemory(launches=launches, refusals=refusals, updated_at=AT)
    assert known.refused_ratio == ratio


def test_both_ages_count_from_the_last_loss_and_the_oldest_node_and_never_below_nothing():
    age = KNOWN.age(AT)
    assert (age.held_hours, age.since_loss_hours, age.is_survivor) == (48.0, 24.0, True)
    unknown = OfferingMemory(updated_at=AT).age(AT)
    assert (unknown.held_hours, unknown.since_loss_hours) == (0.0, NEVER_HELD_HOURS)
    never_lost = replace(KNOWN, last_loss_at=None).age(AT)
    assert never_lost.since_loss_hours == 48.0
    ahead = KNOWN.age(AT - 9 * DAY_S)
    assert (ahead.held_hours, ahead.since_loss_hours) == (0.0, 0.0)


def test_an_observation_brings_failed_launches_once_and_tells_which():
    facts, fell = cluster(pool(nodes=(spot("s1"),))), LaunchFacts(falls={WEB_A: AT})
    first = update(update(EMPTY_MEMORY, facts, AT), facts, AT + 30.0, launches=fell)
    assert (first.refused, first.offerings[WEB_A].refusals) == ((WEB_A,), 1.0)
    again = update(first, facts, AT + 60.0, launches=fell)
    assert again.refused == ()
    assert again.offerings[WEB_A].last_refused_at == AT


def test_a_score_tells_how_much_history_it_has_and_that_the_memory_gave_it():
    known = OfferingContext(
        offering=WEB_A,
        quote=quote(WEB_A, history_usd_per_hour=(0.03,) * 7),
        hours_since_loss=100.0,
        hazard_per_hour=0.01,
    )
    found = remembered_score(known)
    assert (found.n_history, found.in_scope, found.from_memory) == (7, True, True)
    bare = remembered_score(replace(known, quote=SpotQuote(offering=WEB_A)))
    assert bare.n_history == 0


def test_what_is_told_of_an_offering_has_the_hours_since_its_last_loss_and_refusal():
    memory = replace(EMPTY_MEMORY, offerings={WEB_A: KNOWN})
    found = context(memory, WEB_A, market(), AT + 60.0)
    assert found.lost_hours == pytest.approx(24.0 + 1.0 / 60.0)
    assert found.refused_hours == pytest.approx(2.0 / 60.0)
    assert (found.exposure_hours, found.refused_ratio) == (3.0, 7.0 / 13.0)
    never = context(EMPTY_MEMORY, WEB_A, market(), AT)
    assert (never.lost_hours, never.refused_hours, never.refused_ratio) == (None, None, None)
