"""One fine-tuning step against PyTorch on CPU.

``python -m benchmarks.bench_train [CASE ...]`` prints a JSON line per network and
writes ``results/<date>-<kind of machine>-train.json``, `-partial` unless every network
was measured in full. The same network, weights and batch on both sides, each engine in
a process of its own, blocks of steps in turn; ratios are formed inside a round and
their median counts. The first losses of both say that the steps are the same. The
figures go to RESULTS.md too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.common import (
    RESULTS,
    TRAIN,
    environment,
    machine_id,
    to_plain,
    write_json,
)
from benchmarks.rounds import Effort, Timing
from benchmarks.sections import put_section
from benchmarks.train_cases import CASES
from benchmarks.train_report import section
from benchmarks.worker import Worker
from trimtab.fetch import cache_folder

PACKAGES = ("trimtab", "torch", "numpy")
ENGINES = ("trimtab", "torch")
N_LOSSES = 5

WHOLE = Effort(n_rounds=7, max_rounds=14, block_s=0.6)
QUICK = Effort(n_rounds=3, max_rounds=3, block_s=0.1)


def measure(name: str, threads: int, effort: Effort) -> dict[str, Any]:
    """Measure one network on both engines.

    Parameters
    ----------
    name : str
        Of `CASES`.
    threads : int
    effort : Effort

    Returns
    -------
    entry : dict
    """
    with ExitStack() as stack:
        workers = {
            engine: Worker(engine, module="benchmarks.train_worker")
            for engine in ENGINES
        }
        for worker in workers.values():
            stack.callback(worker.close)
            worker.ask("load", case=name, threads=threads)
        losses = {e: w.ask("losses", n=N_LOSSES)["losses"] for e, w in workers.items()}
        timings = {engine: Timing() for engine in ENGINES}
        for n_done in range(1, effort.max_rounds + 1):
            for engine, worker in workers.items():
                timings[engine].add(worker.ask("time", block_s=effort.block_s))
            ratio = timings["trimtab"].ratio_to(timings["torch"])
            if n_done >= effort.n_rounds and not ratio.noisy:
                break
        resident = {e: w.ask("resident")["bytes"] for e, w in workers.items()}
    return {
        "about": CASES[name].about,
        "threads": threads,
        "ratio": asdict(ratio),
        "step_s": {engine: t.median_s for engine, t in timings.items()},
        "best_s": {engine: t.best_s for engine, t in timings.items()},
        "rounds_s": {engine: t.rounds_s for engine, t in timings.items()},
        "resident_bytes": resident,
        "losses": losses,
        "largest_difference_of_losses": max(
            abs(a - b) / abs(b)
            for a, b in zip(losses["trimtab"], losses["torch"], strict=True)
        ),
    }


def write_result(document: dict[str, Any]) -> Path:
    """Write the result file, and the section of RESULTS.md unless it is partial.

    Parameters
    ----------
    document : dict

    Returns
    -------
    path : Path
    """
    steps = document["steps"]
    document["is_partial"] = not all(steps.get(x, {}).get("whole") for x in CASES)
    name = f"{document['date']}-{machine_id(document['machine'])}"
    partial = "-partial" if document["is_partial"] else ""
    path = RESULTS / f"{name}{partial}{TRAIN}.json"
    write_json(path, document)
    if not document["is_partial"]:
        put_section("train", section(document, path))
    return path


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="default: all")
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(argv)
    if unknown := [name for name in args.cases if name not in CASES]:
        parser.error(f"unknown cases {', '.join(unknown)}; known: {', '.join(CASES)}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the cases; each leaves the document in the cache for the next."""
    args = parse(argv)
    kept = cache_folder() / "bench_train" / "document.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {}
    if kept.exists():
        document = json.loads(kept.read_text(encoding="utf-8"))
    document |= environment(PACKAGES) | {"command": "python -m benchmarks.bench_train"}
    steps = document.setdefault("steps", {})
    for name in args.cases or CASES:
        entry = measure(name, args.threads, QUICK if args.quick else WHOLE)
        steps[name] = entry | {"whole": not args.quick}
        short = {k: v for k, v in entry.items() if k not in ("rounds_s", "losses")}
        print(json.dumps(to_plain({"name": name, **short})), flush=True)
        write_json(kept, document)
    print(f"wrote {write_result(document)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
