"""What we write on nodes, and what our own writes look like until the view has them."""

from spotvortex.core.domain.autoscaling import plan_noted
from spotvortex.core.drain.calls import Again, ClearRisk, Done, Gone, NoteRisk
from spotvortex.core.drain.keeping import FreeNode, KeepNode
from tests.contract.stage import (
    OTHER_PLAN,
    PLAN,
    at_rest,
    carried_out,
    journal,
    mark_of,
    marked,
    node_of,
    staged,
    unmark_of,
)

TOGETHER = True


def shown(stage, name):
    """What the view says of our words on a node."""
    node = node_of(stage, name)
    return node.cordoned, node.labelled, node.mark


@staged
async def test_a_mark_of_the_current_version_is_made(stage):
    node = await at_rest(stage, (await stage.add_node()).name)
    assert shown(stage, node.name) == (False, False, "")
    assert await stage.apply(mark_of(node)) == Done()
    await stage.until(lambda: shown(stage, node.name) == (True, True, journal()))


@staged
async def test_a_mark_of_an_older_version_is_not_made(stage):
    node = await stage.add_node()
    await stage.touch(node.name)
    answer = await stage.apply(mark_of(node))
    assert isinstance(answer, Again)
    assert "modified" in answer.reason
    assert stage.writer.own_write(node.uid, node.resource_version) is None
    await stage.lasts(lambda: shown(stage, node.name) == (False, False, ""))


@staged
async def test_a_mark_that_is_there_already_is_done_and_that_of_another_plan_is_not(stage):
    node = await at_rest(stage, (await stage.add_node()).name)
    assert await stage.apply(mark_of(node)) == Done()
    assert await stage.apply(mark_of(node)) == Done()
    other = mark_of(node, plan_id=OTHER_PLAN, order=journal(OTHER_PLAN))
    assert isinstance(await stage.apply(other), Again)
    await stage.until(lambda: shown(stage, node.name) == (True, True, journal()))


@staged
async def test_another_node_of_the_name_or_none_is_gone(stage):
    node = await stage.add_node()
    for change in ({"uid": "11111111-1111-1111-1111-111111111111"}, {"node": "nobody"}):
        assert await stage.apply(mark_of(node, **change)) == Gone()
        assert await stage.apply(unmark_of(node, **change)) == Gone()
        fields = {"node": node.name, "uid": node.uid} | change
        at = stage.clock.now() + 600.0
        assert await stage.apply(NoteRisk(until=at, **fields)) == Gone()
        assert await stage.apply(ClearRisk(**fields)) == Gone()
        assert await stage.apply(KeepNode(plan_id=PLAN, **fields)) == Gone()
        assert await stage.apply(FreeNode(plan_id=PLAN, **fields)) == Gone()
    await stage.lasts(lambda: shown(stage, node.name) == (False, False, ""))
    assert node_of(stage, node.name).at_risk == ""


@staged
async def test_an_unmark_takes_journal_label_and_cordon_away(stage):
    node = await stage.add_node()
    await marked(stage, node.name)
    await stage.until(lambda: node_of(stage, node.name).mark)
    assert await carried_out(stage, unmark_of(node)) == Done()
    await stage.until(lambda: shown(stage, node.name) == (False, False, ""))
    assert await carried_out(stage, unmark_of(node)) == Done()


@staged
async def test_an_unmark_of_another_plan_changes_nothing(stage):
    node = await stage.add_node()
    await marked(stage, node.name)
    await stage.until(lambda: node_of(stage, node.name).mark)
    version = node_of(stage, node.name).resource_version
    assert await carried_out(stage, unmark_of(node, plan_id=OTHER_PLAN)) == Done()
    assert await carried_out(stage, unmark_of(node, plan_id="")) == Done()
    await stage.lasts(lambda: shown(stage, node.name) == (True, True, journal()))
    assert stage.writer.own_write(node.uid, version) is None


@staged
async def test_an_unmark_may_leave_the_cordon(stage):
    node = await stage.add_node()
    await marked(stage, node.name)
    assert await carried_out(stage, unmark_of(node, uncordon=False)) == Done()
    await stage.until(lambda: shown(stage, node.name) == (True, False, ""))


