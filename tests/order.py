"""The order of the files of tests: what takes minutes begins first.

Comes in: the collected tests. Goes out: the same, by file, those with a scene, a search or a
simulated day before all others, and of the scenes those with a control plane of their own before
those that share one. Workers take whole files in this order, so no long file is left for the end,
when the other workers have nothing more to do. May not leave any test out.
"""

import pytest

from tests.controlplane.needs import ASKED_BY

LONG = ("karpenter_aws", "karpenter", "controlplane", "search", "wheel", "trial", "program")
"""Marks of what takes long, the longest first."""
SHARING = frozenset().union(*ASKED_BY.values())
"""Fixtures by which a test asks for a control plane that others use too."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort stably by the longest kind of test that a file has, those that share a plane last."""
    ranks: dict[object, int] = {}
    shares: set[object] = set()
    for item in items:
        ranks[item.path] = min(ranks.get(item.path, len(LONG)), _rank(item))
        if not SHARING.isdisjoint(getattr(item, "fixturenames", ())):
            shares.add(item.path)
    items.sort(key=lambda item: (ranks[item.path], item.path in shares))


def _rank(item: pytest.Item) -> int:
    names = {mark.name for mark in item.iter_markers()}
    return next((i for i, mark in enumerate(LONG) if mark in names), len(LONG))
