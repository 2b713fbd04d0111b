"""What survives a restart as text: read back as it was, or refused in words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.messages import ControllerState, PoolState
from spotvortex.core.domain.types import Action, Mode
from spotvortex.core.pool.owner_rules import PoolRules
from spotvortex.core.record import state as record_state
from spotvortex.core.record.state import StateFormatError, from_text, to_text
from tests.core import odd
from tests.core.builders import AT

times = st.none() | st.floats(0.0, 4e9)
rules = st.builds(
    PoolRules,
    mode=st.none() | st.sampled_from(Mode),
    max_spot_ratio=st.none() | st.floats(0.0, 1.0),
    floor_nodes=st.none() | st.integers(0, 10_000),
    floor_vcpu=st.none() | st.integers(0, 10_000),
    problem=st.text(max_size=20),
)
states = st.builds(
    PoolState,
    target_ratio=st.none() | st.floats(0.0, 1.0),
    last_wave_at=times,
    last_decrease_at=times,
    last_increase_at=times,
    last_action=st.sampled_from(Action),
    n_failed_returns=st.integers(0, 99),
    n_probation=st.integers(1, 64),
    rules=rules,
    fell_from=st.none() | st.floats(0.0, 1.0),
    last_shift_at=times,
    shift_payback_s=st.floats(0.0, 7200.0),
)


@odd.many
@given(st.dictionaries(st.text(max_size=12), states, max_size=4), st.floats(0.0, 4e9))
def test_a_state_is_read_back_as_it_was(pools, unsure_until):
    state = ControllerState(pools=pools, unsure_until=unsure_until)
    assert from_text(to_text(state)) == state


GOOD = json.loads(to_text(ControllerState(pools={"web": PoolState(last_wave_at=AT)})))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ([], "not a state of version 2"),
        (GOOD | {"v": 3}, "not a state of version 2"),
        (GOOD | {"pools": []}, "pools and unsure_until are expected"),
        (GOOD | {"unsure_until": True}, "pools and unsure_until are expected"),
        (GOOD | {"unsure_until": "soon"}, "pools and unsure_until are expected"),
        (GOOD | {"pools": {"web": [1]}}, "a row of 11 values is expected"),
    ],
)
def test_a_text_that_is_no_state_is_refused_in_words(document, words):
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(StateFormatError, match=words):
        from_text(text)


def test_the_state_of_the_release_before_is_read():
    row = GOOD["pools"]["web"][:-2]
    text = json.dumps(GOOD | {"v": 1, "pools": {"web": row}})
    assert from_text(text).pools == {"web": PoolState(last_wave_at=AT)}


def test_of_too_many_pools_those_with_the_newest_waves_are_written(monkeypatch):
    monkeypatch.setattr(record_state, "MAX_POOLS", 2)
    pools = {"a": PoolState(), "b": PoolState(last_wave_at=AT), "c": PoolState(last_wave_at=AT + 1)}
    assert set(from_text(to_text(ControllerState(pools=pools))).pools) == {"b", "c"}


def test_five_hundred_pools_take_little_of_the_quarter_of_a_megabyte():
    long_rules = PoolRules(mode=Mode.CANARY, max_spot_ratio=0.3333, floor_nodes=12)
    state = PoolState(target_ratio=0.1234567890123, last_wave_at=AT + 0.125, rules=long_rules)
    pools = {f"a-pool-with-a-rather-long-name-{i}": state for i in range(500)}
    assert len(to_text(ControllerState(pools=pools))) < 100 * 1024
