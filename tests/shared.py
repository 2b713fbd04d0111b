"""A control plane that the whole run shares ends once the next file of tests asks for none.

Comes in: the order of the tests, and which fixtures each names. Goes out: the end of a shared
fixture, and with it of what was made on it; who asks again later gets a new one. Five idle servers
take 2 % of a core, for each worker and as long as a run lasts. May not end anything within a file.
"""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.controlplane.needs import ASKED_BY, STARTED

_NAMED = pytest.StashKey[dict[Path, set[str]]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note which fixtures each file names."""
    named = session.stash.setdefault(_NAMED, {})
    for item in session.items:
        named.setdefault(item.path, set()).update(getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """End what the next file asks for no more, after its own tests have ended."""
    result = yield
    if nextitem is not None and nextitem.path != item.path:
        named = item.session.stash[_NAMED].get(nextitem.path, set())
        started = item.session.stash.setdefault(STARTED, {})
        for name in [n for n in started if ASKED_BY[n].isdisjoint(named)]:
            request = started.pop(name)
            request._fixturedef.finish(request)
    return result
