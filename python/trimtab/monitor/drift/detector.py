"""What a detector is, and what it says of one feature.

Enters: two sketches of one feature. Leaves: a statistic as others print it, a p-value
that it would be so large without drift, and an effect size that does not grow with the
number of samples, held against a threshold of the literature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

__all__ = ["Detector", "DriftScore", "Measured", "finite_or_none"]


class Measured(NamedTuple):
    """What a test found.

    Parameters
    ----------
    statistic, effect : float
        NaN where too few values were counted to tell.
    p_value : float
        NaN where there was no test.
    """

    statistic: float
    p_value: float
    effect: float


@dataclass(frozen=True)
class DriftScore:
    """One test of one feature.

    Parameters
    ----------
    feature, method : str
    statistic : float
        NaN where there were too few values.
    p_value : float
        Of no drift; NaN where there was no test.
    effect : float
        What is held against `threshold`.
    threshold : float
    is_drift_by_effect : bool
        Is the effect above its threshold?
    adjusted_p_value : float
        For the number of tests of the whole check; of a single score, `p_value`.
    is_drift : bool
        By effect and by adjusted p-value.
    is_severe : bool
        Is the effect above the threshold of what is called large, too?
    n_reference, n_window : int
        Values counted.
    """

    feature: str
    method: str
    statistic: float
    p_value: float
    effect: float
    threshold: float
    is_drift_by_effect: bool
    adjusted_p_value: float = math.nan
    is_drift: bool = False
    is_severe: bool = False
    n_reference: int = 0
    n_window: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON; numbers that are not finite are None."""
        return {key: finite_or_none(value) for key, value in asdict(self).items()}


def finite_or_none(value: Any) -> Any:
    """Give what JSON can hold.

    Parameters
    ----------
    value : object

    Returns
    -------
    value : object

    Examples
    --------
    >>> finite_or_none(1.5), finite_or_none(float("inf"))
    (1.5, None)
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@dataclass(frozen=True)
class Detector:
    """A way to tell whether a feature has changed.

    Parameters
    ----------
    name : str
    kinds : tuple of str
        "numeric", "categorical": what features it reads; "embedding".
    threshold : float
        Of the effect, above which a change matters.
    severe : float
        Above which it is called large.
    effect_name : str
        What the effect is.
    source : str
        Where the threshold comes from.
    measure : callable
        (reference, window) -> `Measured`.
    """

    name: str
    kinds: tuple[str, ...]
    threshold: float
    severe: float
    effect_name: str
    source: str
    measure: Callable[[Any, Any], Measured]

    def score(
        self,
        reference: Any,
        window: Any,
        *,
        threshold: float | None = None,
        alpha: float = 0.05,
    ) -> DriftScore:
        """Compare a window with its reference; never an exception for what they hold.

        Parameters
        ----------
        reference, window : FeatureSketch
            In the same bins; for "embedding", two `Embedding` objects.
        threshold : float, optional
            Another one.
        alpha : float, default=0.05

        Returns
        -------
        score : DriftScore
        """
        measured = self.measure(reference, window)
        return self.judge(
            getattr(reference, "name", "embedding"),
            measured,
            measured.p_value,
            threshold=threshold,
            alpha=alpha,
            n=(int(reference.n), int(window.n)),
        )

    def judge(
        self,
        feature: str,
        measured: Measured,
        adjusted: float,
        *,
        threshold: float | None = None,
        alpha: float = 0.05,
        n: tuple[int, int] = (0, 0),
    ) -> DriftScore:
        """Hold what was measured against threshold and alpha.

        Parameters
        ----------
        feature : str
        measured : Measured
        adjusted : float
            Its p-value, adjusted for the other tests.
        threshold : float, optional
            Another one.
        alpha : float, default=0.05
        n : tuple of int
            Values counted in the reference and in the window.

        Returns
        -------
        score : DriftScore
        """
        statistic, p_value, effect = measured
        limit = self.threshold if threshold is None else threshold
        severe = (
            self.severe if threshold is None else self.severe * limit / self.threshold
        )
        is_material = effect > limit
        is_drift = is_material and adjusted <= alpha
        return DriftScore(
            feature,
            self.name,
            statistic,
            p_value,
            effect,
            limit,
            is_material,
            adjusted,
            is_drift,
            is_drift and effect > severe,
            *n,
        )
