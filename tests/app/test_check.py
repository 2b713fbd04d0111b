"""`check` names each thing that is missing with its fix, and its exit code says how bad that is."""

import json
import time
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from spotvortex.app.check import check
from spotvortex.cli.main import cli
from spotvortex.core.domain.inputs import InputHealth, InputName, InputState
from spotvortex.core.domain.market import MarketFacts, SpotQuote
from spotvortex.core.domain.types import Offering
from spotvortex.kube.admin.access_review import REVIEWS, Access
from spotvortex.kube.cache.groups.autoscaler import PATH as STATUS
from spotvortex.kube.cache.inputs import NODEPOOLS, NODES, PDBS
from spotvortex.kube.coordination.kept_ledger import KeptLedger
from spotvortex.kube.coordination.kept_memory import KeptMemory
from spotvortex.market.karpenter import prometheus, scrape
from spotvortex.report import checks
from spotvortex.report.checks import CheckStatus
from spotvortex.settings.model import Settings
from tests.controlplane.cluster import ControlPlane
from tests.deploy.manifests import shadow_cluster_role
from tests.kube.admin.test_access_review import node, reviewed, server
from tests.kube.fake_api import Answer, FakeApi, FakeCluster, listed, refused, serving
from tests.market.karpenter.metrics_text import Endpoint, Karpenter
from tests.market.karpenter.metrics_text import serving as metrics_server
from tests.model.bundles import without_networks

WEB_A, WEB_B = (Offering(instance_type="m6i.large", zone=f"us-east-1{z}") for z in "ab")
PRICED = SpotQuote(offering=WEB_A, spot_usd_per_hour=0.03, on_demand_usd_per_hour=0.096)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


def market(*quotes, state=InputState.OK, age_s=3600.0, detail=""):
    health = InputHealth(
        name=InputName.PRICES, state=state, age_s=age_s, required=False, detail=detail
    )
    return MarketFacts(quotes={q.offering: q for q in quotes}, inputs=(health,))


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ((checks.ok("a", ""),), 0),
        ((checks.ok("a", ""), checks.missing("b", "")), 1),
        ((checks.wrong("a", "", required=False),), 1),
        ((checks.missing("a", "", required=True), checks.missing("b", "")), 2),
        ((checks.ok("a", ""), checks.wrong("b", "")), 2),
    ],
)
def test_the_exit_code_is_that_of_the_worst(found, code):
    assert checks.exit_code(found) == code


def test_a_degenerate_model_is_wrong_and_still_decides():
    found = checks.of_model("m", "d" * 64, "flat")
    assert (found.finding, found.required) == (CheckStatus.WRONG, False)
    assert "SPOTVORTEX_MODEL_DIR" in found.fix
    assert checks.of_model("m", "d" * 64, "").detail == "m, digest dddddddddddd"


@pytest.mark.parametrize(
    ("found", "finding", "words"),
    [
        ("seen", CheckStatus.OK, "it runs; 3 groups"),
        ("denied", CheckStatus.MISSING, "its status cannot be read"),
        ("unread", CheckStatus.MISSING, "its status cannot be read"),
        ("unseen", CheckStatus.MISSING, "it keeps no status"),
    ],
)
def test_what_is_known_of_cluster_autoscaler_is_told_and_nothing_of_it_is_required(
    found, finding, words
):
    judged = checks.of_autoscaler(found, 3)
    assert judged.finding is finding
    assert not (judged.required and judged.fix)
    assert judged.detail.startswith(words)
    assert bool(judged.fix) is (finding is CheckStatus.MISSING)


@pytest.mark.parametrize(
    ("facts", "finding"),
    [
        (market(PRICED), CheckStatus.OK),
        (market(PRICED, state=InputState.STALE), CheckStatus.WRONG),
        (market(PRICED, state=InputState.ABSENT), CheckStatus.MISSING),
        (market(PRICED, SpotQuote(offering=WEB_B)), CheckStatus.MISSING),
    ],
)
def test_prices_are_never_needed_to_start(facts, finding):
    found = checks.of_prices(facts)
    assert found.finding is finding
    assert found.finding is CheckStatus.OK or not found.required


def test_prices_say_what_they_cover_and_how_old_they_are():
    found = checks.of_prices(market(PRICED, SpotQuote(offering=WEB_B), detail="add records"))
    assert found.detail == (
        "1 of 2 offerings of the cluster have prices; the newest record is 1.0 h old; add records"
    )
    never = checks.of_prices(market(PRICED, state=InputState.ABSENT, age_s=float("inf")))
    assert "inf" not in never.detail
    assert (
        checks.of_prices(market(detail="renew")).detail == "the newest record is 1.0 h old; renew"
    )


