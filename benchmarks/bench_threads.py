"""Four Python threads on one loaded model, against one thread that has all cores.

``python -m benchmarks.bench_threads`` loads each model once per engine with as
many threads as this machine lends, and lets one and then four Python threads
call it, in interleaved rounds. Throughput of the four against the one shows
what locks and oversubscription cost; p99 against p50 shows who has to wait.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import Case, zoo_cases
from benchmarks.common import quartiles, to_plain
from benchmarks.peers import engine_of
from benchmarks.rounds import crew, load_case

# A convolutional net, a transformer, and a model of a few dozen microseconds.
MODELS = ("efficientnet_lite0_dynamo", "minilm_dynamo", "mtcnn_rnet")
N_THREADS = 4


def measure(
    cases: Sequence[Case],
    engines: Sequence[str],
    *,
    n_rounds: int = 5,
    seconds: float = 1.0,
    n_threads: int = N_THREADS,
) -> list[dict[str, Any]]:
    """Compare throughput of one and of several Python threads.

    Parameters
    ----------
    cases : sequence of Case
    engines : sequence of str
    n_rounds : int, default=5
    seconds : float, default=1.0
        Length of each measurement.
    n_threads : int, default=N_THREADS
        Python threads.

    Returns
    -------
    entries : list of dict
        Per case and engine: ``throughput`` (several threads over one, median
        of rounds), ``p99_over_p50`` (median of rounds), calls per second of
        both.
    """
    cores = len(os.sched_getaffinity(0))
    entries = []
    with crew(engines) as workers:
        for case in cases:
            ready, errors, _ = load_case(workers, case, cores)
            found: dict[str, list[dict[str, Any]]] = {label: [] for label in ready}
            for _ in range(n_rounds):
                for label in ready:
                    one, many = (
                        workers[label].ask("concurrent", n_threads=n, seconds=seconds)
                        for n in (1, n_threads)
                    )
                    found[label].append({"one": one, "many": many})
            entries.append(
                {
                    "model": case.name,
                    "cores": cores,
                    "n_threads": n_threads,
                    "engines": {x: _summary(r) for x, r in found.items()},
                    "errors": errors,
                }
            )
            for label in ready:
                workers[label].ask("unload")
    plain: list[dict[str, Any]] = to_plain(entries)
    return plain


def _summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    def middle(values: list[float]) -> float:
        return quartiles(values)[1]

    many = [pair["many"] for pair in rounds]
    return {
        "throughput": middle(
            [p["many"]["calls_per_s"] / p["one"]["calls_per_s"] for p in rounds]
        ),
        "p99_over_p50": middle([x["p99_s"] / x["p50_s"] for x in many]),
        "one_calls_per_s": middle([pair["one"]["calls_per_s"] for pair in rounds]),
        "many_calls_per_s": middle([x["calls_per_s"] for x in many]),
        "p50_s": middle([x["p50_s"] for x in many]),
        "p99_s": middle([x["p99_s"] for x in many]),
        "n_calls": sum(x["n"] for x in many),
    }


def wanted_models(available: Sequence[str], asked: str | None) -> str:
    """Comma-separated models: those asked for, else those of `MODELS` there are."""
    if asked:
        return asked
    return ",".join(name for name in MODELS if name in available)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    import importlib

    from benchmarks.options import parse, show

    options = parse(__doc__, argv)
    engines = [label for label in options.engines if engine_of(label) != "torch"]
    available = list(importlib.import_module("tests.zoo").MODELS)
    with tempfile.TemporaryDirectory() as folder:
        cases, _ = zoo_cases(Path(folder), wanted_models(available, options.models))
        entries = measure(
            cases,
            engines,
            n_rounds=2 if options.quick else 5,
            seconds=0.3 if options.quick else 1.0,
        )
    rows = [
        f"{entry['model']:24s} {label:16s} x{x['throughput']:.2f} "
        f"p99/p50 {x['p99_over_p50']:.2f}  {x['many_calls_per_s']:.0f} calls/s"
        for entry in entries
        for label, x in entry["engines"].items()
    ]
    return show(options, {"threads": entries}, rows)


if __name__ == "__main__":
    raise SystemExit(main())
