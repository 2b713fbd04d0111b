"""The weight of a NodePool on the real API server: set beside its owner, and given back exactly."""

import json

import pytest

from spotvortex.core.decision.weights import patch_text
from spotvortex.core.domain import labels
from spotvortex.core.domain.group_state import GroupValues
from spotvortex.core.drain.calls import Again, Done, Gone, Refused
from spotvortex.core.drain.group_calls import RestoreGroup, SteerGroup
from spotvortex.kube.api.wire.codec import decoded
from spotvortex.kube.api.wire.karpenter import NodePool
from spotvortex.kube.cache.nodes import node_pool_fact
from tests.controlplane.manifests import node_class_manifest, nodepool_manifest
from tests.kube.scenes import fresh, site

pytestmark = pytest.mark.controlplane

POOLS = "/apis/karpenter.sh/v1/nodepools"
OWNED = [
    {"weight": 50, "limits": {"cpu": "64", "memory": "1Ti"}},
    {"weight": 50, "limits": {"memory": "1Ti"}},
    {"limits": {"cpu": 1500}},
    {"limits": {"cpu": "1.5"}},
    {},
]


async def owned(here, spec):
    """A NodePool as its owner applies it; return its name and the object."""
    manifest = nodepool_manifest(fresh("pair"), capacity_types=("spot",), spec=spec)
    manifest["metadata"]["annotations"] = {"team": "web"}
    await here.do(here.plane.apply, [node_class_manifest(), manifest])
    return manifest["metadata"]["name"], manifest


async def seen(here, name):
    return await here.get(f"{POOLS}/{name}")


def steering(pool, weight=10, cpu_limit_milli=8000):
    meta = pool["metadata"]
    return SteerGroup(
        group=meta["name"], uid=meta["uid"], weight=weight, cpu_limit_milli=cpu_limit_milli
    )


def restoring(pool):
    meta = pool["metadata"]
    return RestoreGroup(group=meta["name"], uid=meta["uid"], owners=GroupValues())


def fact_of(pool):
    return node_pool_fact(decoded(json.dumps(pool).encode(), NodePool))


def managers(pool):
    return {one["manager"] for one in pool["metadata"]["managedFields"]}


@pytest.mark.parametrize("spec", OWNED, ids=json.dumps)
async def test_what_is_set_is_noted_by_the_same_request_and_given_back_exactly(control_plane, spec):
    async with site(control_plane) as here:
        name, _ = await owned(here, spec)
        before = await seen(here, name)
        assert await here.apply(steering(before)) == Done()
        after = await seen(here, name)
        assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
        assert (after["spec"]["weight"], after["spec"]["limits"]["cpu"]) == (10, "8")
        assert labels.RESTORE in after["metadata"]["annotations"]
        state = fact_of(after).state
        assert state.owners == fact_of(before).state.values
        assert fact_of(after).cpu_left_milli == fact_of(before).cpu_left_milli
        assert await here.apply(steering(after, weight=20, cpu_limit_milli=None)) == Done()
        again = await seen(here, name)
        assert again["spec"].get("limits") == before["spec"].get("limits")
        assert fact_of(again).state.owners == state.owners
        assert await here.apply(restoring(again)) == Done()
        assert await here.apply(restoring(again)) == Done()
        back = await seen(here, name)
        assert back["spec"] == before["spec"]
        assert back["metadata"]["annotations"] == before["metadata"]["annotations"]
        assert labels.STEERING not in managers(back)


async def test_after_it_was_given_back_its_owners_next_apply_meets_no_conflict(control_plane):
    async with site(control_plane) as here:
        name, manifest = await owned(here, {"weight": 50})
        pool = await seen(here, name)
        assert await here.apply(steering(pool)) == Done()
        assert await here.apply(restoring(pool)) == Done()
        manifest["spec"]["weight"] = 30
        path = f"{POOLS}/{name}?fieldManager=owner"
        kind = "application/apply-patch+yaml"
        api = here.plane.api()
        answer = await here.do(lambda: api.request("PATCH", path, manifest, content_type=kind))
        assert answer[0] == 200, answer
        assert (await seen(here, name))["spec"]["weight"] == 30


async def test_what_another_writer_has_changed_since_stays_as_that_writer_wants_it(control_plane):
    async with site(control_plane) as here:
        name, _ = await owned(here, {"weight": 50, "limits": {"cpu": "64"}})
        pool = await seen(here, name)
        assert await here.apply(steering(pool)) == Done()
        api = here.plane.api()
        await here.do(api.patch, f"{POOLS}/{name}", {"spec": {"weight": 70}})
        changed = fact_of(await seen(here, name)).state
        assert changed.owners == GroupValues(weight=70, cpu_limit_milli=64_000)
        assert await here.apply(restoring(pool)) == Done()
        back = await seen(here, name)
        assert (back["spec"]["weight"], back["spec"]["limits"]["cpu"]) == (70, "64")
        assert labels.RESTORE not in back["metadata"]["annotations"]


async def test_no_limit_is_set_below_what_the_nodes_use_by_then(control_plane):
    async with site(control_plane) as here:
        name, _ = await owned(here, {"weight": 50})
        pool = await seen(here, name)
        api = here.plane.api()
        used = {"status": {"resources": {"cpu": "12"}}}
        await here.do(api.patch, f"{POOLS}/{name}/status", used)
        answer = await here.apply(steering(pool))
        assert isinstance(answer, Again)
        assert "12000m" in answer.reason
        assert (await seen(here, name))["spec"] == pool["spec"]
        assert await here.apply(steering(pool, cpu_limit_milli=12_000)) == Done()


async def test_another_nodepool_of_the_same_name_and_one_that_is_gone_are_let_be(control_plane):
    async with site(control_plane) as here:
        name, _ = await owned(here, {})
        pool = await seen(here, name)
        other = {"metadata": {"name": name, "uid": "another"}}
        assert await here.apply(steering(other)) == Gone()
        assert await here.apply(restoring(other)) == Gone()
        gone = {"metadata": {"name": "none-such", "uid": "u"}}
        assert await here.apply(steering(gone)) == Gone()
        assert (await seen(here, name))["metadata"]["generation"] == pool["metadata"]["generation"]


async def test_a_note_that_a_person_broke_is_never_overwritten(control_plane):
    async with site(control_plane) as here:
        name, _ = await owned(here, {"weight": 50})
        pool = await seen(here, name)
        api, broken = here.plane.api(), {"metadata": {"annotations": {labels.RESTORE: "{"}}}
        await here.do(api.patch, f"{POOLS}/{name}", broken)
        for call in (steering(pool), restoring(pool)):
            answer = await here.apply(call)
            assert isinstance(answer, Refused)
            assert labels.RESTORE in answer.reason
        assert fact_of(await seen(here, name)).state.owners is None


async def test_an_exported_patch_is_one_that_the_server_takes(control_plane):
    async with site(control_plane) as here:
        name, _ = await owned(here, {"weight": 50})
        pool = await seen(here, name)
        api = here.plane.api()
        for call, spec in (
            (steering(pool), {"weight": 10, "limits": {"cpu": "8"}}),
            (RestoreGroup(group=name, uid="", owners=GroupValues(weight=50)), {"weight": 50}),
        ):
            await here.do(api.patch, f"{POOLS}/{name}", json.loads(patch_text(call)))
            found = (await seen(here, name))["spec"]
            kept = {key: found[key] for key in ("weight", "limits") if found.get(key)}
            assert kept == spec
