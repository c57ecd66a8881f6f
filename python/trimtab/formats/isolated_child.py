"""The child's side of `isolate`: limits first, then the task, then its answer.

Runs as the only thread of a fresh process. Limits are set before anything of the
file is read.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
from typing import Any

from trimtab.errors import TrimtabError

__all__ = ["serve"]

_CLONE_NEWNET = 0x40000000
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_MAX_OPEN_FILES = 1024


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
    answer = _answer(request)
    temporary = request["result"] + ".new"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(answer, file)
    os.replace(temporary, request["result"])


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    module, _, function = request["task"].partition(":")
    try:
        task = getattr(importlib.import_module(f"trimtab.formats.{module}"), function)
        return {"result": task(request["arguments"], request["folder"])}
    except MemoryError as error:
        return {"error": "MemoryError", "text": str(error)}
    except ImportError as error:
        return {"error": "ImportError", "text": str(error)}
    except TrimtabError as error:
        return {"error": type(error).__name__, "text": str(error)}
    except Exception as error:  # of a library: its name and text are the answer
        text = " ".join(str(error).split())
        return {"error": type(error).__name__, "text": text[:2000]}


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
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, processor_seconds),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
    ):
        hard = resource.getrlimit(kind)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
