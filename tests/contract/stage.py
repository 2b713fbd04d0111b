"""What a contract test may ask of a world, so that it cannot tell which one it is in.

Comes in: neutral descriptions of a pool, its nodes and its workloads. Goes out: a `Stage`: the
ports under test, what people and the cluster's own parts do there, and a witness's look at pods.
Time passes only where a test waits: virtual time in the simulator, real time on the API server.
"""

import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from spotvortex.core.domain.observation import NodeFact, OwnPod, PdbFact, WriteAuthority
from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.calls import (
    Again,
    Answer,
    Call,
    CreateAnchor,
    CreatePlaceholder,
    Done,
    EvictPod,
    MarkNode,
    UnmarkNode,
)
from spotvortex.ports.cluster import ClusterView, WallClock
from spotvortex.ports.writing import ClusterWriter
from spotvortex.sim.market.instance_types import GIB

SPOT, ON_DEMAND = CapacityType.SPOT, CapacityType.ON_DEMAND
ZONES: Final = ("us-west-2a", "us-west-2b")
TYPE: Final = "m6i.xlarge"
"""4 vCPU and 16 GiB, of which both worlds offer pods between 3500 and 4000 milli-cores."""

PLAN: Final = "0123456789abcdef"
OTHER_PLAN: Final = "fedcba9876543210"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What the provisioner may do in the pool of a test; of one instance type.

    `consolidation` is Karpenter's policy, `after_s` its `consolidateAfter`, None for never. With
    `pair` each capacity type has a group of its own, and `heavier` is the one that is tried first.
    """

    capacity_types: tuple[CapacityType, ...] = (SPOT, ON_DEMAND)
    consolidation: str = "WhenEmpty"
    after_s: int | None = None
    pair: bool = False
    heavier: CapacityType = SPOT

    def groups(self, name: str) -> tuple[tuple[str, tuple[CapacityType, ...], int], ...]:
        """Return the name, capacity types and weight of each group of a pool of that name."""
        if not self.pair:
            return ((name, self.capacity_types, 1),)
        return tuple(
            (f"{name}-{end}", (kind,), 10 if kind is self.heavier else 1)
            for end, kind in (("spot", SPOT), ("od", ON_DEMAND))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A workload of pods that are all alike; `starts` is false where they never get Ready.

    With `elsewhere` they may run in the foreign group as well. `after_loss` is the owner's word on
    what must stay after a loss, "" where nobody says it.
    """

    name: str
    replicas: int = 1
    cpu_milli: int = 300
    grace_s: int = 2
    max_unavailable: int | None = None
    capacity_type: CapacityType | None = None
    starts: bool = True
    elsewhere: bool = False
    after_loss: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A workload's pod as a witness sees it; `node` is "" while it is bound to none."""

    namespace: str
    name: str
    uid: str
    node: str
    ready: bool
    terminating: bool


class Candidate(Protocol):
    """One process that asks for the lease, and watches for a freeze."""

    def standing(self) -> WriteAuthority:
        """As `ports.writing.Authority`."""
        ...

    def writes_until(self) -> float:
        """As `ports.writing.Authority`."""
        ...

    async def stop(self) -> None:
        """End in order."""
        ...

    async def kill(self) -> None:
        """End without a last word."""
        ...

    def cut(self) -> None:
        """Lose the network."""
        ...

    def heal(self) -> None:
        """Get it back."""
        ...


class Stage(Protocol):
    """A world with one pool. `lease_s` is how long a lease lasts there.

    `sides` are the groups of the pool, `foreign` is a group of another one.
    """

    pool: str
    sides: tuple[str, ...]
    foreign: str
    writer: ClusterWriter
    view: ClusterView
    clock: WallClock
    lease_s: float

    async def apply(self, call: Call) -> Answer:
        """Carry a call out as somebody who has the lease for long."""
        ...

    # -- what is there ------------------------------------------------------

    async def add_node(
        self, capacity_type: CapacityType = SPOT, zone: str = ZONES[0], group: str = ""
    ) -> NodeFact:
        """Add a node, to the first side if not told; return it as it is seen, Ready and at rest."""
        ...

    async def add_load(self, load: Load) -> None:
        """Add a workload, with a budget where it has one."""
        ...

    async def pods(self, load: str) -> tuple[Pod, ...]:
        """Return the pods of a workload, by name."""
        ...

    # -- what others do -----------------------------------------------------

    async def scale(self, load: str, replicas: int) -> None:
        """Let a workload want another number of pods."""
        ...

    async def lose_readiness(self, pod: Pod) -> None:
        """Let a running pod fail its probe for good."""
        ...

    async def touch(self, node: str) -> None:
        """Let somebody write to a node."""
        ...

    async def take_over_cordon(self, node: str) -> None:
        """Let a person say, by taking our label away, that the cordon is now theirs."""
        ...

    async def delete_node(self, node: str) -> None:
        """Let somebody delete a node: its provisioner drains it."""
        ...

    async def allow_own_pods(self, n: int) -> None:
        """Set the quota of our namespace."""
        ...

    async def freeze(self, *, frozen: bool) -> None:
        """Let a person freeze us, or take the freeze away."""
        ...

    async def candidate(self, name: str) -> Candidate:
        """Start a process that asks for the lease."""
        ...

    # -- the network and time -----------------------------------------------

    def cut(self) -> None:
        """Let the view hear nothing any more."""
        ...

    async def heal(self, *, forgotten: bool = False) -> None:
        """Let the view hear again; with `forgotten` what it missed cannot be told any more."""
        ...

    async def until(self, holds: Callable[[], Any]) -> None:
        """Let time pass until something holds; the longest wait is the world's own.

        Args:
            holds: a function, or a coroutine function.
        """
        ...

    async def lasts(self, holds: Callable[[], Any]) -> None:
        """Let a good while pass, in which something has to hold all the time."""
        ...


