"""Build of trimtab._core: every csrc/**/*.c (C11) and *.cpp (C++17) in one module.

Only what changed is compiled again (objects and their .d files stay in build/), two
files at a time. oneDNN and oneTBB are copied into trimtab/lib, and the module finds
them there. Everything else is declared in pyproject.toml.

Environment variables
---------------------
ONEDNN_ROOT     prefix (include/, lib/) of another oneDNN >= 3.2 than PyPI's
TRIMTAB_WERROR  1: every warning is an error
SANITIZE        for instance "address,undefined": instrumented build
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "buildtools"))

from onednn import OneDNN, find_onednn  # noqa: E402
from toolchain import Toolchain  # noqa: E402


def sources() -> list[Path]:
    """Every C and C++ file of the core."""
    found = [*ROOT.glob("csrc/**/*.c"), *ROOT.glob("csrc/**/*.cpp")]
    return sorted(path.relative_to(ROOT) for path in found)


class BuildModules(build_py):
    """Copies the Python files into an empty folder.

    setuptools keeps what an earlier build left there, and would put modules that no
    longer exist into the wheel.
    """

    def run(self) -> None:
        if not self.editable_mode:
            shutil.rmtree(Path(self.build_lib) / "trimtab", ignore_errors=True)
        super().run()


class BuildCore(build_ext):
    """Compiles, links and puts the shared libraries beside the module."""

    def build_extension(self, ext: Extension) -> None:
        os.chdir(ROOT)
        onednn = find_onednn(os.environ.get("ONEDNN_ROOT"))
        print(onednn.describe(), flush=True)
        module = Path(self.get_ext_fullpath(ext.name))
        tools = Toolchain(
            Path(self.build_temp),
            includes=["csrc"],
            system_includes=[
                *onednn.includes,
                self.include_dirs_of_python(),
                numpy.get_include(),
            ],
            defines=[
                *onednn.defines,
                f'TT_VERSION="{self.distribution.get_version()}"',
            ],
            openmp=onednn.is_openmp,
            fingerprint=f"{sys.version} {numpy.__version__} {onednn.fingerprint}",
        )
        objects = tools.compile(sources())
        libraries = self.vendor(onednn, tools, module.parent / "lib")
        self.link(module, objects, onednn, libraries, tools)

    @staticmethod
    def include_dirs_of_python() -> str:
        """Folder of Python.h."""
        import sysconfig

        return sysconfig.get_path("include")

    def vendor(self, onednn: OneDNN, tools: Toolchain, folder: Path) -> list[Path]:
        """Copy what libdnnl needs into `folder`; returns what to link with."""
        self.vendored = onednn.vendor(folder, tools) if onednn.is_vendored else []
        return self.vendored or onednn.libraries

    def link(
        self,
        module: Path,
        objects: list[Path],
        onednn: OneDNN,
        libraries: list[Path],
        tools: Toolchain,
    ) -> None:
        """Link the module; it exports PyInit__core and nothing else."""
        exports = Path(self.build_temp) / "exports.map"
        exports.write_text("{ global: PyInit__core; local: *; };\n")
        folders = sorted({str(path.parent) for path in libraries})
        rpath = ["$ORIGIN/lib"] if onednn.is_vendored else folders
        flags = [
            "-shared",
            f"-Wl,--version-script={exports}",
            *(f"-Wl,-rpath,{folder}" for folder in rpath),
            *(f"-Wl,-rpath-link,{folder}" for folder in folders),
            # of the old kind, so that libdnnl finds its neighbours by it too
            "-Wl,--disable-new-dtags",
            "-Wl,--no-allow-shlib-undefined",
        ]
        linked = onednn.linked_with(libraries)
        tools.link(
            module, objects, flags, [*linked, *onednn.link_flags], extra=libraries
        )

    def copy_extensions_to_source(self) -> None:
        """In place: the shared libraries go beside the module too."""
        super().copy_extensions_to_source()
        for library in self.vendored:
            target = ROOT / "python" / "trimtab" / "lib" / library.name
            self.mkpath(str(target.parent))
            self.copy_file(str(library), str(target))

    def get_outputs(self) -> list[str]:
        """The module and the libraries beside it."""
        return [*super().get_outputs(), *map(str, getattr(self, "vendored", []))]


class PlatformDistribution(Distribution):
    """Makes the wheel a platform wheel."""

    def has_ext_modules(self) -> bool:
        return True


if sys.platform != "linux":
    sys.exit("trimtab builds on Linux only (x86-64, or aarch64 with ONEDNN_ROOT).")
if subprocess.run(["which", "g++"], capture_output=True).returncode != 0:
    sys.exit("trimtab's build needs gcc and g++: install them (apt install g++).")

setup(
    ext_modules=[Extension("trimtab._core", sources=[])],
    cmdclass={"build_ext": BuildCore, "build_py": BuildModules},
    distclass=PlatformDistribution,
)
