"""Quantised tensors are moved, pooled and joined as bytes, with the same result.

`passes=[]` runs every operator as the model says, in float32; moving, taking maxima and
rounding one element are exact, so bytes must agree to the bit.  onnxruntime divides by
the scale as we do, and is a second opinion.
"""

from __future__ import annotations

import numpy as np
import onnx.helper as oh
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.check import run_with_isa

import trimtab

from .graphs import model, node
from .test_passes import reference

Array = np.ndarray
OPSET = 21
SCALES = {"sa": np.float32(0.031), "sb": np.float32(0.25)}
ZEROS = {"za": 128, "zb": 7}


def constants(dtype: type) -> dict[str, Array]:
    shift = 128 if dtype == np.int8 else 0
    return {
        **{k: np.array(v, np.float32) for k, v in SCALES.items()},
        **{k: np.array(v - shift, dtype) for k, v in ZEROS.items()},
    }


def integers(rng: np.random.Generator, dtype: type, *shape: int) -> Array:
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def op_types(content: bytes, inputs: dict[str, Array]) -> list[str]:
    loaded = trimtab.load_model(content, fallback=False, threads=1)
    return [n.op_type for n in loaded.profile(inputs).nodes]


def run(content: bytes, inputs: dict[str, Array], **options: object) -> dict:
    loaded = trimtab.load_model(content, fallback=False, **options)
    first = loaded.run(inputs)
    again = loaded.run(inputs)
    for name, value in first.items():
        np.testing.assert_array_equal(again[name], value)
    return first


def check(content: bytes, inputs: dict[str, Array]) -> None:
    got = run(content, inputs)
    for want in (run(content, inputs, passes=[]), reference(content, inputs)):
        assert list(got) == list(want)
        for name in want:
            assert got[name].dtype == want[name].dtype
            np.testing.assert_array_equal(got[name], want[name], err_msg=name)


# ---- graphs drawn at random -----------------------------------------------------


class Drawing:
    """A graph under construction: float values of known shape, nodes, constants."""

    def __init__(self, dtype: type) -> None:
        self.nodes: list = []
        self.constants = constants(dtype)
        self.values: dict[str, tuple[int, ...]] = {}
        self.n = 0

    def add(self, op: str, inputs: str, shape: tuple[int, ...], **attrs: object) -> str:
        self.n += 1
        name = f"v{self.n}"
        self.nodes.append(node(op, inputs, name, **attrs))
        self.values[name] = shape
        return name

    def constant(self, value: Array) -> str:
        self.n += 1
        self.constants[f"c{self.n}"] = value
        return f"c{self.n}"

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))


