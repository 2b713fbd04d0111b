"""Objects that no one should send: each has a clear outcome, and none costs its neighbours.

They go through the real decoders, reflectors and tables; where it matters what a decision makes of
them, through the reduction and the gates too.
"""

import json
import math
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from spotvortex.core.decision.budgets import cluster_budget
from spotvortex.core.decision.messages import Basis, PoolState
from spotvortex.core.decision.reconcile import decide
from spotvortex.core.domain.inputs import InputState
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.types import Action, Blocker, CapacityType, Offering, ProvisionerKind
from spotvortex.core.pool.context import CycleContext
from spotvortex.core.scoring import interruption_memory
from spotvortex.core.scoring.features import OfferingScore
from spotvortex.kube.api.quantities import cpu_milli, memory_bytes
from tests.core.builders import reduce_pool
from tests.examples import examples
from tests.kube.api.test_codec import json_values, paths_of, with_value
from tests.kube.cache.test_store import CODECS, Scene
from tests.kube.cache.test_view import (
    EVENTS,
    NAMESPACES,
    NODEPOOLS,
    NODES,
    OWNERS,
    PDBS,
    PODS,
    STATEFUL_SETS,
    viewing,
)
from tests.kube.fake_api import CUT, SILENCE, FakeApi, FakeCluster, event, listed, until, watched
from tests.kube.objects import container, node, node_pool, pdb, pod, replica_set

AT = 1_784_000_000.0
NOW_TEXT, LATER_TEXT = "2026-07-14T03:33:20Z", "2026-07-14T03:43:20Z"
"""The instant `AT`, and ten minutes later."""

WEB = {
    "karpenter.sh/nodepool": "web",
    "karpenter.sh/capacity-type": "on-demand",
    "node.kubernetes.io/instance-type": "m6i.large",
    "topology.kubernetes.io/zone": "us-east-1a",
}
ROOM = {"allocatable": {"cpu": "2", "memory": "8Gi"}}
HELD = {"owner": ("ReplicaSet", "web-1"), "labels": {"app": "web"}}


def web_node(name="n1", *, without="", **more):
    labels = {key: value for key, value in WEB.items() if key != without}
    more.setdefault("creationTimestamp", "2026-07-13T03:33:20Z")
    return node(name, labels | more.pop("labels", {}), status=ROOM, **more)


def served(*, nodes=(), pods=(), pdbs=(), watch_pods=()):
    return FakeCluster(
        {
            NODES: FakeApi([listed(*nodes)]),
            PODS: FakeApi([listed(*pods)], list(watch_pods)),
            PDBS: FakeApi([listed(*pdbs)]),
            OWNERS: FakeApi([listed(replica_set("web-1", "web"))]),
            STATEFUL_SETS: FakeApi([listed()]),
            NAMESPACES: FakeApi([listed()]),
            NODEPOOLS: FakeApi([listed(node_pool("web"))]),
            EVENTS: FakeApi([listed()]),
        }
    )


@asynccontextmanager
async def seen(**objects):
    async with viewing(served(**objects)) as view:
        await view.synced()
        yield view


async def facts_of(**objects):
    async with seen(**objects) as view:
        return view.snapshot(AT)


def input_of(facts, name):
    return next(h for h in facts.inputs if h.name == name)


def decided(facts):
    """Decide for the only pool, in a market where Spot is cheap and calm in us-east-1a."""
    (pool,) = facts.pools
    offering = Offering(instance_type="m6i.large", zone="us-east-1a")
    quote = SpotQuote(
        offering=offering, spot_usd_per_hour=0.03, on_demand_usd_per_hour=0.1, age_s=60.0
    )
    score = OfferingScore(
        offering=offering, capacity_score=0.01, runtime_score=0.01, in_scope=True, n_history=1009
    )
    sight = CycleContext(
        at=AT,
        quotes={offering: quote},
        scores={offering: score},
        inputs=tuple(replace(h, age_s=1.0) for h in facts.inputs),
        max_input_age_s=60.0,
    )
    found, limits = reduce_pool(pool, sight), Limits()
    return decide(
        Basis(
            cycle=1,
            pool=found,
            state=PoolState(),
            budget=cluster_budget([found], limits),
            limits=limits,
            model_digest="digest",
        )
    )


async def test_an_ordinary_pool_moves_so_that_the_rest_of_this_file_means_something():
    facts = await facts_of(nodes=[web_node("n1"), web_node("n2")])
    assert decided(facts).action is not Action.HOLD


