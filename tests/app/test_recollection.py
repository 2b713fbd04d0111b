"""A blank memory takes what the first place has that knows anything; another takes nothing."""

from spotvortex.app.recollection import FirstStart
from spotvortex.core.scoring.interruption_memory import EMPTY_MEMORY, OfferingMemory, memory_of
from tests.core.builders import AT, WEB_A

HURT = memory_of({WEB_A: OfferingMemory(losses=1.0, updated_at=AT)}, {})


class Somewhere:
    """A place that gives what a test tells it to, once."""

    def __init__(self, found=None, *, settled=False):
        self.found, self.is_settled, self.n_asked = found, settled, 0

    def recall(self, memory):  # noqa: ARG002 - as the port
        self.n_asked += 1
        found, self.found = self.found, None
        return found


def test_without_a_place_it_is_settled():
    assert FirstStart([]).is_settled
    assert FirstStart([]).recall(EMPTY_MEMORY) is None


def test_what_comes_late_is_given_once():
    place = Somewhere()
    first = FirstStart([place])
    assert first.recall(EMPTY_MEMORY) is None
    assert not first.is_settled
    place.found = HURT
    assert first.recall(HURT) is HURT
    assert first.is_settled
    place.found = HURT
    assert first.recall(HURT) is None


def test_the_next_place_is_asked_only_when_the_first_has_nothing():
    one, two = Somewhere(), Somewhere(HURT)
    first = FirstStart([one, two])
    assert first.recall(EMPTY_MEMORY) is None
    assert two.n_asked == 0
    one.found = EMPTY_MEMORY
    assert first.recall(EMPTY_MEMORY) is HURT


def test_a_place_that_gave_up_is_passed_over():
    first = FirstStart([Somewhere(settled=True), Somewhere(settled=True)])
    assert first.recall(EMPTY_MEMORY) is None
    assert first.is_settled


def test_a_memory_that_was_loaded_is_never_added_to():
    place = Somewhere(HURT)
    first = FirstStart([place])
    assert first.recall(HURT) is None
    assert first.is_settled
    assert place.n_asked == 0
