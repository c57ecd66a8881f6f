"""Loads and runs mutants of one model, a line of JSON for each; a child process.

    python -m tests.robustness.mutant_worker FILE NAME FIRST LAST HINTS

HINTS are shapes of inputs by name, for dims that a file leaves open, as JSON.

The parent (`test_mutants`) notices where it stops. Address space is bounded, so that
what asks for too much fails here instead of taking the machine.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import trimtab
import trimtab.fallback  # these come late, and the watch would see them come
import trimtab.formats.onnx_contrib
import trimtab.formats.onnx_quantized
import trimtab.formats.onnx_schema_functions
import trimtab.formats.refuse
import trimtab.string_tensors
import trimtab.texts
from trimtab.signature import TensorSpec

from .mutate import mutant, original

#: What these files may ask for; the originals need less.
LIMITS = trimtab.Limits(
    max_model_bytes=48 << 20,
    max_nodes=10_000,
    max_values=40_000,
    max_tensor_bytes=16 << 20,
    max_arena_bytes=48 << 20,
    max_fold_bytes=8 << 20,
    max_plan_bytes=32 << 20,
    max_plans=4,
    max_trip_count=1000,
)
#: The model parsed, and as the engine has it; folded constants; plans with packed
#: weights; working memory; inputs and outputs. Much less than their sum is needed.
BUDGET_BYTES = 192 << 20
HANG_S = 30.0  # of processor time, which neighbours cannot take
ADDRESS_SPACE = 2 << 30  # on top of what the process has after loading one model
N_ELEMENTS = 1 << 20  # of generated inputs

#: Events that no file may cause. Modules are all imported by a run of the original.
FORBIDDEN = ("open", "exec", "compile", "os.", "subprocess.", "socket.", "shutil.")
seen: list[str] = []


def watch(event: str, args: tuple[Any, ...]) -> None:
    if event.startswith(FORBIDDEN) and event not in ("os.putenv",):
        seen.append(f"{event}{args!r}"[:200])


def status_bytes(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def generate(spec: TensorSpec, hint: tuple[int, ...]) -> np.ndarray | None:
    """An input that fits what the file declares, or nothing when it is too large."""
    dims = spec.shape if spec.shape is not None else hint
    shape = []
    for axis, dim in enumerate(dims):
        known = hint[axis] if axis < len(hint) else 2
        shape.append(dim if isinstance(dim, int) else known)
    if spec.dtype in (None, "string") or int(np.prod(shape, dtype=object)) > N_ELEMENTS:
        return None
    rng = np.random.default_rng(len(shape))
    dtype = spec.numpy_dtype
    if dtype.kind == "i" and dtype.itemsize > 1 and not shape:
        return np.asarray(16000, dtype=dtype)  # a sampling rate
    values = (
        rng.uniform(0, 2, shape) if dtype.kind == "f" else rng.integers(0, 2, shape)
    )
    return np.asarray(values).astype(dtype)


def attempt(data: bytes, hints: dict[str, tuple[int, ...]], fallback: bool) -> str:
    with trimtab.load_model(data, threads=1, limits=LIMITS, fallback=fallback) as model:
        shapes = list(hints.values())
        inputs = []
        for i, spec in enumerate(model.inputs):
            hint = hints.get(spec.name, shapes[i] if i < len(shapes) else ())
            inputs.append(generate(spec, hint))
        if any(x is None for x in inputs):
            return "loaded"
        model(*inputs)
        return "ran"


def outcome_of(data: bytes, hints: dict[str, tuple[int, ...]], fallback: bool) -> str:
    """A word for what is allowed, or text that begins with FAULT."""
    seen.clear()
    try:
        outcome = attempt(data, hints, fallback)
    except trimtab.InternalError as error:
        return f"FAULT InternalError: {error}"
    except trimtab.TrimtabError as error:
        outcome = type(error).__name__
    except Exception as error:
        return f"FAULT {type(error).__qualname__}: {error}"
    if seen and not fallback:
        return f"FAULT events {seen[:3]}"
    return outcome


def main() -> None:
    path, name = Path(sys.argv[1]), sys.argv[2]
    first, last = int(sys.argv[3]), int(sys.argv[4])
    warnings.simplefilter("ignore")
    hints = {key: tuple(value) for key, value in json.loads(sys.argv[5]).items()}
    with trimtab.load_model(path, threads=1) as model:
        model(*[generate(spec, hints.get(spec.name, ())) for spec in model.inputs])
    original(path)
    for index in range(20):  # imports that only errors need
        outcome_of(mutant(path, name, -1 - index)[0], hints, index % 2 == 0)
    bound = status_bytes("VmSize:") + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    sys.addaudithook(watch)
    for index in range(first, last):
        data, edit = mutant(path, name, index)
        print(json.dumps({"index": index, "edit": edit}), flush=True)
        signal.setitimer(signal.ITIMER_PROF, HANG_S)  # nobody handles it: it ends us
        forget_peak()
        resident = status_bytes("VmRSS:")
        start = time.process_time()
        outcome = outcome_of(data, hints, index % 8 == 7)
        result = {
            "outcome": outcome,
            "seconds": round(time.process_time() - start, 3),
            "grown": status_bytes("VmHWM:") - resident,
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
