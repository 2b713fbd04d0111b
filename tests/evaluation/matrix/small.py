"""Protocol 2 in small, and runs of it that are made by hand."""

import json
from dataclasses import replace
from pathlib import Path

from spotvortex.evaluation.matrix import composition, constants, rivals
from spotvortex.results.accounting import DayTotals, RunResult
from spotvortex.results.matrix import WorldRun

OF = constants.load()
HOURS = 24 * OF.world.n_days
MODEL = Path("models")


def small_file(folder, *, families=("stressed", "regional"), **world):
    """Write constants of one day and one seed."""
    document = json.loads(constants.OWN_PATH.read_text())
    document["world"] |= {"n_days": 1} | world
    document["quick"] = {"n_seeds": 1, "mix": "bursty"}
    document["families"] = [f for f in document["families"] if f["name"] in families]
    document["rivals"]["k_under"] = document["rivals"]["k_under"][:2]
    document["rivals"]["static_on_demand_ratio"] = [0.0, 1.0]
    document["rivals"]["spothedge_n_extra"] = [1]
    document["bootstrap"]["n_resamples"] = 200
    path = folder / "constants.json"
    path.write_text(json.dumps(document))
    return path


def day(number, node_usd, **more):
    """Return a day on which 100 USD are demanded."""
    figures = dict.fromkeys(DayTotals.__dataclass_fields__, 0.0)
    counts = dict.fromkeys(("n_moved", "n_interrupted", "n_launch_failures"), 0)
    said = {"day": number, "node_usd": node_usd, "demanded_od_usd": 100.0}
    return DayTotals(**(figures | counts | said | {"node_minutes": 1.0} | more))


def run_of(spec, node_usd, *, od_usd_per_hour=0.0, **more):
    """Return a run that costs so much a day."""
    days = tuple(day(number, node_usd, **more) for number in range(OF.world.n_days))
    result = RunResult(
        family=spec.family,
        mix=spec.mix,
        seed=spec.seed,
        policy=spec.policy,
        days=days,
        digest="",
        variant=spec.variant,
    )
    return WorldRun(
        result=result,
        commitment=spec.commitment,
        pool=spec.pool,
        on_demand_usd_by_hour=(od_usd_per_hour,) * HOURS,
    )


def specs_of(extent, chosen):
    """Return every spec of an extent."""
    listed = composition.SpecList(
        of=OF, extent=extent, constants_path=constants.OWN_PATH, model_dir=MODEL
    )
    return {spec.key: spec for spec in (*listed.choosing(), *listed.judging(chosen))}


def extent_of(*, seeds=(0, 1), mixes=("bursty",), families=("calm", "stressed")):
    """Return a few worlds."""
    quick = composition.quick(OF)
    return replace(quick, seeds=seeds, choosing_seeds=seeds, mixes=mixes, families=families)


def chosen_for(families):
    """Return the first setting of every rival."""
    settings = {
        "K-under": OF.rivals.k_under[0].name,
        "SpotHedge": rivals.spothedge_name(OF.rivals.spothedge_n_extra[0]),
    }
    return {(family, rival): name for family in families for rival, name in settings.items()}
