"""Room of lost nodes on a real API server: one Job a shape, and nothing that comes again."""

import pytest

from spotvortex.core.domain import labels
from spotvortex.core.domain.types import CapacityType, Offering
from spotvortex.core.drain.calls import (
    CreateRoom,
    DeletePlaceholders,
    Done,
    Gone,
    PodView,
    Refused,
    RoomShape,
)
from tests.controlplane.manifests import PodShape
from tests.kube.scenes import PLAN, fresh, placeholder_call, site

pytestmark = pytest.mark.controlplane


@pytest.fixture
async def here(control_plane):
    async with site(control_plane) as found:
        yield found


def seen(pod, **changes):
    meta = pod["metadata"]
    fields = {
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "cpu_milli": 100,
        "memory_bytes": 2**27,
        "grace_s": 30.0,
        "stays": False,
    }
    return PodView(**(fields | changes))


def shape(*pods, **changes):
    return RoomShape(**({"pods": tuple(pods), "zone": "", "avoid": ()} | changes))


def room_call(*shapes, **changes):
    fields = {
        "plan_id": PLAN,
        "for_uids": ("node-uid",),
        "pool": "web",
        "capacity_type": CapacityType.UNKNOWN,
        "sides": (fresh("nowhere"),),
        "shapes": shapes,
        "expires_s": 600,
    }
    return CreateRoom(**(fields | changes))


async def bind(here, name, node):
    path = f"/api/v1/namespaces/{here.namespace}/pods/{name}/binding"
    target = {"kind": "Node", "name": node}
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
    await here.do(here.plane.api().must, "POST", path, body)


async def jobs(here):
    return (await here.get(f"/apis/batch/v1/namespaces/{here.namespace}/jobs"))["items"]


async def room(here):
    pods = (await here.own())["items"]
    return [p for p in pods if "deletionTimestamp" not in p["metadata"]]


