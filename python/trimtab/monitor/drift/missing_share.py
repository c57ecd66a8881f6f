"""Share of values that are missing or infinite, with Fisher's exact test.

Statistic: the difference of the shares. Effect: Cohen's h, the difference of their
arc sines, because from 0 to 1 % is more than from 50 to 51 %.
"""

from __future__ import annotations

import math

from trimtab.monitor.drift.detector import Detector, Measured
from trimtab.monitor.feature import FeatureSketch
from trimtab.stats.tails import fisher_exact

__all__ = ["DETECTOR", "measure"]


def measure(reference: FeatureSketch, window: FeatureSketch) -> Measured:
    """Measure the difference.

    Parameters
    ----------
    reference, window : FeatureSketch

    Returns
    -------
    measured : Measured
        Without a test where nothing is missing in both.

    References
    ----------
    Cohen (1988). Statistical Power Analysis for the Behavioral Sciences, chapter 6.

    Examples
    --------
    >>> a = FeatureSketch.from_values("x", [1.0] * 100, edges=[1])
    >>> b = FeatureSketch.from_values("x", [1.0] * 90 + [math.nan] * 10, edges=[1])
    >>> measure(a, b).statistic, measure(a, b).p_value < 0.01
    (0.1, True)
    """
    n, m = reference.n_values, window.n_values
    if not n or not m:
        return Measured(math.nan, math.nan, math.nan)
    lost = reference.n_missing + reference.n_infinite
    lost_now = window.n_missing + window.n_infinite
    if not lost and not lost_now:
        return Measured(0.0, math.nan, 0.0)
    before, now = lost / n, lost_now / m
    effect = 2 * abs(math.asin(math.sqrt(now)) - math.asin(math.sqrt(before)))
    return Measured(now - before, fisher_exact(lost, n, lost_now, m), effect)


DETECTOR = Detector(
    name="missing_share",
    kinds=("numeric", "categorical"),
    threshold=0.2,
    severe=0.5,
    effect_name="Cohen's h",
    source=(
        "Cohen (1988), Statistical Power Analysis: 0.2 is small (from 0 to 1 %, from "
        "10 to 17 %), 0.5 medium (from 0 to 6 %)"
    ),
    measure=measure,
)
