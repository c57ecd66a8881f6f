"""Probabilities that hold: a temperature, other shares of the classes, a straight line.

References
----------
Guo et al., "On calibration of modern neural networks", ICML 2017 (temperature);
Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new a
priori probabilities", Neural Computation 14 (2002) (shares by EM); Platt 1999 (targets
that are never quite 0 or 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trimtab.types import Array

__all__ = [
    "fit_line",
    "fit_shares",
    "fit_temperature",
    "log_loss",
    "log_softmax",
    "shift_of",
]

# Temperatures beyond say that the scores are constants, or that they are all right.
_LEAST, _MOST = 1e-3, 1e3
_N_NEWTON = 100
# Pseudo-counts of each class, that none is ruled out for not having been seen.
_PRIOR_COUNT = 0.5


def log_softmax(logits: Array) -> Array:
    """Give logarithms of probabilities; never overflows.

    Parameters
    ----------
    logits : ndarray of shape (n, k)

    Returns
    -------
    logs : ndarray of float64

    Examples
    --------
    >>> np.exp(log_softmax(np.array([[1e4, 1e4]]))).tolist()
    [[0.5, 0.5]]
    """
    z = np.asarray(logits, np.float64)
    z = z - z.max(axis=-1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=-1, keepdims=True)))


def log_loss(
    logits: Array,
    targets: Array,
    *,
    is_sigmoid: bool,
    row_weights: Array | None = None,
) -> float:
    """Mean negative log-likelihood of a row.

    Parameters
    ----------
    logits, targets : ndarray of shape (n, k)
        Targets are probabilities: of classes, or of each yes.
    is_sigmoid : bool
    row_weights : ndarray of shape (n,), optional
        1 by default.

    Returns
    -------
    loss : float

    Examples
    --------
    >>> round(log_loss(np.zeros((1, 4)), np.eye(4)[:1], is_sigmoid=False), 4)
    1.3863
    """
    if is_sigmoid:
        # log(1 + exp(z)) - t z
        losses = (np.logaddexp(0.0, logits) - targets * logits).sum(axis=-1)
    else:
        losses = -np.einsum("...j,...j->...", targets, log_softmax(logits))
    return float(np.average(losses, weights=row_weights))


def softened(targets: Array, *, is_sigmoid: bool) -> Array:
    """Take targets back from 0 and 1 by as much as so many rows can tell.

    Rows that are all right would ask for a temperature of 0 else.

    Parameters
    ----------
    targets : ndarray of shape (n, k)
        0 and 1.
    is_sigmoid : bool

    Returns
    -------
    targets : ndarray of float64

    Examples
    --------
    >>> softened(np.array([[1.0, 0.0]] * 8), is_sigmoid=False)[0].tolist()
    [0.9, 0.1]
    """
    n, k = targets.shape
    room = 1 / (n + 2)
    if is_sigmoid:
        return np.asarray(targets * (1 - 2 * room) + room)
    if k == 1:
        return np.asarray(targets, np.float64)
    return np.asarray(targets * (1 - room - room / (k - 1)) + room / (k - 1))


def fit_temperature(
    logits: Array,
    targets: Array,
    *,
    is_sigmoid: bool,
    row_weights: Array | None = None,
    start: float = 1.0,
    tolerance: float = 1e-9,
) -> float:
    """Give the temperature T for which logits / T are the most likely.

    The loss is convex in 1 / T: Newton's method inside a bracket finds its one minimum.

    Parameters
    ----------
    logits, targets : ndarray of shape (n, k)
        Targets are 0 and 1.
    is_sigmoid : bool
    row_weights : ndarray of shape (n,), optional
        1 by default.
    start : float, default=1.0
        A temperature that is not far.
    tolerance : float, default=1e-9
        Relative.

    Returns
    -------
    temperature : float

    Examples
    --------
    >>> z = np.log(np.array([[0.9, 0.1]] * 10))
    >>> y = np.eye(2)[[0] * 9 + [1]]
    >>> round(fit_temperature(3 * z, y, is_sigmoid=False), 1)
    4.1
    """
    z = np.asarray(logits, np.float64)
    t = softened(np.asarray(targets, np.float64), is_sigmoid=is_sigmoid)
    scale = float(np.abs(z).max(initial=0.0))
    if not scale or not len(z):
        return 1.0
    low, high = _LEAST / max(scale, 1.0), _MOST / min(scale, 1.0)
    beta = min(max(1 / start, low), high)
    w = np.full(len(z), 1 / len(z))
    if row_weights is not None:
        w = np.asarray(row_weights, np.float64) / np.sum(row_weights)
    for _ in range(_N_NEWTON):
        slope, bend = _slope(z, t, w, beta, is_sigmoid)
        low, high = (beta, high) if slope < 0 else (low, beta)
        step = beta - slope / bend if bend > 0 else np.inf
        new = step if low < step < high else np.sqrt(low * high)
        is_close = abs(new - beta) <= tolerance * beta
        beta = float(new)
        if is_close:
            break
    return float(1 / beta)


def _slope(
    z: Array, t: Array, w: Array, beta: float, is_sigmoid: bool
) -> tuple[float, float]:
    """First and second derivative of the loss by 1 / T."""
    if is_sigmoid:
        p = 0.5 * (1 + np.tanh(0.5 * beta * z))
        slope = np.einsum("i,ij,ij->", w, p - t, z)
        return float(slope), float(np.einsum("i,ij,ij->", w, p * (1 - p), z * z))
    e = beta * z
    e -= e.max(axis=1, keepdims=True)
    np.exp(e, out=e)
    total = np.einsum("ij->i", e)
    e *= z
    mean = np.einsum("ij->i", e) / total
    bend = np.einsum("ij,ij->i", e, z) / total - mean**2
    return float(w @ (mean - np.einsum("ij,ij->i", t, z))), float(w @ bend)


def fit_shares(
    probabilities: Array,
    old_shares: Array,
    *,
    codes: Array | None = None,
    n_steps: int = 1000,
) -> Array:
    """Give the shares of the classes among rows, by expectation maximisation.

    Parameters
    ----------
    probabilities : ndarray of shape (n, k)
        What a model says that is calibrated for the old shares.
    old_shares : ndarray of shape (k,)
        For which it is calibrated.
    codes : ndarray of int, shape (n,), optional
        Classes that are known; -1 where they are not.
    n_steps : int, default=1000
        Bound.

    Returns
    -------
    shares : ndarray of shape (k,)
        Half a row of each class is added, spread by the old shares.

    Examples
    --------
    >>> p = np.array([[0.5, 0.5]] * 4)
    >>> fit_shares(p, np.array([0.5, 0.5]), codes=np.array([0, 0, 0, 1])).tolist()
    [0.7, 0.3]
    """
    p = np.asarray(probabilities, np.float64)
    n, k = p.shape
    old = np.maximum(np.asarray(old_shares, np.float64), 1e-12)
    old = old / old.sum()
    extra = _PRIOR_COUNT * k * old
    known = np.full(n, -1) if codes is None else np.asarray(codes)
    counted = np.bincount(known[known >= 0], minlength=k)[:k] + extra
    open_rows = p[known < 0]
    total = counted.sum() + len(open_rows)
    shares = counted / counted.sum() if counted.sum() > extra.sum() else old
    for _ in range(n_steps if len(open_rows) else 1):
        each = open_rows * (shares / old)
        each /= np.maximum(each.sum(axis=1, keepdims=True), 1e-300)
        new = (counted + each.sum(axis=0)) / total
        change = float(np.abs(new - shares).max())
        shares = new
        if change < 1e-10:
            break
    return np.asarray(shares)


def shift_of(old_shares: Array, shares: Array) -> Array:
    """Give what other shares of the classes add to the logits.

    Parameters
    ----------
    old_shares, shares : ndarray of shape (k,)

    Returns
    -------
    shift : ndarray of shape (k,)
        With a mean of 0.

    Examples
    --------
    >>> shift_of(np.array([0.5, 0.5]), np.array([0.8, 0.2])).round(3).tolist()
    [0.693, -0.693]
    """
    shift = np.log(np.maximum(shares, 1e-12)) - np.log(np.maximum(old_shares, 1e-12))
    return np.asarray(shift - shift.mean())


def fit_line(values: Array, truth: Array) -> tuple[Array, Array, str]:
    """Give factor and shift of each output that bring values to the truth.

    Chosen by exact leave-one-out from: nothing, a shift, a line.

    Parameters
    ----------
    values, truth : ndarray of shape (n, k)

    Returns
    -------
    factor, shift : ndarray of shape (k,)
    what : str
        "nothing", "shift" or "line".

    Examples
    --------
    >>> x = np.arange(6.0)[:, None]
    >>> factor, shift, what = fit_line(x, 2 * x + 1)
    >>> factor.round(6).tolist(), shift.round(6).tolist(), what
    ([2.0], [1.0], 'line')
    """
    x, y = np.asarray(values, np.float64), np.asarray(truth, np.float64)
    n, k = x.shape
    ones, zeros = np.ones(k), np.zeros(k)
    found = {"nothing": (((y - x) ** 2).sum(), ones, zeros)}
    if n > 1:
        gap = (y - x).mean(axis=0)
        left = (y - x - gap) / (1 - 1 / n)
        found["shift"] = ((left**2).sum(), ones, gap)
    centred = x - x.mean(axis=0)
    spread = (centred**2).sum(axis=0)
    if n > 2 and (spread > 0).all():
        factor = (centred * y).sum(axis=0) / spread
        shift = y.mean(axis=0) - factor * x.mean(axis=0)
        room = 1 - (1 / n + centred**2 / spread)
        left = (y - factor * x - shift) / np.maximum(room, 1e-12)
        if (room > 1e-9).all():
            found["line"] = ((left**2).sum(), factor, shift)
    what = min(found, key=lambda name: float(found[name][0]))
    return found[what][1], found[what][2], what
