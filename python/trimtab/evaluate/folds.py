"""Cross-validation: how much figures vary, and models that are fitted anew.

Enters: a number of folds or one of scikit-learn's splitters. Leaves: pairs of indices,
`FoldFigures` by metric, and the corrected resampled t-test between two models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluate.data import Data
from trimtab.metrics import Interval
from trimtab.stats import TestResult, corrected_resampled_t_test
from trimtab.types import Array

__all__ = [
    "FoldFigures",
    "fitted_interval",
    "fitted_test",
    "layers_of",
    "split_data",
    "summarise_folds",
]

# Folds that a splitter may give.
_MAX_FOLDS = 1000


@dataclass(frozen=True)
class FoldFigures:
    """One metric over folds.

    Parameters
    ----------
    values : tuple of float
        By fold; NaN where a fold does not define the metric.
    mean, std : float
        Of the values that there are.
    baseline : tuple of float
        Of the other model on the same folds; empty where there is none.
    """

    values: tuple[float, ...]
    mean: float
    std: float
    baseline: tuple[float, ...] = ()


def _sklearn_splitters() -> Any:
    try:
        from sklearn import model_selection  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            "cv= needs scikit-learn: pip install 'trimtab[evaluate]'"
        ) from error
    return model_selection


def split_data(
    cv: Any, data: Data, *, is_classes: bool, groups: Any, seed: int
) -> list[tuple[Array, Array]]:
    """Give the indices of each fold.

    Parameters
    ----------
    cv : int or splitter
        A number of folds: stratified by class where labels are classes, and grouped
        where there are groups. Or an object with ``split(X, y, groups)``.
    data : Data
        In memory.
    is_classes : bool
    groups : array-like or None
        Of each sample.
    seed : int

    Returns
    -------
    folds : list of (train, test)

    Raises
    ------
    InputError
        Data come as a stream, or the splitter does not do what it should.

    Examples
    --------
    >>> from trimtab.evaluate.data import open_data
    >>> data = open_data((np.zeros((6, 1)), [0, 1, 0, 1, 0, 1]))
    >>> folds = split_data(3, data, is_classes=True, groups=None, seed=0)
    >>> [len(test) for _, test in folds]
    [2, 2, 2]
    """
    n, labels = data.n_samples, data.labels
    if n is None or labels is None:
        raise InputError("cv: folds need data in memory, not a stream of batches")
    if not hasattr(cv, "split"):
        cv = _splitter(cv, is_classes, groups is not None, seed)
    y = labels if labels.ndim == 1 and labels.dtype != object else None
    try:
        found = [
            (np.asarray(train, np.intp), np.asarray(test, np.intp))
            for train, test in cv.split(np.zeros((n, 1)), y, groups)
        ]
    except (ValueError, TypeError) as error:
        raise InputError(f"cv: {type(cv).__name__} cannot split: {error}") from error
    if not 1 < len(found) <= _MAX_FOLDS:
        raise InputError(f"cv: expected 2 to {_MAX_FOLDS} folds, got {len(found)}")
    for train, test in found:
        for part in (train, test):
            if not len(part) or part.min() < 0 or part.max() >= n:
                raise InputError(
                    f"cv: {type(cv).__name__} gives a fold that is empty or outside "
                    f"of {n} samples"
                )
    return found


def _splitter(cv: Any, is_classes: bool, has_groups: bool, seed: int) -> Any:
    if not isinstance(cv, int) or isinstance(cv, bool) or cv < 2:
        raise InputError(
            f"cv: expected a number of folds of 2 or more, or a splitter, got {cv!r}"
        )
    known = _sklearn_splitters()
    if has_groups and is_classes:
        return known.StratifiedGroupKFold(cv, shuffle=True, random_state=seed)
    if has_groups:
        return known.GroupKFold(cv)
    if is_classes:
        return known.StratifiedKFold(cv, shuffle=True, random_state=seed)
    return known.KFold(cv, shuffle=True, random_state=seed)


def layers_of(folds: Sequence[tuple[Array, Array]], n: int) -> list[Array]:
    """Lay test parts side by side: repeats of cross-validation overlap.

    Parameters
    ----------
    folds : sequence of (train, test)
    n : int
        Samples.

    Returns
    -------
    layers : list of ndarray of shape (n,)
        Number of each sample's fold, -1 where it is in none.

    Examples
    --------
    >>> folds = [([], np.array([0, 1])), ([], np.array([2])), ([], np.array([1, 2]))]
    >>> [layer.tolist() for layer in layers_of(folds, 3)]
    [[0, 0, 1], [-1, 2, 2]]
    """
    layers: list[Array] = []
    for i, (_, test) in enumerate(folds):
        free = next((x for x in layers if (x[test] < 0).all()), None)
        if free is None:
            free = np.full(n, -1)
            layers.append(free)
        free[test] = i
    return layers


def summarise_folds(
    values: Sequence[Mapping[str, float]],
    baseline: Sequence[Mapping[str, float]] = (),
) -> dict[str, FoldFigures]:
    """Sum up figures by fold.

    Parameters
    ----------
    values : sequence of mapping of str to float
        Figures of each fold.
    baseline : sequence of mapping of str to float
        Of the other model.

    Returns
    -------
    folds : dict of str to FoldFigures

    Examples
    --------
    >>> summarise_folds([{"accuracy": 0.5}, {"accuracy": 0.75}])["accuracy"].mean
    0.625
    """
    found = {}
    for name in values[0]:
        series = tuple(fold[name] for fold in values)
        good = [value for value in series if math.isfinite(value)]
        found[name] = FoldFigures(
            series,
            float(np.mean(good)) if good else math.nan,
            float(np.std(good, ddof=1)) if len(good) > 1 else math.nan,
            tuple(fold[name] for fold in baseline),
        )
    return found


def fitted_interval(
    figures: FoldFigures, sizes: tuple[float, float], n: int, alpha: float
) -> Interval:
    """The mean over folds of models fitted anew, with its corrected interval.

    Parameters
    ----------
    figures : FoldFigures
    sizes : (float, float)
        Samples to train and to test on, by fold.
    n : int
        Samples in all.
    alpha : float

    Returns
    -------
    interval : Interval

    Examples
    --------
    >>> figures = summarise_folds([{"f1": 0.5}, {"f1": 0.52}, {"f1": 0.54}])["f1"]
    >>> print(fitted_interval(figures, (80, 40), 120, 0.05))
    0.52 [0.4414, 0.5986]
    """
    good = [value for value in figures.values if math.isfinite(value)]
    if len(good) < 2:
        return Interval(figures.mean, math.nan, math.nan, "none", n)
    result = corrected_resampled_t_test(
        good, n_train=sizes[0], n_test=sizes[1], alpha=alpha
    )
    return Interval(figures.mean, result.low, result.high, result.method, n)


def fitted_test(
    figures: FoldFigures, sizes: tuple[float, float], alpha: float
) -> TestResult | None:
    """Are models of two recipes equally good? None where folds do not say.

    Parameters
    ----------
    figures : FoldFigures
        With those of the baseline.
    sizes : (float, float)
    alpha : float

    Returns
    -------
    result : TestResult or None

    Examples
    --------
    >>> folds = [{"f1": 0.5}, {"f1": 0.6}, {"f1": 0.7}]
    >>> lower = [{"f1": 0.4}, {"f1": 0.52}, {"f1": 0.61}]
    >>> figures = summarise_folds(folds, lower)["f1"]
    >>> fitted_test(figures, (80, 40), 0.05).p_value < 0.05
    True
    """
    gaps = np.subtract(figures.values, figures.baseline)
    if len(gaps) < 2 or not np.isfinite(gaps).all():
        return None
    return corrected_resampled_t_test(
        gaps, n_train=sizes[0], n_test=sizes[1], alpha=alpha
    )