@pytest.mark.parametrize(
    ("watched", "served", "denied", "expected"),
    [
        (NODES, True, (), (CheckStatus.OK, True)),
        (NODES, True, ("list", "watch"), (CheckStatus.MISSING, True)),
        (NODES, False, (), (CheckStatus.WRONG, True)),
        (PDBS, True, ("watch",), (CheckStatus.MISSING, False)),
        (NODEPOOLS, False, (), (CheckStatus.OK, True)),
    ],
)
def test_a_right_is_as_grave_as_what_is_lost_without_it(watched, served, denied, expected):
    found = checks.of_access(Access(watched=watched, served=served, denied=denied))
    assert (found.finding, found.required) == expected
    assert not denied or found.fix == f"grant {','.join(denied)} on {watched.right}"


def test_a_state_folder_must_be_there_and_writable(tmp_path):
    assert checks.of_state_dir(tmp_path).finding is CheckStatus.OK
    gone = checks.of_state_dir(tmp_path / "gone")
    assert (gone.finding, gone.required) == (CheckStatus.WRONG, True)
    assert "SPOTVORTEX_STATE_DIR" in gone.detail


def test_a_memory_that_nothing_keeps_is_named_with_the_fix():
    assert checks.of_memory("").finding is CheckStatus.OK
    lost = checks.of_memory("no right to patch configmaps")
    assert (lost.finding, lost.required) == (CheckStatus.MISSING, False)
    assert "deploy/kustomize/memory" in lost.fix


def test_a_ledger_that_nothing_keeps_is_named_with_the_fix():
    assert checks.of_ledger("").finding is CheckStatus.OK
    lost = checks.of_ledger("no right to patch configmaps")
    assert (lost.finding, lost.required) == (CheckStatus.MISSING, False)
    assert "deploy/kustomize/ledger" in lost.fix


def test_a_decision_log_must_be_a_file_that_can_be_written(tmp_path):
    assert checks.of_decision_log(None).finding is CheckStatus.OK
    assert checks.of_decision_log(tmp_path / "new.jsonl").finding is CheckStatus.OK
    assert checks.of_decision_log(tmp_path).finding is CheckStatus.WRONG
    assert checks.of_decision_log(tmp_path / "gone" / "new.jsonl").finding is CheckStatus.WRONG


def test_each_check_is_one_line_with_its_fix(capsys):
    found = (
        checks.ok("model", "m"),
        checks.missing("state_dir", "forgotten", "set it " + "y" * 200),
    )
    checks.show(found, Console(highlight=False, width=80))
    first, second = capsys.readouterr().out.splitlines()
    assert first == "ok      model      m"
    assert second.startswith("missing state_dir  forgotten -> set it yyy")


def cluster(**changes) -> FakeCluster:
    labels = {
        "node.kubernetes.io/instance-type": "m6i.large",
        "topology.kubernetes.io/zone": "us-east-1a",
    }
    nodes = {"/api/v1/nodes": FakeApi([listed(node("n1", **labels))])}
    kept = {
        path: FakeApi([refused(404, "no such ConfigMap")])
        for path in (KeptMemory.path_in("spotvortex"), KeptLedger.path_in("spotvortex"))
    }
    autoscaler = {STATUS: FakeApi([refused(404, "no such ConfigMap")])}
    return server(reviewed(True), **nodes | kept | autoscaler | changes)


async def checked(served, tmp_path, monkeypatch, **values):
    async with serving(served) as client:
        config = tmp_path / "config"
        config.write_text(KUBECONFIG.replace("SERVER", client.server))
        monkeypatch.setenv("KUBECONFIG", str(config))
        return {c.name: c for c in await check(Settings(**values))}


KUBECONFIG = """
current-context: one
contexts: [{name: one, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "SERVER"}}]
users: [{name: u, user: {token: t}}]
"""


def write_prices(path, age_s, *, on_demand=True):
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age_s))
    spot = {"InstanceType": "m6i.large", "AvailabilityZone": "us-east-1a", "SpotPrice": "0.03"}
    spot |= {"ProductDescription": "Linux/UNIX", "Timestamp": at}
    dear = {"InstanceType": "m6i.large", "Region": "us-east-1", "OnDemandPrice": 0.096}
    records = [spot, dear] if on_demand else [spot]
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


PLAN = {"name": "sp", "type": "compute", "usd_per_hour": 1, "discount_percent": 25}


