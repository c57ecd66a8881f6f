"""Least squares towards a prior, for all strengths of the penalty at once.

Minimises ``sum_i w_i |t_i - W^T f_i - b|^2 + penalty (|W - W0|^2 + |c - c0|^2)``, where
``c`` is the bias at the mean of the features, in units of how widely they spread: it is
held as well, for a few rows would move it at random, but less than the weights.

One eigendecomposition serves every penalty: of the Gram matrix of the features, or of
that of the rows where there are fewer of them. What a fit without row i says of row i
follows from the fit with it: its residual is ``e_i / (1 - h_i)``, exactly.

References
----------
Allen, "The relationship between variable selection and data augmentation and a method
for prediction", Technometrics 16 (1974).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trimtab.types import Array
    from trimtab.update.statistics import HeadStatistics

__all__ = ["Ridge", "penalties"]

# Columns of fits that are computed at once, which bounds the memory they take.
_N_COLUMNS = 256


class Ridge:
    """The fits of all penalties, given the rows.

    Parameters
    ----------
    features : ndarray of shape (n, d)
    targets : ndarray of shape (n, k)
    prior_weight : ndarray of shape (d, k)
    prior_bias : ndarray of shape (k,)
        What weights and bias shrink to.
    row_weights : ndarray of shape (n,), optional
        1 by default; none may be negative.
    old : HeadStatistics, optional
        Rows of which only these are left.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> ridge = Ridge(x, 2 * x + 1, np.zeros((1, 1)), np.zeros(1))
    >>> weight, bias = ridge.solve(1e-9)
    >>> weight.round(3).tolist(), bias.round(3).tolist()
    ([[2.0]], [1.0])
    """

    def __init__(
        self,
        features: Array,
        targets: Array,
        prior_weight: Array,
        prior_bias: Array,
        *,
        row_weights: Array | None = None,
        old: HeadStatistics | None = None,
    ) -> None:
        f = np.asarray(features, np.float64)
        self._targets = np.asarray(targets, np.float64)
        self._prior = np.asarray(prior_weight, np.float64)
        self._prior_bias = np.asarray(prior_bias, np.float64)
        w = np.ones(len(f)) if row_weights is None else np.asarray(row_weights, float)
        self._root = np.sqrt(w)[:, None]
        self._residuals = self._targets - f @ self._prior - self._prior_bias
        total, sum_f = w.sum(), w @ f
        if old is not None:
            total, sum_f = total + old.weight, sum_f + old.gram[:-1, -1]
        #: Mean of the features, old rows included.
        self.mean: Array = sum_f / max(float(total), np.finfo(float).tiny)
        self._rows = np.zeros((len(f), f.shape[1] + 1))
        np.subtract(f, self.mean, out=self._rows[:, :-1])
        if row_weights is not None:
            self._rows *= self._root
        spread = float(np.vdot(self._rows, self._rows))
        scatter = None
        if old is not None:
            scatter = self._scatter(old)
            spread += float(np.trace(scatter))
        #: The bias as a feature has this value in every row.
        self.bias_scale = float(np.sqrt(spread / total)) if spread > 0 else 1.0
        self._rows[:, -1] = self.bias_scale * self._root[:, 0]
        self._decompose(old, scatter)

    def _scatter(self, old: HeadStatistics) -> Array:
        """Products of the old rows' features around the common mean."""
        mean, sum_f = self.mean, old.gram[:-1, -1]
        across = np.outer(sum_f, mean)
        return np.asarray(
            old.gram[:-1, :-1] - across - across.T + old.weight * np.outer(mean, mean)
        )

    def _decompose(self, old: HeadStatistics | None, scatter: Array | None) -> None:
        """Find axes in which the penalty only scales.

        `_places` of the rows and `_pull` of their residuals on those axes: a fit is
        ``_places @ (_pull * _gain / (_values + penalty))``.
        """
        rows, residuals = self._rows, self._root * self._residuals
        n, d = rows.shape
        self._vectors: Array | None = None
        if old is None and n < d:
            values, self._places = np.linalg.eigh(rows @ rows.T)
            self._gain = self._values = np.maximum(values, 0.0)
            self._pull = self._places.T @ residuals
            return
        gram, pull = rows.T @ rows, rows.T @ residuals
        if old is not None and scatter is not None:
            gram, pull = self._with_old(gram, pull, old, scatter)
        values, self._vectors = np.linalg.eigh(gram)
        self._values = np.maximum(values, 0.0)
        self._gain = np.ones(len(values))
        self._places = rows @ self._vectors
        self._pull = self._vectors.T @ pull

    def _with_old(
        self, gram: Array, pull: Array, old: HeadStatistics, scatter: Array
    ) -> tuple[Array, Array]:
        """Add the sums of the old rows, with the same mean and scale."""
        sum_f, scale = old.gram[:-1, -1], self.bias_scale
        edge = scale * (sum_f - old.weight * self.mean)
        wide = np.concatenate([self._prior, self._prior_bias[None]])
        cross = old.cross - old.gram @ wide
        sum_r = cross[-1]
        gram = gram + np.block(
            [[scatter, edge[:, None]], [edge[None], np.full((1, 1), old.weight)]]
        )
        gram[-1, -1] += (scale**2 - 1) * old.weight
        joint = cross[:-1] - np.outer(self.mean, sum_r)
        return gram, pull + np.concatenate([joint, scale * sum_r[None]])

    @property
    def largest(self) -> float:
        """The largest eigenvalue: what penalties are measured by."""
        return float(self._values[-1]) if len(self._values) else 0.0

    def leverages(self, penalty: float) -> Array:
        """Say how far each row pulls its own fit, in [0, 1].

        Parameters
        ----------
        penalty : float

        Returns
        -------
        leverages : ndarray of shape (n,)
        """
        return np.asarray(self._squares @ (self._gain / (self._values + penalty)))

    @cached_property
    def _squares(self) -> Array:
        return np.asarray(self._places**2)

    def left_out(self, penalty: float) -> Array:
        """Give what the fit without each row says of that row.

        Parameters
        ----------
        penalty : float

        Returns
        -------
        predictions : ndarray of shape (n, k)
        """
        return next(self.left_out_each(np.array([penalty])))

    def left_out_each(self, given: Array) -> Iterator[Array]:
        """Give the same for one penalty after the other.

        Parameters
        ----------
        given : ndarray of shape (m,)
            Penalties.

        Yields
        ------
        predictions : ndarray of shape (n, k)

        Returns
        -------
        predictions : iterator of ndarray
        """
        n, k = self._targets.shape
        # a row of weight 0 is left out already
        root = np.where(self._root > 0, self._root, 1.0)
        step = max(1, _N_COLUMNS // max(k, 1))
        for begin in range(0, len(given), step):
            some = given[begin : begin + step]
            shrunk = self._gain[:, None] / (self._values[:, None] + some)
            pulls = (shrunk[:, :, None] * self._pull[:, None]).reshape(len(shrunk), -1)
            fitted = (self._places @ pulls).reshape(n, len(some), k)
            leverages = self._squares @ shrunk
            for i in range(len(some)):
                errors = self._residuals - fitted[:, i] / root
                room = np.maximum(1 - leverages[:, i, None], 1e-12)
                yield self._targets - errors / room

    def solve(self, penalty: float) -> tuple[Array, Array]:
        """Give weights and bias.

        Parameters
        ----------
        penalty : float

        Returns
        -------
        weight : ndarray of shape (d, k)
        bias : ndarray of shape (k,)
        """
        inner = self._pull / (self._values + penalty)[:, None]
        if self._vectors is None:
            change = self._rows.T @ (self._places @ inner)
        else:
            change = self._vectors @ inner
        moved = change[:-1]
        bias = self._prior_bias + self.bias_scale * change[-1] - self.mean @ moved
        return self._prior + moved, np.asarray(bias)


def penalties(ridge: Ridge, n: int = 11) -> Array:
    """Give the penalties to try, from almost none to almost only the prior.

    Parameters
    ----------
    ridge : Ridge
    n : int, default=11

    Returns
    -------
    penalties : ndarray of shape (n,)
        Rising.

    Examples
    --------
    >>> ridge = Ridge(np.eye(2), np.eye(2), np.zeros((2, 2)), np.zeros(2))
    >>> penalties(ridge, 3).round(9).tolist()
    [1e-05, 0.031622777, 100.0]
    """
    return np.geomspace(1e-5, 1e2, n) * (ridge.largest or 1.0)
