"""Resizing pictures exactly as other libraries do: a table of weights per axis.

Every library resamples across and down with weights that depend on the two sizes
alone; they differ in where a pixel's centre is taken to be, in the filter, in the
border and in the arithmetic. `METHODS` names what each of them does; the loops run in
C. "pillow-...", "opencv-nearest" and "opencv-linear" are equal to the bit; the others
differ from their originals by rounding. Pillow goes across first, so do the methods
"pillow-..."; from version 13 on it goes down first where the height shrinks by more
than twice what the width does, and so do the methods "pillow13-...".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from trimtab import _core
from trimtab.errors import InputError
from trimtab.processing.checks import MAX_SIDE, check_area

__all__ = ["METHODS", "Method", "resample"]

Floats: TypeAlias = Any
"""An array of float64."""
Table: TypeAlias = "tuple[npt.NDArray[np.int32], Floats]"
"""First source pixel of each pixel, and the weights from there on."""

FIXED22, FIXED11, FLOAT, ROUNDED, COPY = range(5)  # tt_image_math


# ---- filters: weight at a distance in pixels --------------------------------------


def _box(x: Floats) -> Floats:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


def _triangle(x: Floats) -> Floats:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _cubic(x: Floats, a: float) -> Floats:
    """Keys' cubic convolution (1981) with slope `a` at 1."""
    x = np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _keys(x: Floats) -> Floats:
    return _cubic(x, -0.5)


def _steep(x: Floats) -> Floats:
    return _cubic(x, -0.75)


def _each(function: Callable[[float], float]) -> Callable[[Floats], Floats]:
    """Element by element with the C library's functions, to the last bit."""

    def apply(x: Floats) -> Floats:
        return np.array([function(v) for v in x.ravel().tolist()]).reshape(x.shape)

    return apply


def _sinc(x: float) -> float:
    x *= math.pi
    return 1.0 if x == 0.0 else math.sin(x) / x


@_each
def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if -3.0 <= x < 3.0 else 0.0


# Pillow's constants are single precision, its arithmetic is double.
_HAMMING = float(np.float32(0.54)), float(np.float32(0.46))


@_each
def _hamming(x: float) -> float:
    x = abs(x)
    if x == 0.0:
        return 1.0
    if x >= 1.0:
        return 0.0
    x *= math.pi
    return math.sin(x) / x * (_HAMMING[0] + _HAMMING[1] * math.cos(x))


# ---- tables ------------------------------------------------------------------------


def _filtered(kernel: Callable[[Floats], Floats], support: float) -> Any:
    """A filter that widens when shrinking; cut off and normalised at the border."""

    def table(n_src: int, n_dst: int) -> Table:
        scale = n_src / n_dst
        wide = max(scale, 1.0)
        reach, inverse = support * wide, 1.0 / wide
        centre = (np.arange(n_dst) + 0.5) * scale
        first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
        end = np.minimum((centre + reach + 0.5).astype(np.int64), n_src)
        n_taps = math.ceil(reach) * 2 + 1
        _check_size(n_dst * n_taps)
        taps = np.arange(n_taps)
        x = (taps + first[:, None] - centre[:, None] + 0.5) * inverse
        weights = np.where(taps < (end - first)[:, None], kernel(x), 0.0)
        total = np.zeros(n_dst)
        for tap in range(n_taps):  # in this order, as a loop adds them up
            total += weights[:, tap]
        total[total == 0.0] = 1.0
        return first.astype(np.int32), weights / total[:, None]

    return table


def _half_pixel(n_src: int, n_dst: int) -> Floats:
    """Positions of the centres, in float32 throughout."""
    half = np.float32(0.5)
    at = (np.arange(n_dst).astype(np.float32) + half) * np.float32(n_src / n_dst) - half
    return at.astype(np.float64)


def _opencv_half_pixel(n_src: int, n_dst: int) -> Floats:
    """The same, rounded to float32 at the end."""
    at = (np.arange(n_dst) + 0.5) * (1.0 / (n_dst / n_src)) - 0.5
    return at.astype(np.float32).astype(np.float64)


