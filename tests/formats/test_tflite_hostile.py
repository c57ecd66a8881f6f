"""Damaged and hostile TFLite files: documented errors, in bounded time and memory."""

from __future__ import annotations

import contextlib
import random
import struct
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import trimtab
from trimtab import Limits, ModelFormatError, ModelLimitError, TrimtabError
from trimtab.formats import read_model
from trimtab.formats.tflite.flatbuffer import Buffer
from trimtab.formats.tflite.flexbuffer import read_numbers

pytest.importorskip("tflite")

from flatbuffers import flexbuffers

from . import test_tflite_operators as operators
from .test_tflite_states import RECURRENT, accumulator
from .tflite_files import Op, Subgraph, Tensor, make_file

BYTES = ("FusedActivationFunction", "Padding", "Mode", "OutputType", "OutType")
SECONDS = 1.0  # of the processor, for one file


def relu(**more: Any) -> Subgraph:
    x = Tensor("x", (2, 3), **more)
    return Subgraph([x, Tensor("y", (2, 3))], [Op("RELU", [0], [1])], [0], [1])


def read(data: bytes) -> Exception | None:
    """Read a file; the documented error that it gives."""
    seen = []
    while not seen or (seen[-1] >= SECONDS and len(seen) < 4):  # others slow it too
        begin = time.thread_time()
        error = None
        try:
            read_model(data)
        except TrimtabError as told:
            error = told
        seen.append(time.thread_time() - begin)
    assert min(seen) < SECONDS
    return error


# ---- damaged bytes -------------------------------------------------------------


def seeds() -> dict[str, bytes]:
    names = (
        "conv same",
        "strided ellipsis pick new",
        "transpose conv same 3 2",
        "split v",
        "mirror pad symmetric",
        "one hot",
        "space to batch",
        "range",
    )
    found = {name: operators.file_of(operators.CASES[name]) for name in names}
    found["lstm"] = RECURRENT["lstm norm cifg"]()[0]
    found["svdf"] = RECURRENT["svdf rank 2"]()[0]
    found["variable"] = accumulator([1.0, 2.0])
    return found