# Nodes.


@pytest.mark.parametrize("labels", [None, {}, {"karpenter.sh/nodepool": ""}])
async def test_a_node_without_labels_belongs_to_no_pool_and_is_unknown(labels):
    bare = {"metadata": {"name": "n1", "labels": labels}}
    facts = await facts_of(nodes=[bare, web_node("n2")])
    (unpooled,) = facts.unpooled
    assert (unpooled.name, unpooled.pool, unpooled.ready) == ("n1", "", False)
    assert unpooled.capacity_type is CapacityType.UNKNOWN
    assert unpooled.provisioner is ProvisionerKind.UNKNOWN
    assert unpooled.offering == Offering(instance_type="unknown", zone="unknown")
    assert [n.name for n in facts.pools[0].nodes] == ["n2"]


@pytest.mark.parametrize(
    "label", ["topology.kubernetes.io/zone", "node.kubernetes.io/instance-type"]
)
async def test_a_node_without_zone_or_type_has_no_price_and_its_pool_holds(label):
    facts = await facts_of(nodes=[web_node(without=label)])
    decision = decided(facts)
    assert decision.action is Action.HOLD
    assert "confidence" in decision.refused_by
    assert dict(decision.input.confidence_terms)["prices"] == 0.0


async def test_a_node_of_no_capacity_type_is_counted_apart_and_never_moved():
    facts = await facts_of(nodes=[web_node(without="karpenter.sh/capacity-type")])
    decision = decided(facts)
    assert (decision.input.n_unknown, decision.input.n_counted) == (1, 0)
    assert (decision.action, decision.reason) == (Action.HOLD, "empty_pool")


async def test_a_node_without_provider_id_is_decided_on_like_any_other():
    facts = await facts_of(nodes=[web_node("n1"), web_node("n2", spec={"providerID": None})])
    assert {n.provider_id for n in facts.pools[0].nodes} == {""}
    assert decided(facts).action is not Action.HOLD


@pytest.mark.parametrize(
    "odd",
    [
        {"metadata": {"name": "odd", "labels": WEB, "creationTimestamp": "yesterday"}},
        {"metadata": {"name": "odd", "labels": {"karpenter.sh/nodepool": 7}}},
        {"metadata": {"name": "odd", "labels": WEB}, "status": {"allocatable": {"cpu": "lots"}}},
        {"metadata": {"name": None}},
        {"metadata": None},
        {},
    ],
)
async def test_an_unreadable_node_is_left_out_and_counted(odd):
    facts = await facts_of(nodes=[web_node("n1"), odd, web_node("n2")])
    assert [n.name for n in facts.pools[0].nodes] == ["n1", "n2"]
    assert input_of(facts, "nodes").detail == "1 objects could not be read"


# Pods.


@pytest.mark.parametrize(
    "containers", [None, [], [{}], [{"resources": {}}], [{"resources": {"requests": None}}]]
)
async def test_a_pod_without_requests_counts_with_none(containers):
    odd = pod("a", spec={"containers": containers}, **HELD)
    facts = await facts_of(nodes=[web_node()], pods=[odd, pod("b", **HELD)])
    load = facts.pools[0].nodes[0].load
    assert (load.n_workload_pods, load.cpu_milli) == (2, 100)


async def test_a_pod_of_ten_thousand_containers_is_summed_like_any_other():
    odd = pod("a", spec={"containers": [container("1m", "1Mi")] * 10_000}, **HELD)
    facts = await facts_of(nodes=[web_node()], pods=[odd])
    load = facts.pools[0].nodes[0].load
    assert (load.n_pods, load.cpu_milli, load.memory_bytes) == (1, 10_000, 10_000 << 20)
    assert decided(facts).input.cpu_requested_ratio == 5.0


@pytest.mark.parametrize("phase", ["Unknown", "Confused", "", None])
async def test_a_pod_of_an_unknown_phase_lives_until_it_is_known_to_be_finished(phase):
    facts = await facts_of(nodes=[web_node()], pods=[pod("a", phase=phase, **HELD)])
    load = facts.pools[0].nodes[0].load
    assert (load.n_pods, load.cpu_milli) == (1, 100)
    assert [b.blocker for b in load.blocked] == [Blocker.SINGLE_REPLICA]


