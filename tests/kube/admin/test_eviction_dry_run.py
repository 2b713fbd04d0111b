"""Dry runs of the Eviction API by a scripted server; e2e tests of the doctor ask the real one."""

import pytest

from spotvortex.core.pool.survival.eviction import ServerAnswer
from spotvortex.errors import UnreachableError
from spotvortex.kube.admin.eviction_dry_run import ask
from tests.core.builders import standing
from tests.kube.fake_api import Answer, FakeApi, FakeCluster, client_for, refused, serving

PATH = "/api/v1/namespaces/shop/pods/{}/eviction"
BUDGET = {
    "kind": "Status",
    "code": 429,
    "reason": "TooManyRequests",
    "message": "Cannot evict pod as it would violate the pod's disruption budget.",
    "details": {"causes": [{"reason": "DisruptionBudget", "message": "needs 2"}, {}]},
}
TWO = {"kind": "Status", "code": 500, "message": "This pod has more than one PodDisruptionBudget"}


async def test_each_answer_is_told_in_the_servers_words_and_nothing_is_evicted():
    scripts = {
        "gone": refused(404),
        "held": Answer(BUDGET, status=429),
        "in-body": Answer(TWO, status=201),
        "open": Answer({"kind": "Status", "code": 201, "status": "Success"}, status=201),
        "plain": Answer({"kind": "Eviction"}, status=201),
        "two": Answer(TWO, status=500),
    }
    apis = {PATH.format(name): FakeApi([answer]) for name, answer in scripts.items()}
    async with serving(FakeCluster(apis)) as client:
        answers = await ask(client, [standing(name=name) for name in scripts])
    found = dict(zip(scripts, answers, strict=True))
    assert found["gone"].status == 404
    assert found["held"].is_blocked_by_budget
    assert found["held"].causes == ("DisruptionBudget",)
    assert found["open"] == found["plain"] == ServerAnswer(status=201)
    assert found["two"].status == found["in-body"].status == 500
    assert "more than one" in found["in-body"].message
    for api in apis.values():
        assert api.asked == [{"dryRun": "All"}]
        assert api.posted[0]["deleteOptions"] == {"preconditions": {"uid": "uid-api-1"}}


async def test_a_server_that_is_not_there_ends_the_questions():
    client = client_for("http://127.0.0.1:9")
    with pytest.raises(UnreachableError):
        await ask(client, [standing()])
    await client.close()
