"""Which tests need a real control plane.

Comes in: a collected test. Goes out: whether its marks or its fixtures ask for servers, and which
servers are shared. May not import what starts them: pytest asks before any test is run, and where
none needs them.
"""

import pytest

AWS_MARK = "karpenter_aws"
MARKS = ("controlplane", "karpenter", AWS_MARK)
FIXTURES = frozenset({"control_plane", "karpenter_control_plane", "fresh_control_plane"})

ASKED_BY = {
    "control_plane": frozenset({"control_plane", "stage", "place"}),
    "karpenter_control_plane": frozenset({"karpenter_control_plane", "karpenter_stage"}),
}
"""The control planes that tests share, each with the fixtures by which a test asks for it."""
STARTED = pytest.StashKey[dict[str, pytest.FixtureRequest]]()


def remember(request: pytest.FixtureRequest) -> None:
    """Note that a shared control plane was asked for; tests/shared.py ends it."""
    request.session.stash.setdefault(STARTED, {})[request.fixturename] = request


def on_control_plane(item: pytest.Item) -> bool:
    """Say whether a test needs a real control plane, by its marks or by its fixtures."""
    marked = any(item.get_closest_marker(name) for name in MARKS)
    return marked or not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def on_aws_provider(item: pytest.Item) -> bool:
    """Say whether a test needs Karpenter with its AWS provider."""
    return item.get_closest_marker(AWS_MARK) is not None
