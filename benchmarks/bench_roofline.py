"""How near a model comes to what this machine can do at all.

The bound of a node is the larger of its arithmetic at the measured peak and its
traffic at the measured bandwidth; the bound of a model is their sum, and its
share of the peak is bound over latency. Peaks are measured in the same process
right before, with the thread count of the model. Williams, Waterman and
Patterson (2009), "Roofline".

``python -m benchmarks.bench_roofline`` prints the shares.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import Case, zoo_cases
from benchmarks.common import quartiles, to_plain
from benchmarks.peers import Engine
from benchmarks.worker import Worker, WorkerError

MODELS = (
    "efficientnet_lite0_dynamo",
    "minilm_dynamo:128_tokens",
    "dnsmos_sig_bak_ovr",
    "ppocr4_det",
)


def roofline(engine: Engine, feeds: dict[str, Any]) -> dict[str, Any]:
    """Profile the loaded model, which measures the peaks first (in the worker)."""
    profile = engine.model.profile(feeds)  # type: ignore[attr-defined]
    return {
        "percent_of_peak": float(profile.percent_of_peak),
        "latency_s": float(profile.latency_ms) * 1e-3,
        "f32_gops": float(profile.peaks.f32_gops),
        "memory_gbps": float(profile.peaks.memory_gbps),
    }


def measure(
    cases: Sequence[Case], threads: Sequence[int], *, n_rounds: int = 5
) -> list[dict[str, Any]]:
    """Share of the roofline bound of each case at each thread count.

    Parameters
    ----------
    cases : sequence of Case
    threads : sequence of int
    n_rounds : int, default=5
        Processes per case and thread count, each of which measures the peaks and
        profiles the model; the median counts.

    Returns
    -------
    entries : list of dict
        ``model``, ``threads``, ``percent_of_peak``, ``rounds`` and the peaks,
        or ``error``.
    """
    entries: list[dict[str, Any]] = []
    for case in cases:
        for n_threads in threads:
            entry: dict[str, Any] = {"model": case.name, "threads": n_threads}
            try:
                rounds = [_once(case, n_threads) for _ in range(n_rounds)]
            except WorkerError as error:
                entries.append(entry | {"error": str(error)})
                continue
            entry["rounds"] = [x["percent_of_peak"] for x in rounds]
            for key in rounds[0]:
                entry[key] = quartiles([x[key] for x in rounds])[1]
            entries.append(entry)
    plain: list[dict[str, Any]] = to_plain(entries)
    return plain


def _once(case: Case, threads: int) -> dict[str, Any]:
    with contextlib.closing(Worker("trimtab")) as worker:
        worker.ask("feeds", path=case.feeds_path)
        worker.ask("load", path=case.path, threads=threads)
        return worker.ask("roofline")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    from benchmarks.options import parse, show

    options = parse(__doc__, argv)
    with tempfile.TemporaryDirectory() as folder:
        cases, _ = zoo_cases(Path(folder), options.models or ",".join(MODELS))
        entries = measure(cases, options.threads, n_rounds=2 if options.quick else 5)
    rows = [
        f"{x.get('model', ''):24s} {x.get('threads', '')} threads  "
        f"{x.get('percent_of_peak', float('nan')):5.1f} %  {x.get('error', '')}"
        for x in entries
    ]
    return show(options, {"roofline": entries}, rows)


if __name__ == "__main__":
    raise SystemExit(main())
