"""Whatever a message holds, it is read as notices or refused with a reason."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spotvortex.core.domain.cloud.notices import (
    KEPT_S,
    MAX_BYTES,
    REBALANCE_TTL_S,
    Notice,
    NoticeKind,
    Reject,
    instance_id_of,
    read_notice,
    risk_until,
)
from tests.core.events import (
    T0,
    event,
    interruption,
    packed,
    rebalance,
    scheduled_change,
    state_change,
)

NOW = T0 + 3.0


def read(message) -> tuple[Notice, ...]:
    found = read_notice(packed(message), NOW)
    assert isinstance(found, tuple)
    return found


def refused(message) -> str:
    body = message if isinstance(message, bytes) else packed(message)
    found = read_notice(body, NOW)
    assert isinstance(found, Reject)
    return found.reason


def test_an_interruption_gives_two_minutes_from_its_own_time():
    assert read(interruption()) == (
        Notice(
            id="e1",
            kind=NoticeKind.INTERRUPTION,
            instance_id="i-0abc",
            at=T0,
            deadline=T0 + 120.0,
            until=T0 + 120.0 + KEPT_S,
            received_at=NOW,
        ),
    )


def test_a_rebalance_recommendation_has_no_deadline_and_counts_for_its_time_to_live():
    (notice,) = read(rebalance())
    assert (notice.kind, notice.deadline) == (NoticeKind.REBALANCE, None)
    assert notice.until == T0 + REBALANCE_TTL_S
    (short,) = read_notice(packed(rebalance()), NOW, 60.0)
    assert short.until == T0 + 60.0


@pytest.mark.parametrize("state", ["stopping", "stopped", "shutting-down", "terminated"])
def test_a_machine_that_ends_is_already_due(state):
    (notice,) = read(state_change(state))
    assert (notice.kind, notice.deadline) == (NoticeKind.STATE_CHANGE, T0)
    assert notice.until == T0 + KEPT_S


@pytest.mark.parametrize("state", ["pending", "running"])
def test_a_machine_that_begins_is_no_loss(state):
    assert refused(state_change(state)) == "not-a-loss"


def test_a_scheduled_change_gives_one_notice_for_each_instance():
    found = read(scheduled_change("i-2", "i-1", "vol-1", "i-2"))
    assert [(n.id, n.instance_id) for n in found] == [("e4/i-2", "i-2"), ("e4/i-1", "i-1")]
    assert {(n.kind, n.deadline) for n in found} == {(NoticeKind.SCHEDULED_CHANGE, T0 + 86_400.0)}


def test_a_scheduled_change_without_a_time_counts_from_its_event():
    (notice,) = read(scheduled_change("i-2", start=None))
    assert (notice.deadline, notice.until) == (None, T0 + KEPT_S)
    (odd,) = read(scheduled_change("i-2", startTime="soon"))
    assert odd.deadline is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"eventTypeCategory": "issue"}, "not-a-loss"),
        ({"statusCode": "closed"}, "not-a-loss"),
        ({"service": "RDS"}, "unknown"),
        ({"affectedEntities": []}, "unknown"),
        ({"affectedEntities": ["i-1", {"entityValue": 7}]}, "unknown"),
        ({"affectedEntities": None}, "malformed"),
    ],
)
def test_a_health_event_that_is_no_change_of_an_instance_is_refused(change, reason):
    assert refused(scheduled_change("i-1", **change)) == reason


def test_an_account_is_not_needed():
    assert read(interruption(account=None)) == read(interruption())


@pytest.mark.parametrize(
    "time",
    [
        "2026-09-21T14:13:20+00:00",
        "2026-09-21T14:13:20",
        "2026-09-21T16:13:20+02:00",
        "Mon, 21 Sep 2026 14:13:20 GMT",
        f"Mon,{' ' * 36}21 Sep 2026 14:13:20 GMT",
    ],
)
def test_times_are_read_in_every_form_that_is_sent(time):
    assert read(interruption(time=time))[0].at == T0


def test_nothing_happens_after_it_was_heard_of():
    (notice,) = read(rebalance(at=T0 + 9e6))
    assert (notice.at, notice.until) == (NOW, NOW + REBALANCE_TTL_S)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff",
        b"[1]",
        b"7" * 9999,
        b"[" * MAX_BYTES,
        b'{"a":' * 9999,
        interruption(instance="i-XYZ"),
        interruption(instance="i-1\n"),
        interruption(instance=7),
        rebalance(instance=None),
        state_change("exploding"),
        state_change(None),
        state_change(instance="i-XYZ"),
        interruption(event_id=""),
        interruption(event_id="e\n"),
        interruption(event_id="e" * 129),
        interruption(event_id=7),
        interruption(time="yesterday"),
        interruption(time="Mon, 99 Sep 2026 14:13:20 GMT"),
        interruption(time=7),
        interruption(time="2" * 99),
        interruption(time=f"Mon,{' ' * 37}21 Sep 2026 14:13:20 GMT"),
        interruption(time=None),
        interruption() | {"detail": "text"},
        interruption() | {"detail": None},
    ],
)
def test_what_is_not_as_documented_is_malformed(message):
    assert refused(message) == "malformed"


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"Message": "{}", "Type": "Notification"},
        interruption(source="aws.s3"),
        interruption(source="evil"),
        interruption(source=["aws.ec2"]),
        event("EC2 Fleet Error", {}, event_id="e1"),
    ],
)
def test_what_somebody_else_wants_to_say_is_unknown(message):
    assert refused(message) == "unknown"


def test_a_message_is_read_up_to_its_bound_and_not_beyond():
    body = packed(interruption())
    padded = body + b" " * (MAX_BYTES - len(body))
    assert read_notice(padded, NOW) == read(interruption())
    assert refused(padded + b" ") == "huge"


@pytest.mark.parametrize(
    ("provider_id", "instance"),
    [
        ("aws:///us-east-1a/i-0abc", "i-0abc"),
        ("aws:////i-0abc", "i-0abc"),
        ("aws:///us-east-1a/fargate-ip-10-0-0-1", ""),
        ("kwok://node-1", ""),
        ("gce://p/z/i-0abc", ""),
        ("i-0abc", ""),
        ("", ""),
    ],
)
def test_an_instance_is_found_in_the_provider_id_of_aws_alone(provider_id, instance):
    assert instance_id_of(provider_id) == instance


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
_GOOD = (interruption(), rebalance(), state_change(), scheduled_change("i-1", "i-2"))


@st.composite
def nearly_good(draw) -> bytes:
    """An event with some fields replaced or gone, at the top and in its detail."""
    message = json.loads(json.dumps(draw(st.sampled_from(_GOOD))))
    for part in (message, message["detail"]):
        for name in draw(st.lists(st.sampled_from(sorted(part)), max_size=2)):
            part[name] = draw(_JSON)
    return json.dumps(message).encode()


@given(st.one_of(st.binary(max_size=300), _JSON.map(packed), nearly_good()))
@example(packed(interruption(time="0001-01-01T00:00:00+23:59")))
@example(packed(interruption(time="9999-12-31T23:59:59-23:59")))
@example(packed(interruption(instance="\ud800")))
def test_any_bytes_give_notices_that_hold_together_or_a_reason(body):
    found = read_notice(body, NOW)
    if isinstance(found, Reject):
        return
    assert found
    assert len({n.id for n in found}) == len({n.instance_id for n in found}) == len(found)
    for notice in found:
        assert notice.instance_id == instance_id_of(f"aws:///z/{notice.instance_id}")
        assert notice.at <= notice.received_at == NOW
        assert notice.until > notice.at or notice.deadline is not None


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("2026-09-21T14:13:20+00:00", T0),
        ("2026-09-21T14:13:20", T0),
        ("2026-09-21T16:13:20+02:00", T0),
        ("soon", 0.0),
        ("", 0.0),
    ],
)
def test_a_note_of_a_risk_counts_until_its_time_and_what_is_no_time_is_over(text, until):
    assert risk_until(text) == until
