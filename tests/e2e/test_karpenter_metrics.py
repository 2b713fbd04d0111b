"""As shipped, shadow takes prices and evidence from Karpenter's metrics, and needs no AWS."""

import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.controlplane.api import MERGE_PATCH, wait_until
from tests.controlplane.manifests import NodeShape, node_manifest
from tests.deploy.elsewhere import Elsewhere
from tests.deploy.manifests import SHADOW
from tests.e2e.equipment.daemon import Daemon
from tests.market.karpenter.metrics_text import Karpenter

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on PATH"),
]
HOME = "metered"
HERE = ("c5.4xlarge", "us-east-1a")
LOST = 'spotvortex_losses_learned_total{evidence="gauge"}'
TAINT = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}
FREED = {"metadata": {"finalizers": None}}


class Metrics:
    """Karpenter's endpoint on loopback, behind which every second process does not lead."""

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
        return f"http://127.0.0.1:{self.server.server_port}/metrics"


@pytest.fixture
def place(control_plane, tmp_path):
    found = Elsewhere(control_plane, SHADOW, HOME, tmp_path)
    names = [f"{HOME}-{n}" for n in "ab"]
    for name in names:
        made = node_manifest(name, NodeShape(pool=HOME, instance_type=HERE[0], zone=HERE[1]))
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
            "SPOTVORTEX_NAMESPACE": HOME,
            "SPOTVORTEX_KARPENTER_METRICS_URL": metrics.url,
        }
        with Daemon(tmp_path, variables) as daemon:
            daemon.wait_ready()
            labels = 'instance_type="c5.4xlarge",zone="us-east-1a"'
            wait_until(lambda: f"spot_price_usd{{{labels}}} 0.25" in daemon.get("/metrics")[1], 60)
            path = f"/api/v1/nodes/{HOME}-a"
            place.admin.delete(path)
            place.admin.patch(path, {"spec": {"taints": [TAINT]}})
            place.admin.patch(path, FREED)
            metrics.karpenter.available[(*HERE, "spot")] = 0
            metrics.karpenter.interrupted[("spot", "spot_interrupted")] = 1
            wait_until(lambda: LOST in daemon.get("/metrics")[1], 90)
            assert daemon.metric(LOST) == 1
            assert 'input_ok{input="prices"} 1' in daemon.get("/metrics")[1]
            assert daemon.stop() == 0
