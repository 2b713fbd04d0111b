"""`check` judges what the configured mode needs, as the server and the fence would."""

import shutil

import pytest

from spotvortex.app.check import check
from spotvortex.core.domain import labels
from spotvortex.kube.admin import access_review
from spotvortex.report import checks
from spotvortex.report.checks import CheckStatus
from spotvortex.settings.model import Settings
from tests.controlplane.api import wait_until
from tests.deploy.elsewhere import Elsewhere
from tests.deploy.manifests import ACTIVE, ADVISE, WEIGHTS
from tests.groups.cloud import Cloud
from tests.kube.scenes import await_true

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on PATH"),
]
HOME = "check-mode"
NAMES = ("account", "rights to tell", "provisioner", "rights to write", "placeholders", "fence")


@pytest.fixture(scope="module")
def active(control_plane, tmp_path_factory):
    place = Elsewhere(control_plane, ACTIVE, HOME, tmp_path_factory.mktemp("overlay"))
    place.admin.apply([place.of("PriorityClass", labels.PRIORITY_CLASS)])
    # A quota refuses all until the server has counted.
    quotas = f"/api/v1/namespaces/{HOME}/resourcequotas"
    wait_until(lambda: all("used" in q.get("status", {}) for q in place.admin.items(quotas)), 30)
    yield place
    place.clear()


@pytest.fixture(scope="module")
def steering(control_plane, tmp_path_factory):
    place = Elsewhere(control_plane, WEIGHTS, "check-weights", tmp_path_factory.mktemp("overlay"))
    yield place
    place.clear()


@pytest.fixture
def ask(active, monkeypatch, tmp_path):
    """Run `check` as an account; the daemon's own, where none is named."""

    async def asked(user="", **values):
        own = not user
        path = active.kubeconfig(tmp_path) if own else active.plane.kubeconfig(user)
        monkeypatch.setenv("KUBECONFIG", str(path))
        settings = {"mode": "active", "namespace": HOME} | values
        return {c.name: c for c in await check(Settings(**settings))}

    return asked


async def test_as_it_is_shipped_all_that_active_needs_is_there(ask):
    async def is_well():
        found = await ask()
        return all(found[name].finding is CheckStatus.OK for name in NAMES)

    # Each policy and each right is taken up in its own time.
    await await_true(is_well)
    found = await ask()
    assert found["account"].detail == f"system:serviceaccount:{HOME}:spotvortex"


async def test_another_account_is_told_that_it_is_not_the_daemons(ask):
    found = await ask("admin")
    assert found["account"].finding is CheckStatus.MISSING
    assert f"kubectl -n {HOME} exec deploy/spotvortex" in found["account"].fix
    assert (found["fence"].finding, found["fence"].required) == (CheckStatus.MISSING, False)


async def test_shadow_asks_for_none_of_it_and_advise_for_events(ask):
    assert not set(NAMES) & (await ask(mode="shadow")).keys()
    found = await ask(mode="advise")
    assert found["rights to tell"].finding is CheckStatus.OK
    assert "rights to write" not in found


async def test_a_quota_that_lets_no_placeholder_in_is_named(ask, active):
    quota = active.of("ResourceQuota", "spotvortex-placeholders")
    none = quota | {"spec": quota["spec"] | {"hard": {"pods": "0"}}}
    active.admin.apply([none])

    async def is_refused():
        found = (await ask())["placeholders"]
        return "exceeded quota: spotvortex-placeholders" in found.detail

    await await_true(is_refused)
    found = await ask()
    assert (found["placeholders"].finding, found["placeholders"].required) == ("wrong", True)
    active.admin.delete(active.admin.path_of(quota))
    active.admin.apply([quota])


async def test_what_the_daemon_would_weaken_its_mode_for_is_wrong(ask, active):
    role = active.of("ClusterRole", "spotvortex-active")
    less = role | {"rules": [r for r in role["rules"] if r["resources"] != ["nodes"]]}
    active.admin.apply([less])

    async def is_missing():
        return (await ask())["rights to write"].finding is CheckStatus.WRONG

    await await_true(is_missing)
    found = await ask()
    assert "patch nodes" in found["rights to write"].detail
    assert checks.exit_code(tuple(found.values())) == 2
    active.admin.apply([role])


