"""The walker finds every tensor that lies in another file, and trusts no byte."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.onnx_ml_pb2 import ModelProto, SparseTensorProto

from spotvortex.errors import ModelContractError
from spotvortex.model.external import External, external_tensors
from tests.model.bundles import SHIPPED, graph_with_outside_weights, linear_graph


def outside(name: str) -> TensorProto:
    """A tensor that lies in a file of that name."""
    tensor = numpy_helper.from_array(np.zeros(4, dtype=np.float32), "t")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", name
    return tensor


def sparse(name: str) -> SparseTensorProto:
    made = SparseTensorProto()
    made.dims.extend([4])
    made.values.CopyFrom(outside(f"{name}.values"))
    made.indices.CopyFrom(outside(f"{name}.indices"))
    return made


def in_attribute(model: ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("value", outside("a")))


def in_attribute_list(model: ModelProto) -> None:
    made = model.graph.node[0].attribute.add(name="list", type=9)
    made.tensors.append(outside("a"))


def in_subgraph(model: ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [], [outside("a")])
    model.graph.node[0].attribute.append(helper.make_attribute("body", inner))


def in_subgraph_of_subgraph(model: ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [], [outside("a")])
    node = helper.make_node("If", [], [], then_branch=inner)
    outer = helper.make_graph([node], "outer", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", outer))


def in_subgraph_list(model: ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [], [outside("a")])
    made = model.graph.node[0].attribute.add(name="list", type=10)
    made.graphs.append(inner)


def in_function(model: ModelProto) -> None:
    node = helper.make_node("Constant", [], ["y"], value=outside("a"))
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("d", "f", [], ["y"], [node], opset))


def in_function_default(model: ModelProto) -> None:
    in_function(model)
    node = model.functions[0].node[0]
    model.functions[0].attribute_proto.append(node.attribute[0])
    del node.attribute[:]


def in_training(model: ModelProto) -> None:
    made = model.training_info.add()
    made.initialization.CopyFrom(helper.make_graph([], "i", [], [], [outside("a")]))


def in_algorithm(model: ModelProto) -> None:
    made = model.training_info.add()
    made.algorithm.CopyFrom(helper.make_graph([], "i", [], [], [outside("a")]))


@pytest.mark.parametrize(
    "put",
    [
        in_attribute,
        in_attribute_list,
        in_subgraph,
        in_subgraph_of_subgraph,
        in_subgraph_list,
        in_function,
        in_function_default,
        in_training,
        in_algorithm,
    ],
)
def test_tensor_is_found_wherever_the_format_lets_it_lie(put: Callable[[ModelProto], None]) -> None:
    model = linear_graph([[1.0, 1.0]])
    put(model)
    assert external_tensors(model.SerializeToString()) == (External(location="a"),)


def test_both_halves_of_a_sparse_tensor_are_found() -> None:
    model = linear_graph([[1.0, 1.0]])
    model.graph.sparse_initializer.append(sparse("s"))
    model.graph.node[0].attribute.add(name="one", type=11).sparse_tensor.CopyFrom(sparse("one"))
    model.graph.node[0].attribute.add(name="many", type=12).sparse_tensors.append(sparse("many"))
    found = {tensor.location for tensor in external_tensors(model.SerializeToString())}
    assert found == {f"{n}.{half}" for n in ("s", "one", "many") for half in ("values", "indices")}


def test_place_in_the_file_is_read() -> None:
    model, content = graph_with_outside_weights("weights.data")
    model.graph.initializer[0].external_data[1].value = "64"
    assert external_tensors(model.SerializeToString()) == (
        External(location="weights.data", offset=64, n_bytes=len(content)),
    )


def test_name_counts_even_where_the_tensor_does_not_say_that_it_lies_there() -> None:
    model, _ = graph_with_outside_weights("weights.data")
    model.graph.initializer[0].ClearField("data_location")
    assert [t.location for t in external_tensors(model.SerializeToString())] == ["weights.data"]


def test_graph_of_the_shipped_bundle_opens_nothing() -> None:
    assert external_tensors((SHIPPED / "age_hazard.onnx").read_bytes()) == ()


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"\x3a\x05ab", "cut short"),
        (b"\x3a", "does not end"),
        (b"\xff" * 11, "does not end"),
        (b"\x3b", "unknown kind"),
        (b"\x3d\x00\x00", "cut short"),
    ],
)
def test_bytes_that_are_no_graph_are_refused(raw: bytes, told: str) -> None:
    with pytest.raises(ModelContractError, match=told):
        external_tensors(raw)


@pytest.mark.parametrize("value", ["-1", "", "1e3", "٣", "9" * 30])
def test_place_that_is_no_number_is_refused(value: str) -> None:
    model, _ = graph_with_outside_weights("weights.data")
    model.graph.initializer[0].external_data[1].value = value
    with pytest.raises(ModelContractError, match="no number of bytes"):
        external_tensors(model.SerializeToString())


def test_name_that_is_no_text_is_refused() -> None:
    model, _ = graph_with_outside_weights("weights.data")
    raw = model.SerializeToString().replace(b"weights.data", b"weights.\xff\xfe\xfd\xfc")
    with pytest.raises(ModelContractError, match="not UTF-8"):
        external_tensors(raw)


def test_nesting_of_any_depth_is_walked() -> None:
    deep = b""
    for _ in range(3000):  # graph > node > attribute > graph
        for field in (6, 5, 1):
            size = bytearray()
            rest = len(deep)
            while rest >= 0x80:
                size.append(rest & 0x7F | 0x80)
                rest >>= 7
            size.append(rest)
            deep = bytes([field << 3 | 2]) + bytes(size) + deep
    assert external_tensors(deep) == ()


@given(st.binary(max_size=400))
@example(b"\x3a\x02\x2a\x00")
def test_no_bytes_make_it_fail_in_another_way(raw: bytes) -> None:
    with contextlib.suppress(ModelContractError):
        external_tensors(raw)


@given(st.data())
def test_no_damage_to_a_graph_makes_it_fail_in_another_way(data: st.DataObject) -> None:
    model, _ = graph_with_outside_weights("weights.data")
    in_subgraph(model)
    raw = bytearray(model.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for damaged in (bytes(raw), bytes(raw[:cut])):
        with contextlib.suppress(ModelContractError):
            external_tensors(damaged)
