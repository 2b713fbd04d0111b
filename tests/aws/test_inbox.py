"""A message goes when all that it said is settled, and not before; nothing grows without bound."""

from hypothesis import given
from hypothesis import strategies as st

from spotvortex.aws import inbox as inboxes
from spotvortex.aws.inbox import Inbox, Message
from spotvortex.core.domain.cloud.notices import KEPT_S, Notice, Reject, read_notice
from tests.core.events import T0, interruption, packed, rebalance, scheduled_change, state_change

TTL_S = 1800.0


def message(content, name: str = "m1", receipt: str = "") -> Message:
    return Message(id=name, receipt=receipt or f"r-{name}", body=packed(content))


def opened(*messages: Message, **options) -> Inbox:
    made = Inbox(TTL_S, **options)
    for one in messages:
        made.take(one, T0)
    return made


def ids(made: Inbox, now: float = T0) -> list[str]:
    return [n.id for n in made.pending(now)]


def test_the_most_urgent_comes_first_and_what_has_no_deadline_last():
    made = opened(
        message(rebalance("i-1", "a"), "m1"),
        message(interruption("i-2", "c"), "m2"),
        message(interruption("i-3", "b"), "m3"),
        message(state_change(instance="i-4", event_id="d"), "m4"),
    )
    assert ids(made) == ["d", "b", "c", "a"]


def test_a_message_may_go_once_its_notice_is_settled():
    made = opened(message(interruption()))
    assert made.next_deletable(10) == {}
    made.settle(["e1", "never heard of"], T0)
    assert made.next_deletable(10) == {"m1": "r-m1"}
    assert ids(made) == []
    assert made.next_deletable(10) == {}


def test_a_message_on_several_instances_goes_with_the_last_of_them():
    made = opened(message(scheduled_change("i-1", "i-2")))
    made.settle(["e4/i-1"], T0)
    assert (made.next_deletable(10), ids(made)) == ({}, ["e4/i-2"])
    made.settle(["e4/i-2"], T0)
    assert made.next_deletable(10) == {"m1": "r-m1"}


def test_the_same_event_in_two_messages_is_one_notice_and_both_go_with_it():
    made = opened(message(interruption(), "m1"), message(interruption(), "m2"))
    assert ids(made) == ["e1"]
    made.settle(["e1"], T0)
    assert set(made.next_deletable(10)) == {"m1", "m2"}
    assert made.traffic().duplicates == 1


def test_another_event_of_the_same_kind_on_the_same_instance_is_a_duplicate():
    made = opened(
        message(interruption(event_id="e1"), "m1"),
        message(interruption(event_id="e9"), "m2"),
        message(rebalance(event_id="e2"), "m3"),
    )
    assert ids(made) == ["e1", "e2"]
    made.settle(["e1"], T0)
    assert set(made.next_deletable(10)) == {"m1", "m2"}
    made.take(message(interruption(event_id="e9"), "m2"), T0)
    assert made.next_deletable(10) == {"m2": "r-m2"}


def test_one_id_on_two_instances_is_one_notice():
    made = opened(message(interruption("i-1"), "m1"), message(interruption("i-2"), "m2"))
    assert [n.instance_id for n in made.pending(T0)] == ["i-1"]
    made.settle(["e1"], T0)
    assert set(made.next_deletable(10)) == {"m1", "m2"}


def test_a_message_that_comes_again_is_known_and_its_newest_receipt_counts():
    made = opened(message(interruption()), message(interruption(), receipt="newer"))
    assert made.traffic().redelivered == 1
    assert made.traffic().duplicates == 0
    made.settle(["e1"], T0)
    assert made.next_deletable(10) == {"m1": "newer"}


def test_what_could_not_be_deleted_is_known_when_it_comes_again():
    made = opened(message(interruption()))
    made.settle(["e1"], T0)
    made.next_deletable(10)
    made.take(message(interruption()), T0 + 120.0)
    assert ids(made) == []
    assert made.next_deletable(10) == {"m1": "r-m1"}


