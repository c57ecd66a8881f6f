"""Many threads on one model, forks, and Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import trimtab

from . import models


def test_threads_get_the_same_bits_as_one_alone(mlp: trimtab.Model) -> None:
    rng = np.random.default_rng(3)
    batches = [
        rng.standard_normal((n, 64)).astype(np.float32) for n in (1, 2, 7, 16, 33, 64)
    ]
    expected = [mlp(x).tobytes() for x in batches]
    start = threading.Barrier(6)

    def work(seed: int) -> int:
        order = np.random.default_rng(seed)
        start.wait()
        n_wrong = 0
        for i in order.integers(0, len(batches), 200):
            n_wrong += mlp(batches[i]).tobytes() != expected[i]
        return n_wrong

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) == 0
    assert mlp.stats["n_compiles"] == len(batches)


def test_threads_that_meet_a_new_shape_at_once_compile_it_once() -> None:
    model = trimtab.load_model(models.mlp(), threads=2)
    x = np.ones((5, 64), np.float32)
    start = threading.Barrier(4)

    def work(_: int) -> bytes:
        start.wait()
        return model(x).tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(work, range(4)))) == 1
    assert model.stats["n_compiles"] == 1


def test_the_gil_is_free_during_a_long_call() -> None:
    model = trimtab.load_model(models.mlp(n_layers=4, width=1024), threads=1)
    x = np.ones((512, 1024), np.float32)
    model(x)
    ticks = []
    running = threading.Event()

    def tick() -> None:
        running.wait()
        while running.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0)

    thread = threading.Thread(target=tick)
    thread.start()
    interval = sys.getswitchinterval()
    try:
        sys.setswitchinterval(10)  # only who gives the GIL away lets others run
        running.set()
        model(x)
        n_ticks = len(ticks)
    finally:
        running.clear()
        sys.setswitchinterval(interval)
        thread.join()
    assert n_ticks > 3


def test_one_binding_is_not_run_by_two_threads_at_once() -> None:
    model = trimtab.load_model(models.mlp(n_layers=4, width=1024), threads=1)
    binding = model.bind(np.ones((1024, 1024), np.float32))
    started = threading.Event()

    def run() -> None:
        started.set()
        binding.run()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    errors = 0
    while thread.is_alive():
        try:
            binding.run()
        except trimtab.InputError as error:
            assert "another thread" in str(error)  # noqa: PT017
            errors += 1
            break
    thread.join()
    binding.run()
    assert errors <= 1


def _answer_in_child(model: trimtab.Model, x: np.ndarray, queue) -> None:
    queue.put(model(x).tobytes())


@pytest.mark.parametrize("used_before", [False, True], ids=["fresh", "used"])
def test_a_forked_child_computes_the_same(used_before: bool) -> None:
    model = trimtab.load_model(models.mlp(width=256), threads=2)
    x = np.ones((64, 256), np.float32)
    if used_before:
        model(x)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [
        context.Process(target=_answer_in_child, args=(model, x, queue))
        for _ in range(2)
    ]
    for child in children:
        child.start()
    answers = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join(timeout=60)
        assert child.exitcode == 0
    assert set(answers) == {model(x).tobytes()}


INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
import trimtab

model = trimtab.load_model(sys.stdin.buffer.read(), threads=int(sys.argv[1]))
x = np.ones((2048, 1024), np.float32)
small = np.ones((2, 1024), np.float32)
expected = model(small).tobytes()
start = time.perf_counter()
model(x)
took = time.perf_counter() - start
sent = 0.0

def interrupt():
    global sent
    sent = time.perf_counter()
    os.kill(os.getpid(), signal.SIGINT)

delay = max(0.02, min(0.2, took / 4))
threading.Timer(delay, interrupt).start()
try:
    while True:
        model(x)
except KeyboardInterrupt:
    late = time.perf_counter() - sent
assert model(small).tobytes() == expected
print(took, late)
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_a_long_call_soon_and_the_model_stays_usable(threads: int) -> None:
    model = models.mlp(n_layers=60, width=1024)
    out = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(threads)],
        input=model,
        capture_output=True,
        check=True,
        timeout=120,
    ).stdout
    took, late = map(float, out.split())
    assert took > 0.3, "the call is too short to tell"
    assert late < 0.3


def test_other_signal_handlers_run_during_a_call_and_the_call_goes_on() -> None:
    model = trimtab.load_model(models.mlp(n_layers=24, width=1024), threads=1)
    x = np.ones((2048, 1024), np.float32)
    expected = model(x)
    seen: list[int] = []
    previous = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    try:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        np.testing.assert_array_equal(model(x), expected)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert seen == [signal.SIGUSR1]


def test_a_handler_that_raises_ends_the_call_with_its_exception() -> None:
    model = trimtab.load_model(models.mlp(n_layers=60, width=1024), threads=1)
    x = np.ones((2048, 1024), np.float32)

    class StopNow(Exception):
        pass

    def stop(number: int, frame: object) -> None:
        raise StopNow

    previous = signal.signal(signal.SIGUSR1, stop)
    try:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        with pytest.raises(StopNow):
            for _ in range(20):
                model(x)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, previous)
    np.testing.assert_allclose(
        model(x[:2]), models.mlp_reference(x[:2], 60, 1024), rtol=1e-3, atol=1e-3
    )
