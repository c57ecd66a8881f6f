"""Is the model good enough? What is required must hold for the bound, not the figure.

Enters: thresholds by metric, and figures. Leaves: the reasons against.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trimtab.errors import InputError
from trimtab.metrics import Interval, Metric, find_metric

__all__ = ["check_require", "reasons_against"]


def check_require(require: Any, metrics: Mapping[str, Metric]) -> dict[str, float]:
    """Take thresholds, before any work is done.

    Parameters
    ----------
    require : mapping of str to float or None
    metrics : mapping of str to Metric
        Those that will be computed.

    Returns
    -------
    require : dict of str to float

    Raises
    ------
    InputError
        A name is unknown, or a threshold no number.

    Examples
    --------
    >>> check_require(None, {})
    {}
    """
    if require is None:
        return {}
    if not isinstance(require, Mapping):
        raise InputError(
            "require: expected thresholds by metric, as {'accuracy': 0.97}, got "
            f"{require!r:.80}"
        )
    found = {}
    for name, value in require.items():
        known = _known(name, metrics)
        if known is None:
            raise InputError(
                f"require: {name!r} is not among the metrics {list(metrics)}"
            )
        try:
            threshold = float(value)
        except (TypeError, ValueError):
            threshold = math.nan
        if not math.isfinite(threshold):
            raise InputError(f"require: {name!r}: expected a number, got {value!r}")
        found[known] = threshold
    return found


def _known(name: Any, metrics: Mapping[str, Metric]) -> str | None:
    """Its name among the metrics, where it may be given by another one."""
    if name in metrics:
        return str(name)
    try:
        other = find_metric(str(name)).name
    except InputError:
        return None
    return other if other in metrics else None


def reasons_against(
    require: Mapping[str, float],
    figures: Mapping[str, Interval],
    directions: Mapping[str, bool],
    *,
    n_invalid: int = 0,
) -> tuple[str, ...]:
    """Give the requirements that are not proven, as sentences.

    Parameters
    ----------
    require : mapping of str to float
        Least value, or largest where lower is better.
    figures : mapping of str to Interval
    directions : mapping of str to bool
        Is greater better?
    n_invalid : int, default=0
        Predictions that are NaN or infinite.

    Returns
    -------
    reasons : tuple of str
        Empty where all hold.

    Examples
    --------
    >>> figures = {"accuracy": Interval(0.98, 0.96, 0.99, "wilson", 500)}
    >>> reasons_against({"accuracy": 0.97}, figures, {"accuracy": True})[0]
    'accuracy is 0.98 [0.96, 0.99]: 0.97 or more is not proven with 500 samples'
    >>> reasons_against({"accuracy": 0.95}, figures, {"accuracy": True})
    ()
    """
    reasons = []
    for name, threshold in require.items():
        figure, is_greater = figures[name], directions[name]
        side = "or more" if is_greater else "or less"
        wanted = f"{threshold:g} {side}"
        bound = figure.low if is_greater else figure.high
        if math.isnan(figure.value):
            reasons.append(f"{name} could not be computed: {wanted} is not proven")
            continue
        if math.isnan(bound):
            reasons.append(
                f"{name} is {figure.value:.4g} and has no interval: {wanted} is not "
                "proven"
            )
            continue
        if _holds(bound, threshold, is_greater):
            continue
        if _holds(figure.value, threshold, is_greater):
            told = f"{wanted} is not proven with {figure.n} samples"
        else:
            told = f"{wanted} is required"
        reasons.append(f"{name} is {figure}: {told}")
    if require and n_invalid:
        reasons.append(
            f"{n_invalid} predictions are NaN or infinite; figures leave them out"
        )
    return tuple(reasons)


def _holds(value: float, threshold: float, is_greater: bool) -> bool:
    return value >= threshold if is_greater else value <= threshold
