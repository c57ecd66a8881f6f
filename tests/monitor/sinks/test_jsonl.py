"""JSON lines: whole records whatever happens to processes, disks and files."""

from __future__ import annotations

import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab import _core
from trimtab.errors import InputError
from trimtab.monitor.sinks.jsonl import JsonLines, read_records
from trimtab.monitor.sinks.jsonl_format import encode_record, end_of_last

#: Busy machines are slow at times; that is no failure.
quietly = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


def record(i: int, **more: Any) -> dict[str, Any]:
    """One of a sequence, with a tail whose length differs."""
    return {"time": float(i), "kind": "event", "i": i, "tail": "x" * (i % 97), **more}


def numbers(path: Path) -> list[int]:
    return [found["i"] for found in read_records(path)]


def test_checksums_are_those_of_another_implementation() -> None:
    stub = pytest.importorskip("tensorboard.compat.tensorflow_stub.pywrap_tensorflow")
    assert _core.crc32c(b"123456789") == 0xE3069283
    for n in (0, 1, 7, 63, 1000):
        data = os.urandom(n)
        assert _core.crc32c(data) == stub.crc32c(data)
        assert _core.crc32c(memoryview(data)) == _core.crc32c(data)


@quietly
@given(st.dictionaries(st.text(), values, max_size=5))
def test_any_record_is_one_line_of_strict_json(more: dict[str, Any]) -> None:
    line = encode_record({**more, "time": 1.5, "kind": "event"})
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    found = json.loads(line, parse_constant=lambda word: pytest.fail(word))
    assert found["time"] == 1.5
    assert end_of_last(b"?\n" + line) == len(line) + 2


@quietly
@given(st.integers(0, 10**6), st.data())
def test_any_changed_byte_is_noticed(i: int, data: st.DataObject) -> None:
    line = bytearray(encode_record(record(i)))
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    assert end_of_last(bytes(line)) == -1


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    sink = JsonLines(path)
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    sink.write(record(1, psi=np.float32(0.5), bins=array, bad=math.nan, far=-math.inf))
    sink.close()
    sink.close()
    (found,) = read_records(path)
    assert found["psi"] == 0.5
    assert found["bins"] == array.tolist()
    assert (found["bad"], found["far"]) == ("NaN", "-Infinity")


@pytest.mark.parametrize("cut", [1, 10, 39, 45, 80])
def test_a_torn_tail_is_told_and_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jsonl"
    whole = b"".join(encode_record(record(i)) for i in range(5))
    tail = encode_record(record(60))[:cut]
    path.write_bytes(whole + tail)
    records = read_records(path)
    assert [found["i"] for found in records] == list(range(5))
    assert records.n_torn_bytes == len(tail)
    assert records.n_damaged == 0
    sink = JsonLines(path)
    sink.write(record(5))
    sink.close()
    assert sink.n_cut_bytes == len(tail)
    assert numbers(path) == list(range(6))


