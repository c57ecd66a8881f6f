"""Readers that run in a child process with limits.

Enters: the name of a function of this package and its arguments. Leaves: what it
returned, and the files it wrote into a folder that only this call knows. For files
that only a large native library can read (HDF5, TensorFlow, torch): when the child
crashes, hangs, eats memory or talks, the caller gets one readable error.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from trimtab import errors
from trimtab.errors import (
    InternalError,
    ModelFormatError,
    ModelLimitError,
)

__all__ = ["Isolated", "run_isolated"]

# The child takes its path from the request: it finds the packages that the caller
# finds, wherever they are, and nothing in its own folder.
_BOOT = (
    "import sys, json; request = json.load(sys.stdin); sys.path[:] = request['path']; "
    "from trimtab.formats.isolated_child import serve; serve(request)"
)
_MAX_RESULT_BYTES = 64 << 20
_LIMIT_SIGNALS = {
    -signal.SIGXCPU: "too much time on processors",
    -signal.SIGXFSZ: "more of the disk than it may have",
}
# How C and C++ end for want of memory.
_OUT_OF_MEMORY = ("bad_alloc", "Cannot allocate memory", "out of memory")
_SHOWN_LINES = 12
_SHOWN_CHARACTERS = 2000


@dataclass(frozen=True)
class Isolated:
    """What a child left.

    Parameters
    ----------
    folder : str
        Its folder, removed when the block of `run_isolated` ends.
    result : dict
        What the function returned.
    """

    folder: str
    result: dict[str, Any]

    def path(self, name: str) -> str:
        """Give the path of a file that the child wrote.

        Parameters
        ----------
        name : str
            Without folders.

        Returns
        -------
        path : str

        Raises
        ------
        ModelFormatError
            The child wrote no such file.

        Examples
        --------
        >>> child.path("weights.bin")                      # doctest: +SKIP
        '/tmp/trimtab-x2j1/weights.bin'
        """
        path = os.path.join(self.folder, os.path.basename(name))
        if not os.path.isfile(path) or os.path.islink(path):
            raise ModelFormatError(f"the reader's process left no file {name!r}")
        return path


@contextmanager
def run_isolated(
    task: str,
    arguments: Mapping[str, Any],
    *,
    what: str,
    memory_bytes: int = 4 << 30,
    seconds: float = 120.0,
    environment: Mapping[str, str] | None = None,
    readable: Sequence[str] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Iterator[Isolated]:
    """Run a function of this package in a child process with limits.

    The function gets `arguments` and the path of its own folder, which is also its
    working folder and holds nothing but `files`, and returns a dict that JSON can
    hold. It has no terminal and dies with its parent. Where the kernel can (Landlock,
    namespaces), it has no network and writes nowhere but in its folder.

    Parameters
    ----------
    task : str
        ``module:function`` within `trimtab.formats`, or of a package on the path.
    arguments : mapping
        What JSON can hold.
    what : str
        What is being read, for messages: "the HDF5 file 'm.h5'".
    memory_bytes : int, default=4 GiB
        Address space that the child may have.
    seconds : float, default=120
        Until it is killed; also its time on processors.
    environment : mapping of str to str, optional
        Variables set in the child.
    readable : sequence of str, optional
        Files and folders that it may read besides code and the system's own; all by
        default. Enforced where the kernel can.
    files : mapping of str to bytes, optional
        Content by name of files that lie in its folder when it starts.

    Returns
    -------
    child : context manager of Isolated

    Raises
    ------
    ModelFormatError
        The reader refused the file, or its process died on it; subclasses as the
        reader raised them.
    ModelLimitError
        It took more memory or time than allowed.
    ImportError
        A package is missing; the message has the command to install it.

    Examples
    --------
    >>> with run_isolated("keras_h5:read_in_child", {"path": p}, what="p") as child:
    ...     child.result                                   # doctest: +SKIP
    """
    with tempfile.TemporaryDirectory(
        prefix="trimtab-", ignore_cleanup_errors=True
    ) as folder:
        work = os.path.join(folder, "work")
        os.mkdir(work)
        for name, content in (files or {}).items():
            with open(os.path.join(work, os.path.basename(name)), "xb") as file:
                file.write(content)
        request: dict[str, Any] = {
            "path": _path(),
            "task": task,
            "arguments": dict(arguments),
            "folder": work,
            "result": os.path.join(folder, "result.json"),
            "memory_bytes": memory_bytes,
            "seconds": seconds,
            "readable": None if readable is None else [*map(os.path.abspath, readable)],
            "parent": os.getpid(),
        }
        with open(os.path.join(folder, "messages"), "w+b") as messages:
            code = _run(request, messages, seconds, environment or {}, what)
            result = _result(request["result"], code, messages, what)
        yield Isolated(work, result)


def _run(
    request: dict[str, Any],
    messages: Any,
    seconds: float,
    environment: Mapping[str, str],
    what: str,
) -> int:
    """Run the child to its end; its exit status."""
    if not sys.executable:
        raise InternalError(
            f"reading {what} takes a process of its own, and sys.executable does not "
            "say which Python to start"
        )
    question = json.dumps(request).encode()
    process = subprocess.Popen(
        [sys.executable, *_flags(), "-c", _BOOT],
        stdin=subprocess.PIPE,
        stdout=messages,
        stderr=messages,
        cwd=request["folder"],
        env={**os.environ, **_own_folders(request["folder"]), **environment},
        start_new_session=True,
    )
    try:
        process.communicate(question, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise ModelLimitError(
            f"reading {what} took more than {seconds:.0f} s and was stopped"
        ) from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode


def _own_folders(folder: str) -> dict[str, str]:
    """No settings or caches of the user: they are not there for others either."""
    return dict.fromkeys(
        ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), folder
    )


def _path() -> list[str]:
    """Where the caller finds modules, and this package whatever found it."""
    path = [os.path.abspath(entry) for entry in sys.path if isinstance(entry, str)]
    root = os.path.dirname(os.path.dirname(os.path.abspath(errors.__file__)))
    return path if root in path else [*path, root]


def _flags() -> list[str]:
    """The caller's flags that keep foreign modules out while Python starts."""
    flags = sys.flags
    if flags.isolated:
        return ["-I"]
    asked = (("-E", flags.ignore_environment), ("-s", flags.no_user_site))
    return [flag for flag, is_set in asked if is_set]


