"""Batches of an update: new rows and old ones in a fixed share, blended with others.

A few dozen new rows are learned by heart in a minute. Blending pairs of rows and their
labels (mixup) and noise of a share of what columns spread keep weights from that, and
ask nothing of the data but that they are numbers.

References
----------
Zhang, Cisse, Dauphin, Lopez-Paz: mixup: Beyond Empirical Risk Minimization, ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.types import Array

__all__ = ["Batches", "Blend"]


@dataclass(frozen=True)
class Blend:
    """How rows of a batch are changed before they are learned.

    Parameters
    ----------
    mixup : float
        Both parameters of the beta distribution that shares of pairs are drawn from;
        0: pairs are not blended.
    noise : float
        Of normal noise, as a share of the standard deviation of a column (of all
        pixels or samples where rows are not flat).

    Examples
    --------
    >>> Blend()
    Blend(mixup=0.3, noise=0.25)
    """

    mixup: float = 0.3
    noise: float = 0.25


class Batches:
    """Endless batches, the same for the same seed.

    Parameters
    ----------
    new : sequence of ndarray
        Inputs, then targets; one row for each example along the first axis.
    old : sequence of ndarray or None
        The same of rows that were known before.
    batch_size : int
    share : float
        Of new rows in a batch, where there are old ones.
    blend : Blend
        Left out where an input is not of floats.
    seed : int

    Examples
    --------
    >>> new = [np.ones((3, 2), np.float32), np.ones((3, 1), np.float32)]
    >>> old = [np.zeros((9, 2), np.float32), np.zeros((9, 1), np.float32)]
    >>> batches = Batches(new, old, batch_size=4, share=0.5, blend=Blend(0, 0), seed=0)
    >>> x, y = next(iter(batches))
    >>> x.shape, float(y.sum())
    ((4, 2), 2.0)
    """

    def __init__(
        self,
        new: Sequence[Array],
        old: Sequence[Array] | None,
        *,
        batch_size: int,
        share: float,
        blend: Blend,
        seed: int,
    ) -> None:
        self._pools = [list(new)]
        self._sizes = [batch_size]
        if old is not None and len(old[0]):
            n_new = min(max(round(batch_size * share), 1), batch_size - 1)
            self._pools.append(list(old))
            self._sizes = [n_new, batch_size - n_new]
        self._seed = seed
        is_number = all(a.dtype.kind == "f" for a in new)
        self._mixup = blend.mixup if is_number else 0.0
        self._spreads = [
            blend.noise * self._spread(i) if is_number and blend.noise else None
            for i in range(len(new) - 1)
        ]

    def _spread(self, i: int) -> Array:
        rows = np.concatenate([pool[i] for pool in self._pools])
        axis = 0 if rows.ndim == 2 else None
        return np.asarray(rows.std(axis=axis), rows.dtype)

    def __iter__(self) -> Iterator[list[Array]]:
        """Give batch after batch: inputs, then targets."""
        rng = np.random.default_rng(self._seed)
        orders = [
            _indices(len(pool[0]), size, rng)
            for pool, size in zip(self._pools, self._sizes, strict=True)
        ]
        while True:
            parts = [
                [array[index] for array in pool]
                for pool, index in zip(self._pools, map(next, orders), strict=True)
            ]
            batch = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
            yield self._blended(batch, rng)

    def _blended(self, batch: list[Array], rng: np.random.Generator) -> list[Array]:
        for i, spread in enumerate(self._spreads):
            if spread is not None:
                noise = rng.standard_normal(batch[i].shape, np.float32)
                batch[i] = batch[i] + (noise * spread).astype(batch[i].dtype)
        if not self._mixup:
            return batch
        n = len(batch[0])
        shares, other = rng.beta(self._mixup, self._mixup, n), rng.permutation(n)
        return [_mixed(array, shares, other) for array in batch]


def _mixed(array: Array, shares: Array, other: Array) -> Array:
    column = shares.reshape(-1, *[1] * (array.ndim - 1)).astype(array.dtype)
    return np.asarray(array * column + array[other] * (1 - column))


def _indices(n_rows: int, size: int, rng: np.random.Generator) -> Iterator[Array]:
    """Endless draws of `size` rows, each row as often as any other but for one."""
    waiting = np.zeros(0, np.int64)
    while True:
        while len(waiting) < size:
            waiting = np.concatenate([waiting, rng.permutation(n_rows)])
        yield waiting[:size]
        waiting = waiting[size:]
