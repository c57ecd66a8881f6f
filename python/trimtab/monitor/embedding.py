"""How the embeddings of traffic differ from those of a reference.

An embedding is a model's penultimate tensor (`find_embedding`): what the model itself
sees in its inputs. `Embedding` accumulates rows of it in at most 64 KB, merges exactly,
and compares two samples by a maximum mean discrepancy and Frechet's distance.

Scoring a window takes 3 ms.
"""

from __future__ import annotations

import base64
import functools
import math
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.monitor.embedding_distance import frechet_distance, mmd_test
from trimtab.monitor.embedding_space import (
    AMPLITUDE,
    LIMIT,
    MAX_WIDTH,
    N_FEATURES,
    UNIT,
    EmbeddingSpace,
)
from trimtab.monitor.embedding_tensor import find_embedding, pool_embedding

__all__ = ["Embedding", "EmbeddingScore", "find_embedding", "pool_embedding"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Rows that wait until it pays to add them up.
_N_PENDING = 64
#: Numbers that are projected at once, so that they stay in the cache.
_CHUNK_ITEMS = 16384
#: Sums of products of 28 bits stay below 63 bits.
_MAX_ROWS = 1 << 32


@dataclass(frozen=True)
class EmbeddingScore:
    """How far a window is from a reference.

    Parameters
    ----------
    statistic : float
        Unbiased estimate of the squared maximum mean discrepancy; about 0 without
        drift, negative half of the time.
    p_value : float
        Of that discrepancy without drift, by its asymptotic distribution.
    frechet : float
        Squared Frechet distance of the coordinates, which have variance 1 in the
        reference; what it is by chance is taken off.
    effect : float
        `frechet` as a share of the reference's total variance: 0.1 is a mean that
        moved by a third of a deviation in every direction.
    n_reference, n : int
        Rows of both.
    """

    statistic: float
    p_value: float
    frechet: float
    effect: float
    n_reference: int
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data; NaN becomes None.

        Returns
        -------
        plain : dict
        """
        return {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in asdict(self).items()
        }


class Embedding:
    """Count, mean and covariance of embeddings, and their random features.

    Made by `from_data` of a reference; `empty` makes one that counts a window in the
    reference's space. All sums are of whole numbers: parts merge exactly, whatever
    the order and the cut. Threads may update one at the same time.

    Parameters
    ----------
    space : EmbeddingSpace

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> reference = Embedding.from_data(rng.normal(size=(2000, 100)))
    >>> window = reference.empty()
    >>> window.update(rng.normal(0.3, 1, size=(500, 100)))
    >>> reference.score(window).p_value < 1e-6
    True
    """

    def __init__(self, space: EmbeddingSpace) -> None:
        self.space = space
        self.n_nonfinite = 0
        self._lock = threading.Lock()
        k = space.n_coordinates
        self._n = 0
        self._sum = np.zeros(k, np.int64)
        self._products = np.zeros(k * (k + 1) // 2, np.int64)
        self._feature_sum = np.zeros(N_FEATURES, np.int64)
        self._feature_products = np.zeros(N_FEATURES * (N_FEATURES + 1) // 2, np.int64)
        self._pending = np.empty((_N_PENDING, k), np.int16)
        self._n_pending = 0

    # ---- making --------------------------------------------------------------------

    @classmethod
    def from_data(cls, rows: npt.ArrayLike, *, seed: int = 0) -> Embedding:
        """Make one of a reference, and the space that windows are counted in.

        Parameters
        ----------
        rows : array-like of shape (n, width)
            Embeddings; at least 8 of them finite.
        seed : int, default=0
            Of projection and frequencies.

        Returns
        -------
        embedding : Embedding

        Raises
        ------
        InputError
            There are too few rows, or they are too wide.
        """
        x = _as_rows(rows)
        good = x[np.isfinite(x).all(axis=1)]
        if len(good) < 8 or not 1 <= x.shape[1] <= MAX_WIDTH:
            raise InputError(
                "embeddings of a reference: expected at least 8 finite rows of 1 to "
                f"{MAX_WIDTH} numbers, got {len(good)} of shape {x.shape}"
            )
        if not 0 <= seed < 1 << 63:
            raise InputError(f"seed: expected a number from 0 to 2^63, got {seed}")
        made = cls(EmbeddingSpace.of(good, seed=seed))
        made.update(x)
        return made

    def empty(self) -> Embedding:
        """Make one without rows, in the same space.

        Returns
        -------
        embedding : Embedding
        """
        return Embedding(self.space)

    def copy(self) -> Embedding:
        """Make another one of the same rows.

        Returns
        -------
        embedding : Embedding
        """
        return self.empty().merge(self)

    # ---- counting ------------------------------------------------------------------

    @property
    def n(self) -> int:
        """Finite rows."""
        return self._n + self._n_pending

    @property
    def width(self) -> int:
        """Of an embedding."""
        return self.space.width

    def update(self, rows: npt.ArrayLike) -> None:
        """Add rows.

        In a loop one row of 1,280 floats takes 45 us, one of many 15 us (one core).

        Parameters
        ----------
        rows : array-like of shape (n, width), or (width,)
            Rows that are not finite are counted in `n_nonfinite` and left out.

        Raises
        ------
        InputError
            They have another width, or there were 2^32 before.
        """
        x = _as_rows(rows)
        if x.shape[1] != self.width:
            raise InputError(
                f"embeddings: expected rows of {self.width} numbers, got shape "
                f"{np.shape(rows)}"
            )
        n_chunk = max(1, _CHUNK_ITEMS // self.width)
        for begin in range(0, len(x), n_chunk):
            part = x[begin : begin + n_chunk].astype(np.float64, copy=False)
            y = self.space.coordinates(part)
            if math.isnan(y.sum()):
                y = y[~np.isnan(y).any(axis=1)]
            with self._lock:
                self.n_nonfinite += len(part) - len(y)
                self._add(y)

    def _add(self, y: Floats) -> None:
        if self.n + len(y) > _MAX_ROWS:
            raise InputError("embeddings: 2^32 rows is all that one can hold")
        begin = 0
        while begin < len(y):
            part = y[begin : begin + _N_PENDING - self._n_pending]
            self._pending[self._n_pending : self._n_pending + len(part)] = part
            self._n_pending += len(part)
            begin += len(part)
            if self._n_pending == _N_PENDING:
                self._flush()

    def _flush(self) -> None:
        """Add up what waits."""
        if not self._n_pending:
            return
        y = self._pending[: self._n_pending].astype(np.float64)
        features = self.space.features(y)
        self._n += len(y)
        self._n_pending = 0
        self._sum += y.sum(axis=0).astype(np.int64)
        self._products += _products(y)
        self._feature_sum += features.sum(axis=0).astype(np.int64)
        self._feature_products += _products(features)

    def merge(self, other: Embedding) -> Embedding:
        """Add what another one counted; exactly as if all rows had come here.

        Parameters
        ----------
        other : Embedding
            In the same space: both from one reference.

        Returns
        -------
        self : Embedding

        Raises
        ------
        InputError
            The spaces differ.
        """
        self._check_space(other)
        theirs = other._sums()
        with self._lock:
            self._flush()
            if self._n + theirs[0] > _MAX_ROWS:
                raise InputError("embeddings: 2^32 rows is all that one can hold")
            self._n += theirs[0]
            self.n_nonfinite += theirs[1]
            for mine, part in zip(self._arrays(), theirs[2], strict=True):
                mine += part
        return self

    def _arrays(self) -> tuple[Ints, Ints, Ints, Ints]:
        return (self._sum, self._products, self._feature_sum, self._feature_products)

    def _sums(self) -> tuple[int, int, tuple[Ints, ...]]:
        """A consistent copy of all that was added up."""
        with self._lock:
            self._flush()
            arrays = tuple(array.copy() for array in self._arrays())
            return self._n, self.n_nonfinite, arrays

    def _check_space(self, other: Embedding) -> None:
        if self.space is not other.space and self.space.digest != other.space.digest:
            raise InputError(
                "these embeddings were counted in different spaces; make windows by "
                "`empty()` of their reference"
            )

    # ---- reading -------------------------------------------------------------------

    @property
    def mean(self) -> Floats:
        """Of the coordinates, in deviations of the reference."""
        n, _, (total, *_rest) = self._sums()
        return total / (max(n, 1) * UNIT)

    @property
    def covariance(self) -> Floats:
        """Of the coordinates (the population's)."""
        n, _, (total, products, *_rest) = self._sums()
        return _covariance(n, total, products)

    def score(self, other: Embedding) -> EmbeddingScore:
        """Compare a window with this reference.

        Parameters
        ----------
        other : Embedding
            The window, in the same space.

        Returns
        -------
        score : EmbeddingScore
            NaN where one of them has fewer than 2 rows.

        Raises
        ------
        InputError
            The spaces differ.
        """
        self._check_space(other)
        n, _, (total, products, sums, feature_products) = self._sums()
        m, _, (other_total, other_products, other_sums, other_fp) = other._sums()
        if min(n, m) < 2:
            return EmbeddingScore(math.nan, math.nan, math.nan, math.nan, n, m)
        statistic, p_value = mmd_test(
            n,
            sums / (n * AMPLITUDE),
            _square(feature_products) / (n * AMPLITUDE**2),
            m,
            other_sums / (m * AMPLITUDE),
            _square(other_fp) / (m * AMPLITUDE**2),
        )
        covariance = _covariance(n, total, products)
        frechet = frechet_distance(
            n,
            total / (n * UNIT),
            covariance,
            m,
            other_total / (m * UNIT),
            _covariance(m, other_total, other_products),
        )
        variance = float(np.trace(covariance))
        effect = frechet / variance if variance > 0 else math.inf if frechet else 0.0
        return EmbeddingScore(statistic, p_value, frechet, effect, n, m)

    @property
    def n_bytes(self) -> int:
        """Memory of the sums and of the rows that wait."""
        arrays = (*self._arrays(), self._pending)
        return sum(array.nbytes for array in arrays)

    def __eq__(self, other: object) -> bool:
        """Tell whether both counted the same, to the last bit."""
        if not isinstance(other, Embedding):
            return NotImplemented
        mine, theirs = self._sums(), other._sums()
        return (
            self.space.digest == other.space.digest
            and mine[:2] == theirs[:2]
            and all(
                np.array_equal(a, b) for a, b in zip(mine[2], theirs[2], strict=True)
            )
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Give rows and width."""
        return f"Embedding(n={self.n}, width={self.width})"

    # ---- storing -------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON, about 80 KB.

        Returns
        -------
        plain : dict
        """
        n, n_nonfinite, arrays = self._sums()
        return {
            "space": self.space.to_dict(),
            "n": n,
            "n_nonfinite": n_nonfinite,
            **{
                name: base64.b64encode(array.astype("<i8").tobytes()).decode("ascii")
                for name, array in zip(_FIELDS, arrays, strict=True)
            },
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Embedding:
        """Read it back.

        Parameters
        ----------
        plain : mapping
            What `to_dict` gave.

        Returns
        -------
        embedding : Embedding

        Raises
        ------
        InputError
            It is nothing that `to_dict` gives.
        """
        try:
            made = cls(EmbeddingSpace.from_dict(plain["space"]))
            made._n, made.n_nonfinite = int(plain["n"]), int(plain["n_nonfinite"])
            for name, array in zip(_FIELDS, made._arrays(), strict=True):
                data = base64.b64decode(plain[name], validate=True)
                array[:] = np.frombuffer(data, "<i8")
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"an embedding cannot be read: {error}") from None
        if not made._can_be():
            raise InputError(
                "an embedding cannot be read: its sums are not those of so many rows"
            )
        return made

    def _can_be(self) -> bool:
        """Could rows have given these sums? Then nothing that follows overflows."""
        n = self._n
        if not 0 <= n <= _MAX_ROWS or self.n_nonfinite < 0:
            return False
        bounds = (n * LIMIT, n * LIMIT**2, n * AMPLITUDE, n * AMPLITUDE**2)
        return all(
            bool((array <= bound).all() and (array >= -bound).all())
            for array, bound in zip(self._arrays(), bounds, strict=True)
        )


_FIELDS = ("sum", "products", "feature_sum", "feature_products")


def _as_rows(rows: npt.ArrayLike) -> npt.NDArray[Any]:
    try:
        x = np.asarray(rows)
    except ValueError:
        x = np.empty(0, object)
    if x.dtype.kind not in "biuf" or x.ndim not in (1, 2):
        raise InputError(
            f"embeddings: expected rows of numbers, got {x.dtype} of shape {x.shape}; "
            "`pool_embedding` makes rows of states of tokens and of maps"
        )
    return x[None] if x.ndim == 1 else x


@functools.cache
def _upper(k: int) -> npt.NDArray[np.intp]:
    """Where the upper triangle of a matrix laid flat is."""
    rows, columns = np.triu_indices(k)
    return rows * k + columns


def _products(x: Floats) -> Ints:
    """The upper triangle of the sum of outer products of rows."""
    # Products of at most 28 bits, 64 of them: exact in 53 bits.
    square: Floats = x.T @ x
    return square.take(_upper(x.shape[1])).astype(np.int64)


def _square(upper: Ints) -> Floats:
    """The symmetric matrix of an upper triangle."""
    k = (math.isqrt(8 * len(upper) + 1) - 1) // 2
    full = np.zeros((k, k))
    full.put(_upper(k), upper)
    full += np.triu(full, 1).T
    return full


def _covariance(n: int, total: Ints, products: Ints) -> Floats:
    if not n:
        return np.full((len(total), len(total)), math.nan)
    mean = total / n
    covariance: Floats = (_square(products) / n - np.outer(mean, mean)) / UNIT**2
    return covariance
