"""Colours and values of pictures: gray as several libraries compute it, scaling."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab import _core
from trimtab.errors import InputError

__all__ = ["GRAYS", "normalize", "standardize", "to_gray"]

Image = npt.NDArray[Any]


def _whole(weights: tuple[int, int, int], bits: int) -> Callable[[Image], Image]:
    """Sums in integers, rounded."""

    def gray(image: Image) -> Image:
        if image.dtype != np.uint8:
            raise InputError(f"expected a picture of uint8, got {image.dtype}")
        total = image.astype(np.uint32) @ np.array(weights, np.uint32)
        return np.asarray((total + (1 << (bits - 1))) >> bits, np.uint8)

    return gray


def _torchvision(image: Image) -> Image:
    """Rounded towards 0 for integers."""
    red, green, blue = (image[..., i].astype(np.float32) for i in range(3))
    total: Image = np.float32(0.2989) * red + np.float32(0.587) * green
    total += np.float32(0.114) * blue
    gray: Image = total.astype(image.dtype)
    return gray


def _tf(image: Image) -> Image:
    """In [0, 1], and back for integers."""
    weights = np.array([0.2989, 0.587, 0.114], np.float32)
    if image.dtype != np.uint8:
        return np.asarray(image.astype(np.float32) @ weights, image.dtype)
    total = (image.astype(np.float32) * np.float32(1 / 255)) @ weights
    gray: Image = (total * np.float32(255.5)).astype(np.uint8)
    return gray


#: Name -> from RGB (..., 3) to gray (...).
GRAYS: dict[str, Callable[[Image], Image]] = {
    "pillow": _whole((19595, 38470, 7471), 16),
    "opencv": _whole((9798, 19235, 3735), 15),
    "torchvision": _torchvision,
    "tf": _tf,
}


def to_gray(image: Image, method: str) -> Image:
    """RGB to gray as another library computes it.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3)
        Red first. Gray pictures (h, w) and (h, w, 1) stay as they are.
    method : str
        Key of `GRAYS`.

    Returns
    -------
    gray : ndarray of shape (h, w)

    Raises
    ------
    InputError
        No such method, or other channels.

    Examples
    --------
    >>> to_gray(np.array([[[255, 0, 0]]], np.uint8), "pillow").tolist()
    [[76]]
    """
    if method not in GRAYS:
        raise InputError(f"gray: expected one of {sorted(GRAYS)}, got {method!r}")
    if image.ndim == 2:
        return image
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise InputError(f"expected a picture (h, w, 3), got {image.shape}")
    return image[..., 0] if image.shape[2] == 1 else GRAYS[method](image)


def normalize(
    image: Image,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    divisor: float,
    planar: bool = False,
) -> npt.NDArray[np.float32]:
    """``(image / divisor - mean) / std`` in float32, in this order.

    Bytes go through a table of the 256 values, so the result is the same and the
    layout changes on the way.

    Parameters
    ----------
    image : ndarray of shape (h, w, channels)
    mean, std : tuple of float
        One for all channels, or one for each.
    divisor : float
    planar : bool, default=False
        The result is (channels, h, w).

    Returns
    -------
    normalized : ndarray of float32

    Raises
    ------
    InputError
        The numbers of channels differ.

    Examples
    --------
    >>> image = np.full((1, 1, 3), 255, np.uint8)
    >>> normalize(image, mean=(0.5,), std=(0.5,), divisor=255.0).tolist()
    [[[1.0, 1.0, 1.0]]]
    """
    channels = image.shape[-1]
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise InputError(
                f"{name} has {len(values)} numbers, the picture {channels} channels"
            )
    if image.dtype == np.uint8 and image.ndim == 3 and channels <= 64:
        return _core.image_to_float(
            np.ascontiguousarray(image),
            _levels(mean, std, divisor, channels),
            tuple(range(channels)),
            planar,
        )
    floats: Image = np.array(image, np.float32, order="C")
    rows = floats.reshape(len(floats), -1)  # long rows: three channels are slow loops
    for change, numbers in (
        (np.divide, (divisor,)),
        (np.subtract, mean),
        (np.divide, std),
    ):
        operand = np.resize(np.asarray(numbers, np.float32), channels)
        change(rows, np.tile(operand, rows.shape[1] // channels), out=rows)
    return np.ascontiguousarray(np.moveaxis(floats, -1, 0) if planar else floats)


@lru_cache(maxsize=32)
def _levels(
    mean: tuple[float, ...], std: tuple[float, ...], divisor: float, channels: int
) -> npt.NDArray[np.float32]:
    """What each byte becomes in each channel."""
    levels = np.arange(256, dtype=np.float32)[:, None] / np.float32(divisor)
    levels = (levels - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(np.broadcast_to(levels, (256, channels)).T)


def standardize(image: Image) -> npt.NDArray[np.float32]:
    """To mean 0 and deviation 1 over the whole picture.

    Parameters
    ----------
    image : ndarray

    Returns
    -------
    standardized : ndarray of float32
        As `tf.image.per_image_standardization` does it: the deviation counts as at
        least 1 / sqrt(number of values).

    Examples
    --------
    >>> standardize(np.array([0.0, 2.0])).tolist()
    [-1.0, 1.0]
    """
    values = image.astype(np.float32)
    mean = values.mean(dtype=np.float64)
    deviation = max(float(values.std(dtype=np.float64)), values.size**-0.5)
    return np.asarray((values - np.float32(mean)) / np.float32(deviation), np.float32)
