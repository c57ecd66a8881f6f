"""Two models on the same samples: which differences are real?

Enters: rows of both models. Leaves: for each metric the difference, its interval and a
paired test: McNemar's for accuracy, DeLong's for the area under the ROC curve, the
paired bootstrap for all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.evaluate.custom import is_raw
from trimtab.evaluate.tally import Rows
from trimtab.evaluate.weighted import weighted_metric
from trimtab.metrics import Metric
from trimtab.stats import TestResult, delong_test, mcnemar_test, paired_bootstrap
from trimtab.stats.multiplicity import holm
from trimtab.types import Array

__all__ = ["Comparison", "PairedRows", "compare_metrics", "verdict"]


@dataclass(frozen=True)
class Comparison:
    """One metric of two models.

    Parameters
    ----------
    metric : str
    value, baseline : float
        Of the model and of the one it is compared with.
    difference, low, high : float
        Model less baseline, and its interval.
    p_value : float
        Of the hypothesis that there is no difference.
    adjusted_p_value : float
        By Holm's method over all metrics.
    is_better : bool or None
        None where the difference may be nothing.
    method : str
    n : int
        Rows that both have answered.
    """

    metric: str
    value: float
    baseline: float
    difference: float
    low: float
    high: float
    p_value: float
    adjusted_p_value: float
    is_better: bool | None
    method: str
    n: int


class PairedRows:
    """Labels and what two models made of them, as far as metrics need it.

    Parameters
    ----------
    metrics : mapping of str to Metric
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.needs = sorted({metric.needs for metric in metrics.values()})
        self._kept: dict[str, list[tuple[Any, Any, Any]]] = {n: [] for n in self.needs}
        self._samples: list[Array] = []
        self._n_samples = 0

    def update(self, first: Rows, second: Rows) -> None:
        """Add samples.

        Parameters
        ----------
        first, second : Rows
            The baseline's and the model's.
        """
        for need in self.needs:
            y_true, base = first.pair(need)
            self._kept[need].append(
                (_small(y_true), _small(base), second.pair(need)[1])
            )
        if second.sample is not None:
            self._samples.append(second.sample + self._n_samples)
        self._n_samples += second.n_samples

    def rows(self, need: str) -> tuple[Array, Array, Array]:
        """Give all rows.

        Parameters
        ----------
        need : str

        Returns
        -------
        y_true, baseline, model : ndarray
        """
        truth, base, model = zip(*self._kept[need], strict=True)
        return np.concatenate(truth), np.concatenate(base), np.concatenate(model)

    def clusters(self, groups: Array | None) -> Array | None:
        """Give the cluster of each row, where rows are not independent.

        Parameters
        ----------
        groups : ndarray or None
            Of each sample, as the user gives them.

        Returns
        -------
        clusters : ndarray or None
        """
        if not self._samples:
            return groups
        sample = np.concatenate(self._samples)
        return sample if groups is None else groups[sample]


def _small(values: Array) -> Array:
    """Numbers of classes in as few bytes as they need."""
    if values.dtype.kind != "i" or not values.size or values.min() < 0:
        return values
    return values.astype(np.min_scalar_type(values.max()))


# ---- tests --------------------------------------------------------------------------


def _accuracy(truth: Array, base: Array, model: Array, alpha: float) -> TestResult:
    is_first, is_second = (
        np.asarray(given == truth).reshape(len(truth), -1).all(axis=1)
        for given in (base, model)
    )
    n10 = int((is_first & ~is_second).sum())
    n01 = int((~is_first & is_second).sum())
    return mcnemar_test(n10, n01, n=len(truth), alpha=alpha)


def _roc_auc(truth: Array, base: Array, model: Array, alpha: float) -> TestResult:
    return delong_test(truth, base, model, alpha=alpha)


#: Metric -> its own paired test of (y_true, baseline, model, alpha).
_TESTS: dict[str, Callable[[Array, Array, Array, float], TestResult]] = {
    "accuracy": _accuracy,
    "roc_auc": _roc_auc,
}


def _test(
    metric: Metric,
    rows: tuple[Array, Array, Array],
    clusters: Array | None,
    alpha: float,
    n_resamples: int,
    seed: int,
) -> TestResult:
    truth, base, model = rows
    if clusters is None and metric.name in _TESTS and np.ndim(model) == 1:
        return _TESTS[metric.name](truth, base, model, alpha)
    return paired_bootstrap(
        weighted_metric(metric, truth, base),
        weighted_metric(metric, truth, model),
        len(truth),
        alpha=alpha,
        n_resamples=n_resamples,
        clusters=clusters,
        seed=seed,
    )


def compare_metrics(
    metrics: Mapping[str, Metric],
    kept: PairedRows,
    values: Mapping[str, float],
    baseline: Mapping[str, float],
    *,
    alpha: float,
    n_resamples: int,
    seed: int,
    groups: Array | None = None,
    step: Callable[[], None] = lambda: None,
) -> dict[str, Comparison]:
    """Compare two models by every metric.

    Parameters
    ----------
    metrics : mapping of str to Metric
    kept : PairedRows
    values, baseline : mapping of str to float
        Figures of the model and of the baseline.
    alpha : float
    n_resamples, seed : int
        Of the bootstrap.
    groups : ndarray, optional
        Of each sample: samples of one group are drawn together.
    step : callable
        Called after each metric.

    Returns
    -------
    comparisons : dict of str to Comparison
        Without those that have no test: the metric raised, or is not defined.

    Examples
    --------
    >>> compare_metrics(                                   # doctest: +SKIP
    ...     metrics, kept, values, baseline, alpha=0.05, n_resamples=1000, seed=0)
    {'accuracy': Comparison(metric='accuracy', value=0.97, ...)}
    """
    clusters = kept.clusters(groups)
    results: dict[str, tuple[TestResult, int]] = {}
    for name, metric in metrics.items():
        if math.isfinite(values[name]) and math.isfinite(baseline[name]):
            rows = kept.rows(metric.needs)
            # functions of the user take labels and outputs as they came: by sample
            own = groups if is_raw(metric) else clusters
            found = _test(metric, rows, own, alpha, n_resamples, seed)
            results[name] = (found, len(rows[0]))
        step()
    adjusted = holm([result.p_value for result, _ in results.values()])
    return {
        name: Comparison(
            name,
            values[name],
            baseline[name],
            result.difference,
            result.low,
            result.high,
            result.p_value,
            float(p),
            verdict(result, float(p), metrics[name], alpha),
            result.method,
            n,
        )
        for (name, (result, n)), p in zip(results.items(), adjusted, strict=True)
    }


def verdict(
    result: TestResult, adjusted: float, metric: Metric, alpha: float
) -> bool | None:
    """Better, worse, or not to be told.

    Parameters
    ----------
    result : TestResult
    adjusted : float
        P-value that counts all metrics.
    metric : Metric
    alpha : float

    Returns
    -------
    is_better : bool or None

    Examples
    --------
    >>> from trimtab.metrics import METRICS
    >>> result = TestResult(0.02, 0.01, 0.03, 0.004, 2.9, "delong")
    >>> verdict(result, 0.004, METRICS["accuracy"], 0.05)
    True
    """
    is_known = adjusted <= alpha and not result.low <= 0 <= result.high
    if not is_known or math.isnan(result.low):
        return None
    return (result.difference > 0) == metric.greater_is_better
