"""What each answer to a request makes of an order."""

import math
from dataclasses import replace

import pytest

from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.answers import FIRST_RETRY_S, MAX_TRIES, MAX_WAIT_S, advance
from spotvortex.core.drain.calls import (
    Again,
    BlockedByBudget,
    CreateAnchor,
    CreateRoom,
    DeletePlaceholders,
    Done,
    EvictPod,
    Gone,
    MarkNode,
    Refused,
    ReleaseNode,
    RoomShape,
    UnmarkNode,
)
from spotvortex.core.drain.group_calls import GrowGroup, SteerGroup
from spotvortex.core.drain.keeping import KeepNode
from spotvortex.core.drain.messages import DrainEnd
from spotvortex.core.drain.remaining import DrainPhase, DrainProgress
from tests.core.builders import AT
from tests.core.drain.drains import pod
from tests.core.in_flight import placeholder_call

PLACEHOLDER = placeholder_call()
ROOM = CreateRoom(
    plan_id="p1",
    for_uids=("u1",),
    pool="web",
    capacity_type=CapacityType.ON_DEMAND,
    sides=("web",),
    shapes=(RoomShape(pods=(pod("a"), pod("b")), zone="", avoid=()),),
    expires_s=900,
)
ANCHOR = CreateAnchor(
    name="a-0", plan_id="p1", pool="web", node="d1", node_uid="uid-d1", expires_s=900
)
KEEP = KeepNode(node="d1", uid="uid-d1", plan_id="p1")
GROW = GrowGroup(group="web", plan_id="p1", n_nodes=1)
MARK = MarkNode(node="n1", uid="u1", plan_id="p1", order="{}", resource_version="1")
UNMARK = UnmarkNode(node="n1", uid="u1", plan_id="p1")
EVICT = EvictPod(namespace="shop", name="a", uid="uid-a", node_uid="u1", plan_id="p1")
RELEASE = ReleaseNode(claim="c1", node="n1", plan_id="p1")
CLEAN = DeletePlaceholders(plan_id="p1", for_uid="u1")
GIVE_BACK = DeletePlaceholders(plan_id="p1", for_uid="u1", unbound=True)
NEW = DrainProgress()
UNDOING = DrainProgress(phase=DrainPhase.UNDOING, marked=True, reason="no room")


DONE = Done()


def changed(progress, call, answer=DONE, now=AT):
    """The fields that an answer changes, beside the count of requests."""
    found = advance(progress, call, answer, now)
    assert found.n_calls == progress.n_calls + 1
    names = [f for f in DrainProgress.__dataclass_fields__ if f != "n_calls"]
    return {n: getattr(found, n) for n in names if getattr(found, n) != getattr(progress, n)}


@pytest.mark.parametrize("answer", [Done(), Gone()])
@pytest.mark.parametrize(
    ("call", "changes"),
    [
        (PLACEHOLDER, {"asked": {"uid-a"}, "asked_at": AT}),
        (ROOM, {"asked": {"uid-a", "uid-b"}, "asked_at": AT}),
        (ANCHOR, {"anchored": {"uid-d1"}}),
        (KEEP, {"kept": {"uid-d1"}}),
        (GROW, {"grown": True}),
        (MARK, {"marked": True}),
        (EVICT, {"begun": True, "evicted": {"uid-a"}}),
        (RELEASE, {"released": True}),
        (CLEAN, {"cleaned": True}),
        (GIVE_BACK, {"gave_back": True}),
    ],
)
def test_what_was_carried_out_or_is_so_already_takes_the_order_further(call, changes, answer):
    assert changed(NEW, call, answer) == changes


def test_a_node_that_is_unmarked_cannot_carry_the_mark_any_more():
    sure = DrainProgress(marked=True, maybe_marked=True)
    assert changed(sure, UNMARK) == {"marked": False, "maybe_marked": False}


def test_a_call_that_no_drain_makes_is_a_defect():
    steer = SteerGroup(group="web", uid="u", weight=1, cpu_limit_milli=None)
    with pytest.raises(AssertionError, match="SteerGroup"):
        advance(NEW, steer, Done(), AT)


def test_a_success_forgets_the_tries_of_requests_and_not_those_of_evictions():
    tried = DrainProgress(tries={"": 7, "uid-a": 3})
    assert changed(tried, RELEASE) == {"released": True, "tries": {"uid-a": 3}}
    assert changed(DrainProgress(tries={"uid-a": 3}), RELEASE) == {"released": True}


@pytest.mark.parametrize(
    ("call", "end"),
    [
        (PLACEHOLDER, DrainEnd.NO_REPLACEMENT),
        (ROOM, DrainEnd.NO_REPLACEMENT),
        (GROW, DrainEnd.NO_REPLACEMENT),
        (ANCHOR, DrainEnd.NO_REPLACEMENT),
        (KEEP, DrainEnd.NO_REPLACEMENT),
        (MARK, DrainEnd.REFUSED),
        (EVICT, DrainEnd.REFUSED),
        (RELEASE, DrainEnd.REFUSED),
    ],
)
def test_a_refusal_undoes_the_order_and_says_whether_room_was_missing(call, end):
    expected = {"phase": DrainPhase.UNDOING, "end": end, "reason": "no"}
    assert changed(NEW, call, Refused("no")) == expected


