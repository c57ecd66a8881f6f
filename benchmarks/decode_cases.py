"""Models of which one call makes one token: it reads every weight, or a whole cache.

What such a call can cost is what the bytes cost to read; so a case knows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from benchmarks.cases import Case, save_case

__all__ = ["CASES", "DecodeCase", "make_case"]

N_LAYERS = 8
WIDTH = 4096
BLOCK = 32
N_HEADS, N_KV_HEADS, HEAD = 32, 8, 128
PAST = 4096
N_CACHES = 4

Array = npt.NDArray[np.generic]
Layer = tuple[list[NodeProto], dict[str, Array | TensorProto]]


@dataclass(frozen=True)
class DecodeCase:
    """One model.

    Parameters
    ----------
    about : str
        For tables.
    stage : str
        "weights" or "attention".
    call : str
        Kind of call, as the engines have them.
    n_bytes : int
        Bytes of weights and scales, or of the cache, that a call has to read.
    build : callable
        () -> the model and its inputs.
    """

    about: str
    stage: str
    call: str
    n_bytes: int
    build: Callable[[], tuple[ModelProto, dict[str, Array]]]


# ---- weights -----------------------------------------------------------------------


def _stack(layer: Callable[[int], Layer], opset: int) -> ModelProto:
    """N_LAYERS square layers, each fed by the one before."""
    nodes, constants = [], {}
    for number in range(N_LAYERS):
        made, own = layer(number)
        nodes += made
        constants |= own
    return _model(
        nodes,
        constants,
        [("x0", TensorProto.FLOAT, [1, WIDTH])],
        [(f"x{N_LAYERS}", TensorProto.FLOAT)],
        opset,
    )


def _model(
    nodes: list[NodeProto],
    constants: dict[str, Array | TensorProto],
    inputs: list[tuple[str, int, list[int]]],
    outputs: list[tuple[str, int]],
    opset: int,
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "decode",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value, None) for value in outputs],
        [
            x if isinstance(x, TensorProto) else numpy_helper.from_array(x, name)
            for name, x in constants.items()
        ],
    )
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=10)


def _rng(number: int) -> np.random.Generator:
    return np.random.default_rng([7, number])


def _scales(number: int, shape: tuple[int, ...], largest: int) -> Array:
    """Such that a layer leaves the size of what it is given about as it is."""
    size = 1.7 / (largest * np.sqrt(WIDTH))
    return _rng(number + 100).uniform(0.9, 1.1, shape).astype(np.float32) * np.float32(
        size
    )


def _blocks(bits: int) -> Callable[[int], Layer]:
    """MatMulNBits: blocks of 32 along the input, a scale each."""

    def layer(number: int) -> Layer:
        n_blocks = WIDTH // BLOCK
        shape = (WIDTH, n_blocks, BLOCK * bits // 8)
        names = [f"w{number}", f"s{number}"]
        node = helper.make_node(
            "MatMulNBits",
            [f"x{number}", *names],
            [f"x{number + 1}"],
            domain="com.microsoft",
            K=WIDTH,
            N=WIDTH,
            bits=bits,
            block_size=BLOCK,
            accuracy_level=4,
        )
        weights = _rng(number).integers(0, 256, shape, dtype=np.uint8)
        scales = _scales(number, (WIDTH * n_blocks,), 1 << (bits - 1))
        return [node], dict(zip(names, (weights, scales), strict=True))

    return layer


def _dequantized(bits: int, *, block: int | None) -> Callable[[int], Layer]:
    """DequantizeLinear > MatMul, with a scale a channel or a block."""

    def layer(number: int) -> Layer:
        attributes = {"axis": 1} if block is None else {"axis": 0, "block_size": block}
        largest = 1 << (bits - 1)
        codes = _rng(number).integers(-largest, largest, (WIDTH, WIDTH), dtype=np.int8)
        stored: Array | TensorProto = codes
        if bits == 4:
            stored = helper.make_tensor(
                f"w{number}", TensorProto.INT4, codes.shape, _packed(codes), raw=True
            )
        shape = (WIDTH,) if block is None else (WIDTH // block, WIDTH)
        nodes = [
            helper.make_node(
                "DequantizeLinear",
                [f"w{number}", f"s{number}"],
                [f"f{number}"],
                **attributes,
            ),
            helper.make_node(
                "MatMul", [f"x{number}", f"f{number}"], [f"x{number + 1}"]
            ),
        ]
        return nodes, {
            f"w{number}": stored,
            f"s{number}": _scales(number, shape, largest),
        }

    return layer


def _packed(codes: Array) -> bytes:
    """Two a byte, the first one low."""
    flat = codes.reshape(-1, 2).astype(np.uint8) & 15
    return bytes(flat[:, 0] | flat[:, 1] << 4)


def _weights(
    about: str, layer: Callable[[int], Layer], bits: int, block: int | None
) -> DecodeCase:
    n_scales = WIDTH if block is None else WIDTH * WIDTH // block
    n_bytes = N_LAYERS * (WIDTH * WIDTH * bits // 8 + 4 * n_scales)

    def build() -> tuple[ModelProto, dict[str, Array]]:
        x = _rng(1000).standard_normal((1, WIDTH)).astype(np.float32)
        return _stack(layer, 21), {"x0": x}

    return DecodeCase(about, "weights", "plain", n_bytes, build)


# ---- attention ---------------------------------------------------------------------


def _cached_attention() -> tuple[ModelProto, dict[str, Array]]:
    """Layers of GroupQueryAttention, each with a cache of its own that is full."""
    nodes, inputs, feeds = [], [], {}
    width = (N_HEADS + 2 * N_KV_HEADS) * HEAD
    kind = TensorProto.FLOAT
    shape = [1, N_KV_HEADS, PAST, HEAD]
    rng = _rng(2000)
    for number in range(N_CACHES):
        caches = [f"past_k{number}", f"past_v{number}"]
        nodes.append(
            helper.make_node(
                "GroupQueryAttention",
                ["qkv", "", "", *caches, "last", "total"],
                [f"y{number}", f"present_k{number}", f"present_v{number}"],
                domain="com.microsoft",
                num_heads=N_HEADS,
                kv_num_heads=N_KV_HEADS,
            )
        )
        for name in caches:
            inputs.append((name, kind, shape))
            feeds[name] = rng.standard_normal(shape).astype(np.float32)
    inputs += [
        ("qkv", kind, [1, 1, width]),
        ("last", TensorProto.INT32, [1]),
        ("total", TensorProto.INT32, []),
    ]
    feeds |= {
        "qkv": rng.standard_normal((1, 1, width)).astype(np.float32),
        "last": np.array([PAST - 1], np.int32),
        "total": np.array(PAST, np.int32),
    }
    outputs = [
        (f"{name}{number}", kind)
        for number in range(N_CACHES)
        for name in ("y", "present_k", "present_v")
    ]
    return _model(nodes, {}, inputs, outputs, 21), feeds


CASES = {
    "int8_blocks": _weights(
        "MatMulNBits, 8 bits, a scale for 32", _blocks(8), 8, BLOCK
    ),
    "int4_blocks": _weights(
        "MatMulNBits, 4 bits, a scale for 32", _blocks(4), 4, BLOCK
    ),
    "int8_channels": _weights(
        "DequantizeLinear > MatMul, int8, a scale a channel",
        _dequantized(8, block=None),
        8,
        None,
    ),
    "int8_qdq_blocks": _weights(
        "DequantizeLinear > MatMul, int8, a scale for 32",
        _dequantized(8, block=BLOCK),
        8,
        BLOCK,
    ),
    "int4_qdq_blocks": _weights(
        "DequantizeLinear > MatMul, int4, a scale for 32",
        _dequantized(4, block=BLOCK),
        4,
        BLOCK,
    ),
    "cache_4096": DecodeCase(
        f"GroupQueryAttention, {N_HEADS} heads on {N_KV_HEADS}, {PAST} tokens cached",
        "attention",
        "in_place",
        N_CACHES * 2 * N_KV_HEADS * PAST * HEAD * 4,
        _cached_attention,
    ),
}


def make_case(folder: Path, name: str) -> Case:
    """Write a model and its inputs.

    Parameters
    ----------
    folder : Path
    name : str
        Of `CASES`.

    Returns
    -------
    case : Case
    """
    model, feeds = CASES[name].build()
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    return save_case(folder, name, path, feeds)
