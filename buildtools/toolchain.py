"""gcc and g++ with the project's flags: parallel, and only what changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# maybe-uninitialized does not see that a failed call never lets its output be read
WARNINGS = (
    "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Werror "
    "-Wno-error=maybe-uninitialized"
).split()
OPTIMISED = (
    "-O3 -DNDEBUG -fno-math-errno -fstack-protector-strong -U_FORTIFY_SOURCE "
    "-D_FORTIFY_SOURCE=2"
).split()
INSTRUMENTED = "-O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all".split()
HARDENED = ["-Wl,-z,relro,-z,now,-z,noexecstack"]


def n_jobs() -> int:
    """Compilers to run at once: the CPUs we may use, two at most."""
    return max(1, min(2, len(os.sched_getaffinity(0))))


class Toolchain:
    """Compiles into `folder`, whose objects outlive the run.

    Parameters
    ----------
    folder : Path
        Where objects, their .d files and the hash of their command stay.
    includes, system_includes : sequence of str
        Folders searched with -I and with -isystem (no warnings from there).
    defines : sequence of str
        Macros, each "NAME" or "NAME=value".
    openmp : bool
        Compile with -fopenmp.
    fingerprint : str
        Says what the system includes hold. Where it is given, objects outlive a move of
        those folders: pip installs the build requirements somewhere else each time.
    """

    def __init__(
        self,
        folder: Path,
        *,
        includes: Sequence[str] = (),
        system_includes: Sequence[str] = (),
        defines: Sequence[str] = (),
        openmp: bool = False,
        fingerprint: str = "",
    ) -> None:
        sanitize = os.environ.get("SANITIZE", "")
        self.sanitizers = [f"-fsanitize={sanitize}"] if sanitize else []
        self.folder = folder / (sanitize.replace(",", "-") or "plain")
        self.cc = os.environ.get("CC", "gcc").split()
        self.cxx = os.environ.get("CXX", "g++").split()
        self.flags = [
            *(INSTRUMENTED if sanitize else OPTIMISED),
            *self.sanitizers,
            *"-fPIC -fvisibility=hidden -D_GNU_SOURCE -Wall -Wextra".split(),
            *(WARNINGS if os.environ.get("TRIMTAB_WERROR") == "1" else []),
            *(["-fopenmp"] if openmp else []),
            *(f"-D{define}" for define in defines),
            *(f"-I{path}" for path in includes),
        ]
        self.system = [part for path in system_includes for part in ("-isystem", path)]
        self.fingerprint = fingerprint

    def compile(self, sources: Sequence[Path]) -> list[Path]:
        """Objects of `sources`, compiled where they are missing or out of date."""
        objects = [self.folder / f"{source}.o" for source in sources]
        jobs = []
        for source, target in zip(sources, objects, strict=True):
            command = self._command(source, target)
            made_by = _digest([*command, self.fingerprint or str(self.system)])
            if not _is_current(target, made_by):
                jobs.append((source, target, [*command, *self.system], made_by))
        with ThreadPoolExecutor(n_jobs()) as pool:
            failed = [s for s, ok in pool.map(_compile_one, jobs) if not ok]
        if failed:
            sys.exit(f"compilation failed: {', '.join(map(str, failed))}")
        return objects

    def _command(self, source: Path, target: Path) -> list[str]:
        is_cpp = source.suffix == ".cpp"
        language = [*self.cxx, "-std=c++17", "-fvisibility-inlines-hidden"]
        return [
            *(language if is_cpp else [*self.cc, "-std=c11"]),
            *self.flags,
            *("-MMD", "-MF", str(target.with_suffix(".d"))),
            *("-c", str(source), "-o", str(target)),
        ]

    def link(
        self,
        target: Path,
        objects: Sequence[Path],
        flags: Sequence[str],
        libraries: Sequence[str],
        *,
        extra: Sequence[Path] = (),
    ) -> None:
        """Link `target` when it is older than what goes into it.

        `libraries` are arguments of the linker; `extra` are files that it also
        depends on.
        """
        command = [*self.cxx, *HARDENED, *self.sanitizers, *flags, *map(str, objects)]
        command += [*libraries, "-lm", "-lpthread", "-o", str(target)]
        newest = max(path.stat().st_mtime for path in [*objects, *extra])
        stamp = self.folder / f"{target.name}.link"
        if (
            target.exists()
            and target.stat().st_mtime >= newest
            and stamp.exists()
            and stamp.read_text() == _digest(command)
        ):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # a running process keeps the old one
        if subprocess.run(command).returncode != 0:
            sys.exit(f"linking {target.name} failed")
        stamp.write_text(_digest(command))

    def shared_library(self, source: Path, target: Path, flags: Sequence[str]) -> None:
        """A small C library of its own, named by `target`."""
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [*self.cc, "-std=c11", "-O2", "-fPIC", "-shared", *HARDENED]
        command += [
            f"-Wl,-soname,{target.name}",
            str(source),
            *flags,
            "-o",
            str(target),
        ]
        if subprocess.run(command).returncode != 0:
            sys.exit(f"building {target.name} failed")


def copy_library(source: Path, target: Path, *, strip: bool, stamps: Path) -> None:
    """Copy a shared library, without its symbol table where `strip` says so.

    A file in the folder `stamps` remembers what was copied.
    """
    stamp = stamps / f"{target.name}.source"
    origin = f"{source} {source.stat().st_size} {source.stat().st_mtime_ns} {strip}"
    if target.exists() and stamp.exists() and stamp.read_text() == origin:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)
    if strip and shutil.which("strip"):
        subprocess.run(["strip", "--strip-unneeded", str(target)], check=True)
    stamp.write_text(origin)


def _digest(command: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(command).encode()).hexdigest()


def _is_current(target: Path, made_by: str) -> bool:
    """Is the object newer than all it was made from, by this very command?"""
    depends, stamp = target.with_suffix(".d"), target.with_suffix(".cmd")
    if not (target.exists() and depends.exists() and stamp.exists()):
        return False
    if stamp.read_text() != made_by:
        return False
    born = target.stat().st_mtime
    for name in depends.read_text().split(":", 1)[1].replace("\\\n", " ").split():
        path = Path(name)
        if not path.exists() or path.stat().st_mtime > born:
            return False
    return True


def _compile_one(job: tuple[Path, Path, list[str], str]) -> tuple[Path, bool]:
    source, target, command, made_by = job
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_suffix(".cmd").unlink(missing_ok=True)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.stdout or done.stderr:
        print(done.stdout + done.stderr, file=sys.stderr, flush=True)
    if done.returncode == 0:
        target.with_suffix(".cmd").write_text(made_by)
    return source, done.returncode == 0
