"""What the wheel and the sdist hold: all that is needed, and nothing else."""

from __future__ import annotations

import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from .conftest import ROOT, pip, run

pytestmark = pytest.mark.packaging

VENDORED = {"libdnnl.so.3", "libtbb.so.12", "libintlc.so.5", "libimf.so"}
LICENCES = {str(p.relative_to(ROOT)) for p in (ROOT / "licenses").rglob("*")}
# of the C library and the compiler's: on every machine that runs Python wheels
SYSTEM = re.compile(
    r"(libc|libm|libdl|librt|libpthread|ld-linux\S*|libstdc\+\+|libgcc_s)\.so"
)


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def sources() -> set[str]:
    """Python files and stubs, as they lie in the package."""
    package = ROOT / "python"
    return {
        str(path.relative_to(package))
        for path in (package / "trimtab").rglob("*")
        if path.suffix in {".py", ".pyi", ".typed"} or path.name == "py.typed"
    }


def test_the_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < 25_000_000


def test_the_wheel_is_for_this_platform(wheel: Path) -> None:
    assert re.search(r"-cp3\d+-cp3\d+-linux_\w+\.whl$", wheel.name)


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = {n for n in names_in(wheel) if ".dist-info/" not in n}
    module = {n for n in names if re.fullmatch(r"trimtab/_core\.\S+\.so", n)}
    assert len(module) == 1
    assert names - module == sources() | {f"trimtab/lib/{n}" for n in VENDORED}


def test_the_wheel_carries_the_licences(wheel: Path) -> None:
    names = {n.split(".dist-info/licenses/")[-1] for n in names_in(wheel)}
    files = {name for name in LICENCES if (ROOT / name).is_file()}
    assert {"LICENSE", *files} <= names
    assert any("onednn" in n for n in files)
    assert any("onetbb" in n for n in files)


def test_the_wheel_declares_command_types_and_python(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        read = {
            n.split(".dist-info/")[-1]: archive.read(n).decode()
            for n in archive.namelist()
            if n.endswith(("entry_points.txt", "METADATA"))
        }
    assert "trimtab = trimtab.cli:main" in read["entry_points.txt"]
    assert "Requires-Python: >=3.10" in read["METADATA"]
    assert "License-Expression: Apache-2.0" in read["METADATA"]
    needed = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", read["METADATA"], re.M)
    assert sorted(needed) == ["numpy", "onnx", "safetensors"]


def dynamic(library: Path, tag: str) -> list[str]:
    out = subprocess.check_output(["readelf", "-dW", str(library)], text=True)
    return re.findall(rf"\({tag}\).*\[(.+)\]", out)


def test_libraries_find_each_other_beside_the_module(
    wheel: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (module,) = tmp_path.glob("trimtab/_core*.so")
    # RPATH, not RUNPATH: it holds for what libdnnl needs too
    assert dynamic(module, "RPATH") == ["$ORIGIN/lib"]
    assert dynamic(module, "RUNPATH") == []
    for library in [module, *tmp_path.glob("trimtab/lib/*")]:
        foreign = {n for n in dynamic(library, "NEEDED") if not SYSTEM.match(n)}
        assert foreign <= VENDORED, library.name
        for path in dynamic(library, "RPATH") + dynamic(library, "RUNPATH"):
            assert path.startswith("$ORIGIN"), f"{library.name}: {path}"


def test_the_module_exports_its_entry_alone(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (module,) = tmp_path.glob("trimtab/_core*.so")
    out = subprocess.check_output(["nm", "-D", "--defined-only", module], text=True)
    assert [line.split()[-1] for line in out.splitlines()] == ["PyInit__core"]


def test_the_sdist_holds_what_a_build_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    for folder in ("csrc", "buildtools", "licenses", "python/trimtab", "tests"):
        for path in (ROOT / folder).rglob("*"):
            name = str(path.relative_to(ROOT))
            built = re.search(r"\.so(\.\d+)*$|__pycache__|/lib/?|\.\w+_cache", name)
            if path.is_file() and not built:
                assert name in names, f"{name} is not in the sdist"
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE"} <= names


def test_the_sdist_holds_nothing_built(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        for name in archive.getnames():
            assert not re.search(r"\.so(\.\d+)*$|\.o$|\.pyc$|/build/", name), name


@pytest.mark.slow
def test_the_sdist_builds_a_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    words = ["wheel", "--no-deps", "--no-index", "--no-build-isolation"]
    pip(*words, "--wheel-dir", tmp_path, sdist)
    (built,) = tmp_path.glob("*.whl")
    assert names_in(built) == names_in(wheel)


@pytest.mark.slow
def test_a_fresh_machine_installs_within_two_minutes(tmp_path: Path) -> None:
    """As a user does, with pip's own build environment, from a clean copy."""
    import time

    copy = tmp_path / "trimtab"
    run(["git", "clone", "-q", "--depth=1", f"file://{ROOT}", copy])
    run(["python3", "-m", "venv", tmp_path / "venv"])
    start = time.monotonic()
    run([tmp_path / "venv/bin/pip", "install", "-q", copy])
    assert time.monotonic() - start < 120
    run([tmp_path / "venv/bin/python", copy / "tests/smoke.py"], cwd=tmp_path)
