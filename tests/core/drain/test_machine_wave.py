"""Before the mark: receivers are anchored, and a node waits for the others of its wave."""

from dataclasses import replace

import pytest

from spotvortex.core.domain.labels import LONGEST_LIFE_S
from spotvortex.core.domain.types import CapacityType
from spotvortex.core.drain.calls import CreateAnchor, DeletePlaceholders
from spotvortex.core.drain.messages import DrainEnd
from spotvortex.core.drain.progress import LOST_ROOM_S, proceed
from spotvortex.core.drain.remaining import (
    ANCHOR_LEFT,
    DrainPhase,
    DrainProgress,
    is_asking,
    to_anchor,
)
from spotvortex.core.drain.views import WaveView
from tests.core.builders import AT
from tests.core.drain.drains import LOSS, ORDER, Script, pod, receiver, run, view

SPOT_ORDER = replace(ORDER, to=CapacityType.SPOT)


def test_receivers_are_anchored_before_the_mark_unless_an_anchor_keeps_them_long_enough():
    for until, anchors in (
        (AT + ANCHOR_LEFT * LONGEST_LIFE_S - 1.0, 1),
        (AT + ANCHOR_LEFT * LONGEST_LIFE_S + 30.0, 0),
    ):
        script = Script([pod("a")], anchors={"uid-r1": until})
        run(script)
        kinds = script.kinds()
        assert kinds.count("CreateAnchor") == anchors
        assert "CreateAnchor" not in kinds[kinds.index("MarkNode") :]


def test_an_anchor_that_lasts_just_long_enough_is_none_too_few():
    enough = AT + ORDER.leftover_s * ANCHOR_LEFT
    for until, n_wanted in ((enough - 0.001, 1), (enough, 0)):
        seen = view(pod("a"), receivers=(receiver(until=until),))
        assert len(to_anchor(ORDER, DrainProgress(), seen, AT)) == n_wanted


def test_every_receiver_gets_one_anchor():
    both = (receiver("r1"), receiver("r2"))
    script = Script([pod("a")], seen={"receivers": both})
    run(script)
    anchored = [c.node for c in script.calls if isinstance(c, CreateAnchor)]
    assert anchored == ["r1", "r2"]
    assert len({c.name for c in script.calls if isinstance(c, CreateAnchor)}) == 2


def test_receivers_on_spot_are_not_anchored():
    script = Script([pod("a")])
    run(script, SPOT_ORDER)
    assert "CreateAnchor" not in script.kinds()


def wave(**changes):
    return WaveView(**({"asking": False, "bound": 2, "left": 2} | changes))


@pytest.mark.parametrize("short", [wave(asking=True), wave(bound=1)])
def test_a_node_waits_for_the_room_of_its_wave_before_the_mark(short):
    script = Script([pod("a")], seen={"wave": short})
    end, _, now, progress = run(script, steps=10)
    assert (end, script.kinds()) == (None, ["CreatePlaceholder"])
    script.seen = {"wave": wave()}
    assert run(script, progress=progress, at=now)[0] is DrainEnd.DONE


def test_room_that_another_node_of_the_wave_has_taken_is_made_up_for_by_its_own():
    """The room of a wave is nobody's own: what counts is that there is enough for all."""
    progress = DrainProgress(moving=(pod("a"),), asked=frozenset({"uid-a"}))
    seen = view(pod("a"), bound=0, wave=wave(bound=1, left=1))
    assert proceed(ORDER, progress, seen, AT).phase is DrainPhase.MARKING
    alone = view(pod("a"), bound=0)
    assert proceed(ORDER, progress, alone, AT).phase is DrainPhase.BINDING


def test_no_pod_goes_while_a_node_of_the_wave_could_still_receive_it():
    progress = DrainProgress(moving=(pod("a"),), asked=frozenset({"uid-a"}), marked=True)
    seen = view(pod("a"), bound=1, cordoned=True, marked=True, wave=wave(marking=True))
    waiting = proceed(ORDER, progress, seen, AT)
    assert waiting.phase is DrainPhase.WAITING
    assert proceed(ORDER, waiting, replace(seen, wave=wave()), AT).phase is DrainPhase.EVICTING
    # A node that is lost waits for nobody, nor does one whose pods had begun to go.
    assert proceed(LOSS, progress, seen, AT).phase is DrainPhase.EVICTING
    assert proceed(ORDER, replace(progress, begun=True), seen, AT).phase is DrainPhase.EVICTING


def test_after_a_restart_nothing_is_asked_for_again_while_the_wave_has_enough():
    """One of two placeholders was taken by a pod of another node, whose own is there for it."""
    known = DrainProgress(moving=(pod("a"), pod("b")), asked=frozenset({"uid-a"}), found=True)
    seen = view(pod("a"), pod("b"), bound=1, wave=wave(asking=True))
    progress = proceed(ORDER, known, seen, AT)
    assert not is_asking(progress)
    assert progress.phase is DrainPhase.BINDING
    seen = replace(seen, wave=wave())
    assert proceed(ORDER, progress, seen, AT).phase is DrainPhase.MARKING


