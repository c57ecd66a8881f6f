"""Four networks twice: our graphs, and functions of PyTorch over their weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trimtab.graph import Constant, Graph, Model, Node, Value

Array = np.ndarray


class Builder:
    """A graph under construction, with random weights."""

    def __init__(self, x: Value) -> None:
        self.graph = Graph("net", [x])
        self.rng = np.random.default_rng(0)
        self.last = x.name

    def weight(self, name: str, *shape: int, fan: int = 0) -> str:
        scale = (1.0 / fan) ** 0.5 if fan else 1.0
        value = (self.rng.normal(size=shape) * scale).astype(np.float32)
        self.graph.constants[name] = Constant.of(value if fan else value * 0.1)
        return name

    def ones(self, name: str, n: int) -> str:
        self.graph.constants[name] = Constant.of(np.ones(n, np.float32))
        return name

    def ints(self, name: str, *values: int) -> str:
        self.graph.constants[name] = Constant.of(np.array(values, np.int64))
        return name

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        out = f"t{len(self.graph.nodes)}"
        self.graph.nodes.append(Node(op, list(inputs), [out], out, "", attributes))
        self.last = out
        return out

    def model(self) -> Model:
        self.graph.outputs[:] = [Value(self.last, "float32", (None, 10))]
        return Model(self.graph, {"": 18})


def mlp() -> Model:
    b = Builder(Value("x", "float32", ("n", 20)))
    h = b.add("Gemm", "x", b.weight("w1", 32, 20, fan=20), b.weight("b1", 32), transB=1)
    h = b.add("Relu", h)
    h = b.add("Gemm", h, b.weight("w2", 32, 32, fan=32), b.weight("b2", 32), transB=1)
    h = b.add("Tanh", h)
    b.add("Gemm", h, b.weight("w3", 10, 32, fan=32), b.weight("b3", 10), transB=1)
    return b.model()


def mlp_torch(w: dict[str, Any], x: Any) -> Any:
    import torch.nn.functional as F

    h = F.relu(F.linear(x, w["w1"], w["b1"]))
    h = F.linear(h, w["w2"], w["b2"]).tanh()
    return F.linear(h, w["w3"], w["b3"])


def cnn() -> Model:
    b = Builder(Value("x", "float32", ("n", 1, 28, 28)))
    h = b.add("Conv", "x", b.weight("c1", 16, 1, 3, 3, fan=9), b.weight("d1", 16),
              pads=[1] * 4)  # fmt: skip
    h = b.add("MaxPool", b.add("Relu", h), kernel_shape=[2, 2], strides=[2, 2])
    h = b.add("Conv", h, b.weight("c2", 32, 16, 3, 3, fan=144), b.weight("d2", 32),
              pads=[1] * 4)  # fmt: skip
    h = b.add("MaxPool", b.add("Relu", h), kernel_shape=[2, 2], strides=[2, 2])
    h = b.add("Flatten", h)
    h = b.add("Gemm", h, b.weight("w1", 64, 1568, fan=1568), b.weight("e1", 64),
              transB=1)  # fmt: skip
    b.add("Gemm", b.add("Relu", h), b.weight("w2", 10, 64, fan=64),
          b.weight("e2", 10), transB=1)  # fmt: skip
    return b.model()


def cnn_torch(w: dict[str, Any], x: Any) -> Any:
    import torch.nn.functional as F

    h = F.max_pool2d(F.relu(F.conv2d(x, w["c1"], w["d1"], padding=1)), 2)
    h = F.max_pool2d(F.relu(F.conv2d(h, w["c2"], w["d2"], padding=1)), 2)
    h = F.relu(F.linear(h.flatten(1), w["w1"], w["e1"]))
    return F.linear(h, w["w2"], w["e2"])


def residual() -> Model:
    """Convolutions with batch norms around a skip, a mean, a classifier."""
    b = Builder(Value("x", "float32", ("n", 1, 28, 28)))

    def norm(x: str, name: str) -> str:
        for end, value in (("m", 0.0), ("v", 1.0)):
            statistic = np.full(8, value, np.float32)
            b.graph.constants[name + end] = Constant.of(statistic)
        scale, shift = b.ones(name + "s", 8), b.weight(name + "b", 8)
        return b.add("BatchNormalization", x, scale, shift, name + "m", name + "v")

    h = b.add("Conv", "x", b.weight("c1", 8, 1, 5, 5, fan=25), strides=[2, 2])
    first = b.add("Relu", norm(h, "n1"))
    h = b.add("Conv", first, b.weight("c2", 8, 8, 3, 3, fan=72), pads=[1] * 4)
    h = b.add("Relu", b.add("Add", norm(h, "n2"), first))
    h = b.add("Flatten", b.add("GlobalAveragePool", h))
    b.add("Gemm", h, b.weight("w", 10, 8, fan=8), b.weight("e", 10), transB=1)
    return b.model()


def residual_torch(w: dict[str, Any], x: Any) -> Any:
    import torch.nn.functional as F

    def norm(t: Any, name: str) -> Any:
        return F.batch_norm(t, None, None, w[name + "s"], w[name + "b"], training=True)

    first = F.relu(norm(F.conv2d(x, w["c1"], stride=2), "n1"))
    h = F.relu(norm(F.conv2d(first, w["c2"], padding=1), "n2") + first)
    return F.linear(h.mean((2, 3)), w["w"], w["e"])


def transformer(width: int = 32, heads: int = 4, length: int = 12) -> Model:
    """An embedding, one block with attention and GELU, a mean, a classifier."""
    b = Builder(Value("ids", "int64", ("n", length)))
    h = b.add("Gather", b.weight("table", 50, width), "ids")
    h = b.add("Add", h, b.weight("positions", length, width))
    a = b.add("LayerNormalization", h, b.ones("g1", width), b.weight("s1", width))
    split, each = b.ints("split", 0, 0, heads, width // heads), []
    for name in "qkv":
        t = b.add("MatMul", a, b.weight(f"w{name}", width, width, fan=2 * width))
        t = b.add("Reshape", b.add("Add", t, b.weight(f"b{name}", width)), split)
        each.append(b.add("Transpose", t, perm=[0, 2, 1, 3]))
    scores = b.add("MatMul", each[0], b.add("Transpose", each[1], perm=[0, 1, 3, 2]))
    b.graph.constants["root"] = Constant.of(np.float32((width / heads) ** 0.5))
    p = b.add("Softmax", b.add("Div", scores, "root"), axis=-1)
    t = b.add("Transpose", b.add("MatMul", p, each[2]), perm=[0, 2, 1, 3])
    t = b.add("Reshape", t, b.ints("join", 0, 0, width))
    t = b.add("MatMul", t, b.weight("wo", width, width, fan=2 * width))
    h = b.add("Add", h, b.add("Add", t, b.weight("bo", width)))
    a = b.add("LayerNormalization", h, b.ones("g2", width), b.weight("s2", width))
    t = b.add("MatMul", a, b.weight("w1", width, 4 * width, fan=2 * width))
    t = b.add("Gelu", b.add("Add", t, b.weight("b1", 4 * width)))
    t = b.add("MatMul", t, b.weight("w2", 4 * width, width, fan=8 * width))
    h = b.add("Add", h, b.add("Add", t, b.weight("b2", width)))
    h = b.add("ReduceMean", h, b.ints("axis", 1), keepdims=0)
    b.add("Gemm", h, b.weight("wc", 10, width, fan=width), b.weight("bc", 10), transB=1)
    model = b.model()
    model.opsets[""] = 20
    return model


def transformer_torch(w: dict[str, Any], ids: Any, heads: int = 4) -> Any:
    import torch
    import torch.nn.functional as F

    h = F.embedding(ids, w["table"]) + w["positions"]
    n, length, width = h.shape
    a = F.layer_norm(h, (width,), w["g1"], w["s1"])

    def split(name: str) -> Any:
        t = a @ w[f"w{name}"] + w[f"b{name}"]
        return t.reshape(n, length, heads, width // heads).transpose(1, 2)

    q, k, v = (split(name) for name in "qkv")
    p = torch.softmax(q @ k.transpose(2, 3) / (width / heads) ** 0.5, -1)
    t = (p @ v).transpose(1, 2).reshape(n, length, width)
    h = h + (t @ w["wo"] + w["bo"])
    a = F.layer_norm(h, (width,), w["g2"], w["s2"])
    h = h + (F.gelu(a @ w["w1"] + w["b1"]) @ w["w2"] + w["b2"])
    return F.linear(h.mean(1), w["wc"], w["bc"])


def _noisy(n: int, *shape: int) -> tuple[Array, Array]:
    """Rows of noise with a weak trace of their class: nothing to learn by heart."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 10, n)
    traces = rng.normal(size=(10, *shape)) * 0.3
    return (rng.normal(size=(n, *shape)) + traces[y]).astype(np.float32), y


def _digits(n: int) -> tuple[Array, Array]:
    return _noisy(n, 1, 28, 28)


def _ids(n: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    ids, y = rng.integers(0, 50, (n, 12)), rng.integers(0, 10, n)
    ids[:, :4] = y[:, None] * 3
    return ids, y


def _vectors(n: int) -> tuple[Array, Array]:
    return _noisy(n, 20)


#: Name -> (our graph, PyTorch's function, rows and classes).
NETWORKS: dict[
    str, tuple[Callable[[], Model], Any, Callable[[int], tuple[Array, Array]]]
] = {
    "mlp": (mlp, mlp_torch, _vectors),
    "cnn": (cnn, cnn_torch, _digits),
    "residual": (residual, residual_torch, _digits),
    "transformer": (transformer, transformer_torch, _ids),
}
