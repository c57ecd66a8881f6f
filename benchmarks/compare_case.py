"""One case measured by all engines, as the plain data that results are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cases import Case
from benchmarks.common import to_plain
from benchmarks.rounds import (
    KINDS,
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
    kinds: Sequence[str] = KINDS,
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
    kinds : sequence of str, default=KINDS
        Kinds of call to time.

    Returns
    -------
    entry : dict
        ``engines`` (label to kind to seconds), ``better`` (the fastest base),
        ``ratios`` (base to kind to `common.Ratio` of contender over base),
        ``difference`` (label to largest error relative to onnxruntime's output
        range), ``errors`` (label to reason), ``noisy``.
    """
    ready, errors, difference = load_case(workers, case, threads)
    timings, failed = take_rounds(
        workers,
        ready,
        effort,
        contender=comparison.contender,
        bases=comparison.bases,
        kinds=kinds,
    )
    for label in ready:
        if label not in failed:
            workers[label].ask("unload")
    better = better_base(timings, comparison.bases)
    ratios = _ratios(timings, comparison.contender, kinds)
    entry: dict[str, Any] = to_plain(
        {
            "model": case.name,
            "threads": threads,
            "engines": {
                label: {kind: _timing(timing) for kind, timing in by_kind.items()}
                for label, by_kind in timings.items()
            },
            "better": better,
            "ratios": ratios,
            "noisy": better in ratios and ratios[better][kinds[0]]["noisy"],
            "difference": difference,
            "errors": errors | failed,
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
    timings: dict[str, dict[str, Timing]], contender: str, kinds: Sequence[str]
) -> dict[str, dict[str, Any]]:
    if contender not in timings:
        return {}
    mine = timings[contender]
    return {
        label: {kind: to_plain(mine[kind].ratio_to(other[kind])) for kind in kinds}
        for label, other in timings.items()
        if label != contender
    }
