"""One case measured by all engines, as the plain data that results are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cases import Case
from benchmarks.common import to_plain
from benchmarks.rounds import (
    Crew,
    Effort,
    Timing,
    better_base,
    load_case,
    take_rounds,
)


@dataclass(frozen=True)
class Comparison:
    """Which ratio is wanted: one contender over each of some bases."""

    contender: str
    bases: Sequence[str]


def measure_case(
    workers: Crew,
    case: Case,
    threads: int,
    effort: Effort,
    comparison: Comparison,
) -> dict[str, Any]:
    """Load, check and time one case on every engine.

    Parameters
    ----------
    workers : Crew
    case : Case
    threads : int
        Threads of one call.
    effort : Effort
    comparison : Comparison

    Returns
    -------
    entry : dict
        ``engines`` (label to kind to seconds), ``better`` (the fastest base),
        ``ratios`` (base to kind to `common.Ratio` of contender over base),
        ``difference`` (label to largest error relative to onnxruntime's output
        range), ``errors`` (label to reason), ``unbound`` (label to why a call
        cannot be bound), ``noisy``.
    """
    ready, errors, difference = load_case(workers, case, threads)
    found = take_rounds(
        workers,
        ready,
        effort,
        contender=comparison.contender,
        bases=comparison.bases,
    )
    for label in ready:
        if label not in found.errors:
            workers[label].ask("unload")
    better = better_base(found.timings, comparison.bases)
    ratios = _ratios(found.timings, comparison.contender)
    entry: dict[str, Any] = to_plain(
        {
            "model": case.name,
            "threads": threads,
            "engines": {
                label: {kind: _timing(timing) for kind, timing in by_kind.items()}
                for label, by_kind in found.timings.items()
            },
            "better": better,
            "ratios": ratios,
            "noisy": better in ratios and ratios[better]["plain"]["noisy"],
            "difference": difference,
            "errors": errors | found.errors,
            "unbound": found.unbound,
        }
    )
    return entry


def _timing(timing: Timing) -> dict[str, Any]:
    return {
        "median_s": timing.median_s,
        "best_s": timing.best_s,
        "rounds_s": timing.rounds_s,
    }


def _ratios(
    timings: dict[str, dict[str, Timing]], contender: str
) -> dict[str, dict[str, Any]]:
    mine = timings.get(contender, {})
    return {
        label: {
            kind: to_plain(timing.ratio_to(other[kind]))
            for kind, timing in mine.items()
            if kind in other
        }
        for label, other in timings.items()
        if mine and label != contender
    }
