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
    search_from(broken.begins, broken)


@pytest.mark.large
@pytest.mark.parametrize(
    "broken", [v for v in VARIANTS if v.begins > 1], ids=lambda v: v.name, indirect=True
)
def test_it_is_found_from_the_first_episode_on(broken):
    search_from(1, broken)


def search_from(first, broken):
    for episode in range(first, broken.within + 1):
        found = {breach.promise for breach in play_seed(episode).breaches}
        if found & broken.promises:
            print(f"{broken.name}: found by episode {episode}, {broken.within} allowed")
            return
    pytest.fail(f"{broken.name}: {broken.within} episodes broke none of {set(broken.promises)}")


def test_every_promise_has_a_variant_that_breaks_it():
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS) == 31
    assert set().union(*(variant.promises for variant in VARIANTS)) == set(range(1, 15))
