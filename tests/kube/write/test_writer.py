"""The levers on a real API server: what is asked for is there, and every refusal is told."""

import asyncio

import pytest

from spotvortex.core.domain import labels
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.drain.calls import (
    Again,
    BlockedByBudget,
    ClearRisk,
    DeleteAnchors,
    DeletePlaceholders,
    Done,
    EvictPod,
    Gone,
    MarkNode,
    NoteRisk,
    Refused,
    ReleaseNode,
    UnmarkNode,
)
from tests.controlplane.manifests import NodeShape, PodShape, pdb_manifest
from tests.kube.fake_api import until
from tests.kube.scenes import PLAN, anchor_call, fresh, order, placeholder_call, site

pytestmark = pytest.mark.controlplane
OTHER_PLAN = "fedcba9876543210"
HELD = {"test.spotvortex.io/hold": "true"}
TTL = "node.alpha.kubernetes.io/ttl"


@pytest.fixture
async def here(control_plane):
    async with site(control_plane) as found:
        yield found


def mark_of(seen, **changes):
    meta = seen["metadata"]
    fields = {
        "node": meta["name"],
        "uid": meta["uid"],
        "plan_id": PLAN,
        "order": order(),
        "resource_version": meta["resourceVersion"],
    }
    return MarkNode(**(fields | changes))


def unmark_of(seen, **changes):
    meta = seen["metadata"]
    return UnmarkNode(**({"node": meta["name"], "uid": meta["uid"], "plan_id": PLAN} | changes))


async def unmarked(here, call):
    """Unmark as a drain does: again while others, who add the taint of a cordon, are faster."""
    answers = []

    async def is_final():
        answers.append(await here.apply(call))
        return not isinstance(answers[-1], Again)

    await here.await_true(is_final)
    return answers[-1]


async def held_node(here, **shape):
    """A node whose status nobody writes, so that its resource version stands still."""
    node = await here.node(NodeShape(annotations=HELD, **shape))
    name = node["metadata"]["name"]
    seen = [await here.seen_node(name)]

    async def is_still():
        await asyncio.sleep(0.5)
        seen.append(await here.seen_node(name))
        before, after = (each["metadata"] for each in seen[-2:])
        # Two controllers write to a new node, each in its own time.
        are_done = TTL in after["annotations"] and not seen[-1]["spec"].get("taints")
        return are_done and after["resourceVersion"] == before["resourceVersion"]

    await here.await_true(is_still)
    return seen[-1]


# -- placeholders -------------------------------------------------------------


async def test_a_placeholder_stands_where_its_pod_could(here):
    pool = fresh("pool")
    dedicated = ({"key": "dedicated", "value": pool, "effect": "NoSchedule"},)
    shape = {"pool": pool, "taints": dedicated}
    await here.node(NodeShape(capacity_type="spot", labels={"disk": "fast"}, **shape))
    await here.node(NodeShape(capacity_type="on-demand", labels={"disk": "slow"}, **shape))
    right = await here.node(
        NodeShape(capacity_type="on-demand", labels={"disk": "fast"}, zone="us-east-1b", **shape)
    )
    terms = [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["fast"]}]}]
    spec = {
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": pool}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
            }
        },
    }
    pod = await here.pod(PodShape(spec=spec))
    call = placeholder_call(
        pod,
        sides=(pool,),
        zone="us-east-1b",
        avoid=(Offering(instance_type="c5.large", zone="us-east-1a"),),
    )
    assert await here.apply(call) == Done()

    async def runs():
        return (await here.own(call.name))["status"].get("phase") == "Running"

    await here.await_true(runs)
    found = await here.own(call.name)
    assert found["spec"]["nodeName"] == right["metadata"]["name"]
    assert found["spec"]["priority"] == -10
    assert found["spec"]["activeDeadlineSeconds"] == 1800
    ours = {k: v for k, v in found["metadata"]["labels"].items() if "topology" not in k}
    assert ours == {
        labels.MANAGED_BY: "spotvortex",
        labels.KIND: "placeholder",
        labels.PLAN: PLAN,
        labels.FOR: "node-uid",
        "spotvortex.io/pool": "web",
    }
    assert found["metadata"]["annotations"] == {
        "karpenter.sh/do-not-disrupt": "true",
        labels.ORDER: order(),
    }


