"""What figures are made of: values -> pixels, axes, paths, texts.

Enters: numbers, finite or not, and texts of anybody. Leaves: pieces of SVG, escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.html import Html, escape, number_text, short_text

__all__ = [
    "Floats",
    "Plane",
    "bounds",
    "floats",
    "legend",
    "path",
    "pixel",
    "svg",
    "text_at",
    "ticks_of",
]

Floats = npt.NDArray[np.float64]

# Pixels that are outside of every figure, and values with which sums may overflow.
_FAR = 1e5
_HUGE = 1e150


def pixel(value: float) -> str:
    """Write a coordinate: a tenth of a pixel is enough, and what is far away is far.

    Parameters
    ----------
    value : float

    Returns
    -------
    text : str

    Examples
    --------
    >>> pixel(1.04), pixel(1.26)
    ('1', '1.3')
    """
    return f"{min(max(value, -_FAR), _FAR):.1f}".removesuffix(".0")


def text_at(x: float, y: float, text: object, style: str = "") -> str:
    """Write a text, from a point to the right.

    Parameters
    ----------
    x, y : float
        Pixels.
    text : object
    style : str
        Classes of the sheet: q for labels, r to end and m to centre at the point.

    Returns
    -------
    piece : str

    Examples
    --------
    >>> text_at(1, 2, "<")
    '<text x="1" y="2">&lt;</text>'
    """
    kind = f' class="{style}"' if style else ""
    return f'<text x="{pixel(x)}" y="{pixel(y)}"{kind}>{escape(text)}</text>'


def path(points: Sequence[tuple[float, float]], style: str, end: str = "") -> str:
    """Draw through points; those that are not finite break it.

    Parameters
    ----------
    points : sequence of (float, float)
        Pixels.
    style : str
        Classes of the sheet.
    end : str
        "Z" closes it.

    Returns
    -------
    piece : str

    Examples
    --------
    >>> path([(0, 0), (1, 2)], "sa")
    '<path class="sa" d="M0 0L1 2"/>'
    """
    parts, command = [], "M"
    for x, y in points:
        if math.isfinite(x) and math.isfinite(y):
            parts.append(f"{command}{pixel(x)} {pixel(y)}")
            command = "L"
        else:
            command = "M"
    return f'<path class="{style}" d="{"".join(parts)}{end}"/>' if parts else ""


def svg(width: float, height: float, title: str, *parts: str) -> Html:
    """Put pieces together.

    Parameters
    ----------
    width, height : float
        Pixels.
    title : str
        Read by screen readers, shown by the mouse.
    *parts : str
        SVG.

    Returns
    -------
    svg : Html

    Examples
    --------
    >>> svg(9, 9, "nothing").endswith("<title>nothing</title></svg>")
    True
    """
    label = escape(short_text(title, 200))
    return Html(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {pixel(width)} '
        f'{pixel(height)}" width="{pixel(width)}" height="{pixel(height)}" role="img" '
        f'aria-label="{label}"><title>{label}</title>{"".join(parts)}</svg>'
    )


def floats(values: npt.ArrayLike) -> Floats:
    """Give values as one row of numbers; NaN for those that no axis can show.

    Parameters
    ----------
    values : array-like

    Returns
    -------
    row : ndarray of float64

    Examples
    --------
    >>> floats([[1, 2]])
    array([1., 2.])
    """
    row = np.asarray(values, np.float64).ravel()
    return np.where(np.abs(row) < _HUGE, row, np.nan)


def bounds(*arrays: npt.ArrayLike) -> tuple[float, float]:
    """Give the bounds of all finite values, never empty.

    Parameters
    ----------
    *arrays : array-like of float

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> bounds([1, 2], [float("nan"), 3]), bounds([]), bounds([2])
    ((1.0, 3.0), (0.0, 1.0), (1.0, 3.0))
    """
    flat = np.concatenate([floats(a) for a in arrays])
    good = flat[np.isfinite(flat)]
    if not len(good):
        return 0.0, 1.0
    low, high = float(good.min()), float(good.max())
    if high - low > 1e-12 * max(abs(low), abs(high)):
        return low, high
    margin = 0.5 * abs(low) or 0.5
    return low - margin, high + margin


def ticks_of(low: float, high: float, n: int = 4) -> list[float]:
    """Give round numbers between two others.

    Parameters
    ----------
    low, high : float
    n : int
        About so many.

    Returns
    -------
    ticks : list of float

    Examples
    --------
    >>> ticks_of(0, 1)
    [0.0, 0.5, 1.0]
    """
    rough = (high - low) / n
    if not (math.isfinite(rough) and rough > 0):
        return []
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1, 2, 5, 10) if m * power >= rough), rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(first, min(last, first + 12) + 1)]


@dataclass(frozen=True)
class Plane:
    """Values -> pixels, with a frame around.

    Parameters
    ----------
    width, height : float
        Pixels.
    x_range, y_range : (float, float)
        Values at the ends; never equal.
    left, right, top, bottom : float
        Pixels of the frame.
    """

    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: float = 44
    right: float = 10
    top: float = 8
    bottom: float = 34

    def x(self, value: float) -> float:
        """Give the place of a value, in pixels.

        Parameters
        ----------
        value : float

        Returns
        -------
        x : float
        """
        low, high = self.x_range
        inner = self.width - self.left - self.right
        return self.left + inner * (value - low) / (high - low)

    def y(self, value: float) -> float:
        """Give the height of a value, in pixels from above.

        Parameters
        ----------
        value : float

        Returns
        -------
        y : float
        """
        low, high = self.y_range
        inner = self.height - self.top - self.bottom
        return self.height - self.bottom - inner * (value - low) / (high - low)

    def points(self, x: Floats, y: Floats) -> list[tuple[float, float]]:
        """Give the places of points.

        Parameters
        ----------
        x, y : ndarray of float64

        Returns
        -------
        points : list of (float, float)
        """
        return [(self.x(a), self.y(b)) for a, b in zip(x, y, strict=True)]

    def level(self, value: float, style: str) -> str:
        """Draw a line across; nothing where it would be outside.

        Parameters
        ----------
        value : float
        style : str

        Returns
        -------
        piece : str
        """
        if not self.y_range[0] <= value <= self.y_range[1]:
            return ""
        ends = [(self.left, self.y(value)), (self.width - self.right, self.y(value))]
        return path(ends, style)

    def y_axis(self) -> str:
        """Draw numbers at the left, and lines across."""
        parts = []
        for tick in ticks_of(*self.y_range):
            parts.append(self.level(tick, "g"))
            at = self.y(tick) + 4
            parts.append(text_at(self.left - 6, at, number_text(tick), "q r"))
        return "".join(parts)

    def x_axis(self, ticks: Sequence[tuple[float, str]], label: str = "") -> str:
        """Draw the axis below.

        Parameters
        ----------
        ticks : sequence of (float, str)
            Values, and what to write there.
        label : str

        Returns
        -------
        piece : str
        """
        y = self.height - self.bottom
        parts = [path([(self.left, y), (self.width - self.right, y)], "k")]
        parts += [text_at(self.x(at), y + 13, text, "q m") for at, text in ticks]
        if label:
            middle = (self.left + self.width - self.right) / 2
            parts.append(text_at(middle, y + 28, short_text(label), "q m"))
        return "".join(parts)


def legend(x: float, y: float, names: Sequence[str]) -> str:
    """Name the colours of curves, in a row.

    Parameters
    ----------
    x, y : float
        Pixels, of the first.
    names : sequence of str

    Returns
    -------
    piece : str

    Examples
    --------
    >>> legend(0, 9, ["a<b"]).count("a&lt;b")
    1
    """
    parts = []
    for name, colour in zip(names, "abcde", strict=False):
        text = short_text(name, 18)
        parts.append(
            f'<rect class="f{colour}" x="{pixel(x)}" y="{pixel(y - 8)}" width="9" '
            'height="9" rx="2"/>' + text_at(x + 13, y, text, "q")
        )
        x += 24 + 6.2 * len(text)
    return "".join(parts)