@staged
async def test_a_cordon_that_a_person_took_over_stays(stage):
    node = await stage.add_node()
    await marked(stage, node.name)
    await stage.take_over_cordon(node.name)
    assert await carried_out(stage, unmark_of(node)) == Done()
    await stage.until(lambda: shown(stage, node.name) == (True, False, ""))
    await stage.lasts(lambda: node_of(stage, node.name).cordoned)


@staged
async def test_a_journal_that_nobody_can_read_is_taken_away_by_no_plan(stage):
    node = await stage.add_node()
    await marked(stage, node.name, order='{"v":99}')
    await stage.until(lambda: node_of(stage, node.name).mark)
    assert await carried_out(stage, unmark_of(node)) == Done()
    await stage.lasts(lambda: shown(stage, node.name) == (True, True, '{"v":99}'))
    assert await carried_out(stage, unmark_of(node, plan_id="")) == Done()
    await stage.until(lambda: shown(stage, node.name) == (False, False, ""))


@staged
async def test_a_journal_of_a_newer_version_is_taken_away_by_the_plan_that_it_names(stage):
    node = await stage.add_node()
    await marked(stage, node.name, order='{"v":99,"plan":"p7"}')
    await stage.until(lambda: node_of(stage, node.name).mark)
    assert await carried_out(stage, unmark_of(node, plan_id="")) == Done()
    await stage.lasts(lambda: shown(stage, node.name)[0])
    assert await carried_out(stage, unmark_of(node, plan_id="p7")) == Done()
    await stage.until(lambda: shown(stage, node.name) == (False, False, ""))


@staged
async def test_our_own_write_is_told_until_the_view_has_it(stage):
    node = await at_rest(stage, (await stage.add_node()).name)
    before = node.resource_version
    assert stage.writer.own_write(node.uid, before) is None
    assert await stage.apply(mark_of(node)) == Done()
    left = stage.writer.own_write(node.uid, before)
    assert (left.cordoned, left.plan_id) == (True, PLAN)
    assert left.resource_version > int(before)
    # What is behind it is told, what has caught up is not.
    await stage.until(
        lambda: int(node_of(stage, node.name).resource_version) >= left.resource_version
    )
    marked = node_of(stage, node.name)
    assert marked.cordoned
    assert stage.writer.own_write(node.uid, marked.resource_version) is None
    await carried_out(stage, unmark_of(node))
    left = stage.writer.own_write(node.uid, marked.resource_version)
    assert (left.cordoned, left.plan_id) == (False, "")


@staged
async def test_a_risk_is_noted_and_cleared(stage):
    node = await stage.add_node()
    until = stage.clock.now() + 600.0
    note = NoteRisk(node=node.name, uid=node.uid, until=until)
    assert await stage.apply(note) == Done()
    await stage.until(lambda: node_of(stage, node.name).at_risk)
    assert not node_of(stage, node.name).cordoned
    assert await stage.apply(ClearRisk(node=node.name, uid=node.uid)) == Done()
    await stage.until(lambda: not node_of(stage, node.name).at_risk)
    assert await stage.apply(ClearRisk(node=node.name, uid=node.uid)) == Done()


@staged
async def test_a_node_is_kept_for_the_latest_plan_and_given_back_by_that_one_alone(stage):
    node = await stage.add_node()
    who = {"node": node.name, "uid": node.uid}

    def plan():
        return plan_noted(node_of(stage, node.name).kept)

    for plan_id in (PLAN, PLAN, OTHER_PLAN):
        assert await stage.apply(KeepNode(plan_id=plan_id, **who)) == Done()
        await stage.until(lambda wanted=plan_id: plan() == wanted)
    assert not node_of(stage, node.name).do_not_disrupt
    assert await stage.apply(FreeNode(plan_id=PLAN, **who)) == Done()
    await stage.lasts(lambda: plan() == OTHER_PLAN)
    for _ in range(2):
        assert await stage.apply(FreeNode(plan_id=OTHER_PLAN, **who)) == Done()
    await stage.until(lambda: node_of(stage, node.name).kept == "")
