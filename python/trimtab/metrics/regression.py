"""How far numbers are from the truth: squared, absolute and relative errors, R2.

The functions are scikit-learn's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.metrics.backend import call_sklearn
from trimtab.metrics.inputs import as_weights

__all__ = [
    "max_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "median_absolute_error",
    "r2_score",
    "root_mean_squared_error",
]


def mean_squared_error(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
) -> Any:
    """Mean of squared errors.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,) or (n, m)
    sample_weight : array-like of shape (n,), optional
    multioutput : str or array-like, default="uniform_average"
        How m outputs become one number: "uniform_average", "raw_values" (they do
        not), or their weights.

    Returns
    -------
    value : float or ndarray

    Examples
    --------
    >>> mean_squared_error([1.0, 2.0, 4.0], [1.0, 3.0, 2.0])
    1.6666666666666667
    """
    return call_sklearn(
        "mean_squared_error",
        y_true,
        y_pred,
        sample_weight=sample_weight,
        multioutput=multioutput,
    )


def root_mean_squared_error(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
) -> Any:
    """Root of the mean of squared errors, by output.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,) or (n, m)
    sample_weight : array-like of shape (n,), optional
    multioutput : str or array-like, default="uniform_average"
        How m outputs become one number: "uniform_average", "raw_values" (they do
        not), or their weights.

    Returns
    -------
    value : float or ndarray

    Examples
    --------
    >>> root_mean_squared_error([0.0, 0.0], [3.0, 3.0])
    3.0
    """
    return call_sklearn(
        "root_mean_squared_error",
        y_true,
        y_pred,
        sample_weight=sample_weight,
        multioutput=multioutput,
    )


def mean_absolute_error(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
) -> Any:
    """Mean of absolute errors.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,) or (n, m)
    sample_weight : array-like of shape (n,), optional
    multioutput : str or array-like, default="uniform_average"
        How m outputs become one number: "uniform_average", "raw_values" (they do
        not), or their weights.

    Returns
    -------
    value : float or ndarray

    Examples
    --------
    >>> mean_absolute_error([1.0, 2.0, 4.0], [1.0, 3.0, 2.0])
    1.0
    """
    return call_sklearn(
        "mean_absolute_error",
        y_true,
        y_pred,
        sample_weight=sample_weight,
        multioutput=multioutput,
    )


def mean_absolute_percentage_error(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
) -> Any:
    """Mean of absolute errors by the size of the truth; 1 is 100 %.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,) or (n, m)
    sample_weight : array-like of shape (n,), optional
    multioutput : str or array-like, default="uniform_average"
        How m outputs become one number: "uniform_average", "raw_values" (they do
        not), or their weights.

    Returns
    -------
    value : float or ndarray

    Examples
    --------
    >>> mean_absolute_percentage_error([1.0, 2.0, 4.0], [1.0, 3.0, 2.0])
    0.3333333333333333
    """
    return call_sklearn(
        "mean_absolute_percentage_error",
        y_true,
        y_pred,
        sample_weight=sample_weight,
        multioutput=multioutput,
    )


def median_absolute_error(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
) -> Any:
    """Median of absolute errors.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,) or (n, m)
    sample_weight : array-like of shape (n,), optional
    multioutput : str or array-like, default="uniform_average"
        How m outputs become one number: "uniform_average", "raw_values" (they do
        not), or their weights.

    Returns
    -------
    value : float or ndarray

    Examples
    --------
    >>> median_absolute_error([1.0, 2.0, 4.0], [1.0, 3.0, 2.0])
    1.0
    """
    return call_sklearn(
        "median_absolute_error",
        y_true,
        y_pred,
        sample_weight=sample_weight,
        multioutput=multioutput,
    )


def r2_score(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
    force_finite: bool = True,
) -> Any:
    """Share of the variance of the truth that is explained; 1 is perfect.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,) or (n, m)
    sample_weight : array-like of shape (n,), optional
    multioutput : {"uniform_average", "raw_values", "variance_weighted"} or array-like
        How m outputs become one number.
    force_finite : bool, default=True
        Constant truths give 1 (all right) or 0, not NaN or -inf.

    Returns
    -------
    value : float or ndarray

    Examples
    --------
    >>> r2_score([1.0, 2.0, 3.0], [1.0, 2.0, 2.0])
    0.5
    """
    return call_sklearn(
        "r2_score",
        y_true,
        y_pred,
        sample_weight=sample_weight,
        multioutput=multioutput,
        force_finite=force_finite,
    )


def max_error(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> Any:
    """Largest absolute error.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
    sample_weight : array-like of shape (n,), optional
        Samples of weight 0 do not count.

    Returns
    -------
    value : float

    Examples
    --------
    >>> max_error([1.0, 2.0, 4.0], [1.0, 3.0, 2.0])
    2.0
    """
    if sample_weight is not None:
        weights = as_weights(sample_weight, len(y_true))
        is_counted = np.asarray(weights) > 0
        y_true, y_pred = np.asarray(y_true)[is_counted], np.asarray(y_pred)[is_counted]
    return call_sklearn("max_error", y_true, y_pred)
