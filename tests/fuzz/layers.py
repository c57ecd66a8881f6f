"""Templates of layers: products, convolutions, pools, normalisations, quantisation; and
of control flow and what depends on data."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from .builder import Builder, Stuck, Value
from .elementwise import partner, without_nan

_REAL = ("float32", "float64")


def real(b: Builder, rank: int, dtypes: tuple[str, ...] = ("float32",)) -> Value:
    """A value of this rank to compute with, or a new one."""
    if b.chance(60):
        try:
            return b.find(lambda v: v.rank == rank and v.dtype in dtypes)
        except Stuck:
            pass
    return b.fresh(b.choices.pick(dtypes), b.shape(rank), tame=b.chance(80))


def matmul(b: Builder) -> None:
    x = b.find(lambda v: v.dtype in (*_REAL, "float16") and v.rank in (1, 2, 3))
    k, n = x.shape[-1], b.dim()
    kind = b.choices.pick(("matrix", "matrix", "vector", "batch"))
    if kind == "vector" and x.rank > 1:
        y, shape = b.fresh(x.dtype, (k,), tame=True), x.shape[:-1]
    elif kind == "batch" and x.rank == 3:
        first = b.choices.pick((1, x.shape[0]))
        y = b.fresh(x.dtype, (first, k, n), tame=True)
        shape = (*x.shape[:-1], n)
    else:
        y, shape = b.fresh(x.dtype, (k, n), tame=True), (*x.shape[:-1], n)
    b.add("MatMul", [x, y], (x.dtype, shape))


def gemm(b: Builder) -> None:
    x = real(b, 2, _REAL)
    n, flips, flips_w = b.dim(), b.choices.integer(0, 1), b.choices.integer(0, 1)
    m, k = x.shape[::-1] if flips else x.shape
    w = b.fresh(x.dtype, (n, k) if flips_w else (k, n), tame=True)
    inputs = [x, w]
    if b.chance(60):
        shape = b.choices.pick(((n,), (1, n), (m, 1), (m, n), ()))
        inputs.append(b.fresh(x.dtype, shape, tame=True))
    alpha = b.choices.pick((1.0, 0.5, -2.0))
    more = {"transA": flips, "transB": flips_w, "alpha": alpha}
    b.add("Gemm", inputs, (x.dtype, (m, n)), beta=b.choices.pick((1.0, 0.5)), **more)


def conv(b: Builder) -> None:
    n_spatial = b.choices.integer(1, 3)
    group = b.choices.pick((1, 1, 2, 4))
    c, m = group * b.choices.integer(1, 3), group * b.choices.integer(1, 3)
    size = [b.choices.integer(1, 7) for _ in range(n_spatial)]
    kernel = [b.choices.integer(1, 3) for _ in size]
    stride = [b.choices.integer(1, 2) for _ in size]
    dilation = [b.choices.integer(1, 2) for _ in size]
    pads = [b.choices.integer(0, 1) for _ in range(2 * n_spatial)]
    out = [
        (n + p + q - d * (k - 1) - 1) // s + 1
        for n, p, q, d, k, s in zip(
            size, pads, pads[n_spatial:], dilation, kernel, stride, strict=False
        )
    ]
    if min(out) < 1:
        raise Stuck
    batch = b.choices.pick((1, 2, 0))
    x = b.fresh("float32", (batch, c, *size), tame=b.chance(90))
    w = b.fresh("float32", (m, c // group, *kernel), tame=True)
    bias = [b.fresh("float32", (m,), tame=True)] if b.chance(50) else []
    b.add(
        "Conv",
        [x, w, *bias],
        ("float32", (batch, m, *out)),
        group=group,
        strides=stride,
        dilations=dilation,
        pads=pads,
    )


def conv_transpose(b: Builder) -> None:
    c, m = b.choices.integer(1, 3), b.choices.integer(1, 3)
    h, w, k = (b.choices.integer(1, 5) for _ in range(3))
    stride = b.choices.integer(1, 2)
    x = b.fresh("float32", (1, c, h, w), tame=True)
    weight = b.fresh("float32", (c, m, k, k), tame=True)
    shape = (1, m, (h - 1) * stride + k, (w - 1) * stride + k)
    b.add("ConvTranspose", [x, weight], ("float32", shape), strides=[stride] * 2)


def pool(b: Builder) -> None:
    h, w = b.choices.integer(1, 8), b.choices.integer(1, 8)
    kernel = [b.choices.integer(1, min(3, n)) for n in (h, w)]
    stride = [b.choices.integer(1, 2) for _ in kernel]
    pads = [b.choices.integer(0, min(1, k - 1)) for k in (*kernel, *kernel)]
    out = [
        (n + p + q - k) // s + 1
        for n, p, q, k, s in zip((h, w), pads, pads[2:], kernel, stride, strict=False)
    ]
    n, c = b.choices.pick((1, 2)), b.choices.integer(1, 5)
    x = b.fresh("float32", (n, c, h, w), tame=True)
    name = b.choices.pick(("MaxPool", "AveragePool"))
    more = {"count_include_pad": b.choices.integer(0, 1)} if name[0] == "A" else {}
    b.add(
        name,
        [x],
        ("float32", (n, c, *out)),
        exact=name == "MaxPool",
        kernel_shape=kernel,
        strides=stride,
        pads=pads,
        **more,
    )


def global_pool(b: Builder) -> None:
    x = b.find(lambda v: v.dtype == "float32" and v.rank in (3, 4) and v.size > 0)
    name = b.choices.pick(("GlobalAveragePool", "GlobalMaxPool"))
    x = without_nan(b, x) if name == "GlobalMaxPool" else x
    shape = (*x.shape[:2], *[1] * (x.rank - 2))
    b.add(name, [x], ("float32", shape), exact=name == "GlobalMaxPool")


def softmax(b: Builder) -> None:
    x = b.find(lambda v: v.dtype in (*_REAL, "float16") and v.rank > 0)
    axis = b.choices.integer(-x.rank, x.rank - 1)
    name = b.choices.pick(("Softmax", "LogSoftmax"))
    b.add(name, [x], (x.dtype, x.shape), axis=axis)


def batch_norm(b: Builder) -> None:
    x = b.find(lambda v: v.dtype == "float32" and v.rank in (2, 3, 4))
    c = x.shape[1]
    scale, bias, mean = (b.fresh("float32", (c,), tame=True) for _ in range(3))
    variance = b.given(np.abs(b.array("float32", (c,), tame=True)) + np.float32(0.5))
    inputs = [x, scale, bias, mean, variance]
    b.add("BatchNormalization", inputs, (x.dtype, x.shape))


def layer_norm(b: Builder) -> None:
    if b.opset < 17:
        raise Stuck
    x = b.find(lambda v: v.dtype == "float32" and v.rank > 1 and v.size > 0)
    scale = b.fresh("float32", x.shape[-1:], tame=True)
    bias = [b.fresh("float32", x.shape[-1:], tame=True)] if b.chance(60) else []
    b.add("LayerNormalization", [x, scale, *bias], (x.dtype, x.shape), axis=-1)


def instance_norm(b: Builder) -> None:
    n, c = b.choices.integer(1, 2), b.choices.integer(1, 4)
    x = b.fresh("float32", (n, c, *b.shape(b.choices.integer(1, 2))), tame=True)
    if x.size == 0:
        raise Stuck
    pair = [b.fresh("float32", (c,), tame=True) for _ in range(2)]
    b.add("InstanceNormalization", [x, *pair], (x.dtype, x.shape))


def quantize(b: Builder) -> None:
    """To 8 bits and back; scales are powers of two, so that no engine rounds them."""
    x = b.find(lambda v: v.dtype == "float32" and v.exact and v.rank > 0)
    x = without_nan(b, x)
    scale = b.given(np.array(b.choices.pick((0.125, 0.25, 0.5)), np.float32))
    dtype = b.choices.pick(("uint8", "int8"))
    point = b.given(np.array(b.choices.pick((0, 3, 100)), dtype))
    q = b.add("QuantizeLinear", [x, scale, point], (dtype, x.shape), exact=True)
    b.add("DequantizeLinear", [q, scale, point], ("float32", x.shape), exact=True)


def matmul_integer(b: Builder) -> None:
    x = b.find(lambda v: v.dtype == "uint8" and v.rank == 2)
    w = b.fresh(b.choices.pick(("int8", "uint8")), (x.shape[1], b.dim()))
    shape = (x.shape[0], w.shape[1])
    b.add("MatMulInteger", [x, w], ("int32", shape), exact=True)


def einsum(b: Builder) -> None:
    x = real(b, 2)
    y = b.fresh("float32", (x.shape[1], b.dim()), tame=True)
    shape = (y.shape[1], x.shape[0])
    b.add("Einsum", [x, y], ("float32", shape), equation="ij,jk->ki")


# ---- control flow, and shapes that depend on data ------------------------------------


def _branch(b: Builder, x: Value, op: str, y: Value) -> object:
    """A graph that reads two values of the outer one."""
    name = b.name()
    code = helper.np_dtype_to_tensor_dtype(np.dtype(x.dtype))
    out = helper.make_tensor_value_info(name, code, None)
    node = helper.make_node(op, [x.name, y.name], [name])
    b.read.update((x.name, y.name))
    return helper.make_graph([node], f"g{name}", [], [out])


def if_(b: Builder) -> None:
    x = b.find(lambda v: v.dtype == "float32" and v.rank > 0)
    y = partner(b, x)
    shape = tuple(np.broadcast_shapes(x.shape, y.shape))
    taken = b.given(np.array(b.chance(50)), b.chance(50))
    first, second = (b.choices.pick(("Add", "Mul", "Sub")) for _ in range(2))
    b.add(
        "If",
        [taken],
        ("float32", shape),
        then_branch=_branch(b, x, first, y),
        else_branch=_branch(b, x, second, y),
    )


def loop(b: Builder) -> None:
    """A state that is added to, and a row for each trip."""
    x = b.find(lambda v: v.dtype == "float32" and v.rank > 0)
    n_trips = b.choices.integer(0, 3)
    trip, go, state, kept, row, new = (b.name() for _ in range(6))
    b.read.add(x.name)
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", [go], [kept]),
            helper.make_node("Add", [state, x.name], [new]),
            helper.make_node("Neg", [new], [row]),
        ],
        f"body{row}",
        [
            info(trip, TensorProto.INT64, []),
            info(go, TensorProto.BOOL, []),
            info(state, TensorProto.FLOAT, list(x.shape)),
        ],
        [
            info(kept, TensorProto.BOOL, []),
            info(new, TensorProto.FLOAT, list(x.shape)),
            info(row, TensorProto.FLOAT, list(x.shape)),
        ],
    )
    count = b.given(np.array(n_trips, np.int64), b.chance(50))
    begin = b.fresh("float32", x.shape, tame=True)
    b.add(
        "Loop",
        [count, b.given(np.array(True)), begin],
        ("float32", x.shape),
        ("float32", (n_trips, *x.shape)),
        body=body,
    )


def by_data(b: Builder) -> None:
    """A shape that only the data tells; reduced to one that is known."""
    x = b.find(lambda v: v.exact and v.rank > 0 and v.dtype in ("float32", "int64"))
    # the shapes told are for the generator alone: what is read next has them right
    name = b.choices.pick(("NonZero", "Compress"))
    if name == "NonZero":
        found = b.add("NonZero", [x], ("int64", (x.rank, 1)), exact=True)
    else:
        mask = b.fresh("bool", (x.size,))
        found = b.add("Compress", [x, mask], (x.dtype, (1,)), exact=True, moved=True)
    b.values.remove(found)
    size = b.add("Shape", [found], ("int64", (found.rank,)), exact=True)
    total = b.add("ReduceSum", [found], (found.dtype, (1,) * found.rank))
    if b.chance(50):
        b.add("Mul", [size, b.ints([2])], ("int64", size.shape), exact=True)
    assert total


TEMPLATES = (
    matmul,
    matmul,
    gemm,
    conv,
    conv,
    conv_transpose,
    pool,
    global_pool,
    softmax,
    batch_norm,
    layer_norm,
    instance_norm,
    quantize,
    matmul_integer,
    einsum,
    if_,
    loop,
    by_data,
)
