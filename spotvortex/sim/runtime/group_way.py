"""The way of one process to the groups and to their journal, as good or bad as its faults say.

Comes in: the requests of the product's own driver. Goes out: answers of the cloud, and of the API
server as far as it has one ConfigMap and the pods of a node. Each request may be late, refused,
lost, or the process's last one. May not decide anything for the driver.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar
from urllib.parse import parse_qs

from spotvortex.core.domain.cloud.scaling_groups import ScalingGroup
from spotvortex.errors import (
    ApiError,
    ConflictError,
    NotServedError,
    ScalingError,
    UnreachableError,
)
from spotvortex.kube.api.client import JSON
from spotvortex.ports.scaling import Home
from spotvortex.sim.cluster.objects import SimPod
from spotvortex.sim.groups.cloud import ScalingCloud
from spotvortex.sim.runtime.faults import FaultKind
from spotvortex.sim.runtime.faulty_ports import CARRIES_ON_S, ON_THE_WAY_S, FaultTarget

Found = TypeVar("Found")
_KEEPS: Final = "spotvortex-state-groups"


class GroupWitness(Protocol):
    """Who watches what is written to groups."""

    def resized(self, group: str, before: int, desired: int) -> None:
        """Take note of a size that the controller sets."""
        ...

    def ended(self, instance_id: str) -> None:
        """Take note of an instance that the controller ends."""
        ...

    def wrote(self) -> None:
        """Take note that either was carried out."""
        ...

    def journalled(self, before: Mapping[str, str], texts: Mapping[str, str]) -> None:
        """Take note of what the controller writes into its journal."""
        ...


@dataclass(slots=True, kw_only=True)
class GroupWay:
    """Implements `ports.scaling.ScalingService` and `kube.write.bounded.Requests`.

    Attributes:
        process: whose requests these are.
        cloud: the groups.
        witness: who watches the writes.
    """

    process: FaultTarget
    cloud: ScalingCloud
    witness: GroupWitness

    # -- the cloud ---------------------------------------------------------------

    async def group(
        self,
        node_group: str,
        bound_s: float,
        *,
        ahead: bool = True,  # noqa: ARG002 - a look ahead takes no time here
    ) -> ScalingGroup | None:
        """Read one group."""
        return await self._read(bound_s, lambda: self.cloud.view(node_group), _unanswered)

    async def home_of(self, instance_id: str, bound_s: float) -> Home | None:
        """Read the group of an instance."""

        def look() -> Home | None:
            node = self.cloud.node_of(instance_id)
            group = self.cloud.view(node.group.known_as) if node is not None else None
            if group is None:
                return None
            return Home(group=group, leaving=self.cloud.leaves(instance_id))

        return await self._read(bound_s, look, _unanswered)

    async def gone(self, instance_ids: Collection[str], bound_s: float) -> frozenset[str]:
        """Return those that are gone or going."""

        def look() -> frozenset[str]:
            return frozenset(i for i in instance_ids if self.cloud.leaves(i))

        return await self._read(bound_s, look, _unanswered)

    async def set_desired(self, group: ScalingGroup, desired: int, bound_s: float) -> None:
        """Set a size."""

        def change() -> None:
            before = self.cloud.cluster.desired[group.node_group]
            self.witness.resized(group.node_group, before, desired)
            if not self.cloud.resize(group.node_group, desired):
                raise ScalingError(f"ValidationError: {desired}", is_passing=False)
            self.witness.wrote()

        await self._write(bound_s, change, _unanswered)

    async def end(self, instance_id: str, bound_s: float) -> None:
        """End an instance with decrement."""

        def change() -> None:
            self.witness.ended(instance_id)
            self.cloud.end(instance_id, self.process.now())
            self.witness.wrote()

        await self._write(bound_s, change, _unanswered)

    # -- the API server -----------------------------------------------------------

    async def get_bytes(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        timeout: float,
        verb: str = "get",  # noqa: ARG002 - as the client's
    ) -> bytes:
        """Read the journal, or the pods of a node."""
        look = self._journal
        if query is not None:
            name = parse_qs(query["fieldSelector"].split(",")[0])["spec.nodeName"][0]
            look = lambda: self._pods_of(name)  # noqa: E731
        return await self._read(timeout, look, lambda: UnreachableError(path))

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        query: Mapping[str, str] | None = None,  # noqa: ARG002 - as the client's
        content_type: str = JSON,  # noqa: ARG002
        timeout: float,
    ) -> bytes:
        """Write the journal by compare-and-set."""

        def change() -> None:
            cluster, told = self.cloud.cluster, json.loads(json.dumps(body))
            named = str(told["metadata"].get("resourceVersion", ""))
            there = cluster.growths_version > 0
            if there is (method == "POST") or (there and named != str(cluster.growths_version)):
                raise ConflictError(f"{path}: the object has been modified")
            self.witness.journalled(cluster.growths, told["data"])
            cluster.growths, cluster.growths_version = told["data"], cluster.growths_version + 1

        await self._write(timeout, change, lambda: UnreachableError(path))
        return b"{}"

    def _journal(self) -> bytes:
        cluster = self.cloud.cluster
        if not cluster.growths_version:
            raise NotServedError(f"configmaps {_KEEPS} not found")
        metadata = {"resourceVersion": str(cluster.growths_version)}
        return json.dumps({"metadata": metadata, "data": cluster.growths}).encode()

    def _pods_of(self, name: str) -> bytes:
        node = self.cloud.cluster.nodes.get(name)
        pods = node.pods.values() if node is not None else ()
        return json.dumps({"metadata": {}, "items": [_manifest(p, name) for p in pods]}).encode()

    # -- on the way ---------------------------------------------------------------

    async def _read(
        self, bound_s: float, look: Callable[[], Found], unanswered: Callable[[], Exception]
    ) -> Found:
        process = self.process
        way_s = ON_THE_WAY_S + self._slow_s()
        if process.cut_for_s > 0.0 or way_s >= bound_s:
            await asyncio.sleep(bound_s)
            raise unanswered()
        await asyncio.sleep(way_s)
        if self._is_refused():
            raise unanswered()
        found = look()
        await asyncio.sleep(ON_THE_WAY_S)
        return found

    async def _write(
        self, bound_s: float, change: Callable[[], None], unanswered: Callable[[], Exception]
    ) -> None:
        process = self.process
        if process.dies_at(FaultKind.KILL_BEFORE):
            process.kill()
        way_s = ON_THE_WAY_S + process.late_s() + self._slow_s()
        if process.cut_for_s > 0.0 or way_s >= bound_s:
            await asyncio.sleep(bound_s)
            self._carry_on(change, way_s - bound_s)
            raise unanswered()
        await asyncio.sleep(way_s)
        if self._is_refused():
            raise unanswered()
        if not process.alive:
            raise asyncio.CancelledError
        change()
        if process.dies_at(FaultKind.KILL_AFTER):
            process.kill()
        lost = process.fault(FaultKind.ANSWERS_LOST)
        if lost is not None and process.chance.random() < lost.size:
            await asyncio.sleep(bound_s - way_s)
            raise unanswered()
        await asyncio.sleep(ON_THE_WAY_S)

    def _carry_on(self, change: Callable[[], None], missing_s: float) -> None:
        """Every other time carry out, for a moment more, what its client has given up."""
        if self.process.cut_for_s > 0.0 or self.process.chance.random() >= 0.5:
            return

        def late() -> None:
            try:
                change()
            except (ApiError, ScalingError):
                return

        after_s = min(missing_s, self.process.chance.uniform(0.0, CARRIES_ON_S))
        asyncio.get_running_loop().call_later(after_s, late)

    def _slow_s(self) -> float:
        slow = self.process.fault(FaultKind.SLOW)
        return 0.0 if slow is None else self.process.chance.uniform(0.0, slow.size)

    def _is_refused(self) -> bool:
        faults = map(self.process.fault, (FaultKind.API_ERRORS, FaultKind.THROTTLED))
        return any(f is not None and self.process.chance.random() < f.size for f in faults)


def _unanswered() -> Exception:
    return ScalingError("no answer", is_passing=True)


def _manifest(pod: SimPod, node: str) -> dict[str, object]:
    """Return a pod as the API server has it, as far as the driver asks: whether it stays."""
    metadata: dict[str, object] = {
        "namespace": pod.workload.namespace,
        "name": pod.name,
        "uid": pod.uid,
    }
    if pod.own is not None:
        metadata["labels"] = {"app.kubernetes.io/managed-by": "spotvortex"}
    elif pod.stays:
        metadata["ownerReferences"] = [{"kind": "DaemonSet", "name": "d", "controller": True}]
    return {"metadata": metadata, "spec": {"nodeName": node}}
