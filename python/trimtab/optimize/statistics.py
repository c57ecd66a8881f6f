"""What calibration keeps of a tensor: a histogram, averages of ranges, channels.

Memory does not grow with the data, and statistics of parts merge into those of the
whole: counts and ranges exactly, in any order.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab import _core
from trimtab.errors import InputError

__all__ = ["TensorStatistics"]


class TensorStatistics:
    """Statistics of one tensor over the batches that have come so far.

    NaN and infinities are counted in `n_nonfinite` and left out of everything else.

    Parameters
    ----------
    name : str
        Of the tensor.
    axis : int, optional
        Axis of its channels (negative: from the end); without it there are no
        statistics of channels.

    Examples
    --------
    >>> statistics = TensorStatistics("x", axis=-1)
    >>> statistics.update(np.array([[0.0, -3.0], [1.0, 2.0]], np.float32))
    >>> statistics.minimum, statistics.maximum, statistics.n
    (-3.0, 2.0, 4)
    >>> statistics.channel_absmax
    array([1., 3.])
    """

    def __init__(self, name: str, *, axis: int | None = None) -> None:
        self.name = name
        self._axis = axis
        self._whole = _core.Histogram()
        self._channels = None if axis is None else _core.ChannelStatistics()
        self._n_batches = 0
        self._average_minimum = 0.0
        self._average_maximum = 0.0

    def update(self, batch: Any) -> None:
        """Add the tensor's value for one batch.

        Parameters
        ----------
        batch : array-like
            Real numbers of any dtype, shape and strides.

        Raises
        ------
        InputError
            No array of real numbers, or another number of channels than before.
        """
        part = _core.Histogram()
        part.update(batch)
        if self._channels is not None and self._axis is not None:
            self._channels.update(batch, axis=self._axis)
        self._whole.merge(part)
        if part.n:
            self._average(part.minimum, part.maximum, 1)

    def _average(self, minimum: float, maximum: float, n_batches: int) -> None:
        self._n_batches += n_batches
        share = n_batches / self._n_batches
        self._average_minimum += (minimum - self._average_minimum) * share
        self._average_maximum += (maximum - self._average_maximum) * share

    def merge(self, other: TensorStatistics) -> None:
        """Add what others collected of the same tensor.

        Parameters
        ----------
        other : TensorStatistics
            Of batches that are not in these.

        Raises
        ------
        InputError
            The two differ in name or channels.
        """
        if other.name != self.name:
            raise InputError(
                f"statistics of {other.name!r} cannot be merged into those of "
                f"{self.name!r}"
            )
        if (other._channels is None) != (self._channels is None):
            raise InputError(
                f"{self.name!r}: only one of the statistics has channels: collect "
                "both with the same axis"
            )
        if self._channels is not None and other._channels is not None:
            self._channels.merge(other._channels)
        n_batches = other._n_batches
        self._whole.merge(other._whole)
        if n_batches:
            self._average(other._average_minimum, other._average_maximum, n_batches)

    # ---- values ----------------------------------------------------------------

    @property
    def n(self) -> int:
        """Number of finite values."""
        return self._whole.n

    @property
    def n_nonfinite(self) -> int:
        """Number of NaN and infinities, which are left out."""
        return self._whole.n_nonfinite

    @property
    def n_batches(self) -> int:
        """Number of batches with a finite value."""
        return self._n_batches

    @property
    def minimum(self) -> float:
        """Smallest value; inf while there is none."""
        return self._whole.minimum

    @property
    def maximum(self) -> float:
        """Largest value; -inf while there is none."""
        return self._whole.maximum

    @property
    def average_minimum(self) -> float:
        """Mean over the batches of the smallest value of each; inf without any."""
        return self._average_minimum if self._n_batches else math.inf

    @property
    def average_maximum(self) -> float:
        """Mean over the batches of the largest value of each; -inf without any."""
        return self._average_maximum if self._n_batches else -math.inf

    @property
    def mean(self) -> float:
        """Mean; 0 while there is no value."""
        return self._whole.mean

    @property
    def mean_square(self) -> float:
        """Mean of the squares; 0 while there is no value."""
        return self._whole.mean_square

    @property
    def histogram(self) -> npt.NDArray[np.int64]:
        """Counts of 2048 bins of equal width from `low_edge` to `high_edge`."""
        return self._whole.counts

    @property
    def low_edge(self) -> float:
        """Lower edge of the first bin, at most one bin below `minimum`."""
        return self._whole.low_edge

    @property
    def width(self) -> float:
        """Width of a bin: a power of two; 0 while there is no value."""
        return self._whole.width

    @property
    def high_edge(self) -> float:
        """Upper edge of the last bin; up to half of the bins lie above `maximum`."""
        width = self._whole.width
        return (self._whole.low_edge / width + 2048) * width if width else 0.0

    @property
    def axis(self) -> int | None:
        """Axis of the channels, where their statistics were asked for."""
        return self._axis

    @property
    def channel_absmax(self) -> npt.NDArray[np.float64] | None:
        """Largest magnitude in each channel, or None."""
        return None if self._channels is None else self._channels.absmax

    @property
    def channel_mean(self) -> npt.NDArray[np.float64] | None:
        """Mean of each channel, or None."""
        return None if self._channels is None else self._channels.mean

    def __repr__(self) -> str:
        """Name, number of values and range."""
        return (
            f"TensorStatistics({self.name!r}, n={self.n}, "
            f"range=[{self.minimum:.6g}, {self.maximum:.6g}])"
        )

    # ---- to a file and back ----------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Give the whole state in values that JSON has.

        Returns
        -------
        state : dict
            For `from_dict`.

        Examples
        --------
        >>> state = TensorStatistics("x").to_dict()
        >>> TensorStatistics.from_dict(state).name
        'x'
        """
        channels = None if self._channels is None else self._channels.to_bytes()
        return {
            "name": self.name,
            "axis": self._axis,
            "n_batches": self._n_batches,
            "average_minimum": self._average_minimum,
            "average_maximum": self._average_maximum,
            "histogram": _to_text(self._whole.to_bytes()),
            "channels": None if channels is None else _to_text(channels),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> TensorStatistics:
        """Read a state of `to_dict`.

        Parameters
        ----------
        state : mapping of str to object
            As `to_dict` made it; it may come from a file.

        Returns
        -------
        statistics : TensorStatistics

        Raises
        ------
        InputError
            No such state: a field is missing, of another type, or contradicts others.
        """
        made = cls(_field(state, "name", str), axis=_axis(state))
        made._whole = _core.Histogram.from_bytes(_from_text(state, "histogram"))
        if made._channels is not None:
            data = _from_text(state, "channels")
            made._channels = _core.ChannelStatistics.from_bytes(data)
        made._n_batches = _field(state, "n_batches", int)
        made._average_minimum = float(_field(state, "average_minimum", (float, int)))
        made._average_maximum = float(_field(state, "average_maximum", (float, int)))
        made._check()
        return made

    def _check(self) -> None:
        """Refuse averages that no batches of these values give."""
        low, high = self._average_minimum, self._average_maximum
        whole, n_batches = self._whole, self._n_batches
        if whole.n:
            room = 1e-9 * max(abs(whole.minimum), abs(whole.maximum))
            is_valid = (
                1 <= n_batches <= whole.n
                and whole.minimum - room <= low <= high + room
                and high <= whole.maximum + room
            )
        else:
            is_valid = n_batches == 0 and low == 0.0 and high == 0.0
        if not is_valid:
            raise InputError(
                f"state of {self.name!r}: averages [{low}, {high}] over {n_batches} "
                f"batches do not belong to {whole!r}"
            )


def _to_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _field(state: Mapping[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    value = state.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"state of a tensor: {key!r} is {value!r:.60}")
    return value


def _axis(state: Mapping[str, Any]) -> int | None:
    return None if state.get("axis") is None else _field(state, "axis", int)


def _from_text(state: Mapping[str, Any], key: str) -> bytes:
    text = _field(state, key, str)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"state of a tensor: {key!r}: {error}") from error
