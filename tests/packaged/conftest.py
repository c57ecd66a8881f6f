"""One wheel and one sdist for all tests here, and places to install into."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: What `pip install .` fetches for the build, by the name pip knows it by.
BUILD_REQUIREMENTS = ["setuptools", "build", "onednn-devel-cpu-tbb", "tbb-devel"]
#: Top-level modules that trimtab needs when it runs, and what they need.
RUNTIME = ["numpy", "numpy.libs", "onnx", "safetensors", "google", "ml_dtypes"]
RUNTIME += ["typing_extensions.py"]


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    timeout: int = 900,
) -> str:
    """Run a command; its output, or a failure that shows it."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}"
    return done.stdout


def pip(*words: str | Path, env: Mapping[str, str] | None = None) -> str:
    """Run pip, blind to the tree: it must not find this package installed already."""
    env = {k: v for k, v in (env or os.environ).items() if k != "PYTHONPATH"}
    quiet = ["--disable-pip-version-check", "--no-input", "-q"]
    return run([sys.executable, "-m", "pip", *quiet, *words], env=env)


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with what `python -m build` makes of the tree."""
    missing = []
    for name in BUILD_REQUIREMENTS:
        try:
            distribution(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        if os.environ.get("CI"):
            pytest.fail(f"CI must be able to build: {missing} are not installed")
        pytest.skip(f"needs {missing}: see pyproject.toml, [build-system]")
    out = tmp_path_factory.mktemp("dist")
    env = {k: v for k, v in os.environ.items() if k not in {"ONEDNN_ROOT", "SANITIZE"}}
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--sdist"]
    run([*build, "--outdir", out, ROOT], env=env)
    return out


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    """The wheel."""
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def sdist(dist: Path) -> Path:
    """The source distribution."""
    (path,) = dist.glob("*.tar.gz")
    return path


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with trimtab's run-time dependencies, and nothing else."""
    import numpy

    folder = tmp_path_factory.mktemp("runtime")
    site = Path(numpy.__file__).parents[1]
    for name in RUNTIME:
        if (site / name).exists():
            (folder / name).symlink_to(site / name)
    return folder


@dataclass(frozen=True)
class Installed:
    """A place where the wheel was installed, and how to start Python there."""

    python: list[str]
    env: dict[str, str]
    package: Path

    def run(self, *words: str | Path, cwd: Path) -> str:
        """Run Python with nothing in the environment but what is in `env`."""
        return run([*self.python, *words], cwd=cwd, env=self.env, timeout=120)


def site_of(python: Path) -> Path:
    """The site-packages folder of a venv."""
    (folder,) = python.parents[1].glob("lib/python3*/site-packages")
    return folder


def new_venv(folder: Path, runtime: Path, *options: str) -> Path:
    """An empty venv that sees the run-time dependencies; its Python."""
    run([sys.executable, "-m", "venv", "--without-pip", *options, folder])
    python = folder / "bin" / "python"
    (site_of(python) / "runtime.pth").write_text(f"{runtime}\n")
    return python


@pytest.fixture(scope="session", params=["target", "venv", "user"])
def installed(
    request: pytest.FixtureRequest,
    wheel: Path,
    runtime: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Installed:
    """The wheel installed in each of the ways that users install packages."""
    folder = tmp_path_factory.mktemp(request.param)
    words = ["install", "--no-deps", "--no-index", wheel]
    if request.param == "target":
        pip(*words, "--target", folder)
        base = getattr(sys, "_base_executable", sys.executable)
        path = os.pathsep.join(map(str, (folder, runtime)))
        # -S: not even the site-packages of the interpreter itself
        return Installed([base, "-S", "-s"], {"PYTHONPATH": path}, folder / "trimtab")
    if request.param == "venv":
        python = new_venv(folder / "venv", runtime)
        pip("--python", python, *words)
        return Installed([str(python)], {}, site_of(python) / "trimtab")
    python = new_venv(folder / "venv", runtime, "--system-site-packages")
    env = {"PYTHONUSERBASE": str(folder / "home")}
    pip("--python", python, *words, "--user", env={**os.environ, **env})
    (package,) = (folder / "home").glob("lib/python3*/site-packages/trimtab")
    return Installed([str(python)], env, package)