def test_what_could_not_be_deleted_is_tried_again_by_its_newest_receipt():
    made = opened(message(interruption()))
    made.settle(["e1"], T0)
    failed = made.next_deletable(10)
    made.keep(failed)
    assert made.next_deletable(10) == failed
    made.take(message(interruption(), receipt="newer"), T0 + 120.0)
    made.keep(failed)
    assert made.next_deletable(10) == {"m1": "newer"}


def test_what_is_held_again_is_not_deleted_by_an_older_failure():
    made = opened(message(interruption()))
    made.settle(["e1"], T0)
    failed = made.next_deletable(10)
    late = T0 + inboxes.SETTLED_S + 1.0
    made.pending(late)
    made.take(message(interruption(at=late)), late)
    made.keep(failed)
    assert made.next_deletable(10) == {}


def test_no_more_is_kept_for_another_try_than_the_bound():
    made = Inbox(TTL_S)
    made.keep({f"m{n}": "r" for n in range(inboxes.MAX_KEPT + 5)})
    assert made.n_deletable == inboxes.MAX_KEPT


def test_a_settled_id_is_forgotten_in_time():
    made = opened(message(rebalance()))
    made.settle(["e2"], T0)
    in_time = T0 + inboxes.SETTLED_S
    made.pending(in_time)
    made.take(message(rebalance(), "m1 again"), in_time)
    assert ids(made, in_time) == []
    late = T0 + inboxes.SETTLED_S + 1.0
    made.pending(late)
    made.take(message(rebalance(), "m2"), late)
    assert ids(made, late) == ["e2"]


def test_no_more_settled_ids_are_remembered_than_the_bound():
    made = Inbox(TTL_S)
    for n in range(inboxes.MAX_SETTLED + 1):
        made.take(message(interruption(f"i-{n:x}", f"e-{n}"), f"m-{n}"), T0)
        made.settle([f"e-{n}"], T0)
        made.next_deletable(1)
    made.take(message(interruption("i-0", "e-0"), "again"), T0)
    made.take(message(interruption("i-1", "e-1"), "again too"), T0)
    assert ids(made) == ["e-0"]


def test_what_holds_no_notice_goes_at_once_and_counts_by_reason():
    made = opened(
        message({}, "m1"),
        message([], "m2"),
        message(state_change("running"), "m3"),
        Message(id="m4", receipt="r", body=b" " * 200_000),
    )
    assert set(made.next_deletable(10)) == {"m1", "m2", "m3", "m4"}
    every = {"unknown": 1, "malformed": 1, "not-a-loss": 1, "huge": 1}
    assert made.traffic().rejects == every


def test_what_counts_no_longer_goes_whether_it_came_late_or_was_never_settled():
    late = T0 + 120.0 + KEPT_S
    made = opened(message(interruption()))
    assert ids(made, late - 1.0) == ["e1"]
    assert ids(made, late) == []
    made.take(message(interruption("i-2", "e9"), "m2"), late)
    assert set(made.next_deletable(10)) == {"m1", "m2"}
    assert made.traffic().expired == 2


def test_what_finds_no_room_is_left_to_the_queue_and_taken_when_it_comes_again():
    made = opened(
        message(interruption("i-1", "a"), "m1"),
        message(scheduled_change("i-2", "i-3"), "m2"),
        max_held=2,
    )
    assert (made.is_full, made.traffic().left) == (False, 1)
    made.take(message(interruption("i-4", "b"), "m3"), T0)
    assert made.is_full
    made.settle(["a", "b"], T0)
    assert made.is_full
    made.next_deletable(10)
    made.take(message(scheduled_change("i-2", "i-3"), "m2"), T0)
    assert ids(made) == ["e4/i-2", "e4/i-3"]


def test_messages_that_wait_to_be_deleted_leave_no_room_for_another():
    made = opened(message({}, "m1"), message({}, "m2"), max_held=2)
    made.take(message(interruption(), "m3"), T0)
    assert (ids(made), made.traffic().left) == ([], 1)


def test_of_two_settled_ids_the_older_is_forgotten_first():
    made = opened(message(rebalance(), "m1"), message(interruption("i-2"), "m2"))
    made.settle(["e2"], T0)
    made.settle(["e1"], T0 + 60.0)
    late = T0 + inboxes.SETTLED_S + 1.0
    made.pending(late)
    made.take(message(interruption("i-2", at=late), "m3"), late)
    assert ids(made, late) == []
    made.take(message(rebalance(at=late), "m4"), late)
    assert ids(made, late) == ["e2"]


