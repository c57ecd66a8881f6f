"""Population stability index: the symmetric Kullback-Leibler divergence of two samples.

Statistic: PSI in nats, of cells with at least five expected values, half a value added
to each. Under no drift, PSI n m / (n + m) is chi-square in the limit. Effect: PSI less
its mean under no drift, so that a threshold means the same for small windows.
"""

from __future__ import annotations

import math

import numpy as np

from trimtab.monitor.drift.cells import cells_of
from trimtab.monitor.drift.detector import Detector, Measured
from trimtab.monitor.feature import FeatureSketch
from trimtab.stats.tails import chi_square_tail

__all__ = ["DETECTOR", "measure"]


def measure(reference: FeatureSketch, window: FeatureSketch) -> Measured:
    """Measure the index.

    Parameters
    ----------
    reference, window : FeatureSketch

    Returns
    -------
    measured : Measured

    References
    ----------
    Yurdakul, Naranjo (2020). Statistical properties of the population stability
    index. Journal of Risk Model Validation 14(3).

    Examples
    --------
    >>> a = FeatureSketch.from_values("x", range(1000), edges=[250, 500, 750])
    >>> b = FeatureSketch.from_values("x", range(500, 1000), edges=[250, 500, 750])
    >>> measure(a, b).effect > 0.25, round(measure(a, a).statistic, 9)
    (True, 0.0)
    """
    cells = cells_of(reference, window)
    if cells.df < 1:
        return Measured(math.nan, math.nan, math.nan)
    half = 0.5 * (cells.df + 1)
    p = (cells.reference + 0.5) / (cells.n + half)
    q = (cells.window + 0.5) / (cells.m + half)
    index = float(np.dot(p - q, np.log(p / q)))
    p_value = chi_square_tail(index / cells.noise, cells.df)
    return Measured(index, p_value, max(index - cells.df * cells.noise, 0.0))


DETECTOR = Detector(
    name="population_stability_index",
    kinds=("numeric", "categorical"),
    threshold=0.1,
    severe=0.25,
    effect_name="PSI, less its mean without drift",
    source="Siddiqi (2006), Credit Risk Scorecards, Wiley: 0.1 moderate, 0.25 major",
    measure=measure,
)
