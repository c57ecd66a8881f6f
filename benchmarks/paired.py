"""What two models' answers to the same samples say about the drop between them.

Written apart from the package's own guard, so that each can be held against the other.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Z_95 = 1.6448536269514722  # one-sided


def score_bound(n_lost: int, n_won: int, n: int, *, z: float = Z_95) -> float:
    """Upper confidence bound of the drop, by inverting the score test of Tango 1998.

    Parameters
    ----------
    n_lost, n_won : int
        Samples that only the first model, and only the second, has right.
    n : int
        All samples.
    z : float, default=1.645
        Normal quantile of the one-sided confidence.

    Returns
    -------
    bound : float
        The largest drop that the samples do not reject.

    Examples
    --------
    >>> round(score_bound(0, 0, 1000), 5)
    0.0027
    >>> score_bound(10, 4, 1000) > 0.006
    True
    """

    def statistic(drop: float) -> float:
        a = 2 * n
        b = -n_lost - n_won + (2 * n - n_lost + n_won) * drop
        c = -n_won * drop * (1 - drop)
        won = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
        variance = n * (2 * won + drop * (1 - drop))
        return (n_lost - n_won - n * drop) / math.sqrt(max(variance, 1e-300))

    low, high = (n_lost - n_won) / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if statistic(middle) > -z:
            low = middle
        else:
            high = middle
    return high


def drop_of(
    before: npt.NDArray[np.int64],
    after: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
) -> dict[str, float]:
    """Accuracy of both, the drop, its 95 % upper bound and what it was counted from.

    Examples
    --------
    >>> labels = np.array([0, 1, 1, 0])
    >>> drop_of(labels, np.array([0, 1, 0, 0]), labels)["drop"]
    0.25
    """
    right, still = before == labels, after == labels
    n_lost, n_won = int((right & ~still).sum()), int((~right & still).sum())
    n = len(labels)
    return {
        "n": n,
        "accuracy_before": float(right.mean()),
        "accuracy": float(still.mean()),
        "n_lost": n_lost,
        "n_won": n_won,
        "drop": (n_lost - n_won) / n,
        "bound": score_bound(n_lost, n_won, n),
    }


def signal_to_noise(reference: Array, found: Array) -> float:
    """Signal to quantisation noise of all outputs together, in decibels.

    Examples
    --------
    >>> round(signal_to_noise(np.ones(4), np.full(4, 0.9)), 6)
    20.0
    """
    wide = reference.astype(np.float64)
    noise = float(np.square(wide - found).sum())
    return 10 * math.log10(np.square(wide).sum() / noise) if noise else math.inf


def cosine(reference: Array, found: Array) -> npt.NDArray[np.float64]:
    """Cosine of each sample's outputs, flattened.

    Examples
    --------
    >>> cosine(np.eye(2), np.eye(2)[::-1])
    array([0., 0.])
    """
    a = reference.reshape(len(reference), -1).astype(np.float64)
    b = found.reshape(len(found), -1).astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both: npt.NDArray[np.float64] = (a * b).sum(axis=1) / np.maximum(norms, 1e-300)
    return both


def agreement(reference: Array, found: Array) -> float:
    """Share of samples whose largest output is the same.

    Examples
    --------
    >>> agreement(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    1.0
    """
    same = reference.argmax(axis=-1) == found.argmax(axis=-1)
    return float(same.mean())
