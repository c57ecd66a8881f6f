"""Scan against a loop in NumPy: axes, directions, captures, strings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import trimtab

F32 = TensorProto.FLOAT


def value(name, dtype=F32):
    return helper.make_tensor_value_info(name, dtype, None)


def scan_model(**attributes):
    """Running sums of a, times a captured w, and b as it is."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["sum", "a"], ["next"]),
            helper.make_node("Mul", ["next", "w"], ["y"]),
            helper.make_node("Identity", ["b"], ["z"]),
        ],
        "body",
        [value("sum"), value("a"), value("b")],
        [value("next"), value("y"), value("z")],
    )
    node = helper.make_node(
        "Scan",
        ["start", "as", "bs"],
        ["end", "ys", "zs"],
        body=body,
        num_scan_inputs=2,
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "g",
        [value("start"), value("as"), value("bs"), value("w")],
        [value("end"), value("ys"), value("zs")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return trimtab.load_model(model.SerializeToString(), fallback=False)


@given(
    st.integers(0, 4),
    st.lists(st.sampled_from([-2, -1, 0, 1]), min_size=2, max_size=2),
    st.lists(st.integers(0, 1), min_size=2, max_size=2),
    st.lists(st.sampled_from([-2, -1, 0, 1]), min_size=2, max_size=2),
    st.lists(st.integers(0, 1), min_size=2, max_size=2),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_scan_cuts_and_stacks_along_any_axis_in_any_direction(
    n, in_axes, in_back, out_axes, out_back, is_strided
):
    rng = np.random.default_rng(n)
    model = scan_model(
        scan_input_axes=in_axes,
        scan_input_directions=in_back,
        scan_output_axes=out_axes,
        scan_output_directions=out_back,
    )
    a, b = (
        np.moveaxis(rng.standard_normal((n, 3)).astype(np.float32), 0, axis)
        for axis in in_axes
    )
    if not is_strided:
        a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    start, w = rng.standard_normal(3).astype(np.float32), np.float32(2)
    end, ys, zs = model(start, a, b, w)

    slices = [
        np.moveaxis(x, axis, 0)[:: -1 if back else 1]
        for x, axis, back in zip((a, b), in_axes, in_back, strict=True)
    ]
    now, want_y, want_z = start, [], []
    for i in range(n):
        now = now + slices[0][i]
        want_y.append(now * w)
        want_z.append(slices[1][i])
    np.testing.assert_array_equal(end, now)
    if n == 0:
        assert 0 in ys.shape
        assert 0 in zs.shape
        return
    for got, want, axis, back in zip(
        (ys, zs), (want_y, want_z), out_axes, out_back, strict=True
    ):
        stacked = np.stack(want[::-1] if back else want)
        np.testing.assert_array_equal(got, np.moveaxis(stacked, 0, axis))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"scan_input_axes": [0]}, "scan_input_axes has 1 items, expected 2"),
        ({"scan_input_axes": [0, 5]}, "axis 5"),
        ({"scan_input_directions": [0, 2]}, "is 2, expected 0 or 1"),
        ({"scan_output_axes": [0, 3]}, "axis 3"),
    ],
)
def test_attributes_that_do_not_fit_are_refused(attributes, message):
    a = np.zeros((2, 3), np.float32)
    model = scan_model(**attributes)
    with pytest.raises(trimtab.TrimtabError, match=message):
        model(np.zeros(3, np.float32), a, a, np.float32(1))


def test_inputs_of_different_lengths_are_refused():
    a = np.zeros((2, 3), np.float32)
    with pytest.raises(trimtab.InputError, match="2 and 1 slices"):
        scan_model()(np.zeros(3, np.float32), a, a[:1], np.float32(1))


def test_too_many_slices_are_refused():
    body = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["y"])], "body", [value("a")], [value("y")]
    )
    node = helper.make_node("Scan", ["x"], ["z"], body=body, num_scan_inputs=1)
    graph = helper.make_graph([node], "g", [value("x")], [value("z")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model = trimtab.load_model(
        model.SerializeToString(), limits=trimtab.Limits(max_trip_count=3)
    )
    x = np.arange(3, dtype=np.float32)
    np.testing.assert_array_equal(model(x), x)
    with pytest.raises(trimtab.TrimtabError, match="max_trip_count"):
        model(np.zeros(4, np.float32))
