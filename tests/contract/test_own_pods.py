"""Placeholders and anchors: where they stand, what they give way to, and how they end."""

from dataclasses import replace

from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.drain.calls import (
    CreateRoom,
    DeleteAnchors,
    DeletePlaceholders,
    Done,
    Gone,
    PodView,
    Refused,
    RoomShape,
)
from spotvortex.sim.market.instance_types import GIB
from tests.contract.stage import (
    ON_DEMAND,
    OTHER_PLAN,
    PLAN,
    SPOT,
    TYPE,
    ZONES,
    Load,
    all_ready,
    anchor_of,
    at_rest,
    marked,
    own,
    placeholder_of,
    staged,
)

TOGETHER = True
ANOTHER = "11111111-1111-1111-1111-111111111111"

AWAY = Offering(instance_type=TYPE, zone=ZONES[0])


async def original(stage, **fields):
    """Add a Spot node with one pod that asks for little; return both."""
    node = await stage.add_node(SPOT)
    await stage.add_load(Load(name="app", **fields))
    await stage.until(lambda: all_ready(stage, "app", 1))
    (pod,) = await stage.pods("app")
    return node, pod


def bound_to(stage, name, for_uid="node-uid"):
    found = own(stage, for_uid).get(name)
    return found.node if found else ""


@staged
async def test_a_placeholder_is_bound_where_it_fits(stage):
    node, pod = await original(stage)
    assert await stage.apply(placeholder_of(stage, pod, "room")) == Done()
    await stage.until(lambda: bound_to(stage, "room"))
    (found,) = own(stage).values()
    assert (found.node, found.plan_id, found.kind.value) == (node.name, PLAN, "placeholder")
    assert found.pending_reason == ""
    # A drain leaves it, and it counts as nobody's workload.
    await stage.until(lambda: len(stage.view.pods_on(node.name)) == 2)
    assert {p.name: p.stays for p in stage.view.pods_on(node.name)} == {
        "room": True,
        pod.name: False,
    }


@staged
async def test_a_placeholder_waits_for_its_own_pool_although_its_pod_could_run_in_another(stage):
    foreign = await stage.add_node(ON_DEMAND, group=stage.foreign)
    assert foreign.pool != stage.pool
    _, pod = await original(stage, elsewhere=True)
    assert await stage.apply(placeholder_of(stage, pod, "room", capacity_type=ON_DEMAND)) == Done()
    await stage.until(lambda: own(stage) and own(stage)["room"].pending_reason)
    ours = await stage.add_node(ON_DEMAND)
    await stage.until(lambda: bound_to(stage, "room") == ours.name)


@staged
async def test_a_placeholder_without_a_side_to_ask_is_refused(stage):
    _, pod = await original(stage)
    answer = await stage.apply(placeholder_of(stage, pod, "room", sides=()))
    assert answer == Refused(f"no NodePool of pool {stage.pool} is known to ask for room")


@staged
async def test_a_placeholder_that_fits_nowhere_waits_with_a_reason(stage):
    _, pod = await original(stage)
    call = placeholder_of(stage, pod, "room", cpu_milli=3800)
    assert await stage.apply(call) == Done()
    await stage.until(lambda: own(stage)["room"].pending_reason if own(stage) else "")
    found = own(stage)["room"]
    assert found.node == ""
    assert "nodes are available" in found.pending_reason


@staged
async def test_a_placeholder_takes_the_wanted_capacity_type_zone_and_offering(stage):
    _, pod = await original(stage)
    away = await stage.add_node(SPOT, ZONES[1])
    lasting = await stage.add_node(ON_DEMAND)
    wanted = {
        "typed": ({"capacity_type": ON_DEMAND}, lasting.name),
        "zoned": ({"zone": ZONES[1]}, away.name),
        "avoids": ({"avoid": (AWAY,), "capacity_type": SPOT}, away.name),
    }
    for name, (changes, _) in wanted.items():
        assert await stage.apply(placeholder_of(stage, pod, name, **changes)) == Done()
    for name, (_, node) in wanted.items():
        await stage.until(lambda name=name: bound_to(stage, name))
        assert bound_to(stage, name) == node, name


@staged
async def test_an_offering_to_avoid_is_one_of_spot(stage):
    _, pod = await original(stage)
    lasting = await stage.add_node(ON_DEMAND)
    call = placeholder_of(stage, pod, "room", avoid=(AWAY,))
    assert await stage.apply(call) == Done()
    await stage.until(lambda: bound_to(stage, "room"))
    assert bound_to(stage, "room") == lasting.name


