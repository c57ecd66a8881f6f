"""One engine in one long-lived process, driven by JSON lines over pipes.

`Worker` is the parent's half, `main` the child's. A request is one line
``{"do": <name of a function in COMMANDS>, ...arguments}``, the answer one line
with its result or ``{"error": text}``. A worker that is not answering is
stopped (SIGSTOP), so that its idle threads cannot disturb the one that is.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import ROOT, percentile, quartiles, resident_bytes
from benchmarks.peers import ENGINES, Engine, engine_of

BATCH_S = 2e-4  # calls shorter than this are timed several at once


class WorkerError(RuntimeError):
    """An engine refused a request, or its process died."""


class Worker:
    """Parent's handle on one engine process.

    Parameters
    ----------
    label : str
        Engine name, with an optional ``#suffix`` to run the same engine twice.
    timeout_s : float, default=300
        A request without an answer for so long kills the process.
    module : str
        What the process runs, with the engine's name as its argument.

    Attributes
    ----------
    import_s : float
        Seconds that the process took to import the engine after NumPy.
    """

    def __init__(
        self, label: str, *, timeout_s: float = 300, module: str = "benchmarks.worker"
    ) -> None:
        self.label = label
        self.timeout_s = timeout_s
        self._buffer = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, engine_of(label)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            answer = self._receive()
            if "error" in answer:
                raise WorkerError(answer["error"])
            self.import_s: float = answer["import_s"]
        except WorkerError:
            self.close()
            raise
        self._process.send_signal(signal.SIGSTOP)

    @property
    def is_alive(self) -> bool:
        """Whether the process can take another request."""
        return self._process.poll() is None

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Wake the process, send one request, return its answer, stop it again."""
        if not self.is_alive:
            raise WorkerError(f"{self.label}: the process has ended")
        assert self._process.stdin is not None
        line = json.dumps({"do": do, **arguments}) + "\n"
        self._process.send_signal(signal.SIGCONT)
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        answer = self._receive()
        if self.is_alive:
            self._process.send_signal(signal.SIGSTOP)
        if "error" in answer:
            raise WorkerError(f"{self.label}: {answer['error']}")
        return answer

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        deadline = time.monotonic() + self.timeout_s
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                self.close()
                raise WorkerError(f"{self.label}: no answer in {self.timeout_s} s")
            piece = os.read(pipe, 1 << 16)
            if not piece:
                code = self._process.wait()
                raise WorkerError(f"{self.label}: the process ended with {code}")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process; harmless if it has ended."""
        if self.is_alive:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


class State:
    """What the child remembers between requests."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.feeds: dict[str, np.ndarray] = {}
        self.engine: Engine | None = None
        self.calls: dict[str, Callable[[], Any]] = {}

    def loaded(self) -> Engine:
        """The loaded model, or an error that says that there is none."""
        if self.engine is None:
            raise RuntimeError("no model is loaded")
        return self.engine

    def call(self, kind: str) -> Callable[[], Any]:
        """The prepared call of a kind, made on first use."""
        if kind not in self.calls:
            self.calls[kind] = getattr(self.loaded(), kind)()
        return self.calls[kind]


def do_feeds(state: State, *, path: str) -> dict[str, Any]:
    """Read the inputs from an ``.npz`` file."""
    with np.load(path) as arrays:
        state.feeds = {name: arrays[name] for name in arrays.files}
    return {"n_inputs": len(state.feeds)}


def do_load(state: State, *, path: str, threads: int) -> dict[str, Any]:
    """Load a model and run it once; seconds of both."""
    engine_class = ENGINES[state.name][0]
    state.engine = None
    state.calls = {}
    gc.collect()
    begin = time.perf_counter()
    state.engine = engine_class(path, state.feeds, threads)
    loaded = time.perf_counter()
    state.call("plain")()
    first = time.perf_counter()
    return {"load_s": loaded - begin, "first_s": first - loaded}


def do_unload(state: State) -> dict[str, Any]:
    """Drop the model."""
    state.engine = None
    state.calls = {}
    gc.collect()
    return {}


def do_outputs(state: State, *, path: str) -> dict[str, Any]:
    """Run once and write the outputs as ``.npz``; their order is the answer."""
    outputs = state.loaded().outputs()
    np.savez(path, *outputs.values())
    return {"names": list(outputs)}


def do_predict(state: State, *, path: str, out: str) -> dict[str, Any]:
    """Run sample after sample of an ``.npz`` file; write the outputs, stacked."""
    engine = state.loaded()
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    n = len(next(iter(arrays.values())))
    rows: dict[str, list[np.ndarray]] = {}
    for i in range(n):
        answer = engine.run({name: array[i : i + 1] for name, array in arrays.items()})
        for name, array in answer.items():
            rows.setdefault(name, []).append(np.array(array))
    stacked = {name: np.concatenate(parts) for name, parts in rows.items()}
    np.savez(out, **dict[str, Any](stacked))
    return {"n": n}


def do_repeat(state: State, *, n_calls: int) -> dict[str, Any]:
    """Call a number of times."""
    call = state.call("plain")
    for _ in range(n_calls):
        call()
    return {}


