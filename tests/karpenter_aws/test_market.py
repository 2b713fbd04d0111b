"""Prices and failed launches, from the metrics of Karpenter's AWS provider, without any AWS right.

A daemon in shadow, as it ships, and Karpenter's address in `SPOTVORTEX_KARPENTER_METRICS_URL`.
"""

import pytest

from spotvortex.core.domain.types import Offering
from spotvortex.market.karpenter.exposition import MAX_SERIES, ScrapeParser
from spotvortex.market.karpenter.scrape import MAX_BYTES
from tests.controlplane.api import wait_until
from tests.karpenter_aws.fleet import ANY
from tests.karpenter_aws.scene import aws_scene, losses
from tests.witness.scene import Shape

pytestmark = [pytest.mark.karpenter_aws, pytest.mark.large, pytest.mark.timeout(600)]

SHAPE = Shape(n_nodes=3, n_stateful=0, grace_s=2, consolidate_after="Never", calm_s=3)
FAILURES = "spotvortex_launch_failures_learned_total"
CHUNK = 65_536


@pytest.fixture(scope="module")
def aws():
    with aws_scene(SHAPE) as made:
        yield made


@pytest.fixture(scope="module")
def daemon(aws, tmp_path_factory):
    with aws.watcher(tmp_path_factory.mktemp("market")) as started:
        started.wait_ready()
        yield started
        assert aws.karpenter.cloud.n_asked("daemon") == 0
        assert started.stop() == 0


def offering_of(node):
    labels = node["metadata"]["labels"]
    return labels["node.kubernetes.io/instance-type"], labels["topology.kubernetes.io/zone"]


def test_the_price_of_every_offering_is_read_from_the_real_gauges_within_bounds(aws):
    text, known = aws.karpenter.metrics().encode(), {}
    parser = ScrapeParser(known)
    for start in range(0, len(text), CHUNK):
        parser.feed(text[start : start + CHUNK])
    scrape, prices = parser.finish(), aws.karpenter.cloud.prices
    told = {(o.instance_type, o.zone): price for o, price in scrape.spot.items()}
    assert len(told) > 2000
    assert {pair: told[pair] for pair in told.keys() & prices.spot.keys()} == {
        pair: pytest.approx(prices.spot[pair]) for pair in told.keys() & prices.spot.keys()
    }
    assert not told.keys() - prices.spot.keys()
    wrong = {
        o: price
        for o, price in scrape.on_demand.items()
        if o.instance_type in prices.on_demand
        and price != pytest.approx(prices.on_demand[o.instance_type])
    }
    assert wrong == {}
    n_series = len(scrape.available) + len(scrape.spot) + len(scrape.on_demand)
    print(f"{len(text) / 1e6:.1f} MB, {text.count(b'_offering_')} series, {n_series} kept")
    assert len(text) < MAX_BYTES / 4
    assert n_series < MAX_SERIES / 2


def test_at_its_first_start_the_daemon_knows_what_its_offerings_cost(aws, daemon):
    prices = aws.karpenter.cloud.prices
    wait_until(lambda: 'input_ok{input="prices"} 1' in daemon.get("/metrics")[1], 60)
    for kind, zone in map(offering_of, aws.nodes()):
        series = f'spotvortex_spot_price_usd{{instance_type="{kind}",zone="{zone}"}}'
        assert daemon.metric(series) == pytest.approx(prices.spot[kind, zone])
        series = f'spotvortex_ondemand_price_usd{{instance_type="{kind}"}}'
        assert daemon.metric(series) == pytest.approx(prices.on_demand[kind])


def test_where_one_type_is_short_the_launch_goes_elsewhere_and_its_failure_is_learned(aws, daemon):
    cloud, before = aws.karpenter.cloud, aws.uids()
    kind, _ = offering_of(aws.nodes()[0])
    cloud.short.add((kind, ANY, "spot"))
    aws.scene.scale("app-0", 6)
    wait_until(aws.scene.all_running, 90)
    new = [node for node in aws.nodes() if node["metadata"]["uid"] not in before]
    assert new
    assert kind not in {offering_of(node)[0] for node in new}
    n_refused = sum(n for _, _, n in cloud.fleets)
    assert n_refused
    wait_until(lambda: daemon.metric(FAILURES) >= 1, 150)
    text = aws.karpenter.metrics().encode()
    parser = ScrapeParser({})
    parser.feed(text)
    available = parser.finish().available
    fell = {z for (t, z) in cloud.prices.spot if t == kind and not available.get(_offering(t, z))}
    assert fell
    assert daemon.metric(FAILURES) <= len(fell)
    assert losses(daemon) == {}


def test_where_all_of_spot_is_short_karpenter_falls_back_and_no_loss_is_learned(aws, daemon):
    aws.karpenter.cloud.short.add((ANY, ANY, "spot"))
    aws.scene.scale("app-1", 7)
    wait_until(aws.scene.all_running, 120)
    assert aws.nodes("on-demand")
    known = daemon.metric(FAILURES)
    wait_until(lambda: daemon.metric(FAILURES) > known, 150)
    assert losses(daemon) == {}


def _offering(kind, zone):
    return Offering(instance_type=kind, zone=zone)
