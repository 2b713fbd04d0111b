"""The levers' requests to the letter, and what each answer leads to, against a scripted server."""

from random import Random

import pytest

from spotvortex.core.drain.calls import (
    Again,
    ClearRisk,
    DeleteAnchors,
    DeletePlaceholders,
    Done,
    Gone,
    MarkNode,
    NoteRisk,
    Refused,
    UnmarkNode,
)
from spotvortex.kube.write import nodes as module
from spotvortex.kube.write import owner_jobs
from spotvortex.kube.write.manifests import PlaceholderOptions
from spotvortex.kube.write.provisioners import KarpenterProvisioner
from spotvortex.kube.write.writer import KubeWriter
from spotvortex.ports.lease_timing import LeaseTiming
from spotvortex.ports.writing import OwnWrite
from tests.kube.api.test_errors import ALREADY, JOB, NODE, POD, answer_of, far, writer
from tests.kube.fake_api import Answer, FakeApi, refused, serving
from tests.kube.scenes import PLAN, anchor_call, order, placeholder_call

CREATED = Answer({}, status=201)
OURS = {"key": "karpenter.sh/nodepool", "operator": "In", "values": ["web"]}
TETHER = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "name": "t",
    "uid": "j",
    "controller": False,
    "blockOwnerDeletion": False,
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 65535,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONFLICT = refused(409, "the object has been modified", "Conflict")
QUOTA = refused(403, "exceeded quota: bound", "Forbidden")


def pause(requests, limits):
    return {
        "name": "pause",
        "image": "registry.k8s.io/pause:3.10",
        "resources": {"requests": requests, "limits": limits},
        "securityContext": CONTAINER_SECURITY,
    }


def never_run(expires_s, *containers):
    return {
        "containers": list(containers),
        "securityContext": POD_SECURITY,
        "activeDeadlineSeconds": expires_s,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }


# -- pods of ours -------------------------------------------------------------


async def test_a_placeholder_is_a_bare_pod_that_ends_with_its_tether():
    spec = {
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "containers": [{"resources": {"requests": {"cpu": "9", "example.test/device": "2"}}}],
    }
    call = placeholder_call(POD, name="p-1", expires_s=900)
    found, api = await answer_of(call, Answer(POD | {"spec": spec}), JOB, CREATED)
    assert (found, api.methods) == (Done(), ["GET", "POST", "POST"])
    body = api.posted[1]
    assert body["metadata"] == {
        "name": "p-1",
        "namespace": "ours",
        "labels": {
            "app.kubernetes.io/managed-by": "spotvortex",
            "spotvortex.io/kind": "placeholder",
            "spotvortex.io/plan": PLAN,
            "spotvortex.io/for": "node-uid",
            "spotvortex.io/pool": "web",
        },
        "annotations": {
            "karpenter.sh/do-not-disrupt": "true",
            "spotvortex.io/order": call.order,
        },
        "ownerReferences": [TETHER],
    }
    asked = {"cpu": "100m", "memory": str(2**27), "example.test/device": "2"}
    assert body["spec"] == never_run(900, pause(asked, {"example.test/device": "2"})) | {
        "priorityClassName": "spotvortex-placeholder",
        "nodeSelector": {"karpenter.sh/capacity-type": "on-demand"},
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [OURS]}]
                }
            }
        },
        "tolerations": spec["tolerations"],
    }


async def test_an_anchor_is_bound_by_name_and_tolerates_everything():
    found, api = await answer_of(anchor_call(NODE, name="a-1", expires_s=1741), JOB, CREATED)
    assert (found, api.methods) == (Done(), ["POST", "POST"])
    body = api.posted[1]
    assert body["metadata"]["annotations"] == {
        "karpenter.sh/do-not-disrupt": "true",
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    }
    assert body["metadata"]["labels"]["spotvortex.io/kind"] == "anchor"
    assert body["metadata"]["labels"]["spotvortex.io/for"] == "u"
    assert body["metadata"]["ownerReferences"] == [TETHER]
    tiny = pause({"cpu": "1m", "memory": "8Mi"}, {})
    assert body["spec"] == never_run(1741, tiny) | {
        "nodeName": "n",
        "tolerations": [{"operator": "Exists"}],
    }


