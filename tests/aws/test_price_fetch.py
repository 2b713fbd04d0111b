"""`prices fetch` writes what AWS says into a file that the daemon reads, whole or not at all."""

import gzip
import time
from contextlib import asynccontextmanager

import pytest
from typer.testing import CliRunner

from spotvortex.app.price_fetch import Wanted, fetch
from spotvortex.cli.main import cli
from spotvortex.core.domain.types import Offering
from spotvortex.errors import PriceFileError, PriceSourceError, SettingsError
from spotvortex.market.price_file import read_price_file
from spotvortex.market.recorded import load_recorded
from spotvortex.settings.model import Settings
from tests.app.test_check import KUBECONFIG, cluster
from tests.aws.memory_ec2 import MemoryEc2, beside, product
from tests.aws.memory_ec2 import serving as serving_ec2
from tests.kube.fake_api import serving

LINUX = "Linux/UNIX"
DAY_S = 86_400.0
M6I = Offering(instance_type="m6i.large", zone="us-east-1a")


def prices(now):
    server = MemoryEc2(
        ("m6i.large", "us-east-1a", LINUX, "0.0310", now - 2 * DAY_S),
        ("m6i.large", "us-east-1a", LINUX, "0.0320", now - DAY_S),
        ("m6i.large", "us-east-1b", LINUX, "0.0400", now - DAY_S),
        ("c6i.large", "us-east-1a", LINUX, "0.0250", now - DAY_S),
    )
    for name, usd in (("m6i.large", "0.096"), ("c6i.large", "0.085")):
        server.list_prices[name] = [product(usd, instance_type=name)]
    return server


@pytest.fixture
def now():
    return float(int(time.time()))


@asynccontextmanager
async def aws(server, monkeypatch):
    async with serving_ec2(server):
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", server.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", server.url)
        yield server


async def fetched(server, monkeypatch, path, **changes):
    values = {"path": path, "region": "us-east-1", "types": ("m6i.large", "c6i.large")}
    async with aws(server, monkeypatch):
        return await fetch(Settings(), Wanted(**(values | changes)))


@pytest.mark.parametrize("name", ["prices.jsonl", "prices.jsonl.gz"])
async def test_both_halves_are_written_and_read_by_the_daemon(name, now, tmp_path, monkeypatch):
    path = tmp_path / name
    found = await fetched(prices(now), monkeypatch, path)
    assert (found.n_types, found.n_changes, found.n_on_demand, found.missing) == (2, 4, 2, ())
    quote = load_recorded(path).facts([M6I], now).quotes[M6I]
    assert (quote.spot_usd_per_hour, quote.on_demand_usd_per_hour) == (0.032, 0.096)
    assert read_price_file(path).spot[M6I].times.tolist() == [now - 2 * DAY_S, now - DAY_S]
    assert [p.name for p in tmp_path.iterdir()] == [name]


async def test_the_same_prices_make_the_same_file(now, tmp_path, monkeypatch):
    made = []
    for i, rows in enumerate((1, -1)):
        server = prices(now)
        server.rows = server.rows[::rows]
        await fetched(server, monkeypatch, tmp_path / f"{i}.jsonl.gz")
        made.append((tmp_path / f"{i}.jsonl.gz").read_bytes())
    assert gzip.decompress(made[0]) == gzip.decompress(made[1])


async def test_what_is_not_sold_or_has_no_spot_price_is_named(now, tmp_path, monkeypatch):
    server = prices(now)
    del server.list_prices["c6i.large"]
    types = ("c6i.large", "m6i.large", "z9.large")
    found = await fetched(server, monkeypatch, tmp_path / "p.jsonl", types=types)
    assert found.missing == ("c6i.large", "z9.large")


@pytest.mark.parametrize("fault", [(403, "UnauthorizedOperation"), (400, "AccessDenied")])
async def test_a_file_that_is_there_stays_where_aws_refuses(fault, now, tmp_path, monkeypatch):
    path = tmp_path / "prices.jsonl"
    path.write_text("before")
    server = prices(now)
    server.fault = fault
    with pytest.raises(PriceSourceError, match="DescribeSpotPriceHistory"):
        await fetched(server, monkeypatch, path)
    assert path.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


async def test_nothing_is_written_where_there_is_nothing(tmp_path, monkeypatch):
    with pytest.raises(PriceFileError, match="no price to write"):
        await fetched(MemoryEc2(), monkeypatch, tmp_path / "prices.jsonl")
    assert not list(tmp_path.iterdir())


async def test_a_folder_that_is_not_there_is_named(now, tmp_path, monkeypatch):
    with pytest.raises(PriceFileError, match="name a file in a folder"):
        await fetched(prices(now), monkeypatch, tmp_path / "none" / "prices.jsonl")


async def test_without_types_and_region_the_nodes_of_the_cluster_say_them(
    now, tmp_path, monkeypatch
):
    path, server = tmp_path / "prices.jsonl", prices(now)
    async with serving(cluster()) as client:
        config = tmp_path / "config"
        config.write_text(KUBECONFIG.replace("SERVER", client.server))
        monkeypatch.setenv("KUBECONFIG", str(config))
        found = await fetched(server, monkeypatch, path, region="", types=())
        assert (found.region, found.n_types) == ("us-east-1", 1)
        with pytest.raises(SettingsError, match="no node of eu-west-1"):
            await fetched(server, monkeypatch, path, region="eu-west-1", types=())
    assert {o.instance_type for o in read_price_file(path).spot} == {"m6i.large"}


def test_the_command_says_what_the_file_holds(now, tmp_path, monkeypatch):
    path = tmp_path / "prices.jsonl"
    with beside(prices(now)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", server.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", server.url)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        words = ["prices", "fetch", "-o", str(path), "--type", "m6i.large", "--type", "z9.large"]
        done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert done.output == (
        f"{path}: 3 Spot prices and 1 on-demand prices of 2 types in us-east-1; "
        "not whole of z9.large\n"
    )