async def test_an_offering_to_avoid_is_avoided_and_only_that(here):
    pool = fresh("pool")
    shape = {"pool": pool, "capacity_type": "spot"}
    await here.node(NodeShape(instance_type="m5.large", zone="us-east-1a", **shape))
    pod = await here.pod(PodShape())
    call = placeholder_call(
        pod,
        sides=(pool,),
        avoid=(Offering(instance_type="m5.large", zone="us-east-1a"),),
        capacity_type=CapacityType.UNKNOWN,
    )
    assert await here.apply(call) == Done()

    async def waits():
        conditions = (await here.own(call.name))["status"].get("conditions", [])
        return [c for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"]

    await here.await_true(waits)
    other = await here.node(NodeShape(instance_type="m5.large", zone="us-east-1b", **shape))

    async def bound():
        return (await here.own(call.name))["spec"].get("nodeName")

    await here.await_true(bound)
    assert (await here.own(call.name))["spec"]["nodeName"] == other["metadata"]["name"]


async def test_a_placeholder_waits_for_its_own_pool_although_others_have_room(here):
    """Of another NodePool, of an EKS node group, and of no provisioner at all."""
    sibling, bought = fresh("pool"), {"capacity_type": "on-demand"}
    await here.node(NodeShape(pool=fresh("foreign"), **bought))
    await here.node(NodeShape(pool=fresh("group"), style="nodegroup", **bought))
    label = {"karpenter.sh/capacity-type": "on-demand"}
    await here.node(NodeShape(style="plain", labels=label))
    pod = await here.pod(PodShape(spec={"tolerations": [{"operator": "Exists"}]}))
    call = placeholder_call(pod, sides=(sibling,))
    assert await here.apply(call) == Done()

    async def refused():
        conditions = (await here.own(call.name))["status"].get("conditions", [])
        return [c for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"]

    await here.await_true(refused)
    right = await here.node(NodeShape(pool=sibling, **bought))

    async def bound():
        return (await here.own(call.name))["spec"].get("nodeName")

    await here.await_true(bound)
    assert (await here.own(call.name))["spec"]["nodeName"] == right["metadata"]["name"]


async def test_a_pod_that_tolerates_everything_gets_no_node_that_we_cordoned(here):
    pool = fresh("pool")
    cordoned = await here.node(NodeShape(pool=pool, capacity_type="on-demand"))

    async def marked():
        node = await here.seen_node(cordoned["metadata"]["name"])
        return await here.apply(mark_of(node)) == Done()

    await here.await_true(marked)
    pod = await here.pod(PodShape(spec={"tolerations": [{"operator": "Exists"}]}))
    call = placeholder_call(pod, sides=(pool,))
    assert await here.apply(call) == Done()
    other = await here.node(NodeShape(pool=pool, capacity_type="on-demand"))

    async def bound():
        return (await here.own(call.name))["spec"].get("nodeName")

    await here.await_true(bound)
    assert (await here.own(call.name))["spec"]["nodeName"] == other["metadata"]["name"]


async def test_a_placeholder_for_a_pod_that_is_gone_or_another_is_not_made(here):
    pod = await here.pod(PodShape())
    assert await here.apply(placeholder_call(pod, pod_uid="another")) == Gone()
    assert await here.apply(placeholder_call(pod, for_pod="default/nobody")) == Gone()
    assert await here.own_names() == []


async def test_what_the_pod_itself_rules_out_is_refused(here):
    selector = {"karpenter.sh/capacity-type": "spot"}
    pod = await here.pod(PodShape(spec={"nodeSelector": selector}))
    answer = await here.apply(placeholder_call(pod))
    assert isinstance(answer, Refused)
    assert "itself demands karpenter.sh/capacity-type=spot, not on-demand" in answer.reason
    any_type = placeholder_call(pod, capacity_type=CapacityType.UNKNOWN)
    assert await here.apply(any_type) == Done()


async def test_a_placeholder_asked_for_twice_is_one(here):
    pod = await here.pod(PodShape())
    call = placeholder_call(pod)
    assert await here.apply(call) == Done()
    assert await here.apply(call) == Done()
    assert await here.own_names() == [call.name]
    other = await here.apply(placeholder_call(pod, name=call.name, plan_id=OTHER_PLAN))
    assert isinstance(other, Refused)
    assert "already exists" in other.reason


async def test_a_quota_refuses_in_the_servers_own_words(here):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "bound", "namespace": here.namespace},
        "spec": {"hard": {"requests.cpu": "150m"}},
    }
    await here.do(here.plane.apply, [quota])

    async def counted():
        path = f"/api/v1/namespaces/{here.namespace}/resourcequotas/bound"
        return (await here.get(path)).get("status", {}).get("used")

    await here.await_true(counted)
    pod = await here.pod(PodShape())
    first = placeholder_call(pod)

    async def taken():
        # The server's own admission hears a moment later that the quota has been counted.
        return await here.apply(first) == Done()

    await here.await_true(taken)
    answer = await here.apply(placeholder_call(pod))
    assert isinstance(answer, Refused)
    assert "exceeded quota: bound, requested: requests.cpu=100m" in answer.reason


