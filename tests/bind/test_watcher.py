"""`_core.Watcher`: what programs do, counted; NumPy says what is right."""

from __future__ import annotations

import itertools
import os
import threading
import time

import numpy as np
import pytest
from onnx import TensorProto, helper

import trimtab
from trimtab import _core

from . import models

ODDITIES = ("n_nan", "n_infinite", "n_below", "n_above", "n_constant", "n_unsketched")


def watched(
    model: trimtab.Model, path: object = None, **options: object
) -> tuple[_core.Program, _core.Watcher]:
    program = model.core.program()
    watcher = _core.Watcher(path)  # type: ignore[arg-type]
    program.watch(watcher, **options)  # type: ignore[arg-type]
    return program, watcher


def draw(n: int = 64, columns: int = 40, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, columns)) * 2
    return x.astype(np.float32)


def test_calls_rows_and_errors_are_counted(doubled) -> None:
    program, watcher = watched(doubled())
    sizes = [1, 5, 0, 64]
    for n in sizes:
        program(draw(n))
    program.run(draw(3))
    with pytest.raises(trimtab.InputError):
        program(np.zeros(3, np.float32))
    with pytest.raises(trimtab.InputTypeError):
        program(np.array([["a"]]))
    snapshot = watcher.snapshot()
    assert snapshot["n_calls"] == len(sizes) + 3
    assert snapshot["n_rows"] == sum(sizes) + 3
    assert snapshot["errors"] == {"InputError": 1, "InputTypeError": 1}
    assert snapshot["n_requests"] == 0
    assert snapshot["n_processes"] == 1
    assert snapshot["stages"]["compute"]["n"] == len(sizes) + 1


def test_a_program_that_counts_requests_counts_both(doubled) -> None:
    program, watcher = watched(doubled(), requests=True)
    program(draw())
    with pytest.raises(trimtab.InputError):
        program(np.zeros(3, np.float32))
    snapshot = watcher.snapshot()
    assert snapshot["n_calls"] == snapshot["n_requests"] == 2
    assert snapshot["errors"] == snapshot["request_errors"] == {"InputError": 1}
    assert snapshot["stages"]["request"] == snapshot["stages"]["compute"]


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.float16, np.int64, np.uint8]
)
@pytest.mark.parametrize("layout", ["rows", "columns", "steps"])
def test_odd_values_are_those_that_numpy_finds(doubled, dtype, layout: str) -> None:
    x = (draw() * 20).clip(0, 100).astype(dtype)
    x[5] = 7
    if np.dtype(dtype).kind == "f":
        x[3, 4], x[6, 1], x[6, 2] = np.nan, np.inf, -np.inf
    if layout == "columns":
        x = np.asfortranarray(x)
    elif layout == "steps":
        x = np.repeat(x, 2, axis=1)[:, ::2]
    code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    program, watcher = watched(doubled(code), every=1, limits={0: (3, 60)})
    y = program(x)
    snapshot = watcher.snapshot()
    for values, limits, seen in (
        (x, (3, 60), snapshot["inputs"][0]),
        (y, (-np.inf, np.inf), snapshot["outputs"][0]),
    ):
        wide = values.astype(np.float64)
        finite = np.isfinite(wide)
        assert seen == {
            "n_rows": len(x),
            "n_values": x.size,
            "n_nan": np.isnan(wide).sum(),
            "n_infinite": np.isinf(wide).sum(),
            "n_below": (finite & (wide < limits[0])).sum(),
            "n_above": (finite & (wide > limits[1])).sum(),
            "n_constant": (wide == wide[:, :1]).all(axis=1).sum(),
            "n_unsketched": 0,
        }
        assert seen["n_constant"] == 1


def test_every_says_which_calls_are_looked_at(doubled) -> None:
    program, watcher = watched(doubled(), every=4)
    for _ in range(10):
        program(draw(6))
    snapshot = watcher.snapshot()
    assert snapshot["n_calls_looked"] == 3
    assert snapshot["n_rows_looked"] == snapshot["inputs"][0]["n_rows"] == 18
    assert snapshot["look_s"] > 0


def test_one_call_in_64_is_timed_node_by_node(mlp) -> None:
    program, watcher = watched(mlp)
    program(draw(16, 64))
    assert watcher.snapshot()["nodes"] == []  # the first call meets cold caches
    for _ in range(129):
        program(draw(16, 64))
    nodes = {node["node"]: node for node in watcher.snapshot()["nodes"]}
    steps = program.steps(draw(16, 64))
    assert {step[0] for step in steps} == set(nodes)
    for node in nodes.values():
        assert node["n"] == 3
        assert 0 < node["sum_s"] < watcher.snapshot()["stages"]["compute"]["sum_s"]


