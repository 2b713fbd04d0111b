"""Groups and a journal in memory, which a process may lose at any request.

Comes in: the driver's requests. Goes out: answers as AWS and the API server give them. `dies_at` is
the write at which the process ends: right before it is carried out, or right after, before any
answer. May not know the driver.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from aiohttp import web

from spotvortex.core.domain.cloud.scaling_groups import ScalingGroup, ScalingInstance
from spotvortex.core.domain.types import CapacityType
from spotvortex.errors import ScalingError
from spotvortex.ports.scaling import Home

SPOT, ON_DEMAND = "labels/web/spot", "labels/web/on-demand"
JOURNAL = "/api/v1/namespaces/spotvortex/configmaps/spotvortex-state-groups"


class DiedError(BaseException):
    """The process ends here."""


def group_of(name: str, desired: int, **changes: object) -> ScalingGroup:
    """Return a group whose instances have come."""
    kind = CapacityType.SPOT if name == SPOT else CapacityType.ON_DEMAND
    values: dict[str, object] = {
        "name": f"asg-{kind}",
        "node_group": name,
        "pool": "web",
        "capacity_type": kind,
        "largest": 10,
        "desired": desired,
        "instances": tuple(ScalingInstance(id=f"{kind}-{i}") for i in range(desired)),
    }
    return ScalingGroup(**(values | changes))  # type: ignore[arg-type]


@dataclass(slots=True)
class MemoryGroups:
    """Implements `ports.scaling.ScalingService`, and serves the journal's ConfigMap.

    Attributes:
        groups: by name.
        delivers: a group that is to be larger gets its instances at once.
        fault: raised by every write instead of carrying it out.
        dies_at: the number of the write at which the process ends, counted from 1; 0 for never.
        dies_before: it ends before that write, else after.
        writes: what was carried out, in order.
        reads: what was read of groups and instances, in order.
        meanwhile: called once, right after the next write to the journal: another hand.
        pods: what the API server says of the pods of a node.
    """

    groups: dict[str, ScalingGroup]
    delivers: bool = True
    fault: ScalingError | None = None
    dies_at: int = 0
    dies_before: bool = True
    writes: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    meanwhile: Callable[[], None] | None = None
    pods: dict[str, list[object]] = field(default_factory=dict)
    _begun: int = 0
    _config_map: dict[str, object] | None = None
    _version: int = 0

    # -- the service -----------------------------------------------------------------

    async def group(
        self, node_group: str, bound_s: float, *, ahead: bool = True
    ) -> ScalingGroup | None:
        """Return a group."""
        assert bound_s > 0.0
        self.reads.append("group, looking ahead" if ahead else "group")
        return self.groups.get(node_group)

    async def home_of(self, instance_id: str, bound_s: float) -> Home | None:
        """Return the group of an instance."""
        assert bound_s > 0.0
        for group in self.groups.values():
            for instance in group.instances:
                if instance.id == instance_id:
                    return Home(group=group, leaving=instance.leaving)
        return None

    async def gone(self, instance_ids: object, bound_s: float) -> frozenset[str]:
        """Return those that are in no group."""
        assert bound_s > 0.0
        assert isinstance(instance_ids, tuple)
        self.reads.append("gone")
        there = {i.id for group in self.groups.values() for i in group.living}
        return frozenset(instance_ids) - there

    async def set_desired(self, group: ScalingGroup, desired: int, bound_s: float) -> None:
        """Set a size; a smaller one than there are instances would end some."""
        assert bound_s > 0.0
        self._write(f"{group.node_group}={desired}", lambda: self.resize(group.node_group, desired))

    async def end(self, instance_id: str, bound_s: float) -> None:
        """End an instance, with its group one smaller."""
        assert bound_s > 0.0
        self._write(f"end {instance_id}", lambda: self._end(instance_id))

    def resize(self, name: str, desired: int) -> None:
        """Set a size by any hand."""
        group = self.groups[name]
        assert desired >= len(group.living), "instances would end that nobody has chosen"
        there = group.instances
        if self.delivers:
            first = len(there) + 100
            fresh = range(first, first + desired - len(there))
            there = (*there, *(ScalingInstance(id=f"new-{i}") for i in fresh))
        self.groups[name] = replace(group, desired=desired, instances=there)

    def _end(self, instance_id: str) -> None:
        for name, group in self.groups.items():
            left = tuple(i for i in group.instances if i.id != instance_id)
            if left != group.instances:
                self.groups[name] = replace(group, desired=group.desired - 1, instances=left)
                return
        raise ScalingError(f"{instance_id} is not there", is_passing=False)

    def _write(self, what: str, carry_out: Callable[[], None]) -> None:
        if self.fault is not None:
            raise self.fault
        self._begun += 1
        if self._begun == self.dies_at and self.dies_before:
            raise DiedError
        carry_out()
        self.writes.append(what)
        if self._begun == self.dies_at:
            raise DiedError

    # -- the journal -------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer as the API server does of one ConfigMap, by compare-and-set, and of pods."""
        if request.path == "/api/v1/pods":
            node = request.query["fieldSelector"].partition(",")[0].partition("=")[2]
            return web.json_response({"metadata": {}, "items": self.pods.get(node, [])})
        if request.method == "GET":
            if self._config_map is None:
                return web.json_response({"kind": "Status", "code": 404}, status=404)
            return web.json_response(self._config_map)
        body = await request.json()
        known = body["metadata"].get("resourceVersion", "")
        if (request.method == "POST") != (self._config_map is None) or (
            request.method == "PUT" and known != str(self._version)
        ):
            return web.json_response(
                {"kind": "Status", "code": 409, "reason": "Conflict"}, status=409
            )
        self._put(body)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return web.json_response(self._config_map)

    def _put(self, body: dict[str, object]) -> None:
        self._version += 1
        made = copy.deepcopy(body)
        metadata = made["metadata"]
        assert isinstance(metadata, dict)
        metadata["resourceVersion"] = str(self._version)
        self._config_map = made
        self.writes.append("journal")

    def journal(self) -> dict[str, str]:
        """Return what is written of groups."""
        data = (self._config_map or {}).get("data") or {}
        assert isinstance(data, dict)
        return data

    def scribble(self, texts: dict[str, str]) -> None:
        """Write into the journal by another hand."""
        self._put({"metadata": {}, "data": texts})
