"""A small protocol and results that fit it: two families, two mixes, four seeds, two days."""

import json
from dataclasses import replace

from spotvortex.evaluation.protocol import OWN_PATH, parse
from tests.results.accounts import run

FAMILIES, MIXES, SEEDS = ("normal", "replay"), ("steady", "bursty"), range(4)
B3, B3_SLOW, LAZY = "B3-0min-10pct", "B3-10min-10pct", "B3-lazy-0min-10pct"


def small_protocol(**given):
    data = json.loads(OWN_PATH.read_bytes())
    data["families"] = [f for f in data["families"] if f["name"] in FAMILIES]
    data |= {"mixes": list(MIXES), "n_seeds": len(SEEDS), "n_days": 2}
    data["bootstrap"]["n_resamples"] = 200
    return parse(json.dumps(data | given).encode())


def everywhere(policy, families=FAMILIES, seeds=SEEDS, **given):
    """Return a policy's runs of all worlds; a figure may be a function of the seed."""
    return [
        run(
            policy,
            seed=seed,
            family=family,
            mix=mix,
            **{k: v(seed) if callable(v) else v for k, v in given.items()},
        )
        for family in families
        for mix in MIXES
        for seed in seeds
    ]


def but(results, where, **given):
    """Return the results, those that a test picks out with other figures on every day."""
    return [
        replace(r, days=tuple(replace(d, **given) for d in r.days)) if where(r) else r
        for r in results
    ]
