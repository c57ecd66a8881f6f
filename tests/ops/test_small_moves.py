"""8-bit floats and types below a byte: what moves them, files, arrays at the door."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.ops.small import BITS, SMALL, codes_of, model_of, same_bits

import trimtab
from trimtab.graph import Constant
from trimtab.packed import pack, unpack
from trimtab.types import numpy_dtype

# ---- operators that only move elements -----------------------------------------------


def moved(name):
    """Nodes of every kind that moves elements, and what NumPy makes of x."""
    x = np.resize(codes_of(name), (2, 3, 4))
    i64 = numpy_helper.from_array

    def ints(values, label):
        return i64(np.array(values, np.int64), label)

    node = helper.make_node
    yield [node("Identity", ["x"], ["y"])], [], x
    yield [node("Reshape", ["x", "s"], ["y"])], [ints([4, 6], "s")], x.reshape(4, 6)
    yield [node("Transpose", ["x"], ["y"], perm=[2, 0, 1])], [], x.transpose(2, 0, 1)
    yield [node("Concat", ["x", "x"], ["y"], axis=1)], [], np.concatenate([x, x], 1)
    slices = [
        ints([1, 3], "b"),
        ints([3, 0], "e"),
        ints([1, 2], "a"),
        ints([1, -2], "t"),
    ]
    yield [node("Slice", ["x", "b", "e", "a", "t"], ["y"])], slices, x[:, 1:3, 3:0:-2]
    yield (
        [node("Gather", ["x", "i"], ["y"], axis=2)],
        [ints([3, 0], "i")],
        x[..., [3, 0]],
    )
    yield (
        [node("Expand", ["x", "s"], ["y"])],
        [ints([2, 2, 3, 4], "s")],
        np.stack([x, x]),
    )
    yield [node("Unsqueeze", ["x", "a"], ["y"])], [ints([0], "a")], x[None]
    yield [node("Flatten", ["x"], ["y"], axis=2)], [], x.reshape(6, 4)
    yield (
        [node("Tile", ["x", "r"], ["y"])],
        [ints([1, 2, 1], "r")],
        np.tile(x, (1, 2, 1)),
    )
    pads = ints([0, 1, 0, 0, 0, 2], "p")
    yield (
        [node("Pad", ["x", "p"], ["y"], mode="edge")],
        [pads],
        np.pad(x.view(np.uint8), ((0, 0), (1, 0), (0, 2)), "edge").view(x.dtype),
    )


@pytest.mark.parametrize("name", SMALL)
def test_elements_are_moved_as_they_are(name):
    for nodes, initializers, want in moved(name):
        model = model_of(
            nodes,
            {"x": (name, [2, 3, 4])},
            {"y": (name, None)},
            initializers=initializers,
        )
        model = trimtab.load_model(model.SerializeToString(), fallback=False)
        got = model(np.resize(codes_of(name), (2, 3, 4)))
        assert got.dtype == SMALL[name], nodes[0].op_type
        assert got.shape == want.shape, nodes[0].op_type
        same_bits(got, np.ascontiguousarray(want))


@pytest.mark.parametrize("name", SMALL)
def test_constants_and_bodies_hold_small_elements(name):
    x = np.resize(codes_of(name), (3, 5))
    constant = numpy_helper.from_array(x, "c")

    def branch(label, source):
        nodes = [helper.make_node("Identity", [source], [label])]
        value = helper.make_tensor_value_info(label, getattr(TensorProto, name), [3, 5])
        return helper.make_graph(nodes, label, [], [value])

    nodes = [
        helper.make_node("Constant", [], ["k"], value=constant),
        helper.make_node(
            "If",
            ["flag"],
            ["y"],
            then_branch=branch("then", "k"),
            else_branch=branch("else", "x"),
        ),
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node(
            "ConstantOfShape",
            ["s"],
            ["z"],
            value=numpy_helper.from_array(x[0, 1:2], "v"),
        ),
    ]
    model = model_of(
        nodes,
        {"flag": ("BOOL", []), "x": (name, [3, 5])},
        {"y": (name, None), "z": (name, None)},
    )
    model = trimtab.load_model(model.SerializeToString(), fallback=False)
    other = np.ascontiguousarray(x[::-1])
    got = model.run({"flag": np.array(True), "x": other})
    same_bits(got["y"], x)
    same_bits(got["z"], np.full((3, 5), x[0, 1]))
    same_bits(model.run({"flag": np.array(False), "x": other})["y"], other)


# ---- files ---------------------------------------------------------------------------


def stored(name, x, form):
    """An initializer of x in one of the places that ONNX has for it."""
    tensor = numpy_helper.from_array(x, "w")
    if form == "raw":
        return tensor
    code = getattr(TensorProto, name)
    return helper.make_tensor("w", code, x.shape, x)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 6, 7, 9])
@pytest.mark.parametrize("form", ["raw", "typed"])
@pytest.mark.parametrize("name", SMALL)
def test_initializers_of_every_length_are_read(name, form, n):
    x = np.resize(codes_of(name)[::-1], n)
    tensor = stored(name, x, form)
    node = helper.make_node("Identity", ["w"], ["y"])
    model = model_of([node], {}, {"y": (name, [n])}, initializers=[tensor])
    got = trimtab.load_model(model.SerializeToString()).run({})["y"]
    assert got.dtype == x.dtype
    same_bits(got, numpy_helper.to_array(tensor))


@pytest.mark.parametrize("extra", [-1, 1, 3])
@pytest.mark.parametrize("name", SMALL)
def test_raw_data_of_another_length_is_refused(name, extra):
    tensor = numpy_helper.from_array(np.resize(codes_of(name), 9), "w")
    tensor.raw_data = (tensor.raw_data + bytes(3))[: len(tensor.raw_data) + extra]
    node = helper.make_node("Identity", ["w"], ["y"])
    model = model_of([node], {}, {"y": (name, [9])}, initializers=[tensor])
    with pytest.raises(trimtab.ModelFormatError, match="it has"):
        trimtab.load_model(model.SerializeToString())


def test_numbers_that_are_no_element_are_refused():
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT6E2M3, dims=[2])
    node = helper.make_node("Identity", ["w"], ["y"])
    for items, match in (([1, 64], "no float6e2m3"), ([1], "expected 2")):
        del tensor.int32_data[:]
        tensor.int32_data.extend(items)
        model = model_of([node], {}, {"y": ("FLOAT6E2M3", [2])}, initializers=[tensor])
        with pytest.raises(trimtab.ModelFormatError, match=match):
            trimtab.load_model(model.SerializeToString())


@pytest.mark.parametrize("name", SMALL)
def test_an_artefact_keeps_small_elements(name, tmp_path):
    x = np.resize(codes_of(name)[::-1], (3, 7))
    node = helper.make_node("Concat", ["x", "w"], ["y"], axis=0)
    model = model_of(
        [node],
        {"x": (name, ["N", 7])},
        {"y": (name, None)},
        initializers=[numpy_helper.from_array(x, "w")],
    )
    first = trimtab.load_model(model.SerializeToString())
    inputs = {"x": np.ascontiguousarray(x[::-1])}
    first.save(tmp_path / "m.trimtab", golden=[inputs])
    second = trimtab.load_model(tmp_path / "m.trimtab")
    same_bits(second.run(inputs)["y"], first.run(inputs)["y"])
    assert second.inputs[0].dtype == first.inputs[0].dtype == name.lower()


def test_a_tensor_that_unpacking_makes_too_large_is_refused():
    x = np.zeros(1000, ml_dtypes.uint2)
    node = helper.make_node("Identity", ["w"], ["y"])
    model = model_of(
        [node],
        {},
        {"y": ("UINT2", [1000])},
        initializers=[numpy_helper.from_array(x, "w")],
    )
    limits = trimtab.Limits(max_tensor_bytes=999)
    with pytest.raises(trimtab.ModelLimitError, match="1000 bytes"):
        trimtab.load_model(model.SerializeToString(), limits=limits)


# ---- at the door ---------------------------------------------------------------------


def test_another_dtype_is_refused_with_what_to_write():
    for given_, name in ((np.int8, "INT4"), (np.uint8, "UINT4"), (np.float16, "UINT2")):
        with pytest.raises(trimtab.InputTypeError, match=r"ml_dtypes\.u?int[24]"):
            node = helper.make_node("Identity", ["x"], ["y"])
            model = model_of([node], {"x": (name, ["N"])}, {"y": (name, ["N"])})
            trimtab.load_model(model.SerializeToString())(np.ones(2, given_))


def test_operators_without_a_meaning_for_small_types_say_so():
    for op_type, target in (("Add", "FLOAT8E5M2"), ("NonZero", "INT4")):
        names = ["x", "x"] if op_type == "Add" else ["x"]
        node = helper.make_node(op_type, names, ["y"])
        out = target if op_type == "Add" else "INT64"
        model = model_of([node], {"x": (target, [2])}, {"y": (out, None)})
        with pytest.raises(trimtab.TrimtabError, match=target.lower()):
            loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
            loaded(np.ones(2, SMALL[target]))


def test_the_reference_agrees_on_every_type():
    """The names of ONNX's codes are ours."""
    for name in SMALL:
        code = getattr(TensorProto, name)
        assert onnx.helper.tensor_dtype_to_np_dtype(code) == np.dtype(SMALL[name])
        assert trimtab.graph.DTYPES[name.lower()] == (code, BITS.get(name, 8))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([2, 4, 6]), st.binary(max_size=40))
