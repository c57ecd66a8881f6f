"""GPTQ: weights rounded one row after another, the later ones making up for the error.

References
----------
Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", 2023, arXiv:2210.17323.
"""

from __future__ import annotations

import numpy as np

from trimtab.errors import InputError
from trimtab.optimize.blocks import BlockWeights, block_parameters, round_to_blocks
from trimtab.types import Array

__all__ = ["Hessian", "gptq"]

_LAZY = 128  # rows after which the rest of the matrix is brought up to date
# With less, inputs of few directions move weights far beyond what the integers hold.
_LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e3


class Hessian:
    """Second moments of a layer's inputs, gathered batch by batch: 2 X^T X.

    Parameters
    ----------
    k : int
        Size of the last dim of the inputs.

    Examples
    --------
    >>> hessian = Hessian(2)
    >>> hessian.add(np.ones((3, 2), np.float32))
    >>> hessian.matrix
    array([[2., 2.],
           [2., 2.]])
    """

    def __init__(self, k: int) -> None:
        self._sum = np.zeros((k, k))
        self.n_rows = 0

    def add(self, inputs: Array) -> None:
        """Count the rows of a batch; those with NaN or infinity do not count.

        Parameters
        ----------
        inputs : ndarray of float, [..., k]

        Raises
        ------
        InputError
            The last dim is another one.

        Examples
        --------
        >>> Hessian(2).add(np.ones((5, 3, 2), np.float32))
        """
        k = len(self._sum)
        if inputs.ndim < 1 or inputs.shape[-1] != k:
            raise InputError(f"inputs of shape {inputs.shape}, expected [..., {k}]")
        rows = inputs.reshape(-1, k)
        rows = rows[np.isfinite(rows).all(1)].astype(np.float64)
        self._sum += 2 * (rows.T @ rows)
        self.n_rows += len(rows)

    @property
    def matrix(self) -> Array:
        """The mean over all rows: [k, k] of float64."""
        return self._sum / max(self.n_rows, 1)


def _factor(hessian: Array, damping: float) -> Array:
    """Upper factor U of the inverse of the damped matrix: inverse = U^T U."""
    diagonal = np.diagonal(hessian).copy()
    dead = diagonal <= 0
    mean = float(diagonal[~dead].mean()) if not dead.all() else 1.0
    damped = hessian.copy()
    damped[dead, :] = damped[:, dead] = 0  # never seen: rounded on its own
    diagonal[dead] = mean
    eye = np.arange(len(diagonal))
    damping = max(damping, _LEAST_DAMPING)
    while True:
        damped[eye, eye] = diagonal + damping * mean
        try:
            np.linalg.cholesky(damped)
            inverse = np.linalg.inv(damped)
            return np.ascontiguousarray(np.linalg.cholesky(inverse).T)
        except np.linalg.LinAlgError:
            if damping > _MOST_DAMPING:
                raise
            damping *= 10


def gptq(
    weights: Array,
    hessian: Hessian | Array,
    *,
    bits: int = 4,
    block_size: int = 32,
    symmetric: bool = True,
    search: bool = True,
    damping: float = 0.01,
) -> BlockWeights:
    """Quantise a matrix so that its products with typical inputs stay.

    Parameters
    ----------
    weights : ndarray of float32, [k, n]
    hessian : Hessian or ndarray, [k, k]
        Of the inputs.
    bits : {4, 8}, default=4
    block_size : int, default=32
    symmetric, search : bool, default=True
        See `trimtab.optimize.blocks.block_parameters`.
    damping : float, default=0.01
        Added to the diagonal, as a share of its mean; at least 0.001, and more where
        the matrix needs it.

    Returns
    -------
    weights : BlockWeights

    Raises
    ------
    InputError
        The matrices do not fit, or the Hessian has NaN or infinity.

    Examples
    --------
    >>> hessian = Hessian(16)
    >>> hessian.add(np.eye(16, dtype=np.float32))
    >>> gptq(np.eye(16, dtype=np.float32), hessian, block_size=16).k
    16
    """
    matrix = hessian.matrix if isinstance(hessian, Hessian) else np.asarray(hessian)
    k, n = weights.shape
    if matrix.shape != (k, k) or not np.isfinite(matrix).all():
        raise InputError(
            f"a Hessian of shape {matrix.shape}, expected finite numbers, ({k}, {k})"
        )
    upper = _factor(matrix.astype(np.float64), damping)
    left = weights.T.astype(np.float64)  # what is still to be rounded, [n, k]
    n_blocks = -(-k // block_size)
    q = np.full((n, n_blocks * block_size), 1 << (bits - 1), np.uint8)
    scales, zeros = np.zeros((2, n, n_blocks), np.float32)
    for begin in range(0, k, _LAZY):
        end = min(begin + _LAZY, k)
        errors = np.zeros((n, end - begin))
        for i in range(begin, end):
            block = i // block_size
            if i % block_size == 0:
                ahead = left[:, i : i + block_size].astype(np.float32)
                if i + block_size > end:  # what this stretch has not reached yet
                    ahead = ahead.copy()
                    ahead[:, end - i :] -= (
                        errors @ upper[begin:end, end : i + block_size]
                    ).astype(np.float32)
                scales[:, block], zeros[:, block] = block_parameters(
                    ahead, bits, symmetric=symmetric, search=search
                )
            scale, zero = scales[:, block], zeros[:, block]
            rounded = round_to_blocks(left[:, i, None], scale, zero, bits)[:, 0]
            q[:, i] = rounded
            error = (left[:, i] - (rounded - zero) * scale) / upper[i, i]
            left[:, i + 1 : end] -= np.outer(error, upper[i, i + 1 : end])
            errors[:, i - begin] = error
        left[:, end:] -= errors @ upper[begin:end, end:]
    if not symmetric:
        fill = np.repeat(zeros, block_size, 1)[:, k:]
        q[:, k:] = fill
    kept = None if symmetric else zeros.astype(np.uint8)
    return BlockWeights(q, scales, kept, bits, block_size, k)
