"""How good is a model? `evaluate_model`.

Enters: a model, labelled data, and what is asked. Leaves: an `EvaluationReport`. Names
and lengths are checked first, then the first batch; only then the work begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluate.answers import Who
from trimtab.evaluate.choose import find_metrics
from trimtab.evaluate.data import Data, open_data
from trimtab.evaluate.finish import make_report
from trimtab.evaluate.folds import layers_of, split_data
from trimtab.evaluate.gate import check_require
from trimtab.evaluate.report import EvaluationReport
from trimtab.evaluate.running import Running, Settings
from trimtab.evaluate.slices import Slices
from trimtab.metrics import METRICS
from trimtab.optimize.progress import Progress
from trimtab.stats.intervals import check_alpha
from trimtab.types import Array

__all__ = ["evaluate_model"]


def evaluate_model(
    model: Any,
    data: Any,
    *,
    metrics: Any = "auto",
    slices: Any = None,
    cv: Any = None,
    baseline: Any = None,
    fit: Callable[[Any, Any], Any] | None = None,
    require: Mapping[str, float] | None = None,
    alpha: float = 0.05,
    batch_size: int | None = None,
    progress: Callable[[int, int, str], Any] | bool | None = True,
    output: str | int | None = None,
    labels: Any = None,
    metadata: Any = None,
    groups: Any = None,
    classes: Sequence[Any] | None = None,
    task: str = "auto",
    output_kind: str = "auto",
    ignore_label: Any = None,
    min_slice_size: int = 30,
    n_resamples: int = 1000,
    seed: int = 0,
) -> EvaluationReport:
    """Say how good a model is, with what confidence, where, and against which.

    Parameters
    ----------
    model : Model, Pipeline, Deployment, path, estimator or callable
        A callable takes the inputs of a batch as the data has them. None with `fit`.
    data : tuple, mapping, path or iterable
        (x, y) or (x, y, metadata); arrays by name with the labels among them; an .npz
        file of these; or an iterable of such batches, of which one is held at a time.
    metrics : "auto", str, callable, Metric, or sequence of these, default="auto"
        Names of `trimtab.metrics.METRICS`, or functions of (y_true, y_pred), which get
        labels and outputs as they come. "auto": what is usual for the task, which is
        recognised from labels and outputs.
    slices : mapping of str to object, or sequence of str, optional
        Parts of the data by name: a mask, a value for each sample, a column of the
        metadata, or a function of (inputs, labels). Each is compared with all other
        samples; p-values control the false discovery rate.
    cv : int or splitter, optional
        Folds: how much figures vary, or with `fit` cross-validation.
    baseline : object, optional
        Another model (with `fit` another such function) that answers the same samples.
    fit : callable, optional
        (x, y) -> callable; a model is fitted for each fold of `cv`.
    require : mapping of str to float, optional
        Least value by metric, or largest where lower is better. The bound of the
        interval must satisfy it.
    alpha : float, default=0.05
        Intervals cover the truth with probability 1 - alpha.
    batch_size : int, optional
        Samples of a call; what the model takes, 32, or 1024 for callables by default.
    progress : bool or callable, default=True
        A bar on a terminal (with tqdm), or a function of (done, total, what).
    output : str or int, optional
        Which output counts; by default the first, or the scores of a classifier.
    labels : str or array-like, optional
        Name of the labels among named arrays, or the labels themselves.
    metadata : mapping of str to array-like, optional
        Columns with a value for each sample, for `slices` and `groups`.
    groups : str or array-like, optional
        Samples that belong together (of one patient, say): intervals count groups.
    classes : sequence, optional
        Values of the classes in the order of the scores.
    task : str, default="auto"
        One of `trimtab.evaluate.task.KINDS`.
    output_kind : {"auto", "probabilities", "logits", "labels", "values"}
        What outputs are.
    ignore_label : object, optional
        Labels that do not count (padding, -100).
    min_slice_size : int, default=30
        Samples of the smallest slice that is tested.
    n_resamples : int, default=1000
        Of the bootstrap, where there is no better interval or test.
    seed : int, default=0

    Returns
    -------
    report : EvaluationReport

    Raises
    ------
    InputError
        Data, model, metrics and what is required do not fit each other.
    ImportError
        A metric or `cv` needs scikit-learn: ``pip install 'trimtab[evaluate]'``.
    KeyboardInterrupt
        Ctrl-C; the bar is taken away.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0, 1, 200)
    >>> report = evaluate_model(lambda x: x, (x, x > 0.4), metrics=["accuracy"])
    >>> print(report.metrics["accuracy"])
    0.9 [0.8506, 0.9343]
    """
    check_alpha(alpha)
    _check_numbers(
        batch_size=batch_size, min_slice_size=min_slice_size, n_resamples=n_resamples
    )
    named = find_metrics(metrics)
    required = check_require(require, named or METRICS)
    who = Who.of(model, baseline, fit, cv, output)
    source = open_data(data, names=who.input_names, labels=labels, metadata=metadata)
    settings = Settings(
        metrics=metrics,
        require=required,
        slices=slices,
        groups=_checked_groups(groups, source),
        classes=classes,
        task=task,
        output_kind=output_kind,
        ignore_label=ignore_label,
        alpha=alpha,
        min_slice_size=min_slice_size,
        n_resamples=n_resamples,
        seed=seed,
    )
    Slices(slices, {}).check(source)
    folds = _folds(cv, source, settings)
    bar = Progress(None if progress is True else progress)
    try:
        running = _run(who, source, folds, settings, batch_size, bar)
        return make_report(running, who, folds, bar)
    finally:
        bar.close()


def _run(
    who: Who,
    source: Data,
    folds: Sequence[tuple[Array, Array]],
    settings: Settings,
    batch_size: int | None,
    bar: Progress,
) -> Running:
    """Ask for all answers, and count them."""
    n = source.n_samples
    layers: Sequence[Array] = ()
    if who.is_fitted:
        n = sum(len(test) for _, test in folds)
    elif n is not None:
        layers = layers_of(folds, n)
    running = Running(settings, source, layers, len(folds))
    bar.begin("evaluating", n or 0)
    for answer in who.answers(source, folds, batch_size):
        running.add(answer)
        bar.step(len(answer.batch))
    running.flush()
    return running


# ---- checks before the work ---------------------------------------------------------


def _check_numbers(**numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is None and name == "batch_size":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{name}: expected a number of 1 or more, got {value!r}")


def _checked_groups(groups: Any, source: Data) -> Any:
    """A column's name, or an array with a value for each sample."""
    if groups is None:
        return None
    if isinstance(groups, str):
        if source.n_samples is not None and groups not in source.columns:
            raise InputError(
                f"groups: there is no column {groups!r} in the metadata, which has "
                f"{sorted(source.columns)}"
            )
        return groups
    array = np.asarray(groups)
    if source.n_samples is None or array.shape != (source.n_samples,):
        raise InputError(
            f"groups: expected a value for each of {source.n_samples} samples, got "
            f"shape {list(array.shape)}; a stream brings a column along"
        )
    return array


def _folds(cv: Any, source: Data, settings: Settings) -> list[tuple[Array, Array]]:
    if cv is None:
        return []
    groups = settings.groups
    if isinstance(groups, str):
        groups = next(iter(source.parts))[2][groups] if source.n_samples else None
    is_classes = settings.task in ("binary", "multiclass") or (
        settings.task == "auto" and _are_classes(source.labels)
    )
    return split_data(
        cv, source, is_classes=is_classes, groups=groups, seed=settings.seed
    )


def _are_classes(labels: Array | None) -> bool:
    """Do labels look like classes, so that folds can hold as many of each?"""
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iubUS":
        return False
    return len(np.unique(labels)) <= max(2, len(labels) // 10)
