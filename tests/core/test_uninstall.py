"""What is ours goes, in order; what is not, or would come again, stays and is told."""

import pytest

from spotvortex.core.domain import labels
from spotvortex.core.uninstall import (
    Inventory,
    Leftover,
    ObjectKind,
    StillThere,
    UninstallResult,
    describe_node,
    may_thaw,
    remaining,
    removable,
)

EVERYTHING = tuple(Leftover(thing=thing, name="x") for thing in reversed(ObjectKind))
BOTH = frozenset({labels.CORDONED, labels.DRAIN})


def names(leftovers):
    return [left.thing for left in leftovers]


def test_what_takes_capacity_away_goes_first_and_the_freeze_is_not_among_what_goes():
    assert names(removable(Inventory(leftovers=EVERYTHING))) == list(ObjectKind)[:-1]


def test_what_a_running_daemon_would_write_again_stays():
    inventory = Inventory(leftovers=EVERYTHING, daemons=("pod a",))
    ours = [ObjectKind.NODE_POOL, ObjectKind.NODE, ObjectKind.POD, ObjectKind.TETHER]
    assert names(removable(inventory)) == ours


def test_marked_nodes_placeholders_and_steered_groups_are_in_flight_and_what_nobody_undoes_is_not():
    marked = [Leftover(thing=ObjectKind.NODE, name=m, marks=frozenset({m})) for m in sorted(BOTH)]
    risky = Leftover(thing=ObjectKind.NODE, name="risky", marks=frozenset({labels.AT_RISK}))
    pods = [Leftover(thing=ObjectKind.POD, name=kind, pod=kind) for kind in labels.PodKind]
    inventory = Inventory(leftovers=(*marked, risky, *pods, *EVERYTHING))
    assert inventory.n_in_flight == 4
    assert [left.name for left in inventory.leftovers if left.is_in_flight] == [
        *sorted(BOTH),
        "placeholder",
        "x",
    ]


@pytest.mark.parametrize(
    ("leftovers", "daemons", "thawed"),
    [
        ((), (), True),
        ((ObjectKind.FREEZE,), (), True),
        ((ObjectKind.FREEZE,), ("lease of a",), False),
        ((ObjectKind.FREEZE, ObjectKind.NODE), (), False),
    ],
)
def test_the_freeze_goes_when_nothing_else_is_there_and_nobody_runs(leftovers, daemons, thawed):
    found = tuple(Leftover(thing=thing, name="x") for thing in leftovers)
    assert may_thaw(Inventory(leftovers=found, daemons=daemons)) is thawed


@pytest.mark.parametrize(
    ("found", "cordoned", "ours"),
    [
        (BOTH, True, True),
        (BOTH | {labels.AT_RISK}, True, True),
        (BOTH, False, False),
        (frozenset({labels.CORDONED}), True, False),
        (frozenset({labels.DRAIN}), True, False),
        (frozenset({labels.AT_RISK}), True, False),
    ],
)
def test_a_cordon_is_ours_by_label_and_journal_together(found, cordoned, ours):
    left = Leftover(thing=ObjectKind.NODE, name="n", marks=found, cordoned=cordoned)
    assert left.is_our_cordon is ours


@pytest.mark.parametrize(
    ("found", "cordoned", "words"),
    [
        (BOTH, True, "cordoned by SpotVortex"),
        (BOTH | {labels.AT_RISK}, False, "marked by SpotVortex, no longer cordoned, at risk"),
        ({labels.AT_RISK}, True, "at risk"),
        ({labels.KEPT}, False, "kept from scale-down by SpotVortex"),
        ({labels.DRAIN}, False, "SpotVortex's journal alone"),
        (
            {labels.CORDONED},
            True,
            "SpotVortex's label alone: whose cordon it is cannot be told, so it stays",
        ),
    ],
)
def test_a_nodes_marks_are_told_in_words(found, cordoned, words):
    assert describe_node(frozenset(found), cordoned=cordoned) == words


def test_each_thing_that_is_left_has_its_reason():
    node = Leftover(thing=ObjectKind.NODE, name="n")
    pod = Leftover(thing=ObjectKind.POD, name="p")
    freeze = Leftover(thing=ObjectKind.FREEZE, name="f")
    inventory = Inventory(leftovers=(node, pod, freeze))
    reasons = [left.reason for left in remaining(inventory, {node.key: "no right to patch"})]
    assert reasons == [
        "no right to patch",
        "it is still there or came again: run this once more",
        "it goes when nothing else is left",
    ]


def test_a_running_daemon_is_named_as_the_reason():
    lease = Leftover(thing=ObjectKind.LEASE, name="l")
    inventory = Inventory(leftovers=(lease,), daemons=("pod a", "lease of a"))
    (left,) = remaining(inventory, {})
    assert "still runs (pod a, lease of a): delete the Deployment" in left.reason


def test_what_was_found_and_is_not_left_was_removed():
    node, pod = Leftover(thing=ObjectKind.NODE, name="n"), Leftover(thing=ObjectKind.POD, name="n")
    leaving = UninstallResult(found=(node, pod), left=(StillThere(leftover=pod),), applied=True)
    assert leaving.removed == (node,)