@staged
async def test_a_placeholder_gets_no_node_that_we_cordoned(stage):
    node, pod = await original(stage)
    await marked(stage, node.name)
    await at_rest(stage, node.name)
    assert await stage.apply(placeholder_of(stage, pod, "room")) == Done()
    await stage.until(lambda: own(stage)["room"].pending_reason if own(stage) else "")
    await stage.lasts(lambda: bound_to(stage, "room") == "")


@staged
async def test_what_the_pod_itself_rules_out_is_refused(stage):
    await stage.add_node(ON_DEMAND)
    node, pod = await original(stage, capacity_type=SPOT)
    answer = await stage.apply(placeholder_of(stage, pod, "no", capacity_type=ON_DEMAND))
    assert isinstance(answer, Refused)
    assert "itself demands" in answer.reason
    any_type = placeholder_of(stage, pod, "yes", capacity_type=CapacityType.UNKNOWN)
    assert await stage.apply(any_type) == Done()
    await stage.until(lambda: bound_to(stage, "yes"))
    assert bound_to(stage, "yes") == node.name


@staged
async def test_a_placeholder_made_twice_is_one_and_another_plans_name_is_refused(stage):
    _, pod = await original(stage)
    call = placeholder_of(stage, pod, "room")
    assert await stage.apply(call) == Done()
    assert await stage.apply(call) == Done()
    await stage.until(lambda: list(own(stage)) == ["room"])
    other = await stage.apply(placeholder_of(stage, pod, "room", plan_id=OTHER_PLAN))
    assert isinstance(other, Refused)
    assert "already exists" in other.reason
    assert own(stage)["room"].plan_id == PLAN


@staged
async def test_a_placeholder_for_a_pod_that_is_gone_is_not_made(stage):
    _, pod = await original(stage)
    for change in ({"pod_uid": ANOTHER}, {"for_pod": f"{pod.namespace}/nobody"}):
        assert await stage.apply(placeholder_of(stage, pod, "room", **change)) == Gone()
    await stage.lasts(lambda: not own(stage))


@staged
async def test_over_quota_a_pod_of_ours_is_refused_unless_it_is_there_already(stage):
    node, pod = await original(stage)
    await stage.allow_own_pods(1)
    call = placeholder_of(stage, pod, "room")
    assert await stage.apply(call) == Done()
    assert await stage.apply(call) == Done()
    other_plan = placeholder_of(stage, pod, "room", plan_id="plan-2")
    for more in (other_plan, placeholder_of(stage, pod, "more"), anchor_of(node, "anchor")):
        answer = await stage.apply(more)
        assert isinstance(answer, Refused)
        assert "exceeded quota" in answer.reason
    await stage.allow_own_pods(2)
    assert await stage.apply(anchor_of(node, "anchor")) == Done()


@staged
async def test_a_workloads_pod_takes_the_room_of_placeholders(stage):
    node, pod = await original(stage)
    for name in ("one", "two"):
        call = placeholder_of(stage, pod, name, cpu_milli=1500)
        assert await stage.apply(call) == Done()
    await stage.until(lambda: bound_to(stage, "one") and bound_to(stage, "two"))
    await stage.add_load(Load(name="comer", cpu_milli=1500))
    await stage.until(lambda: all_ready(stage, "comer", 1))
    (comer,) = await stage.pods("comer")
    assert comer.node == node.name
    # As few as will do: one of them is left.
    await stage.until(lambda: len(own(stage)) == 1)
    await stage.lasts(lambda: len(own(stage)) == 1)


@staged
async def test_a_placeholder_takes_nobodys_room(stage):
    node, pod = await original(stage)
    await stage.add_load(Load(name="full", cpu_milli=3000))
    await stage.until(lambda: all_ready(stage, "full", 1))
    assert await stage.apply(placeholder_of(stage, pod, "first", cpu_milli=500)) == Done()
    await stage.until(lambda: bound_to(stage, "first") == node.name)
    assert await stage.apply(placeholder_of(stage, pod, "second", cpu_milli=500)) == Done()
    await stage.until(lambda: own(stage)["second"].pending_reason if "second" in own(stage) else "")
    assert bound_to(stage, "first") == node.name
    assert await all_ready(stage, "full", 1)