async def test_a_provisioner_that_moves_nothing_makes_active_advice(ask):
    found = await ask(provisioner="none")
    assert found["provisioner"].finding is CheckStatus.WRONG
    assert "advise" in found["provisioner"].detail


async def test_a_queue_that_cannot_be_reached_is_named(ask, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    url = "http://127.0.0.1:1/1/queue"
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    found = await ask(notice_source="queue", interruption_queue=url)
    assert found["queue"].finding is CheckStatus.WRONG
    assert "SQS" in found["queue"].detail


async def test_the_journal_of_groups_is_judged_where_they_are_moved_by_aws(
    ask, active, monkeypatch
):
    assert "journal of groups" not in await ask()
    with Cloud() as cloud:
        for name, value in cloud.variables().items():
            monkeypatch.setenv(name, value)

        async def is_read():
            return (await ask(provisioner="asg"))["groups"].finding is CheckStatus.MISSING

        # The first answer of the tests' cloud takes longer than check waits on a busy machine.
        await await_true(is_read)
        found = await ask(provisioner="asg")
        assert found["journal of groups"].finding is CheckStatus.OK
        assert found["groups"].required
        tags = {"spotvortex.io/pool": "web", "spotvortex.io/capacity-type": "spot"}
        cloud.make_group("web-s", tags, 1)
        assert (await ask(provisioner="asg"))["groups"].detail == "1 read: web-s"
        tags["spotvortex.io/capacity-type"] = "cheap"
        cloud.make_group("web-o", tags, 1)
        assert (
            "is 'cheap': set spot or on-demand" in (await ask(provisioner="asg"))["groups"].detail
        )
        cloud.refuses["DescribeAutoScalingGroups"] = (403, "AccessDenied")
        found = await ask(provisioner="asg", mode="shadow")
        assert found["groups"].finding is CheckStatus.WRONG
        assert "do autoscaling:DescribeAutoScalingGroups" in found["groups"].detail
        assert "journal of groups" not in found
    role = active.of("Role", "spotvortex-active")
    name = labels.GROWTHS
    less = [r for r in role["rules"] if name not in r.get("resourceNames", ())]
    active.admin.apply([role | {"rules": less}])

    async def is_missing():
        return (await ask(provisioner="asg"))["journal of groups"].finding is CheckStatus.WRONG

    await await_true(is_missing)
    found = await ask(provisioner="asg")
    assert f"update configmaps {name}" in found["journal of groups"].detail
    active.admin.apply([role])


async def test_without_the_fence_the_daemons_account_is_told_so(ask, active):
    """The last of all: it takes the fence away."""
    for manifest in active.manifests:
        if manifest["kind"] == "ValidatingAdmissionPolicyBinding":
            active.admin.delete(active.admin.path_of(manifest))

    async def is_open():
        return (await ask())["fence"].finding is CheckStatus.WRONG

    await await_true(is_open)
    found = (await ask())["fence"]
    assert "overlays/active/fence" in found.fix


async def test_the_overlay_advise_has_the_rights_that_are_asked_for(control_plane, tmp_path):
    place = Elsewhere(control_plane, ADVISE, "check-advise", tmp_path)
    granted = {
        (verb, resource)
        for rule in place.of("ClusterRole", "spotvortex-events")["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {(right.verb, right.resource) for right in access_review.EVENTS}
    place.clear()


async def test_the_right_to_steer_pairs_is_judged_where_that_is_switched_on(
    ask, steering, monkeypatch, tmp_path
):
    assert "weights" not in await ask()
    assert "weights" not in await ask(weights="export")
    missing = (await ask(weights="apply"))["weights"]
    assert missing.finding is CheckStatus.WRONG
    assert "patch karpenter.sh/nodepools" in missing.detail
    assert "components/weights" in missing.fix
    monkeypatch.setenv("KUBECONFIG", str(steering.kubeconfig(tmp_path)))
    settings = Settings(mode="active", namespace="check-weights", weights="apply")

    async def is_well():
        found = {c.name: c for c in await check(settings)}
        return found["weights"].finding is CheckStatus.OK

    await await_true(is_well)
