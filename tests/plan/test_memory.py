"""Weights: in their file until a plan packs them, and never wrong after that."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx.helper as oh
import pytest
from onnx import TensorProto, numpy_helper

import trimtab

WIDTH = 320  # 320 x 320 floats: 400 KiB, well above what is left in a file


def _save(nodes: list, inputs: dict, constants: dict, output: str) -> bytes:
    floats = TensorProto.FLOAT
    values = [
        oh.make_tensor_value_info(
            name, TensorProto.INT64 if name == "ids" else floats, shape
        )
        for name, shape in inputs.items()
    ]
    graph = oh.make_graph(
        nodes,
        "weights",
        values,
        [oh.make_tensor_value_info(output, floats, None)],
        [numpy_helper.from_array(x, name) for name, x in constants.items()],
    )
    opset = [oh.make_opsetid("", 18)]
    return oh.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def _weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) / 16).astype(np.float32)


def mlp(rng: np.random.Generator) -> bytes:
    """Plain, transposed (as dynamo exports) and transposed Gemm weights."""
    nodes = [
        oh.make_node("MatMul", ["x", "w0"], ["a"], "plain"),
        oh.make_node("Relu", ["a"], ["b"]),
        oh.make_node("Transpose", ["w1"], ["w1t"], perm=[1, 0]),
        oh.make_node("MatMul", ["b", "w1t"], ["c"], "transposed"),
        oh.make_node("Gemm", ["c", "w2"], ["y"], "gemm", transB=1),
    ]
    constants = {f"w{i}": _weights(rng, WIDTH, WIDTH) for i in range(3)}
    return _save(nodes, {"x": ["n", WIDTH]}, constants, "y")


def attention(rng: np.random.Generator) -> bytes:
    """Matmuls with one input become one; one of them is transposed in the file."""
    nodes = [
        oh.make_node("Gather", ["table", "ids"], ["x"], axis=0),
        oh.make_node("Transpose", ["wk"], ["wkt"], perm=[1, 0]),
        oh.make_node("MatMul", ["x", "wq"], ["q"]),
        oh.make_node("MatMul", ["x", "wkt"], ["k"]),
        oh.make_node("MatMul", ["x", "wv"], ["v"]),
        oh.make_node("Mul", ["q", "k"], ["qk"]),
        oh.make_node("Add", ["qk", "v"], ["y"]),
    ]
    constants = {name: _weights(rng, WIDTH, WIDTH) for name in ("wq", "wk", "wv")}
    constants["table"] = _weights(rng, 1000, WIDTH)
    return _save(nodes, {"ids": ["n"]}, constants, "y")


def conv(rng: np.random.Generator) -> bytes:
    """A filter that batch norm is folded into, and one that comes reshaped."""
    c = 64
    nodes = [
        oh.make_node("Conv", ["x", "w0"], ["a"], pads=[1, 1, 1, 1]),
        oh.make_node("BatchNormalization", ["a", "s", "b", "m", "v"], ["n"]),
        oh.make_node("Reshape", ["w1", "shape"], ["filter"]),
        oh.make_node("Conv", ["n", "filter"], ["y"], pads=[1, 1, 1, 1]),
    ]
    constants = {
        "w0": _weights(rng, c, c, 3, 3),
        "w1": _weights(rng, c, c * 9),
        "shape": np.array([c, c, 3, 3]),
        "s": rng.random(c, dtype=np.float32),
        "b": _weights(rng, c),
        "m": _weights(rng, c),
        "v": rng.random(c, dtype=np.float32) + 1,
        # not used here, but it makes the file one whose weights are left in it
        "unused": _weights(rng, 512, 1024),
    }
    return _save(nodes, {"x": ["n", c, 8, 8]}, constants, "y")


def lstm(rng: np.random.Generator) -> bytes:
    hidden = 160
    nodes = [oh.make_node("LSTM", ["x", "w", "r", "b"], ["y"], hidden_size=hidden)]
    constants = {
        "w": _weights(rng, 1, 4 * hidden, WIDTH),
        "r": _weights(rng, 1, 4 * hidden, hidden),
        "b": _weights(rng, 1, 8 * hidden),
    }
    return _save(nodes, {"x": ["n", 1, WIDTH]}, constants, "y")


def nodes(rng: np.random.Generator) -> bytes:
    """Weights in nodes named Constant, as paddle2onnx writes them."""
    weights = [_weights(rng, WIDTH, WIDTH) for _ in range(2)]
    chain = [
        oh.make_node("Constant", [], [f"w{i}"], value=numpy_helper.from_array(w, "w"))
        for i, w in enumerate(weights)
    ]
    chain += [
        oh.make_node("MatMul", ["x", "w0"], ["a"]),
        oh.make_node("MatMul", ["a", "w1"], ["b"]),
        oh.make_node("MatMul", ["b", "w2"], ["y"]),
    ]
    return _save(chain, {"x": ["n", WIDTH]}, {"w2": _weights(rng, WIDTH, WIDTH)}, "y")


MODELS = {
    "mlp": mlp,
    "attention": attention,
    "conv": conv,
    "lstm": lstm,
    "nodes": nodes,
}


def _inputs(name: str, n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    if name == "attention":
        return rng.integers(0, 1000, n)
    shape = {
        "mlp": (n, WIDTH),
        "nodes": (n, WIDTH),
        "conv": (n, 64, 8, 8),
        "lstm": (n, 1, WIDTH),
    }[name]
    return rng.standard_normal(shape).astype(np.float32)


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def path(name: str, tmp_path: Path) -> Path:
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(MODELS[name](np.random.default_rng(0)))
    return path


def _expected(path: Path, x: np.ndarray) -> np.ndarray:
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


# ---- the same answers ------------------------------------------------------------


def test_a_file_and_its_bytes_give_the_same_for_every_shape(name, path) -> None:
    from_file = trimtab.load_model(path, threads=1)
    from_bytes = trimtab.load_model(path.read_bytes(), threads=1)
    for n in (1, 7, 64, 2, 7):  # plans of other shapes pack other layouts
        x = _inputs(name, n)
        y = from_file(x)
        np.testing.assert_array_equal(y, from_bytes(x))
        # float32 sums of some hundred terms of size 1/16
        np.testing.assert_allclose(y, _expected(path, x), rtol=1e-4, atol=1e-4)


def test_a_file_that_is_gone_or_replaced_changes_nothing(name, path) -> None:
    x, more = _inputs(name, 3), _inputs(name, 50)
    expected = trimtab.load_model(path.read_bytes(), threads=1)(more)
    gone = trimtab.load_model(path, threads=1)
    replaced = trimtab.load_model(path, threads=1)
    gone(x)
    other = path.with_suffix(".new")
    other.write_bytes(MODELS[name](np.random.default_rng(1)))
    os.replace(other, path)
    np.testing.assert_array_equal(replaced(more), expected)
    path.unlink()
    np.testing.assert_array_equal(gone(more), expected)


@pytest.mark.parametrize("name", ["mlp"])
@pytest.mark.parametrize("how", ["overwritten", "truncated", "emptied"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_file_that_was_written_to_is_refused(name, path, how, when) -> None:
    model = trimtab.load_model(path, threads=1)
    x = _inputs(name, 3)
    y = model(x) if when == "after" else None
    if how == "overwritten":
        with path.open("r+b") as file:
            file.seek(1 << 19)
            file.write(b"\1" * 5000)
    else:
        os.truncate(path, 1 << 19 if how == "truncated" else 0)
    fresh = _inputs(name, 300)  # more rows than columns: another layout of weights
    for _ in range(2):
        with pytest.raises(trimtab.ModelFormatError, match="has changed"):
            model.run({"x": x if when == "before" else fresh}, outputs=["a", "y"])
    if when == "after":  # what is packed needs no file
        np.testing.assert_array_equal(model(x), y)


def test_taps_find_the_weights_again(tmp_path) -> None:
    path = tmp_path / "mlp.onnx"
    path.write_bytes(mlp(np.random.default_rng(0)))
    model = trimtab.load_model(path, threads=1)
    x = _inputs("mlp", 5)
    model(x)
    weights = {
        i.name: numpy_helper.to_array(i)
        for i in __import__("onnx").load(path).graph.initializer
    }
    b = np.maximum(x.astype(np.float64) @ weights["w0"], 0)
    tapped = model.run({"x": x}, outputs=["b"])["b"]
    np.testing.assert_allclose(tapped, b, rtol=1e-4, atol=1e-4)


def test_threads_may_want_the_weights_at_once(name, path) -> None:
    model = trimtab.load_model(path, threads=2)
    whole = trimtab.load_model(path.read_bytes(), threads=2)
    sizes = [1, 5, 9, 33]
    found: dict[int, np.ndarray] = {}

    def call(n: int) -> None:
        found[n] = model(_inputs(name, n))

    threads = [threading.Thread(target=call, args=(n,)) for n in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in sizes:
        np.testing.assert_array_equal(found[n], whole(_inputs(name, n)))


def test_an_operator_in_python_reads_weights_from_the_file(tmp_path) -> None:
    rng = np.random.default_rng(0)
    w, b = _weights(rng, WIDTH, 2 * WIDTH), _weights(rng, 2 * WIDTH, WIDTH)
    square = _weights(rng, 200, 200)
    nodes = [
        oh.make_node("MatMul", ["x", "w"], ["a"]),
        oh.make_node("MatMul", ["a", "b"], ["c"]),
        oh.make_node("Cast", ["square"], ["t"], "to_text", to=TensorProto.STRING),
        oh.make_node("Cast", ["t"], ["n"], "to_number", to=TensorProto.FLOAT),
        oh.make_node("ReduceSum", ["n"], ["d"], keepdims=0),
        oh.make_node("Add", ["c", "d"], ["y"]),
    ]
    path = tmp_path / "det.onnx"
    constants = {"w": w, "b": b, "square": square}
    path.write_bytes(_save(nodes, {"x": ["n", WIDTH]}, constants, "y"))
    with pytest.warns(UserWarning, match="Cast 'to_text'"):
        model = trimtab.load_model(path, threads=1)
    x = _inputs("mlp", 4)
    expected = x.astype(np.float64) @ w @ b + square.astype(np.float64).sum()
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-4)


# ---- how much is held ------------------------------------------------------------


def test_the_memory_report_says_where_the_weights_are(tmp_path) -> None:
    path = tmp_path / "mlp.onnx"
    path.write_bytes(mlp(np.random.default_rng(0)))
    model = trimtab.load_model(path, threads=1)
    n_bytes = 3 * WIDTH * WIDTH * 4
    assert model.memory_report().stored_bytes == n_bytes
    assert model.memory_report().weights_bytes == 0
    model(_inputs("mlp", 64))
    report = model.memory_report()
    assert report.stored_bytes == n_bytes
    assert report.packed_bytes >= n_bytes
    whole = trimtab.load_model(path.read_bytes(), threads=1).memory_report()
    assert (whole.weights_bytes, whole.stored_bytes) == (n_bytes, 0)
    assert "left in the file" in repr(report)


def test_weights_in_nodes_are_left_in_the_file_too(tmp_path) -> None:
    path = tmp_path / "nodes.onnx"
    path.write_bytes(nodes(np.random.default_rng(0)))
    report = trimtab.load_model(path, threads=1).memory_report()
    assert report.stored_bytes == 3 * WIDTH * WIDTH * 4


def test_a_table_that_is_read_as_it_is_stays_in_memory(tmp_path) -> None:
    path = tmp_path / "attention.onnx"
    path.write_bytes(attention(np.random.default_rng(0)))
    model = trimtab.load_model(path, threads=1)
    model(_inputs("attention", 9))
    assert model.memory_report().weights_bytes == 1000 * WIDTH * 4


_GROWTH = """\
import sys, numpy as np, trimtab
from pathlib import Path
def resident():
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024
trimtab.load_model(sys.argv[1])(np.ones((2, 64), np.float32))  # libraries, code
before = resident()
model = trimtab.load_model(sys.argv[2], threads=1)
for n in (2, 2, 3, 2):
    model(np.ones((n, 2048), np.float32))