def test_a_damaged_line_in_the_middle_is_counted_and_left(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [encode_record(record(i)) for i in range(5)]
    lines[2] = lines[2].replace(b"event", b"evend")
    path.write_bytes(b"".join(lines))
    sink = JsonLines(path)
    sink.write(record(5))
    sink.close()
    records = read_records(path)
    assert [found["i"] for found in records] == [0, 1, 3, 4, 5]
    assert (records.n_damaged, records.n_torn_bytes) == (1, 0)


@pytest.mark.parametrize("content", [b"", b"{", b'{"n_bytes":   ', b"\0" * 5000])
def test_a_file_torn_in_its_first_record_begins_anew(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    sink = JsonLines(path)
    sink.write(record(0))
    sink.close()
    assert numbers(path) == [0]


def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text('{"n_bytes": "of my own"}\n' * 3 + "the end")
    path.write_text("Chapter 1\n" + path.read_text())
    before = path.read_bytes()
    sink = JsonLines(path)
    with pytest.raises(InputError, match="something else"):
        sink.write(record(0))
    assert path.read_bytes() == before


def test_a_file_damaged_beyond_a_tear_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(encode_record(record(0)) + b"\0" * (9 << 20))
    sink = JsonLines(path)
    sink.write(record(1))
    sink.close()
    assert numbers(path) == [1]
    assert numbers(tmp_path / "a.jsonl.000001") == [0]


def test_files_rotate_by_size_and_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    sink = JsonLines(path, max_bytes=2000, n_files=3)
    for i in range(200):
        sink.write(record(i))
    sink.close()
    names = sorted(p.name for p in tmp_path.iterdir())
    assert len(names) == 3
    assert all(p.stat().st_size <= 2000 for p in tmp_path.iterdir())
    found = [i for name in [*names[1:], names[0]] for i in numbers(tmp_path / name)]
    assert found == list(range(found[0], 200))


def test_files_rotate_by_age_after_a_restart_too(tmp_path: Path) -> None:
    path, now = tmp_path / "a.jsonl", [1000.0]
    for i in range(4):
        now[0] = 1000.0 + 40 * i
        sink = JsonLines(path, max_age_s=100, clock=lambda: now[0])
        sink.write({**record(i), "time": now[0]})
        sink.close()
    assert numbers(tmp_path / "a.jsonl.000001") == [0, 1, 2]
    assert numbers(path) == [3]
    now[0] = 0.0  # the clock jumps back: nothing is lost
    sink = JsonLines(path, max_age_s=100, clock=lambda: now[0])
    sink.write(record(4))
    sink.close()
    assert numbers(path) == [3, 4]


def test_processes_write_files_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    sinks = [JsonLines(path) for _ in range(3)]
    for i, sink in enumerate(sinks):
        sink.write(record(i))
    names = ["a.jsonl", "a-1.jsonl", "a-2.jsonl"]
    assert [Path(str(sink.path)).name for sink in sinks] == names
    sinks[1].close()
    again = JsonLines(path)
    again.write(record(7))
    assert numbers(tmp_path / "a-1.jsonl") == [1, 7]
    for sink in (sinks[0], sinks[2], again):
        sink.close()


def test_a_file_moved_or_removed_by_somebody_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    sink = JsonLines(path)
    sink.write(record(0))
    path.unlink()
    sink.write(record(1))
    path.rename(tmp_path / "moved")
    sink.write(record(2))
    sink.close()
    assert numbers(path) == [2]
    assert numbers(tmp_path / "moved") == [1]


def test_no_folder_pipe_or_device_is_written_into(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", Path("/dev/null"), tmp_path):
        with pytest.raises(OSError, match=r"regular file|directory|device"):
            JsonLines(target).write(record(0))


@pytest.mark.parametrize(
    "wrong", [{"max_bytes": 0}, {"n_files": 0}, {"max_age_s": -1}, {"fsync_s": -1}]
)
def test_bounds_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="positive"):
        JsonLines("a.jsonl", **wrong)


def test_a_record_that_is_too_long_is_refused_and_leaves_no_trace(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.jsonl"
    sink = JsonLines(path)
    sink.write(record(0))
    with pytest.raises(InputError, match="at most"):
        sink.write(record(1, texts=["x" * 60_000] * 100))
    sink.write(record(2))
    sink.close()
    assert numbers(path) == [0, 2]


def fill(path: Path, n: int) -> tuple[list[int], int]:
    """Write until the system refuses; gives what was accepted, and refusals."""
    sink, accepted, n_refused = JsonLines(path, fsync_s=None), [], 0
    for i in range(n):
        try:
            sink.write(record(i, pad="y" * 300))
            accepted.append(i)
        except OSError:
            n_refused += 1
    sink.close()
    return accepted, n_refused


def test_at_a_limit_of_file_size_the_file_ends_with_a_whole_record(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.jsonl"
    pid = os.fork()
    if pid == 0:  # the limit is the child's alone
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_001, resource.RLIM_INFINITY))
        accepted, n_refused = fill(path, 60)
        os._exit(0 if n_refused > 10 and numbers(path) == accepted else 1)
    assert os.waitpid(pid, 0)[1] == 0
    records = read_records(path)
    assert list(records)
    assert records.n_torn_bytes == 0
    assert path.stat().st_size <= 10_001


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where we may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_on_a_full_disk_records_are_whole_and_writing_goes_on_with_room(
    tiny_disk: Path,
) -> None:
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(b"\0" * 40_000)
    path = tiny_disk / "a.jsonl"
    sink, accepted = JsonLines(path, fsync_s=0), []
    for i in range(200):
        if i == 150:
            ballast.unlink()
        try:
            sink.write(record(i, pad="y" * 300))
            accepted.append(i)
        except OSError:
            assert 20 < i < 150
        records = read_records(path)
        assert sum(1 for _ in records) == len(accepted)
        assert records.n_torn_bytes == 0
        if i == 175:
            break
    sink.close()
    assert accepted[-26:] == list(range(150, 176))
    assert numbers(path) == accepted


def write_until_killed(path: Path, acknowledged: int, start: int) -> None:
    """In a child: write, and tell each number that is in the file."""
    sink = JsonLines(path, max_bytes=100_000, n_files=10_000, fsync_s=None)
    i = start
    while True:
        sink.write(record(i, pad="z" * (i * 31 % 1500)))
        os.pwrite(acknowledged, b"%d" % i, 0)
        i += 1


def kill_again_and_again(folder: Path, n_kills: int) -> None:
    """Kill a writer at random instants; what it acknowledged may not be missing."""
    path, rng, next_number = folder / "a.jsonl", random.Random(6), 0
    acknowledged = os.open(folder / "acknowledged", os.O_RDWR | os.O_CREAT)
    for _ in range(n_kills):
        os.ftruncate(acknowledged, 0)
        pid = os.fork()
        if pid == 0:
            try:
                write_until_killed(path, acknowledged, next_number)
            finally:
                os._exit(1)  # reached only where the file could not be opened
        time.sleep(rng.uniform(0.001, 0.012))
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL  # it did not end by itself
        told = os.pread(acknowledged, 20, 0)
        last = int(told) if told else next_number - 1
        files = sorted(folder.glob("a.jsonl.*"))[-1:] + [path] * path.exists()
        found = [i for file in files for i in numbers(file)]
        # The last that was told is there; at most the one under way came after it.
        assert not found or found[-1] in (last, last + 1)
        assert found or last < 0
        next_number = found[-1] + 1 if found else 0
    os.close(acknowledged)
    # killed between two files, there is none to be appended to
    files = [*sorted(folder.glob("a.jsonl.*"))] + [path] * path.exists()
    everything = [i for file in files for i in numbers(file)]
    assert everything == list(range(next_number))


def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, n_kills=100)


@pytest.mark.slow
def test_neither_does_one_that_is_killed_a_thousand_times(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, n_kills=1000)


def test_a_forked_child_leaves_its_parents_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    sink = JsonLines(path)
    sink.write(record(0))
    pid = os.fork()
    if pid == 0:
        sink.forget()
        sink.write(record(1))
        sink.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    sink.write(record(2))
    sink.close()
    assert numbers(path) == [0, 2]
    assert numbers(tmp_path / "a-1.jsonl") == [1]


def test_other_readers_of_json_lines_take_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    sink = JsonLines(path)
    for i in range(3):
        sink.write(record(i))
    sink.close()
    code = "import json, sys; print([json.loads(x)['i'] for x in open(sys.argv[1])])"
    out = subprocess.run([sys.executable, "-c", code, path], capture_output=True)
    assert out.stdout == b"[0, 1, 2]\n"
