"""How good a model is, with what confidence, where, and against which: the report."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trimtab.errors import InputError
from trimtab.evaluate.compare import Comparison
from trimtab.evaluate.folds import FoldFigures
from trimtab.evaluate.slices import SliceFigures, SliceTest
from trimtab.metrics import Interval
from trimtab.report import Cell, text_table

__all__ = ["EvaluationReport"]

#: Version of the layout that `to_dict` writes.
FORMAT = 1
# Slices that a table in a terminal shows; the worst first.
_N_SLICES = 20


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """What `trimtab.evaluate_model` returns; shown as a table.

    Parameters
    ----------
    model : str
        Its name.
    task, why : str
        What was asked of it, and how labels and outputs were read.
    n, n_invalid : int
        Samples, and how many of their predictions are NaN or infinite: figures leave
        these out.
    metrics : dict of str to Interval
        Each with `value`, `low`, `high`, `n` and `method`.
    directions : dict of str to bool
        Is greater better?
    slices : tuple of SliceFigures
    baseline : str or None
        Name of the other model.
    baseline_metrics : dict of str to Interval
    comparison : dict of str to Comparison
    folds : dict of str to FoldFigures
    require : dict of str to float
    reasons : tuple of str
        What is not proven of what was required.
    curves : dict
        What the pictures show.
    latency : dict of str to float
        Of the calls of this evaluation.
    alpha : float
        1 - alpha is the confidence of all intervals.
    seed : int
    notes : tuple of str

    Examples
    --------
    >>> report = trimtab.evaluate_model(model, (x, y))     # doctest: +SKIP
    >>> print(report.metrics["accuracy"])                  # doctest: +SKIP
    0.9765 [0.969, 0.9823]
    """

    model: str
    task: str
    why: str
    n: int
    n_invalid: int
    metrics: dict[str, Interval]
    directions: dict[str, bool]
    slices: tuple[SliceFigures, ...] = ()
    baseline: str | None = None
    baseline_metrics: dict[str, Interval] = field(default_factory=dict)
    comparison: dict[str, Comparison] = field(default_factory=dict)
    folds: dict[str, FoldFigures] = field(default_factory=dict)
    require: dict[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    curves: dict[str, Any] = field(default_factory=dict)
    latency: dict[str, float] = field(default_factory=dict)
    alpha: float = 0.05
    seed: int = 0
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Is all proven that was required?"""
        return not self.reasons

    # ---- as text ------------------------------------------------------------

    def lines(self) -> list[str]:
        """What tables do not say, a line each."""
        lines = [
            f"task     {self.task}: {self.why}",
            f"data     {self.n} samples; {100 * (1 - self.alpha):g} % intervals; "
            f"seed {self.seed}",
        ]
        if self.latency:
            lines.append(
                f"time     {self.latency['total_s']:.2f} s in the model, "
                f"{self.latency['median_ms']:.3g} ms for a call of "
                f"{self.latency['batch_size']:.0f}, "
                f"{self.latency['samples_per_s']:.0f} samples a second"
            )
        if self.require:
            wanted = ", ".join(
                f"{name} {'>=' if self.directions[name] else '<='} {value:g}"
                for name, value in self.require.items()
            )
            lines.append(f"required {wanted}: {'proven' if self.ok else 'NOT PROVEN'}")
        lines += [f"reason   {reason}" for reason in self.reasons]
        return lines + [f"note     {note}" for note in self.notes]

    def metric_rows(self) -> tuple[list[str], list[list[Cell]]]:
        """Headers and rows of the table of figures."""
        headers = ["metric", "value", "low", "high", "n", "interval"]
        if self.folds:
            headers.append("over folds")
        rows: list[list[Cell]] = []
        for name, figure in self.metrics.items():
            arrow = "" if self.directions[name] else " (lower is better)"
            row: list[Cell] = [f"{name}{arrow}", *map(_digits, _ends(figure))]
            row += [str(figure.n), figure.method]
            if self.folds:
                fold = self.folds[name]
                row.append(f"{_digits(fold.mean)} ± {_digits(fold.std)}")
            rows.append(row)
        return headers, rows

    def comparison_rows(self) -> tuple[list[str], list[list[Cell]]]:
        """Headers and rows of the table of differences."""
        headers = [
            "metric",
            "model",
            "baseline",
            "difference",
            "low",
            "high",
            "p",
            "p (Holm)",
            "verdict",
            "test",
        ]
        rows: list[list[Cell]] = [
            [
                name,
                *map(_digits, (c.value, c.baseline, c.difference, c.low, c.high)),
                *(f"{p:.3g}" for p in (c.p_value, c.adjusted_p_value)),
                _VERDICTS[c.is_better],
                c.method,
            ]
            for name, c in self.comparison.items()
        ]
        return headers, rows

    def slice_rows(self) -> tuple[list[str], list[list[Cell]]]:
        """Headers and rows of the table of slices: the first metric, worst first."""
        if not self.metrics:
            return [], []
        first = next(iter(self.metrics))
        sign = 1 if self.directions[first] else -1
        headers = ["slice", "n", first, "low", "high", "others", "p (BH)", "worse in"]
        rows: list[list[Cell]] = []
        for part in sorted(self.slices, key=lambda p: _key(p.metrics[first], sign)):
            test = part.tests.get(first)
            worse = [name for name, t in part.tests.items() if t.is_worse]
            rows.append(
                [
                    part.name,
                    str(part.n),
                    *map(_digits, _ends(part.metrics[first])),
                    _digits(part.others[first].value),
                    f"{test.adjusted_p_value:.3g}" if test else "not tested",
                    ", ".join(worse),
                ]
            )
        return headers, rows

    def __str__(self) -> str:
        """Figures, differences and slices as tables."""
        told = "" if self.baseline is None else f", against {self.baseline!r}"
        parts = [f"EvaluationReport of {self.model!r}{told}"]
        parts += [f"  {line}" for line in self.lines()]
        parts.append(text_table(*self.metric_rows()))
        if self.comparison:
            parts += ["", text_table(*self.comparison_rows())]
        if self.slices:
            headers, rows = self.slice_rows()
            parts += ["", text_table(headers, rows[:_N_SLICES])]
            if len(rows) > _N_SLICES:
                parts.append(f"{len(rows) - _N_SLICES} more slices in to_dict()")
        return "\n".join(parts)

    def __repr__(self) -> str:
        """Figures, differences and slices as tables."""
        return str(self)

    def _repr_html_(self) -> str:
        from trimtab.evaluate.report_page import report_fragment

        return report_fragment(self)

    # ---- as data ------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values; numbers that are not finite are None."""
        plain = {name: _plain(value) for name, value in self.__dict__.items()}
        return {"format": FORMAT, "ok": self.ok, **plain}

    def to_json(self) -> str:
        """All of it as JSON text.

        Returns
        -------
        text : str
        """
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> EvaluationReport:
        """Make a report of what `to_json` gave.

        Parameters
        ----------
        text : str or bytes

        Returns
        -------
        report : EvaluationReport

        Raises
        ------
        InputError
            It is no report.
        """
        try:
            return cls.from_dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"report: no JSON text: {error}") from error

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EvaluationReport:
        """Make a report of what `to_dict` gave.

        Parameters
        ----------
        values : mapping

        Returns
        -------
        report : EvaluationReport

        Raises
        ------
        InputError
            It is no report, or of another version.
        """
        if not isinstance(values, Mapping) or values.get("format") != FORMAT:
            raise InputError(
                f"report: expected the values of to_dict, format {FORMAT}, got "
                f"{values!r:.60}"
            )
        given = {k: v for k, v in values.items() if k not in ("format", "ok")}
        try:
            for name, read in _READERS.items():
                if name in given:
                    given[name] = read(given[name])
            return cls(**given)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise InputError(f"report: malformed: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report, as JSON, or as HTML where the name says so.

        Parameters
        ----------
        path : path
            Ends with ``.json`` or ``.html``.

        Raises
        ------
        InputError
            It ends with something else.
        OSError
            The file cannot be written.
        """
        name = os.fsdecode(path)
        if name.endswith((".html", ".htm")):
            from trimtab.evaluate.report_page import report_page

            text = report_page(self)
        elif name.endswith(".json"):
            text = self.to_json()
        else:
            raise InputError(f"save: expected a name in .html or .json, got {name!r}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text + "\n")

    def plot(self, kind: str | None = None, ax: Any = None) -> Any:
        """Draw what there is to see.

        Parameters
        ----------
        kind : {"confusion", "reliability", "roc", "pr", "scatter", "slices"}, optional
            One picture; all that there are, side by side, by default.
        ax : matplotlib.axes.Axes, optional
            Where to draw one picture; a new figure by default.

        Returns
        -------
        ax : matplotlib.axes.Axes or ndarray of Axes

        Raises
        ------
        ImportError
            matplotlib is not installed.
        InputError
            There is no such picture of this task.
        """
        from trimtab.evaluate.report_plot import draw_report

        return draw_report(self, kind, ax)


_VERDICTS = {True: "better", False: "worse", None: "not to be told"}


def _ends(figure: Interval) -> tuple[float, float, float]:
    return figure.value, figure.low, figure.high


def _digits(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _key(figure: Interval, sign: int) -> float:
    """Worst first, what has no figure last."""
    return math.inf if math.isnan(figure.value) else sign * figure.value


# ---- plain values and back ----------------------------------------------------------


def _plain(value: Any) -> Any:
    """Values as JSON has them."""
    if hasattr(value, "__dataclass_fields__"):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _interval(values: Mapping[str, Any]) -> Interval:
    low, high, value = (_number(values[key]) for key in ("low", "high", "value"))
    return Interval(value, low, high, str(values["method"]), int(values["n"]))


def _intervals(values: Mapping[str, Any]) -> dict[str, Interval]:
    return {name: _interval(value) for name, value in values.items()}


def _numbers(values: Mapping[str, Any], texts: tuple[str, ...]) -> dict[str, Any]:
    """Fields of a flat record: None was NaN but in those that are no numbers."""
    return {k: v if k in texts else _number(v) for k, v in values.items()}


def _comparisons(values: Mapping[str, Any]) -> dict[str, Comparison]:
    kept = ("metric", "is_better", "method", "n")
    return {name: Comparison(**_numbers(item, kept)) for name, item in values.items()}


def _folds(values: Mapping[str, Any]) -> dict[str, FoldFigures]:
    return {
        name: FoldFigures(
            tuple(map(_number, item["values"])),
            _number(item["mean"]),
            _number(item["std"]),
            tuple(map(_number, item["baseline"])),
        )
        for name, item in values.items()
    }


def _slices(values: list[Mapping[str, Any]]) -> tuple[SliceFigures, ...]:
    return tuple(
        SliceFigures(
            str(item["name"]),
            int(item["n"]),
            _intervals(item["metrics"]),
            _intervals(item["others"]),
            {
                name: SliceTest(**_numbers(test, ("is_worse",)))
                for name, test in item["tests"].items()
            },
        )
        for item in values
    )


_READERS: dict[str, Any] = {
    "metrics": _intervals,
    "baseline_metrics": _intervals,
    "slices": _slices,
    "comparison": _comparisons,
    "folds": _folds,
    "reasons": tuple,
    "notes": tuple,
}
