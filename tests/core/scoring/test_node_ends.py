"""What has ended between two observations, and by which evidence it is known."""

import pytest

from spotvortex.core.domain.cloud.exits import ExitNotice, NodeExit
from spotvortex.core.domain.cloud.launches import NO_LAUNCHES, LaunchFacts, LaunchRefusal
from spotvortex.core.scoring.late_evidence import MAX_UNDECIDED, WITHIN_S, Undecided, decided
from spotvortex.core.scoring.loss_evidence import RECENTLY_S, LossEvidence, evidence_of
from spotvortex.core.scoring.node_ends import MAX_GAP_S, SAME_REFUSAL_S, Before, ends
from tests.core.builders import AT, WEB_A, WEB_B, spot

NOW = AT + 60.0
DELETED = NodeExit(uid="uid-s1", deleted_at=AT + 30.0)
SHOWN = LaunchFacts(falls={WEB_A: AT + 40.0}, interrupted_at=(AT + 20.0,))


def ended(*exits, nodes=("s1", "s2"), present=("uid-s2",), now=NOW, shown=NO_LAUNCHES, **changes):
    """What has ended since a minute ago, when these nodes were held."""
    values = {
        "at": AT,
        "nodes": {f"uid-{name}": spot(name) for name in nodes},
        "interrupted": frozenset(),
        "undecided": (),
        "refused_at": {},
        "lost_at": {},
    }
    return ends(Before(**(values | changes)), frozenset(present), exits, now, shown)


def named(found):
    return [(loss.node, loss.offering, loss.evidence) for loss in found.losses]


def waiting(**changes):
    values = {
        "node": "s0",
        "offering": WEB_A,
        "deleted_at": AT,
        "share": 0.5,
        "left_survivors": True,
    }
    return Undecided(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "evidence"),
    [
        ({"notice": ExitNotice.KARPENTER, "in_order": True}, LossEvidence.KARPENTER),
        ({"notice": ExitNotice.TERMINATION_HANDLER}, LossEvidence.TERMINATION_HANDLER),
        ({}, None),
        ({"not_ready_since": NOW - RECENTLY_S}, LossEvidence.NOT_READY),
        ({"not_ready_since": NOW - RECENTLY_S - 1.0}, None),
        ({"not_ready_since": NOW - 1.0, "in_order": True}, None),
    ],
)
def test_a_node_was_lost_where_a_notice_says_so_or_it_fell_silent_minutes_before(changes, evidence):
    assert evidence_of(NodeExit(uid="u", **changes), NOW) is evidence


@pytest.mark.parametrize(
    ("falls", "interrupted_at", "is_lost"),
    [
        ({WEB_A: AT}, (AT,), True),
        ({WEB_A: AT + WITHIN_S}, (AT - 900.0, AT - WITHIN_S), True),
        ({WEB_A: AT - WITHIN_S}, (AT + WITHIN_S,), True),
        ({WEB_A: AT + WITHIN_S + 1.0}, (AT,), False),
        ({WEB_A: AT}, (AT - WITHIN_S - 1.0,), False),
        ({WEB_A: AT}, (), False),
        ({WEB_B: AT}, (AT,), False),
    ],
)
def test_a_deleted_node_was_lost_where_its_offering_fell_and_an_interruption_was_counted_then(
    falls, interrupted_at, is_lost
):
    shown = LaunchFacts(falls=falls, interrupted_at=interrupted_at)
    assert waiting().is_lost(shown) is is_lost


def test_what_is_not_decided_is_waited_for_twice_as_long_as_evidence_may_take_and_is_bounded():
    late = decided([waiting()], LaunchFacts(), AT + 2.0 * WITHIN_S)
    assert late == ((), (waiting(),))
    assert decided([waiting()], LaunchFacts(), AT + 2.0 * WITHIN_S + 1.0) == ((), ())
    many = [waiting(node=f"s{n}") for n in range(MAX_UNDECIDED + 1)]
    assert decided(many, LaunchFacts(), AT)[1] == tuple(many[1:])


def test_a_node_that_its_provisioner_deleted_is_a_loss_once_its_metrics_show_it():
    open_ = ended(DELETED)
    assert (named(open_), open_.late) == ([], ())
    (one,) = open_.undecided
    assert (one.node, one.deleted_at, one.share, one.left_survivors) == ("s1", AT + 30.0, 0.5, True)
    later = ended(undecided=open_.undecided, nodes=("s2",), shown=SHOWN, now=AT + 120.0)
    assert (later.late, later.undecided) == ((one,), ())
    assert named(later) == [("s1", WEB_A, LossEvidence.GAUGE)]
    assert later.changed == {WEB_A}
    assert later.interval(WEB_A, 1, None).late_shares == (0.5,)
    assert later.interval(WEB_A, 1, None).has_survivors
    assert later.interval(WEB_B, 1, None).late_shares == ()


def test_of_an_offering_whose_last_node_was_deleted_nothing_stays():
    (one,) = ended(DELETED, nodes=("s1",), present=()).undecided
    assert (one.share, one.left_survivors) == (1.0, False)


