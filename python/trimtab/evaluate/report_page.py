"""The report of an evaluation as HTML: one file, no script, nothing loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.html import badge, details, figure, fragment, grid, page, paragraph, table
from trimtab.stats import wilson_interval
from trimtab.svg import (
    Series,
    bars,
    confusion_matrix,
    line,
    reliability_diagram,
)

if TYPE_CHECKING:
    from trimtab.evaluate.report import EvaluationReport

__all__ = ["report_fragment", "report_page"]

# Slices of which tables and bars are drawn, the worst first.
_N_SLICES = 60


def report_page(report: EvaluationReport) -> str:
    """Give a whole document.

    Parameters
    ----------
    report : EvaluationReport

    Returns
    -------
    html : str

    Examples
    --------
    >>> report_page(report)[:15]                           # doctest: +SKIP
    '<!doctype html>'
    """
    told = "" if report.baseline is None else f" against {report.baseline}"
    return page(f"Evaluation of {report.model}{told}", _sections(report))


def report_fragment(report: EvaluationReport) -> str:
    """Give a piece for notebooks.

    Parameters
    ----------
    report : EvaluationReport

    Returns
    -------
    html : str

    Examples
    --------
    >>> report_fragment(report)[:4]                        # doctest: +SKIP
    '<div'
    """
    parts: list[Any] = []
    for _, body in _sections(report):
        parts += body
    return str(fragment(*parts))


def _sections(report: EvaluationReport) -> list[tuple[str, list[Any]]]:
    sections: list[tuple[str, list[Any]]] = [
        ("Figures", [*_summary(report), table(*report.metric_rows())])
    ]
    if report.comparison:
        sections.append(
            (f"Against {report.baseline}", [table(*report.comparison_rows())])
        )
    if report.slices:
        sections.append(("Slices", _slices(report)))
    if report.folds:
        sections.append(("Folds", [_folds(report)]))
    pictures = _pictures(report)
    if pictures:
        sections.append(("Pictures", [grid(pictures)]))
    return sections


def _summary(report: EvaluationReport) -> list[Any]:
    parts: list[Any] = []
    if report.require:
        told = "proven" if report.ok else "not proven"
        parts.append(paragraph(badge(told, "good" if report.ok else "bad")))
    parts += [paragraph(badge(reason, "bad")) for reason in report.reasons]
    parts += [
        paragraph(text, is_soft=True)
        for text in report.lines()
        if not text.startswith("reason")
    ]
    return parts


def _slices(report: EvaluationReport) -> list[Any]:
    headers, rows = report.slice_rows()
    first = next(iter(report.metrics))
    by_name = {part.name: part for part in report.slices}
    shown = [by_name[str(row[0])].metrics[first] for row in rows[:_N_SLICES]]
    drawing = bars(
        [str(row[0]) for row in rows[:_N_SLICES]],
        [part.value for part in shown],
        low=[part.low for part in shown],
        high=[part.high for part in shown],
        threshold=report.metrics[first].value,
        title=f"{first} by slice",
    )
    caption = f"{first} by slice; the dashed line is that of all samples"
    return [figure(drawing, caption), table(headers, rows[:_N_SLICES])]


def _folds(report: EvaluationReport) -> Any:
    n = max(len(fold.values) for fold in report.folds.values())
    headers = ["metric", *(f"fold {i}" for i in range(min(n, 10))), "mean", "std"]
    rows: list[list[Any]] = [
        [name, *fold.values[:10], fold.mean, fold.std]
        for name, fold in report.folds.items()
    ]
    return details("Figures of each fold", table(headers, rows))


def _pictures(report: EvaluationReport) -> list[Any]:
    return [
        figure(draw(report.curves[name]), _CAPTIONS[name])
        for name, draw in _DRAWINGS.items()
        if name in report.curves
    ]


def _confusion(values: dict[str, Any]) -> Any:
    return confusion_matrix(values["counts"], values["labels"], title="confusion")


def _reliability(values: dict[str, Any]) -> Any:
    ends = [
        wilson_interval(share * n, n)
        for share, n in zip(values["share"], values["n"], strict=True)
    ]
    return reliability_diagram(
        values["confidence"],
        values["share"],
        values["n"],
        low=[low for low, _ in ends],
        high=[high for _, high in ends],
        title="reliability",
    )


def _roc(values: dict[str, Any]) -> Any:
    return line(
        Series("model", values["x"], values["y"]),
        x_label="share of negatives taken for positives",
        y_range=(0, 1),
        diagonal=True,
        title="ROC",
    )


def _pr(values: dict[str, Any]) -> Any:
    return line(
        Series("model", values["x"], values["y"]),
        threshold=values["base"],
        x_label="recall",
        y_range=(0, 1),
        title="precision against recall",
    )


_DRAWINGS = {
    "confusion": _confusion,
    "reliability": _reliability,
    "roc": _roc,
    "pr": _pr,
}
_CAPTIONS = {
    "confusion": "Confusion matrix: rows are the truth",
    "reliability": "Reliability: how often right against how sure",
    "roc": "ROC curve: true against false positives",
    "pr": "Precision against recall; dashed: a guess",
}
