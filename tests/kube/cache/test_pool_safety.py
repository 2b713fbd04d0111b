"""Where the gate says yes, no single loss takes too much: tried on clones of raw objects.

Clusters are made as the API server would send them, with workloads over several pools, with budgets
and without, and words of owners on Deployments, pods and namespaces; they go through the real
store, reduction and gate. The waves that it allows, of all pools at once, are then applied
to a clone of the raw objects, every Spot offering and every zone's Spot is taken away in turn, and
what is left is counted by code of its own.
"""

import copy
from dataclasses import dataclass, replace
from random import Random

import pytest

from spotvortex.core.decision.gates.losses import pool_safety
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.domain.observation import Observation, PoolFacts
from spotvortex.core.domain.types import Action, Outcome
from spotvortex.core.pool.context import cycle_context
from tests.core.builders import case, placed, reduce_pool
from tests.kube import objects
from tests.kube.cache.test_store import Scene

TYPE, ZONE, KIND, POOL = (
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/zone",
    "karpenter.sh/capacity-type",
    "karpenter.sh/nodepool",
)
INPUTS = tuple(
    InputHealth(name=name, state=InputState.OK, age_s=1.0)
    for name in (InputName.NODES, InputName.PODS, InputName.PDBS)
)
WORD = "spotvortex.io/min-available-after-loss"
WORDS = ("", "", "", "0", "2", "25%", "75%", "some")
FLOOR = "spotvortex.io/on-demand-floor"
FLOORS = ("", "", "1", "2", "40%")
N_CLUSTERS = 250
PARTS = [range(20), pytest.param(range(20, N_CLUSTERS), marks=pytest.mark.search)]


@dataclass
class Raw:
    """Nodes, pods, budgets, ReplicaSets and namespaces by name, as plain JSON."""

    nodes: dict
    pods: dict
    pdbs: dict
    owners: dict
    spaces: dict


def make_node(name, pool, kind, rng):
    """A node of one NodePool, or of a side of the pair `web-spot` and `web-od`."""
    side = {"spot": "web-spot", "on-demand": "web-od"}[kind] if pool == "pair" else pool
    labels = {
        POOL: side,
        KIND: kind,
        TYPE: rng.choice(["m5.large", "c5.large"]),
        ZONE: rng.choice("ab"),
    }
    return objects.node(name, labels)


def make_cluster(seed):
    """Three pools, one maybe a pair, some nodes of none, and workloads whose pods are anywhere."""
    rng, floors = Random(seed), Random(-1 - seed)
    nodes = {}
    for pool in ("api", "db", "pair" if seed % 2 else "web", ""):
        for i in range(rng.randint(1, 5)):
            name = f"{pool or 'none'}-{i}"
            nodes[name] = make_node(name, pool, rng.choice(["spot", "on-demand"]), rng)
    pods, pdbs, owners = {}, {}, {}
    for app in ("front", "back", "cache")[: rng.randint(1, 3)]:
        homes = rng.sample(sorted(nodes), rng.randint(1, len(nodes)))
        for i in range(rng.randint(3, 12)):
            made = objects.pod(
                f"{app}-{i}",
                rng.choice(homes),
                owner=("ReplicaSet", f"{app}-x"),
                labels={"app": app},
                ready=rng.random() < 0.9,
            )
            pods[made["metadata"]["name"]] = made
        said = {WORD: rng.choice(WORDS), FLOOR: floors.choice(FLOORS)}
        notes = {name: word for name, word in said.items() if word}
        owners[app] = objects.replica_set(f"{app}-x", app, annotations=notes)
        if rng.random() < 0.5:
            continue
        selector = {"matchLabels": {"app": app}}
        covered = [p for p in pods.values() if p["metadata"]["labels"]["app"] == app]
        healthy = sum(map(is_ready, covered))
        wanted = max(0, healthy - rng.randint(0, healthy))
        pdbs[app] = objects.pdb(app, selector, desired=wanted, allowed=healthy - wanted)
    word = rng.choice(WORDS)
    spaces = {"default": {"metadata": objects.meta("default", annotations={WORD: word})}}
    return Raw(nodes, pods, pdbs, owners, spaces if word else {})