@pytest.mark.parametrize(
    ("stands", "phase"),
    [
        (wave(bound=1), DrainPhase.ASKING),
        (wave(asking=True, bound=1), DrainPhase.ASKING),
        (wave(known=False), DrainPhase.BINDING),
        (wave(known=False, bound=1), DrainPhase.BINDING),
    ],
)
def test_after_a_restart_what_lacks_is_asked_for_once_all_of_the_wave_are_known(stands, phase):
    known = DrainProgress(moving=(pod("a"), pod("b")), asked=frozenset({"uid-a"}), found=True)
    progress = proceed(ORDER, known, view(pod("a"), pod("b"), bound=1, wave=stands), AT)
    assert progress.phase is phase
    assert is_asking(progress)


def lacking(now=AT + LOST_ROOM_S, seen=None, **changes):
    """What becomes of an order for two pods, asked for at `AT`, of whose room one is left."""
    both = (pod("a"), pod("b"))
    asked = {"asked": frozenset({"uid-a", "uid-b"}), "asked_at": AT, "moving": both}
    return proceed(
        ORDER, DrainProgress(**(asked | changes)), seen or view(*both, n_room=1, bound=1), now
    )


def test_room_that_has_gone_is_asked_for_anew_once_the_view_must_show_it():
    assert lacking(AT + LOST_ROOM_S - 0.1).phase is DrainPhase.BINDING
    anew = lacking()
    assert (anew.phase, is_asking(anew)) == (DrainPhase.ASKING, True)
    # What is asked for anew is cleaned up even where no placeholder is seen.
    assert anew.found
    assert lacking(seen=view(pod("a"), pod("b"), n_room=2, bound=1)).phase is DrainPhase.BINDING
    assert lacking(begun=True).phase is not DrainPhase.ASKING


@pytest.mark.parametrize(
    ("stands", "phase"),
    [
        (wave(bound=3, left=4, room=3), DrainPhase.ASKING),
        (wave(bound=3, left=4, room=4), DrainPhase.BINDING),
        (wave(bound=4, left=4, room=4), DrainPhase.MARKING),
    ],
)
def test_room_that_has_gone_is_asked_for_anew_only_where_the_wave_lacks_it(stands, phase):
    seen = view(pod("a"), pod("b"), n_room=1, bound=1, wave=stands)
    assert lacking(seen=seen).phase is phase


def test_a_node_that_is_lost_asks_not_again_for_room_that_has_gone():
    both = (pod("a"), pod("b"))
    asked = DrainProgress(
        asked=frozenset({"uid-a", "uid-b"}), asked_at=AT, moving=both, urgent=True, marked=True
    )
    seen = view(*both, n_room=1, bound=1, cordoned=True, marked=True)
    assert proceed(LOSS, asked, seen, AT + LOST_ROOM_S).phase is DrainPhase.BINDING


def test_a_placeholder_that_vanishes_is_made_again_and_the_move_goes_on():
    script = Script([pod("a"), pod("b")], binds=False)
    *_, now, progress = run(script, steps=3)
    del script.room["uid-b"]
    script.room["uid-a"] = script.binds = True
    end, _, _, progress = run(script, progress=progress, at=now)
    kinds = script.kinds()
    assert end is DrainEnd.DONE
    assert kinds[: kinds.index("MarkNode")].count("CreatePlaceholder") == 4


def test_a_new_order_asks_for_all_its_room_whatever_the_wave_has():
    progress = proceed(
        ORDER, DrainProgress(moving=(pod("a"),)), view(pod("a"), wave=wave(bound=9)), AT
    )
    assert progress.phase is DrainPhase.ASKING


def test_a_node_whose_wave_has_no_room_gives_up_before_the_mark_and_not_after():
    trouble = {"wave": wave(trouble="n2 of the same wave: no room")}
    script = Script([pod("a")], seen={"wave": wave(asking=True)})
    *_, progress = run(script, steps=10)
    script.seen = trouble
    end, reason, *_ = run(script, progress=progress)
    assert (end, reason) == (DrainEnd.NO_REPLACEMENT, "n2 of the same wave: no room")
    assert script.room == {}
    marked = Script([pod("a")])
    *_, progress = run(marked, steps=3)
    assert marked.kinds()[-1] == "MarkNode"
    marked.seen = trouble
    assert run(marked, progress=progress)[0] is DrainEnd.DONE


@pytest.mark.parametrize(
    ("changes", "asking"),
    [
        ({}, True),
        ({"asked": frozenset({"uid-a"})}, False),
        ({"begun": True}, False),
        ({"phase": DrainPhase.UNDOING}, False),
        ({"moving": ()}, False),
    ],
)
def test_an_order_asks_until_it_has_asked_for_every_pod(changes, asking):
    progress = DrainProgress(**({"moving": (pod("a"),)} | changes))
    assert is_asking(progress) is asking


@pytest.mark.parametrize(
    ("last", "n_room", "deleted"),
    [(False, 0, None), (False, 1, ORDER.uid), (True, 0, "")],
    ids=["others still move", "room of its own", "the last one"],
)
def test_room_that_lost_nodes_share_is_deleted_by_the_last_of_them(last, n_room, deleted):
    stands = replace(wave(bound=0, left=0), last=last)
    seen = {"wave": stands, "n_shared": 5, "n_room": n_room, "bound": 1}
    script = Script([pod("a")], cordoned=True, marked=True, seen=seen)
    run(script, LOSS, steps=10)
    calls = [c for c in script.calls if isinstance(c, DeletePlaceholders)]
    assert [c.for_uid for c in calls][:1] == ([] if deleted is None else [deleted])
