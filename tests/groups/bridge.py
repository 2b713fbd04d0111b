"""Instances of the cloud as nodes of a real API server, and back.

Comes in: a cloud and an API. Goes out: a KWOK node for each instance of each group, some time after
it was launched, as a kubelet registers it; and no node whose instance has ended, as the cloud
controller has it. A thread does both until it is left. Shares no code with the product.
"""

from __future__ import annotations

import http.client
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from tests.controlplane.api import Api
from tests.controlplane.manifests import Manifest, NodeShape, node_manifest
from tests.groups.cloud import ZONE, Cloud


@dataclass(slots=True, kw_only=True)
class NodeKind:
    """What the nodes of a group are like; `style` as `NodeShape` has it, `name` that of EKS."""

    group: str
    capacity_type: str
    name: str = ""
    style: str = "plain"
    pool: str = "web"
    cpu: str = "4"

    def node(self, instance: str) -> Manifest:
        """Return the node of an instance."""
        labels = {}
        if self.style == "plain":
            labels = {
                "spotvortex.io/pool": self.pool,
                "spotvortex.io/capacity-type": self.capacity_type,
            }
        shape = NodeShape(
            pool=self.name or self.pool,
            style=self.style,
            capacity_type=self.capacity_type,
            instance_type="c5.xlarge",
            zone=ZONE,
            cpu=self.cpu,
            labels=labels,
        )
        made = node_manifest(f"{self.group}-{instance[-8:]}", shape)
        made["spec"]["providerID"] = f"aws:///{ZONE}/{instance}"
        return made


@dataclass(slots=True, kw_only=True)
class Bridge:
    """Keeps the nodes as the instances are."""

    cloud: Cloud
    api: Api
    kinds: tuple[NodeKind, ...]
    boot_s: float = 0.0
    sizes: dict[str, set[int]] = field(default_factory=dict)
    _launched: dict[str, float] = field(default_factory=dict)
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.look()
        self._thread = threading.Thread(target=self._run, name="bridge")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self._end.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._end.wait(0.5):
            with suppress(OSError, http.client.HTTPException):
                self.look()

    def look(self) -> None:
        """Make and remove nodes once."""
        there = {n["spec"]["providerID"]: n["metadata"]["name"] for n in self._nodes()}
        wanted: dict[str, Manifest] = {}
        for kind in self.kinds:
            instances = self.cloud.instances(kind.group)
            self.sizes.setdefault(kind.group, set()).add(len(instances))
            wanted |= {f"aws:///{ZONE}/{i}": kind.node(i) for i in instances}
        for provider_id, node in wanted.items():
            if provider_id not in there and self._has_booted(provider_id):
                self.api.create(node)
        for provider_id, name in there.items():
            if provider_id not in wanted:
                self.api.request("DELETE", f"/api/v1/nodes/{name}")

    def _has_booted(self, provider_id: str) -> bool:
        """Tell whether an instance has been there for as long as it boots."""
        now = time.monotonic()
        return now - self._launched.setdefault(provider_id, now) >= self.boot_s

    def _nodes(self) -> list[Manifest]:
        return self.api.items("/api/v1/nodes")
