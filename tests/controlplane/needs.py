"""Which tests need a real control plane.

Comes in: a collected test. Goes out: whether its marks or its fixtures ask for servers. May not
import what starts them: pytest asks before any test is run, and where none needs them.
"""

import pytest

AWS_MARK = "karpenter_aws"
MARKS = ("controlplane", "karpenter", AWS_MARK)
FIXTURES = frozenset({"control_plane", "karpenter_control_plane", "fresh_control_plane"})


def on_control_plane(item: pytest.Item) -> bool:
    """Say whether a test needs a real control plane, by its marks or by its fixtures."""
    marked = any(item.get_closest_marker(name) for name in MARKS)
    return marked or not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def on_aws_provider(item: pytest.Item) -> bool:
    """Say whether a test needs Karpenter with its AWS provider."""
    return item.get_closest_marker(AWS_MARK) is not None
