"""The picture of a search: drop against cost, the budget, the chosen point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.report import pyplot

if TYPE_CHECKING:
    from trimtab.optimize.report import OptimizationReport, Point

__all__ = ["draw_curve"]

_COLOURS = {"search": "#7a8ca3", "guard": "#1f5fa8", "chosen": "#c8501e"}


def draw_curve(report: OptimizationReport, ax: Any = None) -> Any:
    """Draw drop against cost.

    Parameters
    ----------
    report : OptimizationReport
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
    >>> draw_curve(report)                                 # doctest: +SKIP
    <Axes: ...>
    """
    plt = pyplot("OptimizationReport.plot")
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 4.5))
    is_memory = report.goal == "memory"
    unit = 2**20 if is_memory else 1.0
    budget = report.max_drop
    ax.axhspan(budget, budget * 1e6, color="#c8501e", alpha=0.06, lw=0)
    ax.axhline(budget, color="#c8501e", lw=1, ls="--", label=f"budget {budget:g}")
    for split, marker in (("search", "o"), ("guard", "s")):
        points = [p for p in report.curve if p.split == split]
        if points:
            _points(ax, points, unit, marker, split)
    for point in report.curve:
        if point.is_chosen:
            ax.plot(
                point.cost / unit,
                point.drop,
                marker="*",
                ms=16,
                ls="",
                color=_COLOURS["chosen"],
                zorder=5,
                label="chosen",
            )
    # What is far beyond the budget would press the rest flat.
    tops = [p.upper for p in report.curve if p.upper < 5 * budget]
    low = min([0.0, *[p.drop for p in report.curve]])
    high = max([2.2 * budget, *tops])
    ax.set_ylim(low - 0.06 * (high - low), low + 1.05 * (high - low))
    n_above = sum(p.drop > ax.get_ylim()[1] for p in report.curve)
    if n_above:
        ax.text(
            0.01,
            0.98,
            f"{n_above} more above",
            transform=ax.transAxes,
            va="top",
            color=_COLOURS["search"],
        )
    ax.set_xlabel("weights in MiB" if is_memory else "estimated ms per call")
    ax.set_ylabel(f"drop of {report.metric}")
    ax.set_title(f"{report.speedup:.2f} x as fast as f32: {report._counts()}")
    ax.legend(frameon=False, loc="upper right")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _points(ax: Any, points: list[Point], unit: float, marker: str, split: str) -> None:
    """Points with their bounds as whiskers."""
    label = {
        "search": "search samples, bound to expect",
        "guard": "guard samples, proven bound",
    }[split]
    ax.errorbar(
        [p.cost / unit for p in points],
        [p.drop for p in points],
        yerr=[[0.0] * len(points), [max(p.upper - p.drop, 0.0) for p in points]],
        fmt=marker,
        ms=4 if split == "search" else 6,
        color=_COLOURS[split],
        elinewidth=1,
        capsize=3,
        alpha=0.55 if split == "search" else 1.0,
        label=label,
    )
