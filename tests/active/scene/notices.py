"""Notices for the daemon as its own process: a queue over HTTP, and pools whose nodes can be lost.

Comes in: a control plane and an SQS endpoint on loopback. Goes out: nodes with pods, messages about
their instances, and answers to what a test asks of the end. Shares no code with the product.
"""

import json
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.controlplane.api import RequestError, wait_until
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.manifests import (
    Manifest,
    NodeShape,
    PodShape,
    deployment_manifest,
    namespace_manifest,
    node_manifest,
    pdb_manifest,
)
from tests.core.events import interruption
from tests.deploy.manifests import active_bounds, active_fence, active_roles
from tests.e2e.equipment.prices import write_price_file
from tests.witness.judge.names import DRAIN, KIND, NAMESPACE, PLACEHOLDER, PLAN, POOL_LABEL
from tests.witness.scene import PATIENT, is_ready

SHOP = "shop"
USER = "replica-a"
REGION = "us-east-1"
PODS_PER_NODE = 4


class Queue:
    """A queue, made and asked by plain requests of the test's own."""

    def __init__(self, endpoint: str, name: str) -> None:
        self._endpoint = endpoint
        self.url = self._ask("CreateQueue", QueueName=name)["QueueUrl"]

    def _ask(self, operation: str, **asked: Any) -> dict[str, Any]:
        headers = {
            "X-Amz-Target": f"AmazonSQS.{operation}",
            "Authorization": f"AWS4-HMAC-SHA256 Credential=t/20260101/{REGION}/sqs/aws4_request",
            "Content-Type": "application/x-amz-json-1.0",
        }
        body = json.dumps(asked).encode()
        request = urllib.request.Request(self._endpoint, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: dict[str, Any] = json.loads(answer.read() or b"{}")
            return found

    def send(self, *messages: object) -> None:
        """Send events, or texts as they are."""
        for message in messages:
            body = message if isinstance(message, str) else json.dumps(message)
            self._ask("SendMessage", QueueUrl=self.url, MessageBody=body)

    def send_many(self, messages: list[Manifest]) -> None:
        """Send events ten at a time."""
        for start in range(0, len(messages), 10):
            batch = enumerate(messages[start : start + 10])
            entries = [{"Id": str(i), "MessageBody": json.dumps(m)} for i, m in batch]
            self._ask("SendMessageBatch", QueueUrl=self.url, Entries=entries)

    def n_left(self) -> int:
        """Count the messages that are not deleted, whoever holds them."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = self._ask("GetQueueAttributes", QueueUrl=self.url, AttributeNames=names)
        return sum(int(told["Attributes"][name]) for name in names)


def settings(
    plane: ControlPlane, folder: Path, endpoint: str, queue: str, *, server: str | None = None
) -> dict[str, str]:
    """Return the variables of a daemon in active mode that reads a queue and moves nothing else."""
    return {
        "KUBECONFIG": str(plane.kubeconfig(USER, server=server)),
        "SPOTVORTEX_MODE": "active",
        "SPOTVORTEX_PRICE_FILE": str(write_price_file(folder / "prices.jsonl")),
        "SPOTVORTEX_NOTICE_SOURCE": "queue",
        "SPOTVORTEX_INTERRUPTION_QUEUE": queue,
        # No score is that high, though every loss is learned, and none is that sure: waves of our
        # own would only be in the way.
        "SPOTVORTEX_MIN_CONFIDENCE": "1",
        "SPOTVORTEX_MEDIUM_RISK": "1",
        "SPOTVORTEX_HIGH_RISK": "1",
        "SPOTVORTEX_EMERGENCY_RISK": "1",
        "SPOTVORTEX_EMERGENCY_RUNTIME_RISK": "1",
        "SPOTVORTEX_MAX_INPUT_AGE_S": "60",
        **cloud(endpoint),
    }


def cloud(endpoint: str) -> dict[str, str]:
    """Return the variables by which the AWS library finds an endpoint, and nothing else."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }


def prepare(plane: ControlPlane) -> None:
    """Give the daemon exactly what the active overlay gives: roles, quota, priority and fence."""
    username = plane.username(USER)
    plane.apply([namespace_manifest(NAMESPACE), namespace_manifest(SHOP)])
    plane.apply([*active_roles(username), *active_bounds(), *active_fence(username)])


@dataclass(kw_only=True)
class Pool:
    """Spot nodes full of pods, made on creation; spare nodes come when asked for.

    Half of the pods take `slow_s` to end, half 1 s; `may_miss` is what their budgets
    let go at once.
    """

    plane: ControlPlane
    name: str
    n_nodes: int = 1
    n_spare: int = 1
    slow_s: int = 4
    may_miss: str = "50%"
    nodes: list[Manifest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nodes = self.add("s", self.n_nodes)
        for app, grace_s in ((f"{self.name}-slow", self.slow_s), (f"{self.name}-quick", 1)):
            shape = PodShape(
                app=app,
                namespace=SHOP,
                cpu="900m",
                memory="64Mi",
                grace_s=grace_s,
                annotations=dict(PATIENT),
                spec={"nodeSelector": {"karpenter.sh/nodepool": self.name}},
            )
            n = self.n_nodes * PODS_PER_NODE // 2
            self.plane.apply([deployment_manifest(shape, replicas=n)])
            self.plane.apply([pdb_manifest(app, SHOP, max_unavailable=self.may_miss)])
        wait_until(self.all_run, 60)
        self.add("r", self.n_spare, capacity_type="on-demand")

    def add(self, prefix: str, n: int, *, capacity_type: str = "spot") -> list[Manifest]:
        """Add nodes and return them as stored."""
        shape = NodeShape(pool=self.name, capacity_type=capacity_type)
        made = [node_manifest(f"{self.name}-{prefix}{i}", shape) for i in range(n)]
        return self.plane.apply(made)

    def instance(self, number: int = 0) -> str:
        """Return the instance of one of the nodes."""
        provider: str = self.nodes[number]["spec"]["providerID"]
        return provider.rpartition("/")[2]

    def node(self, number: int = 0) -> Manifest | None:
        """Return a node as it is now, None where it is gone."""
        try:
            found: Manifest = self.plane.api().get(f"/api/v1/nodes/{self._name(number)}")
        except RequestError:
            return None
        return found

    def _name(self, number: int) -> str:
        name: str = self.nodes[number]["metadata"]["name"]
        return name

    def journal(self, number: int = 0) -> dict[str, Any]:
        """Return our journal on a node, empty where there is none."""
        text = self.note(DRAIN, number)
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    def note(self, name: str, number: int = 0) -> str:
        """Return an annotation of a node, "" where there is none."""
        node = self.node(number) or {"metadata": {}}
        text: str = (node["metadata"].get("annotations") or {}).get(name, "")
        return text

    def is_cordoned(self, number: int = 0) -> bool:
        """Tell whether a node takes no new pods."""
        node = self.node(number)
        return node is not None and bool(node["spec"].get("unschedulable"))

    def pods(self) -> list[Manifest]:
        """Return the pods of the pool's workloads."""
        pods = self.plane.api().items(f"/api/v1/namespaces/{SHOP}/pods")
        return [p for p in pods if p["metadata"]["labels"]["app"].startswith(f"{self.name}-")]

    def on(self, number: int = 0) -> list[Manifest]:
        """Return the pods of the workloads that are on a node."""
        return [p for p in self.pods() if p["spec"].get("nodeName") == self._name(number)]

    def all_run(self) -> bool:
        """Tell whether all pods that are wanted are Ready."""
        pods = self.pods()
        return len(pods) == self.n_nodes * PODS_PER_NODE and all(map(is_ready, pods))

    def room(self) -> list[Manifest]:
        """Return the placeholders that were asked for the nodes of this pool."""
        own = self.plane.api().items(f"/api/v1/namespaces/{NAMESPACE}/pods")
        wanted = {KIND: PLACEHOLDER, POOL_LABEL: self.name}
        return [pod for pod in own if wanted.items() <= pod["metadata"]["labels"].items()]

    def plans(self) -> set[str]:
        """Return the plans of those placeholders."""
        return {pod["metadata"]["labels"][PLAN] for pod in self.room()}

    def lose(self, number: int = 0) -> None:
        """End a node's instance, as the cloud does: it falls silent, and its Node is deleted."""
        api, path = self.plane.api(), f"/api/v1/nodes/{self._name(number)}"
        silent = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
        patch = {"status": {"conditions": [silent | {"lastTransitionTime": _now()}]}}
        content = "application/strategic-merge-patch+json"
        api.must("PATCH", f"{path}/status", patch, content_type=content)
        api.delete(path)

    def interrupted(self, number: int = 0, *, ago_s: float = 0.0, event_id: str = "") -> Manifest:
        """Make an interruption notice for a node's instance: two minutes, less what has passed."""
        instance = self.instance(number)
        name = event_id or f"event-{instance}"
        found: Manifest = interruption(instance, name, at=time.time() - ago_s)
        return found


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
