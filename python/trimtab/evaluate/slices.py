"""Parts of the data, and whether the model does worse there.

Enters: masks, columns or functions by name. Leaves: `SliceFigures` for each part: its
figures, and its difference to all other samples with a p-value that counts how many
slices were looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluate.custom import is_raw
from trimtab.evaluate.data import Batch, Data
from trimtab.evaluate.tally import Partition, Rows, Tally
from trimtab.metrics import Interval, Metric
from trimtab.metrics.moments import MeanAccumulator
from trimtab.stats.multiplicity import benjamini_hochberg
from trimtab.stats.special import normal_cdf, normal_quantile
from trimtab.types import Array

__all__ = ["SliceFigures", "SliceTest", "Slices", "difference_of_intervals"]

# Values of one column that are slices of their own.
_MAX_VALUES = 100


@dataclass(frozen=True)
class SliceTest:
    """A slice against all other samples.

    Parameters
    ----------
    difference, low, high : float
        Slice less the others, and its interval.
    p_value : float
    adjusted_p_value : float
        By Benjamini and Hochberg, over all slices and metrics.
    is_worse : bool or None
        With the adjusted p-value at alpha; None where the difference may be nothing.
    """

    difference: float
    low: float
    high: float
    p_value: float
    adjusted_p_value: float = math.nan
    is_worse: bool | None = None


@dataclass(frozen=True)
class SliceFigures:
    """One part of the data.

    Parameters
    ----------
    name : str
        "column=value" for the values of a column.
    n : int
        Samples in it.
    metrics : dict of str to Interval
    others : dict of str to Interval
        The same of all samples that are not in it.
    tests : dict of str to SliceTest
        Empty where the slice, or the rest, is too small.
    """

    name: str
    n: int
    metrics: dict[str, Interval]
    others: dict[str, Interval]
    tests: dict[str, SliceTest]


class Slices:
    """What tells samples apart, and what was counted of each part.

    Parameters
    ----------
    specs : mapping of str to object, or iterable of str
        By name: a mask, an array of values, the name of a column of the metadata, or a
        function of (inputs, labels) that gives a mask or values for a batch. Names
        alone are columns.
    metrics : mapping of str to Metric
    """

    def __init__(self, specs: Any, metrics: Mapping[str, Metric]) -> None:
        self.specs = _by_name(specs)
        self.parts = {
            name: Partition(metrics, f"slices: {name!r}", _MAX_VALUES)
            for name in self.specs
        }
        self._is_mask: dict[str, bool] = {}

    def check(self, data: Data) -> None:
        """Refuse what is known to fit nothing, before any work is done.

        Parameters
        ----------
        data : Data

        Raises
        ------
        InputError
            A column is missing, or a mask has another length or is empty.
        """
        if data.n_samples is None:
            return
        for name, spec in self.specs.items():
            if isinstance(spec, str) and spec not in data.columns:
                raise _no_column(name, spec, data.columns)
            if isinstance(spec, str) or callable(spec):
                continue
            if len(spec) != data.n_samples:
                raise InputError(
                    f"slices: {name!r} has shape {list(spec.shape)} for "
                    f"{data.n_samples} samples"
                )
            if spec.dtype.kind == "b" and not spec.any():
                raise InputError(f"slices: {name!r} is empty: its mask is all False")

    def values(self, batch: Batch) -> dict[str, Array]:
        """Give the value of each sample by slice.

        Parameters
        ----------
        batch : Batch

        Returns
        -------
        values : dict of str to ndarray

        Raises
        ------
        InputError
            There is no column of the name, or not one value for each sample.
        """
        found = {}
        for name, spec in self.specs.items():
            value = self._value(name, spec, batch)
            if value.ndim != 1 or len(value) != len(batch):
                raise InputError(
                    f"slices: {name!r} gives shape {list(value.shape)} for "
                    f"{len(batch)} samples: expected one value for each"
                )
            self._is_mask.setdefault(name, value.dtype.kind == "b")
            found[name] = value
        return found

    @staticmethod
    def _value(name: str, spec: Any, batch: Batch) -> Array:
        if isinstance(spec, str):
            if spec not in batch.columns:
                raise _no_column(name, spec, batch.columns)
            return batch.columns[spec]
        if not callable(spec):
            return np.asarray(spec[batch.numbers[batch.numbers < len(spec)]])
        try:
            return np.asarray(spec(batch.inputs, batch.labels))
        except Exception as error:
            raise InputError(
                f"slices: {name!r} raised {type(error).__name__}: {error}"
            ) from error

    def update(self, rows: Rows, values: Mapping[str, Array]) -> None:
        """Add samples.

        Parameters
        ----------
        rows : Rows
        values : mapping of str to ndarray
            Of `values`.
        """
        for name, value in values.items():
            self.parts[name].update(rows, value)

    def n_figures(self) -> int:
        """Count the slices."""
        return sum(len(self._reported(name)) for name in self.specs)

    def _reported(self, name: str) -> list[Any]:
        """Values that are slices: of a mask only True."""
        found = self.parts[name].parts
        if self._is_mask.get(name, False):
            return [True] if True in found else []
        return sorted(found, key=lambda value: (str(type(value)), value))

    def figures(
        self,
        *,
        alpha: float,
        min_size: int,
        n_resamples: int,
        seed: int,
        step: Callable[[], None] = lambda: None,
    ) -> tuple[list[SliceFigures], list[str]]:
        """Figures of all slices, with tests.

        Parameters
        ----------
        alpha : float
        min_size : int
            Samples that a slice and the rest must have to be tested.
        n_resamples, seed : int
        step : callable
            Called after each slice.

        Returns
        -------
        slices : list of SliceFigures
        notes : list of str
        """
        how: dict[str, Any] = {
            "alpha": alpha,
            "n_resamples": n_resamples,
            "seed": seed,
        }
        found, notes = [], []
        lacking: list[str] = []
        for name in self.specs:
            values = self._reported(name)
            if not values:
                notes.append(f"slice {name!r} is empty")
            others = self.parts[name].without_each()
            for value in values:
                part, rest = self.parts[name].parts[value], others[value]
                shown = name if self._is_mask[name] else f"{name}={value}"
                inside, outside = part.figures(**how), rest.figures(**how)
                tests = {}
                if min(part.n_samples, rest.n_samples) >= min_size:
                    tests = _tests(inside, outside, alpha)
                    lacking += self._leave_out(tests, part, rest)
                elif part.n_samples < min_size:
                    notes.append(
                        f"slice {shown!r} has {part.n_samples} samples, fewer than "
                        f"{min_size}: shown, not tested"
                    )
                found.append(
                    SliceFigures(shown, part.n_samples, inside, outside, tests)
                )
                step()
        if lacking:
            notes.append(
                "slices that lack classes are not tested by what depends on which "
                f"there are: {', '.join(dict.fromkeys(lacking))}"
            )
        return _adjusted(found, self._metrics(), alpha), notes

    def _leave_out(
        self, tests: dict[str, SliceTest], part: Tally, rest: Tally
    ) -> list[str]:
        """Take away what compares other classes, not the same ones."""
        if part.classes == rest.classes:
            return []
        mixed = [
            name
            for name, metric in self._metrics().items()
            if name in tests and not _is_by_sample(metric)
        ]
        for name in mixed:
            del tests[name]
        return mixed

    def _metrics(self) -> Mapping[str, Metric]:
        return next(iter(self.parts.values())).metrics if self.parts else {}


def _no_column(name: str, spec: str, known: Iterable[str]) -> InputError:
    return InputError(
        f"slices: {name!r}: there is no column {spec!r} in the metadata, which has "
        f"{sorted(known)}"
    )


def _by_name(specs: Any) -> dict[str, Any]:
    """Specifications by name, arrays as arrays."""
    if specs is None:
        return {}
    if isinstance(specs, str):
        specs = [specs]
    if not isinstance(specs, Mapping):
        specs = {name: name for name in specs}
    found = {}
    for name, spec in specs.items():
        if isinstance(spec, str) or callable(spec):
            found[str(name)] = spec
            continue
        array = np.asarray(spec)
        if array.ndim != 1 or array.dtype == object:
            raise InputError(
                f"slices: {name!r}: expected a mask or one value for each sample, a "
                f"column's name or a function, got {type(spec).__name__} of shape "
                f"{list(array.shape)}"
            )
        found[str(name)] = array
    return found


# ---- tests --------------------------------------------------------------------------


def difference_of_intervals(
    first: Interval, second: Interval, alpha: float
) -> SliceTest | None:
    """Compare two independent figures by their intervals.

    Parameters
    ----------
    first, second : Interval
        With confidence 1 - alpha each.
    alpha : float

    Returns
    -------
    test : SliceTest or None
        First less second; None where a figure has no interval.

    References
    ----------
    Newcombe (1998). Interval estimation for the difference between independent
    proportions: comparison of eleven methods. Statistics in Medicine 17, 873-890.

    Zou, Donner (2008). Construction of confidence limits about effect measures.
    Statistics in Medicine 27, 1693-1702.

    Examples
    --------
    >>> a = Interval(0.5, 0.4, 0.6, "wilson", 100)
    >>> b = Interval(0.8, 0.7, 0.9, "wilson", 100)
    >>> test = difference_of_intervals(a, b, 0.05)
    >>> round(test.low, 3), round(test.high, 3), round(test.p_value, 6)
    (-0.441, -0.159, 3.2e-05)
    """
    ends = (first.low, first.high, second.low, second.high)
    if not all(map(math.isfinite, ends)):
        return None
    difference = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    # the side that faces 0 decides
    facing = below if difference > 0 else above
    z = normal_quantile(1 - alpha / 2)
    p_value = 1.0
    if difference:
        ratio = abs(difference) / facing if facing else math.inf
        p_value = 2 * normal_cdf(-z * ratio)
    return SliceTest(difference, difference - below, difference + above, p_value)


def _tests(
    inside: Mapping[str, Interval], outside: Mapping[str, Interval], alpha: float
) -> dict[str, SliceTest]:
    tests = {
        name: difference_of_intervals(inside[name], outside[name], alpha)
        for name in inside
    }
    return {name: test for name, test in tests.items() if test is not None}


def _is_by_sample(metric: Metric) -> bool:
    """Is it a mean over samples, whichever classes they are of?"""
    is_mean = isinstance(metric.accumulator(), MeanAccumulator)
    return is_mean or metric.name == "accuracy" or is_raw(metric)


def _adjusted(
    found: list[SliceFigures], metrics: Mapping[str, Metric], alpha: float
) -> list[SliceFigures]:
    """P-values that count how many were looked at."""
    places = [(i, name) for i, part in enumerate(found) for name in part.tests]
    raw = [found[i].tests[name].p_value for i, name in places]
    for (i, name), p in zip(places, benjamini_hochberg(raw), strict=True):
        test = found[i].tests[name]
        is_worse = None
        if p <= alpha:
            is_worse = (test.difference < 0) == metrics[name].greater_is_better
        found[i].tests[name] = replace(
            test, adjusted_p_value=float(p), is_worse=is_worse
        )
    return found
