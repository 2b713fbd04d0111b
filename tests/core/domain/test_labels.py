"""Names of ours are names that an API server takes, and ours alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.domain import labels as label_names
from spotvortex.core.domain.labels import PodKind, is_label_value, pod_labels, selector


@pytest.mark.parametrize("text", ["a", "A-b_c.d9", "x" * 63, "0"])
def test_a_good_label_value_is_taken(text):
    assert is_label_value(text)


@pytest.mark.parametrize("text", ["", "-a", "a-", "a/b", "a b", "x" * 64, "a\n", "é"])
def test_a_bad_label_value_is_not(text):
    assert not is_label_value(text)


@given(st.text(max_size=70))
def test_a_pool_of_any_name_gives_labels_that_are_all_good(pool):
    labels = pod_labels(PodKind.ANCHOR, plan_id="p-1", for_uid="uid-1", pool=pool)
    assert all(is_label_value(value) for value in labels.values())
    assert labels.get(label_names.POOL, pool) == pool


def test_the_labels_of_a_pod_are_found_by_the_selector():
    labels = pod_labels(PodKind.PLACEHOLDER, plan_id="p-1", for_uid="uid-1", pool="web")
    terms = dict(
        term.split("=")
        for term in selector(kind="placeholder", plan="p-1", for_="uid-1", pool="web").split(",")
    )
    assert terms == labels
    assert selector() == "app.kubernetes.io/managed-by=spotvortex"


def test_whatever_we_write_on_a_node_has_our_prefix():
    names = {*label_names.NODE_LABELS, *label_names.NODE_ANNOTATIONS}
    assert names == {"spotvortex.io/cordoned", "spotvortex.io/drain", "spotvortex.io/at-risk"} | {
        "spotvortex.io/kept"
    }