def reshape(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    to = (s[0], s[1] * s[2], s[3])
    flat = d.add("Reshape", f"{x} {d.ints(*to)}", to)
    d.add("Reshape", f"{flat} {d.ints(*s)}", s)


def transpose(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    d.add("Transpose", x, (s[0], s[2], s[3], s[1]), perm=[0, 2, 3, 1])


def max_pool(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    d.add("MaxPool", x, s, kernel_shape=[3, 3], pads=[1] * 4)


def concat(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    others = [v for v, shape in d.values.items() if shape == s]
    d.add("Concat", f"{x} {others[0]}", (s[0], 2 * s[1], *s[2:]), axis=1)


def slice_(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    inputs = f"{x} {d.ints(0)} {d.ints(max(1, s[1] - 1))} {d.ints(1)}"
    d.add("Slice", inputs, (s[0], max(1, s[1] - 1), *s[2:]))


def split(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    d.n += 2
    names = [f"v{d.n - 1}", f"v{d.n}"]
    left = (s[1] + 1) // 2
    parts = d.ints(left, s[1] - left)
    d.nodes.append(node("Split", f"{x} {parts}", " ".join(names), axis=1))
    d.values[names[0]] = (s[0], left, *s[2:])
    if s[1] > left:
        d.values[names[1]] = (s[0], s[1] - left, *s[2:])


def pad(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    pads = d.ints(0, 0, 1, 0, 0, 0, 0, 2)
    d.add("Pad", f"{x} {pads}", (*s[:2], s[2] + 1, s[3] + 2))


def pad_edge(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    pads = d.ints(0, 0, 1, 0, 0, 0, 0, 2)
    d.add("Pad", f"{x} {pads}", (*s[:2], s[2] + 1, s[3] + 2), mode="edge")


def pad_one(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    one = d.constant(np.array(1.0, np.float32))
    pads = d.ints(0, 0, 0, 1, 0, 0, 0, 0)
    d.add("Pad", f"{x} {pads} {one}", (*s[:3], s[3] + 1))


def resize(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    scales = d.constant(np.array([1, 1, 2, 1], np.float32))
    # an empty second input: no region of interest
    d.n += 1
    d.nodes.append(oh.make_node("Resize", [x, "", scales], [f"v{d.n}"], mode="nearest"))
    d.values[f"v{d.n}"] = (*s[:2], 2 * s[2], s[3])


def gather(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    d.add("Gather", f"{x} {d.ints(0, s[3] - 1)}", (*s[:3], 2), axis=3)


def squeeze(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    wide = d.add("Unsqueeze", f"{x} {d.ints(1)}", (s[0], 1, *s[1:]))
    d.add("Squeeze", f"{wide} {d.ints(1)}", s)


def tile(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    d.add("Tile", f"{x} {d.ints(1, 1, 1, 2)}", (*s[:3], 2 * s[3]))


def depth(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    twice = d.add("Tile", f"{x} {d.ints(1, 4, 1, 1)}", (s[0], 4 * s[1], *s[2:]))
    d.add("DepthToSpace", twice, (s[0], s[1], 2 * s[2], 2 * s[3]), blocksize=2)


def relu(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    d.add("Relu", x, s)


def add(d: Drawing, x: str, s: tuple[int, ...]) -> None:
    others = [v for v, shape in d.values.items() if shape == s]
    d.add("Add", f"{x} {others[0]}", s)


STEPS = [
    reshape, transpose, max_pool, concat, slice_, split, pad, pad_edge, pad_one,
    resize, gather, squeeze, tile, depth, relu, add,
]  # fmt: skip


@st.composite
def graphs(draw: st.DrawFn) -> tuple[bytes, dict[str, Array]]:
    dtype = draw(st.sampled_from([np.uint8, np.int8]))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    d = Drawing(dtype)
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 5)), 3, 4)
    inputs = {f"q{i}": integers(rng, dtype, *shape) for i in range(3)}
    for i in range(3):
        which = draw(st.sampled_from("aab"))
        d.add("DequantizeLinear", f"q{i} s{which} z{which}", shape)
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=6)):
        candidates = [
            v for v, s in d.values.items() if len(s) == 4 and np.prod(s) < 4e4
        ]
        at = draw(st.integers(max(0, len(candidates) - 3), len(candidates) - 1))
        step(d, candidates[at], d.values[candidates[at]])
        if draw(st.integers(0, 2)) == 0:
            x = list(d.values)[-1]
            which = draw(st.sampled_from("ab"))
            d.n += 1
            d.nodes.append(node("QuantizeLinear", f"{x} s{which} z{which}", f"i{d.n}"))
            d.add("DequantizeLinear", f"i{d.n} s{which} z{which}", d.values[x])
    outputs = []
    for i in range(draw(st.integers(1, 2))):
        x = draw(st.sampled_from(list(d.values)[-3:]))
        if draw(st.booleans()):
            which = draw(st.sampled_from("ab"))
            d.nodes.append(node("QuantizeLinear", f"{x} s{which} z{which}", f"o{i}"))
        else:
            d.nodes.append(node("Identity", x, f"o{i}"))
        outputs.append(f"o{i}")
    return model(d.nodes, inputs, outputs, d.constants, opset=OPSET, symbols=False)


@settings(max_examples=70, deadline=None)
@given(graphs())
def test_graphs_of_moves_agree_to_the_bit(case: tuple[bytes, dict]) -> None:
    check(*case)


# ---- what is left to do ------------------------------------------------------------


def between(
    middle: list,
    inputs: int,
    after: str = "a",
    before: str = "a",
    shape: tuple[int, ...] = (1, 8, 6, 6),
    **more: Array,
) -> tuple[bytes, dict[str, Array]]:
    """DequantizeLinear of x0, x1, ..., the nodes, QuantizeLinear of y."""
    rng = np.random.default_rng(0)
    heads = [
        node("DequantizeLinear", f"q{i} s{before} z{before}", f"x{i}")
        for i in range(inputs)
    ]
    tail = node("QuantizeLinear", f"y s{after} z{after}", "o")
    return model(
        [*heads, *middle, tail],
        {f"q{i}": integers(rng, np.uint8, *shape) for i in range(inputs)},
        ["o"],
        {**constants(np.uint8), **more},
        opset=OPSET,
    )


MOVES = {
    "Transpose": [node("Transpose", "x0", "y", perm=[0, 2, 3, 1])],
    "MaxPool": [node("MaxPool", "x0", "y", kernel_shape=[2, 2], strides=[2, 2])],
    "Concat": [node("Concat", "x0 x1", "y", axis=1)],
    "Reshape": [node("Flatten", "x0", "y")],
}


@pytest.mark.parametrize("name", MOVES)
def test_nothing_is_dequantised_around_a_move(name: str) -> None:
    content, inputs = between(MOVES[name], 2 if name == "Concat" else 1)
    check(content, inputs)
    seen = " ".join(op_types(content, inputs))
    assert "Linear" not in seen, seen


def test_a_concatenation_of_other_scales_requantises_in_place() -> None:
    content, inputs = between(MOVES["Concat"], 2, before="b")
    check(content, inputs)
    assert "Concat" in " ".join(op_types(content, inputs))


def test_a_residual_sum_is_one_loop_over_bytes() -> None:
    middle = [node("Add", "x0 x1", "s"), node("Relu", "s", "y")]
    content, inputs = between(middle, 2, after="b")
    check(content, inputs)
    seen = op_types(content, inputs)
    assert len(seen) == 1, seen
    assert seen[0].count("Linear") == 3, seen


def test_a_tensor_that_two_loops_read_stays_bytes() -> None:
    rng = np.random.default_rng(0)
    nodes = [
        node("DequantizeLinear", "q sa za", "x"),
        node("Relu", "x", "r"),
        node("QuantizeLinear", "r sa za", "o"),
        node("Exp", "x", "e"),
        node("QuantizeLinear", "e sb zb", "p"),
    ]
    inputs = {"q": integers(rng, np.uint8, 2, 3, 4)}
    content, inputs = model(nodes, inputs, ["o", "p"], constants(np.uint8), opset=OPSET)
    got, want = run(content, inputs), reference(content, inputs)
    np.testing.assert_array_equal(got["o"], want["o"])
    assert np.abs(got["p"].astype(int) - want["p"].astype(int)).max() <= 1
    assert len(op_types(content, inputs)) == 2


@pytest.mark.parametrize("quantised_first", [False, True])
def test_padding_of_quantised_zeros_joins_the_convolution(quantised_first) -> None:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    names = ("x", "d", "d", "c") if quantised_first else ("p", "c", "x", "p")
    head = [
        node("QuantizeLinear", f"{names[0]} sa za", "q"),
        node("DequantizeLinear", "q sa za", names[1]),
    ]
    pad_node = node("Pad", f"{names[2]} pads", names[3])
    nodes = [*head, pad_node] if quantised_first else [pad_node, *head]
    content, inputs = model(
        [*nodes, node("Conv", "c w", "y")],
        {"x": rng.standard_normal((1, 3, 7, 8)).astype(np.float32)},
        ["y"],
        {
            **constants(np.uint8),
            "w": weights,
            "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        },
        opset=OPSET,
    )
    got, want = run(content, inputs)["y"], reference(content, inputs)["y"]
    np.testing.assert_allclose(got, want, atol=1e-4)
    assert "Pad" not in op_types(content, inputs)


def test_huge_scales_are_left_alone() -> None:
    """255 * scale overflows: an integer does not come back as it was."""
    rng = np.random.default_rng(0)
    nodes = [
        node("DequantizeLinear", "q s z", "x"),
        node("QuantizeLinear", "x s z", "o"),
    ]
    content, inputs = model(
        nodes,
        {"q": integers(rng, np.uint8, 40)},
        ["o"],
        {"s": np.array(3e38, np.float32), "z": np.array(3, np.uint8)},
        opset=OPSET,
    )
    got, want = run(content, inputs)["o"], run(content, inputs, passes=[])["o"]
    np.testing.assert_array_equal(got, want)


# ---- means -------------------------------------------------------------------------

ISAS = ["scalar", "avx2", "avx512"]


def mean_case(
    dtype: type,
    shape: tuple[int, ...],
    axes: tuple[int, ...] | None,
    last: bool,
    keep: int = 1,
) -> tuple[bytes, dict[str, Array]]:
    """A mean over axes, or over all spatial dims; `last`: of a channels-last tensor."""
    rng = np.random.default_rng(5)
    nodes, x = [], "q"
    if last:
        nodes.append(node("Transpose", "q", "t", perm=[0, 3, 1, 2]))
        shape, x = (shape[0], *shape[2:], shape[1]), "t"
    nodes.append(node("DequantizeLinear", f"{x} sa za", "x"))
    more = {}
    if axes is None:
        nodes.append(node("GlobalAveragePool", "x", "y"))
    else:
        more["axes"] = np.array(axes, np.int64)
        nodes.append(node("ReduceMean", "x axes", "y", keepdims=keep))
    inputs = {"q": integers(rng, dtype, *shape)}
    return model(
        nodes, inputs, ["y"], {**constants(dtype), **more}, opset=OPSET, symbols=False
    )


def mean_of(inputs: dict, dtype: type, axes, last: bool, keep: int = 1) -> Array:
    q = inputs["q"].astype(np.float64)
    q = q.transpose(0, 3, 1, 2) if last else q
    zero = constants(dtype)["za"].astype(np.float64)
    axes = tuple(range(2, q.ndim)) if axes is None else axes
    return ((q - zero) * np.float64(SCALES["sa"])).mean(axes, keepdims=bool(keep))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([np.uint8, np.int8]),
    st.tuples(*[st.integers(1, 9)] * 4),
    st.one_of(
        st.none(),
        st.sets(st.integers(-4, 3), min_size=1, max_size=3).filter(
            lambda axes: len({a % 4 for a in axes}) == len(axes)
        ),
    ),
    st.booleans(),
    st.integers(0, 1),
)
def test_means_agree_with_float64(dtype, shape, axes, last, keep) -> None:
    axes = None if axes is None else tuple(axes)
    content, inputs = mean_case(dtype, shape, axes, last, keep)
    got = run(content, inputs)["y"]
    want = mean_of(inputs, dtype, axes, last, keep if axes else 1)
    np.testing.assert_allclose(got, want, rtol=3e-7, atol=1e-7)
    assert "DequantizeLinear" not in " ".join(op_types(content, inputs))


def check_large_means() -> None:
    """More columns than a block, more rows than 16 bits of sums hold."""
    for dtype in (np.uint8, np.int8):
        for last in (False, True):
            shape = (2, 700, 31, 29)
            content, inputs = mean_case(dtype, shape, None, last)
            inputs["q"][0] = np.iinfo(dtype).max
            got = run(content, inputs)["y"]
            want = mean_of(inputs, dtype, None, last)
            np.testing.assert_allclose(got, want, rtol=3e-7, atol=1e-7)


@pytest.mark.parametrize("isa", ISAS)
def test_large_means_agree_on_every_isa(isa: str) -> None:
    code = "from tests.plan.test_integer import check_large_means as check; check()"
    run_with_isa(isa, code)


# ---- QuantizeLinear and DequantizeLinear themselves ----------------------------------


def quantise(x: Array, scale: Array, zero: Array) -> Array:
    """By the definition, in the arithmetic of the scale: quotients of float32."""
    info = np.iinfo(zero.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        q = np.rint(x / scale) + zero.astype(np.float64)
    q = np.where(np.isnan(q), info.min, q)
    return np.clip(q, info.min, info.max).astype(zero.dtype)


def check_linear(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dtype = [np.uint8, np.int8, np.uint16, np.int16][rng.integers(4)]
    shape = tuple(int(n) for n in rng.integers(1, 40, rng.integers(1, 5)))
    if len(shape) < 3 and rng.integers(2):
        shape = (*shape, int(rng.integers(500, 1500)))
    axis = int(rng.integers(len(shape)))
    sizes: tuple[int, ...] = () if rng.integers(3) == 0 else (shape[axis],)
    side = [1] * len(shape)
    if sizes:
        side[axis] = shape[axis]
    info = np.iinfo(dtype)
    scale = np.exp(rng.uniform(-4, 1, sizes)).astype(np.float32)
    zero = np.asarray(rng.integers(info.min, info.max + 1, sizes), dtype)
    wide = scale.reshape(side) if sizes else scale
    steps = rng.integers(-300, 300, shape) / 2 * (1 if info.max < 256 else 256)
    x = (steps * wide).astype(np.float32)  # ties, and their neighbours
    x = (x.view(np.int32) + rng.integers(-3, 4, shape).astype(np.int32)).view(x.dtype)
    odd = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-40], np.float32)
    at = rng.random(shape) < 0.02
    x[at] = rng.choice(odd, int(at.sum()))
    if len(shape) == 4 and rng.integers(2):
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    content, inputs = model(
        [
            node("QuantizeLinear", "x s z", "q", axis=axis),
            node("DequantizeLinear", "q s z", "y", axis=axis),
        ],
        {"x": x},
        ["q", "y"],
        {"s": scale, "z": zero},
        opset=OPSET,
        symbols=False,
    )
    got = run(content, inputs)
    wide_zero = zero.reshape(side) if sizes else zero
    want = quantise(x, wide, wide_zero)
    np.testing.assert_array_equal(got["q"], want)
    exact = (want.astype(np.float64) - wide_zero) * wide.astype(np.float64)
    np.testing.assert_allclose(got["y"], exact, rtol=3e-7, atol=1e-30)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**20))
def test_quantising_agrees_with_the_definition(seed: int) -> None:
    check_linear(seed)


@pytest.mark.parametrize("isa", ISAS)
def test_quantising_agrees_on_every_isa(isa: str) -> None:
    code = (
        "from tests.plan.test_integer import check_linear as check\n"
        "for seed in range(30): check(seed)"
    )
    run_with_isa(isa, code)
