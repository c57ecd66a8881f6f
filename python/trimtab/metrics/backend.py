"""scikit-learn, where it has the function: imported at first use, errors made ours."""

from __future__ import annotations

import importlib
from typing import Any

from trimtab.errors import InputError
from trimtab.metrics.inputs import check_length

__all__ = ["call_sklearn"]


def call_sklearn(name: str, y_true: Any, y_pred: Any, **options: Any) -> Any:
    """Call a function of `sklearn.metrics`.

    Parameters
    ----------
    name : str
    y_true, y_pred : array-like
        Passed by position: their names differ between versions.
    **options : Any

    Returns
    -------
    value : Any
        What scikit-learn gives.

    Raises
    ------
    InputError
        There is no sample, or scikit-learn refuses the arguments.
    ImportError
        It is not installed.

    Examples
    --------
    >>> call_sklearn("accuracy_score", [0, 1], [0, 0])
    0.5
    """
    if not check_length(y_true, y_pred):
        raise InputError(f"{name}: expected at least one sample, got none")
    try:
        metrics = importlib.import_module("sklearn.metrics")
    except ImportError:
        raise ImportError(
            f"the function {name} needs scikit-learn: pip install 'trimtab[evaluate]' "
            "(streaming accumulators do without)"
        ) from None
    try:
        return getattr(metrics, name)(y_true, y_pred, **options)
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"{name}: {error}") from error
