"""References are balanced, and nothing grows."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

import trimtab
from trimtab import _core

from . import models


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_calls_leave_the_reference_counts_of_arguments_alone(
    subtract: trimtab.Model,
) -> None:
    a, b, y = (np.ones((3, 4), np.float32) for _ in range(3))
    name = subtract.outputs[0].name
    before = [sys.getrefcount(x) for x in (a, b, y)]
    for _ in range(50):
        subtract(a, b)
        subtract(a[::-1], b.tolist())
        subtract.run({"a": a, "b": b}, out={name: y})
        subtract.run({"a": a, "b": b}, out={name: y.T.copy().T})
        subtract.bind({"a": a, "b": b}, {name: y}).run()
        with pytest.raises(trimtab.InputError):
            subtract(a, a[:2])
        with pytest.raises(trimtab.InputError):
            subtract.run({"a": a, "b": b}, out={name: a})
    gc.collect()
    assert [sys.getrefcount(x) for x in (a, b, y)] == before


def test_an_output_has_one_owner(doubled) -> None:
    for n in (4, 1 << 16):
        assert sys.getrefcount(doubled()(np.ones((1, n), np.float32))) == 1 or (
            sys.getrefcount(y := doubled()(np.ones((1, n), np.float32))) == 2
            and y is not None
        )


def test_weights_are_lent_and_given_back() -> None:
    class Lent(np.ndarray):
        pass

    data, buffers = _wire(models.mlp())
    lent = [np.array(buffer).view(Lent) for buffer in buffers]
    alive = [weakref.ref(buffer) for buffer in lent]
    core = _core.Model(data, lent, threads=1)
    del lent, buffers
    gc.collect()
    assert all(ref() is not None for ref in alive)
    program = core.program()
    del core
    y = program(np.ones((2, 64), np.float32))
    assert np.isfinite(y).all()
    del program
    gc.collect()
    assert all(ref() is None for ref in alive)


def test_a_model_that_cannot_be_made_gives_its_buffers_back() -> None:
    class Lent(np.ndarray):
        pass

    data, buffers = _wire(models.mlp())
    lent = [np.array(buffer).view(Lent) for buffer in buffers]
    alive = [weakref.ref(buffer) for buffer in lent]
    for broken in (data[:-3], data[:40], b"", b"TTG1" + bytes(16)):
        with pytest.raises(trimtab.ModelFormatError):
            _core.Model(broken, lent)
    with pytest.raises(trimtab.ModelFormatError):
        _core.Model(data, lent[:-1])
    del lent, buffers
    gc.collect()
    assert all(ref() is None for ref in alive)


def _wire(content: bytes):
    from trimtab.formats import read_model
    from trimtab.wire import encode

    return encode(read_model(content))


def test_models_are_collected_with_their_fallback() -> None:
    class Callback:
        def __call__(self, graph: int, node: int, arrays: list) -> list:
            return arrays

    data, buffers = _wire(models.mlp())
    callback = Callback()
    core = _core.Model(data, buffers, fallback=callback)
    callback.model = core.program()  # a cycle through the engine
    alive = weakref.ref(callback)
    del core, callback
    gc.collect()
    assert alive() is None


def growth_over_calls(kind: str) -> int:
    """Bytes that the resident size grows by over ten thousand calls, after warm-up."""
    if kind == "dynamic":
        model = trimtab.load_model(models.non_zero(), threads=1)
    else:
        model = trimtab.load_model(models.subtract(), threads=1)
    shape = (256, 256) if kind == "large" else (4, 4)
    a = np.ones(shape, np.float32)

    def call() -> None:
        if kind == "dynamic":
            model(a[0])
        elif kind == "convert":
            model(a.astype(np.float64), a.tolist())
        elif kind == "error":
            with pytest.raises(trimtab.InputError):
                model(a, a[:, :2].astype(np.complex64))
        else:
            model(a, a)

    repeat = 1000 if kind in ("large", "error") else 10000
    for _ in range(repeat // 10):
        call()
    gc.collect()
    before = resident_bytes()
    for _ in range(repeat):
        call()
    gc.collect()
    return resident_bytes() - before


@pytest.mark.parametrize("kind", ["call", "large", "convert", "error", "dynamic"])
def test_ten_thousand_calls_keep_the_resident_size(kind: str) -> None:
    # in a process of its own: in this one the kernel may make huge pages of what
    # other tests left behind, at any time
    code = (
        f"from tests.bind.test_memory import growth_over_calls as g; print(g({kind!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1 << 20


def test_loading_again_and_again_keeps_the_resident_size() -> None:
    content = models.mlp(n_layers=2, width=128)
    x = np.ones((4, 128), np.float32)

    def load() -> None:
        with trimtab.load_model(content, threads=1) as model:
            model(x)

    for _ in range(30):
        load()
    gc.collect()
    before = resident_bytes()
    for _ in range(100):
        load()
    gc.collect()
    assert resident_bytes() - before < 4 << 20


def test_every_failing_allocation_of_a_call_is_an_exception_and_is_survived() -> None:
    model = trimtab.load_model(models.mlp(), threads=1)
    x = np.ones((8, 64), np.float32)
    expected = model(x).tobytes()
    _core.fail_alloc(0)
    for n in range(2, 40):
        _core.fail_alloc(0)
        batch = np.ones((n + 8, 64), np.float32)
        _core.fail_alloc(n - 1)
        try:
            model(batch)
        except trimtab.OutOfMemoryError as error:
            assert error.code == "NO_MEMORY"  # noqa: PT017
        finally:
            _core.fail_alloc(0)
        assert model(x).tobytes() == expected


def test_an_output_that_cannot_be_had_is_an_exception(doubled) -> None:
    model = doubled()
    x = np.ones((64, 64), np.float32)
    model(x)
    _core.fail_alloc(1, True)
    try:
        with pytest.raises(trimtab.OutOfMemoryError, match="output"):
            model(x)
    finally:
        _core.fail_alloc(0)
    np.testing.assert_array_equal(model(x), 2)