print(resident() - before, model.memory_report().total_bytes)
"""


def test_weights_are_resident_once_and_the_report_adds_up(tmp_path) -> None:
    def save(width: int, n: int) -> Path:
        rng = np.random.default_rng(0)
        names = [f"w{i}" for i in range(n)]
        nodes = [
            node
            for i, w in enumerate(names)
            for node in (
                oh.make_node("Transpose", [w], [f"{w}t"]),
                oh.make_node("MatMul", [f"h{i}", f"{w}t"], [f"h{i + 1}"]),
            )
        ]
        constants = {w: _weights(rng, width, width) for w in names}
        path = tmp_path / f"{width}.onnx"
        path.write_bytes(_save(nodes, {"h0": ["n", width]}, constants, f"h{n}"))
        return path

    done = subprocess.run(
        [sys.executable, "-c", _GROWTH, save(64, 1), save(2048, 4)],
        capture_output=True,
        text=True,
        check=True,
    )
    grown, reported = map(int, done.stdout.split())
    weights = 4 * 2048 * 2048 * 4
    assert weights <= grown < 1.15 * weights
    assert abs(grown - reported) < 0.15 * weights


def test_the_file_is_closed_with_the_model(name, path) -> None:
    def n_open() -> int:
        links = (os.path.join("/proc/self/fd", x) for x in os.listdir("/proc/self/fd"))
        return sum(os.path.exists(x) and os.readlink(x) == str(path) for x in links)

    model = trimtab.load_model(path, threads=1)
    model(_inputs(name, 2))
    assert n_open() == 1
    model.close()
    del model
    gc.collect()
    assert n_open() == 0
    with pytest.raises(trimtab.TrimtabError):
        path.write_bytes(path.read_bytes()[:-1000])
        trimtab.load_model(path)
    gc.collect()
    assert n_open() == 0
