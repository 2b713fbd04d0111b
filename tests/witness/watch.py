"""A watch beside the scene: what nodes and pods looked like at any moment of it.

Comes in: a control plane. Goes out: a `History`, to be asked for a node or a pod at a time. Times
are when the watch showed a change, so a little after it happened, on a busy machine long after.
`History.corrected` moves them to where the revisions of the audit log's answers say that they must
have been; who compares the two allows for what is left. Unchanged states are not kept.
"""

from __future__ import annotations

import bisect
import contextlib
import http.client
import json
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from tests.controlplane.api import RequestError
from tests.controlplane.cluster import ControlPlane
from tests.witness.judge.names import (
    CAPACITY_TYPE,
    CORDONED,
    DO_NOT_DISRUPT,
    DRAIN,
    FOR,
    KIND,
    NODE_POOL_LABEL,
    PLAN,
    POOL_LABEL,
    SAFE_TO_EVICT,
)

MAX_CHANGES = 500_000
DISRUPTED = "karpenter.sh/disrupted"
_PATHS = {"node": "/api/v1/nodes", "pod": "/api/v1/pods"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """What a node looked like."""

    uid: str
    name: str
    pool: str
    capacity_type: str
    ready: bool
    cordoned: bool
    labelled: bool  # our label
    journal: str  # our annotation
    deleting: bool
    disrupted: bool  # Karpenter is taking it away

    @property
    def moving(self) -> bool:
        """Whether anybody is taking it out of use."""
        return self.cordoned or self.labelled or self.deleting or self.disrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """What a pod looked like; `kind` and what follows it are our labels, "" on other pods."""

    uid: str
    namespace: str
    name: str
    node: str
    deleting: bool
    finished: bool
    held: bool  # it says that it must not be disrupted
    stays: bool  # of a DaemonSet, or mirror
    kind: str = ""
    plan: str = ""
    for_uid: str = ""


State = NodeState | PodState


@dataclass(slots=True)
class History:
    """All changes, by kind and uid, oldest first; None stands for gone."""

    changes: dict[str, dict[str, list[tuple[float, State | None]]]] = field(
        default_factory=lambda: {"node": defaultdict(list), "pod": defaultdict(list)}
    )
    n_changes: int = 0
    # By uid the revision of each change, 0 where it is not known.
    _revisions: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    # Uids of nodes by name, of pods by the name of a node, of ours by kind, plan and node's uid.
    _named: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _on: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _own: dict[tuple[str, str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, kind: str, uid: str, at: float, state: State | None, revision: int = 0) -> None:
        """Note a state, unless it is as before."""
        seen = self.changes[kind][uid]
        if (seen[-1][1] if seen else None) == state:
            return
        self.n_changes += 1
        if self.n_changes > MAX_CHANGES:
            raise OverflowError(f"more than {MAX_CHANGES} changes in one scene")
        seen.append((at, state))
        self._revisions[uid].append(revision)
        if isinstance(state, NodeState):
            self._named[state.name].add(uid)
        elif isinstance(state, PodState):
            self._on[state.node].add(uid)
            if state.kind:
                self._own[state.kind, state.plan, state.for_uid].add(uid)

    def corrected(self, answers: Iterable[tuple[int, float]]) -> History:
        """Return the same history with no change later than it can have been.

        The server's revisions are one order of all changes: what has a lower one than an answer
        was there before that answer was given.

        Args:
            answers: revision of what was written, and when the server had answered.
        """
        revisions: list[int] = []
        latest: list[float] = []
        for revision, at in sorted(answers, reverse=True):
            revisions.append(-revision)
            latest.append(min(at, latest[-1]) if latest else at)
        moved = History()
        for kind, by_uid in self.changes.items():
            for uid, seen in by_uid.items():
                for (at, state), revision in zip(seen, self._revisions[uid], strict=True):
                    n = bisect.bisect_right(revisions, -revision) if revision else 0
                    by = min(at, latest[n - 1]) if n else at
                    moved.add(kind, uid, by, state, revision)
        return moved

    def node_at(self, uid: str, at: float) -> NodeState | None:
        """Return a node as it was, None where it was not there."""
        state = self._at("node", uid, at)
        return state if isinstance(state, NodeState) else None

    def nodes_at(self, at: float) -> list[NodeState]:
        """Return all nodes as they were."""
        return [n for uid in self.changes["node"] if (n := self.node_at(uid, at)) is not None]

    def pod_at(self, uid: str, at: float) -> PodState | None:
        """Return a pod as it was, None where it was not there."""
        state = self._at("pod", uid, at)
        return state if isinstance(state, PodState) else None

    def pods_at(self, at: float) -> list[PodState]:
        """Return all pods as they were."""
        return [p for uid in self.changes["pod"] if (p := self.pod_at(uid, at)) is not None]

    def pod_states(self, uid: str) -> list[tuple[float, PodState | None]]:
        """Return every state of a pod, with since when."""
        return [(at, s if isinstance(s, PodState) else None) for at, s in self.changes["pod"][uid]]

    def pod_spans(self, uid: str) -> Iterator[tuple[float, float, PodState | None]]:
        """Yield every state of a pod, with since when and until when."""
        states = self.pod_states(uid)
        ends = [since for since, _ in states[1:]] + [float("inf")]
        return ((since, until, pod) for (since, pod), until in zip(states, ends, strict=True))

    def first(self, uid: str) -> PodState:
        """Return a pod that was seen as it was first seen."""
        return next(s for _, s in self.changes["pod"][uid] if isinstance(s, PodState))

    def ever_on(self, node: str) -> list[str]:
        """Return the uids of the pods that were ever seen on the node of a name."""
        return sorted(self._on.get(node, ()))

    def own(self, kind: str, plan: str, for_uid: str) -> list[str]:
        """Return the uids of the pods of ours that were ever seen for one node and plan."""
        return sorted(self._own.get((kind, plan, for_uid), ()))

    def plans(self, kind: str) -> Iterator[tuple[str, str]]:
        """Yield plan and node's uid of all pods of ours of a kind."""
        return ((plan, for_uid) for k, plan, for_uid in self._own if k == kind)

    def node_uid(self, name: str, at: float) -> str:
        """Return the uid of the node that had a name then, "" where none had."""
        uids = self._named.get(name, set())
        return next((uid for uid in sorted(uids) if self.node_at(uid, at) is not None), "")

    def gone_by(self, uid: str, at: float) -> bool:
        """Tell whether a node that had been there had gone by then."""
        seen = [state for since, state in self.changes["node"].get(uid, []) if since <= at]
        return bool(seen) and seen[-1] is None

    def _at(self, kind: str, uid: str, at: float) -> State | None:
        seen = self.changes[kind].get(uid, [])
        index = bisect.bisect_right(seen, at, key=lambda change: change[0])
        return seen[index - 1][1] if index else None


class ClusterWatch:
    """Records nodes and pods for as long as its block lasts; use it as a context manager."""

    def __init__(self, plane: ControlPlane, user: str = "admin") -> None:
        self.history = History()
        self._plane, self._user = plane, user
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._streams: dict[str, socket.socket] = {}
        self._threads = [
            threading.Thread(target=self._run, args=(kind,), name=f"watch-{kind}")
            for kind in _PATHS
        ]

    def __enter__(self) -> Self:
        for kind in _PATHS:
            self._list(kind)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for stream in list(self._streams.values()):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(15)
        # What the streams had not shown yet.
        for kind in _PATHS:
            self._list(kind)

    def _run(self, kind: str) -> None:
        while not self._stopping.is_set():  # ends with the block
            try:
                self._follow(kind, self._list(kind))
            except (OSError, ValueError, http.client.HTTPException, RequestError):
                self._stopping.wait(0.2)

    def _list(self, kind: str) -> str:
        """Read all, note what has changed or gone, and return the version to go on from."""
        # One answer, so no page can be older than another.
        listed = self._plane.api(self._user).get(_PATHS[kind])
        at = time.time()
        version = str(listed["metadata"]["resourceVersion"])
        there = {item["metadata"]["uid"]: item for item in listed["items"]}
        with self._lock:
            for uid in self.history.changes[kind].keys() - there.keys():
                self.history.add(kind, uid, at, None, int(version))
            for uid, item in there.items():
                self.history.add(kind, uid, at, _READ[kind](item), revision_of(item))
        return version

    def _follow(self, kind: str, version: str) -> None:
        connection = http.client.HTTPSConnection(
            "127.0.0.1",
            self._plane.layout.api_port,
            context=self._plane.ssl_context(),
            timeout=120,
        )
        path = f"{_PATHS[kind]}?watch=1&timeoutSeconds=60&resourceVersion={version}"
        token = {"Authorization": f"Bearer {self._plane.token(self._user)}"}
        with contextlib.closing(connection):
            connection.request("GET", path, headers=token)
            assert connection.sock is not None
            self._streams[kind] = connection.sock
            answer = connection.getresponse()
            if answer.status != 200:
                raise http.client.HTTPException(f"the watch was answered {answer.status}")
            while not self._stopping.is_set() and (line := answer.readline()):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                self._note(kind, event)

    def _note(self, kind: str, event: dict[str, Any]) -> None:
        item = event["object"]
        state = None if event["type"] == "DELETED" else _READ[kind](item)
        with self._lock:
            uid, revision = item["metadata"]["uid"], revision_of(item)
            self.history.add(kind, uid, time.time(), state, revision)


def revision_of(thing: dict[str, Any]) -> int:
    """Return the server's revision of an object, 0 where it bears none."""
    return int((thing.get("metadata") or {}).get("resourceVersion") or 0)


def read_node(node: dict[str, Any]) -> NodeState:
    """Read a Node."""
    metadata, spec = node["metadata"], node.get("spec", {})
    labels, notes = metadata.get("labels", {}), metadata.get("annotations", {})
    conditions = node.get("status", {}).get("conditions", [])
    return NodeState(
        uid=metadata["uid"],
        name=metadata["name"],
        pool=labels.get(POOL_LABEL) or labels.get(NODE_POOL_LABEL, ""),
        capacity_type=labels.get(CAPACITY_TYPE, ""),
        ready=any(c["type"] == "Ready" and c["status"] == "True" for c in conditions),
        cordoned=bool(spec.get("unschedulable")),
        labelled=CORDONED in labels,
        journal=notes.get(DRAIN, ""),
        deleting="deletionTimestamp" in metadata,
        disrupted=any(taint["key"] == DISRUPTED for taint in spec.get("taints", [])),
    )


def read_pod(pod: dict[str, Any]) -> PodState:
    """Read a Pod."""
    metadata = pod["metadata"]
    labels, notes = metadata.get("labels", {}), metadata.get("annotations", {})
    owners = {owner["kind"] for owner in metadata.get("ownerReferences", [])}
    held = notes.get(DO_NOT_DISRUPT, "false") != "false" or notes.get(SAFE_TO_EVICT) == "false"
    return PodState(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        node=pod["spec"].get("nodeName", ""),
        deleting="deletionTimestamp" in metadata,
        finished=pod.get("status", {}).get("phase") in ("Succeeded", "Failed"),
        held=held,
        stays=bool(owners & {"DaemonSet", "Node"}),
        kind=labels.get(KIND, ""),
        plan=labels.get(PLAN, ""),
        for_uid=labels.get(FOR, ""),
    )


_READ: dict[str, Callable[[dict[str, Any]], State]] = {"node": read_node, "pod": read_pod}
