"""Killed at any instant, a registry opens as it was or as it was to be.

Twice over: before and after every call of the system, one by one; and at random
instants of everything at once, a thousand times with ``-m slow``.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trimtab import Registry, RegistryError
from trimtab.registry.quarantine import quarantined

from .conftest import check_whole, in_child
from .test_registry import damage

#: What changes a file or a folder.
CALLS = [
    *("open", "write", "pwrite", "ftruncate", "fsync", "fdatasync", "fchmod", "utime"),
    *("replace", "unlink", "mkdir", "rmdir"),
]


def killed_at(number: int) -> None:
    """From now on, die just before or after a call of the system: 0, 1, 2..."""
    count = itertools.count()

    def deadly(call: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*args: object, **more: object) -> object:
            if next(count) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*args, **more)
            if next(count) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapper

    for name in CALLS:
        setattr(os, name, deadly(getattr(os, name)))


def snapshot(registry: Registry) -> tuple:
    """What a registry holds, without what only time tells."""
    return tuple(
        (
            name,
            tuple(registry.versions(name)),
            tuple(sorted(quarantined(registry.store, name))),
            tuple(
                (alias, value.version, tuple(v for v, _ in value.before))
                for alias, value in registry.aliases(name).items()
            ),
        )
        for name in registry.names()
    )


ACTIONS: dict[str, Callable[[Registry, list[Path]], object]] = {
    "publish": lambda r, files: r.register("digits", files[3]),
    "publish what is there": lambda r, files: r.register("digits", files[0]),
    "publish another": lambda r, files: r.register("other", files[4]),
    "promote": lambda r, files: r.promote("digits", 3),
    "first alias": lambda r, files: r.set_alias("digits", "challenger", 3),
    "rollback": lambda r, files: r.rollback("digits"),
    "remove": lambda r, files: r.remove_alias("digits", "champion"),
    "gc": lambda r, files: r.gc(keep=1),
    "import": lambda r, files: r.import_(files[0].parent / "exported", name="copy"),
}


@pytest.fixture(scope="module")
def template(artefacts: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four versions; the champion was 2, then 4: gc takes 1, and 3 with its blob."""
    path = tmp_path_factory.mktemp("template") / "r"
    registry = Registry(path)
    for i in (0, 1, 2, 0):
        registry.register("digits", artefacts[i])
    registry.promote("digits", 2)
    registry.promote("digits", 4)
    exported = artefacts[0].parent / "exported"
    if not exported.exists():
        registry.export(exported, "digits/2")
    return path


