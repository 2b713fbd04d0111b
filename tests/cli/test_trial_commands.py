"""evaluate, backtest and snapshot, as a person types them."""

import hashlib
import hmac
import itertools
import json
import logging
import os
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from spotvortex.batch.results_file import open_results, read_results
from spotvortex.core.domain.types import CapacityType
from spotvortex.evaluation import backtest_world, composition, protocol, worlds
from spotvortex.evaluation.provenance import made_under
from spotvortex.results import cluster_snapshot as snapshots
from spotvortex.results.accounting import Costs, RunResult, total_cost_usd, total_of
from spotvortex.settings.model import BUNDLED_MODELS
from tests.cli.test_commands import refused, typed
from tests.model.bundles import without_networks
from tests.model.bundles_v1 import go_bundle
from tests.sim.recordings import DAY_S, START_AT, write_prices
from tests.sim.runtime.test_world import world_of

SMALL = {"n_seeds": 1, "n_days": 1, "mixes": ["steady"]}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    for name in [n for n in os.environ if n.upper().startswith("SPOTVORTEX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _log_as_before():
    """The commands set the log up as of a whole process, which this one is not."""
    ours, handlers = logging.getLogger("spotvortex"), list(logging.root.handlers)
    level = ours.level
    yield
    ours.setLevel(level)
    logging.root.handlers[:] = handlers


def small_protocol(folder, **changes):
    document = json.loads(protocol.OWN_PATH.read_text()) | SMALL | changes
    document["baselines"]["b3"] = document["baselines"]["b3"][:1]
    document["baselines"]["b2_spot_ratio"] = [0.5]
    document["baselines"]["b4_n_extra"] = [1]
    path = folder / "protocol.json"
    path.write_text(json.dumps(document))
    return path


def write_trace(path, n_days, *, full=20):
    """Write a capacity trace in which half of the capacity goes once a day for an hour."""
    lines = ["timestamp,instance_type,zone,count"]
    for zone in ("us-east-1a", "us-east-1b"):
        for hour in range(n_days * 24 + 1):
            at = datetime.fromtimestamp(START_AT + hour * 3600.0, UTC)
            count = full // 2 if hour % 24 == 6 else full
            lines.append(f"{at.isoformat().replace('+00:00', 'Z')},m6i.xlarge,{zone},{count}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def seldom(monkeypatch):
    """Ours decides every ten minutes of a run's day, not every minute."""
    monkeypatch.setattr(worlds, "TICK_S", 600.0)


@pytest.mark.trial
def test_an_evaluation_goes_on_where_it_was_cut_off_and_judges(tmp_path, seldom):
    """One run is missing, so that the command makes it; what is not ours to cost is made up."""
    path = small_protocol(tmp_path, families=families({"normal"}))
    of = protocol.load(path)
    extent = composition.whole(of, BUNDLED_MODELS, with_variants=False)
    specs = composition.specs_of(of, extent, path, BUNDLED_MODELS, None)
    made = {
        spec.policy: composition.work(spec)
        for spec in specs
        if spec.policy in (of.bound, "B1", *(b.name for b in of.baselines.b3), worlds.OURS)
    }
    with open_results(tmp_path / "r.jsonl", made_under(of), print) as kept:
        for spec in specs:
            if spec.policy != worlds.B0:
                result = made.get(spec.policy, replace(made[worlds.OURS], policy=spec.policy))
                kept.append(spec.key, result)
    cut_off = (tmp_path / "r.jsonl").read_bytes()
    results, _ = evaluated(tmp_path, path, {"normal"})
    assert (tmp_path / "r.jsonl").read_bytes().startswith(cut_off)
    check_bound(results, of.costs)


@pytest.mark.search
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "names",
    [{"replay"}, pytest.param({"stressed", "replay"}, marks=pytest.mark.large)],
    ids=lambda names: " and ".join(sorted(names)),
)
def test_an_evaluation_runs_judges_and_goes_on_where_it_was(tmp_path, names):
    trace = write_trace(tmp_path / "trace.csv", 4)
    path = small_protocol(tmp_path, families=families(names))
    results, of = evaluated(tmp_path, path, names, "--traces", trace)
    check_bound(results, of.costs)


def families(names):
    return [f for f in json.loads(protocol.OWN_PATH.read_text())["families"] if f["name"] in names]


def evaluated(folder, path, names, *more):
    """Evaluate twice, the second time from the results of the first."""
    words = ("evaluate", "--protocol", path, "--workers", 1, *more)
    words = (*words, "--results", "r.jsonl", "--html", "page.html")
    first = typed(*words)
    assert first.exit_code in (0, 1)
    assert "gate: median net profit" in first.output
    assert (folder / "page.html").read_text().startswith("<!DOCTYPE html>")
    _, results = read_results(folder / "r.jsonl", RunResult)
    of = protocol.load(path)
    n_policies = sum(map(len, (worlds.policies(of), worlds.asides(of), worlds.LEARNED))) + 1
    assert len(results) == len(names) * n_policies
    assert {r.family for r in results} == names
    before = (folder / "r.jsonl").read_bytes()
    again = typed(*words, "--output", "json")
    assert (folder / "r.jsonl").read_bytes() == before
    document = json.loads(again.output)
    assert document["verdict"]["passes"] is (again.exit_code == 0)
    assert document["verdict"]["pooled"]["n_worlds"] == len(names)
    assert "B3 lazy" in {other["rival"] for other in document["sensitivities"]}
    return results, of


def check_bound(results, costs):
    """Who knows the future pays no more than anybody else."""
    for family in {r.family for r in results}:
        cost = {
            r.policy: total_cost_usd(total_of(r.days), costs) for r in results if r.family == family
        }
        assert cost["O1"] <= min(cost.values()) * 1.001
        assert cost["O1"] < cost["B0"]


@pytest.mark.trial
def test_a_bundle_with_a_policy_network_is_judged_by_that_too(tmp_path, seldom):
    """The network prefers the last action there is: it leaves Spot, whatever the scores say."""
    bundle = go_bundle(tmp_path)
    path = small_protocol(tmp_path)
    of = protocol.load(path)
    extent = composition.whole(of, bundle, with_variants=False)
    assert set(worlds.LEARNED) <= set(extent.policies)
    assert not set(worlds.LEARNED) & set(
        composition.whole(of, without_networks(tmp_path), with_variants=False).policies
    )
    chosen = replace(extent, policies=(worlds.B6, worlds.OURS_CONSTANT))
    specs = composition.specs_of(of, chosen, path, bundle, None)
    spot = {
        spec.policy: total_of(composition.work(spec).days).spot_node_minutes
        for spec in specs
        if spec.family == "calm"
    }
    assert spot[worlds.B6] < 0.1 * spot[worlds.OURS_CONSTANT]


def test_a_quick_evaluation_is_five_seeds_of_one_mix_of_ours_against_karpenter():
    of = protocol.load()
    extent = composition.quick(of)
    specs = composition.specs_of(of, extent, protocol.OWN_PATH, BUNDLED_MODELS, None)
    assert len(specs) == 5 * 3 * (1 + 4 + 1)
    assert {s.mix for s in specs} == {"steady"}
    whole = composition.specs_of(
        of,
        composition.whole(of, BUNDLED_MODELS, with_variants=True),
        protocol.OWN_PATH,
        BUNDLED_MODELS,
        None,
    )
    assert len({s.key for s in whole}) == len(whole)
    assert {s.variant for s in whole} == {v.name for v in of.variants}
    *lazy, beside, oracle, graph = worlds.asides(of)
    assert {s.variant for s in whole if s.policy in worlds.asides(of)} == {""}
    assert (beside, oracle) == (worlds.OURS_BESIDE, worlds.OURS_ORACLE)
    assert graph == worlds.OURS_GRAPH
    assert [worlds.setting_of(name, of).evicts_at_notice for name in lazy] == [False] * len(lazy)


@pytest.mark.trial
def test_the_ablation_without_a_model_is_run_by_one_score_for_all(tmp_path, seldom):
    path = small_protocol(tmp_path)
    spec = composition.RunSpec(
        family="normal",
        mix="steady",
        seed=0,
        policy=worlds.OURS_CONSTANT,
        variant="",
        protocol_path=path,
        model_dir=BUNDLED_MODELS,
    )
    result = composition.work(spec)
    assert result.policy == worlds.OURS_CONSTANT
    assert total_of(result.days).all_on_demand_usd > 0.0


@pytest.mark.trial
def test_a_backtest_shows_policies_side_by_side_and_draws_them(tmp_path):
    prices = write_prices(tmp_path / "prices.jsonl", 2)
    trace = write_trace(tmp_path / "trace.csv", 3)
    words = ("backtest", "--prices", prices, "--capacity", trace, "--tick", 1800)
    shown = typed(*words, "--html", "b.html")
    assert shown.exit_code == 0
    for policy in ("B0", "B3-0min-10pct", "spotvortex"):
        assert policy in shown.output
    page = (tmp_path / "b.html").read_text()
    assert "<svg" in page
    assert "<script" not in page
    assert "src=" not in page.replace("default-src", "")
    log = tmp_path / "decisions.jsonl"
    words = ("backtest", "--prices", prices, "--days", 1, "--policy", "spotvortex")
    assert typed(*words, "--decisions", log).exit_code == 0
    told = typed("explain", "web", "--file", log)
    assert "web" in told.output
    assert typed("replay", log).exit_code == 0


def test_a_backtest_of_the_provisioner_alone_has_an_account_of_each_hour(tmp_path):
    prices = write_prices(tmp_path / "prices.jsonl", 2)
    words = ("backtest", "--prices", prices, "--days", 1, "--policy", "B1", "--output", "json")
    document = json.loads(typed(*words).output)
    assert [f["policy"] for f in document["figures"]] == ["B0", "B1"]
    assert len(document["accounts"][0]["hours"]) == 24


@pytest.mark.trial
def test_a_backtest_over_a_snapshot_keeps_its_pools_and_budgets(tmp_path):
    taken = demo_snapshot()
    kept = replace(taken, pools=tuple(p for p in taken.pools if p.name in ("web", "stateful")))
    file = tmp_path / "cluster.json"
    file.write_text(snapshots.to_text(kept))
    kinds = sorted({t for p in kept.pools for t in p.instance_types})
    prices = write_prices(tmp_path / "prices.jsonl", 3, types=kinds)
    document = json.loads(
        typed(
            "backtest", "--prices", prices, "--cluster", file, "--days", 1, "--output", "json"
        ).output
    )
    figures = {f["policy"]: f for f in document["figures"]}
    assert figures["B0"]["n_interrupted"] == 0
    n_nodes = sum(row.count for p in kept.pools for row in p.nodes)
    first_hour = document["accounts"][0]["hours"][0]
    assert first_hour["n_nodes"] == n_nodes


KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def demo_snapshot():
    world = world_of()
    return snapshots.snapshot_of(
        world.snapshot(world.at), world.pods_on, world.standings_on, world.at
    )


def test_a_snapshot_holds_every_node_and_pod_that_a_drain_would_move():
    world, taken = world_of(), demo_snapshot()
    assert sum(row.count for p in taken.pools for row in p.nodes) == len(world.cluster.nodes)
    moved = [pod for pod in world.cluster.pods.values() if pod.node and not pod.stays]
    assert sum(w.replicas for p in taken.pools for w in p.workloads) == len(moved)
    for pool in taken.pools:
        for row in pool.workloads:
            kind = "Pod" if row.kind == "Pod" else row.kind
            workload = world.cluster.workloads[f"{row.namespace}/{kind}/{row.name}"]
            assert row.cpu_milli == workload.cpu_milli
            assert row.do_not_disrupt is workload.do_not_disrupt
            assert row.zonal_volume is workload.zonal_volume
            wanted = workload.replicas - workload.desired_healthy if workload.has_budget else None
            assert row.max_unavailable == wanted
    assert snapshots.from_text(snapshots.to_text(taken)) == taken


def test_a_redacted_snapshot_has_none_of_the_names_and_all_of_the_figures():
    taken = demo_snapshot()
    hidden = snapshots.redacted(taken, KEY)
    text = snapshots.to_text(hidden)
    names = {n for p in taken.pools for w in p.workloads for n in (p.name, w.namespace, w.name)}
    assert not [name for name in names if f'"{name}"' in text]
    assert len({p.name for p in hidden.pools}) == len(taken.pools)
    assert Counter(p.nodes for p in hidden.pools) == Counter(p.nodes for p in taken.pools)
    assert sorted(w.replicas for p in hidden.pools for w in p.workloads) == sorted(
        w.replicas for p in taken.pools for w in p.workloads
    )


def words_of(snapshot):
    return {
        word for p in snapshot.pools for w in p.workloads for word in (p.name, w.namespace, w.name)
    }


def renamed(taken, **names):
    """Give every workload of every pool a namespace and a name, and every pool a name."""
    pools = tuple(
        replace(
            p, name=names["pool"], workloads=tuple(replace(w, **names["of"]) for w in p.workloads)
        )
        for p in taken.pools
    )
    return replace(taken, pools=pools)


def test_redaction_gives_a_name_one_word_within_a_snapshot_and_another_in_the_next():
    taken = demo_snapshot()
    same = renamed(taken, pool="web", of={"namespace": "shop", "name": "cart"})
    assert len(words_of(snapshots.redacted(same, KEY))) == 3
    assert snapshots.redacted(taken, KEY) == snapshots.redacted(taken, KEY)
    assert not words_of(snapshots.redacted(taken, KEY)) & words_of(
        snapshots.redacted(taken, OTHER_KEY)
    )


def test_a_dictionary_of_common_names_undoes_no_word_of_a_redacted_snapshot():
    common = ("default", "kube-system", "web", "api", "batch", "cart", "coredns", "nginx", "redis")
    known = renamed(demo_snapshot(), pool="web", of={"namespace": "kube-system", "name": "coredns"})
    guessed = {
        f"{kind}-{digest[:n]}"
        for kind, name, n in itertools.product(("pool", "namespace", "workload"), common, (8, 12))
        for text in (f"{kind}/{name}", name)
        for digest in (
            hashlib.sha256(text.encode()).hexdigest(),
            hmac.digest(bytes(32), text.encode(), "sha256").hex(),
            hmac.digest(OTHER_KEY, text.encode(), "sha256").hex(),
        )
    }
    assert not guessed & words_of(snapshots.redacted(known, KEY))


def test_the_order_of_redacted_rows_tells_nothing_of_the_order_of_names():
    hidden = snapshots.redacted(demo_snapshot(), KEY)
    assert [p.name for p in hidden.pools] == sorted(p.name for p in hidden.pools)
    for pool in hidden.pools:
        rows = [(w.namespace, w.kind, w.name) for w in pool.workloads]
        assert rows == sorted(rows)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no snapshot"),
        ("[]", "no snapshot"),
        ('{"at":1.0,"pools":[],"v":1}', "it holds no node"),
        ('{"at":1.0,"pools":[],"v":9}', "this release reads 1"),
        ('{"at":"x","pools":[],"v":1}', "no snapshot"),
    ],
)
def test_what_is_no_snapshot_is_refused_with_the_reason(text, said, tmp_path, capsys, monkeypatch):
    prices = write_prices(tmp_path / "prices.jsonl", 3)
    file = tmp_path / "cluster.json"
    file.write_text(text)
    words = ("backtest", "--prices", prices, "--cluster", file)
    assert said in refused(capsys, monkeypatch, *words)