def test_extra_room_that_cannot_be_given_back_ends_nothing():
    assert changed(NEW, GIVE_BACK, Refused("no")) == {"gave_back": True}


def test_what_cannot_be_undone_ends_the_order_and_both_reasons_are_told():
    assert changed(UNDOING, UNMARK, Refused("no right")) == {
        "cleaned": True,
        "marked": False,
        "reason": "no room; no right",
    }
    assert changed(NEW, CLEAN, Refused("no")) == {"cleaned": True, "reason": "no"}


def test_of_a_node_that_is_lost_anyway_only_the_mark_is_needed():
    lost = DrainProgress(urgent=True)
    assert changed(lost, EVICT, Refused("no")) == {"given_up": {"uid-a"}, "reason": "no"}
    assert changed(lost, ROOM, Refused("no")) == {"asked": {"uid-a", "uid-b"}, "reason": "no"}
    assert changed(lost, MARK, Refused("no"))["phase"] is DrainPhase.UNDOING


def test_a_budget_that_blocks_anything_but_an_eviction_is_a_refusal():
    assert changed(NEW, RELEASE, BlockedByBudget(retry_s=0.0))["phase"] is DrainPhase.UNDOING


def waited(n_tries=0, asked_s=0.0):
    before = DrainProgress(tries={"uid-a": n_tries})
    found = changed(before, EVICT, BlockedByBudget(retry_s=asked_s))
    assert found["tries"] == {"uid-a": n_tries + 1}
    return found["retry_at"]["uid-a"] - AT


@pytest.mark.parametrize("n_tries", range(12))
def test_a_blocked_eviction_waits_twice_as_long_each_time_less_a_fifth_at_most(n_tries):
    full = min(MAX_WAIT_S, FIRST_RETRY_S * 2.0**n_tries)
    assert 0.8 * full - 1e-3 <= waited(n_tries) <= full


def test_pauses_are_spread_over_that_fifth():
    shares = []
    for name in range(200):
        call = replace(EVICT, uid=f"uid-{name}")
        found = changed(NEW, call, BlockedByBudget(retry_s=0.0))
        shares.append((found["retry_at"][call.uid] - AT) / FIRST_RETRY_S)
    assert min(shares) == pytest.approx(0.8, abs=0.01)
    assert max(shares) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("asked_s", "pause_s"), [(0.01, 0.1), (0.1, 0.1), (1.0, 1.0), (7.0, 7.0), (90.0, 60.0)]
)
def test_what_the_server_asks_for_counts_within_bounds(asked_s, pause_s):
    assert waited(asked_s=asked_s) == pytest.approx(pause_s, abs=1e-6)


def test_an_eviction_without_an_answer_may_have_begun_and_is_never_given_up():
    many = DrainProgress(tries={"uid-a": 10 * MAX_TRIES, "": MAX_TRIES})
    found = changed(many, EVICT, Again(reason="silent", retry_s=1.0))
    assert found == {
        "begun": True,
        "tries": {"uid-a": 10 * MAX_TRIES + 1, "": MAX_TRIES},
        "retry_at": {"uid-a": AT + 1.0},
    }


def test_a_mark_without_an_answer_may_be_there():
    found = changed(NEW, MARK, Again(reason="silent", retry_s=1.0))
    assert found == {"maybe_marked": True, "tries": {"": 1}, "retry_at": {"": AT + 1.0}}


@pytest.mark.parametrize("call", [EVICT, MARK])
def test_what_was_never_sent_has_done_nothing(call):
    """Or a node whose room vanishes while inputs are stale would be emptied without any."""
    found = changed(NEW, call, Again(reason="nodes is not fresh", is_sent=False))
    assert set(found) == {"tries", "retry_at"}
    begun = replace(NEW, begun=True, maybe_marked=True)
    assert set(changed(begun, call, Again("busy", is_sent=False))) == {"tries", "retry_at"}


@pytest.mark.parametrize("n_tries", [0, MAX_TRIES - 1, MAX_TRIES])
def test_any_other_request_is_tried_so_often_and_no_more(n_tries):
    before = DrainProgress(tries={"": n_tries} if n_tries else {})
    found = changed(before, RELEASE, Again(reason="busy", retry_s=1.0))
    if n_tries < MAX_TRIES:
        assert found == {"tries": {"": n_tries + 1}, "retry_at": {"": AT + 1.0}}
    else:
        assert found["phase"] is DrainPhase.UNDOING
        assert found["reason"] == "busy"


def test_a_node_that_has_changed_since_it_was_read_is_looked_at_again_at_once():
    """Karpenter taints a node at the same notice, at the same moment."""
    after, pauses = NEW, []
    for _ in range(9):
        after = advance(after, MARK, Again("modified", is_outdated=True), AT)
        pauses.append(after.retry_at[""] - AT)
    most = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, MAX_WAIT_S, MAX_WAIT_S]
    assert all(0.8 * m <= p <= m for p, m in zip(pauses, most, strict=True))


def test_before_the_first_request_for_room_nothing_was_asked():
    assert NEW.asked_at == math.inf
    again = changed(NEW, PLACEHOLDER, Again(reason="busy", retry_s=1.0))
    assert "asked_at" not in again
