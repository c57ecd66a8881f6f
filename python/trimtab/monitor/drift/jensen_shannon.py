"""Jensen-Shannon distance, with the G-test of homogeneity for its p-value.

Statistic: the square root of the divergence in bits, from 0 to 1, both samples of the
same weight. Its p-value is that of G = 2 (n + m) times the divergence with weights
n and m, which is the likelihood ratio and, over Williams' factor, chi-square in the
limit. Effect: the distance
from the divergence less its mean without drift.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from trimtab.monitor.drift.cells import Cells, cells_of
from trimtab.monitor.drift.detector import Detector, Measured
from trimtab.monitor.feature import FeatureSketch
from trimtab.stats.tails import chi_square_tail

__all__ = ["DETECTOR", "measure"]

Floats = npt.NDArray[np.float64]


def measure(reference: FeatureSketch, window: FeatureSketch) -> Measured:
    """Measure the distance.

    Parameters
    ----------
    reference, window : FeatureSketch

    Returns
    -------
    measured : Measured

    References
    ----------
    Lin (1991). Divergence measures based on the Shannon entropy. IEEE Transactions on
    Information Theory 37, 145-151.

    Williams (1976). Improved likelihood ratio tests for complete contingency tables.
    Biometrika 63, 33-37.

    Grosse et al. (2002). Analysis of symbolic sequences using the Jensen-Shannon
    divergence. Physical Review E 65, 041905.

    Examples
    --------
    >>> a = FeatureSketch.from_values("x", range(1000), edges=[500])
    >>> b = FeatureSketch.from_values("x", range(500), edges=[500])
    >>> round(measure(a, b).statistic, 3), measure(a, a).p_value
    (0.558, 1.0)
    """
    cells = cells_of(reference, window)
    if cells.df < 1:
        return Measured(math.nan, math.nan, math.nan)
    p, q = cells.reference / cells.n, cells.window / cells.m
    both = cells.n + cells.m
    pooled = (cells.reference + cells.window) / both
    g = 2 * max(_gain(cells.reference, p, pooled) + _gain(cells.window, q, pooled), 0.0)
    middle = (p + q) / 2
    nats = max(_gain(p, p, middle) + _gain(q, q, middle), 0.0) / 2
    corrected = max(nats - cells.df * cells.noise / 8, 0.0)
    p_value = chi_square_tail(g / _williams(cells), cells.df)
    to_bits = 1 / math.log(2)
    return Measured(math.sqrt(nats * to_bits), p_value, math.sqrt(corrected * to_bits))


def _williams(cells: Cells) -> float:
    """By how much G is too large in small samples (Williams 1976)."""
    both = cells.n + cells.m
    columns = both * float((1 / (cells.reference + cells.window)).sum()) - 1
    return 1 + (both * cells.noise - 1) * columns / (6 * both * cells.df)


def _gain(weights: Floats, shares: Floats, base: Floats) -> float:
    """Sum of w log(share / base); nothing where the share is 0."""
    return float(np.dot(weights, np.log(np.maximum(shares, 1e-300) / base)))


DETECTOR = Detector(
    name="jensen_shannon",
    kinds=("numeric", "categorical"),
    threshold=0.1,
    severe=0.2,
    effect_name="Jensen-Shannon distance, less its noise",
    source=(
        "0.1, the default of drift libraries (nannyml); a normal feature moved by "
        "0.24 standard deviations; severe: twice as far"
    ),
    measure=measure,
)
