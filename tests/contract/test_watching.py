"""The view: in order, never back, and right again after its connection was lost."""

import asyncio

from spotvortex.core.domain.inputs import InputState
from spotvortex.core.drain.calls import DeletePlaceholders, Done
from tests.contract.stage import (
    PLAN,
    Load,
    all_ready,
    anchor_of,
    at_rest,
    carried_out,
    eviction_of,
    journal,
    mark_of,
    marked,
    node_of,
    own,
    placeholder_of,
    staged,
    unmark_of,
)


class Seen:
    """What the view showed of a node, one entry for each change of its version."""

    def __init__(self, stage, name):
        self.stage, self.name, self.versions = stage, name, []

    def look(self):
        """Look once; false, so that a wait may end with something else."""
        node = self.stage.view.node(self.name)
        if node is not None:
            version = int(node.resource_version)
            assert not self.versions or version >= self.versions[-1]
            if not self.versions or version > self.versions[-1]:
                self.versions.append(version)
        return False


@staged
async def test_a_node_is_shown_in_the_order_of_its_versions(stage):
    node = await stage.add_node()
    seen = Seen(stage, node.name)
    for plan in (PLAN, "b" * 16, "c" * 16):
        await at_rest(stage, node.name, seen.look)
        await marked(stage, node.name, order=journal(plan))
        await stage.until(lambda: seen.look() or node_of(stage, node.name).cordoned)
        assert await carried_out(stage, unmark_of(node, plan_id=plan)) == Done()
        await stage.until(lambda: seen.look() or not node_of(stage, node.name).cordoned)
    assert len(seen.versions) >= 6


@staged
async def test_a_view_that_was_cut_keeps_what_it_knew_and_ends_right(stage):
    await lost_and_found(stage, forgotten=False)


def test_a_view_whose_versions_are_too_old_ends_right(lone_stage):
    lone_stage(lambda stage: lost_and_found(stage, forgotten=True))


async def lost_and_found(stage, *, forgotten):
    """Cut the view, change everything that it shows, and let it hear again."""
    kept, doomed = await stage.add_node(), await stage.add_node()
    await stage.add_load(Load(name="app"))
    await stage.until(lambda: all_ready(stage, "app", 1))
    (pod,) = await stage.pods("app")
    before = placeholder_of(stage, pod, "before", cpu_milli=100)
    assert await stage.apply(before) == Done()
    await stage.until(lambda: own(stage) and own(stage)["before"].node)
    home = await at_rest(stage, pod.node)
    other = doomed if home.uid == kept.uid else kept
    seen = Seen(stage, home.name)
    seen.look()
    stage.cut()

    # The view hears nothing, so that the version has to be the right one by now.
    assert await stage.apply(mark_of(home)) == Done()
    assert await stage.apply(DeletePlaceholders(plan_id=PLAN, for_uid="node-uid")) == Done()
    assert await stage.apply(placeholder_of(stage, pod, "after", cpu_milli=100)) == Done()
    assert await stage.apply(anchor_of(home, "anchor")) == Done()
    assert await carried_out(stage, eviction_of(pod)) == Done()

    def as_it_was():
        seen.look()
        shown = {p.uid for p in stage.view.pods_on(home.name)}
        return (
            not node_of(stage, home.name).cordoned and pod.uid in shown and "before" in own(stage)
        )

    await stage.lasts(as_it_was) if stage.lease_s < 10 else await briefly(stage, as_it_was)
    left = stage.writer.own_write(home.uid, node_of(stage, home.name).resource_version)
    assert left is not None
    assert left.cordoned

    await stage.heal(forgotten=forgotten)

    async def is_right():
        seen.look()
        (successor,) = [p for p in await stage.pods("app") if p.uid != pod.uid] or (pod,)
        shown = {p.uid for p in stage.view.pods_on(home.name)}
        return (
            node_of(stage, home.name).cordoned
            and pod.uid not in shown
            and successor.node == other.name
            and successor.uid in {p.uid for p in stage.view.pods_on(other.name)}
            and list(own(stage)) == ["after"]
            and list(own(stage, home.uid)) == ["anchor"]
        )

    await stage.until(is_right)
    assert {h.state for h in stage.view.health(stage.clock.now()) if h.required} == {InputState.OK}
    version = node_of(stage, home.name).resource_version
    assert stage.writer.own_write(home.uid, version) is None


async def briefly(stage, holds):
    """The same as `lasts` for less than the minute that an own write is remembered."""
    until = stage.clock.now() + 15.0
    while stage.clock.now() < until:
        assert holds()
        await asyncio.sleep(1.0)


@staged
async def test_one_node_can_be_read_anew(stage):
    node = await stage.add_node()
    await marked(stage, node.name)
    await stage.view.refresh(node.name)
    assert node_of(stage, node.name).cordoned
