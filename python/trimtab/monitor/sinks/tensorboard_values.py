"""Figures as values of TensorBoard's plugins, made by the package's own messages."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.png import encode_png

__all__ = [
    "binned",
    "confusion_at_thresholds",
    "histogram",
    "hparams",
    "image",
    "load",
    "pr_curve",
    "scalar",
    "text",
]

_CLASSES = 10_000  # most bins of a histogram


def load(name: str) -> Any:
    """Import a module of the package tensorboard.

    Parameters
    ----------
    name : str
        Below the package.

    Returns
    -------
    module : module

    Raises
    ------
    ImportError
        The package is missing; the message says how to get it.

    Examples
    --------
    >>> load("compat.proto.event_pb2").Event.__name__
    'Event'
    """
    try:
        return importlib.import_module(f"tensorboard.{name}")
    except ImportError as error:
        raise ImportError(
            "event files need the package tensorboard: pip install "
            f"'trimtab[tensorboard]' ({error})"
        ) from error


def _summary(tag: str, **fields: Any) -> Any:
    return load("compat.proto.summary_pb2").Summary.Value(tag=tag, **fields)


def _metadata(plugin: str, *more: Any) -> Any:
    return load(f"plugins.{plugin}.metadata").create_summary_metadata("", "", *more)


def _floats(array: npt.NDArray[Any]) -> Any:
    """A tensor of float32."""
    data = np.ascontiguousarray(array, "<f4")
    return _tensor("DT_FLOAT", data.shape, tensor_content=data.tobytes())


def _strings(values: list[bytes]) -> Any:
    return _tensor("DT_STRING", (len(values),), string_val=values)


def _tensor(dtype: str, shape: tuple[int, ...], **content: Any) -> Any:
    shapes = load("compat.proto.tensor_shape_pb2").TensorShapeProto
    return load("compat.proto.tensor_pb2").TensorProto(
        dtype=getattr(load("compat.proto.types_pb2"), dtype),
        tensor_shape=shapes(dim=[shapes.Dim(size=size) for size in shape]),
        **content,
    )


def scalar(tag: str, value: float) -> Any:
    """Make a scalar.

    Parameters
    ----------
    tag : str
    value : float

    Returns
    -------
    value : Summary.Value

    Examples
    --------
    >>> scalar("loss", 0.5).simple_value
    0.5
    """
    return _summary(tag, simple_value=float(value))


def binned(values: Any, n_bins: int = 30) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Count values in bins of equal width.

    Parameters
    ----------
    values : array_like
        Those that are not finite are left out.
    n_bins : int

    Returns
    -------
    counts, edges : ndarray
        One edge more than counts.

    Examples
    --------
    >>> binned([0.0, 1.0, 1.0], n_bins=2)[0].tolist()
    [1, 2]
    """
    array = np.asarray(values, np.float64).ravel()
    return np.histogram(array[np.isfinite(array)], bins=min(n_bins, _CLASSES))


def histogram(
    tag: str,
    counts: Any,
    edges: Any,
    *,
    minimum: float = np.nan,
    maximum: float = np.nan,
) -> Any:
    """Make a histogram of counts.

    Parameters
    ----------
    tag : str
    counts : array_like
    edges : array_like
        Ascending. One more than counts, or one less: then the outer bins go to
        `minimum` and `maximum`, or are as wide as their neighbours.
    minimum, maximum : float

    Returns
    -------
    value : Summary.Value

    Raises
    ------
    InputError
        Counts and edges do not belong together.

    Examples
    --------
    >>> histogram("x", [1, 2], [0.0, 0.5, 1.0]).tag
    'x'
    """
    held = np.asarray(counts, np.float64)
    inner = np.asarray(edges, np.float64)
    if held.ndim != 1 or inner.ndim != 1 or not 0 < len(held) <= _CLASSES:
        raise InputError(
            f"histogram {tag!r}: expected counts and edges in one dimension"
        )
    if len(inner) == len(held) - 1 and len(inner) > 0:
        inner = np.array(
            [_below(inner, minimum), *inner, -_below(-inner[::-1], -maximum)]
        )
    if len(inner) != len(held) + 1 or not (np.diff(inner) >= 0).all():
        raise InputError(
            f"histogram {tag!r}: expected {len(held) + 1} or {len(held) - 1} ascending "
            f"edges for {len(held)} counts, got {len(inner)}"
        )
    rows = np.stack([inner[:-1], inner[1:], held], axis=1)
    return _summary(tag, tensor=_floats(rows), metadata=_metadata("histogram"))


