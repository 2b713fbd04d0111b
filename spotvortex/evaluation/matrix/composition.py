"""Which runs protocol 2 asks for, and how one is made: its composition root.

Comes in: the constants, and how much is wanted. Goes out: specs that can be sent to another
process, and the run of each. Opens the model bundle. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from spotvortex.evaluation import worlds
from spotvortex.evaluation.composition import bundle
from spotvortex.evaluation.matrix import bound, constants, rivals
from spotvortex.evaluation.matrix.constants import Constants
from spotvortex.evaluation.matrix.worlds import UNCHANGED, MatrixWorld, WorldVariant, variants_of
from spotvortex.evaluation.run import run
from spotvortex.evaluation.worlds import OURS, OURS_CONSTANT, OURS_GRAPH
from spotvortex.ports.model import Forecaster
from spotvortex.results.accounting import DayTotals, RunResult
from spotvortex.results.matrix import WorldRun
from spotvortex.sim.runtime.forecasters import ScriptedForecaster

QUICK_DAYS: Final = 1
"""Days of each run of the smallest extent, which so takes minutes; the protocol's are for verdicts.
Every cell, rival and commitment is there all the same, and the week's shortage falls into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixSpec:
    """One policy in one world.

    Attributes:
        family: the family of worlds.
        mix: the mix of demand.
        seed: the world's seed.
        policy: the policy's name.
        constants_path: the file of the constants.
        model_dir: the folder of the model bundle.
        variant: the change of the world, "" where it is as the protocol says.
        commitment: the commitment that the policy is told of, "" where none matters to it.
        pool: the only pool that is run, "" for all.
        traces: the file or folder of recorded series, None where the family replays none.
        n_days: days of the run, 0 for the protocol's.
    """

    family: str
    mix: str
    seed: int
    policy: str
    constants_path: Path
    model_dir: Path
    variant: str = ""
    commitment: str = ""
    pool: str = ""
    traces: Path | None = None
    n_days: int = 0

    @property
    def key(self) -> str:
        """The name of the spec among all specs of an evaluation: that of its run."""
        return _named(self, (), "").key


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixExtent:
    """How much is run.

    Attributes:
        seeds: the seeds of the verdict.
        choosing_seeds: seeds on which a rival's setting is chosen.
        mixes: the mixes of demand.
        families: the families' names.
        policies: SpotVortex, as it is and with something taken away.
        with_variants: the changed worlds are run too, under no commitment.
        n_days: days of each run, 0 for the protocol's.
    """

    seeds: tuple[int, ...]
    choosing_seeds: tuple[int, ...]
    mixes: tuple[str, ...]
    families: tuple[str, ...]
    policies: tuple[str, ...] = (OURS,)
    with_variants: bool = False
    n_days: int = 0

    @property
    def words(self) -> str:
        """Say which seeds are run."""
        days = f", {self.n_days} day(s) each" if self.n_days else ""
        return f"seeds {self.seeds[0]} to {self.seeds[-1]}, {', '.join(self.mixes)}{days}"


def quick(of: Constants) -> MatrixExtent:
    """Return the smallest extent that fills every cell: a few validation seeds, one mix, a day."""
    seeds = tuple(of.validation_seeds.seeds)[: of.quick.n_seeds]
    families = tuple(f.name for f in of.families)
    return MatrixExtent(
        seeds=seeds,
        choosing_seeds=seeds,
        mixes=(of.quick.mix,),
        families=families,
        n_days=QUICK_DAYS if of.world.n_days > QUICK_DAYS else 0,
    )