def test_nodes_of_all_shapes_come_together(doubled) -> None:
    program, watcher = watched(doubled())
    for i in range(200):
        program(draw(1 + i % 3))
    (node,) = watcher.snapshot()["nodes"]
    assert (node["node"], node["op_type"], node["n"]) == ("double", "Add", 4)


def test_the_budget_says_how_much_is_looked_at(mlp) -> None:
    x, n_calls, looked = draw(16, 64), 40_000, {}
    for budget in (0.0, 1e-4, 1.0):
        program, watcher = watched(mlp, budget=budget)
        for _ in range(n_calls):
            program(x)
        looked[budget] = watcher.snapshot()["n_calls_looked"] / n_calls
    assert looked[0.0] == 0
    assert 0 < looked[1e-4] < 0.5  # with the first ones, which are on the house
    assert looked[1.0] > 0.9


def test_of_large_tensors_a_part_is_looked_at_unless_all_is_asked_for(doubled) -> None:
    x = np.ones((3000, 1000), np.float32)
    program, watcher = watched(doubled())
    program(x)
    seen = watcher.snapshot()["inputs"][0]
    assert seen["n_values"] * 4 <= 1 << 20
    assert seen["n_values"] == 1000 * seen["n_rows"] == 1000 * seen["n_constant"]
    program.watch(watcher, every=1)
    program(x)
    assert watcher.snapshot()["inputs"][0]["n_values"] == seen["n_values"] + x.size
    program.watch(watcher)
    program(x.reshape(1, -1))
    assert watcher.snapshot()["inputs"][0]["n_rows"] == seen["n_rows"] + len(x) + 1


def test_out_arrays_and_shapes_that_depend_on_data_are_looked_at(subtract) -> None:
    program, watcher = watched(subtract, every=1)
    a, b = draw(4, 6), draw(4, 6, seed=1)
    a[0, 0] = np.nan
    strided = np.zeros((4, 12), np.float32)[:, ::2]
    for out in (np.zeros((4, 6), np.float32), strided):
        program.run(a, b, out=[out])
    assert watcher.snapshot()["outputs"][0]["n_nan"] == 2
    node = helper.make_node("NonZero", ["x"], ["y"])
    content = models.build([node], [("x", TensorProto.FLOAT, ("n",))], ["y"])
    program, watcher = watched(trimtab.load_model(content, threads=1), every=1)
    program(np.array([0, 1, 2, 0, 3], np.float32))
    seen = watcher.snapshot()["outputs"][0]
    assert (seen["n_rows"], seen["n_values"]) == (1, 3)


def test_more_tensors_than_are_told_apart_count_as_the_last() -> None:
    n = 20
    model = trimtab.load_model(models.many_inputs(n), threads=1)
    program, watcher = watched(model, every=1)
    values = [
        np.full(3, np.nan if i in (0, 17, 19) else 1, np.float32) for i in range(n)
    ]
    program(*values)
    seen = watcher.snapshot()["inputs"]
    assert [s["n_nan"] for s in seen] == [3] + [0] * 14 + [6]


def test_quantiles_and_histograms_of_times_agree(doubled) -> None:
    program, watcher = watched(doubled())
    assert np.isnan(watcher.latency(0.5))
    for _ in range(200):
        program(draw(1))
    ends, counts = watcher.histogram("compute")
    stage = watcher.snapshot()["stages"]["compute"]
    assert counts.sum() == stage["n"] == 200
    assert (np.diff(ends) > 0).all()
    for q, key in ((0.5, "p50_s"), (0.99, "p99_s"), (0.999, "p999_s")):
        cell = np.searchsorted(np.cumsum(counts), np.ceil(q * 200))
        assert watcher.latency(q) == stage[key] == pytest.approx(ends[cell], rel=0.01)
    assert stage["p50_s"] <= stage["p99_s"] <= stage["max_s"] * 1.005
    assert stage["sum_s"] == pytest.approx((ends * counts).sum(), rel=0.01)
    assert len(watcher.histogram("preprocess")[0]) == 0
    for call in (lambda: watcher.latency(2), lambda: watcher.latency(0.5, "decode")):
        with pytest.raises(trimtab.InputError):
            call()