def fresh(template: Path, path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(template, path)
    return path


def die(path: Path, number: int, action: Callable[[Registry], object]) -> None:
    registry = Registry(path)
    killed_at(number)
    action(registry)


@pytest.mark.parametrize("action", ACTIONS)
def test_killed_at_any_call_of_the_system_it_is_old_or_new(
    action: str, template: Path, artefacts: list[Path], quick_path: Path
) -> None:
    path = quick_path / "r"

    def act(registry: Registry) -> object:
        return ACTIONS[action](registry, artefacts)

    old = snapshot(Registry(template))
    registry = Registry(fresh(template, path))
    act(registry)
    new = snapshot(registry)
    assert old != new
    seen = set()
    for number in itertools.count():
        fresh(template, path)
        status = in_child(lambda: die(path, number, act))  # noqa: B023
        found = snapshot(check_whole(path))
        assert found in (old, new), f"killed at call {number}"
        seen.add(found)
        act(Registry(path)) if found == old else None
        check_whole(path)
        if status == 0:
            break
        assert status == signal.SIGKILL
    assert seen == {old, new}
    assert number > 10


def test_killed_while_it_puts_right_what_was_killed(
    template: Path, artefacts: list[Path], quick_path: Path
) -> None:
    """The second time it is opened it is right."""
    path = quick_path / "r"
    n_kills = 0
    for action in ("publish", "gc", "promote"):
        for number in range(0, 60, 7):
            fresh(template, path)
            act = ACTIONS[action]
            in_child(lambda: die(path, number, lambda r: act(r, artefacts)))  # noqa: B023
            left = quick_path / "left"
            fresh(path, left)
            for second in itertools.count():
                fresh(left, path)
                status = in_child(lambda: (killed_at(second), Registry(path)))  # noqa: B023
                check_whole(path)
                if status == 0:
                    break
                n_kills += 1
    assert n_kills > 50


def test_killed_while_it_sets_aside(
    template: Path, artefacts: list[Path], quick_path: Path
) -> None:
    path = quick_path / "r"
    for number in itertools.count():
        registry = Registry(fresh(template, path))
        damage(registry.get("digits/3").path)
        status = in_child(lambda: die(path, number, lambda r: r.verify()))  # noqa: B023
        registry = Registry(path)
        assert quarantined(registry.store, "digits") in (set(), {3})
        report = registry.verify()
        assert [p.where for p in report.problems] == ["digits/3"]
        assert quarantined(registry.store, "digits") == {3}
        registry.register("digits", artefacts[2])
        registry.verify()
        check_whole(path)
        if status == 0:
            break


def test_killed_while_it_is_made(quick_path: Path, artefacts: list[Path]) -> None:
    for number in itertools.count():
        path = quick_path / str(number)
        status = in_child(lambda: (killed_at(number), Registry(path)))  # noqa: B023
        check_whole(path).register("digits", artefacts[0])
        check_whole(path)
        if status == 0:
            break
    assert number > 10


# ---- at random ----------------------------------------------------------------------


def work_until_killed(path: Path, files: list[Path], told: int, seed: int) -> None:
    """Change everything all the time, and tell which generation is there."""
    rng = random.Random(seed)
    registry = Registry(path)
    while True:
        kind = rng.choice(["publish", "promote", "promote", "rollback", "gc"])
        if kind == "publish":
            registry.register("digits", rng.choice(files))
        elif kind == "gc":
            registry.gc(keep=3)
        else:
            try:
                if kind == "promote":
                    version = rng.choice(registry.versions("digits"))
                    alias = registry.promote("digits", version)
                else:
                    alias = registry.rollback("digits")
            except RegistryError:
                continue  # nothing to go back to
            os.pwrite(told, b"%20d" % alias.generation, 0)


def kill_again_and_again(path: Path, files: list[Path], n_kills: int) -> None:
    registry = Registry(path)
    registry.register("digits", files[0])
    generation = registry.promote("digits", 1).generation
    told = os.open(path.parent / "told", os.O_RDWR | os.O_CREAT)
    rng = random.Random(7)
    for number in range(n_kills):
        pid = os.fork()
        if pid == 0:
            try:
                work_until_killed(path, files, told, number)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(1)
        time.sleep(rng.uniform(0.002, 0.06))
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL  # it did not end by itself
        registry = check_whole(path)
        alias = registry.alias("digits")
        acknowledged = int(os.pread(told, 20, 0) or b"0")
        assert alias.generation >= max(generation, acknowledged)
        assert registry.get("digits@champion").digest == alias.digest
        generation = alias.generation
    os.close(told)
    assert generation > n_kills / 4  # it did something in between


def test_killed_at_random_a_hundred_times(
    quick_path: Path, artefacts: list[Path]
) -> None:
    kill_again_and_again(quick_path / "r", artefacts, n_kills=100)


@pytest.mark.slow
def test_killed_at_random_a_thousand_times(
    quick_path: Path, artefacts: list[Path]
) -> None:
    kill_again_and_again(quick_path / "r", artefacts, n_kills=1000)


@pytest.mark.slow
def test_killed_together_at_random(quick_path: Path, artefacts: list[Path]) -> None:
    """Three at once, of which one goes on."""
    path = quick_path / "r"
    Registry(path).register("digits", artefacts[0])
    told = os.open(quick_path / "told", os.O_RDWR | os.O_CREAT)
    rng = random.Random(8)
    for number in range(100):
        pids = []
        for i in range(3):
            pid = os.fork()
            if pid == 0:
                try:
                    work_until_killed(path, artefacts, told, 3 * number + i)
                finally:
                    os._exit(1)
            pids.append(pid)
        for pid in pids:
            time.sleep(rng.uniform(0.0, 0.08))
            os.kill(pid, signal.SIGKILL)
        assert {os.waitpid(pid, 0)[1] for pid in pids} == {signal.SIGKILL}
        check_whole(path)
    os.close(told)