def written(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "changes", "finding", "required", "told"),
    [
        (None, {}, CheckStatus.MISSING, False, "what a move saves may be nothing"),
        (None, {"commitments": "hold"}, CheckStatus.MISSING, True, "nothing moves to Spot"),
        ("{}", {}, CheckStatus.OK, True, "stated that there are none"),
        ('{"savings_plan": []}', {}, CheckStatus.WRONG, False, "savings_plan"),
        (
            json.dumps({"savings_plans": [PLAN]}),
            {},
            CheckStatus.OK,
            True,
            "1 stated",
        ),
    ],
)
async def test_commitments_are_asked_for_with_the_fix(
    text, changes, finding, required, told, tmp_path, monkeypatch
):
    path = tmp_path / "commitments.json"
    if text is not None:
        written(path, text)
    given = changes | {"commitments_path": path, "model_dir": tmp_path}
    found = await checked(cluster(), tmp_path, monkeypatch, **given)
    commitments = found["commitments"]
    assert (commitments.finding, commitments.required) == (finding, required)
    assert told in commitments.detail
    if finding is CheckStatus.MISSING:
        assert "SPOTVORTEX_COMMITMENTS_PATH" in commitments.fix


async def test_a_commitment_that_has_ended_is_counted(tmp_path, monkeypatch):
    ended = PLAN | {"name": "old", "ends_at": "2020-01-01T00:00:00Z"}
    text = json.dumps({"savings_plans": [PLAN, ended]})
    path = written(tmp_path / "commitments.json", text)
    found = await checked(cluster(), tmp_path, monkeypatch, commitments_path=path)
    assert found["commitments"].detail == "2 stated, 1 of them ended"


async def test_prices_of_last_resort_are_named_since_nothing_moves_on_them(tmp_path, monkeypatch):
    path = write_prices(tmp_path / "prices.jsonl", 60.0, on_demand=False)
    found = (await checked(cluster(), tmp_path, monkeypatch, price_file=path))["prices"]
    assert (found.finding, found.required) == (CheckStatus.MISSING, False)
    assert "1 on-demand prices are of last resort" in found.detail
    assert "docs/price-file.md" in found.fix


async def test_with_everything_in_place_all_is_well(tmp_path, monkeypatch):
    found = await checked(
        cluster(),
        tmp_path,
        monkeypatch,
        price_file=write_prices(tmp_path / "prices.jsonl", 60.0),
        commitments_path=written(tmp_path / "commitments.json", "{}"),
        state_dir=tmp_path,
        decision_log=tmp_path / "decisions.jsonl",
    )
    assert checks.exit_code(tuple(found.values())) == 0, found
    assert "1 of 1 offerings" in found["prices"].detail
    assert {f"rights on {right}" for right in ("nodes", "pods")} <= found.keys()


@pytest.mark.parametrize(
    ("answer", "provisioner", "finding"),
    [
        (Answer({"metadata": {"resourceVersion": "1"}, "data": {}}), "auto", CheckStatus.OK),
        (refused(403), "auto", CheckStatus.MISSING),
        (refused(404), "auto", None),
        (refused(404), "cluster-autoscaler", CheckStatus.MISSING),
        (refused(403), "karpenter", None),
        (refused(403), "none", None),
    ],
)
async def test_cluster_autoscaler_is_looked_for_where_its_groups_could_be_moved(
    answer, provisioner, finding, tmp_path, monkeypatch
):
    served = cluster(**{STATUS: FakeApi([answer])})
    given = {"provisioner": provisioner, "model_dir": tmp_path}
    found = await checked(served, tmp_path, monkeypatch, **given)
    one = found.get("cluster autoscaler")
    assert (None if one is None else one.finding) is finding


async def test_without_prices_and_state_it_works(tmp_path, monkeypatch):
    found = await checked(cluster(), tmp_path, monkeypatch)
    assert checks.exit_code(tuple(found.values())) == 1
    assert "SPOTVORTEX_PRICE_FILE" in found["prices"].detail
    assert found["memory"].finding is CheckStatus.MISSING
    assert "no such ConfigMap" in found["memory"].detail
    assert found["ledger"].finding is CheckStatus.MISSING


async def test_old_prices_and_broken_prices_are_told_apart(tmp_path, monkeypatch):
    path = write_prices(tmp_path / "prices.jsonl", 9e5)
    found = await checked(cluster(), tmp_path, monkeypatch, price_file=path)
    assert (found["prices"].finding, found["prices"].required) == (CheckStatus.WRONG, False)
    path.write_text("{}\n")
    found = await checked(cluster(), tmp_path, monkeypatch, price_file=path)
    assert (found["prices"].finding, found["prices"].required) == (CheckStatus.WRONG, True)


async def test_endpoints_that_do_not_answer_are_wrong_and_not_required(tmp_path, monkeypatch):
    for module in (scrape, prometheus):
        monkeypatch.setattr(module, "RETRIES", replace(module.RETRIES, n_attempts=1))
    urls = {"karpenter_metrics_url": "http://127.0.0.1:1/x", "prometheus_url": "http://127.0.0.1:1"}
    found = await checked(cluster(), tmp_path, monkeypatch, **urls)
    for name in urls:
        told = found[f"SPOTVORTEX_{name.upper()}"]
        assert (told.finding, told.required) == (CheckStatus.WRONG, False)
        assert "127.0.0.1:1" in told.detail
    assert found["prices"].finding is CheckStatus.MISSING


