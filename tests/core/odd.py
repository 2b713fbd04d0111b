"""Hypothesis strategies: pools and assessments as they come, and as they should never come."""

from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import strategies as st

from spotvortex.core.domain.cloud.commitments import Commitments, CommitmentState
from spotvortex.core.domain.cloud.signals import (
    NO_SIGNALS,
    AdvisorBands,
    MarketSignals,
    Placement,
)
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.observation import (
    BlockedWorkload,
    ClusterFacts,
    NodeFact,
    NodeGroupFact,
    NodeLoad,
    Observation,
    PdbFact,
    PoolFacts,
)
from spotvortex.core.domain.types import (
    Blocker,
    CapacityType,
    Offering,
    PolicyMode,
    ProvisionerKind,
)
from spotvortex.core.domain.usage import NO_USAGE, Amount, UsageFacts, UsageSource
from spotvortex.core.domain.workloads import WorkloadFact
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.scoring.features import OfferingScore
from tests.core.builders import (
    AT,
    HEALTHY,
    assessed_with,
    capped,
    placed,
    plan_of,
    quote,
    reserved,
    score,
    stated,
)
from tests.examples import examples

few = examples(40)
many = examples(100)

TYPES = ("m6i.large", "c6a.4xlarge", "odd")
ZONES = ("a", "b", "")
NAMES = ("web", "api", "batch", "gpu")

odd_floats = st.one_of(
    st.floats(),
    st.sampled_from([0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e-320, 1e308]),
)
ratios = st.floats(min_value=0.0, max_value=1.0)
prices = st.one_of(st.none(), odd_floats, st.floats(min_value=0.01, max_value=5.0))
scores_0_to_1 = st.one_of(st.none(), odd_floats, ratios, ratios)
rare = st.integers(0, 9).map(lambda n: n == 0)


def _load(n, cpu_milli, memory_bytes, *blockers):
    blocked = tuple(BlockedWorkload(blocker=b, workload="shop/Deployment/api") for b in blockers)
    return NodeLoad(
        n_pods=n,
        n_workload_pods=n,
        cpu_milli=cpu_milli,
        memory_bytes=memory_bytes,
        workload_cpu_milli=cpu_milli,
        workload_memory_bytes=memory_bytes,
        largest_cpu_milli=cpu_milli,
        largest_memory_bytes=memory_bytes,
        blocked=blocked,
    )


LOADS = (
    _load(0, 0, 0),
    _load(1, 1900, 7 << 30),
    _load(3, 1000, 4 << 30),
    _load(3, 9000, 1 << 40),
    *(_load(2, 500, 1 << 30, blocker) for blocker in Blocker),
    *(_load(n, 1000, 4 << 30) for n in range(1, 6)),
)
CONDITIONS = (
    *({},) * 8,
    {"ready": False},
    {"cordoned": True},
    {"moving": True},
    {"do_not_disrupt": True},
    {"allocatable_cpu_milli": 0, "allocatable_memory_bytes": 0},
    {"created_at": float("nan")},
    {"created_at": -float("inf")},
    {"created_at": 1e300},
)
SIDES = (*CapacityType, CapacityType.SPOT, CapacityType.SPOT, CapacityType.ON_DEMAND)
OFFERINGS = tuple(Offering(instance_type=t, zone=z) for t in TYPES for z in ZONES)
offerings = st.sampled_from(OFFERINGS)


@st.composite
def nodes(draw, name, pool):
    values = {
        "created_at": AT - 3600.0,
        "allocatable_cpu_milli": 2000,
        "allocatable_memory_bytes": 8 << 30,
    }
    return NodeFact(
        name=name,
        uid=f"uid-{name}",
        pool=pool,
        provisioner=ProvisionerKind.KARPENTER,
        offering=draw(offerings),
        capacity_type=draw(st.sampled_from(SIDES)),
        claim=f"claim-{name}",
        load=draw(st.sampled_from(LOADS)),
        **(values | draw(st.sampled_from(CONDITIONS))),
    )


