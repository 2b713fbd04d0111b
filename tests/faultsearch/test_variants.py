"""Every deliberately broken controller is found, by a promise of its own, within so many episodes.

The numbers of a run are printed: `pytest -s tests/faultsearch/test_variants.py`.
"""

import pytest

from spotvortex.faultsearch.search import play_seed
from tests.faultsearch.variants import VARIANTS, broken

__all__ = ["broken"]
pytestmark = [pytest.mark.search, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("broken", VARIANTS, ids=lambda v: v.name, indirect=True)
def test_a_broken_controller_is_found(broken):
    for n_episodes in range(1, broken.within + 1):
        found = {breach.promise for breach in play_seed(n_episodes).breaches}
        if found & broken.promises:
            print(f"{broken.name}: found by episode {n_episodes}, {broken.within} allowed")
            return
    pytest.fail(f"{broken.name}: {broken.within} episodes broke none of {set(broken.promises)}")


def test_every_promise_has_a_variant_that_breaks_it():
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS) == 24
    assert set().union(*(variant.promises for variant in VARIANTS)) == set(range(1, 14))