async def test_an_endpoint_that_answers_gives_the_prices(tmp_path, monkeypatch):
    here = ("m6i.large", "us-east-1a")
    karpenter = Karpenter(
        available={(*here, "spot"): 1},
        prices={(*here, "spot"): 0.03, (*here, "on-demand"): 0.096},
    )
    async with metrics_server(Endpoint([karpenter.text()])) as url:
        found = await checked(cluster(), tmp_path, monkeypatch, karpenter_metrics_url=url)
    assert found["prices"].finding is CheckStatus.OK
    assert found["SPOTVORTEX_KARPENTER_METRICS_URL"].finding is CheckStatus.OK


async def test_scripted_prices_are_looked_at_like_others(tmp_path, monkeypatch):
    script = '{"default": {"current_price": 0.2, "on_demand_price": 1.0}}'
    found = await checked(
        cluster(), tmp_path, monkeypatch, test_price_provider_json=script, e2e_suite="eksa-ca"
    )
    assert found["prices"].finding is CheckStatus.OK


async def test_without_a_bundle_nothing_would_start(tmp_path, monkeypatch):
    found = await checked(cluster(), tmp_path, monkeypatch, model_dir=tmp_path)
    assert found["model"].finding is CheckStatus.WRONG
    assert "MODEL_MANIFEST.json" in found["model"].detail


async def test_the_learned_policy_needs_a_bundle_that_has_one(tmp_path, monkeypatch):
    found = await checked(
        cluster(), tmp_path, monkeypatch, policy_mode="rl", model_dir=without_networks(tmp_path)
    )
    assert (found["model"].finding, found["model"].required) == (CheckStatus.WRONG, True)
    assert "unset SPOTVORTEX_POLICY_MODE" in found["model"].detail


async def test_without_rights_the_nodes_are_not_listed(tmp_path, monkeypatch):
    served = cluster(**{REVIEWS: FakeApi([reviewed(False)])})
    found = await checked(served, tmp_path, monkeypatch)
    assert checks.exit_code(tuple(found.values())) == 2
    assert found["rights on nodes"].fix == "grant get,list,watch on nodes"
    assert served.apis["/api/v1/nodes"].asked == []


async def test_a_server_that_refuses_us_is_named(tmp_path, monkeypatch):
    served = cluster(**{"/api/v1": FakeApi([refused(401, "Unauthorized")])})
    served.apis[REVIEWS] = FakeApi([Answer(None, status=500)])
    found = await checked(served, tmp_path, monkeypatch)
    assert found["cluster"].finding is CheckStatus.WRONG
    assert "one (http://127.0.0.1" in found["cluster"].detail


def test_a_wrong_setting_is_the_first_thing_to_mend(monkeypatch):
    monkeypatch.setenv("SPOTVORTEX_TICK_S", "0")
    done = CliRunner().invoke(cli, ["check", "--output", "json"])
    assert done.exit_code == 2
    (found,) = json.loads(done.stdout)["checks"]
    assert (found["name"], found["finding"]) == ("settings", "wrong")
    assert "SPOTVORTEX_TICK_S='0'" in found["detail"]


def test_without_a_cluster_the_rest_is_still_told():
    done = CliRunner().invoke(cli, ["check"])
    assert done.exit_code == 2
    lines = done.stdout.splitlines()
    assert any(line.startswith("ok      model") for line in lines)
    assert any(line.startswith("wrong   cluster") and "KUBECONFIG" in line for line in lines)


@pytest.mark.controlplane
def test_on_a_real_cluster_our_own_rights_suffice_and_nothing_is_written(
    control_plane: ControlPlane, monkeypatch, tmp_path
):
    role = shadow_cluster_role()
    control_plane.apply([role])
    control_plane.grant("spotvortex-shadow", role["metadata"]["name"])
    monkeypatch.setenv("SPOTVORTEX_STATE_DIR", str(tmp_path))
    codes = {}
    for user in ("spotvortex-shadow", "nobody"):
        monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig(user)))
        done = CliRunner().invoke(cli, ["check", "--context", user])
        codes[user] = done.exit_code
        assert done.stdout.count("SPOTVORTEX_PRICE_FILE") == 1
    assert codes == {"spotvortex-shadow": 1, "nobody": 2}
    assert "grant get,list,watch on policy/poddisruptionbudgets" in done.stdout
    asked = {
        (event["verb"], event["objectRef"]["resource"])
        for event in control_plane.audit_events("nobody")
        if event["verb"] not in ("get", "list", "watch")
    }
    assert asked == {("create", "selfsubjectaccessreviews")}
