"""The order of the files of tests: what takes minutes begins first.

Comes in: the collected tests. Goes out: the same, by file, those with a scene, a search or a
simulated day before all others. Workers take whole files in this order, so no long file is left for
the end, when the other workers have nothing more to do. May not leave any test out.
"""

import pytest

LONG = ("karpenter_aws", "karpenter", "controlplane", "search", "wheel", "trial", "program")
"""Marks of what takes long, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort stably by the longest kind of test that a file has."""
    ranks: dict[object, int] = {}
    for item in items:
        ranks[item.path] = min(ranks.get(item.path, len(LONG)), _rank(item))
    items.sort(key=lambda item: ranks[item.path])


def _rank(item: pytest.Item) -> int:
    return next((i for i, mark in enumerate(LONG) if item.get_closest_marker(mark)), len(LONG))
