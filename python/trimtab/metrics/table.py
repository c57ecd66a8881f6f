"""Every metric by name."""

from __future__ import annotations

from functools import partial
from typing import Any

from trimtab.errors import InputError
from trimtab.metrics import calibration, detection, ranking, text
from trimtab.metrics import classification as classes
from trimtab.metrics import classification_streaming as counted
from trimtab.metrics import probability as probable
from trimtab.metrics import probability_streaming as streamed
from trimtab.metrics import regression as numbers
from trimtab.metrics import regression_streaming as summed
from trimtab.metrics.metric import Metric

__all__ = ["ALIASES", "METRICS", "find_metric"]


def _regression() -> list[Metric]:
    made = [
        Metric(
            name,
            "values",
            False,
            getattr(numbers, name),
            partial(summed.regression_accumulator, name),
        )
        for name in summed.LOSSES
    ]
    return [
        *made,
        Metric(
            "median_absolute_error",
            "values",
            False,
            numbers.median_absolute_error,
            summed.MedianErrorAccumulator,
        ),
        Metric(
            "max_error", "values", False, numbers.max_error, summed.MaxErrorAccumulator
        ),
        Metric("r2", "values", True, numbers.r2_score, summed.R2Accumulator),
    ]


_SCORES: dict[str, tuple[Any, Any]] = {
    "precision": (classes.precision_score, counted.precision_accumulator),
    "recall": (classes.recall_score, counted.recall_accumulator),
    "f1": (classes.f1_score, counted.f1_accumulator),
    "jaccard": (classes.jaccard_score, counted.jaccard_accumulator),
}
_OTHERS: dict[str, tuple[Any, Any]] = {
    "accuracy": (classes.accuracy_score, counted.accuracy_accumulator),
    "balanced_accuracy": (
        classes.balanced_accuracy_score,
        counted.balanced_accuracy_accumulator,
    ),
    "cohen_kappa": (classes.cohen_kappa_score, counted.cohen_kappa_accumulator),
    "matthews_corrcoef": (
        classes.matthews_corrcoef,
        counted.matthews_corrcoef_accumulator,
    ),
}


def _classification() -> list[Metric]:
    made = [
        Metric(name, "labels", True, function, accumulator)
        for name, (function, accumulator) in {**_OTHERS, **_SCORES}.items()
    ]
    for name, (function, accumulator) in _SCORES.items():
        for average in ("micro", "macro", "weighted"):
            made.append(
                Metric(
                    f"{name}_{average}",
                    "labels",
                    True,
                    partial(function, average=average),
                    partial(accumulator, average=average),
                )
            )
    return made


def _probability() -> list[Metric]:
    areas = [
        Metric(
            f"roc_auc{suffix}",
            "scores",
            True,
            partial(probable.roc_auc_score, **options),
            partial(streamed.roc_auc_accumulator, **options),
        )
        for suffix, options in _MULTICLASS.items()
    ]
    return [
        *areas,
        Metric(
            "average_precision",
            "scores",
            True,
            probable.average_precision_score,
            streamed.average_precision_accumulator,
        ),
        Metric(
            "log_loss",
            "scores",
            False,
            probable.log_loss,
            streamed.log_loss_accumulator,
        ),
        Metric(
            "brier_score",
            "scores",
            False,
            probable.brier_score_loss,
            streamed.brier_accumulator,
        ),
        Metric(
            "expected_calibration_error",
            "scores",
            False,
            probable.expected_calibration_error,
            calibration.CalibrationAccumulator,
        ),
        Metric(
            "top_k_accuracy",
            "scores",
            True,
            probable.top_k_accuracy_score,
            streamed.top_k_accuracy_accumulator,
        ),
        Metric(
            "perplexity",
            "scores",
            False,
            probable.perplexity,
            streamed.perplexity_accumulator,
        ),
    ]


_MULTICLASS: dict[str, dict[str, Any]] = {
    "": {},
    "_ovr": {"multi_class": "ovr"},
    "_ovo": {"multi_class": "ovo"},
    "_ovr_weighted": {"multi_class": "ovr", "average": "weighted"},
    "_ovo_weighted": {"multi_class": "ovo", "average": "weighted"},
}
# Name -> function and how many items it looks at.
_RANKINGS: dict[str, tuple[Any, int | None]] = {
    "ndcg": (ranking.ndcg_score, None),
    "hit_rate": (ranking.hit_rate, 10),
    "mean_reciprocal_rank": (ranking.mean_reciprocal_rank, None),
    "mean_average_precision_at_k": (ranking.mean_average_precision_at_k, 10),
}
_DETECTIONS: dict[str, dict[str, Any]] = {
    "mean_average_precision": {},
    "mean_average_precision_50": {"iou_thresholds": (0.5,)},
    "mean_average_precision_75": {"iou_thresholds": (0.75,)},
}
_TEXTS: dict[str, tuple[Any, str]] = {
    "word_error_rate": (text.word_error_rate, "word"),
    "character_error_rate": (text.character_error_rate, "character"),
}


def _structured() -> list[Metric]:
    """Metrics of rankings, texts and detections."""
    made = [
        Metric(
            name,
            "relevance",
            True,
            function,
            partial(ranking.ranking_accumulator, name, k=k),
        )
        for name, (function, k) in _RANKINGS.items()
    ]
    made += [
        Metric(name, "texts", False, function, partial(text.text_accumulator, unit))
        for name, (function, unit) in _TEXTS.items()
    ]
    made += [
        Metric(
            name,
            "boxes",
            True,
            partial(detection.mean_average_precision, **options),
            partial(detection.DetectionAccumulator, **options),
        )
        for name, options in _DETECTIONS.items()
    ]
    return made


#: Name -> metric; scikit-learn's names of scorers, without "neg_".
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *_classification(),
        *_regression(),
        *_probability(),
        *_structured(),
    )
}

#: Other names of metrics.
ALIASES: dict[str, str] = {
    "mse": "mean_squared_error",
    "rmse": "root_mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "mcc": "matthews_corrcoef",
    "kappa": "cohen_kappa",
    "cross_entropy": "log_loss",
    "auc": "roc_auc",
    "ap": "average_precision",
    "brier": "brier_score",
    "ece": "expected_calibration_error",
    "mrr": "mean_reciprocal_rank",
    "map_at_k": "mean_average_precision_at_k",
    "wer": "word_error_rate",
    "cer": "character_error_rate",
    "map": "mean_average_precision",
    "map_50": "mean_average_precision_50",
    "map_75": "mean_average_precision_75",
    "iou": "jaccard",
    "mean_iou": "jaccard_macro",
}


def find_metric(name: str | Metric) -> Metric:
    """Find a metric by its name, an alias, or scikit-learn's name of its function.

    Parameters
    ----------
    name : str or Metric
        A metric is given back.

    Returns
    -------
    metric : Metric

    Raises
    ------
    InputError
        There is none; the message lists them.

    Examples
    --------
    >>> find_metric("rmse").name, find_metric("f1_score").name
    ('root_mean_squared_error', 'f1')
    """
    if isinstance(name, Metric):
        return name
    for candidate in (name, name.removesuffix("_score"), name.removesuffix("_loss")):
        found = METRICS.get(ALIASES.get(candidate, candidate))
        if found is not None:
            return found
    raise InputError(
        f"metric: expected one of {sorted(METRICS)} or {sorted(ALIASES)}, got {name!r}"
    )
