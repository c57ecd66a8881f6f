"""`Model.clipping` counts what NumPy counts, in one call of 64; off, it is free."""

from __future__ import annotations

import multiprocessing
import threading

import numpy as np
import onnx.helper as oh
import pytest
from onnx import numpy_helper

import trimtab

EVERY = 64
SCALE = np.float32(0.02)


def quantising(dtype: type, zero: int, *, tail: str = "", relu: bool = False) -> bytes:
    """x -> (Relu ->) QuantizeLinear, and what may follow."""
    nodes = [
        oh.make_node("Relu" if relu else "Identity", ["x"], ["r"]),
        oh.make_node("QuantizeLinear", ["r", "s", "z"], ["q"], name="n_q"),
    ]
    code = oh.np_dtype_to_tensor_dtype(np.dtype(dtype))
    outputs = [oh.make_tensor_value_info("q", code, ["n", 3, 5])]
    if tail:
        nodes.append(oh.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]))
        nodes.append(oh.make_node(tail, ["d"], ["y"]))
        outputs.append(oh.make_tensor_value_info("y", 1, ["n", 3, 5]))
    graph = oh.make_graph(
        nodes,
        "g",
        [oh.make_tensor_value_info("x", 1, ["n", 3, 5])],
        outputs,
        [
            numpy_helper.from_array(np.array(SCALE), "s"),
            numpy_helper.from_array(np.array(zero, dtype), "z"),
        ],
    )
    opsets = [oh.make_opsetid("", 21)]
    model = oh.make_model(graph, opset_imports=opsets, ir_version=10)
    return bytes(model.SerializeToString())


def draw(n: int = 40) -> np.ndarray:
    x = np.random.default_rng(3).standard_normal((n, 3, 5)) * 2.5
    return x.astype(np.float32)


def expected(x: np.ndarray, dtype: type, zero: int) -> tuple[int, int]:
    info = np.iinfo(dtype)
    q = np.rint(x / SCALE) + zero
    low = (q <= info.min).sum() if zero != info.min else 0
    high = (q >= info.max).sum() if zero != info.max else 0
    return int(low + high), x.size


@pytest.mark.parametrize("tail", ["", "Exp"])
@pytest.mark.parametrize(
    ("dtype", "zero"), [(np.uint8, 128), (np.uint8, 0), (np.int8, 0), (np.int8, -128)]
)
def test_counts_agree_with_numpy(dtype: type, zero: int, tail: str) -> None:
    model = trimtab.load_model(quantising(dtype, zero, tail=tail))
    assert model.clipping() == {}
    model.count_clipping()
    x = draw()
    model.run({"x": x})
    assert model.clipping() == {"r": expected(x, dtype, zero)}


def test_what_a_relu_left_out_is_not_clipped() -> None:
    model = trimtab.load_model(quantising(np.uint8, 0, relu=True))
    model.count_clipping()
    x = draw()
    model.run({"x": x})
    n_clipped, n_seen = model.clipping()["r"]
    assert n_seen == x.size
    assert n_clipped == int((np.rint(x / SCALE) >= 255).sum())