async def test_a_pod_without_status_is_not_ready():
    odd = pod("a", **HELD)
    del odd["status"]
    covered = pdb("web", {"matchLabels": {"app": "web"}})
    facts = await facts_of(nodes=[web_node()], pods=[odd], pdbs=[covered])
    assert facts.pools[0].pdbs[0].healthy == 0


@pytest.mark.parametrize(
    "odd",
    [
        pod("odd", spec={"containers": [container("lots")]}),
        pod("odd", spec={"containers": [container("1,5")]}),
        pod("odd", spec={"containers": "many"}),
        pod("odd", spec={"nodeName": 7}),
        {"metadata": {"namespace": "default"}},
    ],
)
async def test_an_unreadable_pod_is_left_out_and_counted(odd):
    facts = await facts_of(nodes=[web_node()], pods=[pod("a", **HELD), odd, pod("b", **HELD)])
    assert facts.pools[0].nodes[0].load.n_pods == 2
    assert input_of(facts, "pods").detail == "1 objects could not be read"


async def test_a_node_that_turns_unreadable_stays_as_it_was_until_it_is_gone():
    expired = event("ERROR", {"kind": "Status", "code": 410, "message": "expired"})
    odd = web_node() | {"status": {"allocatable": "much"}}
    cluster = served()
    cluster.apis[NODES] = FakeApi(
        [listed(web_node()), listed(odd), listed()],
        [watched(0.05, expired), watched(0.2, expired), watched(SILENCE)],
    )
    async with viewing(cluster) as view:
        await until(lambda: "could not be read" in input_of(view.snapshot(AT), "nodes").detail)
        assert view.snapshot(AT).pools[0].nodes[0].allocatable_cpu_milli == 2000
        await until(lambda: view.snapshot(AT).pools[0].nodes == ())
        assert input_of(view.snapshot(AT), "nodes").detail == ""


# Budgets.


@pytest.mark.parametrize(
    "spec",
    [
        {"minAvailable": "50%"},
        {"maxUnavailable": "25%"},
        {"minAvailable": 1},
        {"maxUnavailable": "0%", "unhealthyPodEvictionPolicy": "AlwaysAllow"},
        {"minAvailable": "100%", "unhealthyPodEvictionPolicy": "IfHealthyBudget"},
        {"unhealthyPodEvictionPolicy": "SomethingNew"},
    ],
)
async def test_of_a_budget_only_the_servers_own_figures_count(spec):
    odd = pdb("web", {"matchLabels": {"app": "web"}}, desired=2, allowed=0)
    odd["spec"] |= spec
    facts = await facts_of(nodes=[web_node()], pods=[pod("a", **HELD)], pdbs=[odd])
    (fact,) = facts.pools[0].pdbs
    assert (fact.desired_healthy, fact.disruptions_allowed) == (2, 0)
    assert decided(facts).input.blocked == (
        (Blocker.PDB_ALLOWS_ZERO, 1),
        (Blocker.SINGLE_REPLICA, 1),
    )


@pytest.mark.parametrize("status", [None, {}, {"desiredHealthy": None}])
async def test_a_budget_without_figures_yet_holds_its_pods_nodes(status):
    odd = pdb("web", {"matchLabels": {"app": "web"}}) | {"status": status}
    pods = [pod("a", **HELD), pod("b", "n2", **HELD)]
    facts = await facts_of(nodes=[web_node("n1"), web_node("n2")], pods=pods, pdbs=[odd])
    decision = decided(facts)
    assert (decision.action, decision.reason) == (Action.HOLD, "nothing_movable")
    assert decision.input.blocked == ((Blocker.PDB_ALLOWS_ZERO, 2),)


@pytest.mark.parametrize("selector", [None, {"matchLabels": {"app": "nobody"}}])
async def test_a_budget_that_matches_nothing_holds_nothing(selector):
    pods = [pod("a", **HELD), pod("b", "n2", **HELD)]
    facts = await facts_of(
        nodes=[web_node("n1"), web_node("n2")], pods=pods, pdbs=[pdb("x", selector, allowed=0)]
    )
    assert (facts.n_pdbs, facts.pools[0].pdbs) == (1, ())
    assert decided(facts).action is not Action.HOLD


