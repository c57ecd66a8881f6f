"""Pearson's chi-square test of homogeneity, with Cohen's w for its effect.

Statistic: chi-square of cells with at least five expected values. Effect: w, the root
of the sum of (p - q)^2 / pooled, less its mean without drift; it does not depend on how
large the samples are, as Cramer's V does when one is much larger.
"""

from __future__ import annotations

import math

from trimtab.monitor.drift.cells import cells_of
from trimtab.monitor.drift.detector import Detector, Measured
from trimtab.monitor.feature import FeatureSketch
from trimtab.stats.tails import chi_square_tail

__all__ = ["DETECTOR", "measure"]


def measure(reference: FeatureSketch, window: FeatureSketch) -> Measured:
    """Measure chi-square.

    Parameters
    ----------
    reference, window : FeatureSketch

    Returns
    -------
    measured : Measured

    References
    ----------
    Cohen (1988). Statistical Power Analysis for the Behavioral Sciences, chapter 7.

    Bergsma (2013). A bias-correction for Cramer's V and Tschuprow's T. Journal of the
    Korean Statistical Society 42, 323-328.

    Examples
    --------
    >>> a = FeatureSketch.from_values("x", ["a", "b"] * 50, categories=["a", "b"])
    >>> b = FeatureSketch.from_values("x", ["a"] * 100, categories=["a", "b"])
    >>> round(measure(a, b).statistic, 3), measure(a, a).p_value
    (66.667, 1.0)
    """
    cells = cells_of(reference, window)
    if cells.df < 1:
        return Measured(math.nan, math.nan, math.nan)
    gap = cells.reference / cells.n - cells.window / cells.m
    both = cells.reference + cells.window
    statistic = float((gap * gap / both).sum()) * cells.n * cells.m
    w = math.sqrt(max(statistic - cells.df, 0.0) * cells.noise)
    return Measured(statistic, chi_square_tail(statistic, cells.df), w)


DETECTOR = Detector(
    name="chi_square",
    kinds=("categorical", "numeric"),
    threshold=0.2,
    severe=0.5,
    effect_name="Cohen's w, less its noise",
    source=(
        "Cohen (1988), Statistical Power Analysis: w of 0.1 is small, 0.3 medium, 0.5 "
        "large; a drift matters halfway from small to medium"
    ),
    measure=measure,
)