@pytest.mark.parametrize("name", seeds())
def test_a_file_cut_short_is_refused_or_whole(name: str) -> None:
    data = seeds()[name]
    step = max(1, len(data) // 200)
    results = [read(data[:n]) for n in range(8, len(data), step)]
    assert sum(isinstance(r, ModelFormatError) for r in results) > len(results) // 2


@pytest.mark.parametrize("name", seeds())
def test_changed_bytes_give_documented_errors(name: str) -> None:
    data, rng = seeds()[name], random.Random(name)
    words = [0, 1, 2, 4, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, len(data), 100_000]
    for _ in range(250):
        mutant = bytearray(data)
        for _ in range(rng.choice([1, 1, 2, 4])):
            at = rng.randrange(8, len(mutant))
            if rng.random() < 0.5:
                mutant[at] = rng.choice([0, 1, 4, 127, 128, 255, rng.randrange(256)])
            else:
                at &= ~3
                mutant[at : at + 4] = struct.pack("<I", rng.choice(words))
        read(bytes(mutant))


# ---- wrong records -------------------------------------------------------------


def wrong_numbers(rng: random.Random) -> int:
    return rng.choice([-(2**31), -7, -1, 0, 1, 2, 3, 5, 17, 2**16, 2**31 - 1])


def wrong_tensor(tensor: Tensor, rng: random.Random) -> Tensor:
    kind = rng.randrange(6)
    shape = list(tensor.shape)
    if kind == 0 and shape:
        shape[rng.randrange(len(shape))] = wrong_numbers(rng)
        return replace(tensor, shape=shape)
    if kind == 1:
        return replace(tensor, shape=[1] * rng.randrange(12))
    if kind == 2:
        dtype = rng.choice(["float32", "int8", "int32", "bool", "string", "int64"])
        data = tensor.data
        if data is not None and dtype != "string":
            data = np.asarray(data).astype(dtype)
        elif dtype == "string":
            data = None
        return replace(tensor, dtype=dtype, data=data)
    if kind == 3 and tensor.data is not None:
        data = np.asarray(tensor.data).copy().reshape(-1)
        if data.size:
            number = np.array(wrong_numbers(rng)).astype(data.dtype)
            data[rng.randrange(data.size)] = number
        return replace(tensor, data=data)
    if kind == 4:
        scale = rng.choice([0.0, -1.0, float("nan"), float("inf"), 1e-30, 0.5])
        return replace(
            tensor, scale=[scale] * rng.randrange(4), zero=wrong_numbers(rng)
        )
    return replace(tensor, data=None, signature=[-1] * len(shape))


def wrong_op(op: Op, n: int, rng: random.Random) -> Op:
    kind = rng.randrange(5)
    inputs, options = list(op.inputs), dict(op.options)
    if kind == 0 and inputs:
        inputs[rng.randrange(len(inputs))] = rng.randrange(-1, n)
    elif kind == 1:
        inputs = inputs[: rng.randrange(len(inputs) + 1)]
    elif kind == 2:
        return replace(op, outputs=[rng.randrange(n) for _ in range(rng.randrange(4))])
    elif kind == 3 and options:
        key = rng.choice(sorted(options))
        value = wrong_numbers(rng)
        if key in BYTES:
            value = rng.randrange(-128, 128)
        if isinstance(options[key], int) and not isinstance(options[key], bool):
            options[key] = value
    else:
        return replace(op, table="", options={})
    return replace(op, inputs=inputs, options=options)


def wrong_files(name: str, n: int) -> Iterator[bytes]:
    """An operator with tensors, options and operands that do not fit."""
    graph = operators.graph_of(operators.CASES[name])
    rng = random.Random(name)
    for _ in range(n):
        tensors, op = list(graph.tensors), graph.ops[0]
        for _ in range(rng.choice([1, 1, 2])):
            if rng.random() < 0.6:
                place = rng.randrange(len(tensors))
                tensors[place] = wrong_tensor(tensors[place], rng)
            else:
                op = wrong_op(op, len(tensors), rng)
        yield make_file(replace(graph, tensors=tensors, ops=[op]))


@pytest.mark.parametrize("name", operators.CASES)
def test_wrong_operators_give_documented_errors(name: str) -> None:
    for data in wrong_files(name, 10):
        if read(data) is None:
            with contextlib.suppress(TrimtabError):
                trimtab.load_model(data, threads=1, fallback=False)


# ---- single threats ------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xff\xff\xffTFL3" + bytes(64), "leads to byte"),
        (b"\x00\x00\x00\x00TFL3" + bytes(64), "damaged"),
        (b"\x08\x00\x00\x00TFL3" + struct.pack("<i", 2**31 - 1) + bytes(64), "byte"),
        (b"\x08\x00\x00\x00TFL3" + struct.pack("<i", -4) + bytes(64), "vtable"),
        (b"\x08\x00\x00\x00TFL3", "truncated"),
        (b"\x00\x00\x00\x00TFL3", "damaged|truncated"),
    ],
)
def test_offsets_out_of_the_file_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        read_model(data)


@pytest.mark.parametrize(
    "graph",
    [
        replace(relu(), inputs=[2]),
        replace(relu(), inputs=[-1]),
        replace(relu(), outputs=[7]),
        replace(relu(), ops=[Op("RELU", [5], [1])]),
        replace(relu(), ops=[Op("RELU", [0], [-1])]),
        replace(relu(), ops=[Op("RELU", [-1], [1])]),
        replace(relu(), ops=[Op("RELU", [1], [1])]),
        replace(relu(), ops=[Op("RELU", [0], [0])]),
        replace(relu(), ops=[Op("RELU", [0], [1]), Op("NEG", [0], [1])]),
        replace(relu(), ops=[]),
        replace(relu(), tensors=[Tensor("x", (-5,)), Tensor("y", (2,))]),
        replace(relu(), tensors=[Tensor("x", (1,) * 11), Tensor("y", (2,))]),
    ],
)
def test_wrong_indices_and_shapes_are_refused(graph: Subgraph) -> None:
    assert isinstance(read(make_file(graph)), ModelFormatError)


