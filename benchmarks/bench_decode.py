"""One token at a time: what reading weights and caches costs, beside onnxruntime.

``python -m benchmarks.bench_decode [STAGE ...]`` prints a JSON line per figure and
writes ``results/<date>-<kind of machine>-decode.json``, `-partial` unless every stage
has run in full. A stage leaves its figures in the cache, so that the next can be run
alone and again:

    weights    matrices of 4 and 8 bits times one row, 8 of 4096 x 4096 in a row
    attention  one query against caches of 4096 tokens

Such a call reads every byte once and does little else, so that its figure is a share
of the bandwidth that memory has in the same round. The figures go to RESULTS.md too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import quartiles
from benchmarks.decode_cases import CASES, make_case
from benchmarks.decode_report import section
from benchmarks.rounds import Effort, Timing, largest_error, outputs_of
from benchmarks.stages import Benchmark, Stage
from benchmarks.worker import Worker

PACKAGES = ("trimtab", "onnxruntime", "numpy")
ENGINES = ("trimtab", "onnxruntime")
THREADS = 1

WHOLE = Effort(n_rounds=9, max_rounds=27, block_s=0.3)
QUICK = Effort(n_rounds=3, max_rounds=3, block_s=0.1)


def measure(name: str, effort: Effort) -> dict[str, Any]:
    """Measure one case on both engines.

    Parameters
    ----------
    name : str
        Of `CASES`.
    effort : Effort

    Returns
    -------
    entry : dict
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        case = make_case(Path(folder), name)
        workers = {engine: Worker(engine) for engine in ENGINES}
        for worker in workers.values():
            stack.callback(worker.close)
            worker.ask("feeds", path=case.feeds_path)
            worker.ask("load", path=case.path, threads=THREADS)
        kind = CASES[name].call
        outputs = {e: outputs_of(w, Path(folder)) for e, w in workers.items()}
        timings = {engine: Timing() for engine in ENGINES}
        shares: list[float] = []
        for n_done in range(1, effort.max_rounds + 1):
            for engine, worker in workers.items():
                answer = worker.ask("time", kind=kind, block_s=effort.block_s)
                timings[engine].add(answer)
            gbps = workers["trimtab"].ask("bandwidth", threads=THREADS)["memory_gbps"]
            rate = CASES[name].n_bytes / timings["trimtab"].rounds_s[-1] / 1e9
            shares.append(rate / gbps)
            ratio = timings["trimtab"].ratio_to(timings["onnxruntime"])
            if n_done >= effort.n_rounds and not ratio.noisy:
                break
    low, share, high = quartiles(shares)
    return {
        "about": CASES[name].about,
        "n_bytes": CASES[name].n_bytes,
        "ratio": asdict(ratio),
        "share": share,
        "share_low": low,
        "share_high": high,
        "call_s": {engine: t.median_s for engine, t in timings.items()},
        "rounds_s": {engine: t.rounds_s for engine, t in timings.items()},
        "differs_by": largest_error(outputs["trimtab"], outputs["onnxruntime"]),
    }


def _stage(stage: str, *, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, case in CASES.items():
        if case.stage == stage:
            yield name, measure(name, QUICK if quick else WHOLE)


STAGES: dict[str, Stage] = {
    stage: partial(_stage, stage) for stage in ("weights", "attention")
}

BENCHMARK = Benchmark("decode", __doc__, PACKAGES, STAGES, section)


if __name__ == "__main__":
    raise SystemExit(BENCHMARK.main())
