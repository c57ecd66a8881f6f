"""Weights of 4 or 8 bits in blocks along the inner dim, each with scale and zero point.

A weight is ``(q - zero) * scale``. Without zero points the middle of what the bits hold
stands for 0 (8, or 128).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.types import Array

__all__ = ["BlockWeights", "block_parameters", "round_to_blocks", "round_to_nearest"]

# Shares of the range that the search for a scale tries.
_SHARES = np.linspace(0.7, 1.0, 16)


@dataclass(frozen=True)
class BlockWeights:
    """A matrix [k, n] of quantised weights.

    Parameters
    ----------
    q : ndarray of uint8, [n, blocks * block_size]
    scales : ndarray of float32, [n, blocks]
    zeros : ndarray of uint8, [n, blocks], or None
    bits : {4, 8}
    block_size : int
    k : int
        Rows of the matrix; what `q` has beyond fills the last block.

    Examples
    --------
    >>> round_to_nearest(np.eye(16, dtype=np.float32), block_size=16).q.shape
    (16, 16)
    """

    q: Array
    scales: Array
    zeros: Array | None
    bits: int
    block_size: int
    k: int

    def dequantized(self) -> Array:
        """Give the weights that it stands for.

        Returns
        -------
        weights : ndarray of float32, [k, n]

        Examples
        --------
        >>> weights = round_to_nearest(np.eye(16, dtype=np.float32), block_size=16)
        >>> weights.dequantized()[0, :1]
        array([1.], dtype=float32)
        """
        n, blocks = self.scales.shape
        zero = np.float32(1 << (self.bits - 1))
        zeros = zero if self.zeros is None else self.zeros[..., None].astype(np.float32)
        q = self.q.reshape(n, blocks, self.block_size).astype(np.float32)
        real = (q - zeros) * self.scales[..., None]
        return np.ascontiguousarray(real.reshape(n, -1)[:, : self.k].T)

    def tensors(self) -> tuple[Array, Array, Array | None]:
        """Give what MatMulNBits takes: weights, scales, zero points.

        Returns
        -------
        weights : ndarray of uint8, [n, blocks, bytes of a block]
        scales : ndarray of float32, [n, blocks]
        zeros : ndarray of uint8, or None

        Examples
        --------
        >>> weights = round_to_nearest(np.eye(16, dtype=np.float32), block_size=16)
        >>> weights.tensors()[0].shape
        (16, 1, 8)
        """
        n, blocks = self.scales.shape
        zeros = None if self.zeros is None else _packed(self.zeros, self.bits)
        return _packed(self.q, self.bits).reshape(n, blocks, -1), self.scales, zeros


def _packed(values: Array, bits: int) -> Array:
    """Two values of 4 bits to a byte, the first in the lower half."""
    if bits == 8:
        return values
    if values.shape[1] % 2:
        values = np.pad(values, [(0, 0), (0, 1)])
    packed: Array = values[:, ::2] | values[:, 1::2] << 4
    return packed


def _symmetric(blocks: Array, bits: int) -> tuple[Array, Array]:
    """Scales by which the item furthest from 0 becomes the lowest integer."""
    place = np.abs(blocks).argmax(-1)[..., None]
    scale = -np.take_along_axis(blocks, place, -1)[..., 0] / (1 << (bits - 1))
    return scale, np.full(scale.shape, 1 << (bits - 1), np.float32)


def _asymmetric(blocks: Array, bits: int) -> tuple[Array, Array]:
    """Scales and zero points for the range, 0 included."""
    low = np.minimum(blocks.min(-1), 0)
    scale = (np.maximum(blocks.max(-1), 0) - low) / ((1 << bits) - 1)
    safe = np.where(scale == 0, 1, scale)
    return scale, np.clip(np.rint(-low / safe), 0, (1 << bits) - 1).astype(np.float32)


def round_to_blocks(blocks: Array, scale: Array, zero: Array, bits: int) -> Array:
    """Round weights to integers.

    Parameters
    ----------
    blocks : ndarray of float, [..., items]
    scale, zero : ndarray of float, [...]
    bits : {4, 8}

    Returns
    -------
    q : ndarray of float, [..., items]
        Integers from 0 to what the bits hold.

    Examples
    --------
    >>> one = np.float32(1)
    >>> round_to_blocks(np.array([-9.0, 0.6]), one, 8 * one, 4)
    array([0., 9.])
    """
    safe = np.where(scale == 0, 1, scale)[..., None]
    q: Array = np.clip(np.rint(blocks / safe) + zero[..., None], 0, (1 << bits) - 1)
    return q


def block_parameters(
    blocks: Array, bits: int, *, symmetric: bool = True, search: bool = True
) -> tuple[Array, Array]:
    """Choose the scale and the zero point of each block.

    Parameters
    ----------
    blocks : ndarray of float32, [..., items]
    bits : {4, 8}
    symmetric : bool, default=True
        The middle of the integers stands for 0.
    search : bool, default=True
        Of several shares of the range, take the one with the least squared error.

    Returns
    -------
    scale, zero : ndarray of float32, [...]

    Examples
    --------
    >>> scale, zero = block_parameters(np.array([[-8.0, 7.0]], np.float32), 4)
    >>> float(scale[0]), float(zero[0])
    (1.0, 8.0)
    """
    scale, zero = (_symmetric if symmetric else _asymmetric)(blocks, bits)
    scale = scale.astype(np.float32)
    if not search:
        return scale, zero
    best, least = scale, np.full(scale.shape, np.inf, np.float32)
    for share in _SHARES[::-1]:
        tried = scale * np.float32(share)
        q = round_to_blocks(blocks, tried, zero, bits)
        error = np.square((q - zero[..., None]) * tried[..., None] - blocks).sum(-1)
        is_less = error < least
        best, least = np.where(is_less, tried, best), np.where(is_less, error, least)
    return best, zero


def round_to_nearest(
    weights: Array,
    *,
    bits: int = 4,
    block_size: int = 32,
    symmetric: bool = True,
    search: bool = True,
) -> BlockWeights:
    """Quantise a matrix, each weight to the nearest integer.

    Parameters
    ----------
    weights : ndarray of float32, [k, n]
    bits : {4, 8}, default=4
    block_size : int, default=32
        A power of two from 16 on.
    symmetric, search : bool, default=True
        See `block_parameters`.

    Returns
    -------
    weights : BlockWeights

    Examples
    --------
    >>> eye = np.eye(20, dtype=np.float32)
    >>> bool(np.abs(round_to_nearest(eye).dequantized() - eye).max() < 0.01)
    True
    """
    k, n = weights.shape
    wide = np.pad(weights.T.astype(np.float32), [(0, 0), (0, -k % block_size)])
    blocks = wide.reshape(n, -1, block_size)
    scale, zero = block_parameters(blocks, bits, symmetric=symmetric, search=search)
    q = round_to_blocks(blocks, scale, zero, bits).astype(np.uint8)
    zeros = None if symmetric else zero.astype(np.uint8)
    return BlockWeights(q.reshape(n, -1), scale, zeros, bits, block_size, k)
