"""Environments with packages that the tests' own does not have, made once."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

import trimtab
from trimtab.fetch import cache_folder

ROOT = Path(__file__).parents[2]
TENSORFLOW = (
    "tensorflow-cpu==2.21.0",
    "tf_keras==2.21.0",
    "tf2onnx==1.17.0",
    "onnx>=1.18,<1.24",
    "numpy>=2.0,<2.5",
)
GARDEN = ("tf-models-official==2.20.0", "tf2onnx==1.17.0", "onnx>=1.18,<1.24")
_INSTALL_S = 1800


def make_venv(name: str, requirements: Sequence[str]) -> Path:
    """The Python of a venv that has these packages; skips without an index.

    It lies in the cache, by name and version of Python. An interrupted installation
    is begun again.
    """
    tag = "cp{}{}".format(*sys.version_info[:2])
    folder = cache_folder() / "venvs" / f"{name}-{tag}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    python, ready = folder / "bin" / "python", folder / "ready"
    wanted = "\n".join(requirements)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.is_file() and ready.read_text() == wanted:
            return python
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        done = subprocess.run(
            [python, "-m", "pip", "install", "-q", "--no-input", *requirements],
            capture_output=True,
            text=True,
            timeout=_INSTALL_S,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"{name} cannot be installed: {done.stderr.splitlines()[-1]}")
        ready.write_text(wanted)
    return python


@cache
def package_folder() -> str:
    """A folder with nothing but the package that is tested, wherever that is.

    That of the package itself may be full of others, such as another NumPy.
    """
    folder = tempfile.mkdtemp(prefix="trimtab-package-")
    atexit.register(shutil.rmtree, folder)
    os.symlink(Path(trimtab.__file__).parent, os.path.join(folder, "trimtab"))
    return folder


def run_python(
    python: Path, *arguments: str | Path, seconds: float = 600, **variables: str
) -> str:
    """What a script prints in a venv that also finds the trimtab that is tested."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",  # other tests name the one of this process
        "PYTHONPATH": package_folder(),
        "CUDA_VISIBLE_DEVICES": "-1",
        **variables,
    }
    done = subprocess.run(
        [python, *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
