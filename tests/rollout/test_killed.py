"""Killed at any call of the system, a rollout is finished or undone by the alias."""

from __future__ import annotations

import itertools
import shutil
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.registry.conftest import check_whole, in_child
from tests.registry.test_crash import killed_at

from trimtab import Registry
from trimtab.rollout import read_rollout, resume
from trimtab.rollout.states import FINAL

from .conftest import FakeDeployment, quick

_OPTIONS = {"shadow_requests": 5, "min_requests": 5, "bake_s": 0.0, "check_s": 0.001}


def as_good(version: int, number: int) -> tuple[np.ndarray, float]:
    return np.eye(2)[[number % 2]], 0.001


def serve(dep: FakeDeployment) -> threading.Event:
    """Ask for as long as the process lives, or until it is told to stop."""
    stop = threading.Event()

    def ask() -> None:
        for number in itertools.count():
            dep(number, request_id=number)
            if stop.wait(0.0001):
                return

    threading.Thread(target=ask, daemon=True).start()
    return stop


def roll(path: Path, number: int | None, *, taken_back: bool) -> None:
    registry = Registry(path)
    dep = FakeDeployment(registry, as_good)
    serve(dep)
    if number is not None:
        killed_at(number)
    handle = quick(**{**_OPTIONS, "bake_s": 60.0 if taken_back else 0.0}).start(dep, 2)
    if taken_back:
        while handle.is_running and handle.state != "BAKING":
            handle.wait(0.001)
        handle.abort("taken back")
    handle.wait()


@pytest.fixture
def template(registry: Registry) -> Path:
    return Path(registry.path)


def settle(path: Path, *, is_served: bool) -> tuple[str, int]:
    """Open what is left and resume; give the state it came to, and who serves."""
    registry = Registry(path)
    before = read_rollout(registry, "digits")
    alias = registry.alias("digits").version
    assert alias in (1, 2)
    dep = FakeDeployment(registry, as_good) if is_served else None
    stop = serve(dep) if dep else threading.Event()
    quick_again = quick(**_OPTIONS)
    result = resume(registry, "digits", dep, policy=quick_again)
    stop.set()
    after = read_rollout(registry, "digits")
    state = "none" if after is None else after.state
    assert result is None or result.state == state
    assert state in (*FINAL, "none"), str(after)
    if before is not None and before.state in FINAL:
        assert state == before.state
    serves = registry.alias("digits").version
    assert serves == (2 if state == "PROMOTED" else 1), str(after)
    assert dep is None or dep.version == serves
    check_whole(path)
    return state, serves


@pytest.mark.parametrize("taken_back", [False, True])
def test_killed_at_any_call_of_the_system_it_is_old_or_new(
    template: Path,
    quick_path: Path,
    taken_back: bool,
) -> None:
    path, copy = quick_path / "r", quick_path / "copy"
    found = set()
    n_kills = 0
    for number in itertools.count():
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(template, path)
        status = in_child(lambda: roll(path, number, taken_back=taken_back))  # noqa: B023
        ended = {}
        for is_served in (False, False, True):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(path, copy)
            end = settle(copy, is_served=is_served)
            assert ended.setdefault(is_served, end) == end  # the same each time
        found.add(ended[False])
        if status == 0:
            break
        assert status == signal.SIGKILL
        n_kills += 1
    assert n_kills >= 100
    assert {("ROLLED_BACK", 1), ("none", 1)} <= found
    assert (("PROMOTED", 2) in found) or taken_back
