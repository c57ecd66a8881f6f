"""Templates of nodes that move elements, and of those that read or make shapes."""

from __future__ import annotations

import math

import numpy as np

from .builder import FLOATS, INTS, Builder, Stuck, Value

_ANY = (*FLOATS, *INTS, "bool")


def anything(b: Builder, rank: int = 0) -> Value:
    return b.find(lambda v: v.dtype in _ANY and v.rank >= rank)


def reshape(b: Builder) -> None:
    x = anything(b)
    shape = list(x.shape)
    if x.rank > 1 and b.chance(60):  # two dims become one
        at = b.choices.integer(0, x.rank - 2)
        shape[at : at + 2] = [shape[at] * shape[at + 1]]
    else:
        shape.insert(b.choices.integer(0, x.rank), 1)
    written = list(shape)
    if x.size and b.chance(40):
        written[b.choices.integer(0, len(shape) - 1)] = -1
    more = {"allowzero": 1} if b.opset >= 14 and 0 in shape else {}
    if 0 in shape and not more:
        raise Stuck
    b.add(
        "Reshape",
        [x, b.ints(written)],
        (x.dtype, tuple(shape)),
        exact=True,
        moved=True,
        **more,
    )


def transpose(b: Builder) -> None:
    x = anything(b, 1)
    order = list(range(x.rank))
    for i in range(x.rank - 1, 0, -1):
        k = b.choices.integer(0, i)
        order[i], order[k] = order[k], order[i]
    shape = tuple(x.shape[i] for i in order)
    b.add("Transpose", [x], (x.dtype, shape), exact=True, moved=True, perm=order)


