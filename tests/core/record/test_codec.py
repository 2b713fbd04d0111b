"""What is written is read back the very same; what is not ours says where it is wrong."""

import json
import math
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotvortex.core.decision.messages import Basis, Verdict
from spotvortex.core.domain.types import GateName, Offering, Outcome
from spotvortex.core.record.codec import CodecError, decode, encode, fold, unfold
from spotvortex.core.record.schema import SCHEMA
from tests.core import odd
from tests.core.builders import basis

texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "@", "@0", "@@1", "long-word-1", "long-word-2", "n1.compute.internal", "us-east-1a"]
    ),
)
LEAVES = {
    bool: st.booleans(),
    int: st.integers(),
    float: st.one_of(odd.odd_floats, st.integers(-5, 5)),
    str: texts,
    Offering: st.builds(Offering, instance_type=texts, zone=texts),
}


def any_of(kind):
    """A strategy for any value of a type of the core, as absurd as the type lets it be."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(st.none() if p is type(None) else any_of(p) for p in parts))
    if origin is tuple:
        if parts[-1] is Ellipsis:
            return st.lists(any_of(parts[0]), max_size=2).map(tuple)
        return st.tuples(*map(any_of, parts))
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{f.name: any_of(hints[f.name]) for f in fields(kind)})
    return st.sampled_from(kind) if issubclass(kind, Enum) else LEAVES[kind]


def through_json(data):
    return json.loads(json.dumps(data, allow_nan=False))


def written(data):
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def recorded(value):
    """A value as it stands in a record."""
    return encode(value, SCHEMA.rows)


@odd.many
@given(any_of(Basis))
def test_a_basis_is_read_back_and_written_again_the_same(made):
    again = decode(Basis, through_json(recorded(made)), SCHEMA.rows)
    assert repr(again) == repr(made)
    assert "nan" in repr(made) or again == made
    assert written(recorded(again)) == written(recorded(made))


def test_a_named_tuple_is_an_object_by_field_name_unless_rows_name_its_columns():
    offering = Offering(instance_type="m6i.large", zone="us-east-1a")
    as_object = {"instance_type": "m6i.large", "zone": "us-east-1a"}
    assert encode(offering) == as_object
    assert decode(Offering, as_object) == offering
    as_row = ["us-east-1a", "m6i.large"]
    rows = {Offering: ("zone", "instance_type")}
    assert encode(offering, rows) == as_row
    assert decode(Offering, as_row, rows) == offering


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    name: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    ratio: float
    n: int
    ok: bool
    pairs: tuple[tuple[str, int], ...] = ()
    inner: tuple[Inner, ...] = ()
    least: float | None = None


ROWS = {Inner: ("name", "outcome")}
SOUND = {"ratio": 0.5, "n": 1, "ok": True, "pairs": [], "inner": [], "least": None}


def test_rows_are_arrays_and_all_else_is_an_object():
    made = Outer(
        ratio=0.5, n=1, ok=True, pairs=(("a", 1),), inner=(Inner(name="x", outcome=Outcome.ALLOW),)
    )
    assert encode(made, ROWS) == SOUND | {"pairs": [["a", 1]], "inner": [["x", "allow"]]}


@pytest.mark.parametrize(
    ("value", "text"), [(math.nan, "NaN"), (math.inf, "inf"), (-math.inf, "-inf")]
)
def test_a_figure_that_is_not_finite_is_a_text(value, text):
    assert encode(value) == text
    assert str(decode(Outer, SOUND | {"ratio": text}).ratio) == str(value)


def test_a_whole_number_in_a_figures_place_stays_one():
    assert written(encode(decode(Outer, SOUND | {"ratio": 60}))) == written(SOUND | {"ratio": 60})


def test_what_has_no_form_is_refused_by_its_type():
    for value, name in (({}, "dict"), (frozenset(), "frozenset"), (object(), "object")):
        with pytest.raises(CodecError, match=f"{name} has no form in a record"):
            encode((value,))
    with pytest.raises(CodecError, match="type has no form"):
        encode(Outer)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"ratio": "0.5"}, r"Outer\.ratio: a number"),
        ({"ratio": "nan"}, r"Outer\.ratio: a number"),
        ({"ratio": True}, r"Outer\.ratio: a number"),
        ({"ratio": None}, r"Outer\.ratio: a number"),
        ({"ratio": []}, r"Outer\.ratio: a number"),
        ({"ratio": math.nan}, r"Outer\.ratio: a finite number"),
        ({"ratio": math.inf}, r"Outer\.ratio: a finite number"),
        ({"ratio": 10**400}, r"Outer\.ratio: a finite number"),
        ({"least": "low"}, r"Outer\.least: a number"),
        ({"n": 1.0}, r"Outer\.n: int is expected, not float"),
        ({"n": True}, r"Outer\.n: int is expected, not bool"),
        ({"ok": 1}, r"Outer\.ok: bool is expected, not int"),
        ({"pairs": None}, r"Outer\.pairs: an array"),
        ({"pairs": {"a": 1}}, r"Outer\.pairs: an array"),
        ({"pairs": [["a", 1], ["b"]]}, r"Outer\.pairs\[1\]: 2 values"),
        ({"pairs": [["a", "1"]]}, r"Outer\.pairs\[0\]\[1\]: int is expected, not str"),
        ({"inner": [["x", "allow"], ["y"]]}, r"Outer\.inner\[1\]: a row of 2 values"),
        ({"inner": [{"name": "x", "outcome": "allow"}]}, r"Outer\.inner\[0\]: a row of 2"),
        ({"inner": [["x", "maybe"]]}, r"Outer\.inner\[0\]\.outcome: 'maybe' is none of allow"),
        ({"inner": [["x", ["allow"]]]}, r"Outer\.inner\[0\]\.outcome: \['allow'\] is none of"),
        ({"inner": [[None, "allow"]]}, r"Outer\.inner\[0\]\.name: str is expected, not NoneType"),
        ({"new": 1}, "Outer: exactly the fields ratio, n, ok, pairs, inner, least"),
    ],
)
def test_what_cannot_be_read_names_its_place(change, place):
    with pytest.raises(CodecError, match=f"^{place}"):
        decode(Outer, SOUND | change, ROWS)


@pytest.mark.parametrize("name", SOUND)
def test_a_missing_field_is_an_error_even_where_it_has_a_default(name):
    with pytest.raises(CodecError, match=r"^Outer: exactly the fields"):
        decode(Outer, {key: value for key, value in SOUND.items() if key != name})


@pytest.mark.parametrize("data", [None, [], "text", 1])
def test_what_is_no_object_is_no_record(data):
    with pytest.raises(CodecError, match=r"^Outer: exactly the fields"):
        decode(Outer, data)


def places(data, path=()):
    """The path of every member and item, outermost first."""
    yield path
    for key in data if isinstance(data, dict) else range(len(data)) if type(data) is list else ():
        yield from places(data[key], (*path, key))


def changed(data, path, change: Callable):
    if not path:
        return change(data)
    copy = data.copy()
    copy[path[0]] = changed(copy[path[0]], path[1:], change)
    return copy


WRONG = st.sampled_from([None, True, -1, 0.5, "text", [], ["a"], {}, {"a": 1}, 10**400, "@7"])
ENCODED = through_json(encode(basis(), SCHEMA.rows))
PLACES = tuple(places(ENCODED))


@odd.many
@given(st.sampled_from(PLACES), WRONG)
def test_a_changed_basis_is_read_as_what_it_is_or_refused(path, wrong):
    data = changed(ENCODED, path, lambda _: wrong)
    try:
        made = decode(Basis, data, SCHEMA.rows)
    except CodecError as error:
        refused = str(error)
    else:
        refused = ""
        assert written(recorded(made)) == written(data)
    assert not refused or refused.startswith("Basis")


json_texts = st.recursive(
    texts, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(texts, inner, max_size=4)
)


@odd.many
@given(json_texts)
def test_what_is_folded_unfolds_to_the_same(data):
    folded, words = fold(data)
    assert unfold(through_json(folded), through_json(words)) == data
    assert len(set(words)) == len(words)


def test_common_texts_beginnings_and_ends_are_written_once():
    data = ["checkout-api", "checkout-api", "checkout-api-x1", "ip-1.eu.internal", "a.eu.internal"]
    assert fold(["12345678"] * 2) == (["@0", "@0"], ["12345678"])
    assert fold(["1234567"] * 2) == (["1234567", "1234567"], [])
    folded, words = fold([*data, "short", "short", "me@work"])
    assert folded == ["@0", "@0", "@0-x1", "ip-1.@1", "a.@1", "short", "short", "me@@work"]
    assert words == ["checkout-api", "eu.internal"]


@pytest.mark.parametrize("text", ["@1", "@", "a.@", "@x", "@00", "@\u0661"])
def test_a_reference_to_no_word_is_refused(text):
    with pytest.raises(CodecError, match="words: there is no @"):
        unfold({"a": [text]}, ["only"])


@pytest.mark.parametrize("words", [None, "word", {"@0": "word"}, [1], [["word"]]])
def test_words_that_are_no_texts_are_refused(words):
    with pytest.raises(CodecError, match="words: an array of texts"):
        unfold("@0", words)


def test_a_verdict_is_a_row():
    made = Verdict(gate=GateName.FIT, outcome=Outcome.REFUSE, reason="r", numbers=(("n", 1),))
    assert recorded(made) == ["fit", "refuse", "r", None, [["n", 1]]]
    assert decode(Verdict, through_json(recorded(made)), SCHEMA.rows) == made


def test_a_field_without_a_column_is_not_written_and_has_its_default_when_it_is_read():
    before = {Outer: ("ratio", "n", "ok"), Inner: ("outcome", "name")}
    made = Outer(ratio=0.5, n=1, ok=True)
    assert encode(replace(made, least=0.1), before) == [0.5, 1, True]
    assert decode(Outer, [0.5, 1, True], before) == made
    assert encode(Inner(name="x", outcome=Outcome.ALLOW), before) == ["allow", "x"]
    assert decode(Inner, ["allow", "x"], before) == Inner(name="x", outcome=Outcome.ALLOW)