@pytest.mark.parametrize(
    "quantization",
    [
        {"scale": float("nan")},
        {"scale": float("inf")},
        {"scale": -0.5},
        {"scale": [0.5, 0.0, 0.5], "axis": 1},
        {"scale": 0.5, "zero": 128},
        {"scale": [0.5, 0.5, 0.5]},
        {"scale": [0.5, 0.5, 0.5], "axis": 2},
        {"scale": [0.5, 0.5, 0.5], "axis": -1},
    ],
)
def test_wrong_scales_are_refused(quantization: Any) -> None:
    data = make_file(relu(dtype="int8", **quantization))
    assert isinstance(read(data), ModelFormatError)


@pytest.mark.parametrize("n_bytes", [0, 4, 23, 25, 28])
def test_constants_of_a_wrong_size_are_refused(n_bytes: int) -> None:
    constant = Tensor("c", (2, 3), packed=bytes(n_bytes))
    graph = Subgraph([constant, Tensor("y", (2, 3))], [Op("RELU", [0], [1])], [], [1])
    with pytest.raises(ModelFormatError):
        read_model(make_file(graph))


def test_a_claimed_shape_takes_no_memory() -> None:
    large = 1 << 30
    graphs = [
        Subgraph(
            [
                Tensor("x", (large, 4), dtype="float32"),
                Tensor.of("pads", np.int32([[1, 1], [0, 0]])),
                Tensor("y", (large, 4)),
            ],
            [Op("MIRROR_PAD", [0, 1], [2], "MirrorPad", {"Mode": 1})],
            [0],
            [2],
        ),
        Subgraph(
            [
                Tensor("x", (large, 4)),
                Tensor("u", (large, 4)),
                Tensor.of("at", np.int32([0, 0])),
                Tensor("y", (large, 4)),
            ],
            [Op("DYNAMIC_UPDATE_SLICE", [0, 1, 2], [3])],
            [0, 1],
            [3],
        ),
        Subgraph(
            [
                Tensor("x", (2, 3)),
                Tensor.of("f", np.ones((4, 3), np.float32)),
                Tensor.of("t", np.ones((4, 5), np.float32)),
                Tensor("state", (large, 20), variable=True),
                Tensor("y", (2, 4)),
            ],
            [Op("SVDF", [0, 1, 2, -1, 3], [4], "SVDF", {"Rank": 1})],
            [0],
            [4],
        ),
    ]
    for graph in graphs:
        data = make_file(graph)
        tracemalloc.start()
        assert isinstance(read(data), TrimtabError)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
        tracemalloc.stop()


def test_weights_that_are_shared_are_converted_once() -> None:
    """A thousand convolutions over one buffer: memory for one."""
    weights = Tensor.of("w", np.ones((64, 3, 3, 64), np.float32))
    tensors = [Tensor("x0", (1, 4, 4, 64)), weights, Tensor.of("b", np.ones(64, "f4"))]
    ops = []
    options = {"Padding": 0, "StrideW": 1, "StrideH": 1}
    for i in range(1000):
        source = 0 if i == 0 else len(tensors) - 1
        tensors.append(Tensor(f"x{i + 1}", (1, 4, 4, 64)))
        ops.append(Op("CONV_2D", [source, 1, 2], [len(tensors) - 1], "Conv2D", options))
    data = make_file(Subgraph(tensors, ops, [0], [len(tensors) - 1]))
    tracemalloc.start()
    assert read_model(data).n_nodes > 1000
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


def test_tables_that_are_pointed_to_again_and_again_are_refused() -> None:
    """A subgraph's tensors stand in the file once and are named 100,000 times."""
    data = make_file(replace(relu(), tensors=[Tensor("x" * 200, (2,) * 8)]))
    buffer = Buffer(data)
    with pytest.raises(ModelFormatError, match="again and again"):
        for _ in range(100_000):
            buffer.root().tables(2, "subgraphs", 10)
    with pytest.raises(ModelFormatError, match="again and again"):
        for _ in range(100_000):
            Buffer.spend(buffer, 0, 200)


