"""Small builders with sane defaults; every field can be overridden by name."""

from dataclasses import replace

from spotvortex.core.decision.budgets import cluster_budget
from spotvortex.core.decision.gates.base import Case
from spotvortex.core.decision.messages import Basis, ControllerState, Economics, PoolState, Proposal
from spotvortex.core.decision.reconcile import reconcile
from spotvortex.core.domain.cloud.commitments import (
    Commitment,
    CommitmentKind,
    Commitments,
    CommitmentState,
)
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.limits import Limits
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.observation import (
    BlockedWorkload,
    ClusterFacts,
    NodeFact,
    NodeLoad,
    Observation,
    PdbFact,
    PoolFacts,
)
from spotvortex.core.domain.types import (
    Action,
    Blocker,
    CapacityType,
    Offering,
    ProposalReason,
    ProvisionerKind,
)
from spotvortex.core.domain.workloads import SpotShare, WorkloadFact
from spotvortex.core.pool.assess import AssessmentMemory, told
from spotvortex.core.pool.assessment import Assessment
from spotvortex.core.pool.commitments.coverage import covered_at
from spotvortex.core.pool.context import cycle_context, trusted
from spotvortex.core.pool.input import (
    MAX_CANDIDATES,
    Candidate,
    GroupFit,
    Money,
    OfferingInput,
    PoolInput,
    Risk,
)
from spotvortex.core.pool.reduction import reduce_summary
from spotvortex.core.pool.summary import summary_of
from spotvortex.core.pool.survival.eviction import PodEvictability
from spotvortex.core.pool.survival.loss_safety import LossSafety
from spotvortex.core.pool.survival.safety_vector import SafetyVector
from spotvortex.core.scoring.features import OfferingScore

AT = 1_784_000_000.0
GIB = 1 << 30
WEB_A = Offering(instance_type="m6i.large", zone="us-east-1a")
WEB_B = Offering(instance_type="m6i.large", zone="us-east-1b")
CALM = Risk(capacity=0.02, runtime=0.03, worst=str(WEB_A), worst_runtime=0.03)
CHEAP = Money(
    spot_usd_per_hour=0.03, on_demand_usd_per_hour=0.10, covered_ratio=1.0, last_resort=False
)


def load(**changes):
    values = {
        "n_pods": 5,
        "n_workload_pods": 3,
        "cpu_milli": 1000,
        "memory_bytes": 4 * GIB,
        "workload_cpu_milli": 900,
        "workload_memory_bytes": 3 * GIB,
    }
    return NodeLoad(**(values | changes))


def node(name="n1", **changes):
    values = {
        "name": name,
        "uid": f"uid-{name}",
        "pool": "web",
        "provisioner": ProvisionerKind.KARPENTER,
        "offering": WEB_A,
        "capacity_type": CapacityType.SPOT,
        "created_at": AT - 7200.0,
        "node_group": "web",
        "claim": f"claim-{name}",
        "allocatable_cpu_milli": 2000,
        "allocatable_memory_bytes": 8 * GIB,
        "load": load(),
    }
    return NodeFact(**(values | changes))


def spot(name, offering=WEB_A, **changes):
    return node(name, offering=offering, capacity_type=CapacityType.SPOT, **changes)


def on_demand(name, offering=WEB_A, **changes):
    return node(name, offering=offering, capacity_type=CapacityType.ON_DEMAND, **changes)


def pdb(name="api", **changes):
    values = {
        "namespace": "shop",
        "name": name,
        "workload": f"shop/Deployment/{name}",
        "desired_healthy": 2,
        "disruptions_allowed": 1,
        "healthy_by_node": (),
    }
    return PdbFact(**(values | changes))


def vector(**changes):
    """A pool that would stand a loss well."""
    values = {
        "critical_spot_ratio": 0.0,
        "stateful_ratio": 0.0,
        "evictable_ratio": 1.0,
        "slack_one_pods": 3,
        "slack_two_pods": 2,
        "restart_p95_s": 60.0,
        "spare_on_demand_nodes": 4.0,
        "zone_score": 1.0,
    }
    return SafetyVector(**(values | changes))


def work(name="api", **changes):
    """A workload; its replicas are the Ready pods that it is given, unless said otherwise."""
    healthy = changes.get("healthy_by_node", ())
    values = {
        "namespace": "shop",
        "kind": "Deployment",
        "name": name,
        "n_replicas": sum(n for _, n in healthy),
    }
    return WorkloadFact(**(values | changes))


def standing(**changes):
    values = {
        "namespace": "shop",
        "name": "api-1",
        "uid": "uid-api-1",
        "workload": "shop/Deployment/api",
        "ready": True,
        "pending": False,
        "terminating": False,
        "stays": False,
        "grace_s": 30.0,
        "cpu_milli": 100,
    }
    return PodEvictability(**(values | changes))


