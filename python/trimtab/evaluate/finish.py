"""From what was counted to the report: intervals, tests, the gate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from trimtab.evaluate.answers import Who
from trimtab.evaluate.compare import Comparison, compare_metrics, verdict
from trimtab.evaluate.folds import (
    FoldFigures,
    fitted_interval,
    fitted_test,
    summarise_folds,
)
from trimtab.evaluate.gate import reasons_against
from trimtab.evaluate.predict import latency_of
from trimtab.evaluate.report import EvaluationReport
from trimtab.evaluate.running import Running
from trimtab.metrics import Interval
from trimtab.optimize.progress import Progress
from trimtab.stats.multiplicity import holm
from trimtab.types import Array

__all__ = ["make_report"]

Folds = Sequence[tuple[Array, Array]]


def make_report(
    running: Running, who: Who, folds: Folds, bar: Progress
) -> EvaluationReport:
    """Make the report of what was counted.

    Parameters
    ----------
    running : Running
    who : Who
    folds : sequence of (train, test)
    bar : Progress

    Returns
    -------
    report : EvaluationReport

    Examples
    --------
    >>> make_report(running, who, [], bar)                 # doctest: +SKIP
    EvaluationReport of 'mnist.onnx' ...
    """
    settings = running.settings
    n_tests = len(running.metrics) if running.baseline is not None else 0
    bar.begin("intervals and tests", 1 + n_tests + running.slices.n_figures())
    figures = running.figures()
    bar.step()
    by_fold = _by_fold(running) if folds else {}
    sizes = _sizes(folds)
    if who.is_fitted:
        figures = {
            name: fitted_interval(by_fold[name], sizes, running.n, settings.alpha)
            for name in figures
        }
    base_figures: dict[str, Interval] = {}
    comparison: dict[str, Comparison] = {}
    if running.baseline is not None and who.is_fitted:
        comparison = _compare_fitted(running, by_fold, sizes)
    elif running.baseline is not None and running.paired is not None:
        base_figures = running.baseline.figures(**settings.how)
        comparison = compare_metrics(
            running.metrics,
            running.paired,
            running.total.values(),
            running.baseline.values(),
            groups=running.groups,
            step=bar.step,
            **settings.how,
        )
    slices, notes = running.slices.figures(
        min_size=settings.min_slice_size, step=bar.step, **settings.how
    )
    directions = {n: m.greater_is_better for n, m in running.metrics.items()}
    require = dict(settings.require)
    return EvaluationReport(
        model=who.name,
        task=running.task.kind,
        why=running.task.why,
        n=running.n,
        n_invalid=running.n_invalid,
        metrics=figures,
        directions=directions,
        slices=tuple(slices),
        baseline=who.baseline_name,
        baseline_metrics=base_figures,
        comparison=comparison,
        folds=by_fold,
        require=require,
        reasons=reasons_against(
            require, figures, directions, n_invalid=running.n_invalid
        ),
        curves=running.curves.to_dict(),
        latency=latency_of(who.used),
        alpha=settings.alpha,
        seed=settings.seed,
        notes=(*_notes(running, who, folds), *notes),
    )


def _by_fold(running: Running) -> dict[str, FoldFigures]:
    baseline: Sequence[Mapping[str, float]] = ()
    if running.baseline is not None:
        baseline = running.fold_values(running.baseline_folds)
    return summarise_folds(running.fold_values(running.folds), baseline)


def _sizes(folds: Folds) -> tuple[float, float]:
    """Samples to train and to test on, by fold."""
    if not folds:
        return math.nan, math.nan
    train, test = np.mean([(len(a), len(b)) for a, b in folds], axis=0)
    return float(train), float(test)


def _compare_fitted(
    running: Running, by_fold: Mapping[str, FoldFigures], sizes: tuple[float, float]
) -> dict[str, Comparison]:
    """Recipes instead of models: the folds are the samples."""
    alpha = running.settings.alpha
    results = {}
    for name, figures in by_fold.items():
        result = fitted_test(figures, sizes, alpha)
        if result is not None:
            results[name] = result
    adjusted = holm([result.p_value for result in results.values()])
    return {
        name: Comparison(
            name,
            by_fold[name].mean,
            float(np.mean(by_fold[name].baseline)),
            result.difference,
            result.low,
            result.high,
            result.p_value,
            float(p),
            verdict(result, float(p), running.metrics[name], alpha),
            result.method,
            len(by_fold[name].values),
        )
        for (name, result), p in zip(results.items(), adjusted, strict=True)
    }


def _notes(running: Running, who: Who, folds: Folds) -> list[str]:
    notes = [predictor.note for predictor in who.used[:1] if predictor.note]
    n, n_base = running.n_invalid, running.n_invalid_baseline
    if n:
        notes.append(
            f"{n} of {running.n} predictions are NaN or infinite: they are left out"
        )
    if n_base:
        notes.append(
            f"{n_base} predictions of the baseline are NaN or infinite: they are left "
            "out for both models"
        )
    for name, why in running.total.failed.items():
        notes.append(f"metric {name!r} raised {why}")
    blocks = running.blocks
    if blocks is not None and len(blocks.parts) > 1:
        what = "groups" if running.settings.groups is not None else "samples"
        notes.append(
            f"rows of one of the {what} are not independent: intervals count {what}"
        )
    if folds and not who.is_fitted:
        notes.append(
            "the model is the same in all folds: they show how much figures vary"
        )
    if who.is_fitted:
        notes.append("figures are means over folds, each of a model fitted to the rest")
    return notes
