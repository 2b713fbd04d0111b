"""The policies of protocol 2 as clusters: what users run, and SpotVortex.

Comes in: a world and a policy's name. Goes out: a `Trial`. Each rival is what its source says:

- K-under, K-empty: Karpenter as it is measured: at a notice it deletes the NodeClaim and evicts, it
  leaves an offering that failed or was interrupted alone for three minutes, and where a launch has
  failed it asks for on-demand in a second attempt.
- CA: Cluster Autoscaler with twin groups by capacity type and the priority expander, Spot first; it
  waits for a group for 15 minutes before it asks the other, removes what nobody needs after ten,
  and never goes back by itself. Notices are handled by the node termination handler's queue mode.
- STATIC: a share of each workload pinned to on-demand, the rest as under Karpenter.
- SpotHedge: extra Spot nodes, on-demand where Spot is short, two lists of offerings.

May not know a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from spotvortex.core.domain.cloud.commitments import (
    Commitment,
    CommitmentKind,
    Commitments,
    CommitmentState,
)
from spotvortex.core.domain.market import MarketFacts
from spotvortex.core.domain.types import CapacityType, Offering, ProvisionerKind
from spotvortex.evaluation.matrix.constants import Constants, KarpenterRival, WorkloadClass
from spotvortex.evaluation.matrix.worlds import MatrixWorld, counts_of, supply_of, workloads_of
from spotvortex.evaluation.oracle_forecaster import OracleForecaster
from spotvortex.evaluation.run import Controller, Trial
from spotvortex.evaluation.worlds import (
    LEARNED,
    OURS,
    OURS_BESIDE,
    OURS_CONSTANT,
    OURS_GRAPH,
    OURS_ORACLE,
    START_AT,
    STEP_S,
    TICK_S,
    limits_of,
)
from spotvortex.ports.model import Forecaster
from spotvortex.sim.cluster.demand import Demand, least_factor
from spotvortex.sim.cluster.scenario import (
    WHEN_EMPTY,
    WHEN_UNDERUTILIZED,
    Fleet,
    NodeGroup,
    Scenario,
    Workload,
)
from spotvortex.sim.market.hazard_supply import CALM, RegimePhase
from spotvortex.sim.market.instance_types import instance_type_of
from spotvortex.sim.market.prices import SimulatedMarket

OD: Final = "OD"
CA: Final = "CA"
STATIC_PREFIX: Final = "STATIC-"
SPOTHEDGE_PREFIX: Final = "SpotHedge-"
UNPRICED: Final = "spotvortex-without-outage-price"
UNCOMMITTED: Final = "spotvortex-without-commitments"
ABLATIONS: Final = (OURS_CONSTANT, OURS_GRAPH, OURS_ORACLE, OURS_BESIDE, UNPRICED, UNCOMMITTED)
"""SpotVortex with something taken away, or with scores that come true."""

_SPOT: Final = CapacityType.SPOT
_ON_DEMAND: Final = CapacityType.ON_DEMAND
_SPOT_WEIGHT: Final = 50
"""Priority of the Spot group under the priority expander; the other's is 0."""


def is_ours(policy: str) -> bool:
    """Tell whether a policy is one of SpotVortex."""
    return policy in (OURS, *ABLATIONS, *LEARNED)


def static_name(on_demand_ratio: float) -> str:
    """Return the name of the policy that pins a share to on-demand."""
    return f"{STATIC_PREFIX}{100.0 * on_demand_ratio:g}pct"


def spothedge_name(n_extra: int) -> str:
    """Return the name of SpotHedge with so many extra nodes a pool."""
    return f"{SPOTHEDGE_PREFIX}{n_extra}"


def plan_usd_per_hour(of: Constants, mix: str, commitment: str) -> float:
    """Return the on-demand usage at list prices that a commitment pays for, in USD an hour."""
    share = next(c.share_ratio for c in of.commitments if c.name == commitment)
    prices = [instance_type_of(c.instance_types[0]).on_demand_usd_per_hour for c in of.classes]
    return share * least_factor(mix) * of.world.nodes_per_pool * sum(prices)