def _result(path: str, code: int, messages: Any, what: str) -> dict[str, Any]:
    """What the child wrote, or the error that stands for what it did instead."""
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_RESULT_BYTES + 1)
        is_long = len(text) > _MAX_RESULT_BYTES
        answer = None if is_long else json.loads(text)
    except (OSError, ValueError, RecursionError):
        raise _death(code, messages, what) from None
    if is_long:
        raise ModelLimitError(f"reading {what} gave a result that is too long")
    if isinstance(answer, dict) and "error" in answer:
        raise _error(answer, messages, what)
    if not isinstance(answer, dict) or not isinstance(answer.get("result"), dict):
        raise _death(code, messages, what)
    result: dict[str, Any] = answer["result"]
    return result


def _death(code: int, messages: Any, what: str) -> Exception:
    """The child ended without a word."""
    said = _tail(messages)
    if code in _LIMIT_SIGNALS:
        return ModelLimitError(f"reading {what} took {_LIMIT_SIGNALS[code]}")
    if any(sign in said for sign in _OUT_OF_MEMORY):
        return ModelLimitError(
            f"reading {what} took more memory than its process may have{said}"
        )
    how = f"exit status {code}"
    if code < 0:
        with suppress(ValueError):
            how = signal.Signals(-code).name
    return ModelFormatError(
        f"the process that read {what} died ({how}): the file is damaged or hostile, "
        f"or the library that reads it is{said}"
    )


def _error(answer: dict[str, Any], messages: Any, what: str) -> Exception:
    kind, text = str(answer["error"]), str(answer.get("text", ""))
    if kind == "ImportError":
        return ImportError(text)
    if kind == "MemoryError":
        return ModelLimitError(
            f"reading {what} took more memory than its process may have"
            f"{': ' if text else ''}{text}"
        )
    found = getattr(errors, kind, None) if kind in errors.__all__ else None
    if found is not None:
        documented: Exception = found(text)
        return documented
    if kind in ("KeyboardInterrupt", "SystemExit"):
        return InternalError(f"the process that read {what} was interrupted")
    return ModelFormatError(f"{what} cannot be read: {kind}: {text}{_tail(messages)}")


def _tail(messages: Any) -> str:
    """Last lines of what the child printed."""
    size = messages.seek(0, os.SEEK_END)
    messages.seek(max(0, size - 4 * _SHOWN_CHARACTERS))
    text = messages.read().decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if line.strip()][-_SHOWN_LINES:]
    shown = "\n  ".join(lines)[-_SHOWN_CHARACTERS:]
    return f". It said:\n  {shown}" if shown else ""