def _interpolated(
    kernel: Callable[[Floats], Floats],
    n_taps: int,
    position: Callable[[int, int], Floats] = _half_pixel,
    *,
    cut: bool = False,
    steps: int = 0,
    fixed: bool = False,
    merged: bool = True,
) -> Any:
    """Between the nearest pixels, however much the picture shrinks.

    Beyond the border its last pixel is repeated or, with `cut`, left out. With
    `steps` positions are rounded to a fraction of a pixel, with `fixed` weights are
    rounded to 2048ths. Without `merged` taps beyond the border stay there.
    """

    def table(n_src: int, n_dst: int) -> Table:
        at = position(n_src, n_dst)
        base = np.floor(at)
        part = at - base
        if steps:
            part = np.rint(part * steps) / steps
        taps = np.arange(n_taps) - (n_taps // 2 - 1)
        weights = kernel(taps - part[:, None])
        index = base[:, None] + taps
        if cut:
            weights = np.where((index >= 0) & (index < n_src), weights, 0.0)
            weights /= weights.sum(axis=1, keepdims=True)
        if fixed:
            weights = np.rint((weights * 2048).astype(np.float32)).astype(np.float64)
        if not merged:
            return index[:, 0].astype(np.int32), weights
        return _gathered(index, weights, n_src)

    return table


def _gathered(index: Floats, weights: Floats, n_src: int) -> Table:
    """Taps anywhere -> taps in a row; those beyond the border move onto it."""
    index = index.clip(0, n_src - 1).astype(np.int64)
    first = index.min(axis=1)
    n_taps = int((index.max(axis=1) - first).max()) + 1
    table = np.zeros((len(index), n_taps))
    rows = np.arange(len(index))
    for tap in range(index.shape[1]):
        np.add.at(table, (rows, index[:, tap] - first), weights[:, tap])
    return first.astype(np.int32), table


def _area(n_src: int, n_dst: int) -> Table:
    """Each pixel is the mean of what it covers."""
    scale = n_src / n_dst
    begin, end = np.arange(n_dst) * scale, (np.arange(n_dst) + 1) * scale
    first = np.minimum(np.floor(begin + 1e-9), n_src - 1)
    n_taps = int(np.ceil(scale)) + 1
    _check_size(n_dst * n_taps)
    at = first[:, None] + np.arange(n_taps)
    weights = np.minimum(at + 1, end[:, None]) - np.maximum(at, begin[:, None])
    weights = np.where(at < n_src, weights.clip(0.0), 0.0)
    weights[weights < 1e-6] = 0.0
    return first.astype(np.int32), weights / weights.sum(axis=1, keepdims=True)


def _opencv_area_position(n_src: int, n_dst: int) -> Floats:
    """Where OpenCV's INTER_AREA enlarges: pixels with a short blend between them."""
    inverse = n_dst / n_src
    at = np.arange(n_dst)
    base = np.floor(at * (1.0 / inverse))
    part = ((at + 1) - (base + 1) * inverse).astype(np.float32).astype(np.float64)
    return base + np.where(part <= 0, 0.0, part - np.floor(part))


def _nearest(position: Callable[[int, int], Floats]) -> Any:
    def table(n_src: int, n_dst: int) -> Table:
        at = position(n_src, n_dst).astype(np.int64).clip(0, n_src - 1)
        return at.astype(np.int32), np.ones((n_dst, 1))

    return table


@_nearest
def _pillow_nearest(n_src: int, n_dst: int) -> Floats:
    """Positions are added up, rounding errors included."""
    scale = n_src / n_dst
    return np.cumsum(np.concatenate([[scale * 0.5], np.full(n_dst - 1, scale)]))


@_nearest
def _opencv_nearest(n_src: int, n_dst: int) -> Floats:
    return np.arange(n_dst) * (1.0 / (n_dst / n_src))


@_nearest
def _torch_nearest(n_src: int, n_dst: int) -> Floats:
    return (np.arange(n_dst).astype(np.float32) * np.float32(n_src / n_dst)).astype(
        np.float64
    )


@_nearest
def _tf_nearest(n_src: int, n_dst: int) -> Floats:
    scale = np.float32(n_src / n_dst)
    return np.floor((np.arange(n_dst).astype(np.float32) + np.float32(0.5)) * scale)


# ---- methods --------------------------------------------------------------------


@dataclass(frozen=True)
class Method:
    """One way to resize.

    Parameters
    ----------
    table : callable
        (n_src, n_dst) -> first pixels and weights.
    math : int
        FIXED22, FIXED11, FLOAT or COPY.
    gives_float : bool
        The result of bytes is float32 (else it is rounded to bytes).
    down : callable, optional
        The table for the other axis, where it differs.
    may_turn : bool
        Down first where the height shrinks more.
    """

    table: Callable[[int, int], Table]
    math: int
    gives_float: bool = False
    down: Callable[[int, int], Table] | None = None
    may_turn: bool = False


_FILTERS: dict[str, Any] = {
    "box": _filtered(_box, 0.5),
    "bilinear": _filtered(_triangle, 1.0),
    "hamming": _filtered(_hamming, 1.0),
    "bicubic": _filtered(_keys, 2.0),
    "lanczos": _filtered(_lanczos, 3.0),
}
_LINEAR = _interpolated(_triangle, 2)
_TF_CUBIC = _interpolated(_keys, 4, cut=True, steps=1024)


def _fixed(kernel: Any, n_taps: int, position: Any = _opencv_half_pixel) -> Method:
    """OpenCV's arithmetic: rows beyond the border take part in the rounding."""
    options: dict[str, Any] = {"position": position, "fixed": True}
    down = None
    if n_taps == 2:
        down = _interpolated(kernel, n_taps, merged=False, **options)
    return Method(_interpolated(kernel, n_taps, **options), FIXED11, down=down)


#: Name of a method -> what it does.
METHODS: dict[str, Method] = {
    "pillow-nearest": Method(_pillow_nearest, COPY),
    **{f"pillow-{name}": Method(f, FIXED22) for name, f in _FILTERS.items()},
    **{
        f"pillow13-{name}": Method(f, FIXED22, may_turn=True)
        for name, f in _FILTERS.items()
    },
    "opencv-nearest": Method(_opencv_nearest, COPY),
    "opencv-linear": _fixed(_triangle, 2),
    "opencv-cubic": _fixed(_steep, 4),
    "opencv-area": Method(_area, FLOAT),
    "torch-nearest": Method(_torch_nearest, COPY),
    "torch-bilinear": Method(_LINEAR, FLOAT),
    "torch-bicubic": Method(_interpolated(_steep, 4), FLOAT),
    "torch-bilinear-antialias": Method(_FILTERS["bilinear"], FLOAT),
    "torch-bicubic-antialias": Method(_FILTERS["bicubic"], FLOAT),
    "tf-nearest": Method(_tf_nearest, COPY),
    "tf-bilinear": Method(_LINEAR, FLOAT, gives_float=True),
    "tf-bicubic": Method(_TF_CUBIC, FLOAT, gives_float=True),
    "tf-area": Method(_area, FLOAT, gives_float=True),
    "tf-bilinear-antialias": Method(_FILTERS["bilinear"], FLOAT, gives_float=True),
    "tf-bicubic-antialias": Method(_FILTERS["bicubic"], FLOAT, gives_float=True),
    "tf-lanczos3-antialias": Method(_FILTERS["lanczos"], FLOAT, gives_float=True),
}

_OPENCV_ENLARGING_AREA = _fixed(_triangle, 2, _opencv_area_position)


def _check_size(n_weights: int) -> None:
    if n_weights > 1 << 26:
        raise InputError(f"resizing: {n_weights} weights are more than can be had")


def _in_range(
    first: npt.NDArray[np.int32], weights: Floats, n_src: int, least: int
) -> Table:
    """Only taps that exist: rows that would reach beyond the end begin earlier.

    As many as are used, but `least` where there are so many pixels.
    """
    used = np.flatnonzero(weights.any(axis=0))
    n_taps = min(max(least, int(used[-1]) + 1 if used.size else 1), n_src)
    start = np.minimum(first, n_src - n_taps)
    shift = (first - start)[:, None]
    at = np.arange(n_taps) - shift
    last = weights.shape[1] - 1
    moved = np.take_along_axis(weights, at.clip(0, last), axis=1)
    return start.astype(np.int32), np.where((at >= 0) & (at <= last), moved, 0.0)


@lru_cache(maxsize=64)
def _axis(how: Method, n_src: int, n_dst: int, is_down: bool) -> tuple[Any, Any]:
    if is_down and how.down is not None:
        first, weights = how.down(n_src, n_dst)
    else:
        least = 2 if how.math == FIXED11 else 1  # two taps have loops of their own
        first, weights = _in_range(*how.table(n_src, n_dst), n_src, least)
    if how.math == FLOAT:
        return first, np.ascontiguousarray(weights, np.float32)
    if how.math in (FIXED11, COPY):
        return first, np.ascontiguousarray(weights, np.int32)
    scaled = weights * (1 << 22)
    return first, np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int32)


