"""What a check for drift found: `DriftReport`, as text, table, picture and data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trimtab.monitor.drift.detector import DriftScore
from trimtab.monitor.feature import FeatureSketch
from trimtab.report import count_text, text_table

if TYPE_CHECKING:
    from trimtab.html import Html

__all__ = ["DriftReport", "FeatureDrift"]

#: What may be said of a feature, and whether it is drift.
STATES = {
    "stable": False,
    "drift": True,
    "vanished": True,  # values in the reference, none in a window that has others
    "changed": True,  # of another kind, or counted in other bins
    "new": False,  # unknown to the reference
    "empty": False,  # a window, or a reference, without any value
    "untested": False,  # too few values, or no method for its kind
}


@dataclass(frozen=True)
class FeatureDrift:
    """What was found of one feature.

    Parameters
    ----------
    name, kind : str
    state : str
        "stable", "drift", "vanished", "changed", "new", "empty" or "untested".
    scores : tuple of DriftScore
    notes : tuple of str
        Unseen categories, values outside of the range, and the like.
    """

    name: str
    kind: str
    state: str
    scores: tuple[DriftScore, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_drifted(self) -> bool:
        """Has it changed in a way that matters?"""
        return STATES[self.state]

    @property
    def is_severe(self) -> bool:
        """Is it gone, or is an effect large?"""
        if self.state in ("vanished", "changed"):
            return True
        return any(score.is_severe for score in self.scores)

    @property
    def strength(self) -> float:
        """The largest effect, in thresholds; infinite where it is gone."""
        if self.state in ("vanished", "changed"):
            return float("inf")
        ratios = [s.effect / s.threshold for s in self.scores if s.effect == s.effect]
        return max(ratios, default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "state": self.state,
            "is_drifted": self.is_drifted,
            "is_severe": self.is_severe,
            "scores": [score.to_dict() for score in self.scores],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, eq=False)
class DriftReport:
    """What `trimtab.monitor.drift.detect` returns; shown as a table.

    Parameters
    ----------
    features : tuple of FeatureDrift
        In the reference's order; after them those that it does not know.
    scores : tuple of DriftScore
        All tests.
    alpha : float
        False discovery rate over them.
    reference, window : tuple of FeatureSketch
        What was compared.
    """

    features: tuple[FeatureDrift, ...]
    scores: tuple[DriftScore, ...]
    alpha: float
    reference: tuple[FeatureSketch, ...] = field(default=(), repr=False)
    window: tuple[FeatureSketch, ...] = field(default=(), repr=False)

    @cached_property
    def drifted(self) -> tuple[str, ...]:
        """Names of the features that have drifted, the strongest first."""
        found = [feature for feature in self.features if feature.is_drifted]
        found.sort(key=lambda feature: -feature.strength)
        return tuple(feature.name for feature in found)

    @property
    def ok(self) -> bool:
        """Has nothing drifted?"""
        return not self.drifted

    @property
    def n_rows(self) -> int:
        """The most values that a feature of the window has."""
        return max((sketch.n_values for sketch in self.window), default=0)

    @property
    def counts(self) -> dict[str, int]:
        """Number of features by state, of those states that occur."""
        states = [feature.state for feature in self.features]
        return {state: states.count(state) for state in STATES if state in states}

    def __getitem__(self, name: str) -> FeatureDrift:
        """Give what was found of a feature."""
        for feature in self.features:
            if feature.name == name:
                return feature
        raise KeyError(name)

    # ---- as text ------------------------------------------------------------

    def _summary(self) -> str:
        counts = ", ".join(f"{n} {state}" for state, n in self.counts.items())
        return (
            f"{len(self.drifted)} of {count_text(len(self.features), 'feature')} "
            f"drifted ({counts or 'none'}) in {count_text(self.n_rows, 'row')}; "
            f"false discovery rate {self.alpha:g}"
        )

    def _by_strength(self) -> Iterator[FeatureDrift]:
        drifted = {name: place for place, name in enumerate(self.drifted)}
        last = len(drifted)
        yield from sorted(
            self.features, key=lambda f: (drifted.get(f.name, last), -f.strength)
        )

    def __str__(self) -> str:
        """Give all features, the strongest drift first."""
        rows = [
            [
                feature.name,
                feature.state,
                "  ".join(
                    f"{score.method} {score.effect:.3g}{'!' if score.is_drift else ''}"
                    for score in feature.scores
                ),
                "; ".join(feature.notes),
            ]
            for feature in self._by_strength()
        ]
        return (
            f"{self._summary()}\n{text_table(['feature', 'is', 'effects', ''], rows)}"
        )

    # ---- as HTML ------------------------------------------------------------

    def html_parts(self) -> list[Html]:
        """Give the pieces of a page: summary, table, histograms.

        Returns
        -------
        parts : list of Html
        """
        from trimtab.monitor.drift.report_html import drift_parts

        return drift_parts(self, self._summary(), tuple(self._by_strength()))

    def _repr_html_(self) -> str:
        from trimtab.html import fragment

        return fragment(*self.html_parts())

    # ---- as data ------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data; numbers that are not finite are None."""
        return {
            "ok": self.ok,
            "drifted": list(self.drifted),
            "n_features": len(self.features),
            "n_rows": self.n_rows,
            "alpha": self.alpha,
            "counts": self.counts,
            "features": [feature.to_dict() for feature in self.features],
        }

    def to_json(self) -> str:
        """Give it as JSON text.

        Returns
        -------
        text : str
        """
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report, as JSON, or as a page of HTML where the name says so.

        Parameters
        ----------
        path : path
            Ends with ``.json`` or ``.html``.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        text = self.to_json()
        if os.fsdecode(path).endswith((".html", ".htm")):
            from trimtab.html import page

            text = page("Drift", [("Features", self.html_parts())])
        with open(path, "w", encoding="utf-8") as file:
            file.write(text + "\n")

    def plot(self, ax: Any = None, *, feature: str | None = None) -> Any:
        """Draw the effects in units of their thresholds, or the bins of one feature.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        feature : str, optional
            Draw its histograms.

        Returns
        -------
        ax : matplotlib.axes.Axes

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        from trimtab.monitor.drift.report_plot import draw_effects, draw_feature

        if feature is not None:
            return draw_feature(self, feature, ax)
        return draw_effects(tuple(self._by_strength()), ax)
