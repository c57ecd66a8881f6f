"""Lines of text in a picture: from a text finder's map to straightened strips.

A differentiable-binarization net (Liao et al. 2020) marks the core of each line,
shrunk by a known ratio. Its connected parts become curves (lines on a real photo
bend and tilt), are grown back to the height of the letters and cut out straight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "TextLine",
    "cut_text_line",
    "find_text_lines",
    "find_word_gaps",
    "label_regions",
]

Map = npt.NDArray[np.floating]


@dataclass(frozen=True)
class TextLine:
    """A bent strip of a picture, all in pixels.

    Attributes
    ----------
    left, right : float
        Where it begins and ends.
    height : float
        Of the strip, upright.
    curve : tuple of float
        Polynomial (highest power first) from x to the y of its middle.
    score : float
        Mean of the finder's probability over its core.
    """

    left: float
    right: float
    height: float
    curve: tuple[float, ...]
    score: float

    @property
    def centre(self) -> float:
        """The x half-way."""
        return (self.left + self.right) / 2

    def middle(self, x: Map | float) -> Map:
        """The y of the middle at x.

        Parameters
        ----------
        x : ndarray or float
            In pixels.

        Returns
        -------
        y : ndarray or float
        """
        return np.polyval(self.curve, x)

    def scaled(self, down: float, across: float) -> TextLine:
        """The same line on a picture of other size (factors of y and of x).

        Parameters
        ----------
        down, across : float
            Factors of y and of x.

        Returns
        -------
        line : TextLine
        """
        powers = range(len(self.curve) - 1, -1, -1)
        return TextLine(
            self.left * across,
            self.right * across,
            self.height * down,
            tuple(
                c * down / across**p for c, p in zip(self.curve, powers, strict=True)
            ),
            self.score,
        )


def label_regions(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """Number the connected parts (8 neighbours) of a mask from 1; 0 is outside.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)

    Returns
    -------
    labels : ndarray of int32, shape (h, w)

    Examples
    --------
    >>> label_regions(np.array([[1, 0, 1], [0, 0, 1]], bool)).tolist()
    [[1, 0, 2], [0, 0, 2]]
    """
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first = np.searchsorted(rows, np.arange(mask.shape[0] + 1)).tolist()
    begin, end = starts.tolist(), ends.tolist()
    for row in range(1, mask.shape[0]):
        above, here = first[row - 1], first[row]
        while above < first[row] and here < first[row + 1]:
            if begin[here] <= end[above] and begin[above] <= end[here]:
                a, b = sorted((root(above), root(here)))
                parent[b] = a
            if end[above] < end[here]:
                above += 1
            else:
                here += 1
    labels = np.zeros(mask.shape, np.int32)
    numbers: dict[int, int] = {}
    for i, (row, a, b) in enumerate(zip(rows.tolist(), begin, end, strict=True)):
        labels[row, a:b] = numbers.setdefault(root(i), len(numbers) + 1)
    return labels


def find_text_lines(
    probability: Map,
    *,
    threshold: float = 0.3,
    min_score: float = 0.5,
    unclip_ratio: float = 1.6,
    min_height: float = 3,
) -> list[TextLine]:
    """Find the lines in a map of text probability.

    Parameters
    ----------
    probability : ndarray of shape (height, width)
        Per pixel, in [0, 1].
    threshold : float, default=0.3
        Above it a pixel belongs to a core.
    min_score : float, default=0.5
        Least mean probability of a core.
    unclip_ratio : float, default=1.6
        Area over perimeter times this is how far a core is grown.
    min_height : float, default=3
        Thinner cores are dropped, in pixels.

    Returns
    -------
    lines : list of TextLine
        From top to bottom, and from left to right within a row of text.

    References
    ----------
    The defaults are those of PP-OCR (Du et al. 2020).

    Examples
    --------
    >>> page = np.zeros((32, 64))
    >>> page[10:16, 8:56] = 0.9
    >>> line = find_text_lines(page)[0]
    >>> round(float(line.middle(30.0)), 1), round(line.height, 1)
    (12.5, 14.5)
    """
    labels = label_regions(probability > threshold)
    lines = []
    for label in range(1, int(labels.max(initial=0)) + 1):
        ys, xs = np.nonzero(labels == label)
        score = float(probability[ys, xs].mean())
        left, right = int(xs.min()), int(xs.max()) + 1
        thickness = np.bincount(xs - left)
        core = float(np.median(thickness))
        if score < min_score or core < min_height:
            continue
        width = right - left
        degree = 2 if width > 6 * core else 1 if width > 3 * core else 0
        centre = np.bincount(xs - left, weights=ys) / np.maximum(thickness, 1)
        solid = thickness >= core / 2
        curve = np.polyfit(np.arange(left, right)[solid], centre[solid], degree)
        grow = core * width * unclip_ratio / (2 * (core + width))
        lines.append(
            TextLine(
                max(0.0, left - grow),
                min(float(probability.shape[1]), right + grow),
                core + 2 * grow,
                tuple(curve.tolist()),
                score,
            )
        )
    return _reading_order(lines)


def _reading_order(lines: list[TextLine]) -> list[TextLine]:
    """Top to bottom; side by side at the same height they share a row."""
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: line.middle(line.centre)):
        for row in rows:
            if all(_is_beside(line, other) for other in row):
                row.append(line)
                break
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.left)]


def _is_beside(one: TextLine, two: TextLine) -> bool:
    first, second = (one, two) if one.centre < two.centre else (two, one)
    step = abs(first.middle(first.right) - second.middle(second.left))
    height = min(one.height, two.height)
    return first.right - second.left < height / 2 and bool(step < height / 2)


def cut_text_line(
    image: npt.NDArray[np.generic], line: TextLine, *, height: int = 48
) -> npt.NDArray[np.float32]:
    """Cut a line out, straightened and scaled to a height.

    Parameters
    ----------
    image : ndarray of shape (h, w, channels)
        The picture in whose pixels `line` is given.
    line : TextLine
    height : int, default=48
        Of the strip, in pixels.

    Returns
    -------
    strip : ndarray of float32, shape (height, width, channels)
        In the scale of the input.

    Examples
    --------
    >>> ramp = np.repeat(np.arange(8.0)[:, None, None], 8, axis=1)
    >>> cut_text_line(ramp, TextLine(0, 8, 4, (3.5,), 1.0), height=4)[:, 0, 0].tolist()
    [2.0, 3.0, 4.0, 5.0]
    """
    scale = height / line.height
    fine = max(1, round(1 / scale))  # samples per pixel and axis where it shrinks
    width = max(1, round((line.right - line.left) * scale))
    step = 1 / (scale * fine)
    x = line.left + (np.arange(width * fine) + 0.5) * step - 0.5
    offset = (np.arange(height * fine) + 0.5) * step - line.height / 2
    y = line.middle(x)[None, :] + offset[:, None]
    sampled = _sample(np.asarray(image, np.float32), y, np.broadcast_to(x, y.shape))
    blocks = sampled.reshape(height, fine, width, fine, -1)
    return np.ascontiguousarray(blocks.mean(axis=(1, 3)))


def _sample(image: npt.NDArray[np.float32], y: Map, x: Map) -> npt.NDArray[np.float32]:
    """Bilinear, the border repeated."""
    top = np.clip(y, 0, image.shape[0] - 1)
    left = np.clip(x, 0, image.shape[1] - 1)
    y0, x0 = top.astype(np.intp), left.astype(np.intp)
    y1 = np.minimum(y0 + 1, image.shape[0] - 1)
    x1 = np.minimum(x0 + 1, image.shape[1] - 1)
    down = (top - y0).astype(np.float32)[..., None]
    across = (left - x0).astype(np.float32)[..., None]
    upper = image[y0, x0] * (1 - across) + image[y0, x1] * across
    lower = image[y1, x0] * (1 - across) + image[y1, x1] * across
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


def find_word_gaps(
    strip: npt.NDArray[np.floating], *, min_gap: float = 0.25
) -> npt.NDArray[np.float64]:
    """The middles of the empty spaces between the words of a strip.

    Spaces between words and between letters are told apart where their widths
    jump the most; by a fixed width small print or wide print would fall apart.

    Parameters
    ----------
    strip : ndarray of shape (height, width, channels)
        As `cut_text_line` gives it.
    min_gap : float, default=0.25
        Narrowest space between words, as a share of the height.

    Returns
    -------
    gaps : ndarray of shape (n_gaps,)
        In pixels from the left.

    Examples
    --------
    >>> strip = np.ones((20, 40, 1))
    >>> strip[5:15, [2, 4, 6, 20, 22]] = 0
    >>> find_word_gaps(strip).tolist()
    [13.5]
    """
    gray = strip.mean(axis=2)
    margin = strip.shape[0] // 16
    body = gray[margin : strip.shape[0] - margin]
    ink = body.max(axis=0) - body.min(axis=0)
    low, high = np.quantile(ink, [0.02, 0.9])
    empty = ink <= low + 0.15 * (high - low)
    edges = np.flatnonzero(np.diff(np.pad(empty, 1).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    inner = (starts > 0) & (ends < strip.shape[1])
    starts, widths = starts[inner], (ends - starts)[inner]
    ordered = np.concatenate([[1], np.sort(widths)])
    jump = ordered[1:] / ordered[:-1]
    jump[ordered[1:] < min_gap * strip.shape[0]] = 0
    if jump.max(initial=0) < 1.4:
        return np.empty(0)
    is_word = widths >= ordered[1 + jump.argmax()]
    return np.asarray(starts[is_word] + widths[is_word] / 2)
