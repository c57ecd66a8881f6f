"""The installed package stands alone: any place, any folder, an empty environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import ROOT, Installed

pytestmark = pytest.mark.packaging

#: Runs the smoke test; then the shared objects in the process, and the modules.
PROBE = """
import json, runpy, sys
runpy.run_path(sys.argv[1], run_name="__main__")
maps = {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line}
print(json.dumps(sorted(maps)))
"""
IMPORTED = """
import sys, numpy
before = set(sys.modules)
import trimtab
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""


def test_it_predicts_from_a_foreign_folder(
    installed: Installed, tmp_path: Path
) -> None:
    out = installed.run("-c", PROBE, ROOT / "tests" / "smoke.py", cwd=tmp_path)
    assert "agrees with NumPy" in out


def test_it_uses_its_own_libraries(installed: Installed, tmp_path: Path) -> None:
    out = installed.run("-c", PROBE, ROOT / "tests" / "smoke.py", cwd=tmp_path)
    mapped = [Path(name) for name in json.loads(out.splitlines()[-1])]
    ours = [path for path in mapped if path.is_relative_to(installed.package)]
    assert {"libdnnl.so.3", "libtbb.so.12"} <= {path.name for path in ours}
    # one of each: none comes from the environment that built the wheel
    for name in ("libdnnl", "libtbb", "libimf", "libintlc", "libiomp", "_core."):
        assert all(p in ours for p in mapped if p.name.startswith(name)), name


def test_what_it_was_built_with_is_not_needed(
    installed: Installed, tmp_path: Path
) -> None:
    code = "import importlib.metadata as m, trimtab; m.distribution('onednn-cpu-tbb')"
    with pytest.raises(AssertionError, match="PackageNotFoundError"):
        installed.run("-c", code, cwd=tmp_path)


def test_importing_it_loads_nothing_heavy(installed: Installed, tmp_path: Path) -> None:
    loaded = set(installed.run("-c", IMPORTED, cwd=tmp_path).split())
    heavy = {"onnx", "safetensors", "google", "ml_dtypes", "asyncio", "email", "http"}
    assert "trimtab" in loaded
    assert not loaded & heavy


def test_the_command_runs(installed: Installed, tmp_path: Path) -> None:
    out = installed.run("-m", "trimtab", "version", "--json", cwd=tmp_path)
    assert json.loads(out)["onednn"].startswith("3.")
    script = Path(installed.python[0]).with_name("trimtab")
    if script.exists():
        assert "oneDNN" in installed.run(script, "version", cwd=tmp_path)