def placed(budget, *nodes):
    """The budget or workload with its pods on Spot by offering, given all nodes of the cluster."""
    healthy = dict(budget.healthy_by_node)
    places = {}
    for n in nodes:
        if n.capacity_type is CapacityType.SPOT and n.name in healthy:
            places.setdefault(n.offering, []).append((healthy[n.name], n.cordoned or n.moving))
    shares = tuple(
        SpotShare(
            offering=o,
            n_nodes=len(pods),
            n_pods=sum(count for count, _ in pods),
            n_leaving=sum(count for count, leaves in pods if leaves),
        )
        for o, pods in sorted(places.items())
    )
    leaving = sum(healthy.get(n.name, 0) for n in nodes if n.cordoned or n.moving)
    return replace(budget, spot_by_offering=shares, n_leaving=leaving)


def pool(name="web", *, n_spot=2, n_on_demand=8, **changes):
    """A pool whose nodes alternate between two zones, alone in its cluster."""
    zones = (WEB_A, WEB_B)
    made = [spot(f"{name}-s{i}", zones[i % 2], pool=name) for i in range(n_spot)]
    made += [on_demand(f"{name}-d{i}", zones[i % 2], pool=name) for i in range(n_on_demand)]
    values = {
        "name": name,
        "provisioner": ProvisionerKind.KARPENTER,
        "nodes": tuple(made),
    } | changes
    for kind in ("pdbs", "workloads"):
        values[kind] = tuple(placed(fact, *values["nodes"]) for fact in values.get(kind, ()))
    return PoolFacts(**values)


def health(name="nodes", **changes):
    values = {"name": name, "state": InputState.OK, "age_s": 2.0}
    return InputHealth(**(values | changes | {"name": InputName(name)}))


HEALTHY = (health("nodes"), health("pods"), health("pdbs"))


def cluster(*pools, **changes):
    return ClusterFacts(**({"pools": pools, "inputs": HEALTHY} | changes))


def quote(offering=WEB_A, **changes):
    values = {
        "offering": offering,
        "spot_usd_per_hour": 0.03,
        "on_demand_usd_per_hour": 0.10,
        "history_usd_per_hour": (0.03,) * 1009,
        "age_s": 60.0,
        "source": "test",
    }
    return SpotQuote(**(values | changes))


def plan_of(name="sp", usd_per_hour=1.0, **changes):
    """A Savings Plan: an EC2 Instance one where a family is given, else a Compute one."""
    kind = CommitmentKind.INSTANCE_PLAN if changes.get("family") else CommitmentKind.COMPUTE_PLAN
    values = {"name": name, "kind": kind, "amount": usd_per_hour, "discount_ratio": 0.25}
    return Commitment(**(values | changes))


def reserved(name="ri", amount=1.0, **changes):
    """Reserved instances: zonal ones of a type where a zone is given, else units of a family."""
    zonal = {"kind": CommitmentKind.ZONAL_RESERVED, "instance_type": "m6i.large"}
    regional = {"kind": CommitmentKind.REGIONAL_RESERVED, "family": "m6i", "region": "us-east-1"}
    values = {"name": name, "amount": amount, **(zonal if changes.get("zone") else regional)}
    return Commitment(**(values | changes))


def stated(*items):
    return Commitments(state=CommitmentState.STATED, items=items)


def market(*quotes, **changes):
    values = {"quotes": {q.offering: q for q in quotes or (quote(WEB_A), quote(WEB_B))}}
    return MarketFacts(**(values | changes))


def observation(*pools, **changes):
    values = {"cycle": 7, "at": AT, "cluster": cluster(*pools), "market": market()}
    return Observation(**(values | changes))


def score(offering=WEB_A, **changes):
    values = {
        "offering": offering,
        "capacity_score": 0.02,
        "runtime_score": 0.03,
        "in_scope": True,
        "n_history": 1009,
    }
    return OfferingScore(**(values | changes))


def assessment(observed, **of_every_score):
    """Score every offering of an observation alike."""
    offerings = {n.offering for p in observed.cluster.pools for n in p.nodes}
    return assessed_with(observed, {o: score(o, **of_every_score) for o in sorted(offerings)})


def reduce_pool(facts, sight):
    """Reduce a pool that nobody has summed up yet."""
    return reduce_summary(summary_of(facts), trusted(sight))


def assessed_with(observed, scores, limits=None):
    """Reduce every pool of an observation by these scores."""
    coverage = covered_at(observed).coverage
    sight = cycle_context(observed, scores, limits or Limits(), coverage=coverage)
    by_name = sorted(observed.cluster.pools, key=lambda p: p.name)
    pools = tuple(
        told(reduce_summary(shape, sight), shape, observed, AssessmentMemory(), {})
        for shape in map(summary_of, by_name)
    )
    return Assessment(observation=observed, pools=pools, model_digest="digest")


def plan_for(*pools, limits=None, state=None, **of_every_score):
    """The plan of one cycle over pools in a calm market, and the state after it."""
    scored = assessment(observation(*pools), **of_every_score)
    after, plan = reconcile(state or ControllerState(), scored, limits or capped())
    return plan, after


def candidate(name="n1", **changes):
    values = {
        "node": name,
        "uid": f"uid-{name}",
        "claim": f"claim-{name}",
        "node_group": "web",
        "offering": WEB_A,
        "n_pods": 3,
        "workload_cpu_milli": 900,
        "workload_memory_bytes": 3 * GIB,
        "sides": ("web",),
    }
    return Candidate(**(values | changes))