def resample(
    image: npt.NDArray[Any], height: int, width: int, method: str
) -> npt.NDArray[Any]:
    """Resize a picture as another library does.

    Parameters
    ----------
    image : ndarray of uint8 or float32, shape (h, w) or (h, w, channels)
    height, width : int
        The size wanted, in pixels.
    method : str
        Key of `METHODS`.

    Returns
    -------
    resized : ndarray, shape (height, width[, channels])
        Of bytes as it came; of "tf-..." float32, but for "tf-nearest".

    Raises
    ------
    InputError
        No such method, no such size, or a picture of another kind.

    Examples
    --------
    >>> ramp = np.array([[0, 100, 200]], np.uint8)
    >>> resample(ramp, 1, 6, "pillow-bilinear").tolist()
    [[0, 25, 75, 125, 175, 200]]
    """
    if method not in METHODS:
        raise InputError(f"method: expected one of {sorted(METHODS)}, got {method!r}")
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise InputError(f"expected 1 to {MAX_SIDE} pixels, got {height} x {width}")
    check_area(height, width)
    if image.ndim not in (2, 3) or 0 in image.shape or max(image.shape) > 1 << 20:
        raise InputError(f"expected a picture (h, w, channels), got {image.shape}")
    if image.dtype not in (np.uint8, np.float32):
        raise InputError(f"expected uint8 or float32, got {image.dtype}")
    how = METHODS[method]
    takes_float = how.math in (FLOAT, COPY) and method != "opencv-area"
    if image.dtype != np.uint8 and not takes_float:
        raise InputError(f"{method} takes uint8, got {image.dtype}")
    pixels = np.ascontiguousarray(image if image.ndim == 3 else image[..., None])
    size = (height, width)
    if method in _MEANS_OF_FOUR and _is_half(image, size):
        resized = _halved(pixels)
    elif method == "opencv-area" and (
        height > image.shape[0] or width > image.shape[1]
    ):
        resized = _run(pixels, size, _OPENCV_ENLARGING_AREA)
    elif how.may_turn and _is_down_first(image, size):
        turned = np.ascontiguousarray(pixels.transpose(1, 0, 2))
        resized = _run(turned, size[::-1], how).transpose(1, 0, 2)
    else:
        resized = _run(pixels, size, how)
    return np.ascontiguousarray(resized if image.ndim == 3 else resized[..., 0])


