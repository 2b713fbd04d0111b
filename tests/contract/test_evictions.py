"""Each answer of the Eviction API, and what follows from it."""

import pytest

from spotvortex.core.drain.calls import BlockedByBudget, Done, Gone
from tests.contract.stage import Load, all_ready, budget_of, eviction_of, own, staged

ANOTHER = "11111111-1111-1111-1111-111111111111"


async def running(stage, load):
    """Add a node and a workload, and wait until all of it is Ready, budget and all."""
    await stage.add_node()
    await stage.add_load(load)
    await stage.until(lambda: all_ready(stage, load.name, load.replicas))
    if load.max_unavailable is not None:
        await stage.until(lambda: healthy(stage, load.name) == load.replicas)
    return await stage.pods(load.name)


def healthy(stage, name):
    budget = budget_of(stage, name)
    return None if budget is None else budget.current_healthy


def allowed(stage, name):
    budget = budget_of(stage, name)
    return None if budget is None else budget.disruptions_allowed


async def uids(stage, name):
    return {pod.uid for pod in await stage.pods(name)}


@staged
async def test_an_evicted_pod_ends_after_its_grace_and_a_successor_comes(stage):
    pod, _ = await running(stage, Load(name="app", replicas=2, grace_s=2))
    (standing,) = [s for s in stage.view.standings_on(pod.node) if s.uid == pod.uid]
    assert standing.grace_s == 2.0
    assert await stage.apply(eviction_of(pod)) == Done()
    (leaving,) = [p for p in await stage.pods("app") if p.uid == pod.uid]
    assert leaving.terminating
    await stage.until(lambda: any(p.terminating for p in stage.view.pods_on(pod.node)))
    # Asked for once more it is done already.
    assert await stage.apply(eviction_of(pod)) == Done()

    async def is_gone():
        return pod.uid not in await uids(stage, "app")

    await stage.until(is_gone)
    await stage.until(lambda: all_ready(stage, "app", 2))
    assert await stage.apply(eviction_of(pod)) == Gone()


@staged
async def test_a_budget_that_allows_nothing_blocks_and_says_no_time(stage):
    pods = await running(stage, Load(name="app", replicas=2, max_unavailable=0))
    budget = budget_of(stage, "app")
    assert (budget.desired_healthy, budget.disruptions_allowed) == (2, 0)
    for pod in pods:
        assert await stage.apply(eviction_of(pod)) == BlockedByBudget(retry_s=0.0)
    await stage.lasts(lambda: all_ready(stage, "app", 2))


@staged
async def test_a_budget_lets_one_go_and_the_next_once_a_successor_is_ready(stage):
    # They fill the node: the successor comes only once the first has ended.
    load = Load(name="app", replicas=2, max_unavailable=1, cpu_milli=1900)
    one, two = await running(stage, load)
    assert await stage.apply(eviction_of(one)) == Done()
    assert await stage.apply(eviction_of(two)) == BlockedByBudget(retry_s=0.0)
    await stage.until(lambda: all_ready(stage, "app", 2))
    await stage.until(lambda: allowed(stage, "app") == 1)
    assert await stage.apply(eviction_of(two)) == Done()


@staged
async def test_a_pod_of_another_uid_is_gone_and_so_is_none(stage):
    pod, _ = await running(stage, Load(name="app", replicas=2))
    assert await stage.apply(eviction_of(pod, uid=ANOTHER)) == Gone()
    assert await stage.apply(eviction_of(pod, name="nobody")) == Gone()
    assert await stage.apply(eviction_of(pod, namespace="nowhere")) == Gone()
    await stage.lasts(lambda: all_ready(stage, "app", 2))


@staged
async def test_the_budget_is_asked_before_the_uid(stage):
    pod, _ = await running(stage, Load(name="app", replicas=2, max_unavailable=0))
    answer = await stage.apply(eviction_of(pod, uid=ANOTHER))
    assert answer == BlockedByBudget(retry_s=0.0)


@staged
async def test_a_pod_that_is_leaving_is_past_its_budget(stage):
    load = Load(name="app", replicas=2, max_unavailable=1, cpu_milli=1900)
    pod, _ = await running(stage, load)
    assert await stage.apply(eviction_of(pod)) == Done()
    assert await stage.apply(eviction_of(pod)) == Done()
    assert await stage.apply(eviction_of(pod, uid=ANOTHER)) == Gone()


@staged
async def test_a_pending_pod_is_past_its_budget_bound_or_not(stage):
    await stage.add_node()
    await stage.add_load(Load(name="bound", max_unavailable=0, starts=False))
    await stage.add_load(Load(name="waits", max_unavailable=0, cpu_milli=64_000))

    async def is_bound():
        return [p for p in await stage.pods("bound") if p.node]

    await stage.until(is_bound)
    (bound,) = await stage.pods("bound")
    await stage.until(lambda: stage.view.standings_on(bound.node))
    (standing,) = stage.view.standings_on(bound.node)
    assert standing.pending
    assert not standing.ready
    (waits,) = await stage.pods("waits")
    assert waits.node == ""
    for pod in (bound, waits):
        assert await stage.apply(eviction_of(pod)) == Done()

    async def has_a_successor():
        return waits.uid not in await uids(stage, "waits") and await stage.pods("waits")

    await stage.until(has_a_successor)


@pytest.mark.parametrize("max_unavailable", [1, 0])
def test_a_pod_that_is_not_ready_goes_only_while_the_others_are_enough(stage, max_unavailable):
    async def body(stage):
        load = Load(name="app", replicas=3, max_unavailable=max_unavailable)
        pod, *_ = await running(stage, load)
        await stage.lose_readiness(pod)
        await stage.until(lambda: healthy(stage, "app") == 2)

        def is_shown():
            seen = [s for s in stage.view.standings_on(pod.node) if s.uid == pod.uid]
            return seen and not seen[0].ready

        await stage.until(is_shown)
        (standing,) = [s for s in stage.view.standings_on(pod.node) if s.uid == pod.uid]
        assert not standing.pending
        assert budget_of(stage, "app").disruptions_allowed == 0
        assert budget_of(stage, "app").unready_by_node == ((pod.node, 1),)
        answer = await stage.apply(eviction_of(pod))
        assert answer == (Done() if max_unavailable else BlockedByBudget(retry_s=0.0))

    stage(body)


@staged
async def test_a_pod_of_ours_is_no_workload(stage):
    pod, _ = await running(stage, Load(name="app", replicas=2))
    assert own(stage) == {}
    assert {p.name for p in stage.view.pods_on(pod.node)} == {
        p.name for p in await stage.pods("app")
    }