def do_resident(state: State) -> dict[str, Any]:
    """Resident size of this process now."""
    gc.collect()
    return {"bytes": resident_bytes()}


def do_prepare(state: State, *, kind: str) -> dict[str, Any]:
    """Make the call of a kind, and call it once."""
    state.call(kind)()
    return {}


def do_time(state: State, *, kind: str, block_s: float) -> dict[str, Any]:
    """Time one block of calls, after a warm-up of a quarter of its length."""
    call = state.call(kind)
    clock = time.perf_counter
    call()
    begin = now = clock()
    n_warm = 0
    while now - begin < block_s / 4 or n_warm == 0:
        call()
        n_warm += 1
        now = clock()
    n_batch = max(1, round(BATCH_S * n_warm / (now - begin)))
    times: list[float] = []
    gc.disable()
    end = now + block_s
    while now < end or len(times) < 3:
        begin = clock()
        for _ in range(n_batch):
            call()
        now = clock()
        times.append((now - begin) / n_batch)
    gc.enable()
    return {"median_s": quartiles(times)[1], "best_s": min(times), "n": len(times)}


def do_concurrent(state: State, *, n_threads: int, seconds: float) -> dict[str, Any]:
    """Call one model from several Python threads for a while.

    Answers calls per second and the latency's median and 99th percentile.
    """
    clock = time.perf_counter
    calls = [state.loaded().concurrent() for _ in range(n_threads)]
    latencies: list[list[float]] = [[] for _ in range(n_threads)]
    failures: list[Exception] = []
    gate = threading.Barrier(n_threads + 1)

    def work(call: Callable[[], Any], times: list[float]) -> None:
        try:
            call()
            gate.wait()
            now = clock()
            end = now + seconds
            while now < end:
                begin = now
                call()
                now = clock()
                times.append(now - begin)
        except Exception as error:
            failures.append(error)
            gate.abort()

    threads = [
        threading.Thread(target=work, args=pair)
        for pair in zip(calls, latencies, strict=True)
    ]
    for thread in threads:
        thread.start()
    with contextlib.suppress(threading.BrokenBarrierError):
        gate.wait()
    begin = clock()
    for thread in threads:
        thread.join()
    elapsed = clock() - begin
    if failures:
        raise failures[0]
    merged = [value for times in latencies for value in times]
    return {
        "calls_per_s": len(merged) / elapsed,
        "p50_s": percentile(merged, 0.50),
        "p99_s": percentile(merged, 0.99),
        "n": len(merged),
    }


def do_version(state: State) -> dict[str, Any]:
    """Version that the engine's module states."""
    module = importlib.import_module(ENGINES[state.name][1])
    return {"version": str(getattr(module, "__version__", "unknown"))}


def do_roofline(state: State) -> dict[str, Any]:
    """The model's share of the machine's peaks, measured now (trimtab only)."""
    from benchmarks.bench_roofline import roofline

    return roofline(state.loaded(), state.feeds)


def do_bandwidth(state: State, *, threads: int) -> dict[str, Any]:
    """Bytes a second that memory gives now."""
    from trimtab import _core

    return {"memory_gbps": _core.measure_peaks(threads)["memory_gbps"]}


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {
    "feeds": do_feeds,
    "load": do_load,
    "unload": do_unload,
    "outputs": do_outputs,
    "predict": do_predict,
    "repeat": do_repeat,
    "resident": do_resident,
    "prepare": do_prepare,
    "time": do_time,
    "concurrent": do_concurrent,
    "version": do_version,
    "roofline": do_roofline,
    "bandwidth": do_bandwidth,
}


def one_line(error: BaseException) -> str:
    """An error in one short line, without the C++ source positions of some engines.

    Examples
    --------
    >>> one_line(ValueError("Exception from src/cpp/core.cpp:84: bad\\n axis"))
    'ValueError: bad axis'
    """
    text = " ".join(f"{type(error).__name__}: {error}".split())
    text = re.sub(r"(Exception from|failed at) \S+?:\d+:?\s*", "", text)
    return text[:300]


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def serve(
    engine_module: str,
    state: Any,
    commands: dict[str, Callable[..., dict[str, Any]]],
) -> int:
    """Import an engine, then answer requests until the pipe closes.

    Parameters
    ----------
    engine_module : str
    state : object
        First argument of each command.
    commands : dict of str to callable

    Returns
    -------
    code : int
        Of the process.
    """
    die_with_parent()
    # What a library prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    # Whatever an engine raises belongs to the parent: the two handlers are broad.
    begin = time.perf_counter()
    try:
        importlib.import_module(engine_module)
    except Exception as error:
        answer({"error": f"cannot import {engine_module}: {one_line(error)}"})
        return 1
    answer({"import_s": time.perf_counter() - begin})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(commands[request.pop("do")](state, **request))
        except Exception as error:
            answer({"error": one_line(error)})
    return 0


def main() -> int:
    """Answer requests until the pipe closes."""
    parser = argparse.ArgumentParser(description="worker process of the benchmarks")
    parser.add_argument("engine", choices=sorted(ENGINES))
    name = parser.parse_args().engine
    return serve(ENGINES[name][1], State(name), COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
