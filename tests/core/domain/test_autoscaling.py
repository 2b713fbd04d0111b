"""The words for what Cluster Autoscaler makes: no name of it can be taken for another's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain import autoscaling
from spotvortex.core.domain.types import CapacityType

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,30}[a-z0-9])?", fullmatch=True)


@given(NAMES, st.sampled_from(CapacityType))
def test_a_groups_name_tells_what_it_is_made_of(name, kind):
    managed, labelled = autoscaling.managed_group(name), autoscaling.labelled_group(name, kind)
    assert autoscaling.managed_name(managed) == name
    assert autoscaling.labels_of(labelled) == (name, kind)
    assert autoscaling.managed_name(labelled) == ""
    assert autoscaling.labels_of(managed) is None
    assert autoscaling.is_autoscaled(managed)
    assert autoscaling.is_autoscaled(labelled)
    assert not autoscaling.is_autoscaled(name)


@pytest.mark.parametrize("text", ["labels/web", "labels/web/cheap", "labels/", "web/spot"])
def test_what_names_no_pool_and_no_capacity_type_is_no_labelled_group(text):
    assert autoscaling.labels_of(text) is None


@given(NAMES)
def test_a_claim_of_karpenters_releases_no_node_by_its_uid(name):
    assert autoscaling.released_uid(autoscaling.claim_of(name)) == name
    assert autoscaling.released_uid(name) == ""


@given(st.text(max_size=64))
def test_a_note_gives_back_the_plan_that_was_written_down(plan):
    assert autoscaling.plan_noted(autoscaling.note_of(plan)) == plan


def test_a_note_of_the_greatest_length_is_read_and_a_longer_one_is_not():
    note = autoscaling.note_of("p1")
    assert autoscaling.plan_noted(note.ljust(autoscaling.MAX_NOTE)) == "p1"
    assert autoscaling.plan_noted(note.ljust(autoscaling.MAX_NOTE + 1)) == ""


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"plan": 7}', "null", "[" * 400, '{"plan":"' + "x" * 600 + '"}']
)
def test_a_note_that_cannot_be_read_names_no_plan(text):
    assert autoscaling.plan_noted(text) == ""


@given(NAMES)
def test_a_claim_says_who_ends_the_node(name):
    claim = autoscaling.instance_claim(name)
    assert autoscaling.released_instance(claim) == name
    assert autoscaling.released_uid(claim) == autoscaling.released_instance(name) == ""
    assert autoscaling.is_slow(claim)
    assert autoscaling.is_slow(autoscaling.claim_of(name))
    assert not autoscaling.is_slow(name)
