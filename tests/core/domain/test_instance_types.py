"""What an instance type's name tells, and which families a model knows."""

import pytest

from spotvortex.core.domain.cloud.instance_types import Scope, family_of, generation_of, vcpus_of


@pytest.mark.parametrize(
    ("name", "family", "generation", "vcpus"),
    [
        ("m6i.large", "m6i", 6, 2.0),
        ("m6i.xlarge", "m6i", 6, 4.0),
        ("c6a.24xlarge", "c6a", 6, 96.0),
        ("t3.nano", "t3", 3, 0.125),
        ("t3.medium", "t3", 3, 1.0),
        ("m7i-flex.2xlarge", "m7i-flex", 7, 8.0),
        ("c7g.metal", "c7g", 7, 0.0),
        ("u-6tb1.metal", "u-6tb1", 6, 0.0),
        ("odd", "", 0, 0.0),
        ("odd.2xlarge", "odd", 0, 8.0),
        ("", "", 0, 0.0),
    ],
)
def test_a_name_tells_family_generation_and_size(name, family, generation, vcpus):
    assert (family_of(name), generation_of(name), vcpus_of(name)) == (family, generation, vcpus)


@pytest.mark.parametrize(
    ("entry", "name", "covered"),
    [
        ("c6i", "c6i.large", True),
        ("c6i", "c6id.large", False),
        ("c6i.*", "c6i.large", True),
        ("c6i.*", "c6id.large", False),
        ("c6*", "c6id.large", True),
        ("c6*", "c5.large", False),
        ("c6i.large", "c6i.large", True),
        ("c6i.large", "c6i.xlarge", False),
        ("*", "c6i.large", True),
        ("*", "unreadable", False),
        ("", "c6i.large", False),
    ],
)
def test_a_scope_covers_families_patterns_and_types(entry, name, covered):
    assert Scope((entry,)).covers(name) is covered


def test_an_empty_scope_covers_nothing():
    assert not Scope(()).covers("c6i.large")
