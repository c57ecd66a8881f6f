"""The types that users see, as mypy sees them, and stubs that tell the truth."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("mypy")


def test_the_stub_of_the_core_equals_the_module() -> None:
    out = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "trimtab._core"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert out.returncode == 0, out.stdout + out.stderr


def test_revealed_types_are_as_documented(tmp_path: Path) -> None:
    user = Path(__file__).parent / "user_code.py"
    out = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file=",
            f"--cache-dir={tmp_path}",
            str(user),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert out.returncode == 0, out.stdout + out.stderr
