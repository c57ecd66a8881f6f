"""Hostile files: refused by their class, soon, in little memory, touching nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .hostile.case import Case, all_cases

ROOT = Path(__file__).parents[2]
CASES = [
    case
    for case in all_cases()
    if not case.needs or importlib.util.find_spec(case.needs)
]
MAX_SECONDS = 1.0  # of processor time, its readers' processes included
MAX_GROWTH = 64 << 20  # over the file's size
# What may be opened besides the model: a reader's process has a folder of its own,
# and its request, messages and result lie there.
CHILD_FOLDER = "trimtab-"


def size_of(path: Path) -> int:
    """Bytes that a file really takes: sparse ones are small."""
    if path.is_dir():
        return sum(size_of(inner) for inner in path.iterdir())
    return min(path.stat().st_size, path.stat().st_blocks * 512 + 4096)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("hostile")
    built = []
    for index, case in enumerate(CASES):
        own = folder / str(index)
        own.mkdir()
        built.append((case.name, str(case.build(own))))
    work = folder / "work.json"
    # every kind once before the hook is there, so that modules are imported
    warm = [path for _, path in built]
    work.write_text(json.dumps({"warm": warm, "cases": built}))
    done = subprocess.run(
        [sys.executable, "-m", "tests.formats.hostile.worker", str(work)],
        cwd=ROOT,
        env={
            **os.environ,
            "TMPDIR": str(folder),
            "TRIMTAB_CACHE": str(folder / f"{CHILD_FOLDER}cache"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    paths = dict(built)
    return {line["name"]: {**line, "path": paths[line["name"]]} for line in lines}


def is_expected(event: str, what: str) -> bool:
    """The model's folder by descriptor; a reader's process, and its folder removed."""
    is_beneath = what.isdecimal() or not (what.startswith("/") or ".." in what)
    if event == "subprocess.Popen":
        return what == sys.executable
    return is_beneath and event in ("open", "os.killpg", "os.remove", "os.rmdir")


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_file_is_refused_by_its_class(
    case: Case, results: dict[str, dict[str, Any]]
) -> None:
    kind, _, text = results[case.name]["outcome"].partition(": ")
    assert kind == case.error, results[case.name]["outcome"]
    assert len(text) > 20, text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_file_is_refused_soon_and_in_little_memory(
    case: Case, results: dict[str, dict[str, Any]]
) -> None:
    result = results[case.name]
    assert result["seconds"] <= MAX_SECONDS
    path = Path(result["path"])
    if path.is_file() or path.is_dir():
        assert result["grown"] <= size_of(path) + MAX_GROWTH


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_file_reaches_for_nothing_else(
    case: Case, results: dict[str, dict[str, Any]]
) -> None:
    path = results[case.name]["path"]
    foreign = [
        (event, what)
        for event, what in results[case.name]["events"]
        if not what.startswith((path, os.path.dirname(path)))
        and CHILD_FOLDER not in what
        and not is_expected(event, what)
    ]
    assert foreign == []
