"""Work for the tests of the runner, in a module so that other processes can import it."""

import os
from dataclasses import dataclass

from tests.results.accounts import run


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    seed: int
    fate: str = "well"

    @property
    def key(self):
        return f"job-{self.seed:03}"


def work(job):
    if job.fate == "raises":
        raise ValueError(f"seed {job.seed} cannot be\nrun")
    if job.fate == "dies":
        os._exit(3)
    if job.fate == "odd":
        return run("B3", seed=job.seed), lambda: None
    return run("B3", seed=job.seed, node_usd=1.0 + job.seed / 3.0)


def jobs(n, **fates):
    """Return jobs; `j3="raises"` gives the one of seed 3 another fate."""
    return [Job(seed=i, fate=fates.get(f"j{i}", "well")) for i in range(n)]
