"""Counts of two sketches in cells that hold enough for the chi-square limit.

Enters: two `FeatureSketch` of one feature, in the same bins. Leaves: two arrays of
counts. Which bins become one cell depends on their totals alone, so under the
hypothesis that both samples are of one distribution the tests stay valid.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from trimtab.monitor.feature import FeatureSketch

__all__ = ["Cells", "cells_of", "constant_counts", "sample_counts"]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

#: Cochran's rule: values expected in each cell of the smaller sample.
N_EXPECTED = 5


class Cells:
    """Two samples, counted in the same cells.

    Parameters
    ----------
    reference, window : ndarray of float64
        Counts per cell.

    Attributes
    ----------
    n, m : float
        Their sums.
    df : int
        Cells less one.
    noise : float
        1/n + 1/m: what an estimate of a squared distance gains per degree of freedom
        without any drift.
    """

    __slots__ = ("df", "m", "n", "noise", "reference", "window")

    def __init__(self, reference: Floats, window: Floats) -> None:
        self.reference = reference
        self.window = window
        self.n = float(np.add.reduce(reference))
        self.m = float(np.add.reduce(window))
        self.df = len(reference) - 1
        self.noise = 1 / self.n + 1 / self.m if self.n and self.m else math.inf


def cells_of(
    reference: FeatureSketch, window: FeatureSketch, n_expected: float = N_EXPECTED
) -> Cells:
    """Merge bins until each is expected to hold enough of the smaller sample.

    Neighbours of a numeric feature, and the rarest categories of a categorical one.

    Parameters
    ----------
    reference, window : FeatureSketch
    n_expected : float

    Returns
    -------
    cells : Cells
        A single one where there are too few values to compare.

    References
    ----------
    Cochran (1954). Some methods for strengthening the common chi-square tests.
    Biometrics 10, 417-451.

    Examples
    --------
    >>> a = FeatureSketch.from_values("x", range(100), edges=[1, 2, 50])
    >>> cells = cells_of(a, a)
    >>> cells.reference.tolist(), cells.df
    ([50.0, 50.0], 1)
    """
    r, s, n, m = sample_counts(reference, window)
    if not n or not m:
        return Cells(np.zeros(1), np.zeros(1))
    total = r + s
    if reference.kind == "categorical":
        order = np.argsort(total, kind="stable")
        r, s, total = r[order], s[order], total[order]
    starts = np.array(_starts(total.tolist(), n_expected * (n + m) / min(n, m)))
    return Cells(
        np.add.reduceat(r, starts, dtype=np.float64),
        np.add.reduceat(s, starts, dtype=np.float64),
    )


def _starts(totals: list[int], limit: float) -> list[int]:
    """Where cells begin; what is left at the end goes to the last."""
    starts, held = [0], 0
    for i, total in enumerate(totals):
        if held >= limit:
            starts.append(i)
            held = total
        else:
            held += total
    if held < limit and len(starts) > 1:
        starts.pop()
    return starts


def sample_counts(
    reference: FeatureSketch, window: FeatureSketch
) -> tuple[Counts, Counts, int, int]:
    """Give the counts to compare and their sums.

    Parameters
    ----------
    reference, window : FeatureSketch

    Returns
    -------
    counts, window_counts : ndarray of int64
        Of the bins, or of `constant_counts`.
    n, m : int

    Examples
    --------
    >>> a = FeatureSketch.from_values("x", [2, 3], edges=[2.5])
    >>> sample_counts(a, a)
    (array([1, 1]), array([1, 1]), 2, 2)
    """
    pair = constant_counts(reference, window)
    if pair is None:
        pair = reference.counts, window.counts
    return *pair, reference.n, window.n


def constant_counts(
    reference: FeatureSketch, window: FeatureSketch
) -> tuple[Counts, Counts] | None:
    """Count "the same value" and "another" where the reference is one number.

    Its bins may not tell them apart. Of the window's values at least as many differ as
    are in other bins, and at least the share (mean - c)^2 / E (x - c)^2
    (Cauchy and Schwarz).

    Parameters
    ----------
    reference, window : FeatureSketch

    Returns
    -------
    counts : tuple of two ndarray of int64, or None
        None where the reference has more than one value, or is categorical.

    Examples
    --------
    >>> a = FeatureSketch.from_values("x", [2, 2, 2], edges=[0])
    >>> b = FeatureSketch.from_values("x", [3, 3], edges=[0])
    >>> constant_counts(a, b)
    (array([3, 0]), array([0, 2]))
    """
    value = reference.minimum
    if reference.kind != "numeric" or not reference.n or value != reference.maximum:
        return None
    at = int(reference.counts.argmax())
    m = window.n
    others = m - int(window.counts[at])
    gap = window.mean - value
    square = gap * gap + window.variance
    if 0 < square < math.inf:
        # Not by rounding alone: sums of m values are no better than this.
        blur = 1e-12 * m * max(abs(value), abs(window.mean))
        if abs(gap) > blur or others:
            others = max(others, min(m, round(m * gap * gap / square)))
    pair = np.array([reference.n, 0]), np.array([m - others, others])
    return pair
