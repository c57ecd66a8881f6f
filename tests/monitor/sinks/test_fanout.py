"""The fan-out: whatever a sink does, who predicts neither waits nor fails."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab.errors import InputError
from trimtab.monitor.sinks import SINKS, Fanout, Sink, open_sink, plain_record
from trimtab.monitor.sinks import channel as channel_module
from trimtab.monitor.sinks.jsonl import JsonLines, read_records


def event(i: int) -> dict[str, Any]:
    return {"time": float(i), "kind": "event", "i": i}


class Kept:
    """A sink that keeps records, and fails or waits as it is told."""

    def __init__(self, failures: list[BaseException] | None = None) -> None:
        self.records: list[Mapping[str, Any]] = []
        self.failures = failures or []
        self.gate = threading.Event()
        self.gate.set()
        self.n_closed = self.n_forgotten = 0

    def write(self, record: Mapping[str, Any]) -> None:
        assert self.gate.wait(20)
        if self.failures:
            raise self.failures.pop(0)
        self.records.append(record)

    def close(self) -> None:
        self.n_closed += 1

    def forget(self) -> None:
        self.n_forgotten += 1

    @property
    def numbers(self) -> list[int]:
        return [record["i"] for record in self.records]


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "_FIRST_DELAY_S", 0.01)


def write_all(fanout: Fanout, n: int) -> bool:
    """Write `n` events, one after the other was tried."""
    done = True
    for i in range(n):
        fanout.write(event(i))
        done &= fanout.flush(timeout_s=20)
    return done


def test_every_sink_gets_every_record_in_order_as_plain_values() -> None:
    sinks = [Kept(), Kept()]
    with Fanout(sinks) as fanout:
        for i in range(100):
            fanout.write({**event(i), "x": np.float32(0.5), "a": np.arange(2)})
    for sink in sinks:
        assert isinstance(sink, Sink)
        assert sink.numbers == list(range(100))
        assert sink.records[0] == {**event(0), "x": 0.5, "a": [0, 1]}
        assert type(sink.records[0]["x"]) is float
        assert sink.n_closed == 1
    assert [s.n_written for s in fanout.stats().values()] == [100, 100]
    assert list(fanout.stats()) == ["kept", "kept-2"]


def test_a_sink_that_hangs_delays_neither_the_caller_nor_other_sinks() -> None:
    stuck, free = Kept(), Kept()
    stuck.gate.clear()
    fanout = Fanout([stuck, free], queue_size=10)
    begin = time.perf_counter()
    for i in range(200):
        fanout.write(event(i))
        while free.numbers[-1:] != [i]:  # the other goes on
            assert time.perf_counter() - begin < 10
            time.sleep(0)
    assert not fanout.flush(timeout_s=0.05)
    assert fanout.stats()["kept"].n_dropped == 190
    assert fanout.stats()["kept"].n_queued == 10
    assert free.numbers == list(range(200))
    stuck.gate.set()
    assert fanout.close()
    assert stuck.numbers == list(range(10))
    fanout.write(event(1000))  # after closing: counted
    assert fanout.stats()["kept-2"].n_dropped == 1


def test_a_failure_of_the_system_is_tried_again() -> None:
    sink = Kept([OSError("disk full"), TimeoutError()])
    with Fanout(sink) as fanout:
        with pytest.warns(RuntimeWarning, match="disk full"):
            write_all(fanout, 2)
        stats = fanout.stats()["kept"]
    assert sink.numbers == [0, 1]
    assert (stats.n_written, stats.n_lost, stats.n_failures) == (2, 0, 2)


def test_a_record_that_fails_is_lost_alone_and_one_warning_is_given() -> None:
    failures: list[BaseException] = [KeyError("a"), SystemExit(3), MemoryError()]
    sink = Kept(failures)
    with Fanout(sink) as fanout, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(6):
            fanout.write(event(i))
        assert fanout.flush()
    assert sink.numbers == [3, 4, 5]
    assert fanout.stats()["kept"].n_lost == 3
    assert len(caught) == 1
    assert "told once" in str(caught[0].message)
    assert "MemoryError" in fanout.stats()["kept"].last_error


def test_a_sink_that_was_down_for_long_comes_back() -> None:
    sink = Kept([OSError("down") for _ in range(30)])
    with Fanout(sink) as fanout:
        with pytest.warns(RuntimeWarning, match="down"):
            assert write_all(fanout, 20)
        assert fanout.stats()["kept"].n_lost == 10
    assert sink.numbers == list(range(10, 20))


def write_and_fail(fanout: Fanout) -> None:
    """Write an event and wait for its first failure."""
    fanout.write(event(0))
    deadline = time.monotonic() + 10
    while not fanout.stats()["kept"].n_failures and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.01)  # the warning follows


def test_delays_grow_and_a_flush_cuts_them_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel_module, "_FIRST_DELAY_S", 30.0)
    sink = Kept([OSError("down")])
    fanout = Fanout(sink)
    with pytest.warns(RuntimeWarning, match="down"):
        write_and_fail(fanout)
    assert sink.numbers == []
    assert fanout.flush(timeout_s=10)
    assert sink.numbers == [0]
    fanout.close()


HOSTILE: list[Any] = [
    None,
    [],
    {},
    {"time": "now", "kind": "event"},
    {"time": float("nan"), "kind": "event"},
    {"time": True, "kind": "event"},
    {"time": 1.0, "kind": "No such kind"},
    {"time": 1.0},
    {"time": 1.0, "kind": "event", "big": np.zeros(200_000)},
    {"time": 1.0, "kind": "event", "big": [[0.0] * 1000] * 200},
    {"time": 1.0, "kind": "event", "images": {"a": np.zeros((2, 2))}},
    {"time": 1.0, "kind": "event", "images": {"a": np.zeros((0, 2), np.uint8)}},
]


@pytest.mark.filterwarnings("ignore:monitoring")
def test_records_that_are_none_are_counted_and_never_raise() -> None:
    deep: dict[str, Any] = {}
    deep["self"] = deep
    bad = [*HOSTILE, {"time": 1.0, "kind": "event", "deep": deep}]
    sink = Kept()
    with Fanout(sink) as fanout:
        for item in bad:
            fanout.write(item)
        fanout.write(event(1))
    assert sink.numbers == [1]
    assert fanout.stats()["kept"].n_lost == len(bad)
    for item in bad:
        with pytest.raises(InputError, match="record"):
            plain_record(item)


def test_values_of_any_type_become_plain() -> None:
    plain = plain_record(
        {
            "time": np.int64(3),
            "kind": "window",
            1: 2**70,
            "path": Path("a"),
            "lone": "\ud800",
            "long": "x" * 100_000,
            "flag": np.True_,
            "huge": -(10**400),
            "ints": [1, 2**70],
            "mixed": [True, None, 1, 0.5, -(2**64), np.float32(2), "a", (3,)],
            "floats": np.arange(3) / 2,
        }
    )
    assert plain["ints"] == [1, 2.0**70]
    assert type(plain["ints"][1]) is float
    assert plain["mixed"] == [True, None, 1, 0.5, -(2.0**64), 2.0, "a", [3]]
    assert plain["floats"] == [0.0, 0.5, 1.0]
    assert plain["1"] == 2.0**70
    assert (plain["path"], plain["lone"], plain["flag"]) == ("a", "?", True)
    assert len(plain["long"]) == 65_536
    assert plain["huge"] == float("-inf")
    assert plain_record(plain) is plain


def test_many_threads_and_a_signal_handler_write_at_once() -> None:
    sink, total = Kept(), 4 * 500
    fanout = Fanout(sink, queue_size=100_000)
    n_signals = [0]

    def handler(number: int, frame: Any) -> None:
        n_signals[0] += 1
        fanout.write(event(-1))

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        threads = [
            threading.Thread(
                target=lambda: [fanout.write(event(i)) for i in range(500)]
            )
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for i in range(500):
            fanout.write(event(i))
        for thread in threads:
            thread.join()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert fanout.close()
    assert len(sink.records) == total + n_signals[0]
    assert fanout.stats()["kept"].n_written == total + n_signals[0]


def test_a_forked_child_starts_anew_and_writes_no_record_of_its_parent(
    tmp_path: Path,
) -> None:
    sink = JsonLines(tmp_path / "a.jsonl")
    slow = Kept()
    slow.gate.clear()
    fanout = Fanout([sink, slow])
    fanout.write(event(0))
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        slow.gate.set()
        fanout.write(event(1))
        done = fanout.close()
        counted = fanout.stats()["jsonlines"].n_written
        good = done and counted == 1 and slow.numbers == [1] and slow.n_forgotten == 1
        os._exit(0 if good else 1)
    assert os.waitpid(pid, 0)[1] == 0
    slow.gate.set()
    fanout.write(event(2))
    assert fanout.close()
    assert [r["i"] for r in read_records(tmp_path / "a.jsonl")] == [0, 2]
    assert [r["i"] for r in read_records(tmp_path / "a-1.jsonl")] == [1]
    assert slow.numbers == [0, 2]


ENDING = """
import os, sys
from trimtab.monitor.sinks import Fanout
fanout = Fanout("jsonl:" + sys.argv[1])
for i in range(50):
    fanout.write({"time": float(i), "kind": "event", "i": i})