@pytest.mark.parametrize("selector", [{}, {"matchLabels": {}}, {"matchExpressions": []}])
async def test_a_budget_that_matches_everything_covers_its_namespace_alone(selector):
    elsewhere = pod("c", **HELD)
    elsewhere["metadata"]["namespace"] = "other"
    pods = [pod("a", **HELD), pod("b", labels={"x": "y"}), elsewhere]
    facts = await facts_of(nodes=[web_node()], pods=pods, pdbs=[pdb("all", selector)])
    assert facts.pools[0].pdbs[0].healthy_by_node == (("n1", 2),)


async def test_a_pod_under_two_budgets_holds_its_node_whatever_they_allow():
    pods = [pod("a", **HELD), pod("b", "n2", **HELD)]
    budgets = [pdb("web", {"matchLabels": {"app": "web"}}, allowed=9), pdb("all", {}, allowed=9)]
    facts = await facts_of(nodes=[web_node("n1"), web_node("n2")], pods=pods, pdbs=budgets)
    decision = decided(facts)
    assert (decision.action, decision.reason) == (Action.HOLD, "nothing_movable")
    assert decision.input.blocked == ((Blocker.TWO_PDBS, 2),)


@pytest.mark.parametrize("budget_comes_first", [True, False])
def test_a_budget_whose_selector_cannot_be_read_costs_no_pod(budget_comes_first):
    rules = [{"key": "app", "operator": "Resembles", "values": ["web"]}]
    odd = pdb("odd", {"matchLabels": {"app": "web"}, "matchExpressions": rules})
    scene = Scene().put("nodes", web_node())
    if not budget_comes_first:
        scene.put("pods", pod("a", **HELD))
    with pytest.raises(ValueError, match="unknown operator"):
        scene.put("budgets", odd)
    scene.put("pods", pod("a", **HELD), pod("b", **HELD))
    assert scene.load().n_pods == 2
    assert scene.snapshot().n_pdbs == 0


async def test_a_budget_that_cannot_be_read_stops_growth_until_it_can_or_is_gone():
    odd = pdb("odd", {"matchLabels": {"app": "web"}}) | {"status": {"desiredHealthy": "two"}}
    odd["metadata"]["resourceVersion"] = "11"
    readable = pdb("odd", {"matchLabels": {"app": "nobody"}})
    script = FakeApi([listed(odd)], [watched(0.2, event("MODIFIED", readable), SILENCE)])
    cluster = served(nodes=[web_node("n1"), web_node("n2")])
    cluster.apis[PDBS] = script
    async with viewing(cluster) as view:
        await view.synced()
        facts = view.snapshot(AT)
        told = "1 objects could not be read: pool safety cannot be judged"
        assert (input_of(facts, "pdbs").state, input_of(facts, "pdbs").detail) == ("stale", told)
        assert decided(facts).action is Action.HOLD
        assert decided(facts).refused_by == ("pool_safety",)
        await until(lambda: input_of(view.snapshot(AT), "pdbs").detail == "")
        assert decided(view.snapshot(AT)).action is not Action.HOLD


# Large objects and broken streams.


async def test_an_object_of_a_megabyte_is_read_from_list_and_watch_alike():
    notes = {"annotations": {"blob": "x" * 1_000_000}}
    listed_big, watched_big = pod("a", **HELD, **notes), pod("b", **HELD, **notes)
    watched_big["metadata"]["resourceVersion"] = "11"
    script = [watched(event("ADDED", watched_big), SILENCE)]
    async with seen(nodes=[web_node()], pods=[listed_big], watch_pods=script) as view:
        await until(lambda: view.snapshot(AT).n_pods == 2)
        assert view.snapshot(AT).pools[0].nodes[0].load.cpu_milli == 200
        assert input_of(view.snapshot(AT), "pods").detail == ""


