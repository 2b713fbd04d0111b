"""As shipped, shadow takes prices and evidence from Karpenter's metrics, and needs no AWS."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.controlplane.api import MERGE_PATCH, wait_until
from tests.controlplane.manifests import NodeShape, node_manifest
from tests.deploy.elsewhere import Elsewhere
from tests.deploy.manifests import SHADOW
from tests.e2e.equipment.daemon import Daemon
from tests.e2e.test_kept_memory import kept
from tests.kube.scenes import fresh
from tests.market.karpenter.fake_prometheus import two_weeks
from tests.market.karpenter.metrics_text import Karpenter, offering
from tests.paths import ROOT
from tests.prometheus import PrometheusServer

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on PATH"),
]
HERE = ("c5.4xlarge", "us-east-1a")
LOST = 'spotvortex_losses_learned_total{evidence="gauge"}'
TAINT = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}
FREED = {"metadata": {"finalizers": None}}


class Metrics:
    """Karpenter's endpoint on loopback, of which every second process does not lead."""

    def __init__(self):
        self.karpenter = Karpenter(
            available={(*HERE, "spot"): 1, (*HERE, "on-demand"): 1},
            prices={(*HERE, "spot"): 0.25, (*HERE, "on-demand"): 0.68},
        )
        self.n_asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.n_asked += 1
                leads = outer.n_asked % 2 == 0
                self.send_response(200)
                self.end_headers()
                self.wfile.write((outer.karpenter if leads else Karpenter()).text())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def place(control_plane, tmp_path):
    home = fresh("metered")
    found = Elsewhere(control_plane, SHADOW, home, tmp_path)
    names = [f"{home}-{n}" for n in "ab"]
    for name in names:
        made = node_manifest(name, NodeShape(pool=home, instance_type=HERE[0], zone=HERE[1]))
        made["metadata"]["finalizers"] = ["karpenter.sh/termination"]
        found.admin.create(made)
    yield found
    for name in names:
        found.admin.request("PATCH", f"/api/v1/nodes/{name}", FREED, content_type=MERGE_PATCH)
        found.admin.request("DELETE", f"/api/v1/nodes/{name}")
    found.clear()


def test_a_node_whose_event_is_lost_is_a_loss_by_the_metrics(place, tmp_path):
    with Metrics() as metrics:
        variables = {
            "KUBECONFIG": str(place.kubeconfig(tmp_path)),
            "SPOTVORTEX_NAMESPACE": place.namespace,
            "SPOTVORTEX_KARPENTER_METRICS_URL": f"{metrics.url}/metrics",
        }
        with Daemon(tmp_path, variables) as daemon:
            daemon.wait_ready()
            labels = 'instance_type="c5.4xlarge",zone="us-east-1a"'
            wait_until(lambda: f"spot_price_usd{{{labels}}} 0.25" in daemon.get("/metrics")[1], 60)
            path = f"/api/v1/nodes/{place.namespace}-a"
            place.admin.delete(path)
            place.admin.patch(path, {"spec": {"taints": [TAINT]}})
            place.admin.patch(path, FREED)
            metrics.karpenter.available[(*HERE, "spot")] = 0
            metrics.karpenter.interrupted[("spot", "spot_interrupted")] = 1
            wait_until(lambda: LOST in daemon.get("/metrics")[1], 90)
            assert daemon.metric(LOST) == 1
            assert 'input_ok{input="prices"} 1' in daemon.get("/metrics")[1]
            assert daemon.stop() == 0


def assessed(variables):
    """Run `assess` as a person would, and return its report."""
    kept_out = ("SPOTVORTEX_", "OTEL_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(kept_out)} | variables
    command = [sys.executable, "-m", "spotvortex", "assess", "--output", "json"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(done.stdout)


def of_pool(report, name):
    """What the decision on the pool was made from."""
    (found,) = [d["basis"]["pool"] for d in report["decisions"] if d["pool"] == name]
    return dict(found["confidence_terms"]), found["spot_money"], found["spot_risk"]["capacity"]


@pytest.fixture
def weeks(tmp_path):
    """A real Prometheus that has kept Karpenter's metrics for two weeks."""
    end = int(time.time())
    end -= end % 300
    a, b, c = (offering(f"c5.{size}", HERE[1]) for size in ("4xlarge", "2xlarge", "large"))
    folder = tmp_path / "prometheus"
    folder.mkdir()
    past = two_weeks(end, a, b, c).lines(end)
    with PrometheusServer(folder, {}, past=past) as found:
        yield found.url


def test_on_the_first_day_the_weeks_before_are_known_to_the_daemon_and_to_assess(
    place, weeks, tmp_path
):
    blank = {
        "KUBECONFIG": str(place.kubeconfig(tmp_path)),
        "SPOTVORTEX_NAMESPACE": place.namespace,
    }
    variables = blank | {"SPOTVORTEX_PROMETHEUS_URL": weeks}
    with Daemon(tmp_path, variables) as daemon:
        daemon.wait_ready()
        wait_until(lambda: "memory.recalled n_offerings=2" in daemon.log_path.read_text(), 60)
        wait_until(lambda: 'input_ok{input="prices"} 1' in daemon.get("/metrics")[1], 60)
        assert daemon.stop() == 0
    cold, warm = (of_pool(assessed(v), place.namespace) for v in (blank, variables))
    assert (cold[0]["prices"], cold[0]["history"]) == (0.0, 0.5)
    assert (warm[0]["prices"], warm[0]["history"]) == (1.0, 1.0)
    assert warm[1]["spot_usd_per_hour"] == 0.04
    assert warm[2] != cold[2]
    found = kept(place)["c5.4xlarge/us-east-1a"]
    assert found.losses == pytest.approx(2.718281828 ** (-50 / 72), rel=0.05)
    assert found.exposure_hours > 72.0
    assert kept(place)["c5.2xlarge/us-east-1a"].refusals > 0.8
