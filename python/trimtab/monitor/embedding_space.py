"""Where embeddings are compared: few coordinates, in whole numbers, of a reference.

A row of a model's penultimate tensor becomes at most 64 coordinates y (each dim is
added to one of them with a random sign; then the reference's mean and deviation) and 96
features: cosines and sines of 48 random frequencies. Both are whole numbers and every
sum of them is exact, so that counts of any parts, in any order, on any machine merge
into those of the whole.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError

__all__ = [
    "AMPLITUDE",
    "LIMIT",
    "MAX_COORDINATES",
    "MAX_WIDTH",
    "N_FEATURES",
    "UNIT",
    "EmbeddingSpace",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MAX_COORDINATES = 64
_N_FREQUENCIES = 48
N_FEATURES = 2 * _N_FREQUENCIES
#: Steps of a coordinate in one deviation of the reference, and at most: beyond 8
#: deviations all is equally far, so that a few wild rows do not make a drift.
UNIT, LIMIT = 256, 2048
#: Of cosines and sines.
AMPLITUDE = 16384
#: Items of embeddings become whole numbers of at most 24 bits; the reference's largest
#: is 16 bits long.
_TOP_BIT, _MAX_ITEM = 16, (1 << 23) - 1
#: A phase has 32 bits, and its leading 12 choose a cosine from a table.
_PHASE_BITS, _TABLE_BITS = 32, 12
MAX_WIDTH = 1 << 16
#: A coordinate that hardly moves in the reference counts as if it moved that much, as a
#: share of the one that moves most.
_LEAST_DEVIATION = 1e-3
_N_PAIRS = 512


def _uniforms(seed: int, stream: int, n: int) -> Floats:
    """Numbers from [0, 1): NumPy promises that a bit generator's stream stays."""
    raw = np.random.PCG64([seed, stream]).random_raw(n)
    return np.asarray(raw >> np.uint64(11), np.float64) * 2.0**-53


def _cosines() -> Floats:
    at = (np.arange(1 << _TABLE_BITS) + 0.5) * (2 * math.pi / (1 << _TABLE_BITS))
    table: Floats = np.rint(np.cos(at) * AMPLITUDE)
    return table