def test_damaged_options_of_a_custom_operator_give_documented_errors() -> None:
    writer = flexbuffers.Builder()
    with writer.Map():
        writer.Int("a", 8)
        writer.Float("b", 10.5)
        writer.Bool("c", True)
        writer.Int("d", -3)
        writer.String("e", "left out")
    data = bytes(writer.Finish())
    assert read_numbers(data) == {"a": 8, "b": 10.5, "c": 1, "d": -3}
    rng = random.Random(5)
    for _ in range(2000):
        mutant = bytearray(data)
        for _ in range(rng.choice([1, 2, 3])):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        with contextlib.suppress(ModelFormatError):
            read_numbers(bytes(mutant))
        with contextlib.suppress(ModelFormatError):
            read_numbers(bytes(mutant[: rng.randrange(len(mutant))]))


def nested(depth: int, calls: int) -> bytes:
    """Subgraphs that each call the next one several times."""
    graphs = []
    for level in range(depth):
        tensors = [Tensor(f"t{i}", (2,)) for i in range(calls + 1)]
        ops = [
            Op("CALL", [i], [i + 1], "Call", {"Subgraph": level + 1})
            for i in range(calls)
        ]
        graphs.append(Subgraph(tensors, ops, [0], [calls]))
    graphs.append(
        Subgraph(
            [Tensor("x", (2,)), Tensor("y", (2,))], [Op("NEG", [0], [1])], [0], [1]
        )
    )
    return make_file(*graphs)


def test_subgraphs_that_call_themselves_are_refused() -> None:
    graph = Subgraph(
        [Tensor("x", (2,)), Tensor("y", (2,))],
        [Op("CALL", [0], [1], "Call", {"Subgraph": 0})],
        [0],
        [1],
    )
    with pytest.raises(ModelFormatError, match="calls itself"):
        read_model(make_file(graph))


def test_subgraphs_that_nest_too_deep_are_refused() -> None:
    assert read(nested(30, 1)) is None
    with pytest.raises(ModelLimitError, match="deep"):
        read_model(nested(60, 1))


def test_operators_of_bodies_count_as_often_as_they_are_used() -> None:
    with pytest.raises(ModelLimitError, match="more than 5000 operators"):
        read_model(nested(20, 2), Limits(max_nodes=5000))


def test_ten_thousand_tensors_of_one_name_take_no_quadratic_time() -> None:
    n = 10_000
    ops = [Op("NEG", [i], [i + 1]) for i in range(n)]
    graph = Subgraph([Tensor("x", (2,))] * (n + 1), ops, [0], [n])
    data = make_file(graph)
    begin = time.thread_time()
    read_model(data)
    assert time.thread_time() - begin < 10


def test_limits_are_kept() -> None:
    data = make_file(relu())
    for limits in (
        Limits(max_model_bytes=len(data) - 1),
        Limits(max_nodes=0),
        Limits(max_values=1),
    ):
        with pytest.raises(ModelFormatError):
            read_model(data, limits)


def test_a_path_is_read_into_memory_of_its_own(tmp_path: Any) -> None:
    path = tmp_path / "m.tflite"
    weights = np.arange(12, dtype=np.float32).reshape(4, 3)
    tensors = [Tensor("x", (2, 3)), Tensor.of("w", weights), Tensor("y", (2, 4))]
    op = Op("FULLY_CONNECTED", [0, 1, -1], [2], "FullyConnected")
    path.write_bytes(make_file(Subgraph(tensors, [op], [0], [2])))
    model = trimtab.load_model(path)
    path.write_bytes(bytes(path.stat().st_size))
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(model(x), x @ weights.T)
    model.trim()
    np.testing.assert_array_equal(model(x[:1].repeat(2, 0)), x @ weights.T)
