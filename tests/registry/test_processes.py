"""Many processes, one registry: no change is lost, no reader sees half of one."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trimtab import Registry, RegistryConflict
from trimtab.registry.locks import locked, try_locked

from .conftest import check_whole


def at_once(n: int, action: Callable[[int], object], folder: Path) -> list:
    """Run it in n processes; give what they return."""
    pids = []
    for i in range(n):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                (folder / f"result-{i}").write_text(json.dumps(action(i)))
                status = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(status)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * n
    return [json.loads((folder / f"result-{i}").read_text()) for i in range(n)]


def promote_at_once(path: Path, n_each: int, files: list[Path]) -> None:
    registry = Registry(path)
    for file in files:
        registry.register("digits", file)
    registry.promote("digits", 1)
    digests = {v: registry.get(f"digits/{v}").digest for v in (1, 2, 3, 4, 5)}

    def promote(i: int) -> list[int]:
        own = Registry(path)
        while not all((path / f"reading-{k}").exists() for k in (8, 9)):
            time.sleep(0.001)
        versions = [(i + k) % 5 + 1 for k in range(n_each)]
        return [own.promote("digits", v).generation for v in versions]

    def read(i: int) -> list[int]:
        """What is seen is whole, and never older than what was seen."""
        watch = Registry(path).watch("digits@champion")
        seen = [watch.poll().generation]
        (path / f"reading-{i}").touch()
        end = time.monotonic() + 120
        while time.monotonic() < end and not (path / "stop").exists():
            alias = watch.poll()
            if alias is not None:
                assert alias.digest == digests[alias.version]
                seen.append(alias.generation)
        assert seen == sorted(set(seen))
        return seen

    def act(i: int) -> list[int]:
        try:
            return promote(i) if i < 8 else read(i)
        finally:
            if i < 8:
                (path / f"done-{i}").touch()
                if all((path / f"done-{k}").exists() for k in range(8)):
                    (path / "stop").touch()

    results = at_once(10, act, path.parent)
    generations = [g for result in results[:8] for g in result]
    assert all(result == sorted(result) for result in results[:8])
    assert len(set(generations)) == 8 * n_each  # each its own
    told = [e.seq for e in registry.history("digits") if e.kind == "alias"][1:]
    assert told == sorted(generations)  # none lost, strictly increasing
    assert registry.alias("digits").generation == max(generations)
    assert all(len(result) > 1 for result in results[8:])
    for name in ["stop", *(f"done-{i}" for i in range(8))]:
        (path / name).unlink()
    check_whole(path)


def test_eight_processes_promote_and_no_promotion_is_lost(
    quick_path: Path, artefacts: list[Path]
) -> None:
    promote_at_once(quick_path / "r", 25, artefacts)


@pytest.mark.slow
def test_nor_is_one_of_sixteen_hundred(quick_path: Path, artefacts: list[Path]) -> None:
    promote_at_once(quick_path / "r", 200, artefacts)


def test_of_those_who_expect_the_same_one_wins(
    filled: Registry, tmp_path: Path
) -> None:
    """Compare-and-swap as a counter: each success saw what was there."""

    def count(i: int) -> int:
        registry, n_conflicts, n_left = Registry(filled.path), 0, 10
        while n_left:
            seen = registry.alias("digits")
            try:
                registry.promote("digits", seen.version % 3 + 1, expected=seen)
                n_left -= 1
            except RegistryConflict:
                n_conflicts += 1
        return n_conflicts

    before = filled.alias("digits")
    at_once(4, count, tmp_path)
    alias = filled.alias("digits")
    assert alias.generation == before.generation + 40
    assert alias.version == (before.version - 1 + 40) % 3 + 1
    check_whole(filled.path)


def test_numbers_of_versions_are_each_given_once(
    registry: Registry, artefacts: list[Path], tmp_path: Path
) -> None:
    def publish(i: int) -> list[int]:
        own = Registry(registry.path)
        return [own.register("digits", artefacts[i]).version for _ in range(5)]

    results = at_once(4, publish, tmp_path)
    numbers = [number for result in results for number in result]
    assert sorted(numbers) == list(range(1, 21))
    check_whole(registry.path)


def test_collectors_and_publishers_do_not_harm_each_other(
    filled: Registry, artefacts: list[Path], tmp_path: Path
) -> None:
    def act(i: int) -> int:
        own = Registry(filled.path)
        for k in range(8):
            if i == 0:
                own.gc(keep=1)
            else:
                version = own.register("digits", artefacts[(i + k) % 5])
                own.set_alias("digits", f"of{i}", version)  # it may be gone: an error
        return i

    def careful(i: int) -> int:
        from trimtab import RegistryError

        try:
            return act(i)
        except RegistryError as error:
            assert "there is no version" in str(error)  # noqa: PT017
            return i

    at_once(3, careful, tmp_path)
    check_whole(filled.path)


def test_threads_are_writers_too(filled: Registry) -> None:
    errors = []

    def promote() -> None:
        try:
            for i in range(10):
                filled.promote("digits", i % 3 + 1)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=promote) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert filled.alias("digits").generation == 5 + 40


def test_who_waits_too_long_is_told(filled: Registry) -> None:
    impatient = Registry(filled.path, timeout_s=0.05)
    with (
        locked(filled.store.lock_path("digits"), 1.0),
        pytest.raises(RegistryConflict, match=r"0\.05 s"),
    ):
        impatient.promote("digits", 3)
    assert impatient.get("digits").version == 2
    impatient.promote("digits", 3)
    check_whole(filled.path)


def test_open_leaves_the_work_of_the_living_alone(filled: Registry) -> None:
    with filled.store.sharing() as work:
        Registry(filled.path)
        assert os.path.isdir(work.path)
    check_whole(filled.path)


@pytest.mark.parametrize("take", [locked, try_locked])
def test_a_child_forked_meanwhile_does_not_keep_a_lock(
    take: Callable[..., Any], tmp_path: Path
) -> None:
    path = str(tmp_path / "a.lock")
    arguments = (path, 1.0) if take is locked else (path,)
    reader, writer = os.pipe()
    with take(*arguments):
        pid = os.fork()
        if pid == 0:  # it lives for as long as the pipe is open
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
    try:
        with try_locked(path) as is_held:
            assert is_held
    finally:
        os.close(writer)
        os.close(reader)
        assert os.waitpid(pid, 0)[1] == 0


def test_nor_does_it_let_go_of_what_its_parent_holds(tmp_path: Path) -> None:
    path = str(tmp_path / "a.lock")
    try:
        with locked(path, 1.0):
            pid = os.fork()
            if pid != 0:
                assert os.waitpid(pid, 0)[1] == 0
                with try_locked(path) as is_held:
                    assert not is_held
    finally:
        if pid == 0:
            os._exit(0)  # out of the block as its parent will be
