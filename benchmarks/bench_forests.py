"""Forests and support vectors of scikit-learn beside onnxruntime: one thread each.

``python -m benchmarks.bench_forests`` fits estimators on noise with some order in it,
exports them with skl2onnx, and calls the same file in both engines in turn, with 1, 10
and 1,000 rows. A row ends with the median of the ratios of the rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.common import to_plain
from benchmarks.turns import in_turns

BATCHES = (1, 10, 1000)
N_FEATURES, N_ROWS = 20, 4000
TURN_S = 0.05


def estimators() -> dict[str, Any]:
    """Name -> estimator, fitted; the first is the one that targets speak of."""
    from sklearn.ensemble import (
        GradientBoostingClassifier,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.svm import SVC

    rng = np.random.default_rng(0)
    x = rng.normal(size=(N_ROWS, N_FEATURES)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(x[:, 2]) + 0.1 * rng.normal(size=N_ROWS)
    three = np.digitize(y, [-0.5, 0.5])
    forest = {"n_estimators": 100, "random_state": 0}
    return {
        "100 trees of depth 8": RandomForestRegressor(max_depth=8, **forest).fit(x, y),
        "the same, 2 classes": RandomForestClassifier(max_depth=8, **forest).fit(
            x, y > 0
        ),
        "the same, 3 classes": RandomForestClassifier(max_depth=8, **forest).fit(
            x, three
        ),
        "100 trees without bound": RandomForestClassifier(**forest).fit(x, three),
        "100 boosted, depth 4": GradientBoostingClassifier(
            n_estimators=100, max_depth=4, random_state=0
        ).fit(x, y > 0),
        "SVC, 3 classes": SVC(random_state=0).fit(x[:1000], three[:1000]),
    }


def exported(estimator: Any) -> bytes:
    """What skl2onnx writes, probabilities as a matrix."""
    from skl2onnx import to_onnx

    options = {id(estimator): {"zipmap": False}}
    content: bytes = to_onnx(
        estimator,
        np.zeros((1, N_FEATURES), np.float32),
        options=options if hasattr(estimator, "classes_") else None,
        target_opset={"": 18, "ai.onnx.ml": 3},
    ).SerializeToString()
    return content


def measure(n_rounds: int) -> list[dict[str, Any]]:
    """Ratios of every estimator at every number of rows.

    Parameters
    ----------
    n_rounds : int
        Turns of each side.

    Returns
    -------
    entries : list of dict
        ``model``, ``rows``, seconds of both and ``ratio`` (below 1: trimtab is faster).
    """
    import onnxruntime

    import trimtab

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    rows = np.random.default_rng(1).normal(size=(max(BATCHES), N_FEATURES))
    entries = []
    for name, estimator in estimators().items():
        content = exported(estimator)
        session = onnxruntime.InferenceSession(content, settings)
        model = trimtab.load_model(content, fallback=False, threads=1)
        for n in BATCHES:
            x = rows[:n].astype(np.float32)
            ours, theirs = partial(model, x), partial(session.run, None, {"X": x})
            mine, other, ratio = in_turns(ours, theirs, n_rounds, TURN_S)
            entries.append(
                {
                    "model": name,
                    "rows": n,
                    "trimtab_s": mine,
                    "onnxruntime_s": other,
                    "ratio": ratio,
                }
            )
    plain: list[dict[str, Any]] = to_plain(entries)
    return plain


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    from benchmarks.options import parse, show

    options = parse(__doc__, argv)
    entries = measure(3 if options.quick else 9)
    lines = [
        f"{e['model']:24s} {e['rows']:5d} rows {e['trimtab_s'] * 1e6:9.1f} us "
        f"onnxruntime {e['onnxruntime_s'] * 1e6:9.1f} us   {e['ratio']['median']:.2f}"
        for e in entries
    ]
    return show(options, {"forests": entries}, lines)


if __name__ == "__main__":
    raise SystemExit(main())