async def test_placeholders_of_one_move_are_deleted_and_no_others(here):
    pod = await here.pod(PodShape())
    keep = [placeholder_call(pod, plan_id=OTHER_PLAN), placeholder_call(pod, for_uid="other")]
    for call in [placeholder_call(pod), placeholder_call(pod), *keep]:
        assert await here.apply(call) == Done()
    deletion = DeletePlaceholders(plan_id=PLAN, for_uid="node-uid")
    assert await here.apply(deletion) == Done()
    assert await here.own_names() == sorted(call.name for call in keep)
    assert await here.apply(deletion) == Done()
    assert here.client.n_requests["deletecollection"] == 2


async def test_a_label_that_cannot_be_deletes_nothing(here):
    answer = await here.apply(DeletePlaceholders(plan_id="a,b notin (c)", for_uid="u"))
    assert isinstance(answer, Refused)
    assert isinstance(await here.apply(DeletePlaceholders(plan_id="", for_uid="")), Refused)
    assert here.client.n_requests["deletecollection"] == 0


# -- anchors ------------------------------------------------------------------


async def test_an_anchor_runs_on_its_node_whatever_taint_that_has(here):
    taint = {"key": "any", "effect": "NoExecute"}
    node = await here.node(NodeShape(taints=(taint,)))
    call = anchor_call(node, expires_s=1790)
    assert await here.apply(call) == Done()
    assert await here.apply(call) == Done()

    async def runs():
        return (await here.own(call.name))["status"].get("phase") == "Running"

    await here.await_true(runs)
    found = await here.own(call.name)
    assert found["spec"]["nodeName"] == call.node
    assert "nodeSelector" not in found["spec"]
    assert "affinity" not in found["spec"]
    assert found["metadata"]["annotations"] == {
        "karpenter.sh/do-not-disrupt": "30m",
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    }


async def test_a_karpenter_that_is_old_or_unknown_gets_true_for_a_duration(control_plane):
    async with site(control_plane, reads_durations=lambda: False) as here:
        call = anchor_call(await here.node())
        assert await here.apply(call) == Done()
        notes = (await here.own(call.name))["metadata"]["annotations"]
        assert notes["karpenter.sh/do-not-disrupt"] == "true"


async def test_the_anchors_of_one_node_are_deleted_and_no_others(here):
    one, two = await here.node(), await here.node()
    calls = [anchor_call(one), anchor_call(one, plan_id=OTHER_PLAN), anchor_call(two)]
    for call in calls:
        assert await here.apply(call) == Done()
    meta = one["metadata"]
    deletion = DeleteAnchors(node=meta["name"], node_uid=meta["uid"])
    assert await here.apply(deletion) == Done()
    assert await here.own_names() == [calls[2].name]


# -- marks --------------------------------------------------------------------


