"""The child's side of `isolate`: limits first, then the task, then its answer.

Runs as the only thread of a fresh process. Limits are set before anything of the
file is read, and before any module but the standard library's and these is imported.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import resource
import signal
import sys
from typing import Any

from trimtab.errors import TrimtabError
from trimtab.formats.landlock import restrict

__all__ = ["serve"]

_CLONE_NEWNET = 0x40000000
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_MAX_OPEN_FILES = 1024
_SHOWN_CHARACTERS = 4000
# What libraries read of the system: code, locales, time zones, processors.
_SYSTEM = (
    *("/usr", "/lib", "/lib64", "/bin", "/etc", "/opt", "/nix/store"),
    *("/proc", "/sys", "/dev"),
)
_PATH_VARIABLES = ("LD_LIBRARY_PATH", "LD_PRELOAD")


def serve(request: dict[str, Any]) -> None:
    """Run the task of a request and write its answer.

    Parameters
    ----------
    request : dict
        As `trimtab.formats.isolate.run_isolated` makes it.

    Examples
    --------
    >>> serve(json.load(sys.stdin))                        # doctest: +SKIP
    """
    _die_with(int(request["parent"]))
    _leave_network()
    _set_limits(int(request["memory_bytes"]), float(request["seconds"]))
    _leave_files(request)
    answer = _answer(request)
    temporary = request["result"] + ".new"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(answer, file)
    os.replace(temporary, request["result"])


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        task = _task(request["task"])
        return {"result": task(request["arguments"], request["folder"])}
    except TrimtabError as error:
        return _error(type(error).__name__, str(error))
    except MemoryError as error:
        return _error("MemoryError", str(error))
    except ImportError as error:
        return _error("ImportError", str(error))
    except Exception as error:  # of a library: its name and text are the answer
        return _error(type(error).__name__, " ".join(str(error).split()))


def _task(text: str) -> Any:
    """The function that "module:function" stands for."""
    module, _, function = text.partition(":")
    here = "trimtab.formats"
    if importlib.util.find_spec(f"{here}.{module.partition('.')[0]}") is not None:
        module = f"{here}.{module}"
    return getattr(importlib.import_module(module), function)


def _error(kind: str, text: str) -> dict[str, Any]:
    return {"error": kind, "text": text[:_SHOWN_CHARACTERS]}


def _die_with(parent: int) -> None:
    """End with the parent, however that ends."""
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)


def _leave_network() -> None:
    """Enter an empty network namespace where the system allows it."""
    flags = _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    _libc().unshare(flags)


def _set_limits(memory_bytes: int, seconds: float) -> None:
    processor_seconds = max(1, int(seconds * (os.cpu_count() or 1)))
    for kind, value, margin in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_AS, memory_bytes, 0),
        # Beyond the hard limit the kernel kills without SIGXCPU, which says why.
        (resource.RLIMIT_CPU, processor_seconds, 5),
        (resource.RLIMIT_FSIZE, 2 * memory_bytes, 0),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        most = value + margin
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (min(value, most), most))


def _leave_files(request: dict[str, Any]) -> None:
    """Write only in its own folder; read only code and what was named, if it was."""
    readable = request["readable"]
    if readable is not None:
        readable = [
            *readable,
            # this package itself, where a link led to it
            os.path.dirname(os.path.dirname(os.path.realpath(__file__))),
            *sys.path,
            *(sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix),
            *(os.path.dirname(os.path.realpath(entry)) for entry in _shared_paths()),
            *_shared_paths(),
            *_SYSTEM,
        ]
    restrict([os.path.dirname(request["result"]), "/dev/null"], readable)


def _shared_paths() -> list[str]:
    """Where the loader may find libraries besides the system's folders."""
    text = ":".join(os.environ.get(name, "") for name in _PATH_VARIABLES)
    return [path for path in text.replace(" ", ":").split(":") if path]


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
