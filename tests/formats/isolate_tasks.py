"""What the children of test_isolate.py do."""

from __future__ import annotations

import builtins
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import trimtab.errors
from trimtab.errors import UnsafeModelError


def echo(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    Path(folder, "out.bin").write_bytes(b"weights")
    return {"arguments": arguments, "folder": folder, "cwd": os.getcwd()}


def look(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """The child's view of itself."""
    return {
        "path": sys.path,
        "trimtab": trimtab.__file__,
        "pid": os.getpid(),
        "environment": dict(os.environ),
        "stdin": sys.stdin.read(),
    }


def fail(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    kinds = {**vars(builtins), **vars(trimtab.errors)}
    raise kinds[arguments["kind"]](arguments["text"])


def die(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    print("last words", flush=True)
    os.kill(os.getpid(), arguments["signal"])
    return {}


def crash(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    ctypes.string_at(0)
    return {}


def leave(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    os._exit(arguments["status"])


def lie(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """Write any answer, as code that took over the child could."""
    Path(folder, os.pardir, "result.json").write_text(arguments["answer"])
    os._exit(0)


def link(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    os.symlink(arguments["target"], Path(folder, "out.bin"))
    return {}


def sleep(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    print("sleeping", flush=True)
    if "pid_file" in arguments:
        Path(folder, "pid").write_text(str(os.getpid()))
    if arguments.get("with_child"):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    time.sleep(600)
    return {}


def spin(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """Use processors: the limit is on them, not on the clock."""
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (1, resource.getrlimit(0)[1]))
    while True:
        pass


def eat(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    return {"n": len(bytearray(arguments["n_bytes"]))}


def fill_disk(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    with open(Path(folder, "out.bin"), "wb") as file:
        file.truncate(arguments["n_bytes"])
    return {}


def chat(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    os.write(1, b"to stdout\n")
    os.write(2, b"to stderr\n")
    for line in range(arguments["n_lines"]):
        print("line", line)
    sys.stdout.flush()
    raise UnsafeModelError("no") if arguments.get("is_refused") else KeyError("k")


def long_result(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    return {"text": "x" * arguments["n_bytes"]}


def no_json(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    return {"value": object()}


def missing(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    import a_package_that_nobody_has  # noqa: F401

    return {}


def read_file(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    return {"content": Path(arguments["path"]).read_text()}


def write_file(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    Path(arguments["path"]).write_text("mine")
    return {}


def import_all(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    for name in arguments["names"]:
        __import__(name)
    return {}


def connect(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    with socket.create_connection(("127.0.0.1", arguments["port"]), timeout=5):
        return {}


def signal_parent(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    os.kill(os.getppid(), 0)
    return {}


def die_of_memory(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """As the C++ runtime does."""
    os.write(2, b"terminate called after throwing 'std::bad_alloc'\n")
    os.abort()