async def test_a_mark_is_one_patch_and_is_taken_away_whole(here):
    node = await held_node(here)
    assert await here.apply(mark_of(node)) == Done()
    assert here.client.n_requests == {"patch": 1}
    found = await here.seen_node(node["metadata"]["name"])
    assert found["spec"]["unschedulable"] is True
    assert found["metadata"]["labels"][labels.CORDONED] == "true"
    assert found["metadata"]["annotations"][labels.DRAIN] == order()
    assert await unmarked(here, unmark_of(node)) == Done()
    clean = await here.seen_node(node["metadata"]["name"])
    assert "unschedulable" not in clean["spec"]
    assert labels.CORDONED not in clean["metadata"]["labels"]
    assert labels.DRAIN not in clean["metadata"]["annotations"]
    assert await here.apply(unmark_of(node)) == Done()


async def test_a_mark_of_an_older_view_is_not_made(here):
    node = await held_node(here)
    await here.do(
        here.plane.api().patch,
        f"/api/v1/nodes/{node['metadata']['name']}",
        {"metadata": {"labels": {"changed": "since"}}},
    )
    answer = await here.apply(mark_of(node))
    assert isinstance(answer, Again)
    assert "has been modified" in answer.reason
    assert "unschedulable" not in (await here.seen_node(node["metadata"]["name"]))["spec"]


async def test_a_mark_whose_answer_was_lost_is_found_at_the_next_try(here):
    node = await held_node(here)
    assert await here.apply(mark_of(node)) == Done()
    assert await here.apply(mark_of(node)) == Done()
    assert isinstance(await here.apply(mark_of(node, plan_id=OTHER_PLAN)), Again)


async def test_another_node_of_the_same_name_is_left_alone(here):
    node = await held_node(here)
    name, version = node["metadata"]["name"], node["metadata"]["resourceVersion"]
    for stale in (version, "1"):
        changed = mark_of(node, uid="another", resource_version=stale)
        assert await here.apply(changed) == Gone()
    assert await here.apply(unmark_of(node, uid="another")) == Gone()
    assert await here.apply(NoteRisk(node=name, uid="another", until=0.0)) == Gone()
    assert await here.apply(ClearRisk(node=name, uid="another")) == Gone()
    assert await here.apply(mark_of(node, node="nowhere")) == Gone()
    assert await here.apply(unmark_of(node, node="nowhere")) == Gone()
    assert (await here.seen_node(name))["metadata"]["resourceVersion"] == version


async def test_the_mark_of_another_plan_stays(here):
    node = await held_node(here)
    await here.apply(mark_of(node))
    assert await here.apply(unmark_of(node, plan_id=OTHER_PLAN)) == Done()
    found = await here.seen_node(node["metadata"]["name"])
    assert found["spec"]["unschedulable"] is True


@pytest.mark.parametrize("by", ["call", "label"])
async def test_a_cordon_that_a_person_wants_stays(here, by):
    node = await held_node(here)
    name = node["metadata"]["name"]
    await here.apply(mark_of(node))
    if by == "label":
        change = {"metadata": {"labels": {labels.CORDONED: None}}}
        await here.do(here.plane.api().patch, f"/api/v1/nodes/{name}", change)
    assert await unmarked(here, unmark_of(node, uncordon=by != "call")) == Done()
    found = await here.seen_node(name)
    assert found["spec"]["unschedulable"] is True
    assert labels.DRAIN not in found["metadata"]["annotations"]
    assert labels.CORDONED not in found["metadata"]["labels"]


async def test_a_note_of_risk_is_a_time_and_nothing_else_changes(here):
    node = await held_node(here)
    meta = node["metadata"]
    note = NoteRisk(node=meta["name"], uid=meta["uid"], until=1_800_000_000.5)
    assert await here.apply(note) == Done()
    found = await here.seen_node(meta["name"])
    assert found["metadata"]["annotations"][labels.AT_RISK] == "2027-01-15T08:00:00Z"
    assert found["spec"] == node["spec"]
    assert await here.apply(ClearRisk(node=meta["name"], uid=meta["uid"])) == Done()
    found = await here.seen_node(meta["name"])
    assert labels.AT_RISK not in found["metadata"]["annotations"]


