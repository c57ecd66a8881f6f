"""Scales of int8 weights: symmetric, one for each output channel."""

from __future__ import annotations

import numpy as np

from trimtab.errors import InputError
from trimtab.types import Array

__all__ = ["WEIGHT_RANGES", "weight_scales"]

#: How the range of a channel's weights is chosen.
WEIGHT_RANGES = ("minmax", "mse")

# Shares of the largest weight that are tried as the end of the range.
_SHARES = np.linspace(1.0, 0.5, 26)


def weight_scales(
    weights: Array, axis: int, *, bits: int = 8, ranges: str = "minmax"
) -> Array:
    """Choose the step of each channel's weights.

    Parameters
    ----------
    weights : ndarray of float32
    axis : int
        Of the channels.
    bits : int, default=8
        Of an integer weight: 127 steps to each side for 8, 63 for 7.
    ranges : {"minmax", "mse"}, default="minmax"
        The largest weight is the last step; or larger ones are clipped where that
        makes the mean squared error of the channel smaller.

    Returns
    -------
    scales : ndarray of float32
        One for each channel; 1 where all weights are 0.

    Raises
    ------
    InputError
        Another number of bits or name of a range.

    Examples
    --------
    >>> weight_scales(np.array([[1.27, 0.1], [0.0, 0.0]], np.float32), 0)
    array([0.01, 1.  ], dtype=float32)
    """
    if not 2 <= bits <= 8:
        raise InputError(f"weight_bits: expected 2 to 8, got {bits}")
    if ranges not in WEIGHT_RANGES:
        raise InputError(
            f"weight_ranges: expected one of {list(WEIGHT_RANGES)}, got {ranges!r}"
        )
    last = 2 ** (bits - 1) - 1
    rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)
    largest = np.abs(rows).max(axis=1) if rows.shape[1] else np.zeros(len(rows))
    scales = _safe(largest / last)
    if ranges == "mse":
        scales = _least_squares(rows, scales, last)
    return scales


def _safe(scales: Array) -> Array:
    """Scales in float32 that can be divided by."""
    tiny = np.finfo(np.float32).tiny
    scales = scales.astype(np.float32)
    made: Array = np.where(scales == 0, np.float32(1), np.maximum(scales, tiny))
    return made


def _least_squares(rows: Array, scales: Array, last: int) -> Array:
    """Shrink the range of each row to where its squared error is least."""
    best: Array = scales.copy()
    least = np.full(len(rows), np.inf)
    for share in _SHARES:
        tried = _safe(scales * np.float32(share))[:, None]
        rounded = np.clip(np.rint(rows / tried), -last, last) * tried
        error = ((rounded - rows).astype(np.float64) ** 2).sum(axis=1)
        is_better = error < least
        best[is_better] = tried[is_better, 0]
        least = np.where(is_better, error, least)
    return best
