"""As shipped, shadow asks EC2 for Spot prices where the pod has a role, and goes on without it."""

import json
import shutil
import subprocess
import sys
import time

import pytest

from spotvortex.core.domain.cloud.signals import MANY
from tests.aws.memory_ec2 import MemoryEc2, beside, product
from tests.controlplane.api import wait_until
from tests.controlplane.manifests import NodeShape, node_manifest
from tests.deploy.elsewhere import Elsewhere
from tests.deploy.manifests import SHADOW
from tests.e2e.equipment.daemon import Daemon

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on PATH"),
]
HOME = "priced"
HERE = ("c5.4xlarge", "us-east-1a")
PRICE = 'spot_price_usd{instance_type="c5.4xlarge",zone="us-east-1a"}'
LISTED = 'ondemand_price_usd{instance_type="c5.4xlarge"}'
AS_JSON = ["assess", "--output", "json"]
ROLE = {
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    # Keys come before it, so that it only says that the pod was given a role.
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/none",
}


@pytest.fixture(scope="module")
def place(control_plane, tmp_path_factory):
    found = Elsewhere(control_plane, SHADOW, HOME, tmp_path_factory.mktemp("overlay"))
    shape = NodeShape(pool=HOME, instance_type=HERE[0], zone=HERE[1])
    found.admin.create(node_manifest(f"{HOME}-a", shape))
    yield found
    found.admin.request("DELETE", f"/api/v1/nodes/{HOME}-a")
    found.clear()


def variables(place, tmp_path, ec2):
    return ROLE | {
        "KUBECONFIG": str(place.kubeconfig(tmp_path)),
        "SPOTVORTEX_NAMESPACE": HOME,
        "AWS_ENDPOINT_URL_EC2": ec2.url,
        "AWS_ENDPOINT_URL_PRICING": ec2.url,
    }


def history(now):
    """A week of one change a day."""
    days = [(*HERE, "Linux/UNIX", f"0.2{8 - n}", now - 86_400.0 * n) for n in range(8)]
    made = MemoryEc2(*days, page=3)
    made.list_prices[HERE[0]] = [product("0.7100000000")]
    made.scores = {(HERE[0], 1): {"use1-az4": 9}, (HERE[0], MANY): {"use1-az4": 3}}
    return made


def test_a_pod_with_a_role_has_prices_within_seconds_and_a_pod_without_asks_nobody(place, tmp_path):
    with beside(history(time.time())) as ec2:
        with Daemon(tmp_path, variables(place, tmp_path, ec2)) as daemon:
            daemon.wait_ready()
            started = time.monotonic()
            wait_until(lambda: f"{PRICE} 0.28" in daemon.get("/metrics")[1], 60)
            print(f"first price {time.monotonic() - started:.1f} s after ready")
            assert 'input_ok{input="prices"} 1' in daemon.get("/metrics")[1]
            wait_until(lambda: f"{LISTED} 0.71" in daemon.get("/metrics")[1], 60)
        assert len(ec2.asked_for("DescribeSpotPriceHistory")) == 3
        ec2.asked.clear()
        quiet = variables(place, tmp_path, ec2)
        del quiet["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        (tmp_path / "without").mkdir()
        with Daemon(tmp_path / "without", quiet) as daemon:
            daemon.wait_ready()
            wait_until(daemon.records, 60)
        assert ec2.asked == []


def test_a_role_without_the_right_is_named_and_all_else_goes_on(place, tmp_path):
    with beside(history(time.time())) as ec2:
        ec2.fault = (403, "UnauthorizedOperation")
        with Daemon(tmp_path, variables(place, tmp_path, ec2)) as daemon:
            daemon.wait_ready()
            told = "do ec2:DescribeSpotPriceHistory (a pod has them by the role of its"
            wait_until(lambda: told in daemon.log_path.read_text(), 60)
            wait_until(daemon.records, 60)


def test_check_and_assess_wait_for_the_prices_and_show_what_aws_says(place, tmp_path):
    bands = {HERE[0]: {"s": 60, "r": 4}}
    advisor = tmp_path / "advisor.json"
    document = {"date": time.strftime("%Y-%m-%d"), "spot_advisor": {"us-east-1": {"Linux": bands}}}
    advisor.write_text(json.dumps(document))
    with beside(history(time.time())) as ec2:
        environment = variables(place, tmp_path, ec2) | {"PATH": "/usr/bin:/bin"}
        environment["SPOTVORTEX_ADVISOR_FILE"] = str(advisor)
        told = (
            (["check"], "spot prices of AWS"),
            (["check"], "placement scores of AWS"),
            (AS_JSON, '"aws; aws list"'),
            (AS_JSON, '"advisor_band": ">20%"'),
            (AS_JSON, '"placement_many": 3'),
            (["assess", "--details"], "9/3"),
        )
        for command, words in told:
            found = subprocess.run(
                [sys.executable, "-m", "spotvortex", *command],
                check=False,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert words in found.stdout, found.stdout + found.stderr
