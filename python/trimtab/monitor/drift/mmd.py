"""Maximum mean discrepancy of two embeddings: many numbers at once.

Enters: two `Embedding` of one model, with the same random features; `Embedding.score`
does the work and says what the statistic, the p-value and the effect are.
"""

from __future__ import annotations

import math
from typing import Any

from trimtab.monitor.drift.detector import Detector, Measured

__all__ = ["DETECTOR", "measure"]


def measure(reference: Any, window: Any) -> Measured:
    """Measure the discrepancy.

    Parameters
    ----------
    reference, window : Embedding
        ``reference.score(window)`` gives `statistic`, `p_value` and `effect`.

    Returns
    -------
    measured : Measured

    References
    ----------
    Gretton et al. (2012). A kernel two-sample test. Journal of Machine Learning
    Research 13, 723-773.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> score = SimpleNamespace(statistic=0.3, p_value=0.01, effect=0.3)
    >>> reference = SimpleNamespace(n=9, score=lambda window: score)
    >>> measure(reference, SimpleNamespace(n=9)).effect
    0.3
    """
    if not reference.n or not window.n:
        return Measured(math.nan, math.nan, math.nan)
    score = reference.score(window)
    return Measured(float(score.statistic), float(score.p_value), float(score.effect))


DETECTOR = Detector(
    name="mmd",
    kinds=("embedding",),
    threshold=0.1,
    severe=0.25,
    effect_name="Frechet distance over the reference's variance",
    source=(
        "thresholds of PSI, which for normal values is the same squared distance: "
        "Siddiqi (2006), Credit Risk Scorecards, Wiley"
    ),
    measure=measure,
)