def test_inputs_that_do_not_cover_the_run_are_refused(tmp_path, capsys, monkeypatch):
    prices = write_prices(tmp_path / "prices.jsonl", 3)
    said = refused(capsys, monkeypatch, "backtest", "--prices", prices, "--days", 30)
    assert "cover" in said
    missing = tmp_path / "no.json"
    said = refused(capsys, monkeypatch, "backtest", "--prices", prices, "--cluster", missing)
    assert "cannot be read" in said
    said = refused(capsys, monkeypatch, "backtest", "--prices", prices, "--family", "wild")
    assert "none of calm" in said
    said = refused(capsys, monkeypatch, "backtest", "--prices", prices, "--policy", "B2-0.5")
    assert "--policy B2-0.5: is none of" in said
    short = write_trace(tmp_path / "short.csv", 2)
    path = small_protocol(tmp_path, n_days=7)
    words = ("evaluate", "--protocol", path, "--traces", short, "--workers", 1)
    assert "holds 2 whole days, and a run takes 7" in refused(capsys, monkeypatch, *words)


def test_prices_of_other_types_are_named_as_what_is_missing(tmp_path, capsys, monkeypatch):
    taken = demo_snapshot()
    file = tmp_path / "cluster.json"
    file.write_text(snapshots.to_text(taken))
    prices = write_prices(tmp_path / "prices.jsonl", 3, types=("m6i.xlarge",))
    said = refused(capsys, monkeypatch, "backtest", "--prices", prices, "--cluster", file)
    assert "none of its instance types" in said
    small = write_prices(tmp_path / "small.jsonl", 3, types=("m6i.large",))
    assert "give --cluster" in refused(capsys, monkeypatch, "backtest", "--prices", small)


def test_a_replayed_price_is_the_records_own_to_the_second(tmp_path):
    prices = write_prices(tmp_path / "prices.jsonl", 3)
    world = backtest_world.open_world(
        backtest_world.Sources(prices=prices),
        backtest_world.BacktestChoice(family="calm", seed=0, n_days=1),
    )
    offering = world.market.offerings[0]
    since, until = START_AT + DAY_S, START_AT + 1.5 * DAY_S
    steps = [since + 60.0 * k for k in range(int((until - since) / 60.0))]
    summed = sum(world.market.spot_usd_per_hour(offering, at + 1.0) / 60.0 for at in steps)
    assert world.market.spot_usd(offering, since, until) == pytest.approx(summed, rel=1e-3)
    assert world.market.spot_usd_per_hour(offering, START_AT - 1.0) == float("inf")
    assert world.scenario.groups[0].capacity_types == (CapacityType.SPOT, CapacityType.ON_DEMAND)
    assert Costs(v=1.5, cm=3.0, ci=15.0) == protocol.load().costs