def pdbs(name, node_names):
    places = st.sampled_from([*node_names, "elsewhere"])
    healthy = st.lists(
        st.tuples(places, st.integers(1, 2)), min_size=1, max_size=6, unique_by=lambda item: item[0]
    )
    return st.builds(
        PdbFact,
        namespace=st.just("shop"),
        name=st.just(name),
        workload=st.just(f"shop/Deployment/{name}"),
        desired_healthy=st.integers(0, 4),
        disruptions_allowed=st.sampled_from([1, 1, 2, 0, -1]),
        healthy_by_node=healthy.map(tuple),
    )


WORDS = ("", "", "", "0", "1", "2", "50%", "100%", "half", "200%")


def works(name, node_names):
    """A workload with one pod or several, Ready or not, with a word or without."""
    places = st.sampled_from([*node_names, "elsewhere"])
    healthy = st.lists(
        st.tuples(places, st.integers(1, 3)), max_size=6, unique_by=lambda item: item[0]
    )

    def built(said, found, n_unready):
        return WorkloadFact(
            namespace="shop",
            kind="Deployment",
            name=name,
            n_replicas=sum(n for _, n in found) + n_unready,
            said=said,
            said_by=f"Deployment shop/{name}" if said else "",
            healthy_by_node=tuple(found),
        )

    return st.builds(built, st.sampled_from(WORDS), healthy, st.integers(0, 1))


NODE_POOLS = (
    *((),) * 6,
    (NodeGroupFact(name="np", pool="web"),),
    (NodeGroupFact(name="np", pool="web", capacity_types=(CapacityType.SPOT,)),),
    (NodeGroupFact(name="np", pool="web", capacity_types=(CapacityType.ON_DEMAND,)),),
    (NodeGroupFact(name="np", pool="web", cpu_left_milli=2500, memory_left_bytes=9 << 30),),
    (NodeGroupFact(name="np", pool="web", nodes_left=0, cpu_left_milli=0),),
    (
        NodeGroupFact(name="a", pool="web", zones=("a",), nodes_left=1),
        NodeGroupFact(name="b", pool="web", zones=("b",), instance_types=TYPES[:1]),
    ),
    (NodeGroupFact(name="np", pool="web", max_cpu_milli=1000, max_memory_bytes=1 << 30),),
)


@st.composite
def pools(draw, name="web", max_nodes=8):
    n = draw(st.one_of(st.integers(0, max_nodes), st.just(max_nodes)))
    names = [f"{name}-{i}" for i in range(n)]
    provisioner = draw(st.sampled_from(ProvisionerKind))
    made = tuple(draw(nodes(n, name)) for n in names)
    return PoolFacts(
        name=name,
        provisioner=provisioner,
        nodes=made,
        pdbs=tuple(
            placed(draw(pdbs(f"pdb{i}", names)), *made) for i in range(draw(st.integers(0, 3)))
        ),
        node_groups=tuple(draw(st.sampled_from(NODE_POOLS))),
        workloads=tuple(
            placed(draw(works(f"work{i}", names)), *made) for i in range(draw(st.integers(0, 2)))
        ),
    )


inputs = st.one_of(
    *(st.just(HEALTHY),) * 4,
    st.lists(
        st.builds(
            InputHealth,
            name=st.sampled_from(InputName),
            state=st.sampled_from(InputState),
            age_s=odd_floats,
            required=st.booleans(),
        ),
        max_size=4,
        unique_by=lambda h: h.name,
    ).map(tuple),
)


COMMITMENTS = (
    *(Commitments(),) * 6,
    stated(),
    Commitments(state=CommitmentState.UNREADABLE),
    stated(plan_of(usd_per_hour=0.1), reserved(zone="a", amount=1.5)),
    stated(plan_of("of-family", 0.3, family="m6i"), plan_of("any", 0.05, discount_ratio=0.5)),
    stated(reserved(amount=1e9, region=""), plan_of("late", 9.0, ends_at=AT)),
)


SIGNALS = (
    *(NO_SIGNALS,) * 3,
    MarketSignals(bands=AdvisorBands(at=AT, by_region={"": dict.fromkeys(TYPES, 4)})),
    MarketSignals(
        placement={
            Offering(instance_type=t, zone=z): Placement(for_one=9, for_many=2, at=AT)
            for t in TYPES
            for z in ("a", "b")
        }
    ),
)