def safety(**changes):
    values = {
        "n_pdbs": 1,
        "known": True,
        "margin_pods": 3,
        "margin_pdb": "shop/api",
        "margin_zone": "us-east-1a",
        "safe_to_spot_nodes": 8,
        "n_workloads": 1,
        "least_pods": 3,
        "least_of": "shop/Deployment/api",
        "least_loss": "zone us-east-1a",
        "safe_by_word_nodes": 8,
    }
    return LossSafety(**(values | changes))


def room(**changes):
    """A NodePool without limits that may take every node."""
    values = {"node_group": "web", "n_placed": 10, "sizes_known": True}
    sizes = {"launch_cpu_milli": 2000, "launch_memory_mib": 8192}
    return GroupFit(**(values | sizes | changes))


def offered(offering=WEB_A, **changes):
    """An offering of which all is known, held for a day."""
    values = {
        "offering": offering,
        "n_spot": 0,
        "n_on_demand": 0,
        "spot_usd_per_hour": 0.03,
        "on_demand_usd_per_hour": 0.10,
        "capacity_score": 0.02,
        "runtime_score": 0.03,
        "in_scope": True,
        "held_hours": 24.0,
    }
    return OfferingInput(**(values | changes))


def pool_input(*, n_spot=10, n_on_demand=10, **changes):
    """A pool in good order that wants and may have more Spot."""
    values = {
        "pool": "web",
        "at": AT,
        "provisioner": ProvisionerKind.KARPENTER,
        "n_spot": n_spot,
        "n_on_demand": n_on_demand,
        "n_reserved": 0,
        "n_unknown": 0,
        "n_spot_out_of_scope": 0,
        "n_moving": 0,
        "n_not_ready": 0,
        "allows_spot": True,
        "allows_on_demand": True,
        "cpu_requested_ratio": 0.5,
        "memory_requested_ratio": 0.5,
        "offerings": (),
        "n_offerings": 0,
        "spot_risk": CALM,
        "entry_risk": CALM,
        "spot_money": CHEAP,
        "entry_money": CHEAP,
        "safety": safety(),
        "to_on_demand": tuple(candidate(f"s{i}") for i in range(min(n_spot, MAX_CANDIDATES))),
        "to_spot": tuple(candidate(f"d{i}") for i in range(min(n_on_demand, MAX_CANDIDATES))),
        "n_spot_movable": n_spot,
        "n_on_demand_movable": n_on_demand,
        "room_on_demand": room(n_placed=n_spot),
        "room_spot": room(n_placed=n_on_demand),
        "blocked": (),
        "unsupported": (),
        "out_of_range": (),
        "outage_hours": None,
        "outage_said_ratio": 0.0,
        "startup_s": 120.0,
        "steps_since_move": 12.0,
        "price_deviation_usd_per_hour": 0.0,
        "oldest_input_s": 2.0,
        "bad_inputs": (),
        "confidence_terms": (("freshness", 0.98), ("scores", 1.0)),
    }
    return PoolInput(**(values | changes))


CAPS = {
    "emergency_risk": 0.90,
    "emergency_runtime_risk": 0.80,
    "high_risk": 0.60,
    "medium_risk": 0.35,
}
"""The risks at which an owner may cap a pool: those of the Go agent. None is on by default."""


def capped(**changes):
    """Limits of an owner who caps the risk."""
    return Limits(**(CAPS | {"dwell_s": 600.0} | changes))


GOOD = Economics(
    discount_ratio=0.7,
    saving_usd_per_hour=0.07,
    risk_cost_usd_per_hour=0.001,
    net_usd_per_hour=0.069,
    migration_usd=0.005,
    payback_hours=0.1,
)


def risk_of(p):
    """Both scores of a pool at one value."""
    return Risk(capacity=p, runtime=p, worst=str(WEB_A), worst_runtime=p)


def proposal(action=Action.INCREASE_10, reason="economic_increase"):
    return Proposal(action=action, reason=ProposalReason(reason))


def basis(data=None, **changes):
    """All that one decision is a function of; the budget is that of a cluster of this pool."""
    data = data or pool_input()
    limits = changes.get("limits", capped())
    values = {
        "cycle": 7,
        "pool": data,
        "state": PoolState(),
        "budget": cluster_budget([data], limits),
        "limits": limits,
        "model_digest": "digest",
    }
    return Basis(**(values | changes))


def case(action=Action.INCREASE_10, reason="economic_increase", **changes):
    """A case that every gate with an input allows; fields of the basis are given by name."""
    economics = changes.pop("economics", GOOD)
    made = basis(changes.pop("pool", None), **changes)
    return Case(basis=made, proposal=proposal(action, reason), economics=economics)


def with_load_blocker(fact, blocker):
    blocked = (BlockedWorkload(blocker=Blocker(blocker), workload="shop/Deployment/api"),)
    return replace(fact, load=replace(fact.load, blocked=blocked))
