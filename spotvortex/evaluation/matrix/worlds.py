"""The worlds of protocol 2: three pools by class, their market, their demand.

Comes in: the constants, and a family, a mix and a seed. Goes out: workloads, counts of capacity and
a supply. A world depends on those alone, so that every policy meets the same one, and a pool that
is run by itself has the same market as with the others. May not know a policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spotvortex.core.domain.types import Offering
from spotvortex.evaluation.matrix.constants import Constants, MatrixSensitivities, WorkloadClass
from spotvortex.evaluation.matrix.market import PartialSupply, chosen, with_shortage
from spotvortex.evaluation.worlds import START_AT, read_long_trace
from spotvortex.sim.account.billing import DAY_S, pods_per_node
from spotvortex.sim.cluster.scenario import Workload
from spotvortex.sim.market.counts import CapacityCounts
from spotvortex.sim.market.instance_types import MIB
from spotvortex.sim.market.random_streams import stream
from spotvortex.sim.market.semimarkov import FAMILIES, generate
from spotvortex.sim.market.shortage_clock import TimeSpan
from spotvortex.sim.market.supply import NoticeTiming, Signals, Supply

GRACE_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldVariant:
    """One change of the worlds.

    Attributes:
        name: the `variant` of results, "" where nothing changes.
        ci_factor: factor on what owners say that an interruption costs.
        boot_factor: factor on the time that a node takes to come.
        notice_loss_ratio: share of interruptions without a notice, 0..1; None as the protocol says.
    """

    name: str = ""
    ci_factor: float = 1.0
    boot_factor: float = 1.0
    notice_loss_ratio: float | None = None


UNCHANGED: Final = WorldVariant()


def variants_of(said: MatrixSensitivities) -> tuple[WorldVariant, ...]:
    """Return the changes of the worlds, one after the other."""
    by_cost = (WorldVariant(name=f"ci-x{f:g}", ci_factor=f) for f in said.ci_factor)
    by_boot = (WorldVariant(name=f"boot-x{f:g}", boot_factor=f) for f in said.boot_factor)
    by_loss = (
        WorldVariant(name=f"notice-loss-{100.0 * r:g}pct", notice_loss_ratio=r)
        for r in said.notice_loss_ratio
    )
    return (*by_cost, *by_boot, *by_loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixWorld:
    """Which world: everything that all policies share.

    Attributes:
        constants: what every world has.
        family: the family's name.
        mix: the mix of demand.
        seed: the world's seed.
        variant: the change of the world.
        traces: recorded series of a family that replays, None of any other.
        pool: the only pool that is run, "" for all.
    """

    constants: Constants
    family: str
    mix: str
    seed: int
    variant: WorldVariant = UNCHANGED
    traces: Path | None = None
    pool: str = ""

    @property
    def classes(self) -> tuple[WorkloadClass, ...]:
        """The pools that are run."""
        return tuple(c for c in self.constants.classes if self.pool in ("", c.name))

    def outage_hours(self, one: WorkloadClass) -> float:
        """Return what its owners say that losing a node of a pool costs, in hours."""
        return one.outage_hours[self.seed % len(one.outage_hours)] * self.variant.ci_factor

    def unit(self, one: WorkloadClass) -> Offering:
        """Return the offering in whose nodes the demand of a pool is counted."""
        zone = self.constants.world.zones[0]
        return Offering(instance_type=one.instance_types[0], zone=zone)

    def offerings(self, one: WorkloadClass) -> tuple[Offering, ...]:
        """Return what a pool can buy on Spot."""
        zones = self.constants.world.zones
        return tuple(Offering(instance_type=t, zone=z) for t in one.instance_types for z in zones)


def workloads_of(world: MatrixWorld, one: WorkloadClass) -> tuple[Workload, ...]:
    """Return the Deployments of a pool."""
    shape = world.constants.world
    plain = Workload(
        namespace=one.name,
        name="app",
        pool=one.name,
        cpu_milli=shape.cpu_milli,
        memory_bytes=shape.memory_mib * MIB,
        grace_s=GRACE_S,
        max_unavailable_ratio=shape.max_unavailable_ratio,
        outage_hours=world.outage_hours(one),
    )
    n_pods = shape.nodes_per_pool * pods_per_node(one.instance_types[0], plain)
    n_each = n_pods // shape.deployments_per_pool
    return tuple(_named(plain, k, n_each) for k in range(shape.deployments_per_pool))


def _named(plain: Workload, number: int, replicas: int) -> Workload:
    return Workload(
        namespace=plain.namespace,
        name=f"app-{number}",
        pool=plain.pool,
        replicas=replicas,
        cpu_milli=plain.cpu_milli,
        memory_bytes=plain.memory_bytes,
        grace_s=plain.grace_s,
        max_unavailable_ratio=plain.max_unavailable_ratio,
        outage_hours=plain.outage_hours,
    )


def counts_of(world: MatrixWorld) -> Mapping[Offering, CapacityCounts]:
    """Return how much of each offering there is, of all pools, whichever are run.

    Raises:
        TraceError: the world replays a trace that cannot be read, or is too short.
    """
    of = world.constants
    everything = [o for one in of.classes for o in world.offerings(one)]
    family = of.family(world.family)
    if family.replays:
        assert world.traces is not None
        return _replayed(world, world.traces, everything)
    counts = generate(
        seed=world.seed,
        family=FAMILIES[family.market],
        offerings=everything,
        span=TimeSpan(start_at=START_AT, seconds=(of.world.n_days + 1) * DAY_S),
        full_count=of.world.nodes_per_pool,
    )
    if not family.shortage:
        return counts
    return with_shortage(counts, [c.instance_types for c in of.classes], of.shortage, world.seed)


def _replayed(
    world: MatrixWorld, path: Path, offerings: list[Offering]
) -> Mapping[Offering, CapacityCounts]:
    """Lay recorded counts over the offerings; each seed begins on another day of the record."""
    n_days = world.constants.world.n_days
    trace = read_long_trace(path, n_days)
    chance = stream(world.seed, "replay")
    n_starts = int((trace.end_at - trace.start_at) // DAY_S) - n_days + 1
    shift = START_AT - (trace.start_at + chance.randrange(n_starts) * DAY_S)
    dealt = chosen(list(trace.counts.values()), len(offerings), chance)
    return {
        offering: CapacityCounts(times=tuple(t + shift for t in one.times), values=one.values)
        for offering, one in zip(offerings, dealt, strict=True)
    }


def supply_of(world: MatrixWorld, counts: Mapping[Offering, CapacityCounts]) -> Supply:
    """Return the hidden side of the market."""
    said, of = world.variant.notice_loss_ratio, world.constants
    lost = of.world.notice_loss_ratio if said is None else said
    notices = NoticeTiming(flawed_ratio=lost, missing_ratio=1.0)
    return PartialSupply(
        seed=world.seed,
        counts=counts,
        announced=Signals(notices=notices),
        delivery=of.delivery,
    )