def quotes(offering):
    return st.builds(
        SpotQuote,
        offering=st.just(offering),
        spot_usd_per_hour=prices,
        on_demand_usd_per_hour=prices,
        history_usd_per_hour=st.lists(odd_floats, max_size=4).map(tuple),
        step_s=odd_floats,
        age_s=odd_floats,
        last_resort=st.booleans(),
    )


def sound_or_odd_quotes(offering):
    cheap = st.sampled_from([0.02, 0.03, 0.05, 0.09, 0.11])
    sound = cheap.map(lambda p: quote(offering, spot_usd_per_hour=p))
    return st.one_of(sound, sound, sound, sound, sound, quotes(offering))


def scores(offering):
    return st.builds(
        OfferingScore,
        offering=st.just(offering),
        capacity_score=scores_0_to_1,
        runtime_score=scores_0_to_1,
        in_scope=rare.map(lambda b: not b),
        n_history=st.sampled_from([0, 1, 144, 1009]),
        in_range=rare.map(lambda b: not b),
    )


def sound_or_odd_scores(offering):
    risks = st.sampled_from([0.01, 0.03, 0.1, 0.4, 0.7, 0.95])
    sound = risks.map(lambda p: score(offering, runtime_score=p))
    return st.one_of(sound, sound, sound, sound, sound, scores(offering))


def usages(names):
    """What is measured: mostly nothing, else some of the nodes, and one that is not there."""
    amounts = st.builds(Amount, st.sampled_from([0, 100, 5000]), st.sampled_from([0, 1 << 30]))
    some = st.dictionaries(st.sampled_from([*names, "gone"]), amounts, max_size=8)
    measured = st.builds(UsageFacts, source=st.just(UsageSource.METRICS_API), nodes=some)
    return st.one_of(st.just(NO_USAGE), st.just(NO_USAGE), measured)


@st.composite
def observations(draw, max_pools=3):
    names = draw(st.lists(st.sampled_from(NAMES), max_size=max_pools, unique=True))
    found = [draw(pools(name)) for name in names]
    held = sorted({n.offering for p in found for n in p.nodes})
    known = held if draw(st.booleans()) else [o for o in held if not draw(rare)]
    return Observation(
        cycle=draw(st.integers(1, 5)),
        at=AT,
        cluster=ClusterFacts(pools=tuple(found), inputs=draw(inputs)),
        market=MarketFacts(
            quotes={o: draw(sound_or_odd_quotes(o)) for o in known},
            commitments=draw(st.sampled_from(COMMITMENTS)),
            signals=draw(st.sampled_from(SIGNALS)),
        ),
        usage=draw(usages([n.name for p in found for n in p.nodes])),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is observed and how it is scored, before it is reduced."""

    observation: Observation
    scores: Mapping[Offering, OfferingScore]

    def assessed(self) -> Assessment:
        """Reduce it as inference does."""
        return assessed_with(self.observation, self.scores)


@st.composite
def scenes(draw):
    observed = draw(observations())
    held = sorted({n.offering for p in observed.cluster.pools for n in p.nodes})
    scored = held if draw(st.booleans()) else [o for o in held if not draw(rare)]
    return Scene(observation=observed, scores={o: draw(sound_or_odd_scores(o)) for o in scored})


assessments = scenes().map(Scene.assessed)

policies = st.sampled_from(PolicyMode)

limits = st.builds(
    capped,
    min_confidence=st.sampled_from([0.05, 0.5]),
    max_spot_ratio=st.sampled_from([0.0, 0.5, 0.85, 1.0]),
    on_demand_floor_nodes=st.integers(0, 4),
    max_pool_disruption_ratio=st.sampled_from([0.1, 0.5, 1.0]),
    max_cluster_disruption_ratio=st.sampled_from([0.05, 0.5, 1.0]),
    max_wave_nodes=st.integers(1, 8),
    exit_unsupported=st.booleans(),
    hold_unstated=rare,
)
