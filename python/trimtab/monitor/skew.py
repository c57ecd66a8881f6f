"""Train/serve skew: the same raw rows through both pipelines, compared value by value.

Skew of the data (the first traffic differs from the training data already) is told by
`Status.skew`. Skew of the code, two ways to prepare the same row, is told here: it
needs no statistics, one row that comes out different is a proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError
from trimtab.monitor.status import plain
from trimtab.report import text_table
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.pipeline import Pipeline

__all__ = ["SkewReport", "TensorSkew", "compare_pipelines"]

_MAX_EXAMPLES = 5


@dataclass(frozen=True)
class TensorSkew:
    """How two pipelines differ in one tensor.

    Parameters
    ----------
    name : str
    n_rows, n_different : int
        Raw rows, and those that do not come out the same.
    largest : float
        Largest difference, relative to the range of the training pipeline's values;
        NaN where shapes or types differ.
    columns : tuple of int
        Flat positions of the values that differ most often.
    reason : str
        "", or what differs beside values: "shape", "type", "missing".
    examples : tuple of int
        Numbers of the first rows that differ.
    """

    name: str
    n_rows: int
    n_different: int
    largest: float
    columns: tuple[int, ...] = ()
    reason: str = ""
    examples: tuple[int, ...] = ()


@dataclass(frozen=True)
class SkewReport:
    """What `compare_pipelines` returns.

    Parameters
    ----------
    tensors : tuple of TensorSkew
    tolerance : float

    Examples
    --------
    >>> assert compare_pipelines(rows, old, new).ok        # doctest: +SKIP
    """

    tensors: tuple[TensorSkew, ...]
    tolerance: float

    @property
    def ok(self) -> bool:
        """Do all rows come out the same?"""
        return not any(tensor.n_different for tensor in self.tensors)

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON.

        Returns
        -------
        values : dict
        """
        return {
            "ok": self.ok,
            "tolerance": self.tolerance,
            "tensors": [plain(asdict(tensor)) for tensor in self.tensors],
        }

    def __str__(self) -> str:
        """A table of the tensors."""
        headers = ["tensor", "rows", "different", "largest", "where", "rows like"]
        rows: list[list[Any]] = [
            [
                tensor.name,
                str(tensor.n_rows),
                str(tensor.n_different),
                f"{tensor.largest:.3g}",
                tensor.reason or ", ".join(map(str, tensor.columns)),
                ", ".join(map(str, tensor.examples)),
            ]
            for tensor in self.tensors
        ]
        return text_table(headers, rows)


def compare_pipelines(
    rows: Iterable[Any],
    training: Callable[[Any], Any],
    serving: Callable[[Any], Any] | Pipeline,
    *,
    tolerance: float = 1e-5,
) -> SkewReport:
    """Send the same raw rows through both ways to prepare them.

    Parameters
    ----------
    rows : iterable
        Requests, as the pipelines take them.
    training : callable
        Row -> what the model was trained with: an array, a tuple of arrays, or a dict.
    serving : callable or Pipeline
        Row -> what the model gets in service; of a `Pipeline` (or a `Deployment`) the
        steps before the model.
    tolerance : float, default=1e-5
        Largest difference of floats, relative to the range of the training pipeline's
        values over the row; integers and texts must be equal.

    Returns
    -------
    report : SkewReport

    Raises
    ------
    InputError
        There are no rows, or the tolerance is negative.

    Examples
    --------
    >>> rows = [np.array([1.0, 2.0]), np.array([3.0, 5.0])]
    >>> report = compare_pipelines(rows, lambda x: x / 2, lambda x: x // 2)
    >>> report.ok, report.tensors[0].n_different
    (False, 2)
    """
    if not tolerance >= 0:
        raise InputError(f"tolerance: expected 0 or more, got {tolerance!r}")
    serve = _preparing(serving)
    found: dict[str, _Differences] = {}
    n_rows = 0
    for i, row in enumerate(rows):
        now = _arrays(serve(row))
        before = _arrays(training(row), list(now))
        n_rows += 1
        for name in [*before, *(name for name in now if name not in before)]:
            one = found.setdefault(name, _Differences())
            one.compare(i, before.get(name), now.get(name), tolerance)
    if not n_rows:
        raise InputError("compare_pipelines: there are no rows")
    tensors = tuple(one.result(name, n_rows) for name, one in found.items())
    return SkewReport(tensors, tolerance)


def _preparing(serving: Any) -> Callable[[Any], Any]:
    """The steps before the model."""
    pipeline = getattr(serving, "pipeline", serving)
    if hasattr(pipeline, "preprocess"):
        names = [spec.name for spec in pipeline.model.inputs]
        return lambda row: dict(zip(names, pipeline._values(row, {}), strict=True))
    if callable(serving):
        return serving  # type: ignore[no-any-return]
    raise InputError(
        "serving: expected a callable, a Pipeline or a Deployment, got "
        f"{type(serving).__name__}"
    )


def _arrays(values: Any, names: Sequence[str] = ()) -> dict[str, Array]:
    """By name; where there is none, by the other's names in their order."""
    if isinstance(values, Mapping):
        return {str(name): np.asarray(value) for name, value in values.items()}
    given = values if isinstance(values, tuple) else (values,)
    known = [*names, *(str(i) for i in range(len(names), len(given)))]
    return {name: np.asarray(x) for name, x in zip(known, given, strict=False)}


class _Differences:
    """Of one tensor, over the rows."""

    def __init__(self) -> None:
        self.n_different = 0
        self.largest = 0.0
        self.reason = ""
        self.examples: list[int] = []
        self.hits: Array = np.zeros(0, np.int64)

    def compare(self, i: int, a: Array | None, b: Array | None, limit: float) -> None:
        reason = _reason(a, b)
        where = np.zeros(0, bool)
        if not reason:
            assert a is not None
            assert b is not None
            largest, where = _compare(a, b, limit)
            self.largest = max(self.largest, largest)
        if not reason and not where.any():
            return
        self.n_different += 1
        self.reason = self.reason or reason
        if len(self.examples) < _MAX_EXAMPLES:
            self.examples.append(i)
        if len(self.hits) < len(where):
            self.hits = np.pad(self.hits, (0, len(where) - len(self.hits)))
        self.hits[: len(where)] += where

    def result(self, name: str, n_rows: int) -> TensorSkew:
        worst = np.argsort(-self.hits, kind="stable")[:_MAX_EXAMPLES]
        return TensorSkew(
            name,
            n_rows,
            self.n_different,
            float("nan") if self.reason else self.largest,
            tuple(int(k) for k in worst if self.hits[k]),
            self.reason,
            tuple(self.examples),
        )


def _reason(a: Array | None, b: Array | None) -> str:
    if a is None or b is None:
        return "missing"
    if a.shape != b.shape:
        return "shape"
    return "" if a.dtype.kind == b.dtype.kind else "type"


def _compare(a: Array, b: Array, limit: float) -> tuple[float, Array]:
    """The largest difference, and where it is above the limit."""
    x, y = a.ravel(), b.ravel()
    if a.dtype.kind != "f":
        differs = np.asarray(x != y)
        return float(differs.any()), differs
    x, y = x.astype(np.float64), y.astype(np.float64)
    finite = x[np.isfinite(x)]
    spread = float(np.ptp(finite)) if len(finite) else 0.0
    scale = spread or float(np.abs(finite).max(initial=0.0)) or 1.0
    with np.errstate(invalid="ignore"):
        apart = np.abs(x - y) / scale
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    apart = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
    return float(apart.max(initial=0.0)), apart > limit
