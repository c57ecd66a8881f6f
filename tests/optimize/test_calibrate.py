"""Calibration: every tensor against onnxruntime's values and NumPy's statistics."""

from __future__ import annotations

import signal
import threading
import warnings
import weakref
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import trimtab
from trimtab.errors import CalibrationWarning, InputError, InputTypeError
from trimtab.optimize import calibrate as module
from trimtab.optimize.calibrate import calibrate

RNG = np.random.default_rng(6)
TENSORS = ("x", "c1", "r1", "c2", "sum", "flat", "y")


def content() -> bytes:
    """Two convolutions, a residual sum, a fully connected layer."""
    weights = {
        "w1": RNG.standard_normal((6, 3, 3, 3)) / 5,
        "w2": RNG.standard_normal((6, 6, 3, 3)) / 7,
        "w3": RNG.standard_normal((6 * 64, 4)) / 20,
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "r1"], ["sum"]),
        helper.make_node("Flatten", ["sum"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w3"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, 8, 8))],
        [helper.make_empty_tensor_value_info("y")],
        [
            numpy_helper.from_array(w.astype(np.float32), name)
            for name, w in weights.items()
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return model.SerializeToString()


CONTENT = content()
X = RNG.standard_normal((10, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> trimtab.Model:
    return trimtab.load_model(CONTENT, threads=1)


def reference(x: np.ndarray) -> dict[str, np.ndarray]:
    """All tensors by onnxruntime."""
    proto = onnx.load_from_string(CONTENT)
    del proto.graph.output[:]
    names = [name for name in TENSORS if name != "x"]
    proto.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return {"x": x, **dict(zip(names, session.run(names, {"x": x}), strict=True))}


@pytest.mark.parametrize("run_bytes", [32 << 20, 4000, 1])
def test_statistics_are_those_of_the_reference(model, run_bytes: int) -> None:
    found = calibrate(
        model, X, TENSORS, channels=("x", "r1", "flat"), run_bytes=run_bytes
    )
    assert tuple(found) == TENSORS
    for name, values in reference(X).items():
        statistics = found[name]
        assert statistics.n == values.size
        assert statistics.n_batches == len(X)
        # kernels differ by rounding: 1e-5 of the largest value
        room = 1e-5 * float(np.abs(values).max())
        assert statistics.minimum == pytest.approx(values.min(), abs=room)
        assert statistics.maximum == pytest.approx(values.max(), abs=room)
        rows = values.reshape(len(X), -1)
        assert statistics.average_minimum == pytest.approx(
            rows.min(axis=1).mean(), abs=room
        )
        assert statistics.average_maximum == pytest.approx(
            rows.max(axis=1).mean(), abs=room
        )
        assert statistics.mean == pytest.approx(values.mean(), abs=room)
        np.testing.assert_allclose(statistics.mean_square, (rows**2).mean(), rtol=1e-4)
        edges = np.linspace(statistics.low_edge, statistics.high_edge, 2049)
        counts = np.histogram(values, edges)[0]
        # values next to an edge may fall on its other side
        assert np.abs(statistics.histogram - counts).sum() <= 2 + 0.01 * values.size
        axis = {"x": 1, "r1": 1, "flat": 1}.get(name)
        if axis is None:
            assert statistics.channel_absmax is None
            continue
        others = tuple(i for i in range(values.ndim) if i != axis)
        np.testing.assert_allclose(
            statistics.channel_absmax, np.abs(values).max(axis=others), atol=room
        )
        np.testing.assert_allclose(
            statistics.channel_mean, values.mean(axis=others), atol=room
        )


def test_batches_in_any_order_and_size_give_the_same(model) -> None:
    one = calibrate(model, X, TENSORS)
    other = calibrate(model, [X[6:], X[:1], X[1:6]], TENSORS)
    for name in TENSORS:
        assert one[name].n == other[name].n
        assert one[name].mean == pytest.approx(other[name].mean, abs=1e-6)
        assert np.abs(one[name].histogram - other[name].histogram).sum() < 20


def test_a_batch_that_is_too_large_for_a_run_is_cut_into_samples(model) -> None:
    """A batch of 32 pictures needed gigabytes of tensors and many runs."""
    (whole,) = calibrate(model, [X], ["r1"]).values()
    cut = calibrate(model, [X], ["r1", "sum"], run_bytes=4000)["r1"]
    assert (whole.n_batches, cut.n_batches) == (1, 10)
    assert np.abs(whole.histogram - cut.histogram).sum() < 10


def test_channels_lie_where_they_are_said_to_lie(model) -> None:
    found = calibrate(model, X, ["r1", "y"], channels={"r1": 2, "y": 0})
    assert found["r1"].channel_absmax is not None
    assert found["r1"].channel_absmax.shape == (8,)
    assert found["y"].axis == 0


def test_sizes_of_inputs_may_change_from_batch_to_batch() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", "t"))
    graph = helper.make_graph(
        [node], "g", [value], [helper.make_empty_tensor_value_info("y")]
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model = trimtab.load_model(proto, threads=1)
    batches = [np.full((1, n), n, np.float32) for n in (3, 7, 3, 5000, 1)]
    for run_bytes in (100, 1 << 20):
        found = calibrate(model, iter(batches), ["y", "x"], run_bytes=run_bytes)
        assert found["y"].n == 5014
        assert found["y"].maximum == 5000


def test_a_name_given_twice_is_collected_once(model) -> None:
    assert calibrate(model, X, ["r1", "r1"])["r1"].n == 10 * 6 * 64


def test_progress_is_told_and_may_end_it(model) -> None:
    told: list[tuple[int, int | None]] = []
    calibrate(model, X[:3], ["y"], progress=lambda *args: told.append(args))
    assert told == [(1, 3), (2, 3), (3, 3)]
    told.clear()
    calibrate(model, iter(X[:2]), ["y"], progress=lambda *args: told.append(args))
    assert told == [(1, None), (2, None)]

    def stop(n_done: int, n_batches: int | None) -> None:
        raise StopAsyncIteration

    with pytest.raises(StopAsyncIteration):
        calibrate(model, X, ["y"], progress=stop)


def test_ctrl_c_ends_it_and_the_model_still_works(model) -> None:
    before = model(X[:1])

    def press(n_done: int, n_batches: int | None) -> None:
        if n_done == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        calibrate(model, X, TENSORS, progress=press)
    np.testing.assert_array_equal(model(X[:1]), before)
    assert calibrate(model, X, ["y"])["y"].n_batches == 10


def broken(x: np.ndarray, *indices: Any) -> np.ndarray:
    x = x.copy()
    x[indices or ...] = np.nan
    return x


@pytest.mark.parametrize(
    ("data", "tensors", "error", "text"),
    [
        (X, ["r9"], InputError, "no tensor 'r9'"),
        (X, ["R1x", "r1"], InputError, "no tensor 'R1x'"),
        (X, ["R"], InputError, "near: .*'r1'"),
        (X, ["w1"], InputError, "no tensor 'w1'"),
        (X[:0], ["y"], InputError, "at least one sample"),
        ([], ["y"], InputError, "at least one batch"),
        (iter([]), ["y"], InputError, "at least one batch, got none"),
        (X[:, :2], ["y"], InputError, "expected 3 on axis 1"),
        ([X, X[:, :2]], ["y"], InputError, "batch 1"),
        ([X, broken(X)], ["y"], InputError, "all of its 1920 values are NaN"),
        (X.astype(complex), ["y"], InputTypeError, "complex"),
        ({"z": X}, ["y"], InputError, "no input 'z'"),
        ((X, np.zeros(10)), ["y"], InputError, "labels are no inputs"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    model, data, tensors, error, text
) -> None:
    with pytest.raises(error, match=text):
        calibrate(model, data, tensors)


def test_channels_must_be_among_the_tensors(model) -> None:
    with pytest.raises(InputError, match="channels: 'r1' is not among"):
        calibrate(model, X, ["y"], channels=["r1"])
    with pytest.raises(InputError, match="tensor 'y': axis 5"):
        calibrate(model, X, ["y"], channels={"y": 5})


def test_names_are_checked_before_the_data_are_touched(model) -> None:
    def data() -> Any:
        raise AssertionError("touched")
        yield

    with pytest.raises(InputError, match="no tensor"):
        calibrate(model, data(), ["nowhere"])


def test_a_tensor_without_a_finite_value_is_refused(model) -> None:
    x = X[:2].copy()
    x[:, 0] = np.inf  # the others are finite, but every sum has one that is not
    with pytest.raises(InputError, match="tensor 'y': all of its 8 values are NaN"):
        calibrate(model, x, ["x", "y"])


def test_suspicious_tensors_are_named_in_warnings(model) -> None:
    with pytest.warns(CalibrationWarning, match="2 of .* same value everywhere: 'x'"):
        calibrate(model, np.zeros_like(X), ["x", "flat"])
    with pytest.warns(CalibrationWarning, match="hold NaN or infinities: 'x'"):
        calibrate(model, broken(X, 3, 1, 2, 2), ["x"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calibrate(model, X, TENSORS)


@pytest.mark.parametrize(("run_bytes", "n_most"), [(1, 1), (1 << 20, 6)])
def test_values_are_not_kept(
    model, monkeypatch: pytest.MonkeyPatch, run_bytes: int, n_most: int
) -> None:
    """At most one run's arrays are alive at any time, whatever the data's size."""
    seen: list[weakref.ref[np.ndarray]] = []
    alive: list[int] = []
    update = module.TensorStatistics.update

    def watched(self: Any, batch: np.ndarray) -> None:
        seen.append(weakref.ref(batch))
        alive.append(sum(ref() is not None for ref in seen))
        update(self, batch)

    monkeypatch.setattr(module.TensorStatistics, "update", watched)
    calibrate(model, X, [name for name in TENSORS if name != "x"], run_bytes=run_bytes)
    assert len(seen) == 6 * len(X)
    assert max(alive) <= n_most + 1  # and one that the caller's loop still names


def test_a_calibration_leaves_no_threads_and_no_programs(model) -> None:
    n_threads = threading.active_count()
    programs = dict(model._programs)
    calibrate(model, X, TENSORS)
    assert threading.active_count() == n_threads
    assert model._programs == programs