def test_requests_are_timed_by_their_stages() -> None:
    watcher = _core.Watcher()
    now = time.perf_counter_ns()
    watcher.count_request(now - 9_000_000, now - 8_000_000, now - 2_000_000, 3)
    watcher.count_request(now + 1_000_000_000)  # a clock that ran ahead
    stages = watcher.snapshot()["stages"]
    assert stages["request"]["n"] == 4
    assert stages["request"]["max_s"] == pytest.approx(0.009, rel=0.2)
    assert stages["preprocess"]["sum_s"] == pytest.approx(0.001, rel=1e-6)
    assert stages["postprocess"]["sum_s"] == pytest.approx(0.002, rel=0.5)
    for arguments in ((), (-1,), (1, 2, 3, 4, 5), ("a",)):
        with pytest.raises((TypeError, OverflowError)):
            watcher.count_request(*arguments)
    assert watcher.snapshot()["n_requests"] == 4


def test_an_error_counts_as_the_nearest_class_that_is_told_apart() -> None:
    watcher = _core.Watcher()

    class Own(trimtab.errors.InputTypeError):
        pass

    errors = [
        Own(),
        KeyError(),
        FileNotFoundError(),
        KeyboardInterrupt(),
        GeneratorExit(),
    ]
    for error in errors:
        watcher.count_error(error)
    watcher.count_error(ZeroDivisionError(), 5)
    assert watcher.snapshot()["request_errors"] == {
        "InputTypeError": 1,
        "LookupError": 1,
        "OSError": 1,
        "KeyboardInterrupt": 1,
        "BaseException": 1,
        "ArithmeticError": 5,
    }
    with pytest.raises(TypeError):
        watcher.count_error(ValueError)  # type: ignore[arg-type]


# ---- sketches ------------------------------------------------------------------------


def sketch(columns: int = 40) -> _core.TableSketch:
    return _core.TableSketch([np.linspace(-4, 4, 17)] * columns)


def test_sketches_are_fed_and_exchanged(doubled) -> None:
    given = sketch()
    program, watcher = watched(
        doubled(), every=1, inputs={0: given}, outputs={0: sketch()}
    )
    for seed in range(3):
        program(draw(seed=seed))
    filled = watcher.swap()
    expected_in, expected_out = sketch(), sketch()
    for seed in range(3):
        expected_in.update(draw(seed=seed))
        expected_out.update(2 * draw(seed=seed))
    assert filled["inputs"][0].to_bytes() == expected_in.to_bytes()
    assert filled["outputs"][0].to_bytes() == expected_out.to_bytes()
    assert given.n_rows == 0
    program(draw(2))
    assert watcher.swap()["inputs"][0].n_rows == 2
    assert watcher.swap()["inputs"][0].n_rows == 0
    program.watch(None)
    program(draw(2))
    assert watcher.swap()["inputs"][0].n_rows == 0
    assert watcher.snapshot()["n_calls"] == 4


def test_rows_that_do_not_fit_the_sketch_are_counted_and_harmless(doubled) -> None:
    program, watcher = watched(doubled(), every=1, inputs={0: sketch(7)})
    x = draw(5)
    np.testing.assert_array_equal(program(x), 2 * x)
    assert watcher.snapshot()["inputs"][0]["n_unsketched"] == 5
    assert watcher.swap()["inputs"][0].n_rows == 0


def test_swapping_while_threads_call_loses_and_doubles_nothing(subtract) -> None:
    program, watcher = watched(
        subtract, every=1, inputs={0: sketch(), 1: sketch()}, outputs={0: sketch()}
    )
    n_threads, n_calls, n_rows = 4, 150, 300
    a, b = draw(n_rows), draw(n_rows, seed=1)
    windows = []

    def call() -> None:
        for _ in range(n_calls):
            program(a, b)

    threads = [threading.Thread(target=call) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        windows.append(watcher.swap())
    for thread in threads:
        thread.join()
    windows.append(watcher.swap())
    for window in windows:  # a call is in one window with all its tensors
        rows = {window["inputs"][0].n_rows, window["inputs"][1].n_rows}
        assert rows == {window["outputs"][0].n_rows}
        assert rows.pop() % n_rows == 0
    total = windows[0]["inputs"][0]
    for window in windows[1:]:
        total.merge(window["inputs"][0])
    assert total.n_rows == n_threads * n_calls * n_rows
    snapshot = watcher.snapshot()
    assert snapshot["n_calls"] == n_threads * n_calls
    assert snapshot["inputs"][1]["n_values"] == n_threads * n_calls * a.size


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"inputs": {1: sketch()}}, "keys from 0 to 0, got 1"),
        ({"outputs": {-1: sketch()}}, "got -1"),
        ({"inputs": {"x": sketch()}}, "got 'x'"),
        ({"inputs": {2**70: sketch()}}, "from 0 to 0"),
        ({"inputs": [sketch()]}, "a dict by index"),
        ({"limits": {0: (2, 1)}}, "(low, high)"),
        ({"limits": {0: (np.nan, 1)}}, "(low, high)"),
        ({"limits": {0: 3}}, "(low, high)"),
        ({"every": -1}, "one call in so many"),
        ({"budget": 1.5}, "from 0 to 1"),
        ({"budget": np.nan}, "from 0 to 1"),
        ({"keep": True, "inputs": {}}, "what is looked at stays"),
    ],
)
def test_what_cannot_be_watched_is_refused_and_changes_nothing(
    doubled, options: dict, text: str
) -> None:
    program, watcher = watched(doubled(), every=1, inputs={0: sketch()})
    with pytest.raises((trimtab.InputError, trimtab.InputTypeError)) as error:
        program.watch(watcher, **options)
    assert text in str(error.value)
    program(draw(2))
    assert watcher.swap()["inputs"][0].n_rows == 2
    for other in (5, _core.Histogram()):
        with pytest.raises(trimtab.InputTypeError):
            program.watch(other)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        program.watch(watcher, inputs={0: 5})  # type: ignore[dict-item]


