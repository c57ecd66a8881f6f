"""The pictures of an evaluation with matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError
from trimtab.report import pyplot
from trimtab.stats import wilson_interval

if TYPE_CHECKING:
    from trimtab.evaluate.report import EvaluationReport

__all__ = ["draw_report"]

_BLUE, _GREY, _RED = "#1f5fa8", "#7a8ca3", "#c8501e"
# Cells of a confusion matrix that are wide enough for a number.
_N_NUMBERS = 20


def draw_report(
    report: EvaluationReport, kind: str | None = None, ax: Any = None
) -> Any:
    """Draw one picture, or all that there are.

    Parameters
    ----------
    report : EvaluationReport
    kind : str, optional
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    ax : matplotlib.axes.Axes or ndarray of Axes

    Raises
    ------
    ImportError
        matplotlib is not installed.
    InputError
        There is no such picture.

    Examples
    --------
    >>> draw_report(report, "roc")                         # doctest: +SKIP
    <Axes: ...>
    """
    plt = pyplot("EvaluationReport.plot")
    known = [name for name in _DRAWINGS if name in report.curves]
    if report.slices:
        known.append("slices")
    if kind is not None and kind not in known:
        raise InputError(f"plot: expected one of {known}, got {kind!r}")
    if kind is None and ax is not None:
        raise InputError(f"plot: one axes takes one picture, kind= of {known}")
    if not known:
        raise InputError(f"plot: there is no picture of task {report.task!r}")
    if kind is not None:
        if ax is None:
            _, ax = plt.subplots(figsize=(5, 4.4), layout="constrained")
        _draw(report, kind, ax)
        return ax
    figure, axes = plt.subplots(
        1, len(known), figsize=(4.6 * len(known), 4.3), layout="constrained"
    )
    for name, one in zip(known, np.atleast_1d(axes), strict=True):
        _draw(report, name, one)
    figure.suptitle(report.model)
    return np.atleast_1d(axes)


def _draw(report: EvaluationReport, kind: str, ax: Any) -> None:
    if kind == "slices":
        _slices(report, ax)
        return
    _DRAWINGS[kind](report.curves[kind], report, ax)
    if kind != "confusion":
        ax.spines[["top", "right"]].set_visible(False)


def _confusion(values: dict[str, Any], report: EvaluationReport, ax: Any) -> None:
    counts = np.asarray(values["counts"], float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    n, labels = len(counts), [name[:14] for name in values["labels"]]
    if n <= _N_NUMBERS:
        for i, j in np.argwhere(counts > 0):
            ax.text(
                j,
                i,
                f"{counts[i, j]:.0f}",
                ha="center",
                va="center",
                fontsize=9 if n <= 10 else 6,
                color="white" if shares[i, j] > 0.5 else "#1d2329",
            )
    step = max(1, n // 20)
    is_long = max(map(len, labels)) > 3
    ax.set_xticks(range(0, n, step), labels[::step], rotation=60 if is_long else 0)
    ax.set_yticks(range(0, n, step), labels[::step])
    ax.set(xlabel="answered", ylabel="true", title="confusion matrix")


def _reliability(values: dict[str, Any], report: EvaluationReport, ax: Any) -> None:
    x, y, n = (np.asarray(values[key]) for key in ("confidence", "share", "n"))
    ends = np.array([wilson_interval(k * m, m) for k, m in zip(y, n, strict=True)])
    ax.plot([0, 1], [0, 1], color=_GREY, lw=1, ls="--", label="calibrated")
    spread = np.abs(ends.T - y)
    ax.errorbar(x, y, yerr=spread, fmt="o", color=_BLUE, ms=4, lw=1, capsize=2)
    twin = ax.twinx()
    twin.bar(x, n, width=0.05, color=_GREY, alpha=0.3)
    twin.set_ylim(0, 4 * n.max())
    twin.set_yticks([])
    twin.spines[:].set_visible(False)
    of_second = values["of"] == "the second class"
    names = report.curves.get("confusion", {}).get("labels", ["0", "1"])
    what = f"probability of {names[-1]!r}" if of_second else "confidence"
    told = f"share of {names[-1]!r}" if of_second else "share that is right"
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=what, ylabel=told, title="reliability")
    ax.legend(frameon=False, loc="upper left")


def _roc(values: dict[str, Any], report: EvaluationReport, ax: Any) -> None:
    ax.plot([0, 1], [0, 1], color=_GREY, lw=1, ls="--")
    ax.plot(values["x"], values["y"], color=_BLUE, label=_named(report, "roc_auc"))
    ax.set(
        xlim=(-0.01, 1),
        ylim=(0, 1.02),
        xlabel="false positive rate",
        ylabel="true positive rate",
        title="ROC curve",
    )
    ax.legend(frameon=False, loc="lower right")


def _pr(values: dict[str, Any], report: EvaluationReport, ax: Any) -> None:
    ax.axhline(values["base"], color=_GREY, lw=1, ls="--", label="guess")
    told = _named(report, "average_precision")
    ax.plot(values["x"], values["y"], color=_BLUE, label=told)
    ax.set(
        xlim=(0, 1.01),
        ylim=(0, 1.02),
        xlabel="recall",
        ylabel="precision",
        title="precision and recall",
    )
    ax.legend(frameon=False, loc="lower left")


def _scatter(values: list[list[float]], report: EvaluationReport, ax: Any) -> None:
    truth, given = np.asarray(values).T
    ends = [min(truth.min(), given.min()), max(truth.max(), given.max())]
    ax.plot(ends, ends, color=_GREY, lw=1, ls="--")
    ax.plot(truth, given, "o", color=_BLUE, ms=3, alpha=0.5, mew=0)
    ax.set(xlabel="true", ylabel="answered", title=f"{len(truth)} samples")


def _slices(report: EvaluationReport, ax: Any) -> None:
    """The first metric by slice, worst on top."""
    first = next(iter(report.metrics))
    sign = 1 if report.directions[first] else -1
    parts = sorted(report.slices, key=lambda p: -sign * p.metrics[first].value)[-25:]
    for i, part in enumerate(parts):
        shown, test = part.metrics[first], part.tests.get(first)
        colour = _RED if test is not None and test.is_worse else _BLUE
        ax.plot([shown.low, shown.high], [i, i], color=colour, lw=2)
        ax.plot(shown.value, i, "o", color=colour, ms=5)
    ax.axvline(report.metrics[first].value, color=_GREY, lw=1, ls="--")
    ax.set_yticks(range(len(parts)), [f"{p.name[:20]} ({p.n})" for p in parts])
    ax.set(xlabel=first, title=f"{first} by slice")
    ax.spines[["top", "right"]].set_visible(False)


def _named(report: EvaluationReport, name: str) -> str:
    figure = report.metrics.get(name)
    return name if figure is None else f"{name} {figure}"


_DRAWINGS: dict[str, Callable[[Any, EvaluationReport, Any], None]] = {
    "confusion": _confusion,
    "reliability": _reliability,
    "roc": _roc,
    "pr": _pr,
    "scatter": _scatter,
}
