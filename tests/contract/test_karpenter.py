"""What the provisioner does by itself and for us: real Karpenter and the simulated one."""

from collections.abc import Callable, Mapping
from itertools import combinations

import pytest

from spotvortex.core.drain.calls import (
    Again,
    BlockedByBudget,
    CreateAnchor,
    CreatePlaceholder,
    DeleteAnchors,
    DeletePlaceholders,
    Done,
    EvictPod,
    Gone,
    MarkNode,
    Refused,
    ReleaseNode,
)
from spotvortex.core.pool.owner_rules import PoolRules
from tests.contract.daemon import daemon
from tests.contract.stage import (
    ON_DEMAND,
    PLAN,
    SPOT,
    Load,
    Pool,
    all_ready,
    anchor_of,
    nodes_of,
    own,
    placeholder_of,
)
from tests.contract.troupe import KARPENTER, Scene, play_together, tell

UNDERUTILISED = Pool(consolidation="WhenEmptyOrUnderutilized", after_s=2)
EMPTY = Pool(consolidation="WhenEmpty", after_s=2)
STILL = Pool()
SCENES: dict[str, Scene] = {}


def scene(pool):
    """Keep a coroutine function as a scene in such a pool."""

    def keep(body):
        SCENES[body.__name__] = Scene(body, pool)
        return body

    return keep


@pytest.fixture(scope="module")
def played(
    karpenter_control_plane, request: pytest.FixtureRequest
) -> Mapping[str, Exception | None]:
    """How each scene ended that was asked for."""
    asked = {
        item.callspec.params["name"]
        for item in request.session.items
        if item.path == request.path and "real" in item.callspec.id
    }
    scenes = [SCENES[name] for name in sorted(asked)]
    return play_together(karpenter_control_plane, scenes, buys=True)