@pytest.mark.parametrize(("reads", "note"), [(True, "30m"), (False, "true")])
async def test_a_karpenter_is_told_a_time_only_where_it_reads_one(reads, note):
    api = FakeApi([JOB, CREATED])
    async with serving(api) as client:
        timing = LeaseTiming()
        home = PlaceholderOptions(namespace="ours", reads_durations=lambda: reads)
        levers = KubeWriter(client, home, KarpenterProvisioner(client, timing), Random(1), timing)
        assert await levers.apply(anchor_call(NODE, expires_s=1741), far()) == Done()
    assert api.posted[1]["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == note


async def test_a_tether_is_a_job_that_runs_nothing_and_vanishes():
    _, api = await answer_of(anchor_call(NODE, expires_s=600), JOB, CREATED)
    job = api.posted[0]
    labels = {"app.kubernetes.io/managed-by": "spotvortex"}
    assert job["metadata"]["name"].startswith("spotvortex-tether-")
    assert (job["metadata"]["namespace"], job["metadata"]["labels"]) == ("ours", labels)
    template = job["spec"].pop("template")
    assert job["spec"] == {
        "completions": 0,
        "parallelism": 0,
        "backoffLimit": 0,
        "ttlSecondsAfterFinished": 600,
    }
    assert template["metadata"]["labels"] == labels
    assert template["spec"]["restartPolicy"] == "Never"
    assert template["spec"]["automountServiceAccountToken"] is False
    assert template["spec"]["securityContext"] == POD_SECURITY
    (container,) = template["spec"]["containers"]
    assert container["securityContext"] == CONTAINER_SECURITY


@pytest.mark.parametrize(("lifetime_s", "fresh_s"), [(600, 100.0), (1800, 300.0), (60, 10.0)])
async def test_pods_of_one_lifetime_share_a_tether_for_a_sixth_of_it(
    monkeypatch, lifetime_s, fresh_s
):
    times = [1000.0]
    monkeypatch.setattr(owner_jobs, "_loop_time", lambda: times[0])
    api = FakeApi([JOB, CREATED, CREATED, JOB, CREATED, JOB, CREATED])
    async with serving(api) as client:
        levers = writer(client)
        call = anchor_call(NODE, expires_s=lifetime_s)
        for times[0] in (1000.0, 1000.0 + fresh_s - 0.1, 1000.0 + fresh_s):
            assert await levers.apply(call, far()) == Done()
        other = anchor_call(NODE, expires_s=lifetime_s - 1)
        assert await levers.apply(other, far()) == Done()
    kinds = [body["kind"] for body in api.posted]
    assert kinds == ["Job", "Pod", "Pod", "Job", "Pod", "Job", "Pod"]


async def test_only_so_many_lifetimes_are_remembered_and_the_oldest_goes(monkeypatch):
    monkeypatch.setattr(owner_jobs, "MAX_CLASSES", 2)
    async with serving(FakeApi([JOB, CREATED] * 3)) as client:
        levers = writer(client)
        for expires_s in (600, 900, 1200):
            await levers.apply(anchor_call(NODE, expires_s=expires_s), far())
        assert list(levers._tethers._newest) == [900, 1200]


@pytest.mark.parametrize("met", [ALREADY, QUOTA], ids=["name", "quota"])
@pytest.mark.parametrize(
    ("there", "answer"),
    [({"spotvortex.io/plan": PLAN}, Done), ({"spotvortex.io/plan": "other"}, Refused)],
    ids=["ours", "another"],
)
async def test_a_pod_that_is_there_already_is_ours_by_its_plan(met, there, answer):
    stored = Answer({"metadata": {"labels": there}})
    found, api = await answer_of(anchor_call(NODE), JOB, met, stored)
    assert isinstance(found, answer)
    assert api.methods == ["POST", "POST", "GET"]


async def test_a_quota_that_leaves_no_room_refuses_where_the_pod_is_not_there():
    found, _ = await answer_of(anchor_call(NODE), JOB, QUOTA, refused(404))
    assert found == Refused(reason="exceeded quota: bound")


@pytest.mark.parametrize(
    "no", [refused(403, "you may not"), refused(400, "exceeded quota: of another kind")]
)
async def test_what_is_refused_for_another_reason_is_not_looked_for(no):
    found, api = await answer_of(anchor_call(NODE), JOB, no)
    assert isinstance(found, Refused)
    assert api.methods == ["POST", "POST"]


@pytest.mark.parametrize("seen", [refused(404), Answer(POD | {"metadata": {"uid": "another"}})])
async def test_no_room_is_asked_for_a_pod_that_is_gone_or_another(seen):
    found, api = await answer_of(placeholder_call(POD), seen)
    assert (found, api.methods) == (Gone(), ["GET"])


async def test_what_the_pod_itself_rules_out_is_refused_before_anything_is_made():
    spec = {"nodeSelector": {"karpenter.sh/capacity-type": "spot"}}
    found, api = await answer_of(placeholder_call(POD), Answer(POD | {"spec": spec}))
    assert isinstance(found, Refused)
    assert api.methods == ["GET"]


@pytest.mark.parametrize(
    ("call", "selector"),
    [
        (
            DeletePlaceholders(plan_id=PLAN, for_uid="u"),
            f"spotvortex.io/kind=placeholder,spotvortex.io/plan={PLAN},spotvortex.io/for=u",
        ),
        (DeleteAnchors(node="n", node_uid="u"), "spotvortex.io/kind=anchor,spotvortex.io/for=u"),
    ],
)
async def test_pods_of_ours_are_deleted_by_all_their_labels_and_at_once(call, selector):
    found, api = await answer_of(call, Answer({}))
    assert (found, api.methods) == (Done(), ["DELETE"])
    assert api.asked[0]["labelSelector"] == selector
    assert api.posted == [{"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}]


@pytest.mark.parametrize("plan", ["a,b notin (c)", "", "x" * 64])
async def test_a_label_that_cannot_be_deletes_nothing(plan):
    found, api = await answer_of(DeletePlaceholders(plan_id=plan, for_uid="u"), Answer({}))
    assert isinstance(found, Refused)
    assert plan[:63] in found.reason
    assert api.methods == []


# -- marks and notes ----------------------------------------------------------

MARK = MarkNode(node="n", uid="u", plan_id=PLAN, order=order(), resource_version="7")
UNMARK = UnmarkNode(node="n", uid="u", plan_id=PLAN)


def node(version="8", *, uid="u", plan=PLAN, ours=True, cordoned=True):
    metadata = {"name": "n", "uid": uid, "resourceVersion": version}
    metadata["annotations"] = {"spotvortex.io/drain": order(plan)} if plan else {}
    metadata["labels"] = {"spotvortex.io/cordoned": "true"} if ours else {}
    return Answer({"metadata": metadata, "spec": {"unschedulable": cordoned}})


async def test_a_mark_is_one_patch_of_one_version():
    found, api = await answer_of(MARK, node())
    assert (found, api.methods) == (Done(), ["PATCH"])
    assert api.posted == [
        {
            "metadata": {
                "uid": "u",
                "resourceVersion": "7",
                "labels": {"spotvortex.io/cordoned": "true"},
                "annotations": {"spotvortex.io/drain": order()},
            },
            "spec": {"unschedulable": True},
        }
    ]


@pytest.mark.parametrize(
    ("there", "answer"),
    [
        (node(), Done()),
        (node(uid="another"), Gone()),
        (node(plan="other"), Again("the object has been modified")),
        (node(plan=""), Again("the object has been modified")),
    ],
)
async def test_a_mark_that_met_another_version_is_looked_for(there, answer):
    found, api = await answer_of(MARK, CONFLICT, there)
    assert (found, api.methods) == (answer, ["PATCH", "GET"])
    assert not isinstance(found, Again) or found.is_outdated


@pytest.mark.parametrize(
    ("call", "ours", "spec"),
    [
        (UNMARK, True, {"spec": {"unschedulable": None}}),
        (UNMARK, False, {}),
        (UnmarkNode(node="n", uid="u", plan_id=PLAN, uncordon=False), True, {}),
    ],
)
async def test_a_mark_is_taken_away_and_its_cordon_only_while_it_is_ours(call, ours, spec):
    found, api = await answer_of(call, node("8", ours=ours), node("9", plan=""))
    assert (found, api.methods) == (Done(), ["GET", "PATCH"])
    metadata = {
        "uid": "u",
        "resourceVersion": "8",
        "labels": {"spotvortex.io/cordoned": None},
        "annotations": {"spotvortex.io/drain": None},
    }
    assert api.posted == [{"metadata": metadata} | spec]


@pytest.mark.parametrize(
    ("there", "answer"), [(node(uid="another"), Gone()), (node(plan="other"), Done())]
)
async def test_the_mark_of_another_node_or_plan_is_left(there, answer):
    found, api = await answer_of(UNMARK, there)
    assert (found, api.methods) == (answer, ["GET"])


@pytest.mark.parametrize(
    ("call", "note"),
    [
        (NoteRisk(node="n", uid="u", until=1_800_000_000.5), "2027-01-15T08:00:00Z"),
        (ClearRisk(node="n", uid="u"), None),
    ],
)
async def test_a_note_of_risk_is_an_annotation_alone(call, note):
    found, api = await answer_of(call, node())
    assert (found, api.methods) == (Done(), ["PATCH"])
    assert api.posted == [
        {"metadata": {"uid": "u", "annotations": {"spotvortex.io/at-risk": note}}}
    ]


async def test_what_a_write_left_counts_until_the_watch_shows_it():
    async with serving(FakeApi([node("8"), node("10", plan="", cordoned=False)])) as client:
        levers = writer(client)
        assert levers.own_write("u") is None
        await levers.apply(MARK, far())
        marked = OwnWrite(resource_version=8, cordoned=True, plan_id=PLAN)
        assert levers.own_write("u") == levers.own_write("u", "7") == marked
        assert levers.own_write("u", "8") is None
        assert levers.own_write("u") is None
        await levers.apply(ClearRisk(node="n", uid="u"), far())
        left = OwnWrite(resource_version=10, cordoned=False, plan_id="")
        assert levers.own_write("u", "9") == left


async def test_what_a_write_left_is_forgotten_after_a_minute_and_only_so_much_is_kept(monkeypatch):
    monkeypatch.setattr(module, "MAX_REMEMBERED", 2)
    times = [100.0]
    monkeypatch.setattr(module, "_loop_time", lambda: times[0])
    answers = [node(str(10 + i), uid=f"u{i}") for i in range(3)]
    async with serving(FakeApi(answers)) as client:
        levers = writer(client)
        for i in range(3):
            await levers.apply(ClearRisk(node="n", uid=f"u{i}"), far())
    assert levers.own_write("u0") is None
    assert levers.own_write("u1") is not None
    times[0] = 159.9
    assert levers.own_write("u1") is not None
    times[0] = 160.0
    assert levers.own_write("u1") is None


@pytest.mark.parametrize("odd", [node(""), node("x"), node(uid="")])
async def test_a_node_without_a_version_or_a_name_of_its_own_is_not_remembered(odd):
    async with serving(FakeApi([odd])) as client:
        levers = writer(client)
        await levers.apply(ClearRisk(node="n", uid="u"), far())
        assert levers.own_write("u") is levers.own_write("") is None
