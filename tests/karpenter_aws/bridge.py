"""Instances of the cloud as nodes of a real API server, and back.

Comes in: a cloud, an API, and how long an instance takes to boot. Goes out: a KWOK node for each
instance that Karpenter launched, as its kubelet registers it (by the labels that Karpenter gave its
user data, unregistered and with the taint of that); and no node whose instance has ended, as the
cloud controller has it. A thread does both until it is left. Shares no code with the product.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from tests.controlplane.api import Api
from tests.controlplane.manifests import Manifest
from tests.karpenter_aws.cloud import Cloud

CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
NODE_POOL_TAG = "karpenter.sh/nodepool"
UNREGISTERED = {"key": "karpenter.sh/unregistered", "effect": "NoExecute"}
THERE = ("pending", "running")
LOOK_EVERY_S = 0.2


@dataclass(slots=True, kw_only=True)
class Bridge:
    """Keeps the nodes as the instances are.

    Attributes:
        boot_s: time from an instance's launch to its node.
        silent: instances that never become a node, and whose end is not told either.
    """

    cloud: Cloud
    api: Api
    boot_s: float = 1.0
    silent: set[str] = field(default_factory=set)
    _ec2: Any = None
    _seen_at: dict[str, float] = field(default_factory=dict)
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._ec2 = self.cloud.client("ec2")
        self._thread = threading.Thread(target=self._run, name="bridge")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self._end.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._end.wait(LOOK_EVERY_S):
            with suppress(OSError, http.client.HTTPException, BotoCoreError, ClientError):
                self._look()

    def instances(self) -> dict[str, dict[str, Any]]:
        """Return the instances that Karpenter has launched and that are there, by id."""
        asked = [{"Name": "tag-key", "Values": [NODE_POOL_TAG]}]
        pages = self._ec2.get_paginator("describe_instances").paginate(Filters=asked)
        listed = (i for page in pages for r in page["Reservations"] for i in r["Instances"])
        return {i["InstanceId"]: i for i in listed if i["State"]["Name"] in THERE}

    def _look(self) -> None:
        there, now = self.instances(), time.monotonic()
        nodes = dict(self._nodes())
        for instance in there:
            self._seen_at.setdefault(instance, now)
        due = {i for i in there if now - self._seen_at[i] >= self.boot_s} - nodes.keys()
        for instance, claim in self._claims() if due else ():
            if instance in due:
                self.api.create(_node(there[instance], claim))
        for instance, node in nodes.items():
            leaves = "deletionTimestamp" in node["metadata"]
            if instance not in there and instance not in self.silent and not leaves:
                self.api.request("DELETE", f"/api/v1/nodes/{node['metadata']['name']}")

    def _nodes(self) -> Iterator[tuple[str, Manifest]]:
        for node in self.api.items("/api/v1/nodes"):
            yield _instance(node["spec"].get("providerID", "")), node

    def _claims(self) -> Iterator[tuple[str, Manifest]]:
        for claim in self.api.items(CLAIMS):
            yield _instance(claim.get("status", {}).get("providerID", "")), claim


def _instance(provider_id: str) -> str:
    return provider_id.rpartition("/")[2]


def _node(instance: dict[str, Any], claim: Manifest) -> Manifest:
    """Return the node of an instance."""
    name = f"ip-{instance['PrivateIpAddress'].replace('.', '-')}"
    zone = instance["Placement"]["AvailabilityZone"]
    own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": claim["metadata"]["labels"] | own},
        "spec": {
            "providerID": f"aws:///{zone}/{instance['InstanceId']}",
            "taints": [UNREGISTERED],
        },
        "status": {key: claim["status"][key] for key in ("capacity", "allocatable")},
    }