@dataclass(frozen=True, eq=False)
class EmbeddingSpace:
    """How rows of an embedding become whole numbers.

    Parameters
    ----------
    width : int
        Of an embedding.
    seed : int
        Of projection and frequencies.
    exponent : int
        Items times 2 to this power are rounded.
    center, deviation : ndarray of float64
        Of the coordinates in the reference.
    bandwidth : float
        Of the Gaussian kernel, in deviations: the median distance of the reference.
    """

    width: int
    seed: int
    exponent: int
    center: Floats
    deviation: Floats
    bandwidth: float
    _take: Ints = field(init=False, repr=False)
    _gain: Floats = field(init=False, repr=False)
    _factors: Floats = field(init=False, repr=False)
    _starts: Ints = field(init=False, repr=False)
    _frequencies: Floats = field(init=False, repr=False)
    _table: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Draw projection and frequencies."""
        for name, value in zip(
            ("_take", "_factors", "_starts"),
            _projection(self.width, self.seed, self.exponent),
            strict=True,
        ):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_gain", UNIT / self.deviation)
        k = self.n_coordinates
        uniforms = _uniforms(self.seed, 2, 2 * k * _N_FREQUENCIES)
        radius = np.sqrt(-2 * np.log1p(-uniforms[::2]))
        normals = radius * np.cos(2 * math.pi * uniforms[1::2])
        per_step = (1 << _PHASE_BITS) / (2 * math.pi * UNIT * self.bandwidth)
        frequencies = np.rint(normals.reshape(k, _N_FREQUENCIES) * per_step)
        object.__setattr__(self, "_frequencies", frequencies)
        object.__setattr__(self, "_table", _cosines())

    @property
    def n_coordinates(self) -> int:
        """Coordinates of a row."""
        return min(self.width, MAX_COORDINATES)

    @property
    def digest(self) -> int:
        """A checksum of all that its numbers depend on; equal ones merge."""
        parts = (
            self._take,
            self._factors,
            self._frequencies.astype(np.int64),
            self._table,
            self.center,
            self.deviation,
        )
        crc = zlib.crc32(repr((self.width, self.seed, self.exponent)).encode())
        for part in parts:
            crc = zlib.crc32(np.ascontiguousarray(part).tobytes(), crc)
        return crc

    @classmethod
    def of(cls, rows: npt.ArrayLike, *, seed: int = 0) -> EmbeddingSpace:
        """Make the space of a reference.

        Parameters
        ----------
        rows : array-like of shape (n, width)
            Finite numbers, two rows at least.
        seed : int, default=0

        Returns
        -------
        space : EmbeddingSpace
        """
        x = np.asarray(rows, np.float64)
        width = x.shape[1]
        largest = float(np.abs(x).max())
        top = math.frexp(largest)[1] if largest > 0 else 0
        exponent = min(max(_TOP_BIT - top, -1000), 1000)
        plain = cls(width, seed, exponent, *_neutral(width), 1.0)
        z = plain._project(x)
        deviation = z.std(axis=0)
        widest = float(deviation.max()) or 1.0
        deviation = np.maximum(deviation, _LEAST_DEVIATION * widest)
        scaled = cls(width, seed, exponent, z.mean(axis=0), deviation, 1.0)
        bandwidth = _median_distance(scaled.coordinates(x), seed) / UNIT
        return cls(width, seed, exponent, scaled.center, deviation, bandwidth)

    def _project(self, x: Floats) -> Floats:
        """Whole numbers of at most 34 bits: sums of up to 2^10 items of 24 bits."""
        if self.width > MAX_COORDINATES:
            x = np.take(x, self._take, axis=1)
        items = x * self._factors
        np.rint(items, out=items)
        # One look at all of them: nothing is NaN, and nothing too large.
        if not np.vdot(items, items) <= _MAX_ITEM**2:
            lost = ~np.isfinite(x)
            np.clip(items, -_MAX_ITEM, _MAX_ITEM, out=items)
            items[lost] = np.nan
        if self.width <= MAX_COORDINATES:
            return items
        z: Floats = np.add.reduceat(items, self._starts, axis=1)
        return z

    def coordinates(self, rows: Floats) -> Floats:
        """Project and standardise rows.

        Parameters
        ----------
        rows : ndarray of float64, of shape (n, width)

        Returns
        -------
        y : ndarray of float64, of shape (n, n_coordinates)
            Whole numbers: 1/256 of the reference's deviation, up to 2048. Some are NaN
            in rows that are not finite.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            y = self._project(rows)
        y -= self.center
        y *= self._gain
        np.rint(y, out=y)
        np.minimum(y, LIMIT, out=y)
        np.maximum(y, -LIMIT, out=y)
        return y

    def features(self, y: Floats) -> Floats:
        """Give cosines and sines of the random frequencies.

        Parameters
        ----------
        y : ndarray of float64, of shape (n, n_coordinates)
            What `coordinates` gave.

        Returns
        -------
        features : ndarray of float64, of shape (n, 96)
            Whole numbers, in 1/16384. 1/48 of the product of those of two rows
            estimates their kernel.
        """
        # Products of 12 and at most 35 bits, 64 of them: exact in 53 bits.
        phases = (y @ self._frequencies).astype(np.int64)
        index = (phases & ((1 << _PHASE_BITS) - 1)) >> (_PHASE_BITS - _TABLE_BITS)
        quarter = 3 << (_TABLE_BITS - 2)
        turned = (index + quarter) & ((1 << _TABLE_BITS) - 1)
        return np.concatenate([self._table[index], self._table[turned]], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON.

        Returns
        -------
        plain : dict
        """
        return {
            "width": self.width,
            "seed": self.seed,
            "exponent": self.exponent,
            "center": self.center.tolist(),
            "deviation": self.deviation.tolist(),
            "bandwidth": self.bandwidth,
            "digest": self.digest,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> EmbeddingSpace:
        """Read it back.

        Parameters
        ----------
        plain : mapping
            What `to_dict` gave.

        Returns
        -------
        space : EmbeddingSpace

        Raises
        ------
        InputError
            It is nothing that `to_dict` gives, or this machine draws other numbers.
        """
        try:
            width, seed = int(plain["width"]), int(plain["seed"])
            exponent, digest = int(plain["exponent"]), int(plain["digest"])
            center = np.array(plain["center"], np.float64)
            deviation = np.array(plain["deviation"], np.float64)
            bandwidth = float(plain["bandwidth"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"an embedding cannot be read: {error}") from None
        k = min(width, MAX_COORDINATES)
        is_good = (
            1 <= width <= MAX_WIDTH
            and 0 <= seed < 1 << 63
            and abs(exponent) <= 1000
            and center.shape == deviation.shape == (k,)
            and bool(np.isfinite(center).all() and np.isfinite(deviation).all())
            and bool((deviation > 0).all())
            and 1e-3 <= bandwidth <= 1e6
        )
        if not is_good:
            raise InputError(
                "an embedding cannot be read: its space has a size or a number that "
                "none can have"
            )
        space = cls(width, seed, exponent, center, deviation, bandwidth)
        if space.digest != digest:
            raise InputError(
                "an embedding cannot be read: projection and frequencies are not those "
                "it was made with; make the reference anew"
            )
        return space


def _neutral(width: int) -> tuple[Floats, Floats]:
    k = min(width, MAX_COORDINATES)
    return np.zeros(k), np.ones(k)


def _projection(width: int, seed: int, exponent: int) -> tuple[Ints, Floats, Ints]:
    """Dims in the order of their coordinates, factors, where coordinates begin."""
    if width <= MAX_COORDINATES:
        none = np.empty(0, np.int64)
        return none, np.full(width, 2.0**exponent), none
    uniforms = _uniforms(seed, 1, 2 * width).reshape(2, width)
    factors = np.where(uniforms[1] < 0.5, -(2.0**exponent), 2.0**exponent)
    starts = -(-np.arange(MAX_COORDINATES) * width // MAX_COORDINATES)
    return np.argsort(uniforms[0], kind="stable"), factors, starts


def _median_distance(y: Floats, seed: int) -> float:
    """Median distance between rows of a sample; not below a step."""
    order = np.argsort(_uniforms(seed, 3, len(y)), kind="stable")[:_N_PAIRS]
    some = y[order]
    squares = np.square(some).sum(axis=1)
    distances = squares[:, None] + squares[None] - 2 * some @ some.T
    upper = distances[np.triu_indices(len(some), 1)]
    return max(float(np.sqrt(np.median(np.maximum(upper, 0)))), 1.0)
