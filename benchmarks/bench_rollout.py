"""What a rollout stops, what it lets through, and what it leaves when it is killed.

``python -m benchmarks.bench_rollout [STAGE ...]`` prints a JSON line per figure and
writes ``results/<date>-<kind of machine>-rollout.json``, `-partial` unless every stage
has run in full. A stage leaves its figures in the cache, so that the next can be run
alone and again:

    killed    processes killed at random instants of a rollout, and resumed
    labels    the test of quality by simulation, looked at after every request
    rollouts  whole rollouts behind a deployment, with labels of every request

The figures go to RESULTS.md too.
"""

from __future__ import annotations

from benchmarks import rollout_cases
from benchmarks.rollout_report import section
from benchmarks.stages import Benchmark, Stage

PACKAGES = ("trimtab", "numpy")

STAGES: dict[str, Stage] = {
    "killed": rollout_cases.killed,  # first: it forks
    "labels": rollout_cases.labels,
    "rollouts": rollout_cases.rollouts,
}


BENCHMARK = Benchmark("rollout", __doc__, PACKAGES, STAGES, section)


if __name__ == "__main__":
    raise SystemExit(BENCHMARK.main())