@dataclass(slots=True)
class SplitDemand(Demand):
    """Demand of workloads of which a share is pinned; the parts add up to the whole.

    Attributes:
        pinned_ratio: the share of the pods that is pinned to on-demand, 0..1.
        is_pinned: by workload, whether it is the pinned part.
        whole: by workload, the usual pods of both parts.
    """

    pinned_ratio: float = 0.0
    is_pinned: dict[str, bool] = field(default_factory=dict)
    whole: dict[str, int] = field(default_factory=dict)

    def replicas(self, key: str, usual: int, now_s: float) -> int:
        """Return how many pods of a part are wanted. See `Demand.replicas`."""
        n_all = Demand.replicas(self, key, self.whole.get(key, usual), now_s)
        if key not in self.is_pinned:
            return n_all
        n_pinned = round(n_all * self.pinned_ratio)
        return n_pinned if self.is_pinned[key] else n_all - n_pinned


class CommittedMarket(SimulatedMarket):
    """A market beside which an owner has stated what is committed to."""

    def __init__(self, *, seed: int, start_at: float, commitments: Commitments) -> None:
        """Open the market.

        Args:
            seed: the world's seed.
            start_at: start of the simulation, seconds since the epoch.
            commitments: what is stated.
        """
        super().__init__(seed=seed, start_at=start_at)
        self._commitments = commitments

    def facts(self, offerings: Iterable[Offering], now: float) -> MarketFacts:
        """Return a quote for every offering asked for, and the commitments."""
        return replace(super().facts(offerings, now), commitments=self._commitments)


def trial_of(
    world: MatrixWorld, policy: str, commitment: str, forecaster: Callable[[str], Forecaster]
) -> Trial:
    """Make the trial of one policy in one world.

    Args:
        world: which world.
        policy: a name of this module.
        commitment: the commitment that SpotVortex is told of, "" for none.
        forecaster: gives the model of a policy of SpotVortex by its name.

    Raises:
        TraceError: the world replays a trace that cannot be read, or is too short.
    """
    counts = counts_of(world)
    workloads = [w for one in world.classes for w in _workloads(world, one, policy)]
    controller = None
    if is_ours(policy):
        knows = policy == OURS_ORACLE
        families = tuple(sorted({o.family for o in counts}))
        model = OracleForecaster(counts=counts, families=families) if knows else forecaster(policy)
        controller = Controller(
            forecaster=model,
            limits=limits_of(STEP_S, is_learned=policy in LEARNED),
            tick_s=TICK_S,
            hears_notices=policy != OURS_BESIDE,
        )
    return Trial(
        scenario=_scenario(world, policy, tuple(workloads)),
        market=_market(world, "" if policy == UNCOMMITTED else commitment),
        supply=supply_of(world, counts),
        seed=world.seed,
        n_days=world.constants.world.n_days,
        unit_of={one.name: world.unit(one) for one in world.classes},
        demand=_demand(world, policy, workloads),
        spare_pods={w.key: _n_extra(policy) for w in workloads} if _n_extra(policy) else {},
        controller=controller,
        outage_minutes=_outage_minutes(world, workloads),
        growth_grace_s=world.constants.world.growth_grace_s,
    )


def _market(world: MatrixWorld, commitment: str) -> SimulatedMarket:
    of = world.constants
    usd = plan_usd_per_hour(of, world.mix, commitment) if commitment else 0.0
    if usd == 0.0:
        return SimulatedMarket(seed=world.seed, start_at=START_AT)
    plan = Commitment(
        name=commitment,
        kind=CommitmentKind.COMPUTE_PLAN,
        amount=usd * (1.0 - of.plan_discount_ratio),
        discount_ratio=of.plan_discount_ratio,
    )
    stated = Commitments(state=CommitmentState.STATED, items=(plan,))
    return CommittedMarket(seed=world.seed, start_at=START_AT, commitments=stated)


def _n_extra(policy: str) -> int:
    """Return the spare pods of each workload: an extra node has one of each of four Deployments."""
    if not policy.startswith(SPOTHEDGE_PREFIX):
        return 0
    return int(policy.removeprefix(SPOTHEDGE_PREFIX))


def _pinned_ratio(policy: str) -> float | None:
    if not policy.startswith(STATIC_PREFIX):
        return None
    return float(policy.removeprefix(STATIC_PREFIX).removesuffix("pct")) / 100.0


def _workloads(world: MatrixWorld, one: WorkloadClass, policy: str) -> tuple[Workload, ...]:
    plain, pinned, n_extra = workloads_of(world, one), _pinned_ratio(policy), _n_extra(policy)
    if pinned is not None:
        return tuple(part for w in plain for part in _split(w, pinned))
    if policy == UNPRICED:
        return tuple(replace(w, outage_hours=None) for w in plain)
    return tuple(replace(w, replicas=w.replicas + n_extra) for w in plain)