async def test_a_watch_line_cut_in_half_leaves_nothing_behind_and_is_asked_for_again():
    late = pod("late", **HELD)
    late["metadata"]["resourceVersion"] = "11"
    line = event("ADDED", late)
    script = [watched(line[: len(line) // 2], 0.05, CUT), watched(line, SILENCE)]
    async with seen(nodes=[web_node()], pods=[pod("a", **HELD)], watch_pods=script) as view:
        assert view.snapshot(AT).n_pods == 1
        await until(lambda: view.snapshot(AT).n_pods == 2)
        assert input_of(view.snapshot(AT), "pods").detail == ""
        assert input_of(view.snapshot(AT), "pods").state is InputState.OK


async def test_the_end_of_an_object_that_cannot_be_read_any_more_is_still_its_end():
    gone = pod("a", **HELD) | {"spec": "nothing"}
    script = [watched(event("DELETED", gone), SILENCE)]
    async with seen(nodes=[web_node()], pods=[pod("a", **HELD)], watch_pods=script) as view:
        await until(lambda: view.snapshot(AT).n_pods == 0)


# A clock that is off.


async def test_a_node_from_the_future_has_no_negative_age():
    labels = {"karpenter.sh/capacity-type": "spot"}
    future = [web_node(f"n{i}", labels=labels, creationTimestamp=LATER_TEXT) for i in range(2)]
    facts = await facts_of(nodes=future)
    offering = facts.pools[0].nodes[0].offering
    memory = interruption_memory.update(interruption_memory.EMPTY_MEMORY, facts, AT)
    for now in (AT, AT + 60.0, AT + 30.0):
        memory = interruption_memory.update(memory, facts, now)
        assert (
            interruption_memory.context(memory, offering, MarketFacts(), now).hours_since_loss
            == 0.0
        )
        assert memory.offerings[offering].exposure_hours >= 0.0
        assert memory.offerings[offering].hazard_per_hour > 0.0
    assert decided(facts).input.steps_since_move >= 0.0


async def test_a_clock_set_back_ten_minutes_takes_nothing_away():
    labels = {"karpenter.sh/capacity-type": "spot"}
    facts = await facts_of(nodes=[web_node("n1", labels=labels)])
    before = interruption_memory.update(
        interruption_memory.update(interruption_memory.EMPTY_MEMORY, facts, AT - 60.0), facts, AT
    )
    after = interruption_memory.update(before, facts, AT - 600.0)
    (offering,) = before.offerings
    assert after.offerings[offering].exposure_hours == before.offerings[offering].exposure_hours


# Fuzz: anything at all, from the wire to the decision.

SAMPLES = {
    "nodes": web_node(spec={"taints": [{"key": "a", "effect": "NoSchedule"}], "providerID": "x"}),
    "pods": pod(
        "a",
        **HELD,
        spec={
            "initContainers": [container(restartPolicy="Always")],
            "overhead": {"cpu": "1m"},
            "nodeSelector": {"a": "b"},
            "volumes": [{"persistentVolumeClaim": {}}],
            "terminationGracePeriodSeconds": 5,
        },
        annotations={"karpenter.sh/do-not-disrupt": "true"},
    ),
    "budgets": pdb("web", {"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
    "workloads": replica_set("web-1", "web"),
    "node_pools": node_pool(
        "web",
        [{"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]}],
        labels={"spotvortex.io/pool": "web"},
    ),
}
TABLES = sorted(SAMPLES)


@st.composite
def mutations(draw):
    """One of the samples with another value somewhere, as bytes."""
    table = draw(st.sampled_from(TABLES))
    sample = SAMPLES[table]
    path = draw(st.sampled_from(paths_of(sample)))
    return table, json.dumps(with_value(sample, path, draw(json_values))).encode()


@examples(150)
@given(st.lists(mutations(), max_size=4), st.permutations(TABLES))
def test_any_value_anywhere_is_read_or_refused_and_decisions_go_on(odd, order):
    scene = Scene()
    for table in order:
        scene.put(table, SAMPLES[table])
    for table, raw in odd:
        obj = CODECS[table].object(Raw(raw))
        if obj is None:
            continue
        try:
            getattr(scene.store, table).put(obj.metadata.key, obj)
        except ValueError:
            continue
    scene.put("pods", pod("b", **HELD))
    for pool in scene.snapshot().pools:
        sight = CycleContext(at=AT, quotes={}, scores={}, inputs=(), max_input_age_s=60.0)
        found = reduce_pool(pool, sight)
        assert 0.0 <= found.confidence <= 1.0
    assert any(p.key == "default/b" for p in scene.store.pods.on("n1"))


@given(st.integers() | st.floats() | st.text(max_size=12))
def test_any_value_is_a_quantity_or_a_value_error(value):
    for read in (cpu_milli, memory_bytes):
        try:
            found = read(value)
        except ValueError:
            continue
        assert isinstance(found, int)
        assert abs(found) <= 2**63 - 1


@given(st.floats(min_value=0.0, max_value=1e15, allow_subnormal=False))
def test_a_plain_number_is_rounded_up(value):
    assert memory_bytes(value) == math.ceil(value)
