"""Does the promise hold: how often does a returned model lose more than its budget?

Two trials, each over many seeded splits of a labelled pool that the net has not
learned from. One part of a split is given to the optimiser, the other is used for
nothing but the drop that is called true here.

`calls` asks `trimtab.optimize_model` itself, once per split: what its user would get.
`replays` challenges its guard where it is hardest to pass: a ladder of damaged models,
from weights of two bits up, some just below the budget and some just above. The
answers of each model to the whole pool are computed once, so that only the choice is
made again with each split: the fastest (most damaged) model within the budget on one
part, then the guard's bound on another, then the next safer one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.optimize_cases import Case

N_SPLITS = 200
BUDGET = 0.005
LADDER = (2.0, 2.2, 2.4, 2.6, 2.8, 3.0, 3.3, 3.7, 4.0, 5.0, 6.0)  # bits, fewest first
CALLED = "mnist_cnn"  # small enough to be optimised once per split
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
    entry = {"replays": summary(replays(case, order, n_splits), BUDGET)}
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
            calibration=case.calibration,
            validation=(known.inputs, known.labels),
            metric="accuracy",
            max_drop=BUDGET,
            seed=seed,
        )
        before = _right(model, unseen.inputs, unseen.labels)
        after = _right(report.model, unseen.inputs, unseen.labels)
        low = {layer.precision for layer in report.layers} != {"f32"}
        drop = float(before.mean() - after.mean())
        yield {"seed": seed, "returned": low, "drop": drop}


def _right(model: Any, inputs: Any, labels: npt.NDArray[np.int64]) -> Bools:
    (logits,) = model.run(dict(inputs)).values()
    right: Bools = logits.argmax(axis=-1) == labels
    return right


def replays(
    case: Case, order: npt.NDArray[np.intp], n_splits: int
) -> Iterable[dict[str, Any]]:
    """Choose from the ladder again and again, by the guard of the optimiser."""
    from trimtab.stats.paired import drop_upper_bound

    before, ladder = ladder_answers(case, order)
    for seed in range(n_splits):
        shuffled = np.random.default_rng([2, seed]).permutation(len(order))
        search, guard, unseen = np.array_split(shuffled, 3)
        fits = [
            after
            for after in ladder
            if before[search].mean() - after[search].mean() <= BUDGET
        ]
        chosen = before
        for n_tried, after in enumerate(fits, start=1):
            n_lost = int((before[guard] & ~after[guard]).sum())
            n_won = int((~before[guard] & after[guard]).sum())
            # the k-th look at the guard may err with 0.05 / 2^k: 0.05 in all
            bound = drop_upper_bound(n_lost, n_won, len(guard), alpha=0.05 / 2**n_tried)
            if bound <= BUDGET:
                chosen = after
                break
        drop = float(before[unseen].mean() - chosen[unseen].mean())
        yield {"seed": seed, "returned": chosen is not before, "drop": drop}


def ladder_answers(
    case: Case, order: npt.NDArray[np.intp]
) -> tuple[Bools, list[Bools]]:
    """Which samples f32 and each damaged model have right."""
    assert case.pool is not None
    pool = case.pool.rows(order)
    with tempfile.TemporaryDirectory() as scratch:
        paths = [case.path]
        for bits in LADDER:
            paths.append(Path(scratch) / f"{bits:g}.onnx")
            damage(case.path, paths[-1], bits)
        before, *ladder = (
            _predicted(path, pool.inputs) == pool.labels for path in paths
        )
    return before, ladder


def damage(path: Path, out: Path, bits: float) -> None:
    """Round every large weight to ``2 ** bits`` levels per output channel."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    levels = 2 ** (bits - 1) - 1
    for tensor in model.graph.initializer:
        weight = numpy_helper.to_array(tensor)
        if weight.dtype != np.float32 or weight.ndim < 2 or weight.size < 64:
            continue
        # a convolution's channels are its rows, a product's its columns
        axes = tuple(range(1, weight.ndim)) if weight.ndim == 4 else 0
        scale = np.abs(weight).max(axis=axes, keepdims=True) / levels
        scale = np.where(scale == 0, 1, scale)
        rounded = (np.rint(weight / scale) * scale).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    onnx.save(model, str(out))


def _predicted(path: Path, inputs: Any) -> npt.NDArray[np.int64]:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    n = len(next(iter(inputs.values())))
    parts = []
    for begin in range(0, n, 50):
        some = {name: rows[begin : begin + 50] for name, rows in inputs.items()}
        parts.append(session.run(None, some)[0].argmax(axis=-1))
    return np.concatenate(parts)
