"""Builds the C driver and runs it; CI runs it once more under sanitizers."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def test_c_driver_passes() -> None:
    try:
        distribution("onednn-devel-cpu-tbb")
    except PackageNotFoundError:
        pytest.skip("needs the build requirements: see pyproject.toml, [build-system]")
    done = subprocess.run(
        [sys.executable, str(HERE / "build.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
