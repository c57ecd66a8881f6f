"""From file to first result, and what stays resident: fresh processes.

``python -m benchmarks.bench_load`` starts a new process per model, engine and
round. The engine is imported and the inputs are read before the clock starts;
then it loads the model and runs it once. In the first round the model is then
called 100 times, and the process's resident size is compared with that before
loading. The sum of import and load stands beside it, since a package may put off
imports until it loads its first model. ``import_times`` measures what importing an
engine costs beyond NumPy.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import Case, zoo_cases
from benchmarks.common import ROOT, quartiles, ratio_of_rounds, to_plain
from benchmarks.peers import ENGINES, engine_of
from benchmarks.worker import Worker, WorkerError

N_CALLS = 100
IMPORT_PROGRAM = """\
import time
begin = time.perf_counter()
import numpy
middle = time.perf_counter()
import {module}
end = time.perf_counter()
{use}
print(middle - begin, end - middle, time.perf_counter() - middle)
"""
# What makes a package that imports lazily get ready for its first model.
USES = {"trimtab": "trimtab.load_model"}


def measure_load(
    cases: Sequence[Case],
    engines: Sequence[str],
    *,
    contender: str,
    threads: int,
    n_rounds: int,
    n_calls: int = N_CALLS,
) -> list[dict[str, Any]]:
    """Time loading and measure resident growth of every case on every engine.

    Parameters
    ----------
    cases : sequence of Case
    engines : sequence of str
    contender : str
        The label that ratios are formed for.
    threads : int
        Threads of one call.
    n_rounds : int
        Fresh processes per case and engine.
    n_calls : int, default=N_CALLS
        Calls before the resident size is read.

    Returns
    -------
    entries : list of dict
        Per case: ``engines`` (label to seconds and bytes), ``ratios`` (label
        to the contender's load and growth over it), ``errors``.
    """
    entries = []
    for case in cases:
        seconds: dict[str, list[float]] = {}
        imports: dict[str, list[float]] = {}
        growth: dict[str, int] = {}
        errors: dict[str, str] = {}
        for i in range(n_rounds):
            for label in engines:
                if label in errors or case.path_for(engine_of(label)) is None:
                    continue
                try:
                    import_s, load_s, grown = _once(
                        case, label, threads, 0 if i else n_calls
                    )
                except WorkerError as error:
                    errors[label] = str(error)
                    continue
                seconds.setdefault(label, []).append(load_s)
                imports.setdefault(label, []).append(import_s)
                growth.setdefault(label, grown)
        done = {x: s for x, s in seconds.items() if x not in errors}
        whole = {
            x: [a + b for a, b in zip(s, imports[x], strict=True)]
            for x, s in done.items()
        }
        entries.append(
            to_plain(
                {
                    "model": case.name,
                    "threads": threads,
                    "n_calls": n_calls,
                    "engines": {
                        label: {
                            "first_result_s": quartiles(times)[1],
                            "rounds_s": times,
                            "with_import_s": quartiles(whole[label])[1],
                            "growth_bytes": growth[label],
                        }
                        for label, times in done.items()
                    },
                    "ratios": _ratios(done, whole, growth, contender),
                    "errors": errors,
                }
            )
        )
    return entries


def _once(
    case: Case, label: str, threads: int, n_calls: int
) -> tuple[float, float, int]:
    """Seconds of the import, seconds to the first result, bytes grown."""
    path = case.path_for(engine_of(label))
    with contextlib.closing(Worker(label)) as worker:
        worker.ask("feeds", path=case.feeds_path)
        before = worker.ask("resident")["bytes"]
        answer = worker.ask("load", path=path, threads=threads)
        worker.ask("repeat", n_calls=n_calls)
        after = worker.ask("resident")["bytes"]
        import_s = worker.import_s
    return import_s, answer["load_s"] + answer["first_s"], after - before


def _ratios(
    seconds: dict[str, list[float]],
    whole: dict[str, list[float]],
    growth: dict[str, int],
    contender: str,
) -> dict[str, dict[str, Any]]:
    if contender not in seconds:
        return {}
    return {
        label: {
            "load": ratio_of_rounds(seconds[contender], times),
            "with_import": ratio_of_rounds(whole[contender], whole[label]),
            "growth": growth[contender] / max(growth[label], 4096),
        }
        for label, times in seconds.items()
        if label != contender
    }


def import_times(engines: Sequence[str], n_rounds: int) -> dict[str, dict[str, Any]]:
    """Milliseconds of importing each engine after NumPy, in fresh processes.

    Parameters
    ----------
    engines : sequence of str
    n_rounds : int
        Processes per engine; one more warms the file cache and is not counted.

    Returns
    -------
    times : dict
        Label to ``numpy_ms``, ``beyond_numpy_ms`` and ``ready_ms``, which adds
        what a lazy package imports to load its first model (medians), or
        ``error``.
    """
    modules = {label: ENGINES[engine_of(label)][1] for label in engines}
    modules = {label: m for label, m in modules.items() if "_static" not in label}
    rounds: dict[str, list[list[float]]] = {label: [] for label in modules}
    errors: dict[str, str] = {}
    for _ in range(n_rounds + 1):
        for label, module in modules.items():
            if label in errors:
                continue
            program = IMPORT_PROGRAM.format(module=module, use=USES.get(module, ""))
            done = subprocess.run(
                [sys.executable, "-c", program],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                errors[label] = done.stderr.strip().splitlines()[-1][:300]
                continue
            seconds = [float(text) for text in done.stdout.split()[-3:]]
            rounds[label].append(seconds)
    times: dict[str, dict[str, Any]] = {x: {"error": e} for x, e in errors.items()}
    for label, found in rounds.items():
        if label in errors:
            continue
        numpy_s, beyond_s, ready_s = (
            quartiles(column) for column in zip(*found[1:], strict=True)
        )
        times[label] = {
            "numpy_ms": numpy_s[1] * 1e3,
            "beyond_numpy_ms": beyond_s[1] * 1e3,
            "ready_ms": ready_s[1] * 1e3,
            "low_ms": beyond_s[0] * 1e3,
            "high_ms": beyond_s[2] * 1e3,
        }
    plain: dict[str, dict[str, Any]] = to_plain(times)
    return plain


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    from benchmarks.options import parse, show

    options = parse(__doc__, argv)
    with tempfile.TemporaryDirectory() as folder:
        cases, _ = zoo_cases(Path(folder), options.models)
        entries = measure_load(
            cases,
            options.engines,
            contender=options.contender,
            threads=max(options.threads),
            n_rounds=2 if options.quick else 5,
        )
    imports = import_times(options.engines, 5 if options.quick else 21)
    rows = [
        f"{entry['model']:24s} {label:16s} {x['first_result_s'] * 1e3:8.1f} ms "
        f"{x['growth_bytes'] / 2**20:8.1f} MiB"
        for entry in entries
        for label, x in entry["engines"].items()
    ]
    rows += [
        f"import {label:16s} {x.get('beyond_numpy_ms', float('nan')):8.1f} ms "
        f"beyond numpy"
        for label, x in imports.items()
    ]
    return show(options, {"load": entries, "import": imports}, rows)


if __name__ == "__main__":
    raise SystemExit(main())
