"""What nodes use comes out of a Prometheus, under whichever label it names them."""

from random import Random

from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.usage import Amount, UsageSource
from spotvortex.market.karpenter import http
from spotvortex.market.karpenter.prometheus import Prometheus, Series
from spotvortex.market.karpenter.usage import CPU, OLD_S, PrometheusUsage, joined
from tests.market.karpenter.metrics_text import Endpoint, serving
from tests.market.karpenter.test_history import matrix

AT = 1_784_000_000.0
NAMES = frozenset({"ip-10-0-1-2.ec2.internal", "n2"})


class Clock:
    at = AT

    def now(self):
        return self.at


def series(value, **labels):
    return Series(labels=labels, values=[(AT - 60.0, 0.1), (AT, value)])


def test_each_label_that_names_a_node_is_tried_and_a_port_is_no_part_of_a_name():
    cpu = [series(1.25, instance="ip-10-0-1-2.ec2.internal:10250"), series(0.5, node="n2")]
    memory = [
        series(1e9, kubernetes_io_hostname="ip-10-0-1-2.ec2.internal", instance="10.0.1.2:10250"),
        series(2e9, node="n2", instance="10.0.1.3:10250"),
    ]
    assert joined(cpu, memory, NAMES) == {
        "ip-10-0-1-2.ec2.internal": Amount(1250, 10**9),
        "n2": Amount(500, 2 * 10**9),
    }


def test_a_series_of_no_node_or_of_one_kind_alone_is_left_out_and_twins_are_not_added():
    cpu = [series(9.0, instance="10.0.1.2:10250"), series(0.5, node="n2"), series(0.6, node="n2")]
    memory = [series(2e9, node="n2"), series(1e9, node="ip-10-0-1-2.ec2.internal")]
    assert joined(cpu, memory, NAMES) == {"n2": Amount(600, 2 * 10**9)}


async def looked(answer, clock):
    endpoint = Endpoint([answer])
    async with serving(endpoint) as url, http.session(5.0) as client:
        subject = PrometheusUsage(url, lambda: NAMES, clock, Random(1))
        await subject.look(Prometheus(url, client, Random(1)))
    return subject


async def test_what_a_prometheus_answers_counts_until_it_is_old():
    def answer(request):
        value = "0.25" if request.query["query"] == CPU else "1000000"
        return matrix([[AT, value]], node="n2")

    clock = Clock()
    subject = await looked(answer, clock)
    found = subject.facts(AT + 30.0)
    assert (found.source, found.nodes) == (UsageSource.PROMETHEUS, {"n2": Amount(250, 10**6)})
    assert found.inputs[0].state is InputState.OK
    assert subject.facts(AT + OLD_S + 1.0).source is UsageSource.REQUESTS


async def test_a_prometheus_that_knows_no_node_of_the_cluster_says_so():
    found = (await looked(lambda _: matrix([[AT, "1"]], node="else"), Clock())).facts(AT)
    assert found.source is UsageSource.REQUESTS
    assert "names a node of this cluster" in found.inputs[0].detail


async def test_a_prometheus_that_refuses_is_named():
    found = (await looked((400, b"no"), Clock())).facts(AT)
    assert found.inputs[0].state is InputState.STALE
    assert "answered 400" in found.inputs[0].detail
