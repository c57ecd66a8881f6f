"""Layers between QuantizeLinear and DequantizeLinear, drawn at random and as ONNX.

`python -m tests.plan.qdq LAYERS.json` compares each with onnxruntime, whose graph
optimisations are off so that it computes what ONNX says, step by step in float32.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace

import numpy as np
import onnx.helper as oh
from onnx import numpy_helper

Array = np.ndarray

KINDS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
POSTS = ("", "Relu", "Clip", "HardSwish", "Sigmoid", "Mul")
#: How the weights come: derived from float32 by the core, or as integers of a file.
WEIGHTS = ("float32", "int8", "uint8", "small")
#: Off VNNI the core makes weights of 7 bits: scales grow by this.
NARROW = np.float32(127 / 64)


@dataclass(frozen=True)
class Layer:
    """One operator with constant weights; sizes are per group."""

    kind: str = "Conv"
    batch: tuple[int, ...] = (1,)
    size: int = 7
    groups: int = 1
    src_channels: int = 8
    dst_channels: int = 16
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    pads: tuple[int, int] = (1, 1)
    spatial: int = 2
    trans_b: bool = False
    trans_a: bool = False
    src_type: str = "uint8"
    src_zero_point: int = 7
    dst_type: str = "uint8"
    dst_zero_point: int = 100
    weights: str = "float32"
    per_channel: bool = True
    has_bias: bool = True
    post: str = ""
    residual: str = ""
    extreme: bool = False
    seed: int = 0


def _weights_shape(layer: Layer) -> tuple[tuple[int, ...], int]:
    """Shape of the weights and the axis of their scales."""
    window = (layer.kernel,) * layer.spatial
    if layer.kind == "Conv":
        return (layer.groups * layer.dst_channels, layer.src_channels, *window), 0
    if layer.kind == "ConvTranspose":
        return (layer.groups * layer.src_channels, layer.dst_channels, *window), 1
    if layer.kind == "Gemm" and layer.trans_b:
        return (layer.dst_channels, layer.src_channels), 0
    return (layer.src_channels, layer.dst_channels), 1


def _src_shape(layer: Layer) -> tuple[int, ...]:
    if layer.kind in ("Conv", "ConvTranspose"):
        spatial = (layer.size,) * layer.spatial
        return (layer.batch[0], layer.groups * layer.src_channels, *spatial)
    if layer.kind == "Gemm":
        rows = int(np.prod(layer.batch))
        both = (rows, layer.src_channels)
        return both[::-1] if layer.trans_a else both
    return (*layer.batch, layer.size, layer.src_channels)


class Builder:
    """Collects nodes and constants under fresh names."""

    def __init__(self) -> None:
        self.nodes: list = []
        self.constants: dict[str, Array] = {}
        self.inputs: dict[str, Array] = {}

    def constant(self, value: object) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(
            oh.make_node(op, list(inputs), [name], name=name, **attributes)
        )
        return name

    def quantised(self, x: str, scale: float, zero_point: int, dtype: str) -> str:
        pair = (
            self.constant(np.float32(scale)),
            self.constant(np.dtype(dtype).type(zero_point)),
        )
        return self.add("DequantizeLinear", self.add("QuantizeLinear", x, *pair), *pair)

    def model(self, outputs: list[str], opset: int = 21) -> bytes:
        values = [
            oh.make_tensor_value_info(
                name, oh.np_dtype_to_tensor_dtype(x.dtype), x.shape
            )
            for name, x in self.inputs.items()
        ]
        graph = oh.make_graph(
            self.nodes,
            "layer",
            values,
            [oh.make_empty_tensor_value_info(name) for name in outputs],
            [numpy_helper.from_array(c, name) for name, c in self.constants.items()],
        )
        proto = oh.make_model(
            graph, opset_imports=[oh.make_opsetid("", opset)], ir_version=10
        )
        return proto.SerializeToString()


def _add_weights(
    b: Builder, layer: Layer, rng: np.random.Generator, narrow: bool
) -> str:
    shape, axis = _weights_shape(layer)
    grouped = layer.kind == "ConvTranspose" and layer.groups > 1
    per_channel = layer.per_channel and not grouped
    w = rng.normal(size=shape).astype(np.float32)
    if layer.extreme:
        w = np.abs(w).max() * np.sign(w)
    over = tuple(i for i in range(w.ndim) if i != axis or not per_channel)
    scales = (np.abs(w).max(over) / 127).astype(np.float32)
    steps = scales * NARROW if narrow and layer.weights == "float32" else scales
    wide = np.expand_dims(steps, over) if per_channel else steps
    keys = {"axis": axis} if per_channel else {}
    limit = 64 if steps is not scales or layer.weights == "small" else 127
    q = np.clip(np.rint(w / wide), -limit, limit)
    if layer.weights == "float32" and not narrow:
        zero = b.constant(np.zeros(scales.shape, np.int8))
        s = b.constant(scales)
        integers = b.add("QuantizeLinear", b.constant(w), s, zero, **keys)
        return b.add("DequantizeLinear", integers, s, zero, **keys)
    if layer.weights == "uint8":
        zero = b.constant(np.full(scales.shape, 128, np.uint8))
        q = q + 128
        return b.add(
            "DequantizeLinear",
            b.constant(q.astype(np.uint8)),
            b.constant(steps),
            zero,
            **keys,
        )
    return b.add(
        "DequantizeLinear", b.constant(q.astype(np.int8)), b.constant(steps), **keys
    )


def _attributes(layer: Layer) -> dict[str, object]:
    if layer.kind in ("Conv", "ConvTranspose"):
        n = layer.spatial
        return {
            "group": layer.groups,
            "strides": [layer.stride] * n,
            "dilations": [layer.dilation] * n,
            "pads": [layer.pads[0]] * n + [layer.pads[1]] * n,
        }
    if layer.kind == "Gemm":
        return {"transA": int(layer.trans_a), "transB": int(layer.trans_b)}
    return {}


def _add_post(b: Builder, layer: Layer, x: str, channels: int) -> str:
    if layer.post == "Clip":
        return b.add("Clip", x, b.constant(np.float32(-2)), b.constant(np.float32(3)))
    if layer.post == "Mul":
        window = (1,) * layer.spatial if layer.kind.startswith("Conv") else ()
        scale = np.linspace(0.5, 1.5, channels, dtype=np.float32)
        return b.add("Mul", x, b.constant(scale.reshape(channels, *window)))
    return b.add(layer.post, x) if layer.post else x


def build(layer: Layer, *, narrow: bool = False) -> tuple[bytes, dict[str, Array]]:
    """The layer as a model; `narrow`: with the 7-bit weights made off VNNI."""
    rng = np.random.default_rng(layer.seed)
    b = Builder()
    x = rng.normal(size=_src_shape(layer)).astype(np.float32)
    b.inputs["x"] = (
        np.where(x > 0, x * 9, -1).astype(np.float32) if layer.extreme else x
    )
    zero = layer.src_zero_point + (128 if layer.src_type == "uint8" else 0)
    zero = 0 if layer.extreme and layer.src_type == "uint8" else zero
    src = b.quantised("x", 0.03, zero, layer.src_type)
    channels = layer.dst_channels
    channels *= layer.groups if layer.kind.startswith("Conv") else 1
    inputs = [src, _add_weights(b, layer, rng, narrow)]
    taps = layer.src_channels
    taps *= layer.kernel**layer.spatial if layer.kind.startswith("Conv") else 1
    if layer.has_bias:
        bias = b.constant(rng.normal(size=channels).astype(np.float32))
        if layer.kind != "MatMul":
            inputs.append(bias)
    y = b.add(layer.kind, *inputs, **_attributes(layer))
    if layer.has_bias and layer.kind == "MatMul":
        y = b.add("Add", y, bias)
    gain = b.constant(np.float32(1 / np.sqrt(taps)))
    if layer.kind == "MatMul":
        y = b.add("Mul", y, gain)
    y = _add_post(b, layer, y, channels)
    if layer.residual:
        b.inputs["r"] = rng.normal(size=_dst_shape(layer)).astype(np.float32)
        y = b.add("Relu", b.add("Add", y, b.quantised("r", 0.04, 5, layer.residual)))
    step = np.float32(0.0517 if layer.kind == "MatMul" else 0.0517 * np.sqrt(taps))
    if layer.dst_type != "float32":
        zero = layer.dst_zero_point - (100 if layer.dst_type == "int8" else 0)
        y = b.add(
            "QuantizeLinear",
            y,
            b.constant(step),
            b.constant(np.dtype(layer.dst_type).type(zero)),
        )
    return b.model([y]), b.inputs


def _dst_shape(layer: Layer) -> tuple[int, ...]:
    if layer.kind == "Gemm":
        return (int(np.prod(layer.batch)), layer.dst_channels)
    if layer.kind == "MatMul":
        return (*layer.batch, layer.size, layer.dst_channels)
    extent = layer.dilation * (layer.kernel - 1) + 1
    if layer.kind == "Conv":
        size = (layer.size + sum(layer.pads) - extent) // layer.stride + 1
    else:
        size = (layer.size - 1) * layer.stride + extent - sum(layer.pads)
    channels = layer.groups * layer.dst_channels
    return (layer.batch[0], channels, *(size,) * layer.spatial)


def reference(content: bytes, inputs: dict[str, Array]) -> Array:
    """What onnxruntime computes without optimising."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)[0]