def _run(
    pixels: npt.NDArray[Any], size: tuple[int, int], how: Method
) -> npt.NDArray[Any]:
    across = _axis(how, pixels.shape[1], size[1], False)
    down = _axis(how, pixels.shape[0], size[0], True)
    is_rounded = how.math == FLOAT and pixels.dtype == np.uint8 and not how.gives_float
    arithmetic = ROUNDED if is_rounded else how.math
    return _core.resize_image(pixels, *across, *down, arithmetic)


def _is_down_first(image: npt.NDArray[Any], size: tuple[int, int]) -> bool:
    shrinks_by = image.shape[0] - size[0], image.shape[1] - size[1]
    return bool(shrinks_by[0] > 0 and shrinks_by[0] > 2 * shrinks_by[1])


#: OpenCV takes means of four where both sides become half.
_MEANS_OF_FOUR = ("opencv-linear", "opencv-area")


def _is_half(image: npt.NDArray[Any], size: tuple[int, int]) -> bool:
    double = (2 * size[0], 2 * size[1])
    return bool(image.dtype == np.uint8 and image.shape[:2] == double)


def _halved(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width, channels = pixels.shape
    fours = pixels.reshape(height // 2, 2, width // 2, 2, channels)
    total = fours.sum(axis=(1, 3), dtype=np.uint16)
    return np.asarray((total + 2) >> 2, np.uint8)
