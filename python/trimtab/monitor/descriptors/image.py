"""Descriptors of images: how bright, how sharp, how noisy; computed by the C core.

Measured on one core in a loop (AVX-512; AVX2 in brackets): 18 (20) us for a float32
tensor of 1 x 3 x 224 x 224, 21 (25) us channels last, 23 (26) us of bytes; the same in
NumPy over the same pixels takes 245 us. Right after a call of EfficientNet-Lite0, which
leaves the caches cold, it takes 80 us: 0.8 % of that call (9.9 ms); at every second one
that is 0.4 %. Of those 80 us code and Python take 50: fewer pixels would help little.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trimtab import _core
from trimtab.errors import InputError
from trimtab.monitor.descriptors.descriptor import Descriptor, Rows
from trimtab.types import Array

__all__ = ["IMAGE", "describe_images", "guess_channel_axis"]

#: Numbers of channels that images have, the likeliest first.
_CHANNELS = (3, 1, 4, 2)


def guess_channel_axis(shape: Sequence[int | str | None]) -> int | None:
    """Tell where the channels of a batch of images are.

    Parameters
    ----------
    shape : sequence of (int, str or None)
        Of an array, or of a `TensorSpec`: what is no number is of any size.

    Returns
    -------
    axis : 1, 3 or None
        None: no axis looks like channels, or there are not 4 dims.

    Examples
    --------
    >>> guess_channel_axis((8, 3, 224, 224))
    1
    >>> guess_channel_axis(("N", 224, 224, 3))
    3
    >>> guess_channel_axis((1, 512, 7, 7)) is None
    True
    """
    if len(shape) != 4:
        return None
    for count in _CHANNELS:
        for axis in (1, 3):
            if shape[axis] == count:
                return axis
    return None


def describe_images(images: Any, *, channel_axis: int | None = None) -> Rows:
    """Describe images from some of their pixels (up to 16 rows of each).

    Parameters
    ----------
    images : array-like
        (n, channels, height, width), (n, height, width, channels), (n, height, width)
        of gray ones, or one image (height, width, channels) or (height, width). uint8
        and float32 of any strides are read in place; of other dtypes a copy is made.
    channel_axis : int, optional
        1 or 3 (or negative) of 4 dims, 0 or 2 of one image of 3 dims. By default the
        axis of 1 to 4 channels.

    Returns
    -------
    rows : ndarray of float32, of shape (n, 11)
        The columns are `IMAGE.names`, in the units of the pixels, however they are
        normalised; all but the aspect are NaN where a pixel is not finite.

    Raises
    ------
    InputError
        These are no images.

    References
    ----------
    J. Immerkaer, "Fast Noise Variance Estimation", CVIU 64(2), 1996.

    Examples
    --------
    >>> rows = describe_images(np.full((1, 3, 8, 16), 7, np.uint8))
    >>> dict(zip(IMAGE.names, rows[0].tolist()))["brightness"]
    7.0
    """
    array = np.asarray(images)
    batch, axis = _as_batch(array, channel_axis)
    if batch.dtype not in (np.uint8, np.float32):
        if batch.dtype.kind not in "biuf":
            raise InputError(f"images: expected numbers, got {array.dtype}")
        batch = batch.astype(np.float32)
    if batch.size == 0 and len(batch):
        raise InputError(f"images: expected pixels, got shape {array.shape}")
    if not len(batch):
        return np.empty((0, len(IMAGE.features)), np.float32)
    return _core.look_at_images(batch, axis)


def _as_batch(array: Array, channel_axis: int | None) -> tuple[Array, int]:
    """Images of 4 dims and their channel axis, as a view."""
    wanted = None
    if channel_axis is not None:
        wanted = channel_axis + array.ndim if channel_axis < 0 else channel_axis
    if array.ndim == 2 and wanted is None:
        return array[None, None], 1
    if array.ndim == 3:
        is_one = wanted is None and _is_channels_last(array.shape)
        if wanted == 2 or is_one:
            return array[None], 3
        if wanted == 0:
            return array[None], 1
        if wanted is None:
            return array[:, None], 1
    if array.ndim == 4:
        axis = guess_channel_axis(array.shape) if wanted is None else wanted
        if axis is None:
            axis = 1 if array.shape[1] <= array.shape[3] else 3
        if axis in (1, 3):
            return array, axis
    raise InputError(
        "images: expected (n, channels, height, width), (n, height, width, channels), "
        f"(n, height, width) or one image, got shape {array.shape} with "
        f"channel_axis={channel_axis}"
    )


def _is_channels_last(shape: tuple[int, ...]) -> bool:
    return shape[2] in _CHANNELS and min(shape[:2]) > max(_CHANNELS)


IMAGE = Descriptor(
    "image",
    {
        "brightness": "mean of gray, the mean of the first three channels",
        "contrast": "standard deviation of gray",
        "saturation": "mean of the largest minus the smallest channel",
        "blur": "variance of gray's Laplacian: small where the image is blurred",
        "edge_density": "share of pixels whose gradient is above half the contrast",
        "noise": "estimated standard deviation of the noise of gray",
        "entropy": "of the histogram of gray, in bits",
        "aspect": "width / height",
        "channel_0_mean": "mean of the first channel",
        "channel_1_mean": "mean of the second channel",
        "channel_2_mean": "mean of the third channel",
    },
    describe_images,
)
