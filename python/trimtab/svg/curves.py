"""Figures of curves: lines with bands, and as high as a line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.html import Html, number_text, short_text
from trimtab.svg.plane import (
    Floats,
    Plane,
    bounds,
    floats,
    legend,
    path,
    pixel,
    svg,
    text_at,
    ticks_of,
)

__all__ = ["Series", "line", "sparkline"]

# What is drawn at most.
_MAX_POINTS = 300
_MAX_SPARKS = 55
_MAX_SERIES = 5


@dataclass(frozen=True)
class Series:
    """A curve, with a band where it is uncertain.

    Parameters
    ----------
    name : str
    x, y : array-like of float
    low, high : array-like of float, optional
        The band.
    """

    name: str
    x: npt.ArrayLike
    y: npt.ArrayLike
    low: npt.ArrayLike | None = None
    high: npt.ArrayLike | None = None


def line(
    series: Series | Sequence[Series],
    *,
    threshold: float | None = None,
    x_label: str = "",
    y_range: tuple[float, float] | None = None,
    diagonal: bool = False,
    title: str = "",
    width: int = 420,
    height: int = 190,
) -> Html:
    """Draw curves with their bands.

    Parameters
    ----------
    series : Series or sequence of Series
        Five at most are drawn; points are thinned out above 300 a curve.
    threshold : float, optional
        A dashed line across.
    x_label : str
    y_range : tuple of float, optional
        Of the axis; of the values by default.
    diagonal : bool
        With the line of guessing, for ROC.
    title : str
    width, height : int
        Pixels.

    Returns
    -------
    svg : Html

    Examples
    --------
    >>> svg = line(Series("accuracy", [0, 1, 2], [0.9, 0.8, 0.9]), threshold=0.85)
    >>> 'class="sa"' in svg and 'class="l"' in svg
    True
    """
    given = [series] if isinstance(series, Series) else list(series)
    curves = [_thinned(one) for one in given[:_MAX_SERIES]]
    xs = [curve[0] for curve in curves]
    ys = [values for curve in curves for values in curve[1:] if len(values)]
    level = [] if threshold is None else [threshold]
    low, high = bounds(*ys, level)
    margin = 0.05 * (high - low)
    plane = Plane(
        width,
        height,
        bounds(*xs) if xs else (0.0, 1.0),
        y_range or (low - margin, high + margin),
        top=24 if given else 8,
    )
    parts = [plane.y_axis()]
    for colour, (x, y, under, over) in zip("abcde", curves, strict=False):
        if len(under):
            sound = np.isfinite(x) & np.isfinite(under) & np.isfinite(over)
            ring = plane.points(x[sound], over[sound])
            ring += plane.points(x[sound], under[sound])[::-1]
            parts.append(path(ring, f"h{colour}", "Z"))
        parts.append(path(plane.points(x, y), f"s{colour}"))
    if diagonal:
        corners = np.array([0.0, 1.0])
        parts.append(path(plane.points(corners, corners), "g"))
    if threshold is not None:
        parts.append(plane.level(threshold, "l"))
    marks = [(tick, number_text(tick)) for tick in ticks_of(*plane.x_range, 5)]
    parts.append(plane.x_axis(marks, x_label))
    names = [one.name for one in given[:_MAX_SERIES]]
    if len(given) > _MAX_SERIES:
        n_left = len(given) - _MAX_SERIES
        parts.append(text_at(width - 8, height - 6, f"and {n_left} more", "q r"))
    room = int((width - plane.left) / max(len(names), 1) / 6.2 - 4)
    parts.append(legend(plane.left, 13, [short_text(name, room) for name in names]))
    return svg(width, height, title or ", ".join(names), *parts)


def _thinned(
    one: Series, limit: int = _MAX_POINTS
) -> tuple[Floats, Floats, Floats, Floats]:
    """x, y, low, high; of many points, evenly chosen ones."""
    x, y = floats(one.x), floats(one.y)
    has_band = one.low is not None and one.high is not None
    low = floats(one.low) if has_band and one.low is not None else np.empty(0)
    high = floats(one.high) if has_band and one.high is not None else np.empty(0)
    n = min([len(x), len(y), *([len(low), len(high)] if has_band else [])])
    keep = np.unique(np.linspace(0, max(n - 1, 0), min(n, limit)).astype(int))
    x, y = x[keep], y[keep]
    return (x, y, low[keep], high[keep]) if has_band else (x, y, low, high)


def sparkline(
    values: npt.ArrayLike,
    *,
    threshold: float | None = None,
    title: str = "",
    width: int = 110,
    height: int = 22,
) -> Html:
    """Draw a curve of the height of a line of text, for tables.

    Parameters
    ----------
    values : array-like of float
        Thinned out above 55.
    threshold : float, optional
        A dashed line.
    title : str
    width, height : int
        Pixels.

    Returns
    -------
    svg : Html

    Examples
    --------
    >>> sparkline([1, 3, 2]).startswith("<svg")
    True
    """
    y = floats(values)
    x, y, _, _ = _thinned(Series("", np.arange(len(y)), y), _MAX_SPARKS)
    level = [] if threshold is None else [threshold]
    frame = bounds(x) if len(x) > 1 else (0.0, 1.0)
    plane = Plane(width, height, frame, bounds(y, level), 2, 4, 3, 3)
    parts = [path(plane.points(x, y), "sa")]
    if threshold is not None:
        parts.append(plane.level(threshold, "l"))
    if len(y) and math.isfinite(y[-1]):
        cx, cy = plane.points(x[-1:], y[-1:])[0]
        parts.append(f'<circle class="fa" cx="{pixel(cx)}" cy="{pixel(cy)}" r="2"/>')
    return svg(width, height, title or "course of time", *parts)
