"""Counters that processes share: no acknowledged one is lost, whoever is killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trimtab import _core

N_PROCESSES = 8
#: In the whole test; TRIMTAB_KILLS=1000 is what the figure in the documents is from.
N_KILLS = int(os.environ.get("TRIMTAB_KILLS", "40"))


class Worker:
    """A forked process that counts, and acknowledges each count with a byte."""

    def __init__(self, path: Path) -> None:
        self.n_acknowledged = 0
        self._pipe, out = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                watcher = _core.Watcher(path)
                while True:
                    watcher.count_request(time.perf_counter_ns())
                    os.write(out, b".")
            finally:
                os._exit(1)
        os.close(out)
        os.set_blocking(self._pipe, False)

    def read(self) -> None:
        """Take what was acknowledged so far."""
        while True:
            try:
                got = os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                return
            self.n_acknowledged += len(got)
            if not got:
                return

    def kill(self) -> int:
        """End it; all that it acknowledged."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.read()
        os.close(self._pipe)
        return self.n_acknowledged


def n_requests(watcher: _core.Watcher) -> int:
    n: int = watcher.snapshot()["n_requests"]
    return n


@pytest.mark.parametrize("seed", [0])
def test_killed_at_random_instants_workers_lose_no_acknowledged_count(
    tmp_path: Path, seed: int
) -> None:
    path, rng = tmp_path / "counters", random.Random(seed)
    reader = _core.Watcher(path)
    workers = [Worker(path) for _ in range(N_PROCESSES)]
    n_acknowledged, n_killed, seen = 0, 0, 0
    try:
        while n_killed < N_KILLS:
            time.sleep(rng.uniform(0, 0.02))
            now = n_requests(reader)
            assert now >= seen, "totals went down"
            seen = now
            for worker in workers:
                worker.read()
            victim = rng.randrange(N_PROCESSES)
            n_killed += 1
            n_acknowledged += workers[victim].kill()
            begun = time.monotonic()
            _core.Watcher(path)  # a restart never waits for what the dead left
            assert time.monotonic() - begun < 5
            workers[victim] = Worker(path)
    finally:
        n_acknowledged += sum(worker.kill() for worker in workers)
    # between the count and its acknowledgement each of the killed may have died
    assert n_acknowledged <= n_requests(reader)
    assert n_requests(reader) <= n_acknowledged + n_killed + N_PROCESSES
    assert n_acknowledged > N_KILLS
    assert reader.snapshot()["n_processes"] == 1
    assert sum(reader.histogram("request")[1]) >= n_acknowledged


def _open_and_count(path: Path, ready, n: int) -> None:
    ready.wait()
    watcher = _core.Watcher(path, name="m")
    for _ in range(n):
        watcher.count_request(1, 0, 0, 1)


def test_processes_that_make_the_file_at_once_make_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for attempt in range(5):
        path, ready = tmp_path / f"counters{attempt}", context.Event()
        children = [
            context.Process(target=_open_and_count, args=(path, ready, 100))
            for _ in range(N_PROCESSES)
        ]
        for child in children:
            child.start()
        ready.set()
        for child in children:
            child.join(timeout=60)
            assert child.exitcode == 0
        assert n_requests(_core.Watcher(path)) == 100 * N_PROCESSES
        assert len(os.listdir(tmp_path)) == attempt + 1


def test_a_process_that_stands_still_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "counters"
    worker = Worker(path)
    try:
        while not worker.n_acknowledged:
            worker.read()
        os.kill(worker.pid, signal.SIGSTOP)
        begun = time.monotonic()
        watcher = _core.Watcher(path)
        assert watcher.snapshot()["n_processes"] == 2
        assert time.monotonic() - begun < 5
    finally:
        worker.kill()


def test_a_full_disk_is_an_error_when_opening_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    code = """
import resource, signal, sys
from trimtab import _core, InputError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    _core.Watcher(sys.argv[1])
except InputError as error:
    print(error)
"""
    path = tmp_path / "counters"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True
    )
    assert "cannot have" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == []


def test_damaged_files_are_refused_or_harmless(tmp_path: Path) -> None:
    path, rng = tmp_path / "counters", random.Random(1)
    _core.Watcher(path).count_request(1)
    whole = path.read_bytes()
    for _ in range(60):
        damaged = bytearray(whole)
        # the header, and the slot that was used
        for at in [rng.randrange(300), rng.randrange(4096, 320_000)][
            : rng.randint(1, 2)
        ]:
            damaged[at] ^= 1 << rng.randrange(8)
        if rng.random() < 0.3:
            del damaged[rng.randrange(len(damaged)) :]
        path.write_bytes(damaged)
        try:
            watcher = _core.Watcher(path)
        except ValueError as error:
            assert "counters: " in str(error)  # noqa: PT017
        else:
            watcher.count_request(1)
            watcher.snapshot()
            watcher.latency(0.99)
