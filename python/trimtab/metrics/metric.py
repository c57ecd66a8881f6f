"""What a metric is: a function, its streaming form and its interval, under one name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.metrics.accumulate import Accumulator
from trimtab.metrics.interval import Interval

__all__ = ["Metric", "Needs"]

#: What `y_true` and `y_pred` hold:
#: "labels": classes and classes, of shape (n,).
#: "scores": classes, and a score of the positive class (n,) or probabilities (n, k).
#: "values": numbers and numbers, (n,) or (n, m).
#: "relevance": relevance of k items and their scores, (n, k).
#: "texts": sentences and sentences.
#: "boxes": per image a mapping with "boxes" and "labels", of predictions "scores" too.
Needs = Literal["labels", "scores", "values", "relevance", "texts", "boxes"]


@dataclass(frozen=True)
class Metric:
    """One metric: called with all data at once, or fed batch by batch.

    Parameters
    ----------
    name : str
        Its key in `METRICS`.
    needs : {"labels", "scores", "values", "relevance", "texts", "boxes"}
        What `y_true` and `y_pred` hold.
    greater_is_better : bool
    function : callable
        (y_true, y_pred, *, sample_weight=None, ...) -> number, as scikit-learn's.
    accumulator : callable
        (...) -> Accumulator with the options of `function`.

    Examples
    --------
    >>> from trimtab.metrics import METRICS
    >>> accuracy = METRICS["accuracy"]
    >>> running = accuracy.accumulator()
    >>> running.update([0, 1, 1], [0, 1, 0])
    >>> round(running.compute(), 4)
    0.6667
    >>> print(accuracy.interval([0, 1, 1], [0, 1, 0]))
    0.6667 [0.2077, 0.9385]
    """

    name: str
    needs: Needs
    greater_is_better: bool
    function: Callable[..., Any]
    accumulator: Callable[..., Accumulator]

    def __call__(self, y_true: Any, y_pred: Any, **options: Any) -> Any:
        """Give `function` of the data."""
        return self.function(y_true, y_pred, **options)

    def interval(
        self,
        y_true: Any,
        y_pred: Any,
        *,
        sample_weight: Any = None,
        alpha: float = 0.05,
        n_resamples: int = 1000,
        seed: int = 0,
        **options: Any,
    ) -> Interval:
        """Give the metric with its confidence interval.

        Wilson's for proportions, Student's t for means, DeLong's for the area under
        the ROC curve, the delta method for ratios, the bootstrap for all others.

        Parameters
        ----------
        y_true, y_pred : array-like
            As `function` takes them.
        sample_weight : array-like of shape (n,), optional
        alpha : float, default=0.05
            1 - alpha is the confidence.
        n_resamples : int, default=1000
            Of the bootstrap, where there is one.
        seed : int, default=0
        **options : Any
            Of the metric.

        Returns
        -------
        interval : Interval
        """
        kept = self.accumulator(**options)
        kept.update(y_true, y_pred, sample_weight=sample_weight)
        return kept.interval(alpha=alpha, n_resamples=n_resamples, seed=seed)
