"""`evaluate --protocol 2`: runs that are there are judged, one that is missing is made."""

import json
from dataclasses import replace

import pytest

from spotvortex.batch.results_file import open_results, read_results
from spotvortex.evaluation.matrix import composition, constants, rivals
from spotvortex.evaluation.provenance import made_under
from spotvortex.results.accounting import total_of
from spotvortex.results.matrix import WorldRun
from spotvortex.settings.model import BUNDLED_MODELS
from tests.cli.test_commands import refused, typed
from tests.evaluation.matrix import small


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


def one_day(spec):
    """Return a run of one day that costs 50 USD, all on-demand 100."""
    part = 1.0 / 3.0 if spec.pool else 1.0
    usd = 100.0 if spec.policy == "OD" else 50.0
    run = small.run_of(spec, usd * part, demanded_od_usd=100.0 * part)
    result = replace(run.result, days=run.result.days[:1])
    return replace(run, result=result, on_demand_usd_by_hour=(0.0,) * 24)


def listed(path, of):
    extent = composition.quick(of)
    specs = composition.SpecList(
        of=of, extent=extent, constants_path=path, model_dir=BUNDLED_MODELS
    )
    chosen = {(f, "K-under"): of.rivals.k_under[0].name for f in extent.families}
    chosen |= {(f, "SpotHedge"): "SpotHedge-1" for f in extent.families}
    return {spec.key: spec for spec in (*specs.choosing(), *specs.judging(chosen))}


@pytest.mark.trial
def test_a_run_that_is_missing_is_made(tmp_path, monkeypatch, capsys):
    path = small.small_file(tmp_path)
    of = constants.load(path)
    missing = "regional/bursty/0//K-empty//"
    with open_results(tmp_path / "r.jsonl", made_under(of), print) as kept:
        for key, spec in listed(path, of).items():
            if key != missing:
                kept.append(key, one_day(spec))
    words = ("evaluate", "--protocol", path, "--quick", "--workers", 1, "--results", "r.jsonl")
    # What was made up and what was run do not belong together, and that is said.
    assert "not of the same world" in refused(capsys, monkeypatch, *words)
    _, results = read_results(tmp_path / "r.jsonl", WorldRun)
    assert missing in {run.key for run in results}


def test_everything_is_judged_and_written_in_every_form(tmp_path):
    path = small.small_file(tmp_path)
    of = constants.load(path)
    with open_results(tmp_path / "r.jsonl", made_under(of), print) as kept:
        for key, spec in listed(path, of).items():
            kept.append(key, one_day(spec))
    words = ("evaluate", "--protocol", path, "--quick", "--workers", 1, "--results", "r.jsonl")
    done = typed(*words, "--html", "page.html", "--metrics", "eval.prom", "--output", "json")
    document = json.loads(done.stdout)
    assert done.exit_code == 1
    assert document["schema"] == "spotvortex.io/evaluation/v1"
    assert {c["family"] for c in document["cells"]} == {"stressed", "regional"}
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert 'figure="eval/outage_delta"' in (tmp_path / "eval.prom").read_text()
    assert "protocol 2 (seeds 0 to 0, bursty)" in typed(*words).output


def test_the_quick_extent_has_every_cell_at_a_day_a_run_and_keeps_apart_from_the_whole(tmp_path):
    of = constants.load(constants.OWN_PATH)
    extent = composition.quick(of)
    assert extent.n_days == 1 < of.world.n_days
    assert extent.words == "seeds 0 to 1, bursty, 1 day(s) each"
    assert set(extent.families) == {f.name for f in of.families}
    assert {spec.n_days for spec in listed(constants.OWN_PATH, of).values()} == {1}
    assert composition.of_days(of, 1).world.n_days == 1
    assert composition.of_days(of, 0) == of
    assert composition.whole(of).n_days == 0


def test_a_policy_that_is_not_run_is_refused(tmp_path, monkeypatch, capsys):
    path = small.small_file(tmp_path)
    said = refused(
        capsys, monkeypatch, "evaluate", "--protocol", path, "--quick", "--policy", "nobody"
    )
    assert "--policy nobody: is none of spotvortex" in said


def test_an_unknown_protocol_is_refused(monkeypatch, capsys):
    said = refused(capsys, monkeypatch, "evaluate", "--protocol", "7")
    assert "--protocol 7: is neither 1, 2 nor a file" in said


@pytest.mark.parametrize("option", [("--seeds", "3"), ("--ablations",), ("--metrics", "m.prom")])
def test_an_option_of_protocol_2_is_not_ignored_beside_another(option, monkeypatch, capsys):
    said = refused(capsys, monkeypatch, "evaluate", "--quick", *option)
    assert f"{option[0]}: is of protocol 2 alone; add --protocol 2" in said


@pytest.mark.trial
def test_spotvortex_and_karpenter_meet_one_world_of_a_pool(tmp_path, monkeypatch):
    monkeypatch.setattr(rivals, "TICK_S", 600.0)
    path = small.small_file(tmp_path)
    base = composition.MatrixSpec(
        family="stressed",
        mix="bursty",
        seed=1,
        policy="spotvortex",
        constants_path=path,
        model_dir=BUNDLED_MODELS,
        commitment="none",
        pool="web",
    )
    policies = ("spotvortex", "K-under-0min-100pct", "OD", "CA")
    runs = {p: composition.work(replace(base, policy=p)) for p in policies}
    totals = {p: total_of(run.result.days) for p, run in runs.items()}
    demanded = [t.demanded_od_usd for t in totals.values()]
    assert max(demanded) == pytest.approx(min(demanded))
    assert totals["spotvortex"].spot_node_minutes > 0.0
    assert totals["OD"].outage_minutes == totals["OD"].interrupted_od_usd_per_minute == 0.0
    spent = sum(runs["OD"].on_demand_usd_by_hour)
    assert spent == pytest.approx(totals["OD"].node_usd)