Body = Callable[[Stage], Coroutine[Any, Any, None]]
Play = Callable[[Body], None]


def staged(body: Body) -> Callable[[Play], None]:
    """Make a test of a coroutine function: its stage brings its own loop."""

    def test(stage: Play) -> None:
        stage(body)

    test.__name__, test.__doc__, test.__module__ = body.__name__, body.__doc__, body.__module__
    test.body = body  # type: ignore[attr-defined]
    return test


async def truth(holds: Callable[[], Any]) -> bool:
    """Ask a function, or a coroutine function, whether something holds."""
    answer = holds()
    return bool(await answer if isinstance(answer, Awaitable) else answer)


# -- calls --------------------------------------------------------------------


def journal(plan_id: str = PLAN) -> str:
    """Return a journal, as far as those who ask whose mark is on a node read it."""
    return json.dumps({"v": 1, "plan": plan_id})


def mark_of(node: NodeFact, /, **changes: Any) -> MarkNode:
    fields = {
        "node": node.name,
        "uid": node.uid,
        "plan_id": PLAN,
        "order": journal(),
        "resource_version": node.resource_version,
    }
    return MarkNode(**(fields | changes))


def unmark_of(node: NodeFact, /, **changes: Any) -> UnmarkNode:
    return UnmarkNode(**({"node": node.name, "uid": node.uid, "plan_id": PLAN} | changes))


def eviction_of(pod: Pod, /, **changes: Any) -> EvictPod:
    fields = {
        "namespace": pod.namespace,
        "name": pod.name,
        "uid": pod.uid,
        "node_uid": "node-uid",
        "plan_id": PLAN,
    }
    return EvictPod(**(fields | changes))


def placeholder_of(stage: Stage, pod: Pod, name: str, /, **changes: Any) -> CreatePlaceholder:
    fields = {
        "name": name,
        "plan_id": PLAN,
        "for_uid": "node-uid",
        "pool": stage.pool,
        "capacity_type": CapacityType.UNKNOWN,
        "sides": stage.sides,
        "for_pod": f"{pod.namespace}/{pod.name}",
        "pod_uid": pod.uid,
        "cpu_milli": 1000,
        "memory_bytes": GIB,
        "zone": "",
        "avoid": (),
        "order": journal(),
        "expires_s": 1800,
    }
    return CreatePlaceholder(**(fields | changes))


def anchor_of(node: NodeFact, name: str, /, **changes: Any) -> CreateAnchor:
    fields = {
        "name": name,
        "node": node.name,
        "node_uid": node.uid,
        "pool": node.pool,
        "plan_id": PLAN,
        "expires_s": 1800,
    }
    return CreateAnchor(**(fields | changes))


# -- looks at the view --------------------------------------------------------


def node_of(stage: Stage, name: str) -> NodeFact:
    """Return a node that has to be there."""
    found = stage.view.node(name)
    assert found is not None, name
    return found


def nodes_of(stage: Stage) -> tuple[NodeFact, ...]:
    """Return the nodes of the stage's pool."""
    facts = stage.view.snapshot(stage.clock.now())
    return next((pool.nodes for pool in facts.pools if pool.name == stage.pool), ())


def budget_of(stage: Stage, load: str) -> PdbFact | None:
    """Return the budget of a workload, None until it is known."""
    facts = stage.view.snapshot(stage.clock.now())
    return next((p for pool in facts.pools for p in pool.pdbs if p.name == load), None)


def own(stage: Stage, for_uid: str = "node-uid") -> dict[str, OwnPod]:
    """Return the pods of ours about one node that are there to stay, by name."""
    pods = stage.view.own_pods(for_uid)
    return {pod.name: pod for pod in pods if not (pod.finished or pod.terminating)}


async def all_ready(stage: Stage, load: str, n: int) -> bool:
    """Tell whether a workload has exactly so many pods, all Ready, which the view shows as well."""
    pods = await stage.pods(load)
    seen = {view.uid for node in {p.node for p in pods} for view in stage.view.pods_on(node)}
    return len(pods) == n and all(p.ready and p.uid in seen for p in pods)


async def carried_out(stage: Stage, call: Call) -> Answer:
    """Make a call until the answer is not that it may work later, as a drain does."""
    answers: list[Answer] = []

    async def is_final() -> bool:
        answers.append(await stage.apply(call))
        return not isinstance(answers[-1], Again)

    await stage.until(is_final)
    return answers[-1]


async def at_rest(stage: Stage, name: str, look: Callable[[], Any] = lambda: None) -> NodeFact:
    """Return a node once the view has been still: others write to a cordoned node as well.

    Args:
        stage: where it is.
        name: the node's.
        look: called at each look.
    """
    seen: list[str] = []

    def still() -> bool:
        look()
        seen.append(node_of(stage, name).resource_version)
        return len(seen) > 6 and len(set(seen[-6:])) == 1

    await stage.until(still)
    return node_of(stage, name)


async def marked(stage: Stage, name: str, **changes: Any) -> None:
    """Mark a node as the view shows it, again where somebody else has written to it since."""

    async def is_marked() -> bool:
        call = mark_of(node_of(stage, name), **changes)
        return await stage.apply(call) == Done()

    await stage.until(is_marked)
