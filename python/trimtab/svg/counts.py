"""Figures of counts and of scores: two histograms, bars with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trimtab.html import Html, number_text, short_text
from trimtab.svg.plane import (
    Plane,
    bounds,
    floats,
    legend,
    path,
    pixel,
    svg,
    text_at,
)

__all__ = ["bars", "histogram_pair"]

# What is drawn at most.
_MAX_BINS = 40
_MAX_BARS = 60


def histogram_pair(
    reference: npt.ArrayLike,
    window: npt.ArrayLike,
    *,
    ticks: Sequence[tuple[float, str]] = (),
    names: tuple[str, str] = ("reference", "window"),
    title: str = "",
    width: int = 300,
    height: int = 140,
) -> Html:
    """Draw two histograms over the same bins, as shares, one before the other.

    Parameters
    ----------
    reference, window : array-like of float
        Counts, or shares, per bin; neighbours are merged above 40 bins.
    ticks : sequence of (float, str)
        Where, in bins (2.0: between the second and the third), and what to write there.
    names : tuple of str
        Of the two.
    title : str
        Read by screen readers, shown by the mouse.
    width, height : int
        Pixels.

    Returns
    -------
    svg : Html

    Examples
    --------
    >>> svg = histogram_pair([1, 2, 1], [4, 0, 0], ticks=[(1, "0.5")])
    >>> svg.count("<path") > 1
    True
    """
    both = [floats(reference), floats(window)]
    n = max(len(both[0]), len(both[1]), 1)
    by = -(-n // _MAX_BINS)
    cells = -(-n // by)
    shares = []
    for counts in both:
        whole = np.zeros(cells * by)
        whole[: len(counts)] = np.where(np.isfinite(counts), counts, 0.0)
        total = whole.sum()
        shares.append(whole.reshape(cells, by).sum(1) / (total if total > 0 else 1.0))
    top = max(float(np.max(shares)), 1e-9)
    plane = Plane(width, height, (0, cells * by), (0, 1.05 * top), top=22)
    parts = [plane.y_axis()]
    for colour, heights in zip("ab", shares, strict=True):
        steps = [f"M{pixel(plane.x(0))} {pixel(plane.y(0))}"]
        for i, share in enumerate(heights.tolist(), 1):
            steps.append(f"V{pixel(plane.y(share))}H{pixel(plane.x(i * by))}")
        closed = "".join([*steps, f"V{pixel(plane.y(0))}Z"])
        parts.append(f'<path class="o{colour}" d="{closed}"/>')
    texts = [(at, short_text(text, 12)) for at, text in ticks[:12]]
    parts.append(plane.x_axis(texts))
    parts.append(legend(plane.left, 13, names))
    return svg(width, height, title or " and ".join(names), *parts)


def bars(
    labels: Sequence[str],
    values: npt.ArrayLike,
    *,
    low: npt.ArrayLike | None = None,
    high: npt.ArrayLike | None = None,
    threshold: float | None = None,
    title: str = "",
    width: int = 460,
) -> Html:
    """Draw bars to the right, or to the left below zero; a name before each.

    Parameters
    ----------
    labels : sequence of str
    values : array-like of float
        60 at most are drawn, and a line says how many are not.
    low, high : array-like of float, optional
        Ends of an interval for each.
    threshold : float, optional
        A dashed line.
    title : str
    width : int
        Pixels; the height follows from the number of bars.

    Returns
    -------
    svg : Html

    Examples
    --------
    >>> svg = bars(["age", "income"], [0.3, -0.1], low=[0.2, -0.2], high=[0.4, 0.0])
    >>> svg.count("<rect")
    2
    """
    x = floats(values)
    n = min(len(labels), len(x), _MAX_BARS)
    ends = [floats(a)[:n] if a is not None else np.empty(0) for a in (low, high)]
    level = [] if threshold is None else [threshold]
    names = [short_text(text, 24) for text in labels[:n]]
    left = 16 + 6.2 * max([len(name) for name in names], default=0)
    height = 18 * n + 30 + (14 if len(labels) > n else 0)
    reach = bounds(x[:n], *ends, level, [0.0])
    plane = Plane(width, height, reach, (0, 1), left=left, right=52, bottom=0)
    zero, parts = plane.x(0.0), []
    for i, name in enumerate(names):
        middle = 8 + 18 * i + 9
        parts.append(text_at(left - 8, middle + 4, name, "r"))
        if not math.isfinite(x[i]):
            parts.append(text_at(zero + 4, middle + 4, "-", "q"))
            continue
        end = plane.x(float(x[i]))
        parts.append(
            f'<rect class="f{"a" if x[i] >= 0 else "b"}" x="{pixel(min(zero, end))}" '
            f'y="{pixel(middle - 6)}" width="{pixel(abs(end - zero))}" height="12"/>'
        )
        beyond = end
        if all(len(end_) > i and math.isfinite(end_[i]) for end_ in ends):
            whisker = [(plane.x(float(end_[i])), middle) for end_ in ends]
            parts.append(path(whisker, "k"))
            beyond = max(end, whisker[1][0])
        at = max(beyond, zero) + 5
        parts.append(text_at(at, middle + 4, number_text(float(x[i])), "q"))
    bottom = 8 + 18 * n
    parts.append(path([(zero, 4), (zero, bottom + 4)], "k"))
    if threshold is not None:
        at = plane.x(threshold)
        parts.append(path([(at, 4), (at, bottom + 4)], "l"))
        parts.append(text_at(at, bottom + 16, number_text(threshold), "q m"))
    if len(labels) > n:
        parts.append(text_at(8, height - 4, f"and {len(labels) - n} more", "q"))
    return svg(width, height, title or "bars", *parts)
