"""Which oneDNN to build against, and copying its libraries into the package."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NoReturn

from toolchain import Toolchain, copy_library

HERE = Path(__file__).resolve().parent
MINIMUM = (3, 2, 0)
RUNTIMES = {"1u": "sequential", "2u": "omp", "4u": "tbb", "8u": "threadpool"}
RUNTIMES |= {"256u": "ocl", "512u": "sycl"}
# of the C library and the compiler: on every machine that runs Python wheels
SYSTEM = re.compile(
    r"(libc|libm|libdl|librt|libpthread|ld-linux[\w-]*|libstdc\+\+|libgcc_s|libgomp)\.so"
)
# libraries that ours stand in for: see intel_runtime.c
STAND_INS = {
    "libintlc.so.5": ["-fno-builtin"],
    "libimf.so": ["-DTT_ONLY_LIBM", "-Wl,--no-as-needed", "-lm"],
}


@dataclass(frozen=True)
class OneDNN:
    """One oneDNN: its headers, its library and what it was built on."""

    includes: list[str]
    library: Path
    search: list[Path]
    version: tuple[int, int, int]
    cpu_runtime: str
    threading: str
    gpu_runtime: str
    is_vendored: bool
    needed: list[str] = field(default_factory=list)

    @property
    def is_openmp(self) -> bool:
        return self.threading == "omp"

    @property
    def defines(self) -> list[str]:
        return ["TT_THREADS_OPENMP"] if self.is_openmp else []

    @property
    def libraries(self) -> list[Path]:
        """libdnnl and, beside it or in the environment, its threading library."""
        names = [name for name in self.needed if _is_threading(name)]
        if not self.is_openmp and not names:
            names = ["libtbb.so.12"]
        found = [_find(name, self.search) for name in names]
        return [self.library, *(path for path in found if path is not None)]

    @property
    def link_flags(self) -> list[str]:
        """The OpenMP runtime that libdnnl itself uses, never a second one."""
        if not self.is_openmp or any(
            name.startswith("libiomp") for name in self.needed
        ):
            return []
        return ["-fopenmp"]

    def linked_with(self, libraries: list[Path]) -> list[str]:
        """Linker arguments: libdnnl and its threading library, by exact name."""
        wanted = [
            p for p in libraries if p.name == self.soname or _is_threading(p.name)
        ]
        return [str(path) for path in wanted]

    @property
    def soname(self) -> str:
        return _dynamic(self.library, "SONAME")[0]

    @property
    def fingerprint(self) -> str:
        """Changes with the headers that we compile against, not with their place."""
        headers = ["oneapi/dnnl/dnnl_config.h", "oneapi/dnnl/dnnl_version.h"]
        headers += ["oneapi/tbb/version.h"]
        folders = [Path(folder) for folder in self.includes]
        found = [f / header for header in headers for f in folders]
        texts = [path.read_bytes() for path in found if path.exists()]
        return hashlib.sha256(b"".join(texts)).hexdigest()

    def describe(self) -> str:
        version = ".".join(map(str, self.version))
        return (
            f"oneDNN {version} at {self.library}: cpu {self.cpu_runtime}, threads "
            f"{self.threading}, gpu {self.gpu_runtime}, "
            f"{'copied into the package' if self.is_vendored else 'used in place'}"
        )

    def vendor(self, folder: Path, tools: Toolchain) -> list[Path]:
        """Copy libdnnl and all it needs into `folder`; returns the copies."""
        copies: dict[str, Path] = {}
        waiting = [(self.soname, self.library)]
        if self.threading == "tbb" and "libtbb.so.12" not in self.needed:
            waiting.append(("libtbb.so.12", _find("libtbb.so.12", self.search)))
        while waiting:
            name, source = waiting.pop()
            target = folder / name
            copies[name] = target
            if source is None:
                flags = STAND_INS[name]
                tools.shared_library(HERE / "intel_runtime.c", target, flags)
                continue
            # the licence of oneDNN permits changes, the others' may not
            strip = name == self.soname
            copy_library(source, target, strip=strip, stamps=tools.folder)
            for other in _dynamic(source, "NEEDED"):
                if other in copies or SYSTEM.match(other):
                    continue
                found = None if other in STAND_INS else _find(other, self.search)
                if found is None and other not in STAND_INS:
                    _stop(f"{source} needs {other}, which is not in {self.search}")
                waiting.append((other, found))
        return list(copies.values())


def find_onednn(root: str | None) -> OneDNN:
    """The oneDNN under `root`, or else the one that pip brought for the build."""
    if root:
        include, search = _under_root(Path(root).resolve())
    else:
        include, search = _from_packages()
    library = _find("libdnnl.so.3", search) or _find("libdnnl.so", search)
    if library is None:
        _stop(f"libdnnl.so.3 is not in {', '.join(map(str, search))}")
    config = (include / "oneapi/dnnl/dnnl_config.h").read_text()
    numbers = include / "oneapi/dnnl/dnnl_version.h"
    version = tuple(
        int(_define(numbers.read_text(), f"DNNL_VERSION_{part}"))
        for part in ("MAJOR", "MINOR", "PATCH")
    )
    if version < MINIMUM or version[0] != MINIMUM[0]:
        _stop(f"oneDNN {version} in {include}; 3.2 or a later 3.x is needed")
    threading = _runtime(config, "DNNL_CPU_THREADING_RUNTIME")
    if threading not in ("tbb", "omp"):
        _stop(f"oneDNN's CPU threads are {threading!r}; TBB or OpenMP is needed")
    cpu = _runtime(config, "DNNL_CPU_RUNTIME")
    in_system = str(library.parent).startswith(("/usr/lib", "/lib"))
    includes = [str(include)]
    if threading == "tbb" and not (include / "tbb/task_arena.h").exists():
        includes.append(str(_package_file("tbb-devel", "tbb/task_arena.h").parents[1]))
    return OneDNN(
        includes=includes,
        library=library,
        search=search,
        version=version,
        cpu_runtime=cpu,
        threading=threading,
        gpu_runtime=_runtime(config, "DNNL_GPU_RUNTIME"),
        is_vendored=not in_system and cpu != "sycl",
        needed=_dynamic(library, "NEEDED"),
    )


def _under_root(root: Path) -> tuple[Path, list[Path]]:
    if not (root / "include/oneapi/dnnl/dnnl.h").exists():
        _stop(f"ONEDNN_ROOT={root}: no include/oneapi/dnnl/dnnl.h there")
    search = [*root.glob("lib"), *root.glob("lib64"), *root.glob("lib/*-linux-gnu")]
    tbb = _package_file("tbb", "libtbb.so.12", required=False)
    return root / "include", [*search, *([tbb.parent] if tbb else [])]


def _from_packages() -> tuple[Path, list[Path]]:
    header = _package_file("onednn-devel-cpu-tbb", "include/dnnl.h")
    dnnl = _package_file("onednn-cpu-tbb", "libdnnl.so.3")
    tbb = _package_file("tbb", "libtbb.so.12")
    return header.parent, [dnnl.parent, tbb.parent]


def _package_file(package: str, ending: str, *, required: bool = True) -> Path | None:
    """A file that a wheel put somewhere below the environment's prefix."""
    try:
        for file in distribution(package).files or []:
            if str(file).endswith("/" + ending):
                return Path(file.locate()).resolve()
    except PackageNotFoundError:
        pass
    if required:
        _stop(
            f"{ending} of the package {package} is missing: build with pip (it brings "
            f"its own), or pip install the [build-system] requirements of "
            f"pyproject.toml first, or set ONEDNN_ROOT"
        )
    return None


def _find(name: str, folders: list[Path]) -> Path | None:
    return next((f / name for f in folders if (f / name).exists()), None)


def _is_threading(name: str) -> bool:
    return name.startswith(("libtbb.so", "libiomp"))


def _define(text: str, name: str) -> str:
    match = re.search(rf"#define {name} +(\S+)", text)
    if match is None:
        _stop(f"oneDNN's headers do not define {name}")
    return match[1]


def _runtime(config: str, name: str) -> str:
    """ "tbb" for `#define NAME DNNL_RUNTIME_TBB`."""
    value = _define(config, name)
    if value.startswith("DNNL_RUNTIME_"):
        value = value.removeprefix("DNNL_RUNTIME_").lower()
    return {"seq": "sequential", "dpcpp": "sycl"}.get(value, RUNTIMES.get(value, value))


def _dynamic(library: Path, tag: str) -> list[str]:
    done = subprocess.run(
        ["readelf", "-dW", str(library)], capture_output=True, text=True, check=True
    )
    return re.findall(rf"\({tag}\).*\[(.+)\]", done.stdout)


def _stop(message: str) -> NoReturn:
    sys.exit(f"trimtab build: {message}")