async def test_our_own_write_is_known_until_the_watch_shows_it(here):
    node = await held_node(here)
    uid, before = node["metadata"]["uid"], node["metadata"]["resourceVersion"]
    assert here.levers.own_write(uid) is None
    await here.apply(mark_of(node))
    left = here.levers.own_write(uid, before)
    after = (await here.seen_node(node["metadata"]["name"]))["metadata"]["resourceVersion"]
    # The node lifecycle controller adds the taint of a cordon by a write of its own.
    assert int(before) < left.resource_version <= int(after)
    assert (left.cordoned, left.plan_id) == (True, PLAN)
    assert here.levers.own_write(uid, after) is None
    assert await unmarked(here, unmark_of(node)) == Done()
    left = here.levers.own_write(uid, after)
    assert (left.cordoned, left.plan_id) == (False, "")
    assert left.resource_version > int(after)


async def test_our_own_write_is_forgotten_after_a_minute(here, monkeypatch):
    monkeypatch.setattr("spotvortex.kube.write.nodes.REMEMBER_S", 1.0)
    node = await held_node(here)
    await here.apply(mark_of(node))
    assert here.levers.own_write(node["metadata"]["uid"]) is not None
    await until(lambda: here.levers.own_write(node["metadata"]["uid"]) is None)


async def test_of_own_writes_only_so_many_are_kept(here, monkeypatch):
    monkeypatch.setattr("spotvortex.kube.write.nodes.MAX_REMEMBERED", 1)
    one, two = await held_node(here), await held_node(here)
    await here.apply(mark_of(one))
    await here.apply(mark_of(two))
    assert here.levers.own_write(one["metadata"]["uid"]) is None
    assert here.levers.own_write(two["metadata"]["uid"]) is not None


# -- evictions ----------------------------------------------------------------


def eviction_of(pod, **changes):
    meta = pod["metadata"]
    fields = {
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "node_uid": "node-uid",
        "plan_id": PLAN,
    }
    return EvictPod(**(fields | changes))


async def test_a_pod_is_evicted_with_its_own_grace_period(here):
    app, node = fresh("app"), await here.node()
    pod = await here.pod(PodShape(app=app, node_name=node["metadata"]["name"], grace_s=17))
    path = f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}"

    async def runs():
        return (await here.get(path))["status"].get("phase") == "Running"

    await here.await_true(runs)
    # Nobody ends it before it was looked at.
    await here.do(here.plane.api().patch, path, {"metadata": {"annotations": HELD}})
    assert await here.apply(eviction_of(pod, uid="another")) == Gone()
    assert await here.apply(eviction_of(pod)) == Done()
    assert (await here.get(path))["metadata"]["deletionGracePeriodSeconds"] == 17
    release = {"metadata": {"annotations": dict.fromkeys(HELD)}}
    await here.do(here.plane.api().patch, path, release)

    async def gone():
        return await here.apply(eviction_of(pod)) == Gone()

    await here.await_true(gone)


async def budgeted(here, n_budgets):
    app, node = fresh("app"), await here.node()
    budgets = []
    for i in range(n_budgets):
        budget = pdb_manifest(app, min_available=1)
        budget["metadata"]["name"] = f"{app}-{i}"
        budgets.append(budget)
    await here.do(here.plane.apply, budgets)
    pod = await here.pod(PodShape(app=app, node_name=node["metadata"]["name"]))

    async def counted():
        # Of two budgets on one pod the controller counts it for either one.
        path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
        found = [await here.get(f"{path}/{app}-{i}") for i in range(n_budgets)]
        return any(budget.get("status", {}).get("currentHealthy") == 1 for budget in found)

    await here.await_true(counted)
    return pod


async def test_a_budget_blocks_an_eviction_and_slows_nobody_else_down(here):
    pod = await budgeted(here, 1)
    assert await here.apply(eviction_of(pod)) == BlockedByBudget(retry_s=0.0)
    free = await here.pod(PodShape(app=fresh("free")))
    assert await here.apply(eviction_of(free)) == Done()


async def test_two_budgets_refuse_an_eviction_for_good(here):
    answer = await here.apply(eviction_of(await budgeted(here, 2)))
    assert isinstance(answer, Refused)
    assert "more than one PodDisruptionBudget" in answer.reason


# -- NodeClaims ---------------------------------------------------------------


