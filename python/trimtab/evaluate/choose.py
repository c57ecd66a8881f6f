"""Which metrics: by name, by function, or those that are usual for the task.

Enters: what the user asks for, and the task. Leaves: metrics by name, all of which can
be computed of these outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from trimtab.errors import InputError
from trimtab.evaluate.custom import metric_of
from trimtab.evaluate.task import Task
from trimtab.metrics import METRICS, Metric, find_metric

__all__ = ["AUTO", "choose_metrics", "find_metrics"]

#: Task -> the metrics that are usual for it, the first one first. Those of scores are
#: left out where the model gives classes only.
AUTO: dict[str, tuple[str, ...]] = {
    "binary": (
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "matthews_corrcoef",
        "roc_auc",
        "average_precision",
        "log_loss",
        "brier_score",
        "expected_calibration_error",
    ),
    "multiclass": (
        "accuracy",
        "balanced_accuracy",
        "precision_macro",
        "recall_macro",
        "f1_macro",
        "log_loss",
        "brier_score",
        "expected_calibration_error",
    ),
    "multilabel": ("average_precision", "roc_auc"),
    "regression": (
        "root_mean_squared_error",
        "mean_absolute_error",
        "median_absolute_error",
        "r2",
    ),
    "ranking": ("ndcg",),
    "text": ("word_error_rate", "character_error_rate"),
    "boxes": ("mean_average_precision",),
}

#: Task -> what metrics may need of it.
_FITTING: dict[str, tuple[str, ...]] = {
    "binary": ("labels", "scores", "raw"),
    "multiclass": ("labels", "scores", "raw"),
    "multilabel": ("labels", "scores", "relevance", "raw"),
    "regression": ("values", "raw"),
    "ranking": ("relevance", "scores", "raw"),
    "text": ("texts", "raw"),
    "boxes": ("boxes", "raw"),
}


def find_metrics(metrics: Any) -> dict[str, Metric]:
    """Look metrics up, before anything is run.

    Parameters
    ----------
    metrics : "auto", str, callable, Metric, sequence or mapping of these

    Returns
    -------
    metrics : dict of str to Metric
        Empty for "auto".

    Raises
    ------
    InputError
        There is none of a name.

    Examples
    --------
    >>> list(find_metrics(["accuracy", "log_loss"]))
    ['accuracy', 'log_loss']
    """
    if isinstance(metrics, str) and metrics == "auto":
        return {}
    if isinstance(metrics, str | Metric) or callable(metrics):
        metrics = [metrics]
    if isinstance(metrics, Mapping):
        return {str(name): _one(value) for name, value in metrics.items()}
    if not isinstance(metrics, Sequence) or not len(metrics):
        raise InputError(
            "metrics: expected 'auto', names, functions of (y_true, y_pred), or "
            f"Metrics, got {metrics!r}"
        )
    found = {}
    for value in metrics:
        metric = _one(value)
        if metric.name in found:
            raise InputError(f"metrics: {metric.name!r} stands there twice")
        found[metric.name] = metric
    return found


def _one(value: Any) -> Metric:
    if isinstance(value, Metric):
        return value
    if isinstance(value, str):
        try:
            return find_metric(value)
        except InputError as error:
            near = get_close_matches(value, METRICS, 3)
            told = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
            raise InputError(f"metrics: there is no {value!r}. {told}{error}") from None
    if callable(value):
        return metric_of(value)
    raise InputError(
        f"metrics: expected a name, a function or a Metric, got {type(value).__name__}"
    )


def choose_metrics(
    metrics: Any, require: Any, task: Task, *, has_scores: bool
) -> dict[str, Metric]:
    """Choose metrics for a task.

    Parameters
    ----------
    metrics : object
        As `find_metrics` takes them.
    require : mapping or None
        Its names are added under "auto".
    task : Task
    has_scores : bool
        Of all models that are looked at.

    Returns
    -------
    metrics : dict of str to Metric

    Raises
    ------
    InputError
        A metric needs what these outputs do not hold.

    Examples
    --------
    >>> task = Task("regression", "values", "")
    >>> next(iter(choose_metrics("auto", None, task, has_scores=False)))
    'root_mean_squared_error'
    """
    found = find_metrics(metrics)
    fitting = _FITTING[task.kind]
    if not found:
        names = [
            name
            for name in AUTO[task.kind]
            if has_scores or METRICS[name].needs != "scores"
        ]
        names += [name for name in require or () if name not in names]
        found = find_metrics(names)
    for name, metric in found.items():
        if metric.needs not in fitting:
            raise InputError(
                f"metric {name!r} needs {metric.needs}, but the task is {task.kind!r} "
                f"({task.why}); task= says what is meant"
            )
        if metric.needs == "scores" and not has_scores and task.kind != "ranking":
            raise InputError(
                f"metric {name!r} needs scores, but the model gives classes only "
                f"({task.why}): name another output with output="
            )
    return found
