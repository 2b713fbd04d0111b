"""What the observer lets go to Spot, and from Spot to other Spot."""

import pytest

from spotvortex.core.domain.types import Offering
from spotvortex.faultsearch.losses import Exposure

A, B, C = (
    Offering(instance_type="m6i.large", zone=f"us-east-1{letter}") for letter in ("a", "b", "c")
)


def exposure(*on_spot, have=4, after=2):
    return Exposure(have=have, after_offering=after, after_zone=1, on_spot=on_spot)


@pytest.mark.parametrize(("on_spot", "n"), [((), 2), ((A,), 1), ((A, A), 0), ((A, B), 1)])
def test_what_comes_to_spot_may_be_lost_with_the_most_that_is_there(on_spot, n):
    assert exposure(*on_spot).spares() == n


@pytest.mark.parametrize(
    ("on_spot", "left", "n"),
    [
        ((A, A), A, 2),
        ((A, A, A, A), A, 4),
        ((A, A, A, B), A, 2),
        ((A, A, B, B), A, 0),
        ((A, B, C), A, 1),
    ],
)
def test_what_is_on_spot_may_go_where_no_loss_takes_more_than_the_worst_did(on_spot, left, n):
    assert exposure(*on_spot).spares_from(left) == n


def test_what_nobody_can_spare_stays():
    assert exposure(A, have=1, after=4).spares() == 0
    assert exposure(A, B, have=2, after=2).spares_from(A) == 0
