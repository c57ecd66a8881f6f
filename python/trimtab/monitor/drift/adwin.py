"""ADWIN2: a window over a stream that shrinks when the stream changes.

Enters: one number after the other. Leaves: whether the mean has changed; the window
holds what came since. Memory is O(log n): an exponential histogram whose buckets double
in size, at most five of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from trimtab.errors import InputError

__all__ = ["ADWIN"]

_MAX_BUCKETS = 5

# Number of values, their mean, and the sum of squares around it.
_Bucket = tuple[int, float, float]


def _merged(a: _Bucket, b: _Bucket) -> _Bucket:
    """Two buckets as one (Chan, Golub, LeVeque)."""
    n = a[0] + b[0]
    gap = b[1] - a[1]
    mean = a[1] + gap * b[0] / n
    return n, mean, a[2] + b[2] + gap * gap * a[0] * b[0] / n


class ADWIN:
    """Tell when the mean of a stream changes, at a bounded rate of false alarms.

    The window is cut where two parts of it have means that differ by more than chance
    allows, with confidence `delta`; then its older part is forgotten.

    Parameters
    ----------
    delta : float, default=0.002
        Smaller: fewer false alarms, later detection.
    value_range : tuple of float, default=(0.0, 1.0)
        What the bound holds for; values outside are taken as its ends.
    every : int, default=32
        Values between two looks for a cut.
    min_part : int, default=5
        Values that a part must have.

    Raises
    ------
    InputError
        An argument is out of its range.

    References
    ----------
    Bifet, Gavalda (2007). Learning from time-changing data with adaptive windowing.
    SIAM International Conference on Data Mining, 443-448.

    Examples
    --------
    >>> adwin = ADWIN()
    >>> any(adwin.update(x) for x in [0.2, 0.3] * 200)
    False
    >>> any(adwin.update(x) for x in [0.7, 0.8] * 100)
    True
    """

    def __init__(
        self,
        *,
        delta: float = 0.002,
        value_range: tuple[float, float] = (0.0, 1.0),
        every: int = 32,
        min_part: int = 5,
    ) -> None:
        low, high = (float(end) for end in value_range)
        if not 0 < delta < 1:
            raise InputError(f"delta: expected a number from 0 to 1, got {delta!r}")
        if not (low < high and math.isfinite(high - low)):
            raise InputError(
                f"value_range: expected two ascending numbers, got {value_range!r}"
            )
        if every < 1 or min_part < 1:
            raise InputError(
                f"every and min_part: expected 1 or more, got {every!r}, {min_part!r}"
            )
        self.delta = float(delta)
        self.every = int(every)
        self.min_part = int(min_part)
        self._low, self._scale = low, high - low
        self.n_seen = 0
        self.n_skipped = 0
        self.n_detections = 0
        self.reset()

    def reset(self) -> None:
        """Forget the window."""
        # Row i has buckets of 2**i values, the oldest first.
        self._rows: list[list[_Bucket]] = [[]]
        self._all: _Bucket = (0, 0.0, 0.0)

    @property
    def width(self) -> int:
        """Values in the window."""
        return self._all[0]

    @property
    def mean(self) -> float:
        """Mean of the window; NaN where it is empty."""
        return self._low + self._scale * self._all[1] if self.width else math.nan

    @property
    def variance(self) -> float:
        """Population variance of the window; NaN where it is empty."""
        if not self.width:
            return math.nan
        return self._scale * self._scale * self._all[2] / self.width

    @property
    def n_buckets(self) -> int:
        """Buckets held: what the memory is proportional to."""
        return sum(len(row) for row in self._rows)

    def update(self, x: float) -> bool:
        """Take a value.

        Parameters
        ----------
        x : float
            NaN is skipped and counted in `n_skipped`.

        Returns
        -------
        is_drift : bool
            Has the window been cut now?
        """
        if x != x:
            self.n_skipped += 1
            return False
        self.n_seen += 1
        unit = min(max((float(x) - self._low) / self._scale, 0.0), 1.0)
        bucket = (1, unit, 0.0)
        self._rows[0].append(bucket)
        self._all = _merged(self._all, bucket) if self.width else bucket
        self._compress()
        if self.n_seen % self.every or self.width < 2 * self.min_part:
            return False
        is_drift = False
        while self._has_cut():
            self._drop_oldest()
            is_drift = True
        self.n_detections += is_drift
        return is_drift

    def update_many(self, values: Iterable[float]) -> list[int]:
        """Take values one after the other.

        Parameters
        ----------
        values : iterable of float

        Returns
        -------
        places : list of int
            Of those at which the window was cut.
        """
        return [i for i, x in enumerate(values) if self.update(x)]

    def _compress(self) -> None:
        """Merge the two oldest of a row that is too long into one of the next."""
        for i, row in enumerate(self._rows):
            if len(row) <= _MAX_BUCKETS:
                return
            pair = _merged(row[0], row[1])
            del row[:2]
            if i + 1 == len(self._rows):
                self._rows.append([pair])
                return
            self._rows[i + 1].append(pair)

    def _has_cut(self) -> bool:
        """Do the parts before and after some bucket differ by more than chance?"""
        n, mean, square = self._all
        if n < 2 * self.min_part:
            return False
        variance = square / n
        log = math.log(2 * math.log(n) / self.delta)
        n_old, mean_old = 0, 0.0
        for row in reversed(self._rows):
            for size, bucket_mean, _ in row:
                n_old += size
                mean_old += (bucket_mean - mean_old) * size / n_old
                n_new = n - n_old
                if n_new < self.min_part:
                    return False
                if n_old < self.min_part:
                    continue
                mean_new = mean + (mean - mean_old) * n_old / n_new
                noise = 1 / n_old + 1 / n_new
                bound = math.sqrt(2 * noise * variance * log) + 2 / 3 * noise * log
                if abs(mean_old - mean_new) > bound:
                    return True
        return False

    def _drop_oldest(self) -> None:
        row = self._rows[-1]
        size, mean, square = row.pop(0)
        while not self._rows[-1] and len(self._rows) > 1:
            self._rows.pop()
        n, whole, total = self._all
        left = n - size
        if not left:
            self.reset()
            return
        rest = whole + (whole - mean) * size / left
        gap = rest - mean
        total -= square + gap * gap * left * size / n
        self._all = (left, rest, max(total, 0.0))
