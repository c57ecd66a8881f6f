"""DeformConv against its definition in float64, and against onnxruntime."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.check import check_node, one_node_model

import trimtab


def read_between(x, position):
    """Linear interpolation between the items of x, 0 outside."""
    total = 0.0
    if not np.isfinite(position).all():
        return total
    low = np.floor(np.clip(position, -1e9, 1e9)).astype(int)
    for corner in itertools.product([0, 1], repeat=x.ndim):
        at = low + corner
        weight = np.prod(np.where(corner, position - low, 1 - (position - low)))
        if np.all(at >= 0) and np.all(at < x.shape):
            total += weight * x[tuple(at)]
    return total


def deform_conv(x, w, offset, bias=None, mask=None, **attributes):
    """Output by output, as the specification says."""
    wide = [
        None if v is None else v.astype(np.float64) for v in (x, w, offset, bias, mask)
    ]
    wx, ww, wo, wb, wm = wide
    rank = x.ndim - 2
    strides = attributes.get("strides", [1] * rank)
    dilations = attributes.get("dilations", [1] * rank)
    pads = attributes.get("pads", [0] * 2 * rank)
    groups = attributes.get("group", 1)
    offset_groups = attributes.get("offset_group", 1)
    kernel, dst = w.shape[2:], offset.shape[2:]
    wo = wo.reshape(len(x), offset_groups, *kernel, rank, *dst)
    wm = None if wm is None else wm.reshape(len(x), offset_groups, *kernel, *dst)
    out = np.zeros((len(x), w.shape[0], *dst))
    for n, at in itertools.product(range(len(x)), np.ndindex(*dst)):
        for c, k in itertools.product(range(x.shape[1]), np.ndindex(*kernel)):
            g = c // (x.shape[1] // offset_groups)
            start = np.multiply(at, strides) - pads[:rank] + np.multiply(k, dilations)
            moves = wo[(n, g, *k, slice(None), *at)]
            item = read_between(wx[n, c], start + moves)
            if wm is not None:
                item *= wm[(n, g, *k, *at)]
            group, inner = divmod(c, w.shape[1])
            each = w.shape[0] // groups
            rows = slice(group * each, (group + 1) * each)
            out[(n, rows, *at)] += item * ww[(rows, inner, *k)]
    if wb is not None:
        out += wb.reshape(-1, *[1] * rank)
    return out.astype(x.dtype)


def inputs_of(rng, x_shape, w_shape, dtype="float32", *, scale=1.5, **attributes):
    """Weights, offsets, bias and mask that fit."""
    rank = len(x_shape) - 2
    kernel = np.array(w_shape[2:])
    pads = np.array(attributes.get("pads", [0] * 2 * rank))
    extent = (kernel - 1) * attributes.get("dilations", [1] * rank) + 1
    room = np.array(x_shape[2:]) + pads[:rank] + pads[rank:] - extent
    dst = room // attributes.get("strides", [1] * rank) + 1
    n = attributes.get("offset_group", 1) * int(np.prod(kernel))
    return [
        rng.standard_normal(x_shape).astype(dtype),
        rng.standard_normal(w_shape).astype(dtype),
        (scale * rng.standard_normal((x_shape[0], n * rank, *dst))).astype(dtype),
        rng.standard_normal(w_shape[0]).astype(dtype),
        rng.uniform(0, 1, (x_shape[0], n, *dst)).astype(dtype),
    ]


CASES = [
    ((2, 3, 6, 5), (4, 3, 3, 2), {}),
    ((1, 4, 7, 6), (6, 2, 3, 3), {"group": 2, "offset_group": 2, "pads": [1, 1, 1, 1]}),
    ((1, 4, 7, 6), (8, 1, 2, 2), {"group": 4}),
    (
        (2, 4, 8, 8),
        (3, 4, 2, 3),
        {"strides": [2, 1], "dilations": [1, 2], "offset_group": 4},
    ),
    ((1, 2, 9), (3, 2, 3), {"pads": [2, 0], "strides": [2]}),
    ((1, 2, 4, 3, 5), (2, 2, 2, 2, 2), {"pads": [1, 0, 1, 0, 1, 0], "offset_group": 2}),
]


@pytest.mark.parametrize(("x_shape", "w_shape", "attributes"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_windows_that_are_moved(rng, x_shape, w_shape, attributes, dtype):
    inputs = inputs_of(rng, x_shape, w_shape, dtype, **attributes)
    for bias, mask in [(True, True), (False, True), (True, False), (False, False)]:
        some = [*inputs[:3], inputs[3] if bias else None, inputs[4] if mask else None]
        expected = [deform_conv(*some, **attributes)]
        for constants in ([], [1]):
            check_node(
                "DeformConv",
                some,
                attributes,
                22,
                constants=constants,
                expected=expected,
            )


@settings(deadline=None)
@given(
    st.integers(1, 2),
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(0, 1),
    st.integers(1, 2),
    st.integers(0, 2**32 - 1),
)
def test_any_window(groups, offset_groups, size, pad, stride, seed):
    rng = np.random.default_rng(seed)
    channels = groups * offset_groups
    attributes = {
        "group": groups,
        "offset_group": offset_groups,
        "pads": [pad, 0, 0, pad],
        "strides": [stride, 1],
    }
    inputs = inputs_of(
        rng,
        (1, channels, 5, 4),
        (2 * groups, channels // groups, size, 2),
        **attributes,
    )
    expected = [deform_conv(*inputs, **attributes)]
    check_node("DeformConv", inputs, attributes, 19, expected=expected)


def test_result_is_that_of_onnxruntime(rng):
    attributes = {"pads": [1, 1, 1, 1], "group": 2, "offset_group": 2}
    inputs = inputs_of(rng, (2, 8, 12, 11), (6, 4, 3, 3), **attributes)
    check_node("DeformConv", inputs, attributes, 19)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("group", [1, 2])
def test_16_bit_floats(rng, dtype, group):
    inputs = inputs_of(rng, (1, 4, 5, 5), (4, 4 // group, 2, 2), dtype, group=group)
    expected = [deform_conv(*inputs, group=group)]
    check_node(
        "DeformConv", inputs, {"group": group}, 22, expected=expected, tolerance=2e-2
    )


def test_offsets_out_of_all_bounds_read_zeros(rng):
    x, w, offset, bias, mask = inputs_of(rng, (1, 2, 5, 5), (3, 2, 2, 2))
    far = [np.nan, np.inf, -np.inf, 1e30, -1e30, -1.0, 5.0, 2**40]
    offset[0, :, 0, 0] = far[: offset.shape[1]]
    offset[0, 0, 1, :] = -1 + 1e-6
    expected = [deform_conv(x, w, offset, bias, mask)]
    check_node("DeformConv", [x, w, offset, bias, mask], {}, 22, expected=expected)


def test_no_images_at_all():
    inputs = [np.zeros((0, 2, 5, 5), "f4"), np.zeros((3, 2, 2, 2), "f4")]
    inputs.append(np.zeros((0, 8, 4, 4), "f4"))
    check_node("DeformConv", inputs, {}, 22, expected=[np.zeros((0, 3, 4, 4), "f4")])


@pytest.mark.parametrize(
    ("change", "attributes", "message"),
    [
        ((0, (1, 3, 6, 6)), {}, "do not fit 1 groups"),
        ((0, (1, 4)), {}, "of rank 2"),
        ((2, (1, 8, 5, 4)), {}, "input 2 is"),
        ((2, (1, 4, 5, 5)), {}, "input 2 is"),
        ((3, (5,)), {}, "bias must have"),
        ((4, (1, 8, 5, 5)), {}, "input 4 is"),
        ((0, (1, 4, 6, 6)), {"group": 0}, "do not fit 0 groups"),
        ((0, (1, 4, 6, 6)), {"offset_group": 3}, "3 offset groups"),
        ((0, (1, 4, 6, 6)), {"strides": [0, 1]}, "strides"),
        ((0, (1, 4, 6, 6)), {"kernel_shape": [3, 2]}, "kernel_shape"),
    ],
)
def test_what_does_not_fit_is_refused(rng, change, attributes, message):
    inputs = inputs_of(rng, (1, 4, 6, 6), (3, 4, 2, 2))
    inputs[change[0]] = np.zeros(change[1], np.float32)
    model = one_node_model("DeformConv", inputs, attributes, 22)
    with pytest.raises(trimtab.TrimtabError, match=message):
        loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
        loaded.run({f"x{i}": x for i, x in enumerate(inputs)})
