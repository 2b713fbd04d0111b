"""Who may write: one holder of the lease, and nobody while a person has frozen us."""

from contextlib import asynccontextmanager

from spotvortex.core.domain.types import Freeze
from tests.contract.stage import staged

TOGETHER = True


def leads(candidate):
    return candidate.standing().leader


@asynccontextmanager
async def never_both(stage, *candidates):
    """Give a wait in which at no look more than one candidate may write."""

    async def until(holds):
        def look():
            assert sum(map(leads, candidates)) <= 1
            return holds()

        await stage.until(look)

    yield until


@staged
async def test_of_two_one_leads_and_the_other_follows_its_death_after_a_leases_time(stage):
    one = await stage.candidate("one")
    await stage.until(lambda: leads(one))
    two = await stage.candidate("two")
    async with never_both(stage, one, two) as until:
        begun = stage.clock.now()
        await until(lambda: stage.clock.now() >= begun + 1.2 * stage.lease_s)
        assert leads(one)
        await one.kill()
        died = stage.clock.now()
        await until(lambda: leads(two))
        # It was renewed at most a third of its time before.
        assert stage.clock.now() - died >= stage.lease_s * 2 / 3 - 1.0
        assert stage.clock.now() - died <= stage.lease_s + 10.0


@staged
async def test_a_release_hands_over_at_once(stage):
    one = await stage.candidate("one")
    await stage.until(lambda: leads(one))
    two = await stage.candidate("two")
    async with never_both(stage, one, two) as until:
        begun = stage.clock.now()
        await until(lambda: stage.clock.now() >= begun + 2.0)
        assert not leads(two)
        await one.stop()
        ended = stage.clock.now()
        assert not leads(one)
        await until(lambda: leads(two))
        # Nobody waited for the lease to run out.
        assert stage.clock.now() - ended <= stage.lease_s - 2.0


@staged
async def test_who_cannot_renew_has_no_standing_before_another_has(stage):
    one = await stage.candidate("one")
    await stage.until(lambda: leads(one))
    two = await stage.candidate("two")
    begun = stage.clock.now()
    await stage.until(lambda: stage.clock.now() >= begun + 2.0)
    one.cut()
    async with never_both(stage, one, two) as until:
        await until(lambda: not leads(one))
        assert not leads(two)
        await until(lambda: leads(two))
        one.heal()
        healed = stage.clock.now()
        await until(lambda: stage.clock.now() >= healed + stage.lease_s / 2)
        assert leads(two)


@staged
async def test_one_that_starts_again_under_its_old_name_waits_like_anybody(stage):
    one = await stage.candidate("one")
    await stage.until(lambda: leads(one))
    await one.kill()
    died = stage.clock.now()
    again = await stage.candidate("one")
    await stage.until(lambda: leads(again))
    assert stage.clock.now() - died >= stage.lease_s - 1.0


@staged
async def test_a_freeze_is_seen_and_so_is_its_end(stage):
    one = await stage.candidate("one")
    await stage.until(lambda: leads(one) and one.standing().freeze is Freeze.NONE)
    await stage.freeze(frozen=True)
    await stage.until(lambda: one.standing().freeze is Freeze.SOFT)
    assert leads(one)
    await stage.freeze(frozen=False)
    await stage.until(lambda: one.standing().freeze is Freeze.NONE)