def check(actual: Array, expected: Array, *, roundings: float = 1) -> None:
    """At most one step apart, and seldom; float32 by a few roundings."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    gap = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    if expected.dtype == np.float32:
        size = np.abs(expected).max(initial=0) + 1
        assert gap.max(initial=0) <= 2e-5 * roundings * size
        return
    assert gap.max(initial=0) <= 1
    assert (gap > 0).mean() <= 0.01 + 2 / gap.size


def implementations(model: object, inputs: dict[str, Array]) -> list[str]:
    """Of the steps of integer operators."""
    nodes = model.profile(inputs).nodes  # type: ignore[attr-defined]
    return [n.implementation for n in nodes if n.op_type.startswith("Quantized")]


def compare(
    layer: Layer, *, narrow: bool = False, without: str = "", threads: int = 1
) -> list[str]:
    """Fails when the core and onnxruntime differ; what integer steps ran."""
    import trimtab
    from trimtab import _core

    content, inputs = build(layer)
    passes = [name for name in _core.PASSES if name != without]
    model = trimtab.load_model(content, fallback=False, threads=threads, passes=passes)
    (actual,) = model.run(inputs).values()
    made = implementations(model, inputs)
    expected = reference(*build(layer, narrow=narrow and bool(made)))
    # Off VNNI both add in float32, and what is clipped may have been much larger.
    taps = layer.src_channels * layer.kernel**layer.spatial
    in_float = narrow and not made
    check(actual, expected, roundings=max(1, taps / 1000) if in_float else 1)
    return made


def draw(seed: int) -> Layer:
    """A layer without meaning, different for every seed."""
    rng = np.random.default_rng(seed)

    def pick(options):  # type: ignore[no-untyped-def]
        return options[int(rng.integers(len(options)))]

    layer = Layer(
        kind=pick(KINDS),
        batch=pick([(1,), (2,), (3,), (2, 3), (1, 4)]),
        size=int(rng.integers(3, 12)),
        groups=pick([1, 1, 1, 2, 3, 16]),
        src_channels=pick([1, 2, 3, 4, 8, 16, 17, 64]),
        dst_channels=pick([1, 2, 5, 8, 16, 32, 33]),
        kernel=pick([1, 2, 3]),
        stride=pick([1, 1, 2]),
        dilation=pick([1, 1, 2]),
        pads=pick([(0, 0), (1, 1), (0, 1), (1, 2)]),
        spatial=pick([1, 2, 2, 2, 3]),
        trans_a=bool(rng.integers(2)),
        trans_b=bool(rng.integers(2)),
        src_type=pick(["uint8", "uint8", "int8"]),
        src_zero_point=pick([0, 7, -9]),
        dst_type=pick(["uint8", "uint8", "int8", "float32"]),
        dst_zero_point=pick([0, 100, 128]),
        weights=pick(WEIGHTS),
        per_channel=bool(rng.integers(2)),
        has_bias=bool(rng.integers(2)),
        post=pick(POSTS),
        residual=pick(["", "", "uint8", "int8"]),
        extreme=bool(rng.integers(2)),
        seed=seed,
    )
    if min(_dst_shape(layer)) < 1:
        layer = replace(layer, size=layer.size + 8)
    return layer


def draw_depthwise(seed: int) -> Layer:
    """The same for the depthwise kernel, which does not take all of them."""
    rng = np.random.default_rng(seed)

    def pick(options):  # type: ignore[no-untyped-def]
        return options[int(rng.integers(len(options)))]

    layer = Layer(
        batch=pick([(1,), (2,)]),
        size=int(rng.integers(3, 90)),
        groups=pick([2, 3, 16, 17, 32, 64, 65, 80, 144]),
        src_channels=1,
        dst_channels=1,
        kernel=pick([1, 2, 3, 3, 4, 5, 7, 9]),
        stride=pick([1, 2, 3]),
        pads=pick([(0, 0), (1, 1), (0, 1), (2, 2), (1, 2)]),
        spatial=pick([1, 2, 2]),
        src_zero_point=pick([0, 7, -9, -128, 127]),
        dst_type=pick(["uint8", "int8", "float32"]),
        dst_zero_point=pick([0, 100, 128]),
        weights=pick(WEIGHTS),
        per_channel=bool(rng.integers(2)),
        has_bias=bool(rng.integers(2)),
        post=pick(["", "", "Relu", "Clip", "Sigmoid"]),
        extreme=bool(rng.integers(2)),
        seed=seed,
    )
    if min(_dst_shape(layer)) < 1:
        layer = replace(layer, size=layer.size + 8)
    return layer


def draw_dense(seed: int) -> Layer:
    """The same for the kernel of other convolutions of uint8."""
    rng = np.random.default_rng(seed)

    def pick(options):  # type: ignore[no-untyped-def]
        return options[int(rng.integers(len(options)))]

    kernel = pick([1, 1, 1, 2, 3, 7])
    layer = Layer(
        batch=pick([(1,), (2,)]),
        size=int(rng.integers(1, 40)),
        src_channels=pick([1, 3, 3, 4, 17, 30, 64, 200]),
        dst_channels=pick([1, 16, 32, 33, 64, 96, 100, 130]),
        kernel=kernel,
        stride=pick([1, 1, 2, 3]),
        pads=pick([(0, 0), (0, 0), (1, 1), (0, 1), (2, 3)]),
        spatial=pick([1, 2, 2]),
        src_zero_point=pick([0, 7, -9, -128, 127]),
        dst_type=pick(["uint8", "uint8", "int8", "float32"]),
        dst_zero_point=pick([0, 0, 100, 128]),
        weights=pick(WEIGHTS),
        per_channel=bool(rng.integers(2)),
        has_bias=bool(rng.integers(2)),
        post=pick(["", "", "Relu", "Clip", "Sigmoid"]),
        residual=pick(["", "", "uint8", "int8"]),
        extreme=bool(rng.integers(2)),
        seed=seed,
    )
    if layer.residual and rng.integers(2):
        layer = replace(layer, post="")
    if (
        layer.dst_type == "float32"
    ):  # the oracle's own sums of floats would be too far off
        layer = replace(layer, extreme=False)
    if min(_dst_shape(layer)) < 1:
        layer = replace(layer, size=layer.size + 8)
    return layer


def main() -> None:
    for fields in json.loads(sys.stdin.read()):
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        layer = Layer(**fields)
        try:
            made = compare(
                layer,
                narrow="narrow" in sys.argv,
                without="primitives" if "kernels" in sys.argv else "",
            )
        except Exception as error:
            raise SystemExit(f"{layer}: {error!r}") from error
        print(json.dumps([layer.seed, made]))


def as_json(layers: list[Layer]) -> str:
    return json.dumps([asdict(layer) for layer in layers])


if __name__ == "__main__":
    main()
