"""The rules about tests: every operator has one, every marker is a known one."""

from __future__ import annotations

import re
from importlib.metadata import packages_distributions
from pathlib import Path

import onnx.backend.test.case.node as onnx_cases

from trimtab import _core

from .files import ROOT


def names_in(folder: Path, pattern: str) -> set[str]:
    """Quoted words in the Python files below a folder."""
    return {
        word
        for path in folder.rglob(pattern)
        for word in re.findall(r'"(?:[\w.]+::)?(\w+)"', path.read_text())
    }


def test_every_operator_is_tested() -> None:
    """In tests/ops by name, or by ONNX's own cases (tests/conformance)."""
    ours = names_in(ROOT / "tests" / "ops", "test_*.py")
    ours |= names_in(ROOT / "tests" / "plan", "*.py")
    theirs = names_in(Path(onnx_cases.__file__).parent, "*.py")
    untested = sorted(
        f"{op['domain'] or 'ai.onnx'}.{op['name']}"
        for op in _core.operators()
        if op["name"] not in (ours if op["domain"] else ours | theirs)
    )
    assert not untested


def test_every_operator_has_a_summary() -> None:
    assert not [op["name"] for op in _core.operators() if not op["summary"].strip()]


def test_no_folder_of_tests_hides_a_module() -> None:
    """pytest puts tests/ first on the path: tests/packaging would be `packaging`."""
    folders = {p.name for p in (ROOT / "tests").iterdir() if p.is_dir()}
    installed = set(packages_distributions()) - {"tests"}
    assert sorted(folders & installed) == []
