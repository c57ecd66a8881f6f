"""Windows compared with the reference: drift, skew, estimates, records for sinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trimtab.monitor.feature import FeatureSketch
from trimtab.monitor.reference import Reference
from trimtab.monitor.status import WindowResult, plain
from trimtab.monitor.tally import Tally
from trimtab.monitor.troubles import Troubles
from trimtab.monitor.windows import Pane

if TYPE_CHECKING:
    from trimtab.monitor.drift.report import DriftReport
    from trimtab.monitor.embedding import Embedding

__all__ = ["Judge", "window_record"]


class Judge:
    """Compares windows with a reference.

    Parameters
    ----------
    reference : Reference
    methods : str, sequence of str, or mapping
        As `trimtab.monitor.drift.detect` takes them.
    alpha : float
        False-discovery rate over the features of a window.
    min_rows : int
        Features with fewer values are not compared.
    estimator : ConfidencePerformance, optional
        Estimates a metric by the scores alone.
    troubles : Troubles
    """

    def __init__(
        self,
        reference: Reference,
        *,
        methods: Any = "auto",
        alpha: float = 0.05,
        min_rows: int = 100,
        estimator: Any = None,
        troubles: Troubles,
    ) -> None:
        self.reference = reference
        self.methods = methods
        self.alpha = alpha
        self.min_rows = min_rows
        self.estimator = estimator
        self._troubles = troubles

    def judge(self, pane: Pane[Tally], *, is_complete: bool = True) -> WindowResult:
        """Compare a window.

        Parameters
        ----------
        pane : Pane of Tally
        is_complete : bool, default=True

        Returns
        -------
        result : WindowResult
        """
        features = pane.content.features()
        drift: DriftReport | None = None
        drifted: tuple[str, ...] = ()
        with self._troubles.guard("comparing a window with the reference"):
            drift = self._compare(features, pane.content.embedding)
            drifted = _strongest_first(drift)
        estimates: dict[str, dict[str, Any]] = {}
        with self._troubles.guard("estimating a metric"):
            estimates = self._estimate(pane.content, pane.n_rows)
        return WindowResult(
            pane.index,
            pane.time,
            pane.ended_s - pane.started_s,
            pane.n_rows,
            features,
            drift,
            drifted,
            pane.content.faults_plain(),
            estimates,
            is_complete,
        )

    def _compare(
        self, features: Sequence[FeatureSketch], embedding: Embedding | None
    ) -> DriftReport | None:
        from trimtab.monitor.drift import detect

        pairs = [
            (before, now)
            for before, now in zip(self.reference.features, features, strict=True)
            if now.n_values >= self.min_rows and before.n > 0
        ]
        if not pairs:
            return None
        inner = self.reference.inner
        has_inner = embedding is not None and embedding.n >= self.min_rows
        return detect(
            [before for before, _ in pairs],
            [now for _, now in pairs],
            methods=self.methods,
            alpha=self.alpha,
            embedding=(inner.embedding, embedding) if inner and has_inner else None,
        )

    def _estimate(self, tally: Tally, n_rows: int) -> dict[str, dict[str, Any]]:
        if self.estimator is None or tally.scores is None or not tally.scores.n_seen:
            return {}
        found = self.estimator.estimate(tally.scores.rows, n_rows=n_rows)
        name = str(getattr(self.estimator, "metric", "accuracy"))
        return {
            name: {
                "value": found.value,
                "low": found.low,
                "high": found.high,
                "is_estimate": True,
                "notes": list(found.notes),
            }
        }


def _strongest_first(drift: DriftReport | None) -> tuple[str, ...]:
    return () if drift is None else tuple(drift.drifted)


def window_record(result: WindowResult) -> dict[str, Any]:
    """Give a window as sinks take it.

    Parameters
    ----------
    result : WindowResult

    Returns
    -------
    record : dict
        Without time, model and version, which whoever writes it knows.

    Examples
    --------
    >>> window_record(monitor.windows[-1])["n_rows"]       # doctest: +SKIP
    1000
    """
    features: dict[str, dict[str, Any]] = {}
    for feature in result.features:
        features[feature.name] = {
            "n": feature.n,
            "mean": feature.mean,
            "std": feature.std,
            "minimum": feature.minimum,
            "maximum": feature.maximum,
            "missing_share": feature.missing_share,
            "n_distinct": feature.n_distinct,
        }
    for score in () if result.drift is None else result.drift.scores:
        features.setdefault(score.feature, {})[score.method] = score.statistic
    record: dict[str, Any] = plain(
        {
            "kind": "window",
            "window": result.index,
            "window_time": result.time,
            "window_seconds": result.seconds,
            "n_rows": result.n_rows,
            "drifted": result.drifted,
            "drift_share": len(result.drifted) / max(len(result.features), 1),
            "faults": result.faults,
            "estimates": result.estimates,
            "features": features,
        }
    )
    return record
