"""What one read-only cycle has found, as plain values.

Comes in: an observation and the plan made from it. Goes out: a `Report` that the screen and the
JSON output both show, so that they cannot differ. May not decide anything: decisions are the
plan's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from spotvortex.core.decision.messages import Decision, Plan, Proposal, Verdict
from spotvortex.core.domain.cloud.signals import BANDS
from spotvortex.core.domain.inputs import InputName, InputState
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.observation import ClusterFacts, PoolFacts
from spotvortex.core.domain.types import (
    Action,
    Blocker,
    CapacityType,
    GateName,
    Outcome,
    ProvisionerKind,
)
from spotvortex.core.domain.workloads import SURVIVAL_DEFAULT, need_of
from spotvortex.core.pool.blocking import (
    nodes_held_by,
)
from spotvortex.core.pool.commitments.coverage import covered_at
from spotvortex.core.pool.survival.zone_loss import Loss, breaking_losses
from spotvortex.report.assess.commitments import CommitmentsFound, commitments_found
from spotvortex.report.assess.on_demand import OnDemand, on_demand_of
from spotvortex.report.assess.readiness import WorkloadReadiness, readiness_rows
from spotvortex.report.assess.survival import PoolHold, SurvivalRow, pool_holds, workload_rows
from spotvortex.report.assess.usage import UsageFound, usage_found
from spotvortex.report.hosting import HostingRow, hosting_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGroupRow:
    """Nodes of one pool, instance type, zone and capacity type.

    Attributes:
        pool: the workload pool, "" of none.
        instance_type: the instance type.
        zone: the zone.
        capacity_type: how they are bought.
        n_nodes: number of nodes.
        price_usd_per_hour: price of one node, USD/h, None where it is unknown.
        price_source: who gave the price.
        last_resort: the price is from the table that ships with the product.
        advisor_band: its band of Spot Advisor, None where none is stated.
        placement_one: its placement score for one instance, 1 to 10, None where not known.
        placement_many: the same for 50 instances.
    """

    pool: str
    instance_type: str
    zone: str
    capacity_type: CapacityType
    n_nodes: int
    price_usd_per_hour: float | None
    price_source: str
    last_resort: bool
    advisor_band: str | None = None
    placement_one: int | None = None
    placement_many: int | None = None

    @property
    def cost_usd_per_hour(self) -> float | None:
        """What the group costs an hour at list price."""
        if self.price_usd_per_hour is None:
            return None
        return self.n_nodes * self.price_usd_per_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The cluster in numbers.

    Attributes:
        n_nodes: all nodes.
        n_spot: Spot nodes.
        n_on_demand: on-demand nodes.
        n_reserved: reserved nodes.
        n_unknown: nodes of unknown capacity type.
        n_unpooled: nodes that belong to no pool.
        n_pods: pods.
        n_pdbs: PodDisruptionBudgets.
        n_pools: pools.
        n_mixed_pools: pools that hold Spot and on-demand.
        provisioners: number of nodes by who creates them.
        cost_usd_per_hour: cost of the nodes whose price is known.
        priced_nodes: number of those nodes.
        last_resort: a price of them is from the table that ships with the product.
    """

    n_nodes: int
    n_spot: int
    n_on_demand: int
    n_reserved: int
    n_unknown: int
    n_unpooled: int
    n_pods: int
    n_pdbs: int
    n_pools: int
    n_mixed_pools: int
    provisioners: tuple[tuple[ProvisionerKind, int], ...]
    cost_usd_per_hour: float
    priced_nodes: int
    last_resort: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedBy:
    """A workload that keeps nodes from being moved.

    Attributes:
        workload: `namespace/Kind/name`, or the key of a PodDisruptionBudget whose pods have no
            owner.
        blocker: how it keeps them.
        n_nodes: nodes that it keeps.
    """

    workload: str
    blocker: Blocker
    n_nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingInput:
    """An input that cannot be read.

    Attributes:
        name: the input.
        state: what is wrong with it.
        detail: what its lack costs, and the fix.
        required: no pool may move without it.
    """

    name: str
    state: InputState
    detail: str
    required: bool


