"""Pictures of a drift report in matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.html import short_text
from trimtab.report import pyplot

if TYPE_CHECKING:
    from trimtab.monitor.drift.report import DriftReport, FeatureDrift

__all__ = ["draw_effects", "draw_feature"]

_COLOURS = ("#1f5fa8", "#c8501e", "#23805a", "#8146a8", "#7d6a00")
_MAX_FEATURES = 30
# Effects are drawn up to so many thresholds.
_REACH = 5.0


def _new_axes(ax: Any, height: float) -> Any:
    plt = pyplot("DriftReport.plot")
    return (
        plt.subplots(figsize=(7, height), layout="constrained")[1] if ax is None else ax
    )


def draw_effects(features: Sequence[FeatureDrift], ax: Any = None) -> Any:
    """Draw each test's effect in units of its threshold; filled where it is drift.

    Parameters
    ----------
    features : sequence of FeatureDrift
        In the order to show them; 30 at most are drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Examples
    --------
    >>> draw_effects(report.features)                      # doctest: +SKIP
    <Axes: ...>
    """
    shown = features[:_MAX_FEATURES]
    ax = _new_axes(ax, 1.4 + 0.24 * max(len(shown), 4))
    methods = list(dict.fromkeys(s.method for f in shown for s in f.scores))
    for method, colour in zip(methods, _COLOURS * 2, strict=False):
        found = [
            (min(score.effect / score.threshold, _REACH), place, score.is_drift)
            for place, feature in enumerate(shown)
            for score in feature.scores
            if score.method == method and not math.isnan(score.effect)
        ]
        for is_drift in (False, True):
            points = [(x, y) for x, y, is_it in found if is_it == is_drift]
            x, y = np.array(points or np.empty((0, 2))).T
            ax.plot(
                x,
                y,
                "o",
                ms=6,
                color=colour,
                mfc=colour if is_drift else "none",
                label=method if is_drift else None,
                clip_on=False,
            )
    for place, feature in enumerate(shown):
        if not feature.scores:
            ax.text(0.05, place, feature.state, va="center", color="#5d6873")
    ax.axvline(1, color="#b3261e", lw=1, ls="--")
    ax.set_xlim(0, _REACH)
    ax.set_yticks(range(len(shown)), [short_text(f.name, 28) for f in shown])
    ax.set_ylim(max(len(shown), 1) - 0.4, -0.6)
    ax.grid(axis="y", color="#d5dae0", lw=0.5)
    ax.set_axisbelow(True)
    more = len(features) - len(shown)
    ax.set_xlabel(
        f"effect in thresholds, up to {_REACH:g}; filled: drift"
        + (f" ({more} more features)" if more else "")
    )
    if methods:
        ax.legend(loc="lower right", fontsize="small")
    return ax


def draw_feature(report: DriftReport, name: str, ax: Any = None) -> Any:
    """Draw the shares of one feature's bins, in the reference and in the window.

    Parameters
    ----------
    report : DriftReport
    name : str
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    KeyError
        The report has no such feature.

    Examples
    --------
    >>> draw_feature(report, "age")                        # doctest: +SKIP
    <Axes: ...>
    """
    before = next((s for s in report.reference if s.name == name), None)
    if before is None:
        raise KeyError(name)
    ax = _new_axes(ax, 3.2)
    after = next((s for s in report.window if s.name == name), None)
    at = np.arange(len(before.counts) + 1)
    ax.stairs(before.shares, at, fill=True, alpha=0.3, color=_COLOURS[0])
    ax.stairs(before.shares, at, color=_COLOURS[0], label="reference")
    if after is not None and after.has_bins_of(before):
        ax.stairs(after.shares, at, fill=True, alpha=0.3, color=_COLOURS[1])
        ax.stairs(after.shares, at, color=_COLOURS[1], label="window")
    if before.kind == "categorical":
        texts = [short_text(text, 12) for text in (*before.categories, "other")]
        places = at[:-1] + 0.5
    else:
        texts = [f"{edge:.3g}" for edge in before.edges]
        places = at[1:-1].astype(float)
    step = max(-(-len(texts) // 8), 1)
    ax.set_xticks(places[::step], texts[::step])
    ax.set_xlabel(f"{short_text(name, 60)}, bins of the reference")
    ax.set_ylabel("share")
    ax.legend(fontsize="small")
    return ax
