"""A drift report as HTML: a table of effects, and the histograms of what matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trimtab.html import (
    Html,
    badge,
    details,
    figure,
    grid,
    number_text,
    paragraph,
    short_text,
    table,
)
from trimtab.monitor.feature import FeatureSketch
from trimtab.report import Cell
from trimtab.svg import histogram_pair

if TYPE_CHECKING:
    from trimtab.monitor.drift.report import DriftReport, FeatureDrift

__all__ = ["drift_parts", "sketch_histogram"]

_LEVELS = {"drift": "bad", "vanished": "bad", "changed": "bad", "stable": "good"}

# Features that are shown; the strongest come first.
_MAX_ROWS = 400
_MAX_FIGURES = 60


def drift_parts(
    report: DriftReport, summary: str, features: Sequence[FeatureDrift]
) -> list[Html]:
    """Give the pieces of a page.

    Parameters
    ----------
    report : DriftReport
    summary : str
    features : sequence of FeatureDrift
        In the order to show them.

    Returns
    -------
    parts : list of Html

    Examples
    --------
    >>> from trimtab.monitor.drift import detect
    >>> a = FeatureSketch.from_values("x", [0, 1], edges=[0.5])
    >>> len(drift_parts(detect([a], [a]), "fine", ()))
    2
    """
    methods = list(dict.fromkeys(score.method for score in report.scores))
    headers = ["feature", "state", *methods, "least p", "notes"]
    shown = features[:_MAX_ROWS]
    before = {sketch.name: sketch for sketch in report.reference}
    now = {sketch.name: sketch for sketch in report.window}
    figures: dict[bool, list[Html]] = {True: [], False: []}
    for feature in features[:_MAX_FIGURES]:
        a, b = before.get(feature.name), now.get(feature.name)
        if a is not None and b is not None and a.has_bins_of(b):
            svg = sketch_histogram(a, b)
            figures[feature.is_drifted].append(figure(svg, short_text(a.name, 60)))
    parts = [paragraph(summary)]
    if figures[True]:
        parts.append(grid(figures[True]))
    parts.append(table(headers, [_row(feature, methods) for feature in shown]))
    if len(features) > len(shown):
        parts.append(paragraph(f"and {len(features) - len(shown)} more", is_soft=True))
    if figures[False]:
        title = f"histograms of {len(figures[False])} other features"
        parts.append(details(title, grid(figures[False])))
    return parts


def _row(feature: FeatureDrift, methods: Sequence[str]) -> list[Cell]:
    level = _LEVELS.get(feature.state, "warn")
    row: list[Cell] = [short_text(feature.name, 60), badge(feature.state, level)]
    by_method = {score.method: score for score in feature.scores}
    for method in methods:
        score = by_method.get(method)
        text = "" if score is None else number_text(score.effect)
        is_drift = score is not None and score.is_drift
        row.append(Html(f"<b class=bad>{text}</b>") if is_drift else text)
    ps = [s.adjusted_p_value for s in feature.scores if s.p_value == s.p_value]
    return [*row, number_text(min(ps)) if ps else "", "; ".join(feature.notes)]


def sketch_histogram(reference: FeatureSketch, window: FeatureSketch) -> Html:
    """Draw two sketches over their bins.

    Parameters
    ----------
    reference, window : FeatureSketch
        In the same bins.

    Returns
    -------
    svg : Html

    Examples
    --------
    >>> a = FeatureSketch.from_values("x", [0, 1], edges=[0.5])
    >>> sketch_histogram(a, a).startswith("<svg")
    True
    """
    ticks: Sequence[tuple[float, str]]
    if reference.kind == "categorical":
        texts = [*reference.categories, "other"]
        step = -(-len(texts) // 6)
        ticks = [(i + 0.5, text) for i, text in enumerate(texts)][::step]
    else:
        edges = reference.edges.tolist()
        step = max(-(-len(edges) // 4), 1)
        ticks = [(i + 1, f"{edge:.3g}") for i, edge in enumerate(edges)][::step]
    return histogram_pair(
        reference.counts, window.counts, ticks=ticks, title=reference.name
    )
