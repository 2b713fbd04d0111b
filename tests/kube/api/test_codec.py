"""Reading what servers send, well formed or not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from spotvortex.errors import ServerError
from spotvortex.kube.api.wire import karpenter as karpenter_wire
from spotvortex.kube.api.wire import objects as wire
from spotvortex.kube.api.wire import owners as owner_wire
from spotvortex.kube.api.wire.codec import Codec, read_event, read_key, read_status, read_version
from spotvortex.kube.cache.nodes import node_pool_fact, row_of
from spotvortex.kube.cache.pods import record_of
from tests.kube.objects import node, node_pool, pdb, pod, replica_set

CODECS = [
    Codec(kind)
    for kind in (wire.Pod, wire.Node, wire.Pdb, owner_wire.Owner, karpenter_wire.NodePool)
]
SAMPLES = [pod("a"), node("a"), pdb("a", {}), replica_set("a", "b"), node_pool("a")]


def encoded(plain):
    return json.dumps(plain).encode()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def paths_of(plain, prefix=()):
    """List the path of every value in a plain object."""
    found = [prefix] if prefix else []
    items = plain.items() if isinstance(plain, dict) else enumerate(plain)
    for key, value in items if isinstance(plain, dict | list) else ():
        found.append((*prefix, key))
        if isinstance(value, dict | list):
            found += paths_of(value, (*prefix, key))
    return found


def with_value(plain, path, value):
    """Return a copy with another value at a path."""
    copy = json.loads(json.dumps(plain))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


@given(st.data(), json_values)
def test_one_object_with_any_other_value_never_costs_its_neighbours(data, value):
    index = data.draw(st.sampled_from(range(len(CODECS))))
    sample = SAMPLES[index]
    odd = with_value(sample, data.draw(st.sampled_from(paths_of(sample))), value)
    page = CODECS[index].page(encoded({"metadata": {}, "items": [sample, odd, sample]}))
    assert len(page.objects) + len(page.skipped) == 3
    assert len(page.skipped) <= 1


@given(st.data())
def test_any_field_may_be_null(data):
    index = data.draw(st.sampled_from(range(len(CODECS))))
    sample = SAMPLES[index]
    path = data.draw(st.sampled_from(paths_of(sample)))
    obj = CODECS[index].object(Raw(encoded(with_value(sample, path, None))))
    if obj is None:
        return
    match obj:
        case wire.Pod():
            record_of(obj.metadata.key, obj, lambda *_: 1)
        case wire.Node():
            row_of(obj)
        case karpenter_wire.NodePool():
            node_pool_fact(obj)


def test_a_bare_name_is_enough_for_every_kind():
    for codec in CODECS:
        obj = codec.object(Raw(b'{"metadata":{"name":"a"}}'))
        assert obj is not None
        assert obj.metadata.key == "a"


@pytest.mark.parametrize("items", [None, []])
def test_a_list_without_items_is_empty(items):
    page = CODECS[0].page(encoded({"metadata": {"resourceVersion": "5"}, "items": items}))
    assert (page.objects, page.version, page.token) == ([], "5", "")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"items": [', b"[]", b'{"items": {}}', b"\xff"])
def test_what_is_no_list_is_an_error(body):
    with pytest.raises(ServerError, match="unreadable list"):
        CODECS[0].page(body)


@given(st.binary(max_size=40))
def test_any_bytes_are_an_event_or_an_error(line):
    try:
        event = read_event(line)
    except ServerError:
        return
    assert event.type


@given(st.binary(max_size=40))
def test_any_error_body_is_a_status_or_nothing(body):
    assert read_status(body).message is None


def test_a_status_is_read_only_where_it_says_it_is_one():
    assert read_status(b'{"kind":"Status","message":"no"}').message == "no"
    assert read_status(b'{"kind":"Secret","message":"no"}').message is None


def test_the_key_of_any_object_can_be_read():
    assert read_key(Raw(b'{"metadata":{"name":"a","namespace":"b"},"spec":7}')) == "b/a"
    assert read_key(Raw(b'{"metadata":{"name":7}}')) == ""


def test_the_version_of_any_object_can_be_read():
    assert read_version(Raw(b'{"metadata":{"resourceVersion":"7"}}')) == "7"
    assert read_version(Raw(b'{"metadata":7}')) == ""
