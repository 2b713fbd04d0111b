"""The whole road: specs are run, results kept, read back, and judged."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from spotvortex.batch.results_file import open_results, read_results
from spotvortex.batch.runner import run_specs
from spotvortex.code_digest import simulator_version
from spotvortex.evaluation.protocol import load
from spotvortex.evaluation.provenance import made_under
from spotvortex.evaluation.verdict import evaluate
from spotvortex.report.evaluation.evaluation import render_html
from spotvortex.results.accounting import RunResult
from spotvortex.results.verdict import GateStatus
from tests.evaluation.runs import B3
from tests.results.accounts import run

PROTOCOL = load()


@dataclass(frozen=True)
class Spec:
    family: str
    mix: str
    seed: int
    policy: str

    @property
    def key(self):
        return f"{self.family}/{self.mix}/{self.seed:05}/{self.policy}"


SPECS = [
    Spec(family.name, mix, seed, policy)
    for family in PROTOCOL.families
    for mix in PROTOCOL.mixes
    for seed in range(PROTOCOL.n_seeds)
    for policy in ("rules", B3)
]


def work(spec):
    ours = spec.policy == "rules"
    return run(
        spec.policy,
        seed=spec.seed,
        family=spec.family,
        mix=spec.mix,
        days=PROTOCOL.n_days,
        node_usd=36.0 + spec.seed / 100.0 if ours else 40.0,
        outage_minutes=0.0 if ours else 1.0,
    )


@pytest.mark.search
def test_runs_of_the_whole_protocol_become_a_verdict(tmp_path):
    path = tmp_path / "results.jsonl"
    line = made_under(PROTOCOL, "model abc")
    with ThreadPoolExecutor(2) as executor, open_results(path, line, pytest.fail) as results:
        tally = run_specs(SPECS, work, executor, results, lambda _: None)
    assert (tally.n_done, tally.failures) == (720, ())
    under, read = read_results(path, RunResult)
    assert under == line
    evaluation = evaluate(read, PROTOCOL, "rules")
    assert evaluation.main.passes
    assert evaluation.main.pooled.standing is GateStatus.PASS
    assert evaluation.main.pooled.n_worlds == 360
    assert [v.costs.ci for v in evaluation.others] == [5.0, 60.0]
    assert "PASS pooled" in render_html(evaluation)


def test_results_say_protocol_and_code():
    assert re.fullmatch(
        r"protocol [0-9a-f]{64}, simulator \d+\.\d+\.\d+\+[0-9a-f]{12}", made_under(PROTOCOL)
    )
    assert made_under(PROTOCOL, "model a").endswith(f"{simulator_version()}, model a")