def _split(workload: Workload, on_demand_ratio: float) -> tuple[Workload, ...]:
    """Pin a share of a workload to on-demand; the rest may be on Spot, and falls back."""
    n_pinned = round(workload.replicas * on_demand_ratio)
    parts = (
        replace(workload, name=f"{workload.name}-any", replicas=workload.replicas - n_pinned),
        replace(
            workload,
            name=f"{workload.name}-od",
            replicas=n_pinned,
            capacity_type=_ON_DEMAND,
        ),
    )
    return tuple(part for part in parts if part.replicas)


def _demand(world: MatrixWorld, policy: str, workloads: list[Workload]) -> Demand:
    pinned = _pinned_ratio(policy)
    if pinned is None or pinned in (0.0, 1.0):
        return Demand(world.mix, world.seed)
    whole: dict[str, int] = {}
    for w in workloads:
        whole[_stem(w)] = whole.get(_stem(w), 0) + w.replicas
    return SplitDemand(
        world.mix,
        world.seed,
        pinned_ratio=pinned,
        is_pinned={w.key: w.capacity_type is _ON_DEMAND for w in workloads},
        whole={w.key: whole[_stem(w)] for w in workloads},
    )


def _stem(part: Workload) -> str:
    return part.key.removesuffix("-any").removesuffix("-od")


def _outage_minutes(world: MatrixWorld, workloads: list[Workload]) -> dict[str, float]:
    """Return what an interruption costs each workload, whatever its owner has said."""
    hours = {one.name: world.outage_hours(one) for one in world.classes}
    return {w.key: 60.0 * hours[w.pool] for w in workloads}


def _scenario(world: MatrixWorld, policy: str, workloads: tuple[Workload, ...]) -> Scenario:
    groups = [g for one in world.classes for g in _groups(world, one, policy)]
    fleets = [
        Fleet(
            group=f"{one.name}-od" if policy == CA else one.name,
            instance_type=one.instance_types[0],
            capacity_type=_ON_DEMAND,
            count=world.constants.world.nodes_per_pool,
        )
        for one in world.classes
    ]
    return Scenario(
        start_at=START_AT,
        groups=tuple(groups),
        fleets=tuple(fleets),
        workloads=workloads,
        phases=(RegimePhase(starts_s=0.0, regime=CALM),),
        step_s=STEP_S,
        boot_factor=world.variant.boot_factor,
    )


def _groups(world: MatrixWorld, one: WorkloadClass, policy: str) -> tuple[NodeGroup, ...]:
    of = world.constants
    if policy == CA:
        return _twins(world, one)
    setting = _setting(of, policy)
    karpenter = NodeGroup(
        name=one.name,
        pool=one.name,
        capacity_types=(_ON_DEMAND,) if policy == OD else (_SPOT, _ON_DEMAND),
        instance_types=one.instance_types,
        zones=of.world.zones,
        consolidation=WHEN_EMPTY if policy == of.rivals.k_empty.name else WHEN_UNDERUTILIZED,
        consolidate_after_s=setting.consolidate_after_s,
        disruption_ratio=setting.disruption_budget_ratio,
        second_attempt_s=of.rivals.second_attempt_s,
        remembers_interruptions=True,
        lists_lost=policy.startswith(SPOTHEDGE_PREFIX),
    )
    return (karpenter,)


def _setting(of: Constants, policy: str) -> KarpenterRival:
    """Return Karpenter's settings under a policy: its own, the pinned ones', or the first."""
    known = {s.name: s for s in (*of.rivals.k_under, of.rivals.k_empty)}
    pinned = policy.startswith((STATIC_PREFIX, SPOTHEDGE_PREFIX))
    return known.get(of.rivals.static_setting if pinned else policy, of.rivals.k_under[0])


def _twins(world: MatrixWorld, one: WorkloadClass) -> tuple[NodeGroup, NodeGroup]:
    """Return two groups of one pool, Spot before on-demand."""
    of = world.constants
    spot = NodeGroup(
        name=f"{one.name}-spot",
        pool=one.name,
        provisioner=ProvisionerKind.CLUSTER_AUTOSCALER,
        capacity_types=(_SPOT,),
        instance_types=one.instance_types,
        zones=of.world.zones,
        weight=_SPOT_WEIGHT,
        consolidation="",
        max_provision_s=of.rivals.max_provision_s,
        unneeded_s=of.rivals.unneeded_s,
    )
    on_demand = replace(
        spot,
        name=f"{one.name}-od",
        capacity_types=(_ON_DEMAND,),
        weight=0,
        max_provision_s=0.0,
    )
    return spot, on_demand
