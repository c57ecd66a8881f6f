"""What a call costs when the model does nothing: one elementwise node, 16 floats.

``python -m benchmarks.bench_overhead`` prints microseconds per call of each
engine, as its users call it and bound. The loop that calls costs about 0.02 us
of each figure.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import one_node_cases
from benchmarks.compare_case import Comparison, measure_case
from benchmarks.rounds import Effort, crew


def measure(engines: Sequence[str], effort: Effort, *, contender: str) -> list[Any]:
    """Compare the engines on the one-node models, one thread.

    Parameters
    ----------
    engines : sequence of str
        Worker labels.
    effort : Effort
    contender : str
        The label that ratios are formed for.

    Returns
    -------
    entries : list of dict
        As `compare_case.measure_case`, one per model.
    """
    with tempfile.TemporaryDirectory() as folder, crew(engines) as workers:
        return [
            measure_case(
                workers, case, 1, effort, Comparison(contender, ("onnxruntime",))
            )
            for case in one_node_cases(Path(folder))
        ]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    from benchmarks.options import parse, show

    options = parse(__doc__, argv)
    entries = measure(options.engines, options.effort, contender=options.contender)
    rows = [
        f"{entry['model']:10s} {label:16s} "
        f"plain {times['plain']['median_s'] * 1e6:7.2f} us   "
        f"bound {times['bound']['median_s'] * 1e6:7.2f} us"
        for entry in entries
        for label, times in entry["engines"].items()
        if "bound" in times
    ]
    return show(options, {"overhead": entries}, rows)


if __name__ == "__main__":
    raise SystemExit(main())
