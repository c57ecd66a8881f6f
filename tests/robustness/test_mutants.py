"""Mutants of real models through the whole public API, in child processes.

Each file is loaded and, where it loads, run. It must succeed or raise a documented
error: no crash, no hang, no other exception, no more memory than its limits declare,
no file opened, nothing executed. To repeat one:

    python -m tests.robustness.test_mutants NAME INDEX [FILE TO WRITE]
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Files and the mutants of each in every run: small ones, more where it is quick.
COUNTS = {
    "mtcnn_pnet": 350,
    "mtcnn_rnet": 250,
    "mtcnn_onet": 200,
    "mnist_cnn": 300,
    "neumf": 350,
    "oww_hey_mycroft": 300,
    "ppocr_cls": 150,
    "silero_vad": 150,
    "oww_melspec": 100,
    "magika": 60,
}
MORE_COUNTS = dict.fromkeys(COUNTS, 5000)
DEADLOCK_S = 400.0  # wall clock, of which neighbours may take most
SLOW_S = 10.0  # processor time of one file

#: Shapes for dims that the files leave open.
HINTS = {
    "mtcnn_pnet": {"input_1": [1, 31, 31, 3]},
    "mtcnn_rnet": {"input_2": [1, 24, 24, 3]},
    "mtcnn_onet": {"input_3": [1, 48, 48, 3]},
    "mnist_cnn": {"image": [1, 1, 28, 28]},
    "neumf": {"user": [3], "item": [3]},
    "oww_hey_mycroft": {"input_1": [1, 16, 96]},
    "ppocr_cls": {"x": [1, 3, 48, 96]},
    "silero_vad": {"input": [1, 576], "state": [2, 1, 128], "sr": []},
    "oww_melspec": {"input": [1, 2000]},
    "magika": {"bytes": [1, 2048]},
}


@dataclass
class Result:
    """What became of one mutant."""

    name: str
    index: int
    edit: str
    outcome: str
    seconds: float = 0.0
    grown: int = 0

    def __str__(self) -> str:
        return (
            f"{self.name} {self.index} ({self.edit}): {self.outcome} "
            f"({self.seconds:.1f} s, {self.grown >> 20} MiB)"
        )


def start_worker(name: str, path: Path, first: int, last: int) -> subprocess.Popen:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.robustness.mutant_worker"),
            *(str(path), name, str(first), str(last), json.dumps(HINTS[name])),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
    )


def lines_of(worker: subprocess.Popen) -> Iterator[bytes]:
    """Lines as they come; TimeoutError after a silence of DEADLOCK_S."""
    with selectors.DefaultSelector() as selector:
        selector.register(worker.stdout, selectors.EVENT_READ)
        rest = b""
        while True:
            if not selector.select(DEADLOCK_S):
                raise TimeoutError
            part = os.read(worker.stdout.fileno(), 1 << 16)
            if not part:
                return
            *lines, rest = (rest + part).split(b"\n")
            yield from lines


def run_mutants(name: str, path: Path, first: int, last: int) -> list[Result]:
    """Results of the mutants [first, last); a dead worker is replaced."""
    results: list[Result] = []
    while first < last:
        worker = start_worker(name, path, first, last)
        current = None
        try:
            for line in lines_of(worker):
                item = json.loads(line)
                if "index" in item:
                    current = item
                else:
                    results.append(Result(name, **current, **item))
                    first, current = results[-1].index + 1, None
            errors = worker.stderr.read().decode(errors="replace")
            worker.wait()
        except TimeoutError:
            worker.kill()
            _, errors = worker.communicate()
            errors = "hangs"
        if current is None and first < last:
            raise RuntimeError(f"the worker for {name} ended early: {errors}")
        if current is not None:
            what = f"FAULT died with {worker.returncode}: {errors[-2000:]}"
            results.append(Result(name, **current, outcome=what))
            first = current["index"] + 1
    return results


def run_all(counts: dict[str, int]) -> list[Result]:
    """All mutants, by as many workers as there are processors."""
    from zoo import MODELS, ZooUnavailable

    try:
        paths = {name: MODELS[name].path() for name in counts}
    except ZooUnavailable as reason:
        if os.environ.get("CI"):
            pytest.fail(f"the zoo must be complete under CI: {reason}")
        pytest.skip(str(reason))
    # Parts of some hundred: oneDNN keeps 52 KB of each convolution it has made.
    parts = [
        (name, paths[name], first, min(first + 500, n))
        for name, n in counts.items()
        for first in range(0, n, 500)
    ]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        lists = pool.map(lambda part: run_mutants(*part), parts)
        return [result for results in lists for result in results]


def check(counts: dict[str, int]) -> None:
    from .mutant_worker import BUDGET_BYTES

    start = time.perf_counter()
    results = run_all(counts)
    took = time.perf_counter() - start
    assert len(results) == sum(counts.values())
    faults = [
        result
        for result in results
        if result.outcome.startswith("FAULT")
        or result.seconds > SLOW_S
        or result.grown > BUDGET_BYTES
    ]
    outcomes = Counter(result.outcome.split(":")[0] for result in results)
    print(f"{len(results)} mutants in {took:.1f} s: {dict(outcomes.most_common())}")
    print("most memory:", max(results, key=lambda result: result.grown))
    print("most time:", max(results, key=lambda result: result.seconds))
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(map(str, faults[:50]))
    # The mutants are neither all refused at the door nor all harmless.
    assert outcomes["ran"] > len(results) / 20
    assert outcomes["ModelFormatError"] > len(results) / 5
    assert outcomes["ModelLimitError"] > 0
    assert outcomes["UnsupportedOpError"] > 0


@pytest.mark.zoo
def test_mutants_of_real_models_end_in_success_or_a_documented_error() -> None:
    assert sum(COUNTS.values()) >= 2000
    check(COUNTS)


@pytest.mark.zoo
@pytest.mark.slow
def test_many_more_mutants_of_real_models() -> None:
    check(MORE_COUNTS)


def main() -> None:
    """Repeat one mutant in this process."""
    sys.path.insert(0, str(ROOT / "tests"))
    from zoo import MODELS

    from .mutant_worker import attempt
    from .mutate import mutant

    name, index = sys.argv[1], int(sys.argv[2])
    data, edit = mutant(MODELS[name].path(), name, index)
    print(edit, len(data), "bytes")
    if len(sys.argv) > 3:
        Path(sys.argv[3]).write_bytes(data)
    hints = {key: tuple(value) for key, value in HINTS[name].items()}
    print(attempt(data, hints, fallback=index % 8 == 7))


if __name__ == "__main__":
    main()