def flatten(b: Builder) -> None:
    x = anything(b)
    axis = b.choices.integer(0, x.rank)
    shape = (math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
    b.add("Flatten", [x], (x.dtype, shape), exact=True, moved=True, axis=axis)


def squeeze(b: Builder) -> None:
    x = b.find(lambda v: 1 in v.shape and v.dtype in _ANY)
    axes = [i for i, n in enumerate(x.shape) if n == 1 and b.chance(60)]
    if not axes:
        raise Stuck
    shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    b.add("Squeeze", [x, b.ints(axes)], (x.dtype, shape), exact=True, moved=True)


def unsqueeze(b: Builder) -> None:
    x = anything(b)
    if x.rank > 4:
        raise Stuck
    axis = b.choices.integer(0, x.rank)
    shape = (*x.shape[:axis], 1, *x.shape[axis:])
    written = axis - len(shape) if b.chance(30) else axis
    b.add("Unsqueeze", [x, b.ints([written])], (x.dtype, shape), exact=True, moved=True)


def concat(b: Builder) -> None:
    x = anything(b, 1)
    axis = b.choices.integer(0, x.rank - 1)
    others = []
    for _ in range(b.choices.integer(0, 3)):
        shape = list(x.shape)
        shape[axis] = b.dim()
        others.append(x if b.chance(20) else b.fresh(x.dtype, tuple(shape)))
    n = sum(v.shape[axis] for v in (x, *others))
    shape = (*x.shape[:axis], n, *x.shape[axis + 1 :])
    written = axis - x.rank if b.chance(30) else axis
    b.add(
        "Concat", [x, *others], (x.dtype, shape), exact=True, moved=True, axis=written
    )


def split(b: Builder) -> None:
    x = anything(b, 1)
    axis = b.choices.integer(0, x.rank - 1)
    first = b.choices.integer(0, x.shape[axis])
    sizes = [first, x.shape[axis] - first]
    shapes = [(*x.shape[:axis], n, *x.shape[axis + 1 :]) for n in sizes]
    b.add(
        "Split",
        [x, b.ints(sizes)],
        *[(x.dtype, shape) for shape in shapes],
        exact=True,
        moved=True,
        axis=axis,
    )


def slice_(b: Builder) -> None:
    x = anything(b, 1)
    axes = [i for i in range(x.rank) if b.chance(60)]
    if not axes:
        raise Stuck
    starts, ends, steps, shape = [], [], [], list(x.shape)
    for i in axes:
        n = x.shape[i]
        start, end = (b.choices.integer(-n - 2, n + 2) for _ in range(2))
        step = b.choices.pick((1, 1, 2, -1, -2, 3))
        starts.append(start)
        ends.append(end)
        steps.append(step)
        shape[i] = len(range(n)[_bounds(start, end, step, n)])
    b.add(
        "Slice",
        [x, b.ints(starts), b.ints(ends), b.ints(axes), b.ints(steps)],
        (x.dtype, tuple(shape)),
        exact=True,
        moved=True,
    )


def _bounds(start: int, end: int, step: int, n: int) -> slice:
    """What ONNX's clamping leaves."""
    start += n if start < 0 else 0
    end += n if end < 0 else 0
    if step > 0:
        return slice(min(max(start, 0), n), min(max(end, 0), n), step)
    start, end = min(max(start, 0), n - 1), min(max(end, -1), n - 1)
    return slice(start, None if end < 0 else end, step) if n else slice(0, 0)


def expand(b: Builder) -> None:
    x = anything(b)
    shape = [b.dim() if n == 1 and b.chance(60) else n for n in x.shape]
    if b.chance(30):
        shape.insert(0, b.choices.pick((1, 2, 3)))
    b.add("Expand", [x, b.ints(shape)], (x.dtype, tuple(shape)), exact=True, moved=True)


def tile(b: Builder) -> None:
    x = anything(b, 1)
    times = [b.choices.pick((1, 1, 2, 3, 0)) for _ in x.shape]
    shape = tuple(n * k for n, k in zip(x.shape, times, strict=True))
    b.add("Tile", [x, b.ints(times)], (x.dtype, shape), exact=True, moved=True)


def pad(b: Builder) -> None:
    x = b.find(lambda v: v.dtype in ("float32", "int32", "int64") and v.rank > 0)
    mode = b.choices.pick(("constant", "constant", "edge", "reflect"))
    low, high = [], []
    for n in x.shape:
        top = 2 if mode != "reflect" else min(2, max(n - 1, 0))
        if mode == "constant" and n > 2 and b.chance(10):
            low.append(-1)
        else:
            low.append(b.choices.integer(0, top))
        high.append(b.choices.integer(0, top))
        if mode != "constant" and n == 0:
            raise Stuck
    shape = tuple(n + p + q for n, p, q in zip(x.shape, low, high, strict=True))
    fill = b.given(np.array(3, x.dtype)) if b.chance(50) else None
    inputs = [x, b.ints(low + high), *([fill] if fill and mode == "constant" else [])]
    b.add("Pad", inputs, (x.dtype, shape), exact=True, moved=True, mode=mode)


def gather(b: Builder) -> None:
    x = b.find(lambda v: v.dtype in _ANY and v.rank > 0 and max(v.shape) > 0)
    axis = b.choices.integer(0, x.rank - 1)
    n = x.shape[axis]
    if n == 0:
        raise Stuck
    at = _indices(b, n, b.shape(b.choices.integer(0, 2)))
    shape = (*x.shape[:axis], *at.shape, *x.shape[axis + 1 :])
    b.add("Gather", [x, at], (x.dtype, shape), exact=True, moved=True, axis=axis)


def _indices(b: Builder, n: int, shape: tuple[int, ...]) -> Value:
    rng = np.random.default_rng(b.choices.integer(0, 1 << 30))
    dtype = b.choices.pick((np.int64, np.int32))
    return b.given(rng.integers(-n, n, shape).astype(dtype), b.chance(60))


def gather_elements(b: Builder) -> None:
    x = b.find(lambda v: v.dtype in _ANY and v.rank > 0 and v.size > 0)
    axis = b.choices.integer(0, x.rank - 1)
    shape = list(x.shape)
    shape[axis] = b.dim()
    at = _indices(b, x.shape[axis], tuple(shape))
    b.add(
        "GatherElements",
        [x, at],
        (x.dtype, at.shape),
        exact=True,
        moved=True,
        axis=axis,
    )


def gather_nd(b: Builder) -> None:
    x = b.find(lambda v: v.dtype in FLOATS + INTS and v.rank > 0 and v.size > 0)
    k = b.choices.integer(1, x.rank)
    rng = np.random.default_rng(b.choices.integer(0, 1 << 30))
    outer = b.shape(b.choices.integer(1, 2))
    at = np.stack([rng.integers(-n, n, outer) for n in x.shape[:k]], -1)
    shape = (*outer, *x.shape[k:])
    b.add("GatherND", [x, b.given(at)], (x.dtype, shape), exact=True, moved=True)


def scatter(b: Builder) -> None:
    """Without doubles: the order of writing is left open."""
    x = b.find(lambda v: v.dtype in FLOATS + INTS and v.rank > 0 and v.size > 0)
    rng = np.random.default_rng(b.choices.integer(0, 1 << 30))
    axis = b.choices.integer(0, x.rank - 1)
    if b.chance(50):
        k = b.choices.integer(1, x.shape[axis])
        shape = tuple(k if i == axis else n for i, n in enumerate(x.shape))
        order = rng.permuted(
            np.broadcast_to(
                np.arange(x.shape[axis]).reshape(
                    [-1 if i == axis else 1 for i in range(x.rank)]
                ),
                x.shape,
            ),
            axis=axis,
        )
        at = np.take(order, range(k), axis)
        new = b.fresh(x.dtype, shape)
        b.add(
            "ScatterElements",
            [x, b.given(at), new],
            (x.dtype, x.shape),
            exact=True,
            moved=True,
            axis=axis,
        )
        return
    k = b.choices.integer(1, x.shape[0])
    at = rng.permutation(x.shape[0])[:k].reshape(k, 1)
    new = b.fresh(x.dtype, (k, *x.shape[1:]))
    b.add(
        "ScatterND", [x, b.given(at), new], (x.dtype, x.shape), exact=True, moved=True
    )


def shape_of(b: Builder) -> None:
    x = anything(b, 1)
    s = b.add("Shape", [x], ("int64", (x.rank,)), exact=True)
    if b.chance(50):
        b.add("Size", [x], ("int64", ()), exact=True)
    if b.chance(70):  # arithmetic of shapes, as exporters write it
        n = b.add("Gather", [s, b.ints([0])], ("int64", (1,)), exact=True)
        full = b.add("Concat", [n, b.ints([-1])], ("int64", (2,)), exact=True, axis=0)
        if x.size and x.shape[0]:
            shape = (x.shape[0], x.size // x.shape[0])
            b.add("Reshape", [x, full], (x.dtype, shape), exact=True, moved=True)


def range_(b: Builder) -> None:
    dtype = b.choices.pick(("int64", "int32", "float32"))
    start, step = b.choices.integer(-3, 3), b.choices.pick((1, 2, -1))
    n = b.choices.integer(0, 6)
    ends = [b.given(np.array(v, dtype)) for v in (start, start + n * step, step)]
    b.add("Range", ends, (dtype, (n,)), exact=True)


def one_hot(b: Builder) -> None:
    x = b.find(lambda v: v.exact and v.dtype == "int64" and 0 < v.rank < 4)
    depth, axis = b.choices.integer(1, 4), b.choices.integer(0, x.rank)
    pair = b.given(np.array([0, 1], b.choices.pick(("float32", "int64"))))
    shape = (*x.shape[:axis], depth, *x.shape[axis:])
    count = b.given(np.array(depth, np.int64))
    b.add("OneHot", [x, count, pair], (pair.dtype, shape), exact=True, axis=axis)


def top_k(b: Builder) -> None:
    """Of elements that all differ: which of equal ones comes first is left open."""
    n, k = b.choices.integer(1, 17), 0
    rng = np.random.default_rng(b.choices.integer(0, 1 << 30))
    k = b.choices.integer(0, n)
    rows = rng.permuted(np.tile(np.arange(n, dtype=np.float32), (3, 1)), axis=1)
    b.add(
        "TopK",
        [b.given(rows, is_constant=False), b.ints([k])],
        ("float32", (3, k)),
        ("int64", (3, k)),
        exact=True,
        largest=b.choices.integer(0, 1),
    )


def trilu(b: Builder) -> None:
    x = b.find(lambda v: v.dtype in ("float32", "float64", "int64") and v.rank > 1)
    if b.opset < 14:
        raise Stuck
    k = b.given(np.array(b.choices.integer(-2, 2), np.int64))
    b.add(
        "Trilu", [x, k], (x.dtype, x.shape), exact=True, upper=b.choices.integer(0, 1)
    )


def depth_to_space(b: Builder) -> None:
    n, c = b.choices.integer(1, 2), b.choices.integer(1, 3)
    h, w = b.choices.integer(1, 5), b.choices.integer(1, 5)
    if b.chance(50):
        x = b.fresh("float32", (n, 4 * c, h, w))
        mode = b.choices.pick(("DCR", "CRD"))
        shape, op, more = (n, c, 2 * h, 2 * w), "DepthToSpace", {"mode": mode}
    else:
        x = b.fresh("float32", (n, c, 2 * h, 2 * w))
        shape, op, more = (n, 4 * c, h, w), "SpaceToDepth", {}
    b.add(op, [x], ("float32", shape), exact=True, moved=True, blocksize=2, **more)


TEMPLATES = (
    reshape,
    reshape,
    transpose,
    transpose,
    flatten,
    squeeze,
    unsqueeze,
    concat,
    concat,
    split,
    slice_,
    slice_,
    expand,
    tile,
    pad,
    gather,
    gather_elements,
    gather_nd,
    scatter,
    shape_of,
    range_,
    one_hot,
    top_k,
    trilu,
    depth_to_space,
)
