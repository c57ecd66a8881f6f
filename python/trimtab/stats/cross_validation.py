"""Is one model better than another across folds? The corrected resampled t-test.

Scores of folds share training data: their spread alone is too small, and the plain
t-test finds differences that are not there.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.stats.intervals import check_alpha, t_interval, z_score
from trimtab.stats.result import TestResult
from trimtab.stats.special import t_tail

__all__ = ["corrected_resampled_t_test"]


def corrected_resampled_t_test(
    differences: npt.ArrayLike,
    *,
    n_train: float,
    n_test: float,
    alpha: float = 0.05,
) -> TestResult:
    """Test that two models score equally over folds or random splits.

    The variance of the mean of J differences is taken as (1/J + n_test/n_train) s^2.

    Parameters
    ----------
    differences : array-like of shape (J,)
        Score of the second model less that of the first, by fold; with repeated
        cross-validation of all folds of all repeats.
    n_train, n_test : float
        Samples in the training and in the test part of a fold (their mean).
    alpha : float, default=0.05
        1 - alpha is the confidence of the interval.

    Returns
    -------
    result : TestResult
        The statistic is t with J - 1 degrees of freedom.

    Raises
    ------
    InputError
        There are fewer than two differences, one is not finite, or a part is empty.

    References
    ----------
    Nadeau, Bengio (2003). Inference for the generalization error. Machine Learning
    52, 239-281.

    Bouckaert, Frank (2004). Evaluating the replicability of significance tests for
    comparing learning algorithms. PAKDD 2004, 3-12.

    Examples
    --------
    >>> gaps = [0.02, 0.01, 0.03, 0.015, 0.025]
    >>> print(corrected_resampled_t_test(gaps, n_train=80, n_test=20))
    0.02 [0.005276, 0.03472], p = 0.0196 (corrected resampled t)
    """
    x = np.asarray(differences, np.float64)
    if x.ndim != 1 or len(x) < 2 or not np.isfinite(x).all():
        raise InputError(
            f"differences: expected two or more finite numbers, got shape {x.shape}"
        )
    if not (n_train > 0 and n_test > 0):
        raise InputError(
            "expected samples to train and to test on, "
            f"got n_train={n_train} and n_test={n_test}"
        )
    mean, df = float(x.mean()), len(x) - 1
    error = math.sqrt((1 / len(x) + n_test / n_train) * float(x.var(ddof=1)))
    t = z_score(mean, error)
    low, high = t_interval(mean, error, df, alpha=check_alpha(alpha))
    p_value = min(1.0, 2 * t_tail(abs(t), df))
    return TestResult(mean, low, high, p_value, t, "corrected resampled t")
