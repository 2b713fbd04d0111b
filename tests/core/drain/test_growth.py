"""A wave that is over gives back what it did not use, whatever happened, and no more than that."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain.cloud.scaling_groups import ScalingGroup, ScalingInstance
from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.growth import (
    MAX_TEXT,
    GiveBack,
    Growth,
    Standing,
    begin_growth,
    growth_in,
    growth_text,
    standing_of,
    to_give_back,
    with_released,
)
from tests.examples import examples

IDS = st.text(alphabet="abcdef0123456789", min_size=1, max_size=8)


def group(desired, *ids, leaving=()):
    there = tuple(ScalingInstance(id=i, leaving=i in leaving) for i in ids)
    return ScalingGroup(
        name="asg",
        node_group="labels/web/spot",
        pool="web",
        capacity_type=CapacityType.SPOT,
        largest=100,
        desired=desired,
        instances=there,
    )


GROWTH = begin_growth(group(1, "old"), "plan", 2)


def test_a_growth_says_what_was_there_right_before():
    assert (
        Growth(group="labels/web/spot", plan="plan", before=1, n_nodes=2, known=("old",)) == GROWTH
    )
    assert GROWTH.target == 3


@pytest.mark.parametrize(
    ("desired", "standing"),
    [
        (1, Standing.TO_WRITE),
        (2, Standing.CHANGED),
        (0, Standing.CHANGED),
        (3, Standing.WRITTEN),
        (9, Standing.WRITTEN),
    ],
)
def test_what_is_read_tells_whether_the_size_was_set(desired, standing):
    assert standing_of(GROWTH, desired) is standing


def test_what_was_never_launched_is_asked_for_no_more_and_ends_no_instance():
    assert to_give_back(GROWTH, group(3, "old"), 0, ()) == GiveBack(desired=1)


def test_new_instances_that_carry_nothing_are_ended_and_old_ones_never():
    found = to_give_back(GROWTH, group(3, "old", "new", "newer"), 0, ())
    assert found == GiveBack(ended=("new", "newer"))


def test_of_a_partial_delivery_both_halves_are_given_back():
    assert to_give_back(GROWTH, group(3, "old", "new"), 0, ()) == GiveBack(
        desired=2, ended=("new",)
    )


def test_a_wave_that_moved_every_node_gives_nothing_back():
    assert to_give_back(GROWTH, group(3, "old", "new", "newer"), 2, ()) == GiveBack()


def test_a_new_instance_in_use_stays_and_is_counted():
    found = to_give_back(GROWTH, group(3, "old", "new", "newer"), 1, {"new", "newer"})
    assert found == GiveBack(n_kept=1)


def test_what_is_leaving_counts_as_not_there():
    found = to_give_back(GROWTH, group(3, "old", "new", "newer", leaving={"new"}), 0, ())
    assert found == GiveBack(desired=2, ended=("newer",))


def test_a_persons_smaller_size_has_taken_it_back_already():
    assert to_give_back(GROWTH, group(1, "old"), 0, ()) == GiveBack()
    assert to_give_back(GROWTH, group(2, "old", "new"), 0, ()) == GiveBack(ended=("new",))


@pytest.mark.parametrize(
    ("smallest", "given"),
    [
        (1, GiveBack(desired=2, ended=("new",))),
        (2, GiveBack(desired=2)),
        (3, GiveBack()),
        (4, GiveBack()),
    ],
)
def test_nothing_is_given_back_below_a_smallest_size_that_was_raised_meanwhile(smallest, given):
    now = replace(group(3, "old", "new"), smallest=smallest)
    assert to_give_back(GROWTH, now, 0, ()) == given


def test_an_instance_is_noted_once():
    noted = with_released(with_released(GROWTH, "a"), "a")
    assert noted.released == ("a",)


@examples(200)
@given(
    before=st.integers(0, 5),
    n_nodes=st.integers(1, 5),
    data=st.data(),
)
def test_a_size_ends_as_it_was_plus_what_was_moved_and_what_is_in_use(before, n_nodes, data):
    """Whatever was launched, moved, set by others, and however often it is settled anew."""
    known = tuple(f"old-{i}" for i in range(before))
    growth = Growth(group="g", plan="p", before=before, n_nodes=n_nodes, known=known)
    n_launched = data.draw(st.integers(0, n_nodes))
    n_gone = data.draw(st.integers(0, n_launched))
    fresh = [f"new-{i}" for i in range(n_launched)]
    in_use = set(data.draw(st.permutations(fresh))[: data.draw(st.integers(n_gone, n_launched))])
    others = data.draw(st.integers(-n_nodes, 5))
    now = group(max(len(known) + n_launched, growth.target + others), *known, *fresh)
    stops = data.draw(st.lists(st.booleans(), max_size=4))
    for stop in [*stops, False]:
        back = to_give_back(growth, now, n_gone, in_use)
        if back.desired is not None:
            assert back.desired >= len(now.living), "a smaller size would end an instance"
            now = replace(now, desired=back.desired)
        for ended in back.ended:
            assert ended not in in_use
            assert ended not in known
            left = tuple(i for i in now.instances if i.id != ended)
            now = replace(now, desired=now.desired - 1, instances=left)
            if stop:
                break
    assert now.desired >= before + n_gone
    assert {i.id for i in now.instances} >= set(known) | in_use
    if others == 0:
        assert now.desired == before + max(n_gone, len(in_use))


@examples(200)
@given(
    st.builds(
        Growth,
        group=st.text(max_size=20),
        plan=st.text(max_size=20),
        before=st.integers(0, 1000),
        n_nodes=st.integers(0, 50),
        known=st.lists(IDS).map(tuple),
        released=st.lists(IDS).map(tuple),
    )
)
def test_a_journal_gives_back_what_was_written_down(growth):
    assert growth_in(growth_text(growth)) == growth


def test_a_journal_of_the_greatest_length_is_read_and_a_longer_one_is_not():
    assert growth_in(growth_text(GROWTH).ljust(MAX_TEXT)) == GROWTH
    assert growth_in(growth_text(GROWTH).ljust(MAX_TEXT + 1)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 50_000,
        '{"v":2}',
        '{"v":1}',
        growth_text(GROWTH).replace('"before":1', '"before":true'),
        growth_text(GROWTH).replace('"before":1', '"before":-1'),
        growth_text(GROWTH).replace('["old"]', '["old",7]'),
        growth_text(GROWTH).replace('"plan"', '"plans"'),
        growth_text(GROWTH).replace('"plan":"plan"', '"plan":7'),
        growth_text(replace(GROWTH, known=("i" * 70_000,))),
    ],
)
def test_what_is_no_journal_of_this_version_is_none(text):
    assert growth_in(text) is None