async def test_a_job_makes_placeholders_for_all_pods_that_are_alike(here):
    one, two = [await here.pod(PodShape(cpu="100m")) for _ in range(2)]
    call = room_call(shape(seen(one), seen(two)))
    assert await here.apply(call) == Done()
    await here.await_true(lambda: _has(here, 2))
    for made in await room(here):
        assert (
            made["metadata"]["labels"].items()
            >= {
                labels.MANAGED_BY: labels.MANAGER,
                labels.KIND: "placeholder",
                labels.PLAN: PLAN,
                labels.FOR: PLAN,
            }.items()
        )
        assert labels.ORDER not in made["metadata"]["annotations"]
        assert made["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"
        assert made["spec"]["priorityClassName"] == labels.PRIORITY_CLASS
        assert made["spec"]["activeDeadlineSeconds"] == 600
    (job,) = await jobs(here)
    assert job["metadata"]["name"].startswith(labels.TETHER_PREFIX)
    assert await here.apply(call) == Done()
    assert len(await jobs(here)) == 1


async def _has_counted(here):
    """Tell whether the Job controller has taken note of the pod that is gone, and made its mind."""
    (job,) = await jobs(here)
    return bool(job["status"].get("failedIndexes"))


async def _has(here, n):
    return len(await room(here)) == n


async def test_what_is_gone_is_not_made_again_and_the_last_takes_its_job_along(here):
    pods = [await here.pod(PodShape()) for _ in range(3)]
    assert await here.apply(room_call(shape(*map(seen, pods)))) == Done()
    await here.await_true(lambda: _has(here, 3))
    first, *others = await room(here)

    async def delete(pod):
        path = f"/api/v1/namespaces/{here.namespace}/pods/{pod['metadata']['name']}"
        await here.do(here.plane.api().delete, path)

    await delete(first)
    await here.await_true(lambda: _has(here, 2))
    await here.await_true(lambda: _has_counted(here))
    assert {p["metadata"]["uid"] for p in await room(here)} == {
        p["metadata"]["uid"] for p in others
    }
    for pod in others:
        await delete(pod)

    async def is_over():
        return not await room(here) and not await jobs(here)

    await here.await_true(is_over)


async def test_pending_room_ends_with_the_deadline_of_its_job(here):
    pod = await here.pod(PodShape())
    assert await here.apply(room_call(shape(seen(pod)), expires_s=5)) == Done()
    await here.await_true(lambda: _has(here, 1))

    async def is_over():
        return not await room(here) and not await jobs(here)

    await here.await_true(is_over)


async def test_shapes_that_come_to_the_same_are_one_job_and_others_are_their_own(here):
    one, two, other = [await here.pod(PodShape()) for _ in range(3)]
    avoided = Offering(instance_type="m6i.large", zone="us-east-1a")
    call = room_call(shape(seen(one)), shape(seen(two)), shape(seen(other), avoid=(avoided,)))
    assert await here.apply(call) == Done()
    found = await jobs(here)
    assert sorted(job["spec"]["completions"] for job in found) == [1, 2]


async def test_all_room_of_a_plan_is_deleted_and_that_of_others_stays(here):
    pod = await here.pod(PodShape())
    side = (fresh("nowhere"),)
    assert await here.apply(room_call(shape(seen(pod)))) == Done()
    assert await here.apply(room_call(shape(seen(pod)), plan_id="other")) == Done()
    assert await here.apply(placeholder_call(pod, sides=side)) == Done()
    await here.await_true(lambda: _has(here, 3))
    assert await here.apply(DeletePlaceholders(plan_id=PLAN, for_uid="")) == Done()
    await here.await_true(lambda: _has(here, 1))
    (left,) = await room(here)
    assert left["metadata"]["labels"][labels.PLAN] == "other"


async def test_a_pod_that_is_gone_gives_its_place_to_the_next_and_none_left_asks_for_nothing(here):
    pod = await here.pod(PodShape())
    gone = seen(pod, name="nobody", uid="nobody")
    assert await here.apply(room_call(shape(gone, seen(pod)))) == Done()
    (job,) = await jobs(here)
    assert job["spec"]["completions"] == 2
    assert await here.apply(room_call(shape(gone), plan_id="other")) == Gone()


async def test_room_that_the_pod_itself_rules_out_is_refused(here):
    spec = {"nodeSelector": {"karpenter.sh/nodepool": "theirs"}}
    pod = await here.pod(PodShape(spec=spec))
    answer = await here.apply(room_call(shape(seen(pod))))
    assert isinstance(answer, Refused)
    assert "itself demands karpenter.sh/nodepool=theirs" in answer.reason


async def test_extra_room_is_a_job_of_its_own_that_keeps_off_the_nodes_of_the_other_room(here):
    one, two = [await here.pod(PodShape()) for _ in range(2)]
    call = room_call(shape(seen(one), seen(two), n_extra=1))
    assert await here.apply(call) == Done()
    await here.await_true(lambda: _has(here, 3))
    (extra,) = [p for p in await room(here) if labels.EXTRA in p["metadata"]["labels"]]
    (apart,) = extra["spec"]["affinity"]["podAntiAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert apart["topologyKey"] == "kubernetes.io/hostname"
    assert apart["labelSelector"]["matchLabels"] == {labels.PLAN: PLAN}
    assert extra["metadata"]["labels"][labels.PLAN] == PLAN


async def test_one_placeholder_for_several_pods_asks_for_as_much_as_all_of_them(here):
    pods = [await here.pod(PodShape(cpu="100m")) for _ in range(4)]
    call = room_call(shape(*map(seen, pods), together=2, n_extra=2))
    assert await here.apply(call) == Done()
    await here.await_true(lambda: _has(here, 3))
    for made in await room(here):
        assert made["metadata"]["labels"][labels.ROOM] == "2"
        (container,) = made["spec"]["containers"]
        assert container["resources"]["requests"] == {"cpu": "200m", "memory": str(2**28)}


async def test_what_has_no_node_is_given_back_and_what_is_bound_stays(here):
    pods = [await here.pod(PodShape()) for _ in range(2)]
    assert await here.apply(room_call(shape(*map(seen, pods), n_extra=1))) == Done()
    await here.await_true(lambda: _has(here, 3))
    node, bound = await here.node(), (await room(here))[0]["metadata"]["name"]
    await bind(here, bound, node["metadata"]["name"])
    back = DeletePlaceholders(plan_id=PLAN, for_uid=PLAN, unbound=True)
    assert await here.apply(back) == Done()
    await here.await_true(lambda: _has(here, 1))
    assert [p["metadata"]["name"] for p in await room(here)] == [bound]