@staged
async def test_placeholders_are_deleted_by_plan_and_node(stage):
    _, pod = await original(stage)
    for name, changes in (
        ("one", {}),
        ("two", {}),
        ("other-plan", {"plan_id": OTHER_PLAN}),
        ("other-node", {"for_uid": "other-uid"}),
    ):
        call = placeholder_of(stage, pod, name, cpu_milli=100, **changes)
        assert await stage.apply(call) == Done()
    await stage.until(lambda: len(own(stage)) == 3 and own(stage, "other-uid"))
    deletion = DeletePlaceholders(plan_id=PLAN, for_uid="node-uid")
    assert await stage.apply(deletion) == Done()
    await stage.until(lambda: list(own(stage)) == ["other-plan"])
    assert list(own(stage, "other-uid")) == ["other-node"]
    assert await stage.apply(deletion) == Done()


@staged
async def test_what_we_made_ends_by_itself(stage):
    node, pod = await original(stage)
    begun = stage.clock.now()
    for call in (
        placeholder_of(stage, pod, "bound", expires_s=10),
        placeholder_of(stage, pod, "waits", expires_s=10, cpu_milli=3800),
        anchor_of(node, "anchor", expires_s=10),
    ):
        assert await stage.apply(call) == Done()
    await stage.until(lambda: len(own(stage)) == 2 and own(stage, node.uid))
    ends = {*own(stage).values(), *own(stage, node.uid).values()}
    assert all(begun + 9.0 <= pod.ends_at <= begun + 30.0 for pod in ends)
    await stage.until(lambda: not own(stage) and not own(stage, node.uid))
    assert stage.clock.now() >= begun + 9.0


@staged
async def test_an_anchor_stands_on_its_node_cordoned_or_full(stage):
    node, _ = await original(stage, cpu_milli=3900)
    await marked(stage, node.name)
    call = anchor_of(node, "anchor")
    assert await stage.apply(call) == Done()
    assert await stage.apply(call) == Done()
    await stage.until(lambda: bound_to(stage, "anchor", node.uid))
    (found,) = own(stage, node.uid).values()
    assert (found.node, found.kind.value) == (node.name, "anchor")
    await stage.lasts(lambda: all_ready(stage, "app", 1))


@staged
async def test_anchors_are_deleted_by_node_whatever_their_plan(stage):
    one, two = await stage.add_node(), await stage.add_node()
    for call in (
        anchor_of(one, "first"),
        anchor_of(one, "second", plan_id=OTHER_PLAN),
        anchor_of(two, "third"),
    ):
        assert await stage.apply(call) == Done()
    await stage.until(lambda: len(own(stage, one.uid)) == 2 and own(stage, two.uid))
    assert await stage.apply(DeleteAnchors(node=one.name, node_uid=one.uid)) == Done()
    await stage.until(lambda: not own(stage, one.uid))
    assert list(own(stage, two.uid)) == ["third"]


@staged
async def test_an_anchor_for_a_node_that_is_not_there_comes_to_nothing(stage):
    node = await stage.add_node()
    await stage.delete_node(node.name)
    await stage.until(lambda: stage.view.node(node.name) is None)
    assert await stage.apply(anchor_of(node, "anchor")) == Done()


def shared(stage):
    return [p for p in own(stage, PLAN).values() if not p.terminating]


def room_of(stage, pod, n):
    """Ask for the room of `n` pods like this one, as a plan of lost nodes does."""
    view = PodView(
        namespace=pod.namespace,
        name=pod.name,
        uid=pod.uid,
        cpu_milli=1000,
        memory_bytes=GIB,
        grace_s=2.0,
        stays=False,
        owner=f"{pod.namespace}/ReplicaSet/app",
    )
    others = tuple(replace(view, name=f"gone-{i}", uid=f"gone-{i}") for i in range(1, n))
    return CreateRoom(
        plan_id=PLAN,
        for_uids=("node-uid",),
        pool=stage.pool,
        capacity_type=CapacityType.UNKNOWN,
        sides=stage.sides,
        shapes=(RoomShape(pods=(view, *others), zone="", avoid=()),),
        expires_s=1800,
    )


@staged
async def test_shared_room_is_made_once_and_what_a_pod_takes_of_it_does_not_come_again(stage):
    _, pod = await original(stage)
    call = room_of(stage, pod, 3)
    assert await stage.apply(call) == Done()
    await stage.until(lambda: len([p for p in shared(stage) if p.node]) == 3)
    assert all(p.is_shared and not p.order for p in shared(stage))
    assert await stage.apply(call) == Done()
    await stage.add_load(Load(name="comes", cpu_milli=900))
    await stage.until(lambda: all_ready(stage, "comes", 1))
    await stage.until(lambda: len(shared(stage)) == 2)
    await stage.lasts(lambda: len(shared(stage)) == 2)
    assert await stage.apply(DeletePlaceholders(plan_id=PLAN, for_uid="")) == Done()
    await stage.until(lambda: not shared(stage))