"""


def test_a_process_that_ends_without_closing_writes_what_waits(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    subprocess.run([sys.executable, "-c", ENDING, path], check=True)
    assert [r["i"] for r in read_records(path)] == list(range(50))


def test_a_fanout_that_is_forgotten_closes_its_sinks() -> None:
    sink = Kept()
    fanout = Fanout(sink)
    fanout.write(event(0))
    del fanout
    gc.collect()
    deadline = time.monotonic() + 10
    while not sink.n_closed and time.monotonic() < deadline:
        time.sleep(0.001)
    assert (sink.numbers, sink.n_closed) == ([0], 1)


@pytest.mark.parametrize("spec", ["jsonl", "nosuch:x", "", 3, None, object()])
def test_what_names_no_sink_is_refused_with_examples(spec: Any) -> None:
    with pytest.raises(InputError):
        open_sink(spec)
    with pytest.raises(InputError, match="queue"):
        Fanout([], queue_size=0)


def test_one_that_cannot_be_opened_closes_the_others() -> None:
    sink = Kept()
    with pytest.raises(InputError, match="nosuch"):
        Fanout([sink, "nosuch:x"])
    assert sink.n_closed == 1


def test_the_table_names_sinks() -> None:
    assert list(SINKS) == sorted(SINKS)
    assert all(text.partition(":")[0] == name for name, (_, _, text) in SINKS.items())


def test_the_counts_of_sinks_are_in_the_snapshot() -> None:
    with Fanout(Kept(), snapshot=lambda: {"n_calls": 3}) as fanout:
        fanout.write(event(0))
        fanout.flush()
        found = fanout.snapshot()
    assert found["n_calls"] == 3
    assert found["sinks"]["kept"]["n_written"] == 1
