"""Where a picture's pixels went: sizes, crops and margins, and the way back.

Steps that move pixels keep ``context["scale"]`` and ``context["offset"]``, each (y, x):
a point p of the original picture is at ``p * scale + offset`` now.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.processing.checks import MAX_SIDE, check_area, describe
from trimtab.processing.step import Context

__all__ = [
    "as_image",
    "crop_or_pad",
    "letterbox_size",
    "move",
    "pad_image",
    "shortest_side_size",
    "to_original",
]

Image = npt.NDArray[Any]


def as_image(value: Any) -> Image:
    """Refuse what is no picture.

    Parameters
    ----------
    value : object

    Returns
    -------
    image : ndarray of shape (h, w) or (h, w, channels)

    Raises
    ------
    InputError

    Examples
    --------
    >>> as_image(np.zeros((4, 5, 3))).shape
    (4, 5, 3)
    """
    is_array = isinstance(value, np.ndarray) and value.dtype.kind in "uif"
    if not is_array or value.ndim not in (2, 3) or value.size == 0:
        raise InputError(
            "expected a picture as an array (h, w) or (h, w, channels), got "
            f"{describe(value)}; DecodeImage() reads files"
        )
    image: Image = value
    return image


def move(
    context: Context,
    image: Image,
    *,
    scale: tuple[float, float] = (1.0, 1.0),
    offset: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Record that a picture is scaled, then moved.

    Parameters
    ----------
    context : dict
    image : ndarray
        The picture before.
    scale, offset : tuple of float
        Factors of (y, x), and pixels down and to the right.

    Examples
    --------
    >>> context = {}
    >>> move(context, np.zeros((8, 4)), scale=(0.5, 0.5), offset=(0, 2))
    >>> context
    {'image_size': (8, 4), 'scale': (0.5, 0.5), 'offset': (0.0, 2.0)}
    """
    context.setdefault("image_size", tuple(image.shape[:2]))
    old_scale = context.get("scale", (1.0, 1.0))
    old = context.get("offset", (0.0, 0.0))
    context["scale"] = (old_scale[0] * scale[0], old_scale[1] * scale[1])
    context["offset"] = (old[0] * scale[0] + offset[0], old[1] * scale[1] + offset[1])


def to_original(points: Any, context: Context) -> npt.NDArray[np.float32]:
    """Take points (x, y, x, y, ...) back to the original picture.

    Parameters
    ----------
    points : array-like of shape (..., 2 n)
    context : dict
        As `move` left it.

    Returns
    -------
    points : ndarray of float32

    Examples
    --------
    >>> to_original([[4, 2]], {"scale": (0.5, 0.5), "offset": (0.0, 2.0)}).tolist()
    [[4.0, 4.0]]
    """
    array = np.array(points, np.float32)
    scale = context.get("scale", (1.0, 1.0))
    offset = context.get("offset", (0.0, 0.0))
    for first in (0, 1):
        axis = 1 - first
        array[..., first::2] = (array[..., first::2] - offset[axis]) / scale[axis]
    return array


def shortest_side_size(
    height: int, width: int, size: int, max_size: int = 0
) -> tuple[int, int]:
    """Size with this shortest side; the other one is cut to whole pixels.

    Parameters
    ----------
    height, width : int
        Of the picture.
    size : int
    max_size : int, default=0
        Greatest longest side; 0: none.

    Returns
    -------
    size : tuple of int
        (height, width), as torchvision computes it.

    Raises
    ------
    InputError
        A side would be larger than may be.

    Examples
    --------
    >>> shortest_side_size(300, 500, 256)
    (256, 426)
    """
    short, long = min(height, width), max(height, width)
    new_short, new_long = size, int(size * long / short)
    if max_size and new_long > max_size:
        new_short, new_long = max(1, int(max_size * new_short / new_long)), max_size
    if new_long > MAX_SIDE:
        raise InputError(f"{height} x {width} would get a side of {new_long} pixels")
    return (new_short, new_long) if height <= width else (new_long, new_short)


def letterbox_size(
    height: int, width: int, target: tuple[int, int], *, may_enlarge: bool = True
) -> tuple[int, int]:
    """Largest size of the same shape that fits into another.

    Parameters
    ----------
    height, width : int
    target : tuple of int
        (height, width)
    may_enlarge : bool, default=True

    Returns
    -------
    size : tuple of int

    Examples
    --------
    >>> letterbox_size(480, 640, (640, 640))
    (480, 640)
    """
    ratio = min(target[0] / height, target[1] / width)
    if not may_enlarge:
        ratio = min(ratio, 1.0)
    new = max(1, round(height * ratio)), max(1, round(width * ratio))
    return min(new[0], target[0]), min(new[1], target[1])


def pad_image(
    image: Image, margins: Sequence[int], value: float | Sequence[float]
) -> Image:
    """Put margins of one colour around a picture.

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, channels)
    margins : sequence of int
        Pixels at the top, bottom, left and right.
    value : float or sequence of float
        Of all channels, or of each.

    Returns
    -------
    image : ndarray

    Raises
    ------
    InputError
        The colour has another number of channels.

    Examples
    --------
    >>> pad_image(np.ones((1, 1), np.uint8), (0, 0, 1, 1), 9).tolist()
    [[9, 1, 9]]
    """
    top, bottom, left, right = margins
    height, width = image.shape[:2]
    shape = (height + top + bottom, width + left + right, *image.shape[2:])
    check_area(*shape[:2])
    colour = np.asarray(value, image.dtype)
    if colour.size != 1 and (image.ndim != 3 or colour.size != image.shape[2]):
        raise InputError(
            f"value: {colour.size} channels do not fit a picture {image.shape}"
        )
    padded = np.empty(shape, image.dtype)
    padded[...] = colour.reshape(-1)[0] if colour.size == 1 else colour
    padded[top : top + height, left : left + width] = image
    return padded


def crop_or_pad(image: Image, top: int, left: int, height: int, width: int) -> Image:
    """Cut a window out; what lies beyond the picture is 0.

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, channels)
    top, left : int
        Where the window begins; may be negative.
    height, width : int

    Returns
    -------
    window : ndarray
        A view where the window lies inside.

    Examples
    --------
    >>> crop_or_pad(np.ones((2, 2), int), -1, 0, 2, 2).tolist()
    [[0, 0], [1, 1]]
    """
    bottom, right = top + height, left + width
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if inside.shape[:2] == (height, width):
        return inside
    check_area(height, width)
    window = np.zeros((height, width, *image.shape[2:]), image.dtype)
    y, x = max(-top, 0), max(-left, 0)
    window[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return window