async def claim_for(here, node_name):
    claim = {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {"name": fresh("claim"), "finalizers": ["test.spotvortex.io/kept"]},
        "spec": {
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "d"},
            "requirements": [],
        },
    }
    stored = await here.do(here.plane.api().create, claim)
    path = f"/apis/karpenter.sh/v1/nodeclaims/{stored['metadata']['name']}"
    if node_name:
        status = stored | {"status": {"nodeName": node_name}}
        await here.do(here.plane.api().must, "PUT", f"{path}/status", status)
    return stored["metadata"]["name"], path


async def test_the_claim_of_a_node_is_deleted_and_one_of_another_node_is_not(here):
    name, path = await claim_for(here, "node-a")
    other = ReleaseNode(claim=name, node="node-b", plan_id=PLAN)
    answer = await here.apply(other)
    assert answer == Refused(reason=f"NodeClaim {name} is for node-a, not node-b")
    assert "deletionTimestamp" not in (await here.get(path))["metadata"]
    call = ReleaseNode(claim=name, node="node-a", plan_id=PLAN)
    assert await here.apply(call) == Done()
    assert "deletionTimestamp" in (await here.get(path))["metadata"]
    assert await here.apply(call) == Done()
    assert here.client.n_requests["delete"] == 1
    await here.do(here.plane.api().patch, path, {"metadata": {"finalizers": None}})
    assert await here.apply(call) == Gone()


async def test_a_claim_without_a_node_is_not_deleted(here):
    name, path = await claim_for(here, "")
    call = ReleaseNode(claim=name, node="node-a", plan_id=PLAN)
    assert await here.apply(call) == Again(f"NodeClaim {name} names no node yet")
    await here.do(here.plane.api().patch, path, {"metadata": {"finalizers": None}})
    await here.do(here.plane.api().delete, path)


# -- the end of everything ----------------------------------------------------


async def test_when_we_die_for_good_all_pods_of_ours_go_with_their_tether(here):
    pod, node = await here.pod(PodShape()), await here.node()
    waits = placeholder_call(pod, sides=(fresh("nowhere"),), expires_s=10)
    runs = anchor_call(node, expires_s=10)
    assert await here.apply(waits) == Done()
    assert await here.apply(runs) == Done()

    async def as_meant():
        phases = {p["metadata"]["name"]: p["status"]["phase"] for p in (await here.own())["items"]}
        return phases == {waits.name: "Pending", runs.name: "Running"}

    await here.await_true(as_meant, 10.0)
    jobs = f"/apis/batch/v1/namespaces/{here.namespace}/jobs"
    assert len((await here.get(jobs))["items"]) == 1

    async def nothing_is_left():
        return not (await here.own())["items"] and not (await here.get(jobs))["items"]

    await here.await_true(nothing_is_left)


async def test_a_tether_is_shared_while_it_is_fresh(here, monkeypatch):
    pod = await here.pod(PodShape())
    calls = [placeholder_call(pod) for _ in range(5)]
    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(here.apply(call))
    await here.apply(anchor_call(await here.node(), expires_s=600))
    jobs = f"/apis/batch/v1/namespaces/{here.namespace}/jobs"
    lifetimes = [j["spec"]["ttlSecondsAfterFinished"] for j in (await here.get(jobs))["items"]]
    assert sorted(lifetimes) == [600, 1800]
    monkeypatch.setattr("spotvortex.kube.write.owner_jobs.TETHER_FRESH_S", 0.0)
    for _ in range(2):
        await here.apply(placeholder_call(pod, expires_s=900))
    lifetimes = [j["spec"]["ttlSecondsAfterFinished"] for j in (await here.get(jobs))["items"]]
    assert sorted(lifetimes) == [600, 900, 900, 1800]


async def test_without_our_namespace_nothing_is_made(control_plane):
    async with site(control_plane) as here:
        pod, node = await here.pod(PodShape()), await here.node()
        await here.do(here.plane.api().delete, f"/api/v1/namespaces/{here.namespace}")

        async def refused():
            answers = [
                await here.apply(placeholder_call(pod)),
                await here.apply(anchor_call(node)),
            ]
            words = [a.reason for a in answers if isinstance(a, Refused)]
            return len(words) == 2 and all("not found" in word for word in words)

        await here.await_true(refused)
