"""Protocol 2: every constant that its matrix rests on, fixed before the first result.

Comes in: `constants.json` beside this module, or somebody else's file of the same form. Goes out:
`Constants`, with the SHA-256 of the very bytes of the file. Why each has its value stands in ADR
0036. May not fill in a missing field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spotvortex.core.domain.cloud.instance_types import vcpus_of
from spotvortex.errors import ProtocolError
from spotvortex.evaluation.protocol import Bootstrap, read_form
from spotvortex.results.matrix import CellBounds
from spotvortex.sim.cluster.demand import MIXES
from spotvortex.sim.market.semimarkov import FAMILIES

OWN_PATH: Final = Path(__file__).with_name("constants.json")
VERSION: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedCosts:
    """What things cost; an interruption costs what the class says.

    Attributes:
        v: what an on-demand dollar's worth of served demand is worth, in dollars.
        cm: what a planned move costs, in minutes of the node's on-demand price.
    """

    v: float
    cm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What every world has.

    Attributes:
        nodes_per_pool: nodes' worth of demand in each pool.
        deployments_per_pool: Deployments of equal size in each pool.
        max_unavailable_ratio: share of its pods that each budget lets be away, rounded up.
        cpu_milli: CPU request of a pod, in thousandths of a core.
        memory_mib: memory request of a pod, in MiB.
        zones: the zones.
        n_days: days of each run.
        notice_loss_ratio: interruptions without a notice, 0..1.
        growth_grace_s: for so long pods that a workload has grown by are not missed in outages.
    """

    nodes_per_pool: int
    deployments_per_pool: int
    max_unavailable_ratio: float
    cpu_milli: int
    memory_mib: int
    zones: tuple[str, ...]
    n_days: int
    notice_loss_ratio: float
    growth_grace_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadClass:
    """A class of workloads, which has a pool of its own.

    Attributes:
        name: the pool's name as well.
        outage_hours: what losing a node costs, in hours of its on-demand price; of several figures
            each seed takes the next.
        instance_types: the types that the pool may use; the first is the one that demand is counted
            in and that everything begins on.
    """

    name: str
    outage_hours: tuple[float, ...]
    instance_types: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixFamily:
    """A family of worlds.

    Attributes:
        name: the family's name.
        market: the market that capacity is drawn from, "" where it replays.
        shortage: once a week some types are short in all zones.
        replays: it replays recorded series.
        halves_outage: the policy may have half of a rival's outage minutes at most.
    """

    name: str
    market: str
    shortage: bool
    replays: bool
    halves_outage: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedRange:
    """Seeds from a first to a last, both included."""

    first: int
    last: int

    @property
    def seeds(self) -> range:
        """All of them."""
        return range(self.first, self.last + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A shortage of some types in all zones, once a week.

    Attributes:
        n_types: types of each pool that are short.
        min_hours: shortest duration.
        max_hours: longest duration.
        onset_s: within so many seconds it has reached every zone.
    """

    n_types: int
    min_hours: float
    max_hours: float
    onset_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How launches are fulfilled in part.

    Attributes:
        probe_s: for so many seconds one draw holds.
        partial_ratio: share of draws in which an offering that is short gives only some nodes.
        least: fewest nodes that it then gives.
        most: most nodes that it then gives.
        short_for_s: an offering is short for so many seconds after it was not there in full.
    """

    probe_s: float
    partial_ratio: float
    least: int
    most: int
    short_for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedShare:
    """A Savings Plan over a share of each pool's smallest demand.

    Attributes:
        name: its name in results.
        share_ratio: that share, 0..1.
    """

    name: str
    share_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KarpenterRival:
    """One setting of plain Karpenter.

    Attributes:
        name: the policy's name in results.
        consolidate_after_s: how long a node has to be quiet before it may be consolidated.
        disruption_budget_ratio: share of nodes that may be disrupted at once.
    """

    name: str
    consolidate_after_s: float
    disruption_budget_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rivals:
    """What users run.

    Attributes:
        k_under: settings of Karpenter that consolidates underutilised nodes.
        k_empty: Karpenter that consolidates empty nodes alone.
        second_attempt_s: seconds after which Karpenter asks again where a launch has failed.
        max_provision_s: Cluster Autoscaler's `max-node-provision-time`.
        unneeded_s: Cluster Autoscaler's `scale-down-unneeded-time`.
        static_setting: the setting of Karpenter under workloads of which a share is pinned.
        static_on_demand_ratio: shares of a class that may be pinned to on-demand, 0..1.
        spothedge_n_extra: extra nodes of each pool that SpotHedge may keep.
    """

    k_under: tuple[KarpenterRival, ...]
    k_empty: KarpenterRival
    second_attempt_s: float
    max_provision_s: float
    unneeded_s: float
    static_setting: str
    static_on_demand_ratio: tuple[float, ...]
    spothedge_n_extra: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixSensitivities:
    """What is changed beside the verdict, one at a time.

    Attributes:
        ci_factor: factors on what an interruption costs; the owners say so too.
        boot_factor: factors on the time that a node takes to come.
        notice_loss_ratio: shares of interruptions without a notice, 0..1.
    """

    ci_factor: tuple[float, ...]
    boot_factor: tuple[float, ...]
    notice_loss_ratio: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    """The smallest extent that fills every cell, on validation seeds.

    Attributes:
        n_seeds: the first so many.
        mix: the only mix.
    """

    n_seeds: int
    mix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """The whole of protocol 2.

    Attributes:
        version: of this form.
        costs: what things cost.
        world: what every world has.
        classes: the pools.
        families: families of worlds.
        mixes: mixes of demand.
        validation_seeds: seeds for tuning, and for choosing a rival's setting.
        test_seeds: seeds of the verdict.
        shortage: the shortage of a family that has one.
        delivery: how launches are fulfilled in part.
        commitments: what the account has committed to.
        plan_discount_ratio: share of the on-demand price that a plan saves.
        rivals: settings of the rivals.
        gate: what has to be reached.
        bootstrap: how intervals are made.
        sensitivities: what is changed beside the verdict.
        quick: the smallest extent.
        digest: SHA-256 of the file, hexadecimal.
    """

    version: int
    costs: FixedCosts
    world: Shape
    classes: tuple[WorkloadClass, ...]
    families: tuple[MatrixFamily, ...]
    mixes: tuple[str, ...]
    validation_seeds: SeedRange
    test_seeds: SeedRange
    shortage: Shortage
    delivery: Delivery
    commitments: tuple[CommittedShare, ...]
    plan_discount_ratio: float
    rivals: Rivals
    gate: CellBounds
    bootstrap: Bootstrap
    sensitivities: MatrixSensitivities
    quick: Quick
    digest: str

    def family(self, name: str) -> MatrixFamily:
        """Return a family by its name."""
        return next(f for f in self.families if f.name == name)


def load(path: Path = OWN_PATH) -> Constants:
    """Read the constants and check them.

    Raises:
        ProtocolError: they cannot be read or a value makes no sense; the text names field and fix.
    """
    try:
        constants = read_form(Constants, path.read_bytes(), OWN_PATH.name)
    except OSError as error:
        raise ProtocolError(
            f"{path} cannot be read: {error.strerror}; give another file"
        ) from error
    except ProtocolError as error:
        raise ProtocolError(f"{path}: {error}") from error
    for fault in _faults(constants):
        raise ProtocolError(f"{path}: {fault}")
    return constants


def _faults(of: Constants) -> Iterator[str]:
    """Yield what makes no sense, with the field and what would."""
    if of.version != VERSION:
        yield f"version is {of.version}; this code reads version {VERSION}"
    for family in of.families:
        if not family.replays and family.market not in FAMILIES:
            yield f"families: {family.name} draws from {family.market!r}; give {list(FAMILIES)}"
    for mix in (*of.mixes, of.quick.mix):
        if mix not in MIXES:
            yield f"mixes: there is no {mix!r}; give some of {', '.join(MIXES)}"
    yield from _bad_names(of)
    yield from _bad_classes(of)
    yield from _out_of_range(of)


def _bad_names(of: Constants) -> Iterator[str]:
    named = [s.name for s in of.rivals.k_under]
    if of.rivals.static_setting not in named:
        yield f"rivals.static_setting is {of.rivals.static_setting!r}; give one of {named}"
    for field, names in (
        ("rivals.k_under", named),
        ("families", [f.name for f in of.families]),
        ("commitments", [c.name for c in of.commitments]),
        ("classes", [c.name for c in of.classes]),
    ):
        if not names or len(set(names)) < len(names):
            yield f"{field} is empty or has a name twice; make them differ"


def _bad_classes(of: Constants) -> Iterator[str]:
    for one in of.classes:
        if not one.outage_hours or not one.instance_types:
            yield f"classes: {one.name} needs outage_hours and instance_types"
        for instance_type in one.instance_types:
            if vcpus_of(instance_type) <= 0.0:
                yield f"classes: {instance_type!r} is no instance type"
    if of.test_seeds.first <= of.validation_seeds.last:
        yield "test_seeds begin within the validation seeds; keep them apart"


def _out_of_range(of: Constants) -> Iterator[str]:
    ratios = {
        "world.notice_loss_ratio": of.world.notice_loss_ratio,
        "world.max_unavailable_ratio": of.world.max_unavailable_ratio,
        "delivery.partial_ratio": of.delivery.partial_ratio,
        "plan_discount_ratio": of.plan_discount_ratio,
        "bootstrap.level_ratio": of.bootstrap.level_ratio,
    }
    ratios |= {f"commitments.{c.name}": c.share_ratio for c in of.commitments}
    for name, value in ratios.items():
        if not 0.0 <= value <= 1.0:
            yield f"{name} is {value:g}; give a value from 0 to 1"
    counts = {
        "world.n_days": of.world.n_days,
        "world.nodes_per_pool": of.world.nodes_per_pool,
        "world.deployments_per_pool": of.world.deployments_per_pool,
        "quick.n_seeds": of.quick.n_seeds,
        "bootstrap.n_resamples": of.bootstrap.n_resamples,
    }
    for name, count in counts.items():
        if not 1 <= count <= 100_000:
            yield f"{name} is {count}; give a value from 1 to 100000"