@pytest.fixture(params=["simulated", pytest.param("real", marks=KARPENTER)])
def karpenter_stage(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Plays a scene by name; the real ones are all played with the first."""
    if request.param == "simulated":
        return lambda name: SCENES[name].simulate()

    return lambda name: tell(request.getfixturevalue("played")[name])


async def running(stage, *loads):
    """Add workloads and wait until they run, on what was bought for them."""
    for load in loads:
        await stage.add_load(load)
    for load in loads:
        await stage.until(lambda load=load: all_ready(stage, load.name, load.replicas))
    await stage.until(lambda: all(node.ready and not node.leaving for node in nodes_of(stage)))


def names(stage):
    return {node.name for node in nodes_of(stage)}


async def hosts(stage, load):
    return {pod.node for pod in await stage.pods(load)}


@scene(STILL)
async def pending_pods_get_nodes_of_the_cheaper_kind(stage):
    await running(stage, Load(name="app", replicas=3, cpu_milli=2000))
    assert len(nodes_of(stage)) == 3
    assert {node.capacity_type for node in nodes_of(stage)} == {SPOT}
    assert await hosts(stage, "app") == names(stage)
    assert all(node.claim and node.node_group == stage.pool for node in nodes_of(stage))


@scene(STILL)
async def pods_that_want_on_demand_get_it(stage):
    await running(stage, Load(name="app", replicas=2, cpu_milli=1500, capacity_type=ON_DEMAND))
    assert [node.capacity_type for node in nodes_of(stage)] == [ON_DEMAND]


@scene(EMPTY)
async def an_empty_node_goes_and_one_with_an_anchor_stays_until_that_is_deleted(stage):
    await running(stage, Load(name="app", replicas=2, cpu_milli=2000))
    kept, other = sorted(nodes_of(stage), key=lambda node: node.name)
    assert await stage.apply(anchor_of(kept, "anchor")) == Done()
    await stage.until(lambda: own(stage, kept.uid) and own(stage, kept.uid)["anchor"].node)
    await stage.scale("app", 0)
    # Both were empty at the same look, and only one of them was taken.
    await stage.until(lambda: other.name not in names(stage))
    assert names(stage) == {kept.name}
    assert await stage.apply(DeleteAnchors(node=kept.name, node_uid=kept.uid)) == Done()
    await stage.until(lambda: not names(stage))


@scene(EMPTY)
async def an_anchors_time_ends_and_its_node_goes(stage):
    await running(stage, Load(name="app", cpu_milli=2000))
    (node,) = nodes_of(stage)
    begun = stage.clock.now()
    assert await stage.apply(anchor_of(node, "anchor", expires_s=30)) == Done()
    await stage.scale("app", 0)
    await stage.until(lambda: not names(stage))
    assert stage.clock.now() - begun >= 30.0


@scene(UNDERUTILISED)
async def a_node_whose_pods_fit_elsewhere_goes(stage):
    loads = [Load(name=name, cpu_milli=3000) for name in ("one", "two")]
    await running(stage, *loads, Load(name="small", cpu_milli=500))
    assert len(nodes_of(stage)) == 2
    small = await hosts(stage, "small")
    beside = [name for name in ("one", "two") if await hosts(stage, name) == small]
    (ended,) = beside
    (left,) = {"one", "two"} - {ended}
    await stage.scale(ended, 0)
    await stage.until(lambda: len(nodes_of(stage)) == 1)
    await stage.until(lambda: all_ready(stage, "small", 1))
    await stage.until(lambda: all_ready(stage, left, 1))
    assert await hosts(stage, "small") == await hosts(stage, left) == names(stage)


async def alone_on_demand(stage):
    """Leave one pod, which could be anywhere, alone on an on-demand node."""
    await running(stage, Load(name="pin", cpu_milli=1000, capacity_type=ON_DEMAND))
    await running(stage, Load(name="free", cpu_milli=1000))
    (node,) = nodes_of(stage)
    await stage.scale("pin", 0)
    return node


@scene(UNDERUTILISED)
async def an_on_demand_node_is_replaced_by_spot_the_replacement_first(stage):
    old = await alone_on_demand(stage)

    def replaced():
        others = [n for n in nodes_of(stage) if n.name != old.name]
        gone = old.name not in names(stage)
        assert not gone or any(n.ready for n in others)
        assert all(n.capacity_type is SPOT for n in others)
        return gone

    await stage.until(replaced)
    assert len(nodes_of(stage)) == 1
    await stage.until(lambda: all_ready(stage, "free", 1))


@scene(UNDERUTILISED)
async def an_anchor_keeps_an_on_demand_node_from_being_replaced(stage):
    await running(stage, Load(name="pin", cpu_milli=1000, capacity_type=ON_DEMAND))
    (node,) = nodes_of(stage)
    assert await stage.apply(anchor_of(node, "anchor")) == Done()
    await running(stage, Load(name="free", cpu_milli=1000))
    await stage.scale("pin", 0)
    await stage.lasts(lambda: names(stage) == {node.name})


@scene(EMPTY)
async def when_empty_moves_nothing_that_has_pods(stage):
    node = await alone_on_demand(stage)
    await stage.lasts(lambda: names(stage) == {node.name})
    assert await all_ready(stage, "free", 1)


async def drained(stage, node, load):
    """Wait until a node is gone and its workload runs elsewhere, its budget kept all the while."""

    async def gone():
        ready = [pod for pod in await stage.pods(load.name) if pod.ready and not pod.terminating]
        assert len(ready) >= load.replicas - load.max_unavailable
        return node.name not in names(stage)

    await stage.until(gone)
    await stage.until(lambda: all_ready(stage, load.name, load.replicas))
    assert node.name not in await hosts(stage, load.name)


@scene(STILL)
async def a_node_that_is_deleted_is_drained_by_its_budgets_and_removed(stage):
    load = Load(name="app", replicas=3, max_unavailable=1)
    await running(stage, load)
    (node,) = nodes_of(stage)
    await stage.delete_node(node.name)
    await stage.until(lambda: all(n.moving for n in nodes_of(stage) if n.name == node.name))
    await drained(stage, node, load)


@scene(STILL)
async def a_claim_that_we_delete_takes_its_node_and_no_other_away(stage):
    load = Load(name="app", replicas=3, max_unavailable=1)
    await running(stage, load)
    (node,) = nodes_of(stage)
    other = ReleaseNode(claim=node.claim, node="another", plan_id=PLAN)
    answer = await stage.apply(other)
    assert isinstance(answer, Refused)
    assert f"is for {node.name}" in answer.reason
    nobody = ReleaseNode(claim="nobody", node=node.name, plan_id=PLAN)
    assert await stage.apply(nobody) == Gone()
    call = ReleaseNode(claim=node.claim, node=node.name, plan_id=PLAN)
    assert await stage.apply(call) == Done()
    assert await stage.apply(call) == Done()
    await drained(stage, node, load)
    await stage.until(lambda: all(n.ready for n in nodes_of(stage)))

    async def is_gone():
        return await stage.apply(call) == Gone()

    await stage.until(is_gone)


@scene(EMPTY)
async def a_placeholder_keeps_an_empty_node_and_its_end_lets_it_go(stage):
    await running(stage, Load(name="app", cpu_milli=2000))
    (node,) = nodes_of(stage)
    (pod,) = await stage.pods("app")
    assert await stage.apply(placeholder_of(stage, pod, "room")) == Done()
    await stage.until(lambda: own(stage) and own(stage)["room"].node == node.name)
    await stage.scale("app", 0)
    await stage.lasts(lambda: names(stage) == {node.name})
    assert await stage.apply(DeletePlaceholders(plan_id=PLAN, for_uid="node-uid")) == Done()
    await stage.until(lambda: not names(stage))


@scene(STILL)
async def a_node_that_is_deleted_waits_for_a_placeholder_and_for_no_anchor(stage):
    await running(stage, Load(name="app", cpu_milli=2000))
    (node,) = nodes_of(stage)
    (pod,) = await stage.pods("app")
    assert await stage.apply(placeholder_of(stage, pod, "room")) == Done()
    assert await stage.apply(anchor_of(node, "anchor")) == Done()
    await stage.until(lambda: own(stage) and own(stage)["room"].node == node.name)
    await stage.until(lambda: own(stage, node.uid))
    await stage.delete_node(node.name)
    await stage.until(lambda: all_ready(stage, "app", 1))
    await stage.lasts(lambda: node.name in names(stage))
    assert await stage.apply(DeletePlaceholders(plan_id=PLAN, for_uid="node-uid")) == Done()
    await stage.until(lambda: node.name not in names(stage))


# -- a wave of the daemon's ---------------------------------------------------

CHAIN = (
    CreatePlaceholder,
    CreateAnchor,
    MarkNode,
    EvictPod,
    ReleaseNode,
    DeletePlaceholders,
)
"""The kinds of write of a wave, each wholly before the next."""


def order_of(calls):
    """Return which kinds of write came wholly before which others: the partial order by kind."""
    places = {}
    for place, call in enumerate(calls):
        places.setdefault(type(call), []).append(place)
    return {
        (before, after)
        for before in places
        for after in places
        if max(places[before]) < min(places[after])
    }


def waves_of(writes):
    """Return what was done for each wave, in its order, with the first anchors of its receivers.

    An anchor may be asked for by the wave, or by the upkeep of the nodes that are fallen back to.
    What was done counts from when it was asked for first: a slow server carries a request out whose
    answer comes too late, and what needs it goes on before it is asked for again.
    """
    finished = {call for call, answer in writes if isinstance(answer, Done)}
    done = [call for call in dict.fromkeys(call for call, _ in writes) if call in finished]
    anchored = set()
    waves, open_wave = {}, None
    for call in done:
        if isinstance(call, CreateAnchor):
            if call.node_uid not in anchored:
                anchored.add(call.node_uid)
                waves[open_wave].append(call)
            continue
        open_wave = call.plan_id
        waves.setdefault(open_wave, []).append(call)
    return list(waves.values())


@scene(STILL)
async def the_daemons_wave_writes_in_order(stage):
    load = Load(name="app", replicas=4, cpu_milli=1500, max_unavailable=1)
    await running(stage, load)
    left = names(stage)
    assert len(left) == 2
    async with daemon(stage, PoolRules(max_spot_ratio=0.0)) as recorded:
        await stage.until(lambda: not left & names(stage))
        await stage.until(lambda: all_ready(stage, "app", 4))
        await stage.until(lambda: not any(own(stage, pod) for pod in uids_of(recorded)))
    assert {node.capacity_type for node in nodes_of(stage)} == {ON_DEMAND}
    answers = {type(answer) for _, answer in recorded.writes}
    assert answers <= {Done, BlockedByBudget, Gone, Again}
    wanted = set(combinations(CHAIN, 2))
    for calls in waves_of(recorded.writes):
        assert order_of(calls) == wanted, [type(call).__name__ for call in calls]
        n_nodes = len({call.uid for call in calls if isinstance(call, MarkNode)})
        assert sum(isinstance(call, EvictPod) for call in calls) == 2 * n_nodes


async def goes_to_the_other_side_and_comes_back(stage):
    load = Load(name="app", replicas=4, cpu_milli=1500, after_loss="0")
    await running(stage, load)
    spot_side, other_side = stage.sides

    def all_of(kind, side):
        found = {(node.capacity_type, node.node_group) for node in nodes_of(stage)}
        return found == {(kind, side)} and not any(node.leaving for node in nodes_of(stage))

    # What pods get by themselves is the heavier side.
    async with daemon(stage, PoolRules(max_spot_ratio=0.0)) as recorded:
        await stage.until(lambda: all_of(ON_DEMAND, other_side))
        await stage.until(lambda: all_ready(stage, "app", load.replicas))
    asked = [call for call, _ in recorded.writes if isinstance(call, CreatePlaceholder)]
    assert {(call.capacity_type, call.sides) for call in asked} <= {(ON_DEMAND, (other_side,))}
    async with daemon(stage, PoolRules()) as recorded:
        await stage.until(lambda: all_of(SPOT, spot_side))
        await stage.until(lambda: all_ready(stage, "app", load.replicas))
    asked = [call for call, _ in recorded.writes if isinstance(call, CreatePlaceholder)]
    assert {(call.capacity_type, call.sides) for call in asked} == {(SPOT, (spot_side,))}


@scene(Pool(pair=True, consolidation="WhenEmptyOrUnderutilized", after_s=2))
async def a_pair_goes_to_its_on_demand_side_and_comes_back(stage):
    await goes_to_the_other_side_and_comes_back(stage)


@scene(Pool(pair=True, consolidation="WhenEmpty", after_s=2))
async def a_pair_in_which_only_empty_nodes_go_does_so_too(stage):
    await goes_to_the_other_side_and_comes_back(stage)


@scene(Pool(pair=True, heavier=ON_DEMAND, consolidation="WhenEmptyOrUnderutilized", after_s=2))
async def a_pair_whose_on_demand_side_is_heavier_comes_back_too(stage):
    await goes_to_the_other_side_and_comes_back(stage)


@scene(Pool(pair=True, heavier=ON_DEMAND, consolidation="WhenEmpty", after_s=2))
async def a_pair_with_that_weight_in_which_only_empty_nodes_go_comes_back_too(stage):
    await goes_to_the_other_side_and_comes_back(stage)


def uids_of(recorded):
    return {call.for_uid for call, _ in recorded.writes if isinstance(call, CreatePlaceholder)}


@pytest.mark.parametrize("name", SCENES)
def test_scene(karpenter_stage, name):
    karpenter_stage(name)