@pytest.mark.parametrize(
    ("op", "constants", "scale", "zero"),
    [
        ("Clip", [0.0, 6.0], 6 / 255, 0),
        ("Clip", [-1.0, 1.0], 2 / 255, 128),
        ("Sigmoid", [], 1 / 255, 0),
    ],
)
def test_what_ends_where_the_range_ends_is_not_clipped(
    op: str, constants: list[float], scale: float, zero: int
) -> None:
    names = [f"c{i}" for i in range(len(constants))]
    values = {
        name: np.array(c, np.float32) for name, c in zip(names, constants, strict=True)
    }
    values |= {"s": np.array(scale, np.float32), "z": np.array(zero, np.uint8)}
    graph = oh.make_graph(
        [
            oh.make_node(op, ["x", *names], ["r"]),
            oh.make_node("QuantizeLinear", ["r", "s", "z"], ["q"]),
        ],
        "g",
        [oh.make_tensor_value_info("x", 1, ["n", 3, 5])],
        [oh.make_tensor_value_info("q", 2, ["n", 3, 5])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    opsets = [oh.make_opsetid("", 21)]
    content = oh.make_model(graph, opset_imports=opsets, ir_version=10)
    model = trimtab.load_model(content.SerializeToString())
    model.count_clipping()
    x = draw() * 20
    q = model.run({"x": x})["q"]
    assert (q == 255).any()
    assert model.clipping() == {"r": (0, x.size)}


def test_one_call_of_64_is_looked_at() -> None:
    model = trimtab.load_model(quantising(np.uint8, 128))
    model.count_clipping()
    x = draw()
    for _ in range(2 * EVERY + 1):
        model.run({"x": x})
    clipped, seen = expected(x, np.uint8, 128)
    assert model.clipping() == {"r": (3 * clipped, 3 * seen)}


def test_off_there_is_no_step_and_counts_stay() -> None:
    model = trimtab.load_model(quantising(np.uint8, 128))
    x = draw()
    before = len(model.profile({"x": x}, repeat=1).nodes)
    model.count_clipping()
    counting = [n.op_type for n in model.profile({"x": x}, repeat=1).nodes]
    assert "CountClipping" in counting
    counted = model.clipping()
    model.count_clipping(False)
    for _ in range(EVERY + 1):
        model.run({"x": x})
    assert model.clipping() == counted
    assert len(model.profile({"x": x}, repeat=1).nodes) == before


def test_a_tensor_inside_a_concatenation_is_counted() -> None:
    graph = oh.make_graph(
        [
            oh.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            oh.make_node("Transpose", ["q"], ["t"], perm=[0, 2, 1]),
            oh.make_node("Concat", ["t", "other"], ["y"], axis=1),
        ],
        "g",
        [
            oh.make_tensor_value_info("x", 1, [4, 3, 5]),
            oh.make_tensor_value_info("other", 2, [4, 2, 3]),
        ],
        [oh.make_tensor_value_info("y", 2, [4, 7, 3])],
        [
            numpy_helper.from_array(np.array(SCALE), "s"),
            numpy_helper.from_array(np.array(128, np.uint8), "z"),
        ],
    )
    opsets = [oh.make_opsetid("", 21)]
    content = oh.make_model(graph, opset_imports=opsets, ir_version=10)
    model = trimtab.load_model(content.SerializeToString())
    model.count_clipping()
    x = draw(4)
    model.run({"x": x, "other": np.full((4, 2, 3), 255, np.uint8)})
    assert model.clipping() == {"x": expected(x, np.uint8, 128)}


def test_threads_lose_no_count() -> None:
    model = trimtab.load_model(quantising(np.uint8, 128), threads=1)
    model.count_clipping()
    x = draw()

    def work() -> None:
        for _ in range(4 * EVERY):
            model.run({"x": x})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clipped, seen = expected(x, np.uint8, 128)
    assert model.clipping() == {"r": (16 * clipped, 16 * seen)}


def _count_in_child(model: trimtab.Model, x: np.ndarray, pipe: object) -> None:
    for _ in range(EVERY):
        model.run({"x": x})
    pipe.send(model.clipping())  # type: ignore[attr-defined]


def test_a_forked_child_goes_on_counting() -> None:
    model = trimtab.load_model(quantising(np.uint8, 128), threads=1)
    model.count_clipping()
    x = draw()
    model.run({"x": x})
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()
    child = fork.Process(target=_count_in_child, args=(model, x, there))
    child.start()
    assert here.poll(60)
    clipped, seen = expected(x, np.uint8, 128)
    assert here.recv() == {"r": (2 * clipped, 2 * seen)}
    child.join()
    assert model.clipping() == {"r": (clipped, seen)}
