"""A pool's utilisation is what is measured where enough is, and requests everywhere else."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.usage import NO_USAGE, Amount, UsageFacts, UsageSource
from spotvortex.core.pool.usage import UNMEASURED, usage_of
from tests.core.builders import GIB, node, pool_input

FULL = Amount(2000, 4 * GIB)


def nodes(n=4, **changes):
    room = {"allocatable_cpu_milli": 4000, "allocatable_memory_bytes": 16 * GIB}
    return tuple(node(f"n{i}", **(room | changes)) for i in range(n))


def measured(*names, amount=FULL):
    return UsageFacts(source=UsageSource.METRICS_API, nodes=dict.fromkeys(names, amount))


def test_what_is_used_is_a_share_of_what_the_measured_nodes_have():
    found = usage_of(nodes(), measured("n0", "n1", "n2"))
    assert (found.source, found.n_nodes) == (UsageSource.METRICS_API, 3)
    assert (found.cpu_ratio, found.memory_ratio) == (0.5, 0.25)


@pytest.mark.parametrize("facts", [NO_USAGE, measured("n0"), measured("gone", "other")])
def test_with_less_than_half_of_the_nodes_measured_requests_count(facts):
    assert usage_of(nodes(), facts) == UNMEASURED


def test_nodes_on_their_way_out_are_not_measured():
    leaving = replace(nodes(1)[0], name="late", cordoned=True)
    found = usage_of((*nodes(1), leaving), measured("n0", "late"))
    assert found.n_nodes == 1


def test_nodes_that_report_no_room_have_no_ratio():
    found = usage_of(nodes(2, allocatable_cpu_milli=0), measured("n0", "n1"))
    assert (found.cpu_ratio, found.memory_ratio) == (None, 0.25)


def test_what_counts_as_utilisation_is_the_measure_and_else_requests():
    data = pool_input(cpu_requested_ratio=0.8)
    assert data.cpu_utilisation_ratio == 0.8
    seen = usage_of(nodes(), measured("n0", "n1", "n2", "n3"))
    assert replace(data, usage=seen).cpu_utilisation_ratio == 0.5
