"""A real Prometheus scrapes a real daemon, evaluates the rules, and answers every dashboard."""

import json
import urllib.parse
import urllib.request

import pytest
import yaml

from scripts.dashboards import DASHBOARDS
from tests.controlplane.api import wait_until
from tests.deploy.monitoring.test_dashboards import queries
from tests.deploy.monitoring.test_rules import groups
from tests.e2e.equipment.daemon import Daemon
from tests.prometheus import PrometheusServer

pytestmark = pytest.mark.program

# What needs an hour of a cluster's life, a queue, or a second policy has no answer yet.
LATER = (
    "losses_learned",
    "launches_learned",
    "launch_failures",
    "drains",
    "calls",
    "stall",
    "prediction_",
)


class Prometheus(PrometheusServer):
    """A server that scrapes one daemon every second."""

    def __init__(self, folder, target):
        (folder / "rules.yaml").write_text(yaml.safe_dump(groups()))
        scrape = {
            "job_name": "spotvortex",
            "scrape_interval": "1s",
            "static_configs": [{"targets": [target]}],
        }
        config = {
            "global": {"evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [scrape],
        }
        super().__init__(folder, config)

    def ask(self, query):
        """Return the answer to a query as its samples, none while the server is not up."""
        address = f"{self.url}/api/v1/query?query={urllib.parse.quote(query)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            return []


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prometheus")
    with Daemon(folder, {"SPOTVORTEX_TICK_S": "30"}, "--simulated") as daemon:
        daemon.wait_ready()
        with Prometheus(folder, f"127.0.0.1:{daemon.port}") as prometheus:
            wait_until(lambda: prometheus.ask("increase(spotvortex_cycles_total[10m])"), 60)
            yield prometheus


def test_the_daemon_is_scraped_whole(watched):
    assert watched.ask('up{job="spotvortex"}')[0]["value"][1] == "1"
    assert float(watched.ask("scrape_samples_scraped")[0]["value"][1]) > 100
    assert {s["metric"]["pool"] for s in watched.ask("spotvortex_spot_ratio_current")} >= {"web"}


def test_the_rules_are_evaluated(watched):
    wait_until(lambda: watched.ask("spotvortex:saved_usd_per_hour:sum"), 30)
    saved = float(watched.ask("spotvortex:saved_usd_per_hour:sum")[0]["value"][1])
    whole = float(watched.ask("sum(spotvortex_all_on_demand_usd_per_hour)")[0]["value"][1])
    assert 0.0 < saved < whole
    ratio = float(watched.ask("spotvortex:spot_ratio:of_all_nodes")[0]["value"][1])
    assert 0.3 < ratio < 1.0
    with urllib.request.urlopen(f"{watched.url}/api/v1/rules", timeout=10) as answer:
        found = json.load(answer)["data"]["groups"]
    assert {rule["health"] for group in found for rule in group["rules"]} == {"ok"}


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_every_panel_has_an_answer(watched, name):
    for query in queries(name):
        if not any(word in query for word in LATER):
            asked = query.replace("$pool", ".*")
            wait_until(lambda asked=asked: watched.ask(asked), 60)
