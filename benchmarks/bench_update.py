"""What updates learn, forget, cost, and let through.

``python -m benchmarks.bench_update [STAGE ...]`` prints a JSON line per figure and
writes ``results/<date>-<kind of machine>-update.json``, `-partial` unless every stage
has run in full. A stage leaves its figures in the cache, so that the next can be run
alone and again:

    head    seconds to learn a last layer in closed form
    shift   digits under shift: accuracy on new and old digits by number of new labels
    poison  poisoned updates blocked, clean ones promoted

The figures go to RESULTS.md too.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import update_head, update_poison, update_shift
from benchmarks.stages import Benchmark, Stage
from benchmarks.update_report import section

PACKAGES = ("trimtab", "numpy", "scikit-learn")


def shift(*, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Means over seeds by number of new labels and learner."""
    seeds = range(2 if quick else 20)
    results = update_shift.run(seeds, "all", has_peers=not quick)
    for n in update_shift.SIZES:
        for name in dict.fromkeys(r["name"] for r in results):
            cases = [
                r
                for r in results
                if (r["n"], r["name"]) == (n, name) and "refused" not in r
            ]
            if not cases:
                continue
            yield (
                f"{n} {name}",
                {
                    "n": n,
                    "name": name,
                    **{
                        key: float(np.mean([r[key] for r in cases]))
                        for key in ("new", "old", "seconds")
                    },
                    "worst_drop": float(max(r["drop"] for r in cases)),
                    "n_within": sum(r["drop"] <= update_shift.FORGET for r in cases),
                    "n_cases": len(cases),
                },
            )


def poison(*, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Counts by data set, and what stopped or let through each case."""
    found = [
        one
        for name in update_poison.SIZES
        for seed in ((0,) if quick else (0, 1, 2))
        for one in update_poison.run(
            name, seed, [*update_poison.POISONED, *update_poison.CLEAN]
        )
    ]
    yield from update_poison.summary(found).items()
    for case in dict.fromkeys(one["case"] for one in found):
        mine = [one for one in found if one["case"] == case]
        yield (
            case,
            {
                "is_poisoned": mine[0]["is_poisoned"],
                "n": len(mine),
                "n_promoted": sum(one["is_promoted"] for one in mine),
                "against": sorted({text for one in mine for text in one["against"]}),
            },
        )


STAGES: dict[str, Stage] = {
    "head": update_head.measure,
    "shift": shift,
    "poison": poison,
}


BENCHMARK = Benchmark("update", __doc__, PACKAGES, STAGES, section)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    raise SystemExit(BENCHMARK.main())
