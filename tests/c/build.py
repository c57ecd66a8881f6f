"""Builds the C test driver and runs it.

    python tests/c/build.py                            all tests
    python tests/c/build.py shim fork                  those whose name contains a word
    SANITIZE=address,undefined python tests/c/build.py instrumented
    python tests/c/build.py --rooms base,dnnl          only these folders of csrc/

The driver links every object of csrc/ but those of csrc/bind. It wants what
`pip install .` wants: gcc, g++ and the [build-system] requirements.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "buildtools"))

from onednn import find_onednn  # noqa: E402
from toolchain import Toolchain  # noqa: E402

# what the instrumented driver runs with: everything is fatal; leaks are looked for
# in our code only (oneDNN and TBB keep process-wide objects to the end)
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1:allocator_may_return_null=1",
    "LSAN_OPTIONS": f"suppressions={HERE / 'leaks.txt'}:print_suppressions=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


def build(*, folder: Path = ROOT / "build" / "c", rooms: str = "") -> Path:
    """Compile and link the driver.

    Parameters
    ----------
    folder : Path
        Where the objects and the driver go.
    rooms : str
        Comma-separated folders of csrc/; empty: all but bind.

    Returns
    -------
    driver : Path
        The executable.
    """
    os.chdir(ROOT)
    onednn = find_onednn(os.environ.get("ONEDNN_ROOT"))
    tools = Toolchain(
        folder,
        includes=["csrc", "tests/c"],
        system_includes=onednn.includes,
        defines=[*onednn.defines, 'TT_VERSION="test"'],
        openmp=onednn.is_openmp,
        fingerprint=f"{sys.version} {onednn.fingerprint}",
    )
    wanted = set(rooms.split(",")) if rooms else None
    sources = [
        path
        for path in [*Path("csrc").glob("**/*.c"), *Path("csrc").glob("**/*.cpp")]
        if path.parts[1] != "bind" and (wanted is None or path.parts[1] in wanted)
    ]
    tests = [
        path
        for path in Path("tests/c").glob("*.c")
        if wanted is None or _room(path) in {*wanted, "all"}
    ]
    objects = tools.compile(sorted(sources) + sorted(tests))
    driver = tools.folder / "driver"
    libraries, rpath = onednn.libraries, []
    if onednn.is_vendored:
        libraries = onednn.vendor(tools.folder / "lib", tools)
        rpath = ["-Wl,-rpath,$ORIGIN/lib"]
    folders = sorted({str(path.parent) for path in libraries})
    flags = [
        *(rpath or (f"-Wl,-rpath,{folder}" for folder in folders)),
        *(f"-Wl,-rpath-link,{folder}" for folder in folders),
        "-Wl,--disable-new-dtags",
    ]
    linked = [*onednn.linked_with(libraries), *onednn.link_flags]
    tools.link(driver, objects, flags, linked, extra=libraries)
    return driver


def run(driver: Path, words: list[str]) -> int:
    """Run the driver on the tests that `words` select; its exit status."""
    environment = {**SANITIZER_OPTIONS, **os.environ}
    return subprocess.run([str(driver), *words], env=environment).returncode


def _room(test: Path) -> str:
    """ "dnnl" for test_dnnl_conv.c; "all" for the files that every driver needs."""
    parts = test.stem.split("_")
    return parts[1] if parts[0] in ("test", "help") else "all"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", help="run tests whose name contains one")
    parser.add_argument("--rooms", default="", help="folders of csrc/, comma-separated")
    options = parser.parse_args()
    sys.exit(run(build(rooms=options.rooms), options.words))


if __name__ == "__main__":
    main()
