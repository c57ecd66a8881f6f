"""Interleaved rounds: every engine's block in turn, round after round.

One case at a time is loaded into all workers; a round asks each of them for one
block of calls (A B C A B C ...), and ratios are formed inside the round. When
the ratio that matters spreads too far, more rounds are taken before the result
is flagged.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.common import Ratio, quartiles, ratio_of_rounds
from benchmarks.peers import engine_of
from benchmarks.worker import Worker, WorkerError


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes
    ----------
    n_rounds : int
        Rounds of a case.
    max_rounds : int
        Rounds of a case whose ratio stays noisy.
    block_s : float
        Seconds of one engine's block in a round.
    """

    n_rounds: int = 9
    max_rounds: int = 27
    block_s: float = 0.06


QUICK = Effort(n_rounds=3, max_rounds=3, block_s=0.02)


@dataclass
class Timing:
    """Per-round seconds of one engine, one kind of call, on one case."""

    rounds_s: list[float] = field(default_factory=list)
    best_s: float = float("inf")

    def add(self, answer: dict[str, Any]) -> None:
        """Take in one block's answer."""
        self.rounds_s.append(answer["median_s"])
        self.best_s = min(self.best_s, answer["best_s"])

    @property
    def median_s(self) -> float:
        """Typical seconds of a call."""
        return quartiles(self.rounds_s)[1]

    def ratio_to(self, base: Timing) -> Ratio:
        """This timing over another of the same rounds."""
        return ratio_of_rounds(self.rounds_s, base.rounds_s, self.best_s, base.best_s)


class Crew:
    """The workers of a run; one that died is started again at its next turn."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        self._workers: dict[str, Worker] = {}
        self.unavailable: dict[str, str] = {}
        for label in self.labels:
            try:
                self._workers[label] = Worker(label)
            except WorkerError as error:
                self.unavailable[label] = str(error)

    def __getitem__(self, label: str) -> Worker:
        worker = self._workers[label]
        if not worker.is_alive:
            worker.close()
            worker = self._workers[label] = Worker(label)
        return worker

    def __iter__(self) -> Iterator[str]:
        return iter(self._workers)

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers.values():
            worker.close()


@contextmanager
def crew(labels: Sequence[str]) -> Iterator[Crew]:
    """Start one worker per label, and end them all afterwards."""
    workers = Crew(labels)
    try:
        yield workers
    finally:
        workers.close()


def largest_error(
    outputs: dict[str, np.ndarray], reference: dict[str, np.ndarray]
) -> float:
    """Largest difference of any output, relative to that output's range.

    Examples
    --------
    >>> largest_error({"y": np.array([0.0, 1.0])}, {"y": np.array([0.0, 2.0])})
    0.5
    """
    worst = 0.0
    for name, expected in reference.items():
        if name not in outputs:
            raise KeyError(f"output {name!r} is missing, got {sorted(outputs)}")
        found = outputs[name]
        if found.shape != expected.shape:
            raise ValueError(
                f"output {name!r}: expected shape {expected.shape}, got {found.shape}"
            )
        if expected.size == 0:
            continue
        wide = expected.astype(np.float64)
        span = max(float(np.ptp(wide)), float(np.abs(wide).max()), 1e-12)
        difference = np.abs(found.astype(np.float64) - wide).max() / span
        worst = max(worst, float(difference) if np.isfinite(difference) else np.inf)
    return worst


def outputs_of(worker: Worker, folder: Path) -> dict[str, np.ndarray]:
    """Results of a call, by name; written to the folder on their way."""
    path = folder / "outputs.npz"
    names = worker.ask("outputs", path=str(path))["names"]
    with np.load(path) as arrays:
        return dict(zip(names, (arrays[key] for key in arrays.files), strict=True))


def load_case(
    workers: Crew, case: Case, threads: int
) -> tuple[list[str], dict[str, str], dict[str, float]]:
    """Load a case into every worker and compare the outputs.

    Returns
    -------
    ready : list of str
        Labels that loaded and ran it.
    errors : dict of str to str
        Label to reason for the others.
    differences : dict of str to float
        Largest error relative to the output's range, against the first
        onnxruntime among the workers.
    """
    ready, errors, outputs = [], {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        for label in workers:
            path = case.path_for(engine_of(label))
            if path is None:
                continue
            try:
                worker = workers[label]
                worker.ask("feeds", path=case.feeds_path)
                worker.ask("load", path=path, threads=threads)
                outputs[label] = outputs_of(worker, Path(scratch))
            except WorkerError as error:
                errors[label] = str(error)
                continue
            ready.append(label)
    differences: dict[str, float] = {}
    reference = next((x for x in ready if engine_of(x) == "onnxruntime"), None)
    for label in ready:
        if reference is None or engine_of(label) in ("torch", "onnxruntime"):
            continue
        try:
            differences[label] = largest_error(outputs[label], outputs[reference])
        except (KeyError, ValueError) as error:
            errors[label] = f"{label}: {error.args[0]}"
    return [label for label in ready if label not in errors], errors, differences


@dataclass
class Rounds:
    """What the rounds of one case gave.

    Attributes
    ----------
    timings : dict
        Label to kind of call to `Timing`; ``bound`` only where it can be done.
    errors : dict of str to str
        Labels that failed while being timed.
    unbound : dict of str to str
        Labels that cannot fix the arrays of a call on this model, with the reason.
    """

    timings: dict[str, dict[str, Timing]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    unbound: dict[str, str] = field(default_factory=dict)


def take_rounds(
    workers: Crew,
    labels: Iterable[str],
    effort: Effort,
    *,
    contender: str,
    bases: Sequence[str],
) -> Rounds:
    """Measure a loaded case until the plain ratios are quiet or rounds run out.

    Parameters
    ----------
    workers : Crew
    labels : iterable of str
        Engines that have the case loaded.
    effort : Effort
    contender, bases : str, sequence of str
        The ratio that decides on more rounds: contender over its fastest base.

    Returns
    -------
    rounds : Rounds
    """
    found = Rounds()
    for label in labels:
        found.timings[label] = {"plain": Timing()}
        try:
            workers[label].ask("prepare", kind="bound")
        except WorkerError as error:
            found.unbound[label] = str(error)
        else:
            found.timings[label]["bound"] = Timing()
    for n_done in range(1, effort.max_rounds + 1):
        for label in list(found.timings):
            try:
                for kind, timing in found.timings[label].items():
                    timing.add(
                        workers[label].ask("time", kind=kind, block_s=effort.block_s)
                    )
            except WorkerError as error:
                found.errors[label] = str(error)
                del found.timings[label]
        if n_done >= effort.n_rounds and not _is_noisy(found, contender, bases):
            break
    return found


def better_base(
    timings: dict[str, dict[str, Timing]], bases: Sequence[str]
) -> str | None:
    """The fastest of the bases on this case, None if none ran it."""
    present = [base for base in bases if base in timings]
    return min(present, key=lambda x: timings[x]["plain"].median_s, default=None)


def _is_noisy(found: Rounds, contender: str, bases: Sequence[str]) -> bool:
    base = better_base(found.timings, bases)
    if base is None or contender not in found.timings:
        return False
    mine, other = found.timings[contender]["plain"], found.timings[base]["plain"]
    return mine.ratio_to(other).noisy
