"""Does the promise hold: how often does a returned model lose more than its budget?

Two trials, each over many seeded splits of a labelled pool that the net has not
learned from. One part of a split is given to the optimiser, the other is used for
nothing but the drop that is called true here.

`calls` asks `trimtab.optimize_model` itself, once per split: what its user would get.
`replays` makes it hard: in the place of int8 stand weights of two or three bits, group
by group, of which only some fit the budget. The search and the guard are those of the
package; what each candidate answers to the whole pool is computed once and looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.optimize_cases import Case
from benchmarks.optimize_damage import DamagedBackend, LookUp, PretendedTimer

N_SPLITS = 200
BUDGET = 0.005  # of the calls
CALLED = "mnist_cnn"  # small enough to be optimised once per split


@dataclass(frozen=True)
class Replay:
    """Budget of a replay, and at most how many samples of the pool it uses."""

    max_drop: float
    n_samples: int


REPLAYS = {
    "mnist_cnn": Replay(0.01, 4000),
    "minilm_sentiment": Replay(0.02, 3200),  # a sample takes milliseconds
}
Bools = npt.NDArray[np.bool_]


def proof(
    case: Case, *, n_splits: int = N_SPLITS, n_pool: int | None = None
) -> dict[str, Any]:
    """Both trials on a model, as far as they can be done.

    Parameters
    ----------
    case : Case
        With a labelled pool.
    n_splits : int, default=200
    n_pool : int, optional
        At most so many of the pool's samples.

    Returns
    -------
    entry : dict
        ``replays`` and ``calls``, each a summary with its rows; ``calls`` of the small
        net alone.
    """
    assert case.pool is not None
    rng = np.random.default_rng(0)
    order = rng.permutation(len(case.pool))[:n_pool]
    found = replays(case, order, n_splits)
    entry = {"replays": summary(found, REPLAYS[case.name].max_drop)}
    if case.name == CALLED:
        entry["calls"] = summary(calls(case, order, n_splits), BUDGET)
    return entry


def summary(rows: Iterable[dict[str, Any]], max_drop: float) -> dict[str, Any]:
    """Count the splits whose returned model lost more than it may.

    Examples
    --------
    >>> summary([{"returned": True, "drop": 0.02}, {"returned": False, "drop": 0.0}],
    ...         0.01)["violations"]
    1
    """
    rows = list(rows)
    return {
        "max_drop": max_drop,
        "splits": len(rows),
        "returned": sum(row["returned"] for row in rows),
        "violations": sum(row["drop"] > max_drop for row in rows),
        "largest_drop": max((row["drop"] for row in rows), default=0.0),
        "rows": rows,
    }


def calls(
    case: Case, order: npt.NDArray[np.intp], n_splits: int
) -> Iterable[dict[str, Any]]:
    """Optimise with one half of the pool, look at the other."""
    import trimtab

    assert case.pool is not None
    model = trimtab.load_model(case.path)
    for seed in range(n_splits):
        shuffled = np.random.default_rng([1, seed]).permutation(order)
        given, kept = np.array_split(shuffled, 2)
        known, unseen = case.pool.rows(given), case.pool.rows(kept)
        report = trimtab.optimize_model(
            model,
            calibration=dict(case.calibration),
            validation=(dict(known.inputs), known.labels),
            metric="accuracy",
            max_drop=BUDGET,
            seed=seed,
            progress=False,
        )
        before = _right(model, unseen.inputs, unseen.labels)
        after = _right(report.model, unseen.inputs, unseen.labels)
        low = any(layer.precision != "f32" for layer in report.layers)
        drop = float(before.mean() - after.mean())
        yield {"seed": seed, "returned": low, "drop": drop}


def _right(model: Any, inputs: Any, labels: npt.NDArray[np.int64]) -> Bools:
    (logits,) = model.run(dict(inputs)).values()
    right: Bools = logits.argmax(axis=-1) == labels
    return right


def replays(
    case: Case, order: npt.NDArray[np.intp], n_splits: int
) -> Iterable[dict[str, Any]]:
    """Search among damaged models and prove with one half, look at the other."""
    from trimtab.optimize.outcome import Goal
    from trimtab.optimize.splits import choose_guard_share

    assert case.pool is not None
    replay = REPLAYS[case.name]
    order = order[: replay.n_samples]
    pool = case.pool.rows(order)
    backend = DamagedBackend(case, pool.inputs)
    before = backend.answers({}).argmax(axis=-1) == pool.labels
    n_given = len(order) // 2
    n_search = n_given - round(n_given * choose_guard_share(n_given, replay.max_drop))
    for seed in range(n_splits):
        shuffled = np.random.default_rng([2, seed]).permutation(len(order))
        search, guard, unseen = np.split(shuffled, [n_search, n_given])
        goal = Goal(replay.max_drop, precisions=("f32", "int8"), seed=seed)
        choices = _searched(backend, pool.labels, search, guard, goal)
        after = backend.answers(choices).argmax(axis=-1) == pool.labels
        drop = float(before[unseen].mean() - after[unseen].mean())
        yield {"seed": seed, "returned": "int8" in choices.values(), "drop": drop}


def _searched(
    backend: DamagedBackend,
    labels: npt.NDArray[np.int64],
    search: npt.NDArray[np.intp],
    guard: npt.NDArray[np.intp],
    goal: Any,
) -> Mapping[str, str]:
    """What the package's own search and guard choose."""
    from trimtab.optimize.journal import Journal
    from trimtab.optimize.metrics import METRICS
    from trimtab.optimize.outcome import Judged
    from trimtab.optimize.progress import Deadline, Progress
    from trimtab.optimize.samples import Samples, run_samples
    from trimtab.optimize.search import Search

    full = LookUp(backend.answers({}))
    judged = []
    for chosen in (search, guard):
        samples = Samples([{"row": np.array([i])} for i in chosen], labels[chosen])
        reference = run_samples(full, samples)
        judged.append(Judged.of(METRICS["accuracy"], samples, reference))
    found = Search(
        backend,
        PretendedTimer(),
        full,
        *judged,
        goal,
        inputs={"row": np.zeros(1, np.int64)},
        deadline=Deadline(None),
        journal=Journal(None, "replay"),
        progress=Progress(False),
    )
    choices: Mapping[str, str] = found.run().choices
    return choices