def test_another_program_may_count_with_the_first_and_nothing_is_lost(doubled) -> None:
    first, watcher = watched(doubled(), every=1, inputs={0: sketch()})
    first(draw(2))
    second = doubled().core.program()
    second.watch(watcher, keep=True)
    second(draw(3))
    first(draw(4))
    third = doubled().core.program()
    third.watch(watcher, keep=True, requests=True)
    third(draw(5))
    assert watcher.swap()["inputs"][0].n_rows == 14
    snapshot = watcher.snapshot()
    assert (snapshot["n_calls"], snapshot["n_requests"]) == (4, 1)
    assert snapshot["inputs"][0]["n_rows"] == 14


# ---- forks ---------------------------------------------------------------------------


def in_child(work) -> list[int]:
    """What `work` returns in a forked child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, " ".join(map(str, work())).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return [int(word) for word in answer.split()]


def test_in_memory_a_forked_child_counts_for_itself(doubled) -> None:
    program, watcher = watched(doubled(), every=1, inputs={0: sketch()})
    program(draw(3))

    def work() -> tuple[int, ...]:
        program(draw(5))
        return watcher.snapshot()["n_rows"], watcher.swap()["inputs"][0].n_rows

    assert in_child(work) == [5, 5]
    assert watcher.snapshot()["n_rows"] == 3
    assert watcher.swap()["inputs"][0].n_rows == 3


def test_in_a_file_a_forked_child_takes_a_slot_of_its_own(doubled, tmp_path) -> None:
    program, watcher = watched(doubled(), tmp_path / "counters")
    program(draw(3))

    def work() -> tuple[int, ...]:
        program(draw(5))
        snapshot = watcher.snapshot()
        return snapshot["n_rows"], snapshot["n_processes"]

    assert in_child(work) == [8, 2]
    assert watcher.snapshot()["n_rows"] == 8
    assert watcher.snapshot()["n_processes"] == 1


def test_a_fork_while_another_thread_is_looking_leaves_a_usable_child(doubled) -> None:
    program, watcher = watched(doubled(), every=1, inputs={0: sketch()})
    x, stop = draw(2000), threading.Event()

    def call() -> None:
        while not stop.is_set():
            program(x)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        for _ in range(10):
            child = in_child(
                lambda: (len(program(x[:7])), watcher.swap()["inputs"][0].n_rows)
            )
            assert child == [7, 7]
    finally:
        stop.set()
        thread.join()


def test_a_fork_while_another_thread_makes_plans_leaves_a_usable_child(doubled) -> None:
    program, stop = doubled().core.program(), threading.Event()

    def call() -> None:
        for rows in itertools.cycle(range(1, 200)):
            if stop.is_set():
                return
            program(draw(rows))

    thread = threading.Thread(target=call)
    thread.start()
    try:
        for rows in range(300, 330):
            assert in_child(lambda: (len(program(draw(rows))),)) == [rows]  # noqa: B023
    finally:
        stop.set()
        thread.join()


def test_a_watcher_says_what_it_is(tmp_path) -> None:
    path = str(tmp_path / "counters")
    watcher = _core.Watcher(path, name="mnist")
    assert (watcher.path, watcher.name) == (path, "mnist")
    assert repr(watcher) == f"Watcher({path!r}, name='mnist')"
    assert _core.Watcher().path is None
    with pytest.raises(trimtab.InputError, match="'mnist'"):
        _core.Watcher(path, name="other")
    (tmp_path / "foreign").write_bytes(b"x" * 5000)
    with pytest.raises(trimtab.InputError, match="no file of counters"):
        _core.Watcher(tmp_path / "foreign")
    with pytest.raises(trimtab.InputError, match="No such file"):
        _core.Watcher(tmp_path / "nowhere" / "counters")
