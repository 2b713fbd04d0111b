"""What an owner's word asks for, and which of several words counts."""

import pytest

from spotvortex.core.domain.workloads import (
    NOTHING,
    SURVIVAL_DEFAULT,
    Need,
    is_word,
    need_of,
    pods_of,
    strictest,
)
from tests.core.builders import work


@pytest.mark.parametrize(
    ("words", "n_replicas", "counts"),
    [
        ((), 9, ""),
        (("1", "2"), 9, "2"),
        (("50%", "3"), 4, "3"),
        (("50%", "3"), 10, "50%"),
        (("99", "half", "2"), 9, "half"),
        (("half", "most"), 9, "most"),
        (("0", "half"), 0, "half"),
        (("2", "20%"), 10, "20%"),
    ],
)
def test_the_word_that_asks_for_most_counts_and_one_that_cannot_be_read_before_all(
    words, n_replicas, counts
):
    assert strictest(words, n_replicas) == counts
    assert strictest(words[::-1], n_replicas) == counts


@pytest.mark.parametrize(
    ("word", "n_replicas", "n_pods"),
    [("3", 9, 3), (" 3 ", 9, 3), ("0%", 9, 0), ("1%", 9, 1), ("100%", 9, 9), ("50%", 9, 5)],
)
def test_a_word_is_a_number_of_pods_or_a_share_rounded_up(word, n_replicas, n_pods):
    assert is_word(word)
    assert pods_of(word, n_replicas) == n_pods


@pytest.mark.parametrize(
    ("said", "floor", "need"),
    [
        ("", "", NOTHING),
        ("", "1", Need(after_offering=0, after_zone=0, on_demand=1)),
        ("1", "1", Need(after_offering=1, after_zone=1, on_demand=1)),
        ("1", "none", Need(after_offering=1, after_zone=1)),
    ],
)
def test_of_a_single_replica_only_its_owners_words_ask_for_anything(said, floor, need):
    assert need_of(work(n_replicas=1, said=said, floor=floor), SURVIVAL_DEFAULT) == need
