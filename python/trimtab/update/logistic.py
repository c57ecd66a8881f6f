"""Logistic regression that is drawn to the weights it began with: a Newton solver.

Enters: features and targets. Leaves: weights and shifts. Everything is float64 and
NumPy; Newton's step is found by conjugate gradients, so that no matrix of
(features x classes) squared is formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.errors import InputError
from trimtab.types import Array

__all__ = ["LINKS", "LogisticFit", "fit_logistic"]

#: How scores become probabilities.
LINKS = ("softmax", "sigmoid")

# The line search halves a step at most so often.
_MAX_HALVINGS = 40
# Share of the slope that a step must gain (Armijo's rule).
_ENOUGH = 1e-4


@dataclass(frozen=True)
class LogisticFit:
    """What a fit came to.

    Parameters
    ----------
    weight : ndarray of shape (n_features, n_outputs)
    bias : ndarray of shape (n_outputs,)
    loss : float
        Of the objective.
    n_steps : int
        Newton's.
    is_converged : bool
    """

    weight: Array
    bias: Array
    loss: float
    n_steps: int
    is_converged: bool


@dataclass(frozen=True)
class _Problem:
    """The objective over one matrix: weights, and the shifts as its last row."""

    phi: Array  # (n, d + 1), its last column is 1
    targets: Array  # (n, k)
    row_weight: Array  # (n, 1)
    prior: Array  # (d + 1, k)
    penalty: Array  # (d + 1, 1), 0 for the shifts
    metric: Array | None  # (d + 1, d + 1), of the second penalty
    link: str

    def pull(self, v: Array) -> Array:
        """Multiply with the Hessian of the penalties."""
        pulled = self.penalty * v
        if self.metric is not None:
            pulled += self.metric @ v
        return np.asarray(pulled)

    def loss(self, theta: Array) -> float:
        scores = self.phi @ theta
        if self.link == "softmax":
            top = scores.max(axis=1, keepdims=True)
            logs = np.log(np.exp(scores - top).sum(axis=1, keepdims=True)) + top
            mass = self.targets.sum(axis=1, keepdims=True)
            rows = mass * logs - (self.targets * scores).sum(axis=1, keepdims=True)
        else:
            each = np.logaddexp(0.0, scores) - self.targets * scores
            rows = each.sum(axis=1, keepdims=True)
        moved = theta - self.prior
        return float(
            (self.row_weight * rows).sum() + 0.5 * (moved * self.pull(moved)).sum()
        )

    def probabilities(self, theta: Array) -> Array:
        scores = self.phi @ theta
        if self.link == "softmax":
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            return np.asarray(shares / shares.sum(axis=1, keepdims=True))
        return np.asarray(np.exp(-np.logaddexp(0.0, -scores)))

    def gradient(self, theta: Array, p: Array) -> Array:
        mass = 1.0
        if self.link == "softmax":
            mass = self.targets.sum(axis=1, keepdims=True)
        error = self.row_weight * (mass * p - self.targets)
        return np.asarray(self.phi.T @ error + self.pull(theta - self.prior))

    def curve(self, p: Array, v: Array) -> Array:
        """Multiply with the Hessian where the probabilities are `p`."""
        s = self.phi @ v
        if self.link == "softmax":
            mean = (p * s).sum(axis=1, keepdims=True)
            bent = self.targets.sum(axis=1, keepdims=True) * p * (s - mean)
        else:
            bent = p * (1.0 - p) * s
        return np.asarray(self.phi.T @ (self.row_weight * bent) + self.pull(v))

    def diagonal(self, p: Array) -> Array:
        """Give the Hessian's diagonal: what conjugate gradients are scaled by."""
        bent = self.row_weight * p * (1.0 - p)
        found = (self.phi**2).T @ bent + self.penalty
        if self.metric is not None:
            found = found + np.diag(self.metric)[:, None]
        return np.asarray(np.maximum(found, 1e-12 * max(float(found.max()), 1e-300)))


