"""Loads hostile files, a line of JSON for each; a process of its own.

    python -m tests.formats.hostile.worker FILE

FILE is JSON: ``warm`` names good files to load first, so that all modules are there;
``cases`` is a list of ``[name, path]``. Each case is loaded in a forked child under an
audit hook that notes every module, file, program and connection it reaches for.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import trimtab

HANG_S = 60
NOTED = ("open", "import", "exec", "compile", "os.", "subprocess.", "socket.")
HARMLESS = (
    "os.listdir",
    "os.scandir",
    "os.putenv",
    "os.unsetenv",
    "os.fwalk",
)

seen: list[tuple[str, str]] = []


def watch(event: str, args: tuple[Any, ...]) -> None:
    if not event.startswith((*NOTED, "pickle.", "ctypes.dl", "shutil.", "tempfile.")):
        return
    if event in HARMLESS:
        return
    first = args[0] if args else ""
    seen.append((event, os.fsdecode(first) if isinstance(first, bytes) else str(first)))


def peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise KeyError("VmHWM")


def load(path: str) -> str:
    try:
        trimtab.load_model(path, threads=1)
    except trimtab.TrimtabError as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"FAULT {type(error).__name__}: {error}"
    return "loaded"


def attempt(path: str) -> dict[str, Any]:
    """What loading did; in a fork, which it may end."""
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_bytes()
    sys.addaudithook(watch)
    start = time.process_time()
    outcome = load(path)
    seconds = time.process_time() - start
    events = list(seen)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "outcome": outcome,
        "seconds": seconds + children.ru_utime + children.ru_stime,
        "grown": peak_bytes() - before,
        "child_peak": children.ru_maxrss * 1024,
        "events": events,
    }


def in_fork(path: str) -> dict[str, Any]:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(HANG_S)
            os.close(read)
            with os.fdopen(write, "w") as out:
                json.dump(attempt(path), out)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as answers:
        text = answers.read()
    _, status = os.waitpid(pid, 0)
    return json.loads(text) if text else {"outcome": f"FAULT died, status {status}"}


def main() -> None:
    work = json.loads(Path(sys.argv[1]).read_text())
    warnings.simplefilter("ignore")
    for path in work["warm"]:
        load(path)
    for name, path in work["cases"]:
        print(json.dumps({"name": name, **in_fork(path)}), flush=True)


if __name__ == "__main__":
    main()
