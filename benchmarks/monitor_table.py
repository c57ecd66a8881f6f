"""What `trimtab._core.TableSketch` costs, beside NumPy counting the same table.

Rounds are interleaved: the sketch, then NumPy's histogram of every column (64 equal
bins, counts alone), then NumPy counting what the sketch does, but for distinct values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common import ratio_of_rounds
from trimtab import _core

Array = npt.NDArray[Any]
N_COLUMNS = 50


@dataclass(frozen=True)
class TableCase:
    """A table of random numbers and how finely it is counted.

    Attributes
    ----------
    dtype : str
    order : {"C", "F"}
        Rows or columns side by side.
    n_rows : int
    n_edges : int
        Quantiles of each column from 0.5 to 99.5 %.
    missing_share : float
        Of NaN.
    shift : float
        Of the numbers against those that the bins were made of.
    """

    dtype: str = "float32"
    order: Any = "C"
    n_rows: int = 100_000
    n_edges: int = 63
    missing_share: float = 0.0
    shift: float = 0.0

    def table(self) -> Array:
        """Normal numbers; integers are a thousand times as large, bytes around 128."""
        rng = np.random.default_rng(0)
        scale, offset = {"uint8": (30, 128), "int64": (1000, 0)}.get(self.dtype, (1, 0))
        x = rng.normal(offset + self.shift, scale, (self.n_rows, N_COLUMNS))
        if self.missing_share:
            x[rng.random(x.shape) < self.missing_share] = np.nan
        if self.dtype == "uint8":
            x = x.clip(0, 255)
        return np.asarray(x.astype(self.dtype), order=self.order)

    def edges(self) -> list[Array]:
        """The same for whatever number of rows."""
        x = TableCase(self.dtype, n_rows=20_000).table().astype(np.float64)
        at = np.linspace(0.005, 0.995, self.n_edges)
        return [np.unique(np.quantile(column, at)) for column in x.T]


CASES = {
    "float32": TableCase(),
    "float32, 10 bins": TableCase(n_edges=9),
    "float32, 256 bins": TableCase(n_edges=255),
    "float32, by column": TableCase(order="F"),
    "float32, 5 % missing": TableCase(missing_share=0.05),
    "float64": TableCase("float64"),
    "int64": TableCase("int64"),
    "uint8": TableCase("uint8"),
    "float32, far away": TableCase(shift=100.0),
    "float32, 256 rows": TableCase(n_rows=256),
    "float32, 32 rows": TableCase(n_rows=32),
    "float32, 1 row": TableCase(n_rows=1),
}


def numpy_histograms(x: Array, limits: tuple[float, float]) -> None:
    """64 equal bins of each column."""
    for column in x.T:
        np.histogram(column, bins=64, range=limits)


def numpy_everything(x: Array, edges: list[Array]) -> None:
    """Counts by the same edges, range, moments and missing values."""
    for column, at in zip(x.T, edges, strict=True):
        good = column[np.isfinite(column)]
        np.bincount(np.searchsorted(at, good, side="right"), minlength=len(at) + 1)
        if len(good):
            good.min(), good.max(), good.mean(), good.var()


def _seconds(call: Callable[[], object], n_calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(n_calls):
        call()
    return (time.perf_counter() - begin) / n_calls


def measure(case: TableCase, *, n_rounds: int) -> dict[str, Any]:
    """Interleaved rounds of one case.

    Parameters
    ----------
    case : TableCase
    n_rounds : int

    Returns
    -------
    entry : dict
        Seconds of each round and contender, ratios, bytes.
    """
    x, edges = case.table(), case.edges()
    limits = (float(np.nanmin(x)), float(np.nanmax(x)))
    sketch = _core.TableSketch(edges)
    contenders: dict[str, Callable[[], object]] = {
        "trimtab": lambda: sketch.update(x),
        "numpy_histogram": lambda: numpy_histograms(x, limits),
        "numpy_everything": lambda: numpy_everything(x, edges),
    }
    # a round of a contender takes 5 ms at least
    n_calls = {
        name: max(1, int(5e-3 / max(_seconds(call, 1), 1e-7)))
        for name, call in contenders.items()
    }
    rounds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(n_rounds):
        sketch.clear()
        for name, call in contenders.items():
            rounds[name].append(_seconds(call, n_calls[name]))
    return {
        "n_rows": case.n_rows,
        "n_columns": N_COLUMNS,
        "best_s": {name: min(values) for name, values in rounds.items()},
        "rounds_s": rounds,
        "ratio": {
            name: ratio_of_rounds(rounds["trimtab"], rounds[name])
            for name in ("numpy_histogram", "numpy_everything")
        },
        "sketch_bytes": sketch.nbytes,
        "to_bytes": len(sketch.to_bytes(layout=False)),
    }


def table(*, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """The stage: one entry a case.

    Parameters
    ----------
    quick : bool
        Few rounds.

    Yields
    ------
    name, entry : str, dict
    """
    for name, case in CASES.items():
        yield name, measure(case, n_rounds=5 if quick else 31)