def wanted_of(raw, app, lost):
    """What must stay of an app, by the words of the documentation and no code of the product."""
    if lost == "all":
        floor = raw.owners[app]["metadata"].get("annotations", {}).get(FLOOR, "0")
        return counted(floor, n_of(raw, app))
    notes = [raw.owners[app]["metadata"].get("annotations", {})]
    notes += [space["metadata"]["annotations"] for space in raw.spaces.values()]
    n = n_of(raw, app)
    word = next((found[WORD] for found in notes if WORD in found), "")
    if word == "some":
        return n
    if word:
        return counted(word, n)
    return max(1, -(-n // 3)) if lost == "zone" else -(-n // 2)


def n_of(raw, app):
    return sum(1 for plain in raw.pods.values() if plain["metadata"]["labels"]["app"] == app)


def counted(word, n):
    return -(-int(word[:-1]) * n // 100) if word.endswith("%") else int(word)


def is_ready(plain):
    return plain["status"]["conditions"][0]["status"] == "True"


READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def is_on_its_way(plain):
    return not plain["spec"]["nodeName"]


def set_out(raw, moved, rng):
    """Cordon the nodes of a wave, and evict some of their Ready pods: their heirs are pending."""
    for name in moved:
        raw.nodes[name]["spec"]["unschedulable"] = True
    for plain in raw.pods.values():
        if plain["spec"]["nodeName"] in moved and is_ready(plain) and rng.random() < 0.4:
            plain["spec"]["nodeName"] = ""
            plain["status"] = {"phase": "Pending", "conditions": [{"type": "Ready", "status": ""}]}


def pools_of(raw):
    scene = Scene()
    for table, found in (
        ("nodes", raw.nodes),
        ("pods", raw.pods),
        ("budgets", raw.pdbs),
        ("workloads", raw.owners),
        ("namespaces", raw.spaces),
    ):
        scene.put(table, *found.values())
    return scene.cluster.snapshot(INPUTS)


def waves(facts, reading):
    """For each pool that the gate lets grow, the nodes that may go."""
    seen = Observation(cycle=1, at=1e9, cluster=facts, market=MarketFacts())
    sight = cycle_context(seen, {}, Limits(max_input_age_s=60.0))
    for pool in facts.pools:
        data = reduce_pool(reading(pool), sight)
        verdict = pool_safety(case(Action.INCREASE_30, pool=data))
        if verdict.outcome is Outcome.REFUSE:
            continue
        n = len(data.to_spot) if verdict.limit is None else verdict.limit
        yield pool.name, [c.node for c in data.to_spot[:n]]


def clones(raw, moved):
    """One clone for each place where all of the moved pods might land."""
    spot = [n for n in raw.nodes.values() if n["metadata"]["labels"][KIND] == "spot"]
    for i, zone in enumerate("ab"):
        new = objects.node(f"new-{i}", {POOL: "web", KIND: "spot", TYPE: "r5.large", ZONE: zone})
        spot.append(new)
    for landing in spot:
        clone = copy.deepcopy(raw)
        name = landing["metadata"]["name"]
        clone.nodes[name] = landing
        for plain in clone.pods.values():
            if plain["spec"]["nodeName"] in moved or is_on_its_way(plain):
                plain["spec"]["nodeName"] = name
                plain["status"] = READY if is_on_its_way(plain) else plain["status"]
        for node in moved:
            del clone.nodes[node]
        yield clone


def losses(raw):
    """The nodes that go together, with what is lost: an offering, a zone's Spot, all of it."""
    groups = {}
    for name, plain in raw.nodes.items():
        labels = plain["metadata"]["labels"]
        if labels[KIND] == "spot":
            groups.setdefault((labels[TYPE], labels[ZONE], "offering"), set()).add(name)
            groups.setdefault(("", labels[ZONE], "zone"), set()).add(name)
            groups.setdefault(("", "", "all"), set()).add(name)
    return [(gone, lost) for (_, _, lost), gone in groups.items()]


def left(raw, app, gone):
    return sum(
        1
        for plain in raw.pods.values()
        if plain["metadata"]["labels"]["app"] == app
        and is_ready(plain)
        and plain["spec"]["nodeName"] not in gone
    )


def apps_on(raw, nodes):
    """The apps with Ready pods on these nodes."""
    return {
        plain["metadata"]["labels"]["app"]
        for plain in raw.pods.values()
        if is_ready(plain) and plain["spec"]["nodeName"] in nodes
    }


def as_it_is(pool):
    return pool


def broken(raw, moved, apps):
    """The apps of which a loss takes too much, wherever the moved pods land."""
    return {
        app
        for clone in clones(raw, moved)
        for gone, lost in losses(clone)
        for app in apps
        if left(clone, app, gone) < wanted_of(raw, app, lost)
    }


def broken_by_a_wave(seed, reading=as_it_is):
    """The apps with moved pods of which a loss takes too much, and how many nodes were let go."""
    raw = make_cluster(seed)
    moved = {node for _, nodes in waves(pools_of(raw), reading) for node in nodes}
    return broken(raw, moved, apps_on(raw, moved)), len(moved)


@pytest.mark.parametrize("seeds", PARTS, ids=["some", "rest"])
def test_where_the_gate_says_yes_no_single_loss_takes_too_much(seeds):
    results = {seed: broken_by_a_wave(seed) for seed in seeds}
    assert {seed: found for seed, (found, _) in results.items() if found} == {}
    assert sum(1 for _, n_moved in results.values() if n_moved) > len(seeds) / 10


def broken_by_a_second_wave(seed, reading=as_it_is):
    """The same after a wave that was let go while another was under way."""
    raw, rng = make_cluster(seed), Random(seed)
    first = dict(waves(pools_of(raw), reading))
    moved = {node for nodes in first.values() for node in nodes[: rng.randint(0, len(nodes))]}
    apps = apps_on(raw, moved)
    set_out(raw, moved, rng)
    second = {node for _, nodes in waves(pools_of(raw), reading) for node in nodes}
    found = broken(raw, moved | second, apps | apps_on(raw, second))
    return found, len(second) if moved else 0


@pytest.mark.parametrize("seeds", PARTS, ids=["some", "rest"])
def test_a_second_wave_reckons_with_the_first_that_is_still_under_way(seeds):
    results = {seed: broken_by_a_second_wave(seed) for seed in seeds}
    assert {seed: found for seed, (found, _) in results.items() if found} == {}
    assert sum(1 for _, n_second in results.values() if n_second) > len(seeds) / 10


def of_each(pool: PoolFacts, change) -> PoolFacts:
    return replace(pool, workloads=tuple(map(change, pool.workloads)))


def standing_still(pool: PoolFacts) -> PoolFacts:
    """The reading in which pods of nodes on the move stay where they are."""

    def still(work):
        shares = tuple(replace(s, n_leaving=0) for s in work.spot_by_offering)
        return replace(work, spot_by_offering=shares, n_leaving=0)

    return of_each(pool, still)


def one_pool(pool: PoolFacts) -> PoolFacts:
    """The reading of one pool alone: Spot of other pools in the same zone is not seen."""
    return of_each(pool, lambda w: replace(placed(w, *pool.nodes), pools=(pool.name,)))


def without_shares(pool: PoolFacts) -> PoolFacts:
    """The reading in which each pool may use up all that a workload can spare."""
    return of_each(pool, lambda w: replace(w, pools=(pool.name,)))


def spot_forgotten(pool: PoolFacts) -> PoolFacts:
    """The reading in which what is on Spot already does not count."""
    return of_each(pool, lambda w: replace(w, spot_by_offering=()))


def unheard(pool: PoolFacts) -> PoolFacts:
    """The reading in which no owner has said anything."""
    return of_each(pool, lambda w: replace(w, said=""))


def floorless(pool: PoolFacts) -> PoolFacts:
    """The reading in which no owner has set a floor."""
    return of_each(pool, lambda w: replace(w, floor=""))


def test_the_same_test_finds_a_reading_that_is_too_kind():
    """The search for each begins a few clusters before the one that shows it."""
    begins = {one_pool: 0, without_shares: 4, spot_forgotten: 4, unheard: 22, floorless: 4}
    for reading, first in begins.items():
        seeds = range(first, N_CLUSTERS)
        assert any(broken_by_a_wave(seed, reading)[0] for seed in seeds), reading.__name__
    assert any(broken_by_a_second_wave(seed, standing_still)[0] for seed in range(38, N_CLUSTERS))
