"""The SYCL oneDNN, the way to Intel GPUs: all but the device, on its CPU engine.

``SYCL_PREFIX`` names an environment that holds it; tests/README.md has the commands.
Left out is what that runtime cannot do: a forked child hangs in it, and it keeps about
0.5 MB for each engine that is made and freed (2026.1).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from .conftest import ROOT, run

pytestmark = [pytest.mark.sycl, pytest.mark.packaging]

FOLDERS = ("buildtools", "csrc", "licenses", "python", "tests")
FILES = ("README.md", "LICENSE", "pyproject.toml", "setup.py")


@pytest.fixture(scope="module")
def prefix() -> Path:
    """The environment."""
    named = os.environ.get("SYCL_PREFIX")
    if not named:
        pytest.skip("SYCL_PREFIX does not name an environment: see tests/README.md")
    folder = Path(named).absolute()
    for name in ("bin/python", "lib/libsycl.so", "lib/libintelocl.so"):
        assert (folder / name).exists(), f"{folder / name} is missing"
    return folder


@pytest.fixture(scope="module")
def built(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with the core built against that oneDNN in place."""
    tree = tmp_path_factory.mktemp("sycl") / "trimtab"
    built = shutil.ignore_patterns("_core*.so", "lib", "__pycache__", "*.egg-info")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tree / name, ignore=built)
    for name in FILES:
        shutil.copy(ROOT / name, tree)
    command = [prefix / "bin/python", "setup.py", "build_ext", "--inplace"]
    out = run(command, cwd=tree, env=environment(prefix, tree), timeout=3600)
    assert "cpu sycl" in out
    return tree


def environment(prefix: Path, tree: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "ONEDNN_ROOT": str(prefix),
        "OCL_ICD_FILENAMES": str(prefix / "lib/libintelocl.so"),
        "PYTHONPATH": os.pathsep.join(map(str, (tree / "python", tree))),
    }


def python(prefix: Path, tree: Path, *words: str) -> str:
    env = environment(prefix, tree)
    return run([prefix / "bin/python", *words], cwd=tree, env=env, timeout=3600)


def test_the_engine_is_that_of_sycl(prefix: Path, built: Path) -> None:
    code = "from trimtab import _core; print(_core.dnnl_info())"
    out = python(prefix, built, "-c", code)
    assert "'cpu_runtime': 'sycl', 'gpu_runtime': 'sycl'" in out


def test_a_missing_device_is_named(prefix: Path, built: Path) -> None:
    code = (
        "import trimtab; from trimtab import _core\n"
        "from tests.plan.test_staging import conv_model\n"
        "try: model = trimtab.load_model(conv_model(), device='gpu')\n"
        "except trimtab.DeviceError as error: print('refused:', error)\n"
        "else: print('there is one:', _core.dnnl_info()['n_gpus'])\n"
    )
    out = python(prefix, built, "-c", code)
    assert "finds no GPU; install the device's driver" in out or "there is one" in out


def test_the_c_tests_pass(prefix: Path, built: Path) -> None:
    out = python(prefix, built, "tests/c/build.py")
    assert " 0 failed" in out


def test_the_tests_of_operators_and_plans_pass(prefix: Path, built: Path) -> None:
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not zoo", "-rf"]
    folders = ["tests/ops", "tests/plan", "tests/bind", "tests/test_tiny.py"]
    left_out = "not forked and not resident_size"
    out = python(prefix, built, *words, "-k", left_out, *folders)
    assert " passed" in out