@pytest.mark.parametrize(
    ("exits", "present"),
    [
        ((NodeExit(uid="uid-s1"),), ("uid-s2",)),
        ((DELETED,), ("uid-s1", "uid-s2")),
        ((NodeExit(uid="uid-x", deleted_at=AT),), ("uid-s2",)),
    ],
    ids=["not-deleted", "still-there", "never-held"],
)
def test_only_what_was_held_and_deleted_and_is_gone_is_waited_for(exits, present):
    assert ended(*exits, present=present).undecided == ()


@pytest.mark.parametrize(
    ("lost_at", "is_lost"),
    [
        (AT + 40.0 - WITHIN_S, False),
        (AT + 40.0 + WITHIN_S, False),
        (AT + 39.0 - WITHIN_S, True),
        (None, True),
    ],
)
def test_a_fall_that_a_known_loss_has_made_proves_no_second_one(lost_at, is_lost):
    found = ended(DELETED, shown=SHOWN, lost_at={WEB_A: lost_at})
    assert bool(found.late) is is_lost


def test_a_fall_beside_a_loss_of_the_same_offering_is_that_one_and_of_another_its_own():
    silent = NodeExit(uid="uid-s2", not_ready_since=AT)
    found = ended(DELETED, silent, present=(), shown=SHOWN)
    assert named(found) == [("s2", WEB_A, LossEvidence.NOT_READY)]
    nodes = {"uid-s1": spot("s1"), "uid-s2": spot("s2", WEB_B)}
    found = ends(
        Before(
            at=AT,
            nodes=nodes,
            interrupted=frozenset(),
            undecided=(),
            refused_at={},
            lost_at={},
        ),
        frozenset(),
        [DELETED, silent],
        NOW,
        SHOWN,
    )
    assert named(found) == [
        ("s2", WEB_B, LossEvidence.NOT_READY),
        ("s1", WEB_A, LossEvidence.GAUGE),
    ]


def test_a_node_that_was_emptied_for_a_notice_is_lost_by_it_and_is_not_waited_for():
    found = ended(DELETED, interrupted=frozenset({"uid-s1"}))
    assert named(found) == [("s1", WEB_A, LossEvidence.NOTICE)]
    assert found.undecided == ()
    assert ended(interrupted=frozenset({"uid-s1"})).n_lost == {WEB_A: 1}


def test_nodes_stayed_only_where_something_was_lost_and_something_stayed():
    silent = NodeExit(uid="uid-s1", not_ready_since=AT)
    assert ended(silent).with_survivors == {WEB_A}
    assert ended(silent, present=()).with_survivors == frozenset()
    assert ended(DELETED).with_survivors == frozenset()


@pytest.mark.parametrize(
    ("gap_s", "n_lost", "hours"),
    [(MAX_GAP_S, 1, MAX_GAP_S / 3600.0), (MAX_GAP_S + 1.0, 0, 0.0), (-60.0, 1, 0.0)],
)
def test_a_long_gap_teaches_nothing_and_a_clock_that_goes_back_adds_no_time(gap_s, n_lost, hours):
    silent = NodeExit(uid="uid-s1", not_ready_since=AT)
    found = ended(silent, now=AT + gap_s)
    assert (found.n_lost.total(), found.hours) == (n_lost, pytest.approx(hours))
    deleted = NodeExit(uid="uid-s1", deleted_at=AT + gap_s)
    assert bool(ended(deleted, now=AT + gap_s).undecided) is bool(n_lost)


@pytest.mark.parametrize(
    ("shown", "told_at"),
    [
        (LaunchFacts(falls={WEB_A: AT}), AT),
        (LaunchFacts(falls={WEB_A: NOW + 9.0}), NOW),
        (LaunchFacts(falls={WEB_A: AT}, interrupted_at=(AT + WITHIN_S,)), None),
        (LaunchFacts(falls={WEB_A: AT}, interrupted_at=(AT + WITHIN_S + 1.0,)), AT),
        (LaunchFacts(refusals=(LaunchRefusal(offering=WEB_A, at=AT),)), AT),
        (
            LaunchFacts(falls={WEB_A: AT}, refusals=(LaunchRefusal(offering=WEB_A, at=AT - 9.0),)),
            AT,
        ),
    ],
)
def test_a_fall_beside_no_interruption_and_what_an_event_says_are_launches_that_failed(
    shown, told_at
):
    assert ended(shown=shown).refused.get(WEB_A) == told_at


@pytest.mark.parametrize(
    ("before", "is_new"),
    [(None, True), (AT, False), (AT - SAME_REFUSAL_S, False), (AT - SAME_REFUSAL_S - 1.0, True)],
)
def test_what_is_told_within_three_minutes_of_a_failed_launch_is_told_of_the_same_one(
    before, is_new
):
    found = ended(shown=LaunchFacts(falls={WEB_A: AT}), refused_at={WEB_A: before})
    assert (WEB_A in found.refused) is is_new
    assert (WEB_A in found.changed) is is_new