def test_packing_is_undone_by_unpacking_and_is_that_of_onnx(bits, content):
    codes = np.frombuffer(content, np.uint8) & ((1 << bits) - 1)
    packed = pack(codes, bits)
    dtype = {2: ml_dtypes.uint2, 4: ml_dtypes.uint4, 6: ml_dtypes.float6_e2m3fn}[bits]
    tensor = numpy_helper.from_array(codes.view(dtype), "w")
    assert packed.tobytes() == tensor.raw_data
    np.testing.assert_array_equal(unpack(packed, bits, codes.size), codes)


def test_an_old_ml_dtypes_gives_bits(monkeypatch):
    monkeypatch.delattr(ml_dtypes, "float4_e2m1fn")
    assert numpy_dtype("float4e2m1") == np.uint8
    assert numpy_dtype("int4") == ml_dtypes.int4


def test_constants_are_made_of_arrays_and_give_them_back():
    for name, dtype in SMALL.items():
        x = np.resize(codes_of(name), (3, 3))
        constant = Constant.of(x[:, ::-1])
        assert constant.dtype == name.lower()
        assert constant.n_bytes == -(-9 * BITS.get(name, 8) // 8)
        assert constant.numpy().dtype == dtype
        same_bits(constant.numpy(), np.ascontiguousarray(x[:, ::-1]))
        bits = Constant.of(x.view(np.uint8), name.lower())
        same_bits(bits.numpy(), x)