def whole(of: Constants) -> MatrixExtent:
    """Return all that the verdict needs."""
    return MatrixExtent(
        seeds=tuple(of.test_seeds.seeds),
        choosing_seeds=tuple(of.validation_seeds.seeds),
        mixes=of.mixes,
        families=tuple(f.name for f in of.families),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecList:
    """What makes specs of an extent.

    Attributes:
        of: the constants.
        extent: how much is run.
        constants_path: the file of the constants.
        model_dir: the folder of the model bundle.
        traces: recorded series, None without any.
    """

    of: Constants
    extent: MatrixExtent
    constants_path: Path
    model_dir: Path
    traces: Path | None = None

    def choosing(self) -> list[MatrixSpec]:
        """List the runs on which a rival's setting is chosen, and what they are measured by."""
        extent = self.extent
        settings = [s.name for s in self.of.rivals.k_under]
        settings += [rivals.spothedge_name(n) for n in self.of.rivals.spothedge_n_extra]
        return [
            spec
            for mix in extent.mixes
            for seed in extent.choosing_seeds
            for spec in (
                self._spec(self.of.families[0].name, mix, seed, rivals.OD),
                *(self._spec(f, mix, seed, s) for f in extent.families for s in settings),
            )
        ]

    def judging(self, chosen: dict[tuple[str, str], str]) -> list[MatrixSpec]:
        """List the runs of the verdict.

        Args:
            chosen: the setting of a rival, by family and rival.
        """
        variants = [UNCHANGED, *(variants_of(self.of.sensitivities))]
        return [
            spec
            for variant in (variants if self.extent.with_variants else variants[:1])
            for mix in self.extent.mixes
            for seed in self.extent.seeds
            for spec in self._of_world(mix, seed, variant, chosen)
        ]

    def _of_world(
        self, mix: str, seed: int, variant: WorldVariant, chosen: dict[tuple[str, str], str]
    ) -> Iterator[MatrixSpec]:
        of, families = self.of, self.extent.families
        yield self._spec(of.families[0].name, mix, seed, rivals.OD, variant=variant.name)
        for family in families:
            plain = [of.rivals.k_empty.name, rivals.CA]
            plain += [setting for (name, _), setting in chosen.items() if name == family]
            for policy in plain:
                yield self._spec(family, mix, seed, policy, variant=variant.name)
            for ratio in of.rivals.static_on_demand_ratio:
                for one in of.classes:
                    spec = self._spec(family, mix, seed, rivals.static_name(ratio))
                    yield replace(spec, pool=one.name, variant=variant.name)
            for policy in (bound.O1, *self.extent.policies):
                for commitment in of.commitments[: 1 if variant.name else None]:
                    spec = self._spec(family, mix, seed, policy, variant=variant.name)
                    yield replace(spec, commitment=commitment.name)

    def _spec(
        self, family: str, mix: str, seed: int, policy: str, *, variant: str = ""
    ) -> MatrixSpec:
        replays = self.of.family(family).replays
        return MatrixSpec(
            family=family,
            mix=mix,
            seed=seed,
            policy=policy,
            constants_path=self.constants_path,
            model_dir=self.model_dir,
            variant=variant,
            traces=self.traces if replays else None,
            n_days=self.extent.n_days,
        )


def of_days(of: Constants, n_days: int) -> Constants:
    """Return the constants with runs of so many days, 0 for their own."""
    return replace(of, world=replace(of.world, n_days=n_days)) if n_days else of


def work(spec: MatrixSpec) -> WorldRun:
    """Run one spec: a function of a module, so that it can be sent to another process."""
    of = of_days(_constants(spec.constants_path), spec.n_days)
    variants = {v.name: v for v in (UNCHANGED, *variants_of(of.sensitivities))}
    world = MatrixWorld(
        constants=of,
        family=spec.family,
        mix=spec.mix,
        seed=spec.seed,
        variant=variants[spec.variant],
        traces=spec.traces,
        pool=spec.pool,
    )
    if spec.policy == bound.O1:
        return _named(spec, bound.days_of(world, spec.commitment), "")

    def model(policy: str) -> Forecaster:
        if policy != OURS_CONSTANT:
            return bundle(spec.model_dir, graph_decides=policy == OURS_GRAPH)
        types = [t for one in of.classes for t in one.instance_types]
        return ScriptedForecaster(
            script=((0.0, worlds.CONSTANT_SCORE),),
            start_at=worlds.START_AT,
            families=tuple(sorted({t.partition(".")[0] for t in types})),
        )

    trial = rivals.trial_of(world, spec.policy, spec.commitment, model)
    account = run(trial, lambda days, digest: _named(spec, days, digest).result)
    result = account.result
    return replace(
        _named(spec, result.days, result.digest),
        on_demand_usd_by_hour=tuple(hour.on_demand_usd for hour in account.hours),
    )


def _named(spec: MatrixSpec, days: Sequence[DayTotals], digest: str) -> WorldRun:
    result = RunResult(
        family=spec.family,
        mix=spec.mix,
        seed=spec.seed,
        policy=spec.policy,
        days=tuple(days),
        digest=digest,
        variant=spec.variant,
    )
    return WorldRun(result=result, commitment=spec.commitment, pool=spec.pool)


@lru_cache(maxsize=4)
def _constants(path: Path) -> Constants:
    return constants.load(path)
