"""A record says its fields by a table; one schema before the present one is read and replayed."""

import json
import typing
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given

from spotvortex.core.decision.messages import Basis, PoolState, Proposal, Verdict
from spotvortex.core.decision.offerings.choice import AvoidedOffering
from spotvortex.core.decision.offerings.expected_cost import OfferingCost
from spotvortex.core.decision.offerings.shift import Shift
from spotvortex.core.decision.reconcile import decide
from spotvortex.core.domain.types import Action
from spotvortex.core.drain.hedge import Hedge
from spotvortex.core.pool.input import PoolInput
from spotvortex.core.record.codec import decode, encode
from spotvortex.core.record.counterfactual import Counterfactual
from spotvortex.core.record.record import record_of
from spotvortex.core.record.replay import replay
from spotvortex.core.record.schema import BEFORE, READABLE, SCHEMA
from tests.core import odd
from tests.core.builders import AT, basis, pool_input

KEPT = tuple((Path(__file__).parent / "kept" / "schema-9.jsonl").read_text().splitlines())
"""Records that a release with schema 9 wrote."""


def classes_in(kind, found=None):
    """Every dataclass and named tuple that a value of a type may hold."""
    found = set() if found is None else found
    for part in typing.get_args(kind):
        classes_in(part, found)
    if (is_dataclass(kind) or hasattr(kind, "_fields")) and kind not in found:
        found.add(kind)
        for hint in typing.get_type_hints(kind).values():
            classes_in(hint, found)
    return found


def test_every_class_of_a_record_has_a_row_but_the_basis_itself():
    made = (Counterfactual, OfferingCost, AvoidedOffering, Shift, Hedge)
    held = set.union(*map(classes_in, (Basis, Verdict, Proposal, *made)))
    assert held - {Basis} == set(SCHEMA.rows)


@pytest.mark.parametrize("kind", SCHEMA.rows)
def test_every_field_is_written_once(kind):
    assert sorted(SCHEMA.rows[kind]) == sorted(typing.get_type_hints(kind))


@pytest.mark.parametrize("kind", BEFORE.rows)
def test_what_was_not_written_before_has_a_default(kind):
    names = set(typing.get_type_hints(kind))
    assert set(BEFORE.rows[kind]) <= names
    by_name = {field.name: field for field in fields(kind)} if is_dataclass(kind) else {}
    for name in names - set(BEFORE.rows[kind]):
        missing = by_name[name].default, by_name[name].default_factory
        assert missing != (MISSING, MISSING), name


def test_two_schemas_are_read_the_present_one_and_the_one_before():
    assert {SCHEMA.version: SCHEMA, BEFORE.version: BEFORE} == READABLE
    assert BEFORE.version == SCHEMA.version - 1
    assert (BEFORE.members, BEFORE.rows) != (SCHEMA.members, SCHEMA.rows)


@pytest.mark.parametrize("line", KEPT)
def test_a_record_of_the_release_before_is_made_again_byte_for_byte(line):
    assert json.loads(line)["v"] == BEFORE.version
    found = replay(line)
    assert found.same, found.remade
    assert "hedge" not in json.loads(line)


def test_the_kept_records_hold_every_action():
    assert {Action(json.loads(line)["action"]) for line in KEPT} == set(Action)


def test_an_old_record_that_was_altered_is_found():
    altered = KEPT[0].replace('"n_nodes":1', '"n_nodes":2')
    assert altered != KEPT[0]
    assert not replay(altered).same


def test_a_field_more_is_a_column_more_and_old_records_replay():
    """What CONTRIBUTING says to do, done backwards: a schema without two columns of two classes."""
    older = replace(
        SCHEMA,
        version=SCHEMA.version - 1,
        rows={
            **SCHEMA.rows,
            PoolInput: tuple(n for n in SCHEMA.rows[PoolInput] if n != "consolidates"),
            PoolState: tuple(n for n in SCHEMA.rows[PoolState] if n != "fell_from"),
        },
    )
    made = basis(pool_input(n_anchored=2), state=PoolState(last_wave_at=AT - 900.0))
    line = record_of(decide(made), "", "0.1.0", older).line
    assert len(line) < len(record_of(decide(made), "", "0.1.0").line)
    data = json.loads(json.dumps(encode(made, older.rows)))
    assert decode(Basis, data, older.rows) == made
    again = record_of(decide(decode(Basis, data, older.rows)), "", "0.1.0", older)
    assert again.line == line


@odd.many
@given(odd.assessments)
def test_what_the_schema_before_can_say_is_read_back_the_same(assessed):
    for data in assessed.pools:
        made = basis(data)
        row = json.loads(json.dumps(encode(made, BEFORE.rows)))
        assert repr(decode(Basis, row, BEFORE.rows)) == repr(made)
