"""The streams of `shifts` as features, as a monitor sees them.

Enters: rows of tables, crops of photographs, clips of speech. Leaves: a `Case` with the
features of its reference and of what comes after: columns, or what
`trimtab.monitor.descriptors` says of an image or a sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.shifts import QUIET, SHIFTS, Stream

__all__ = ["N_REFERENCE", "Case", "quiet_cases", "shifted_cases"]

Rows = npt.NDArray[np.float64]

N_REFERENCE = 5000


@dataclass(frozen=True)
class Case:
    """One stream.

    Attributes
    ----------
    name : str
    names : tuple of str
        Of the features.
    categorical : tuple of str
        Those that are categories.
    reference, rows : ndarray of float64, shape (n, k)
        What the monitor knows, and what comes; a change is at the first row.
    """

    name: str
    names: tuple[str, ...]
    categorical: tuple[str, ...]
    reference: Rows
    rows: Rows


def _features(kind: str, samples: npt.NDArray[Any]) -> Rows:
    from trimtab.monitor.descriptors import describe

    found = samples if kind == "table" else describe(kind, samples)
    return np.asarray(found, np.float64)


def _names(kind: str, n: int) -> tuple[str, ...]:
    from trimtab.monitor.descriptors import names

    return tuple(f"x{i}" for i in range(n)) if kind == "table" else names(kind)


@cache
def _reference(source: str) -> Rows:
    """Features of a source's reference: the same for all of its streams."""
    stream = next(s for s in SHIFTS.values() if s.source == source)
    return _features(stream.kind, stream.reference(N_REFERENCE))


def _case(stream: Stream, n_rows: int, size: int) -> Case:
    windows = [
        _features(stream.kind, stream.window(size, index=i))
        for i in range(n_rows // size)
    ]
    reference = _reference(stream.source)
    names = _names(stream.kind, reference.shape[1])
    categorical = tuple(names[i] for i in stream.categorical)
    return Case(stream.name, names, categorical, reference, np.concatenate(windows))


def shifted_cases(n_rows: int, size: int) -> Iterator[Case]:
    """Make the 30 streams that change at their first row.

    Parameters
    ----------
    n_rows : int
        Of each.
    size : int
        Rows drawn at a time, of which `n_rows` is a multiple.

    Yields
    ------
    case : Case
    """
    for stream in SHIFTS.values():
        yield _case(stream, n_rows, size)


def quiet_cases(n_rows: int, size: int) -> Iterator[Case]:
    """Make the 30 streams in which nothing happens.

    Parameters
    ----------
    n_rows : int
        Of each.
    size : int
        Rows drawn at a time.

    Yields
    ------
    case : Case
    """
    for stream in QUIET.values():
        yield _case(stream, n_rows, size)