def fit_logistic(
    features: Array,
    targets: Array,
    *,
    weight: Array | None = None,
    bias: Array | None = None,
    penalty: float = 1.0,
    metric: Array | None = None,
    row_weight: Array | None = None,
    link: str = "softmax",
    tolerance: float = 1e-6,
    max_steps: int = 100,
) -> LogisticFit:
    """Minimise the cross-entropy plus the squared distance from given weights.

    The objective is the sum over rows of ``row_weight`` times the cross-entropy, plus
    ``penalty / 2 * ||W - W0||^2``, plus ``trace(D' metric D) / 2`` where ``D`` holds
    what weights and shifts moved by. Shifts have no penalty but that of the metric.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
    targets : ndarray of shape (n, n_outputs)
        Shares of classes (one-hot rows, or soft labels); 0 and 1 for "sigmoid".
    weight : ndarray of shape (n_features, n_outputs), optional
        Where it begins and what it is drawn to; zeros by default.
    bias : ndarray of shape (n_outputs,), optional
        Where shifts begin.
    penalty : float, default=1.0
        What scikit-learn calls 1 / C.
    metric : ndarray of shape (n_features + 1, n_features + 1), optional
        Moments of old features with a 1 behind them: moving old scores costs their
        squares. The place of old rows where there are only their statistics.
    row_weight : ndarray of shape (n,), optional
    link : str, default="softmax"
        One of `LINKS`.
    tolerance : float, default=1e-6
        It ends where the largest item of the gradient is below this share of what it
        was at zero weights.
    max_steps : int, default=100

    Returns
    -------
    fit : LogisticFit

    Raises
    ------
    InputError
        Shapes differ, or the link or the penalty is none.

    Examples
    --------
    >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> fit = fit_logistic(x, np.eye(2)[[0, 0, 1, 1]], penalty=0.1)
    >>> (x @ fit.weight + fit.bias).argmax(axis=1).tolist(), fit.is_converged
    ([0, 0, 1, 1], True)
    """
    problem = _problem(
        features, targets, weight, bias, penalty, metric, row_weight, link
    )
    theta = problem.prior.copy()
    loss = problem.loss(theta)
    scale = _scale(problem)
    n_steps, is_converged = 0, False
    while True:
        p = problem.probabilities(theta)
        g = problem.gradient(theta, p)
        size = float(np.abs(g).max())
        is_converged = size <= tolerance * scale
        if is_converged or n_steps >= max_steps:
            break
        step = _newton_step(problem, p, g)
        found = _search(problem, theta, step, loss, float((g * step).sum()))
        if found is None:  # no step gains: as good as the arithmetic allows
            is_converged = size <= 1e3 * tolerance * scale
            break
        theta, loss = found
        n_steps += 1
    return LogisticFit(theta[:-1], theta[-1], loss, n_steps, is_converged)


def _scale(problem: _Problem) -> float:
    """The largest item of the data's gradient at zero weights."""
    zeros = np.zeros_like(problem.prior)
    p = problem.probabilities(zeros)
    g = problem.gradient(zeros, p) + problem.pull(problem.prior)
    return max(float(np.abs(g).max()), 1e-12)


def _newton_step(problem: _Problem, p: Array, g: Array) -> Array:
    """Solve for Newton's step by conjugate gradients, as exactly as it pays."""
    inverse = 1.0 / problem.diagonal(p)
    x = np.zeros_like(g)
    r = -g
    z = inverse * r
    d = z.copy()
    rz = float((r * z).sum())
    norm = float(np.sqrt((g * g).sum()))
    goal = min(0.1, np.sqrt(norm)) * norm
    for _ in range(2 * g.size):
        hd = problem.curve(p, d)
        bend = float((d * hd).sum())
        if bend <= 0.0:  # flat along d, as it is for a shift of all scores
            break
        alpha = rz / bend
        x += alpha * d
        r -= alpha * hd
        if float(np.sqrt((r * r).sum())) <= goal:
            break
        z = inverse * r
        rz, before = float((r * z).sum()), rz
        d = z + (rz / before) * d
    return x if x.any() else -inverse * g


def _search(
    problem: _Problem, theta: Array, step: Array, loss: float, slope: float
) -> tuple[Array, float] | None:
    if slope >= 0.0:
        return None
    length = 1.0
    for _ in range(_MAX_HALVINGS):
        tried = theta + length * step
        value = problem.loss(tried)
        if value <= loss + _ENOUGH * length * slope:
            return tried, value
        length *= 0.5
    return None


def _problem(
    features: Array,
    targets: Array,
    weight: Array | None,
    bias: Array | None,
    penalty: float,
    metric: Array | None,
    row_weight: Array | None,
    link: str,
) -> _Problem:
    x, t = np.asarray(features, np.float64), np.asarray(targets, np.float64)
    if x.ndim != 2 or t.ndim != 2 or len(x) != len(t) or not t.size or not x.size:
        raise InputError(
            f"features and targets: expected two tables of as many rows, got "
            f"{x.shape} and {t.shape}"
        )
    if link not in LINKS:
        raise InputError(f"link must be one of {', '.join(LINKS)}, got {link!r}")
    if not (np.isfinite(penalty) and penalty >= 0.0):
        raise InputError(f"penalty must be a number of 0 or more, got {penalty}")
    (n, d), k = x.shape, t.shape[1]
    prior = np.zeros((d + 1, k))
    prior[:-1] = 0.0 if weight is None else _shaped(weight, (d, k), "weight")
    prior[-1] = 0.0 if bias is None else _shaped(bias, (k,), "bias")
    pull = np.full((d + 1, 1), float(penalty))
    pull[-1] = 0.0
    rows = np.ones(n) if row_weight is None else _shaped(row_weight, (n,), "row_weight")
    moments = None if metric is None else _shaped(metric, (d + 1, d + 1), "metric")
    phi = np.concatenate([x, np.ones((n, 1))], axis=1)
    return _Problem(phi, t, rows[:, None], prior, pull, moments, link)


def _shaped(array: Array, shape: tuple[int, ...], name: str) -> Array:
    found = np.asarray(array, np.float64)
    if found.shape != shape:
        raise InputError(f"{name}: expected the shape {shape}, got {found.shape}")
    return found
