"""What swapping, batching and promoting cost while requests come.

``python -m benchmarks.bench_serve [STAGE ...]`` prints a JSON line per figure and
writes ``results/<date>-<kind of machine>-serve.json``, `-partial` unless every stage
has run in full. A stage leaves its figures in the cache, so that the next can be run
alone and again:

    swap       8 threads ask while versions are swapped: errors, mixtures, times, memory
    batching   8 threads ask for one row each, run together and alone
    promotion  what changing an alias takes, and until it serves

The figures go to RESULTS.md too.
"""

from __future__ import annotations

from benchmarks import serve_batching, serve_promotion, serve_swap
from benchmarks.serve_report import section
from benchmarks.stages import Benchmark, Stage

PACKAGES = ("trimtab", "numpy")
STAGES: dict[str, Stage] = {
    "swap": serve_swap.swap,
    "batching": serve_batching.batching,
    "promotion": serve_promotion.promotion,
}


BENCHMARK = Benchmark("serve", __doc__, PACKAGES, STAGES, section)


if __name__ == "__main__":
    raise SystemExit(BENCHMARK.main())
