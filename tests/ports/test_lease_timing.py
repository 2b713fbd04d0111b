"""The times of the lease: they fit each other, or are not made."""

import pytest

from spotvortex.ports.lease_timing import LeaseTiming


def test_a_write_that_is_sent_right_before_a_renewal_has_its_whole_time():
    usual = LeaseTiming()
    assert usual.answer_s(usual.lease_s - usual.renew_s - usual.margin_s) == usual.write_answer_s


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"write_answer_s": 8.1}, "outlive the lease"),
        ({"lease_s": 10.0}, "outlive the lease"),
        ({"renew_s": 6.0}, "outlive the lease"),
        ({"margin_s": 2.5}, "outlive the lease"),
        ({"margin_s": 0.0}, "carry on"),
        ({"shortest_answer_s": 0.0}, "no time"),
        ({"shortest_answer_s": 9.0}, "no time"),
        ({"longest_s": 14.0}, "believe"),
    ],
)
def test_times_that_do_not_fit_are_not_made(wrong, why):
    with pytest.raises(AssertionError, match=why):
        LeaseTiming(**wrong)


@pytest.mark.parametrize("lease_s", [0.3, 1.5, 8.0, 15.0, 60.0])
def test_a_lease_of_another_length_has_the_same_proportions(lease_s):
    scaled, usual = LeaseTiming.scaled_to(lease_s), LeaseTiming()
    assert scaled.lease_s == lease_s
    for name in ("renew_s", "margin_s", "write_answer_s", "shortest_answer_s", "poll_s"):
        share = getattr(scaled, name) / lease_s
        assert share == pytest.approx(getattr(usual, name) / usual.lease_s)


@pytest.mark.parametrize(
    ("left_s", "answer_s"),
    [(100.0, 8.0), (8.0, 8.0), (7.9, 7.9), (0.5, 0.5), (0.49, None), (float("-inf"), None)],
)
def test_a_write_takes_no_longer_than_is_left_and_is_not_sent_with_too_little(left_s, answer_s):
    assert LeaseTiming().answer_s(left_s) == answer_s
