"""Two memories joined are what one would remember that had learned all of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.scoring.interruption_memory import (
    EMPTY_MEMORY,
    Memory,
    OfferingMemory,
    memory_of,
    update,
)
from spotvortex.core.scoring.memory_join import joined
from tests.core.builders import AT, WEB_A, WEB_B, cluster, pool, spot

HOUR = 3600.0


def known(**changes):
    return OfferingMemory(**{"updated_at": AT} | changes)


def test_what_is_known_of_one_side_alone_stays_as_it_is():
    one, other = known(losses=1.0), known(exposure_hours=3.0)
    both = joined(memory_of({WEB_A: one}, {}), memory_of({WEB_B: other}, {}), AT)
    assert both.offerings == {WEB_A: one, WEB_B: other}


def test_counts_of_both_are_added_each_decayed_to_now():
    older = known(losses=2.0, exposure_hours=8.0, loss_shares=1.0, shaped_hours=4.0)
    later = known(losses=1.0, updated_at=AT + 72.0 * HOUR)
    both = joined(memory_of({WEB_A: later}, {}), memory_of({WEB_A: older}, {}), AT + 72.0 * HOUR)
    found, kept = both.offerings[WEB_A], 1.0 / 2.718281828459045
    assert found.losses == pytest.approx(1.0 + 2.0 * kept)
    assert found.exposure_hours == pytest.approx(8.0 * kept)
    assert (found.loss_shares, found.shaped_hours) == pytest.approx((kept, 4.0 * kept))
    assert found.updated_at == AT + 72.0 * HOUR


def test_launches_and_refusals_are_added_and_decay_too_and_the_later_refusal_is_the_last():
    older = known(launches=4.0, refusals=2.0, last_refused_at=AT - 60.0)
    later = known(launches=1.0, refusals=0.5, last_refused_at=AT, updated_at=AT + 72.0 * HOUR)
    both = joined(memory_of({WEB_A: later}, {}), memory_of({WEB_A: older}, {}), AT + 72.0 * HOUR)
    found, kept = both.offerings[WEB_A], 1.0 / 2.718281828459045
    assert (found.launches, found.refusals) == pytest.approx((1.0 + 4.0 * kept, 0.5 + 2.0 * kept))
    assert found.last_refused_at == AT


def test_a_clock_that_goes_back_fades_nothing_of_either():
    one, other = known(losses=1.0, launches=1.0), known(losses=2.0, launches=2.0)
    both = joined(memory_of({WEB_A: one}, {}), memory_of({WEB_A: other}, {}), AT - HOUR)
    assert (both.offerings[WEB_A].losses, both.offerings[WEB_A].launches) == (3.0, 3.0)


def test_of_two_last_losses_the_later_one_counts_with_what_it_left():
    older = known(last_loss_at=AT - HOUR, left_survivors=True)
    for later in (known(last_loss_at=AT), known()):
        both = joined(memory_of({WEB_A: later}, {}), memory_of({WEB_A: older}, {}), AT)
        found = both.offerings[WEB_A]
        wanted = later if later.last_loss_at else older
        assert found.last_loss_at == wanted.last_loss_at
        assert found.left_survivors == wanted.left_survivors


def test_it_is_held_since_the_earlier_of_both():
    here, before = known(held_since=AT - HOUR), known(held_since=None)
    both = joined(memory_of({WEB_A: here}, {}), memory_of({WEB_A: before}, {}), AT)
    assert both.offerings[WEB_A].held_since == AT - HOUR


def test_a_process_that_forgot_and_recalled_knows_what_one_knows_that_never_ended():
    """Only the time between the two is missing, and it is short here."""
    facts = cluster(pool(nodes=(spot("a"), spot("b"))))
    whole = first = EMPTY_MEMORY
    for minute in range(0, 120, 5):
        whole = first = update(first, facts, AT + 60.0 * minute)
    second = EMPTY_MEMORY
    for minute in range(115, 240, 5):
        second = update(second, facts, AT + 60.0 * minute)
        if minute == 120:
            second = joined(second, replace(first, nodes={}, at=-float("inf")), AT + 60.0 * minute)
        if minute > 115:
            whole = update(whole, facts, AT + 60.0 * minute)
    for offering, found in second.offerings.items():
        wanted = whole.offerings[offering]
        assert found.exposure_hours == pytest.approx(wanted.exposure_hours, rel=0.01)
        assert found.shaped_hours == pytest.approx(wanted.shaped_hours, rel=0.02)
        assert found.held_since == wanted.held_since


COUNTS = st.floats(0.0, 1e4)
KNOWN = st.builds(
    OfferingMemory,
    losses=COUNTS,
    exposure_hours=COUNTS,
    loss_shares=COUNTS,
    shaped_hours=COUNTS,
    last_loss_at=st.none() | st.floats(AT - 1e6, AT),
    updated_at=st.floats(AT - 1e6, AT),
)
MEMORIES = st.dictionaries(st.sampled_from([WEB_A, WEB_B]), KNOWN).map(lambda o: memory_of(o, {}))


@given(MEMORIES, MEMORIES)
def test_neither_side_is_ever_made_less_and_nodes_stay_its_own(one, other):
    one = replace(one, at=AT, interrupted=frozenset({"u"}))
    both = joined(one, other, AT)
    assert (both.at, both.nodes, both.interrupted) == (AT, one.nodes, one.interrupted)
    for memory in (one, other):
        assert memory.offerings.keys() <= both.offerings.keys()
        for offering, known_of in memory.offerings.items():
            found = both.offerings[offering]
            assert (found.last_loss_at or 0.0) >= (known_of.last_loss_at or 0.0)
    assert isinstance(both, Memory)
