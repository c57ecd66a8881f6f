"""The log: killed writers, foreign files, what a replay remembers."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import RegistryError
from trimtab.maintain import read_log
from trimtab.maintain.log import MaintenanceLog, line_of, replay_log

records = st.lists(
    st.one_of(
        st.builds(
            lambda rule, change: {
                "kind": "began",
                "rule": rule,
                "action": "update",
                "reason": "so",
                "is_change": change,
            },
            st.sampled_from("abc"),
            st.booleans(),
        ),
        st.builds(
            lambda rule, failed: {
                "kind": "ended",
                "rule": rule,
                "action": "update",
                "state": "REJECTED",
                "is_failure": failed,
                "data": "sha256:1",
                "n_rows": 3,
            },
            st.sampled_from("abc"),
            st.booleans(),
        ),
        st.builds(lambda v: {"kind": "version", "version": v}, st.integers(1, 3)),
        st.just({"kind": "held", "rule": "a", "reason": "quiet"}),
    )
)


@settings(max_examples=40, deadline=None)
@given(records)
def test_a_replay_is_what_the_writer_knew(tmp_path_factory, given_records) -> None:
    path = tmp_path_factory.mktemp("log") / "log.ndjson"
    with MaintenanceLog(path) as log:
        for at, record in enumerate(given_records):
            fields = {k: v for k, v in record.items() if k != "kind"}
            log.write(float(at), record["kind"], **fields)
        known = log.standing
    with MaintenanceLog(path) as again:
        assert again.standing == known == replay_log(read_log(path))
    for record in read_log(path):
        assert line_of(record)


def _write_until_killed(path: Path, pipe: int) -> None:
    with MaintenanceLog(path) as log:
        for i in range(10_000):
            log.write(float(i), "held", rule="r", reason="x" * (i % 300))
            os.write(pipe, b"%d\n" % log.standing.seq)


def test_killed_writers_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path, rng = tmp_path / "log.ndjson", random.Random(0)
    for _ in range(60):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                _write_until_killed(path, writer)
            finally:
                os._exit(1)
        os.close(writer)
        time.sleep(rng.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        told = os.read(reader, 1 << 20).split(b"\n")
        os.close(reader)
        acknowledged = int(told[-2]) if len(told) > 1 else 0
        with MaintenanceLog(path) as log:
            assert log.standing.seq >= acknowledged
    numbers = [record["seq"] for record in read_log(path)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_what_is_no_log_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"\x89PNG" + bytes(range(256)) * 40)
    before = path.read_bytes()
    with pytest.raises(RegistryError, match="no whole record"):
        MaintenanceLog(path)
    assert path.read_bytes() == before
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(RegistryError):
        MaintenanceLog(link)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_full_disk_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "log.ndjson"
    with MaintenanceLog(path) as log:
        log.write(1.0, "started", policy={})
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = path.stat().st_size
        old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
        try:
            with pytest.raises(RegistryError):
                log.write(2.0, "held", rule="r", reason="x" * 100)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, old)
        assert path.stat().st_size == size
        log.write(3.0, "stopped")
    assert [r["kind"] for r in read_log(path)] == ["started", "stopped"]
