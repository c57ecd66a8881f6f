"""Metrics: how good is each answer, and how much worse is it than that of float32?

Enters: the truth (labels, or the outputs of the model in float32) and outputs. Leaves:
a score for each sample, the larger the better; or one number for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.types import Array

__all__ = [
    "METRICS",
    "Metric",
    "check_labels",
    "default_metric",
    "find_metric",
    "scores_of",
]

# Rows of unit length up to this error are embeddings.
_UNIT = 1e-3


@dataclass(frozen=True)
class Metric:
    """One way to score answers.

    Parameters
    ----------
    name : str
    score : callable
        (truth, outputs) -> scores of shape (n,), or one number; larger is better.
    truth : {"labels", "f32"}
        What outputs are compared with.
    is_binary : bool
        Scores are 0 or 1: drops are proven by discordant pairs.
    summary : str
        What a drop of it means.
    forecast : callable, optional
        (outputs of float32, outputs) -> share of samples like these to be expected
        worse. Where answers seldom change it says more than counting those that did.
    is_noise : bool, default=False
        A drop of it is the noise of the outputs, which adds up over layers.
    """

    name: str
    score: Callable[[Any, Any], Any]
    truth: str = "labels"
    is_binary: bool = False
    summary: str = ""
    forecast: Callable[[Array, Array], float] | None = None
    is_noise: bool = False

    @property
    def can_improve(self) -> bool:
        """Nothing agrees better with float32 than float32."""
        return self.truth == "labels"


# ---- scores -------------------------------------------------------------------------


def _classes(outputs: Array) -> Array:
    """Class by sample: the largest score; of a single score, is it above its middle?"""
    flat = np.asarray(outputs)
    if flat.ndim == 1:
        flat = flat[:, None]
    if flat.dtype.kind in "iub" and flat.shape[-1] == 1:
        only: Array = np.asarray(flat[..., 0])
        return only
    if flat.shape[-1] > 1:
        return np.asarray(flat.argmax(axis=-1))
    return np.asarray(flat[..., 0] > 0.5, np.int64)


def _same(a: Array, b: Array) -> Array:
    """1 where all of a sample is equal."""
    equal: Array = np.asarray(a == b)
    return np.asarray(equal.reshape(len(equal), -1).all(axis=1), np.float64)


def _accuracy(labels: Array, outputs: Array) -> Array:
    return _same(
        labels.reshape(len(labels), *_classes(outputs).shape[1:]), _classes(outputs)
    )


def _agreement(reference: Array, outputs: Array) -> Array:
    return _same(_classes(reference), _classes(outputs))


def _changes(reference: Array, outputs: Array) -> float:
    """Expected share of samples whose largest score becomes another one.

    The errors of two scores of a sample are taken as normal and independent, of the
    power that all errors of the sample have (a single score: those of all samples); so
    its answer changes with probability Phi(-margin / error), where the margin is that
    of the two largest scores.
    """
    if reference.dtype.kind != "f" or outputs.dtype.kind != "f":
        return 0.0
    scores = reference.astype(np.float64).reshape(len(reference), -1)
    errors = outputs.astype(np.float64).reshape(scores.shape) - scores
    size = np.sqrt((errors**2).mean(axis=1))
    if reference.ndim == 1 or reference.shape[-1] == 1:
        margins = np.abs(scores - 0.5).min(axis=1)
        size = np.full_like(size, math.sqrt((size**2).mean()))
    else:
        rows = scores.reshape(len(scores), -1, reference.shape[-1])
        top = np.partition(rows, -2, axis=-1)[..., -2:]
        margins, size = (top[..., 1] - top[..., 0]).min(axis=1), size * math.sqrt(2)
    far = np.divide(margins, size, out=np.full_like(size, np.inf), where=size > 0)
    return float(np.mean([0.5 * math.erfc(x / math.sqrt(2)) for x in far]))


def _rows(values: Array) -> list[Array]:
    return [np.asarray(row, np.float64).reshape(-1) for row in values]


def _cosine(reference: Array, outputs: Array) -> Array:
    found = []
    for a, b in zip(_rows(reference), _rows(outputs), strict=True):
        length = float(np.linalg.norm(a) * np.linalg.norm(b))
        found.append(float(a @ b) / length if length else float((a == b).all()))
    return np.asarray(np.minimum(found, 1.0))


def _sqnr(reference: Array, outputs: Array) -> Array:
    found = []
    for a, b in zip(_rows(reference), _rows(outputs), strict=True):
        noise, power = float(((a - b) ** 2).sum()), float((a * a).sum())
        found.append(-noise / power if power else -float(noise > 0))
    return np.asarray(found)


def _mse(labels: Array, outputs: Array) -> Array:
    pairs = zip(_rows(labels), _rows(outputs), strict=True)
    return -np.asarray([float(((a - b) ** 2).mean()) for a, b in pairs])


def _log_probabilities(outputs: Array) -> Array:
    """Of classes along the last axis, from probabilities or from logits."""
    scores = np.asarray(outputs, np.float64)
    if (scores >= 0).all() and np.allclose(scores.sum(axis=-1), 1, atol=1e-3):
        return np.asarray(np.log(np.maximum(scores, 1e-12)))
    log = scores - scores.max(axis=-1, keepdims=True)
    return np.asarray(log - np.log(np.exp(log).sum(axis=-1, keepdims=True)))


def _cross_entropy(labels: Array, outputs: Array) -> Array:
    log = _log_probabilities(outputs)
    chosen = np.asarray(labels, np.int64).reshape(*log.shape[:-1], 1)
    found = np.take_along_axis(log, chosen, axis=-1).reshape(len(log), -1)
    return np.asarray(found.mean(axis=1))


def _top_1_probability(reference: Array, outputs: Array) -> Array:
    before, after = (np.exp(_log_probabilities(x)) for x in (reference, outputs))
    chosen = before.argmax(axis=-1)[..., None]
    change = np.take_along_axis(np.abs(before - after), chosen, axis=-1)
    return np.asarray(1 - change.reshape(len(change), -1).mean(axis=1))


#: Name -> metric.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", _accuracy, "labels", True, "share of right answers lost"),
        Metric(
            "top_1_agreement",
            _agreement,
            "f32",
            True,
            "share of answers that float32 does not give",
            _changes,
        ),
        Metric(
            "top_1_probability",
            _top_1_probability,
            "f32",
            summary="how far the probability of float32's answer moves, in the mean",
        ),
        Metric("cosine", _cosine, "f32", False, "1 - cosine with float32's output"),
        Metric(
            "sqnr",
            _sqnr,
            "f32",
            False,
            "power of the error in float32's output: 0.01 is 20 dB",
            is_noise=True,
        ),
        Metric("mse", _mse, "labels", False, "mean squared error added"),
        Metric("cross_entropy", _cross_entropy, "labels", False, "nats added"),
    )
}


# ---- choosing -----------------------------------------------------------------------


def find_metric(metric: Any) -> Metric:
    """Look a metric up.

    Parameters
    ----------
    metric : str or callable
        A name, or a function of labels and outputs.

    Returns
    -------
    metric : Metric

    Raises
    ------
    InputError
        There is none of this name.

    Examples
    --------
    >>> find_metric("accuracy").is_binary
    True
    """
    if isinstance(metric, Metric):
        return metric
    if callable(metric):
        name = getattr(metric, "__name__", type(metric).__name__)
        return Metric(name, metric, summary="of the user")
    if metric not in METRICS:
        raise InputError(
            f"metric: expected one of {list(METRICS)} or a function of (y_true, "
            f"y_pred), got {metric!r}"
        )
    return METRICS[metric]


def default_metric(
    labels: Array | None, outputs: Array, *, is_classifier: bool
) -> tuple[Metric, str]:
    """Choose a metric by what there is.

    Parameters
    ----------
    labels : ndarray or None
    outputs : ndarray
        Of the model in float32.
    is_classifier : bool
        The model says that it is one: it ends in a softmax, or has class names.

    Returns
    -------
    metric : Metric
    why : str

    Raises
    ------
    InputError
        There are labels that no metric is the usual one for.

    Examples
    --------
    >>> default_metric(None, np.ones((4, 3)), is_classifier=True)[0].name
    'top_1_agreement'
    """
    if labels is not None:
        is_counted = labels.dtype.kind in "iub"
        shape = outputs.shape
        if is_counted and labels.shape in (shape[:-1], (*shape[:-1], 1), shape[:1]):
            return METRICS["accuracy"], "labels are classes"
        if labels.dtype.kind == "f" and labels.size == outputs.size:
            return METRICS["mse"], "labels are numbers, as many as outputs"
        raise InputError(
            f"metric: no usual one for labels {labels.dtype}{list(labels.shape)} and "
            f"outputs {list(shape)}: name it, or give a function of (y_true, y_pred)"
        )
    if is_classifier:
        return METRICS["top_1_agreement"], "no labels; the model is a classifier"
    if outputs.dtype == object or outputs.dtype.kind not in "f":
        return METRICS["sqnr"], "no labels"
    lengths = np.linalg.norm(outputs.reshape(len(outputs), -1), axis=1)
    if outputs.ndim == 2 and np.abs(lengths - 1).max() < _UNIT:
        return METRICS["cosine"], "no labels; outputs have length 1"
    return METRICS["sqnr"], "no labels"


def check_labels(metric: Metric, labels: Array | None, outputs: Array) -> None:
    """Refuse labels that do not fit the metric, before any work is done.

    Parameters
    ----------
    metric : Metric
    labels : ndarray or None
    outputs : ndarray

    Raises
    ------
    InputError
        There are none, or they are out of range, or of another shape.

    Examples
    --------
    >>> check_labels(METRICS["accuracy"], np.array([0, 2]), np.ones((2, 3)))
    """
    if metric.name == "top_1_probability" and (
        outputs.dtype.kind != "f" or outputs.ndim < 2 or outputs.shape[-1] < 2
    ):
        raise InputError(
            f"metric {metric.name!r}: expected outputs of two classes or more along "
            f"the last axis, got {outputs.dtype}{list(outputs.shape)}"
        )
    if metric.truth == "f32":
        return
    if labels is None:
        raise InputError(
            f"metric {metric.name!r} needs labels: validation=(x, y); without labels "
            f"there are {[m.name for m in METRICS.values() if m.truth == 'f32']}"
        )
    if metric.name == "mse" and labels.shape[0] and labels.size != outputs.size:
        raise InputError(
            f"metric 'mse': labels {list(labels.shape)}, outputs {list(outputs.shape)}"
        )
    if metric.name not in ("accuracy", "cross_entropy"):
        return
    if labels.dtype.kind not in "iub":
        raise InputError(
            f"metric {metric.name!r}: labels are numbers of classes, got {labels.dtype}"
        )
    n_classes = outputs.shape[-1] if outputs.ndim > 1 else 2
    n_classes = max(n_classes, 2)
    if outputs.dtype.kind != "f" and (outputs.ndim == 1 or outputs.shape[-1] == 1):
        return  # the model gives numbers of classes, however many there are
    if labels.min() < 0 or labels.max() >= n_classes:
        raise InputError(
            f"labels: from {labels.min()} to {labels.max()}, but the model has "
            f"{n_classes} classes: 0 to {n_classes - 1}"
        )


def scores_of(metric: Metric, truth: Any, outputs: Array, *, whose: str) -> Array:
    """Score outputs.

    Parameters
    ----------
    metric : Metric
    truth : ndarray
    outputs : ndarray
    whose : str
        What messages call the outputs.

    Returns
    -------
    scores : ndarray of float64
        Of shape (n,), or () where the metric gives one number for all.

    Raises
    ------
    InputError
        The metric raised something, or gave neither of these.

    Examples
    --------
    >>> scores_of(METRICS["accuracy"], np.array([0, 1]), np.eye(2), whose="f32")
    array([1., 1.])
    """
    try:
        found = metric.score(truth, outputs)
        scores = np.asarray(found, np.float64)
    except Exception as error:
        raise InputError(
            f"metric {metric.name!r} raised {type(error).__name__} on the outputs of "
            f"{whose}: {error}"
        ) from error
    if scores.shape not in ((), (len(outputs),)):
        raise InputError(
            f"metric {metric.name!r} gave {scores.shape} for {len(outputs)} samples: "
            "expected a score for each, or one number"
        )
    return scores
