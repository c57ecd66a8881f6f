"""Figures of classifiers: the confusion matrix, the reliability diagram."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trimtab.html import Html, number_text, short_text
from trimtab.svg.plane import (
    Floats,
    Plane,
    floats,
    path,
    pixel,
    svg,
    text_at,
)

__all__ = ["confusion_matrix", "reliability_diagram"]

# What is drawn at most.
_MAX_BINS = 40
_MAX_CLASSES = 24


def confusion_matrix(
    matrix: npt.ArrayLike,
    labels: Sequence[str],
    *,
    title: str = "",
    size: int = 360,
) -> Html:
    """Draw how often which class was taken for which; colours are shares of a row.

    Parameters
    ----------
    matrix : array-like of float, shape (n, n)
        Rows are the truth. Above 24 classes those with the most errors are drawn, and
        all others as one.
    labels : sequence of str
    title : str
    size : int
        Pixels of the square.

    Returns
    -------
    svg : Html

    Examples
    --------
    >>> confusion_matrix([[3, 1], [0, 4]], ["cat", "dog"]).count("<rect")
    4
    """
    counts, names = _worst(_square(matrix), list(labels))
    n = max(len(names), 1)
    texts = [short_text(name, 12) for name in names]
    left = 22 + 6.4 * max([len(text) for text in texts], default=0)
    cell = size / n
    top, parts = 20.0, []
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1e-300)
    for i, text in enumerate(texts):
        middle = top + (i + 0.5) * cell + 4
        parts.append(text_at(left - 6, middle, text, "r"))
        under = top + size + 14 + (i % 2 and n > 6) * 12
        parts.append(text_at(left + (i + 0.5) * cell, under, text, "m"))
        for j in range(n):
            x, y, share = left + j * cell, top + i * cell, float(shares[i, j])
            parts.append(
                f'<rect class="f{"a" if i == j else "b"}" fill-opacity="'
                f'{0.04 + 0.6 * share:.2f}" x="{pixel(x + 0.5)}" y="{pixel(y + 0.5)}" '
                f'width="{pixel(cell - 1)}" height="{pixel(cell - 1)}"/>'
            )
            if cell >= 24 and counts[i, j]:
                said = number_text(float(counts[i, j]))
                parts.append(text_at(x + cell / 2, middle, said, "m"))
    parts.append(text_at(left, 13, "truth: rows, predicted: columns", "q"))
    name = title or "confusion matrix"
    return svg(left + size + 8, top + size + 32, name, *parts)


def _square(matrix: npt.ArrayLike) -> Floats:
    given = np.asarray(matrix, np.float64)
    return np.maximum(np.nan_to_num(floats(given)), 0.0).reshape(given.shape)


def _worst(counts: Floats, names: list[str]) -> tuple[Floats, list[str]]:
    """The classes with the most errors, the rest merged, in their order."""
    n = min(len(names), *counts.shape) if counts.ndim == 2 else 0
    counts = counts[:n, :n] if n else np.zeros((1, 1))
    names = names[:n] or ["-"]
    if n <= _MAX_CLASSES:
        return counts, names
    wrong = counts.sum(0) + counts.sum(1) - 2 * np.diag(counts)
    keep = np.sort(np.argsort(-wrong, kind="stable")[: _MAX_CLASSES - 1])
    place = np.full(n, _MAX_CLASSES - 1)
    place[keep] = np.arange(len(keep))
    merged = np.zeros((_MAX_CLASSES, _MAX_CLASSES))
    np.add.at(merged, (place[:, None], place[None, :]), counts)
    return merged, [*[names[i] for i in keep], f"{n - len(keep)} others"]


def reliability_diagram(
    confidence: npt.ArrayLike,
    accuracy: npt.ArrayLike,
    counts: npt.ArrayLike,
    *,
    low: npt.ArrayLike | None = None,
    high: npt.ArrayLike | None = None,
    title: str = "",
    size: int = 260,
) -> Html:
    """Draw how often the model was right against how sure it was.

    Parameters
    ----------
    confidence, accuracy : array-like of float
        Mean of each bin, in [0, 1].
    counts : array-like of int
        Samples per bin: the bars below.
    low, high : array-like of float, optional
        Ends of an interval of each accuracy.
    title : str
    size : int
        Pixels of the square.

    Returns
    -------
    svg : Html

    Examples
    --------
    >>> svg = reliability_diagram([0.2, 0.9], [0.3, 0.7], [50, 150])
    >>> svg.count("<circle"), svg.count("<rect")
    (2, 2)
    """
    x, y, n = (floats(a)[:_MAX_BINS] for a in (confidence, accuracy, counts))
    plane = Plane(size + 60, size, (0, 1), (0, 1))
    corners = np.array([0.0, 1.0])
    parts = [plane.y_axis(), path(plane.points(corners, corners), "l")]
    ends = None
    if low is not None and high is not None:
        ends = floats(low), floats(high)
    top = max(float(np.nanmax(n, initial=0.0)), 1.0)
    base, half = plane.y(0.0), 0.3 * (plane.x(1.0) - plane.x(0.0)) / max(len(x), 1)
    points = plane.points(x, y)
    for i, (px, py) in enumerate(points):
        if not (math.isfinite(px) and math.isfinite(py) and n[i] > 0):
            continue
        tall = 0.25 * (base - plane.y(1.0)) * float(n[i]) / top
        parts.append(
            f'<rect class="hb" x="{pixel(px - half)}" y="{pixel(base - tall)}" '
            f'width="{pixel(2 * half)}" height="{pixel(tall)}"/>'
        )
        if ends is not None:
            span = [(px, plane.y(float(end[i]))) for end in ends]
            parts.append(path(span, "k"))
        parts.append(f'<circle class="fa" cx="{pixel(px)}" cy="{pixel(py)}" r="3"/>')
    parts.append(path([p for p, k in zip(points, n, strict=True) if k > 0], "sa"))
    marks = [(tick, number_text(tick)) for tick in (0, 0.25, 0.5, 0.75, 1)]
    parts.append(plane.x_axis(marks, "confidence"))
    name = title or "accuracy against confidence"
    return svg(size + 60, size, name, *parts)