SAY_WHAT_MAY_BE_LOST: Final = frozenset(
    {InputName.PDBS, InputName.OWNERS, InputName.STATEFUL_SETS, InputName.NAMESPACES}
)
"""Without one of them nobody can say that a loss takes too little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that `assess` shows.

    Attributes:
        context: where the cluster was read, as the context of the kubeconfig.
        at: time of the observation, seconds since the epoch.
        seconds: how long it took.
        version: the version of SpotVortex.
        totals: the cluster in numbers.
        groups: its nodes by pool, type, zone and capacity type.
        on_demand: the on-demand nodes of each pool.
        blocked: the workloads that keep nodes from being moved.
        losses: the losses that would leave a workload with too few pods.
        workloads: each workload with the loss that hits it most, the worst first.
        readiness: how far each workload is ready for Spot, the worst first.
        holds: what stands most against more Spot in each pool.
        decisions: what would be decided, by pool.
        missing: the inputs that cannot be read.
        commitments: what commitments pay for, and what of them is unused.
        usage: what pools and workloads really use.
        hosting: what else than plain EC2 instances it runs on.
    """

    context: str
    at: float
    seconds: float
    version: str
    totals: Totals
    groups: tuple[NodeGroupRow, ...]
    on_demand: tuple[OnDemand, ...]
    blocked: tuple[BlockedBy, ...]
    losses: tuple[Loss, ...]
    workloads: tuple[SurvivalRow, ...]
    readiness: tuple[WorkloadReadiness, ...]
    holds: tuple[PoolHold, ...]
    decisions: tuple[Decision, ...]
    missing: tuple[MissingInput, ...]
    commitments: CommitmentsFound
    usage: UsageFound
    hosting: tuple[HostingRow, ...]

    @property
    def saving_usd_per_hour(self) -> float:
        """The high end of what the free on-demand nodes would save, USD/h at list price."""
        return sum(o.saving_usd_per_hour for o in self.on_demand)

    @property
    def unread(self) -> str:
        """The inputs that say what a loss may take of a workload and are not read, "" for none."""
        return ", ".join(m.name for m in self.missing if m.name in SAY_WHAT_MAY_BE_LOST)

    @property
    def least_saving_usd_per_hour(self) -> float:
        """The low end: the same once commitments are stated; till then they may pay for it all."""
        return self.saving_usd_per_hour if self.commitments.is_stated else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What surrounds the facts of a report.

    Attributes:
        context: where they were read, as the context of the kubeconfig.
        seconds: how long that took.
        version: the version of SpotVortex.
    """

    context: str
    seconds: float
    version: str


def make_report(plan: Plan, frame: Provenance) -> Report:
    """Put together what the screen and the JSON output show."""
    cluster, market = plan.observation.cluster, plan.observation.market
    groups = tuple(_groups(cluster, market))
    inputs = plan.observation.inputs
    default = plan.decisions[0].basis.limits.survival if plan.decisions else SURVIVAL_DEFAULT
    coverage = covered_at(plan.observation).coverage
    survival = workload_rows(cluster, default)
    return Report(
        context=frame.context,
        at=plan.at,
        seconds=frame.seconds,
        version=frame.version,
        totals=_totals(cluster, groups),
        groups=groups,
        on_demand=tuple(
            o for p in cluster.pools if (o := on_demand_of(p, market, coverage)).n_nodes
        ),
        blocked=_blocked(cluster.pools),
        losses=breaking_losses((work, need_of(work, default)) for work in cluster.workloads),
        workloads=survival,
        readiness=readiness_rows(cluster, survival),
        holds=pool_holds(cluster, default),
        decisions=plan.decisions,
        missing=tuple(
            MissingInput(name=h.name, state=h.state, detail=h.detail, required=h.required)
            for h in inputs
            if h.state is not InputState.OK
        ),
        commitments=commitments_found(cluster, coverage),
        usage=usage_found(plan.observation.usage, (d.input for d in plan.decisions)),
        hosting=hosting_rows(cluster),
    )


def _groups(cluster: ClusterFacts, market: MarketFacts) -> Iterable[NodeGroupRow]:
    counts = Counter((n.pool, n.offering, n.capacity_type) for n in cluster.nodes)
    for (pool, offering, kind), n in sorted(counts.items()):
        quote = market.quotes.get(offering, SpotQuote(offering=offering))
        band, placement = market.signals.bands.band_of(offering), market.signals.placement
        told = placement.get(offering)
        yield NodeGroupRow(
            pool=pool,
            instance_type=offering.instance_type,
            zone=offering.zone,
            capacity_type=kind,
            n_nodes=n,
            price_usd_per_hour=_price(quote, kind),
            price_source=quote.source,
            last_resort=quote.last_resort,
            advisor_band=None if band is None else BANDS[band],
            placement_one=told.for_one if told else None,
            placement_many=told.for_many if told else None,
        )


def _price(quote: SpotQuote, kind: CapacityType) -> float | None:
    """A reserved node is valued at on-demand; what was committed for it is not known here."""
    match kind:
        case CapacityType.SPOT:
            return quote.spot_usd_per_hour
        case CapacityType.ON_DEMAND | CapacityType.RESERVED:
            return quote.on_demand_usd_per_hour
        case CapacityType.UNKNOWN:
            return None


def _totals(cluster: ClusterFacts, groups: Sequence[NodeGroupRow]) -> Totals:
    kinds: Counter[CapacityType] = Counter()
    for group in groups:
        kinds[group.capacity_type] += group.n_nodes
    priced = [g for g in groups if g.cost_usd_per_hour is not None]
    provisioners = Counter(pool.provisioner for pool in cluster.pools)
    return Totals(
        n_nodes=sum(kinds.values()),
        n_spot=kinds[CapacityType.SPOT],
        n_on_demand=kinds[CapacityType.ON_DEMAND],
        n_reserved=kinds[CapacityType.RESERVED],
        n_unknown=kinds[CapacityType.UNKNOWN],
        n_unpooled=len(cluster.unpooled),
        n_pods=cluster.n_pods,
        n_pdbs=cluster.n_pdbs,
        n_pools=len(cluster.pools),
        n_mixed_pools=sum(1 for p in cluster.pools if _is_mixed(p)),
        provisioners=tuple(sorted(provisioners.items())),
        cost_usd_per_hour=sum(g.cost_usd_per_hour or 0.0 for g in priced),
        priced_nodes=sum(g.n_nodes for g in priced),
        last_resort=any(g.last_resort for g in priced),
    )


def _is_mixed(pool: PoolFacts) -> bool:
    held = {node.capacity_type for node in pool.nodes}
    return {CapacityType.SPOT, CapacityType.ON_DEMAND} <= held


def _blocked(pools: Iterable[PoolFacts]) -> tuple[BlockedBy, ...]:
    nodes: Mapping[tuple[str, Blocker], set[str]] = defaultdict(set)
    for pool in pools:
        for node in pool.nodes:
            for blocked in node.load.blocked:
                nodes[blocked.workload, blocked.blocker].add(node.name)
        for pdb in pool.pdbs:
            nodes[pdb.workload or pdb.key, Blocker.PDB_ALLOWS_ZERO].update(nodes_held_by(pdb))
    found = [
        BlockedBy(workload=workload, blocker=blocker, n_nodes=len(names))
        for (workload, blocker), names in nodes.items()
        if names
    ]
    return tuple(sorted(found, key=lambda b: (-b.n_nodes, b.workload, b.blocker)))


class Judged(Protocol):
    """What the gates have left of a proposal: a decision, or what a record says of one."""

    @property
    def action(self) -> Action:
        """What remains of the proposal."""
        ...

    @property
    def reason(self) -> str:
        """Why, in a word."""
        ...

    @property
    def proposal(self) -> Proposal:
        """What the policy wanted."""
        ...

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """The answers of the gates."""
        ...


def gates_in_words(decision: Judged) -> str:
    """Say what kept a decision from its proposal, or that nothing did.

    Who leads says nothing of the pool, and a look never leads: the lease is named where it is all.
    """
    refusing = [v for v in decision.verdicts if v.outcome is Outcome.REFUSE]
    if decision.proposal.action == decision.action or not refusing:
        return decision.reason.replace("_", " ")
    first = next((v for v in refusing if v.gate is not GateName.LEASE), refusing[0])
    more = f" (and {len(refusing) - 1} more)" if len(refusing) > 1 else ""
    return f"{first.gate.replace('_', ' ')}: {first.in_words}{more}"