def _below(edges: npt.NDArray[np.float64], end: float) -> float:
    """Where the bin below the first edge begins."""
    if end < edges[0] and np.isfinite(end):
        return float(end)
    width = edges[1] - edges[0] if len(edges) > 1 else 1.0
    return float(edges[0] - width)


def confusion_at_thresholds(
    y_true: Any, y_score: Any, *, n_thresholds: int = 201
) -> npt.NDArray[np.float64]:
    """Count what scores of at least each threshold from 0 to 1 get right and wrong.

    Parameters
    ----------
    y_true : array_like of bool
    y_score : array_like
        From 0 to 1.
    n_thresholds : int

    Returns
    -------
    counts : ndarray (4, n_thresholds)
        True positives, false positives, true negatives, false negatives.

    Raises
    ------
    InputError
        Lengths differ, or a score lies outside of 0 to 1.

    Examples
    --------
    >>> confusion_at_thresholds([0, 1], [0.2, 0.9], n_thresholds=3).tolist()
    [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]
    """
    true = np.asarray(y_true).ravel().astype(bool)
    score = np.asarray(y_score, np.float64).ravel()
    if len(true) != len(score) or not ((score >= 0) & (score <= 1)).all():
        raise InputError(
            f"pr_curve: expected as many scores from 0 to 1 as labels, got {len(true)} "
            f"labels and {len(score)} scores"
        )
    thresholds = np.linspace(0.0, 1.0, n_thresholds)
    fn, tn = (
        np.searchsorted(np.sort(score[chosen]), thresholds).astype(np.float64)
        for chosen in (true, ~true)
    )
    return np.stack([true.sum() - fn, (~true).sum() - tn, tn, fn])


def pr_curve(tag: str, confusion: Any) -> Any:
    """Make a precision-recall curve.

    Parameters
    ----------
    tag : str
    confusion : array_like (4, n_thresholds)
        As `confusion_at_thresholds` gives it.

    Returns
    -------
    value : Summary.Value

    Raises
    ------
    InputError
        It is no such array.

    Examples
    --------
    >>> pr_curve("cat", [[1, 1], [1, 0], [0, 1], [0, 0]]).tag
    'cat'
    """
    held = np.asarray(confusion, np.float64)
    if held.ndim != 2 or held.shape[0] != 4 or not 2 <= held.shape[1] <= _CLASSES:
        raise InputError(
            f"pr_curve {tag!r}: expected (4, thresholds), got {held.shape}"
        )
    tp, fp, _, fn = held
    with_ratios = np.stack(
        [*held, tp / np.maximum(tp + fp, 1), tp / np.maximum(tp + fn, 1)]
    )
    metadata = _metadata("pr_curve", held.shape[1])
    return _summary(tag, tensor=_floats(with_ratios), metadata=metadata)


def image(tag: str, pixels: npt.NDArray[np.uint8]) -> Any:
    """Make a picture.

    Parameters
    ----------
    tag : str
    pixels : ndarray of uint8
        (height, width[, channels]).

    Returns
    -------
    value : Summary.Value

    Examples
    --------
    >>> image("a", np.zeros((2, 3), np.uint8)).tensor.string_val[0]
    b'3'
    """
    height, width = pixels.shape[:2]
    parts = [str(width).encode(), str(height).encode(), encode_png(pixels)]
    return _summary(tag, tensor=_strings(parts), metadata=_metadata("image"))


def text(tag: str, markdown: str) -> Any:
    """Make a text.

    Parameters
    ----------
    tag, markdown : str

    Returns
    -------
    value : Summary.Value

    Examples
    --------
    >>> text("note", "*new*").tensor.string_val[0]
    b'*new*'
    """
    tensor = _strings([markdown.encode("utf-8", "replace")])
    return _summary(tag, tensor=tensor, metadata=_metadata("text"))


def hparams(values: Mapping[str, Any], *, time: float) -> list[Any]:
    """Make what describes a run to the plugin of hyperparameters.

    Parameters
    ----------
    values : mapping
        Numbers, texts and bools count; None and others are their text.
    time : float
        When the run began.

    Returns
    -------
    values : list of Summary.Value

    Examples
    --------
    >>> hparams({"precision": "int8"}, time=0.0)[0].tag
    '_hparams_/session_start_info'
    """
    plain = {
        str(k): v if isinstance(v, (bool, int, float, str)) else str(v)
        for k, v in values.items()
    }
    summary = load("plugins.hparams.summary_v2")
    return list(summary.hparams_pb(plain, start_time_secs=time).value)
