"""Karpenter with its AWS provider as a process, with the cloud, the account and the bridge.

Comes in: a control plane with KWOK. Goes out: Karpenter's address of metrics, the cloud in which it
launches, the queue from which it hears, and the bridge by which its instances are nodes. Everything
listens on loopback. May not be used twice on one control plane.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from tests.controlplane.api import wait_until
from tests.controlplane.build import aws_module, build
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import Manifest, namespace_manifest
from tests.controlplane.processes.ports import free_port
from tests.controlplane.processes.process import Server
from tests.karpenter_aws.account import CLUSTER, QUEUE, Account, make_account
from tests.karpenter_aws.bridge import Bridge
from tests.karpenter_aws.cloud import Cloud
from tests.karpenter_aws.prices import read_prices

START_S, STOP_S = 120, 15
SYSTEM = "karpenter"
LOOPBACK = "127.0.0.1"


@dataclass(slots=True, kw_only=True)
class AwsProvider:
    """Karpenter and all that it talks to, from entry to exit.

    Attributes:
        plane: the control plane, with KWOK and without any Karpenter.
        boot_s: time from an instance's launch to its node.
        gauges_every: how often Karpenter renews its gauges of offerings; "" is its own minute.
        hears: Karpenter reads the queue; else it is left to others.
    """

    plane: ControlPlane
    boot_s: float = 1.0
    gauges_every: str = "2s"
    hears: bool = True
    cloud: Cloud = field(init=False)
    account: Account = field(init=False)
    bridge: Bridge = field(init=False)
    _ports: tuple[int, int] = (0, 0)
    _server: Server | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        built = build(aws_module())
        self.cloud = Cloud(read_prices(self.plane.assets.path("instance-types.json")))
        with ExitStack() as stack:
            stack.enter_context(self.cloud)
            self.account = make_account(self.cloud)
            crds = sorted((built / "crds").glob("*.yaml"))
            self.plane.apply([yaml.load(p.read_text(), yaml.CSafeLoader) for p in crds])
            self.plane.apply([namespace_manifest(SYSTEM)])
            self.bridge = Bridge(cloud=self.cloud, api=self.plane.api(), boot_s=self.boot_s)
            stack.enter_context(self.bridge)
            stack.callback(self.stop)
            self.start(built / "karpenter-aws")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, program: Path) -> None:
        """Start Karpenter and await that it is ready."""
        self._ports = free_port(), free_port()
        folder = self.plane.layout.folder
        log = folder / "karpenter-aws.log"
        environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"} | self._environment()
        self._server = server = Server("karpenter-aws", [str(program)], log=log, env=environment)

        def is_ready() -> bool:
            server.check()
            return _status(f"http://{LOOPBACK}:{self._ports[1]}/readyz") == 200

        wait_until(is_ready, START_S)

    def stop(self) -> None:
        """Ask Karpenter to end, if it runs."""
        if self._server is not None:
            self._server.stop(STOP_S)
        self._server = None

    def _environment(self) -> dict[str, str]:
        metrics, health = self._ports
        return self.cloud.variables("karpenter") | {
            "KUBECONFIG": str(self.plane.kubeconfig("karpenter")),
            "DISABLE_LEADER_ELECTION": "true",
            "SYSTEM_NAMESPACE": SYSTEM,
            "METRICS_PORT": str(metrics),
            "HEALTH_PROBE_PORT": str(health),
            "CLUSTER_NAME": CLUSTER,
            "CLUSTER_ENDPOINT": self.plane.url,
            "INTERRUPTION_QUEUE": QUEUE if self.hears else "",
            "BATCH_IDLE_DURATION": "300ms",
            "BATCH_MAX_DURATION": "2s",
            "GAUGES_EVERY": self.gauges_every,
            "LOG_LEVEL": "debug",
        }

    @property
    def metrics_url(self) -> str:
        """The address of Karpenter's metrics."""
        return f"http://{LOOPBACK}:{self._ports[0]}/metrics"

    def metrics(self) -> str:
        """Return Karpenter's metrics."""
        with urllib.request.urlopen(self.metrics_url, timeout=30) as found:
            return str(found.read().decode())

    def log(self) -> str:
        """Return what Karpenter has logged."""
        return (self.plane.layout.folder / "karpenter-aws.log").read_text(errors="replace")

    def send(self, *events: Manifest) -> None:
        """Put events into Karpenter's queue."""
        sqs = self.cloud.client("sqs")
        for event in events:
            sqs.send_message(QueueUrl=self.account.queue_url, MessageBody=json.dumps(event))

    def n_messages(self) -> int:
        """Count the messages that Karpenter has not deleted."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = self.cloud.client("sqs").get_queue_attributes(
            QueueUrl=self.account.queue_url, AttributeNames=names
        )
        return sum(int(told["Attributes"][name]) for name in names)

    def end_instance(self, instance: str) -> Any:
        """End an instance as EC2 does."""
        return self.cloud.client("ec2").terminate_instances(InstanceIds=[instance])


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as found:
            return int(found.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0
