"""The picture of a result: the contender's latency over each other engine's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Okabe and Ito (2008): distinguishable with every kind of colour vision.
MARKS = {
    "onnxruntime": ("#0072b2", "o"),
    "openvino": ("#d55e00", "s"),
    "openvino_static": ("#e69f00", "D"),
    "torch": ("#999999", "^"),
    "trimtab": ("#009e73", "v"),
}
INK = "#333333"


def plot_ratios(document: dict[str, Any], path: Path) -> Path | None:
    """Draw one panel per thread count, one row per model, one mark per engine.

    Parameters
    ----------
    document : dict
        A result of compare.py.
    path : Path
        The picture to write; its suffix decides the format.

    Returns
    -------
    path : Path or None
        None if the result holds no ratios.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    entries = [entry for entry in document.get("latency", []) if entry["ratios"]]
    thread_counts = sorted({entry["threads"] for entry in entries})
    if not entries:
        return None
    order = _slowest_last(entries)
    labels = sorted(
        {label for entry in entries for label in entry["ratios"]},
        key=lambda label: list(document["engines_measured"]).index(label),
    )
    figure, axes = pyplot.subplots(
        1,
        len(thread_counts),
        figsize=(2.4 + 3.8 * len(thread_counts), 1.9 + 0.27 * len(order)),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, threads in zip(axes[0], thread_counts, strict=True):
        rows = {x["model"]: x for x in entries if x["threads"] == threads}
        _draw_panel(axis, rows, order, labels)
        plural = "s" if threads > 1 else ""
        axis.set_title(f"{threads} thread{plural}", color=INK, fontsize=10)
    _finish(axes[0][0], order)
    figure.suptitle(
        f"Latency of {document['contender']} over that of other engines "
        "(left of 1: it is faster)\n"
        "models from the shortest call to the longest; bars: middle half of the rounds",
        color=INK,
        fontsize=10.5,
    )
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=len(names),
        frameon=False,
        fontsize=9,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")
    pyplot.close(figure)
    return path


def _slowest_last(entries: list[dict[str, Any]]) -> list[str]:
    """Models by the better base's latency at the fewest threads."""
    seconds: dict[str, float] = {}
    for entry in sorted(entries, key=lambda x: x["threads"]):
        base = entry["engines"].get(entry["better"])
        if base is not None:
            seconds.setdefault(entry["model"], base["plain"]["median_s"])
    return sorted(seconds, key=lambda name: seconds[name])


def _draw_panel(
    axis: Any, rows: dict[str, Any], order: list[str], labels: list[str]
) -> None:
    axis.axvline(1.0, color=INK, linewidth=0.9, zorder=1)
    for y in range(len(order)):
        axis.axhline(y, color="#eeeeee", linewidth=0.8, zorder=0)
    for label in labels:
        points = [
            (rows[name]["ratios"][label]["plain"], y)
            for y, name in enumerate(order)
            if name in rows and label in rows[name]["ratios"]
        ]
        color, marker = MARKS.get(label.partition("#")[0], (INK, "x"))
        middles = [ratio["median"] for ratio, _ in points]
        axis.errorbar(
            middles,
            [y for _, y in points],
            xerr=[
                [ratio["median"] - ratio["low"] for ratio, _ in points],
                [ratio["high"] - ratio["median"] for ratio, _ in points],
            ],
            fmt=marker,
            color=color,
            markersize=5,
            elinewidth=1,
            alpha=0.9,
            label=f"over {label}",
            zorder=3,
        )


def _finish(axis: Any, order: list[str]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_xscale("log")
    low, high = axis.get_xlim()
    axis.set_xlim(min(low, 0.5), max(high, 1.25))
    axis.set_yticks(range(len(order)), order, fontsize=8.5)
    axis.set_ylim(len(order) - 0.4, -0.6)
    for each in axis.figure.axes:
        each.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
        each.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        each.xaxis.set_minor_formatter(NullFormatter())
        each.tick_params(colors=INK, labelsize=8.5)
        each.tick_params(axis="y", length=0)
        for side in ("top", "right", "left"):
            each.spines[side].set_visible(False)
