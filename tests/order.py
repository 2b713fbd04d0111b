"""The order of the files of tests: what takes minutes first, what waits beside what computes.

Comes in: the collected tests. Goes out: the same, by file. Scenes on servers come before all
others, those with a control plane of their own before those that share one. They mostly wait, so
after every few of the former comes a search or a simulated day, which computes. Workers take whole
files in this order, so no long file is left for the end, when the other workers have nothing more
to do. May not leave any test out.
"""

from collections.abc import Iterator
from itertools import chain

import pytest

from tests.controlplane.needs import ASKED_BY

WAITS = ("karpenter_aws", "karpenter", "controlplane", "wheel", "program")
"""Marks of what mostly waits for other programs, the longest first."""
COMPUTES = ("search", "trial")
"""Marks of what computes for long, the longest first."""
BESIDE = 2
"""Files that wait for each one that computes."""
SHARING = frozenset().union(*ASKED_BY.values())
"""Fixtures by which a test asks for a control plane that others use too."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by file and the longest kind of test that it has."""
    files: dict[object, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    waiting = sorted(
        (f for f in files.values() if _rank(f, WAITS) < len(WAITS)), key=lambda f: _rank(f, WAITS)
    )
    others = [f for f in files.values() if _rank(f, WAITS) == len(WAITS)]
    others.sort(key=lambda f: _rank(f, COMPUTES))
    computing = [f for f in others if _rank(f, COMPUTES) < len(COMPUTES)]
    own = [f for f in waiting if not _shares(f)]
    shared = [f for f in waiting if _shares(f)]
    ordered = (*_mixed(own, computing), *shared, *others[len(computing) :])
    items[:] = chain.from_iterable(ordered)


def _mixed(
    waiting: list[list[pytest.Item]], computing: list[list[pytest.Item]]
) -> Iterator[list[pytest.Item]]:
    """Put one that computes after every few that wait, and what is left at the end."""
    left = iter(computing)
    for number, found in enumerate(waiting, 1):
        yield found
        if number % BESIDE == 0 and (one := next(left, None)):
            yield one
    yield from left


def _rank(found: list[pytest.Item], marks: tuple[str, ...]) -> int:
    names = {mark.name for item in found for mark in item.iter_markers()}
    return next((i for i, mark in enumerate(marks) if mark in names), len(marks))


def _shares(found: list[pytest.Item]) -> bool:
    return any(not SHARING.isdisjoint(getattr(item, "fixturenames", ())) for item in found)
