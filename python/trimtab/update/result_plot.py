"""The picture of an update: the metric of each method, on new rows and on old ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from trimtab.report import pyplot
from trimtab.svg import bars

if TYPE_CHECKING:
    from trimtab.html import Html
    from trimtab.update.result import UpdateResult

__all__ = ["draw_scores", "scores_figure"]

_COLOURS = {"select": "#1f5fa8", "reference": "#7a8ca3"}
_WORDS = {"select": "new rows that choose", "reference": "old rows"}


def scores_figure(result: UpdateResult) -> Html:
    """Draw bars for a notebook.

    Parameters
    ----------
    result : UpdateResult

    Returns
    -------
    svg : Html

    Examples
    --------
    >>> scores_figure(result)                              # doctest: +SKIP
    '<svg ...>'
    """
    labels, values = [], []
    for trial in result.candidates:
        for name, word in (("select", "new"), ("reference", "old")):
            value = getattr(trial, name)
            if math.isfinite(value):
                labels.append(f"{trial.method}, {word}")
                values.append(value)
    return bars(labels, values, title=f"{result.metric} by method")


def draw_scores(result: UpdateResult, ax: Any = None) -> Any:
    """Draw bars with matplotlib.

    Parameters
    ----------
    result : UpdateResult
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> draw_scores(result)                                # doctest: +SKIP
    <Axes: ...>
    """
    plt = pyplot("UpdateResult.plot")
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 1.2 + 0.55 * len(result.candidates)))
    trials = [t for t in result.candidates if math.isfinite(t.select)]
    height = 0.38
    for offset, name in ((-height / 2, "select"), (height / 2, "reference")):
        values = [getattr(trial, name) for trial in trials]
        if any(math.isfinite(value) for value in values):
            ax.barh(
                [i + offset for i in range(len(trials))],
                [value if math.isfinite(value) else 0.0 for value in values],
                height,
                color=_COLOURS[name],
                label=_WORDS[name],
            )
    ax.set_yticks(range(len(trials)), [trial.method for trial in trials])
    for tick, trial in zip(ax.get_yticklabels(), trials, strict=True):
        tick.set_fontweight("normal" if trial.why_not else "bold")
    ax.invert_yaxis()
    ax.set_xlabel(result.metric)
    ax.set_title(f"{result.state}: {result.method or 'no method'}")
    ax.legend(frameon=False, loc="lower right")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