def test_one_message_may_fill_what_holds_notices():
    assert opened(message(scheduled_change("i-1", "i-2")), max_held=2).is_full
    assert not opened(message(scheduled_change("i-1", "i-2")), max_held=3).is_full


def test_what_is_given_back_is_forgotten_and_the_most_urgent_goes_first():
    made = opened(message(rebalance(), "m1"), message(interruption("i-2"), "m2"))
    assert list(made.release()) == ["m2", "m1"]
    assert (made.n_in_hand, made.n_new) == (0, 0)
    assert ids(made) == []
    made.take(message(rebalance(), "m1"), T0)
    assert ids(made) == ["e2"]


def test_only_what_was_never_returned_is_new():
    made = opened(message(interruption()), message(interruption(), "m2"))
    assert made.n_new == 1
    made.pending(T0)
    made.take(message(interruption(), "m3"), T0)
    assert made.n_new == 0


_EVENTS = [interruption(f"i-{i}", f"e{e}") for i in range(3) for e in range(4)]
_EVENTS += [rebalance(f"i-{i}", f"r{i}") for i in range(3)]
_EVENTS += [scheduled_change("i-1", "i-2"), scheduled_change("i-2", "i-3", event_id="e5"), {}]
_STEP = st.one_of(
    st.tuples(st.just("take"), st.integers(0, len(_EVENTS) - 1), st.integers(0, 5)),
    st.tuples(st.just("settle"), st.integers(0, 8), st.integers(0, 8)),
    st.tuples(st.just("delete"), st.integers(1, 3), st.just(0)),
    st.tuples(st.just("fail"), st.integers(1, 3), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([1, 200, 800, 2000]), st.just(0)),
    st.tuples(st.just("release"), st.just(0), st.just(0)),
)


def said_by(name: str) -> list[Notice]:
    found = read_notice(packed(_EVENTS[int(name.partition("-")[0])]), T0)
    return [] if isinstance(found, Reject) else list(found)


@given(st.lists(_STEP, max_size=40))
def test_no_message_goes_before_its_notices_and_none_stays_behind(steps):
    """A message is named by its event and copy, so that one name always has one text."""
    made, now, done = Inbox(TTL_S, max_held=6), T0, set()
    for what, a, b in steps:
        match what:
            case "take":
                made.take(message(_EVENTS[a], f"{a}-{b}"), now)
            case "settle":
                chosen = [n for i, n in enumerate(made.pending(now)) if i in (a, b)]
                made.settle([n.id for n in chosen], now)
                done.update((n.instance_id, n.kind) for n in chosen)
            case "delete":
                gone = [n for name in made.next_deletable(a) for n in said_by(name)]
                assert all(n.until <= now or (n.instance_id, n.kind) in done for n in gone)
            case "fail":
                made.keep(made.next_deletable(a))
            case "wait":
                now += a
            case "release":
                made.release()
                assert made.n_in_hand == made.n_deletable
        notices = made.pending(now)
        targets = [(n.instance_id, n.kind) for n in notices]
        assert len(set(targets)) == len(targets) == len({n.id for n in notices}) <= 6
        assert all(n.until > now for n in notices)
        assert made.n_in_hand <= 6 + 6  # copies of the one that is refused find room always
    made.settle([n.id for n in made.pending(now)], now)
    made.next_deletable(999)
    assert (made.n_in_hand, made.n_pending) == (0, 0)


def test_where_somebody_else_answers_a_message_goes_at_once_and_its_notice_counts_on():
    made = opened(message(interruption()), message(rebalance("i-2", "r"), "m2"), holds=False)
    assert made.next_deletable(10) == {"m1": "r-m1", "m2": "r-m2"}
    assert ids(made) == ["e1", "r"]
    made.take(message(interruption(), "m3"), T0)
    assert made.next_deletable(10) == {"m3": "r-m3"}
    assert ids(made) == ["e1", "r"]
    assert ids(made, T0 + TTL_S) == []
