"""Permutation importance: what a metric loses where a feature is shuffled.

References
----------
Breiman, Random Forests, 2001, section 10. Fisher, Rudin and Dominici, All Models are
Wrong, but Many are Useful, 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.types import Array

__all__ = ["PermutationImportance", "permutation_importance"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PermutationImportance:
    """Importances, named as in scikit-learn.

    Parameters
    ----------
    importances : ndarray of shape (features, repeats)
        The score minus that with the feature shuffled.
    score : float
        Of the data as they are; greater is better.
    """

    importances: Floats
    score: float

    @property
    def importances_mean(self) -> Floats:
        """Over the repeats."""
        return np.asarray(self.importances.mean(axis=1))

    @property
    def importances_std(self) -> Floats:
        """Over the repeats."""
        return np.asarray(self.importances.std(axis=1))


def permutation_importance(
    answer: Callable[[Array], Any],
    x: Array,
    y: Array,
    score: Callable[[Array, Any], float],
    *,
    n_repeats: int = 5,
    seed: int = 0,
    on_step: Callable[[int], Any] | None = None,
) -> PermutationImportance:
    """Shuffle one column after the other.

    Parameters
    ----------
    answer : callable
        (x) -> answers, one for each row.
    x : ndarray of shape (n, features)
    y : ndarray of shape (n,)
    score : callable
        (y, answers) -> number; greater is better.
    n_repeats : int, default=5
    seed : int, default=0
    on_step : callable, optional
        Called after each shuffle, with 1.

    Returns
    -------
    importance : PermutationImportance

    Raises
    ------
    InputError
        x is no table, y has another length, or a score is not finite.

    Examples
    --------
    >>> x = np.array([[0.0, 3.0], [1.0, 1.0], [2.0, 5.0], [3.0, 0.0]])
    >>> found = permutation_importance(lambda x: x[:, 0], x, x[:, 0],
    ...     lambda y, answers: -abs(y - answers).mean())
    >>> bool(found.importances_mean[0] > 0), float(found.importances_mean[1])
    (True, 0.0)
    """
    if x.ndim != 2 or len(x) != len(y) or not len(x):
        raise InputError(
            f"permutation_importance: expected x of shape (n, features) and y of n "
            f"labels, got {list(x.shape)} and {len(y)}"
        )
    if n_repeats < 1:
        raise InputError(f"n_repeats: expected a number from 1 on, got {n_repeats}")
    rng = np.random.default_rng(seed)
    whole = float(score(y, answer(x)))
    importances = np.empty((x.shape[1], n_repeats))
    for column in range(x.shape[1]):
        for repeat in range(n_repeats):
            shuffled = x.copy()
            shuffled[:, column] = x[rng.permutation(len(x)), column]
            importances[column, repeat] = whole - float(score(y, answer(shuffled)))
            if on_step is not None:
                on_step(1)
    if not np.isfinite(importances).all():
        raise InputError("metric: expected finite scores, got NaN or infinity")
    return PermutationImportance(importances, whole)
