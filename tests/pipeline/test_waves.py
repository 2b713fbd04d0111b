"""No node of a wave is marked before there is room for all; one without room ends the others."""

from dataclasses import replace

import pytest

from spotvortex.core.messages import DrainEnd
from spotvortex.pipeline import waves as module
from spotvortex.pipeline.waves import Waves
from tests.core.drains import view
from tests.core.flying import order

A, B = order("web-s0", n_wave=2), order("web-s1", n_wave=2)


def joined(*orders):
    waves = Waves()
    for one in orders:
        waves.join(one)
    return waves


def waits(waves, one, *, has_room):
    return waves.see(one, view(), has_room=has_room).wave_waits


def test_an_order_waits_until_all_of_its_wave_have_come_and_have_room():
    waves = joined(A)
    assert waits(waves, A, has_room=True)
    waves.join(B)
    assert waits(waves, A, has_room=True)
    assert not waits(waves, B, has_room=True)
    assert not waits(waves, A, has_room=True)


def test_room_that_is_lost_again_is_waited_for_again():
    waves = joined(A, B)
    waits(waves, A, has_room=True)
    waits(waves, B, has_room=True)
    assert waits(waves, A, has_room=False)
    assert waits(waves, B, has_room=True)


def test_a_wave_of_one_waits_for_nobody():
    one = replace(A, n_wave=1)
    assert not waits(joined(one), one, has_room=True)


def test_waves_do_not_meet():
    other = replace(B, plan_id="p2", n_wave=1)
    waves = joined(replace(A, n_wave=1), other)
    waits(waves, other, has_room=False)
    assert not waits(waves, replace(A, n_wave=1), has_room=True)


@pytest.mark.parametrize(
    ("end", "was_marked", "ends_others"),
    [
        (DrainEnd.NO_REPLACEMENT, False, True),
        (DrainEnd.ABORTED, False, True),
        (DrainEnd.ABORTED, True, False),
        (DrainEnd.REFUSED, False, False),
        (DrainEnd.GONE, False, False),
        (DrainEnd.DONE, True, False),
        (DrainEnd.HANDED_OVER, False, False),
    ],
)
def test_only_an_order_that_found_no_room_ends_the_others(end, was_marked, ends_others):
    waves = joined(A, B)
    waves.leave(A, end, "why", was_marked=was_marked)
    seen = waves.see(B, view(), has_room=True)
    assert seen.wave_trouble == ("web-s0 of the same wave: why" if ends_others else "")
    assert not seen.wave_waits


def test_the_first_trouble_is_told():
    waves = joined(A, B)
    waves.leave(A, DrainEnd.ABORTED, "first", was_marked=False)
    waves.leave(B, DrainEnd.ABORTED, "second", was_marked=False)
    assert "first" in waves.see(B, view(), has_room=True).wave_trouble


def test_an_order_of_an_unknown_wave_is_left_alone():
    waves = joined()
    seen = view()
    assert waves.see(A, seen, has_room=True) is seen
    waves.leave(A, DrainEnd.ABORTED, "why", was_marked=False)
    assert waves.see(A, seen, has_room=True) is seen


def test_only_so_many_waves_are_remembered(monkeypatch):
    monkeypatch.setattr(module, "MAX_WAVES", 2)
    waves = joined(*(replace(A, plan_id=f"p{i}") for i in range(4)))
    assert list(waves._waves) == ["p2", "p3"]
