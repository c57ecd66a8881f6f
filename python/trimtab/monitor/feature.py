"""What a window of traffic, or a reference, knows of one feature.

Everything that compares windows reads this: detectors, reports, sinks. It is made from
counters of the C core (`trimtab._core.TableSketch`) or, in tests, from arrays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError

__all__ = ["FeatureSketch", "Kind"]

Kind = Literal["numeric", "categorical"]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FeatureSketch:
    """Counts and moments of one feature; sketches on the same bins merge exactly.

    Parameters
    ----------
    name : str
    kind : {"numeric", "categorical"}
    counts : ndarray of int64
        Per bin. Numeric: ``len(edges) + 1`` bins; bin 0 is ``x < edges[0]``,
        bin i ``edges[i - 1] <= x < edges[i]``, the last ``x >= edges[-1]``.
        Categorical: ``len(categories) + 1`` bins, the last for all other values.
    edges : ndarray of float64
        Ascending, of the reference; empty for a categorical feature.
    categories : tuple of str
        Of the reference; empty for a numeric feature.
    n_missing, n_infinite : int
        NaN or absent values, and infinities; neither is in `counts`.
    minimum, maximum, mean, variance : float
        Of the finite values (population variance); NaN where there are none, and for a
        categorical feature.
    n_distinct : float
        Estimated number of different values; NaN where it is not known.
    """

    name: str
    kind: Kind
    counts: Counts
    edges: Floats = field(default_factory=lambda: np.empty(0))
    categories: tuple[str, ...] = ()
    n_missing: int = 0
    n_infinite: int = 0
    minimum: float = math.nan
    maximum: float = math.nan
    mean: float = math.nan
    variance: float = math.nan
    n_distinct: float = math.nan

    def __post_init__(self) -> None:
        """Check that counts and bins belong together."""
        bins = self.edges if self.kind == "numeric" else self.categories
        if len(self.counts) != len(bins) + 1:
            raise InputError(
                f"feature {self.name!r}: expected {len(bins) + 1} counts for "
                f"{len(bins)} {'edges' if self.kind == 'numeric' else 'categories'}, "
                f"got {len(self.counts)}"
            )

    @cached_property
    def n(self) -> int:
        """Values that were counted: finite numbers, or present categories."""
        return int(self.counts.sum())

    @property
    def n_values(self) -> int:
        """All values, with the missing and the infinite ones."""
        return self.n + self.n_missing + self.n_infinite

    @property
    def shares(self) -> Floats:
        """`counts` as shares of their sum; zeros where nothing was counted."""
        return self.counts / max(self.n, 1)

    @property
    def std(self) -> float:
        """Population standard deviation."""
        return math.sqrt(self.variance) if self.variance >= 0 else math.nan

    @property
    def missing_share(self) -> float:
        """Share of missing values; NaN where there was no value at all."""
        return self.n_missing / self.n_values if self.n_values else math.nan

    def quantile(self, q: float) -> float:
        """Estimate a quantile of a numeric feature, linear within its bin.

        Parameters
        ----------
        q : float
            From 0 to 1.

        Returns
        -------
        value : float
            NaN where nothing was counted.

        Raises
        ------
        InputError
            `q` is no share, or the feature is categorical.
        """
        if not 0 <= q <= 1 or self.kind != "numeric":
            raise InputError(
                f"feature {self.name!r} ({self.kind}): expected a quantile from 0 to 1 "
                f"of a numeric feature, got {q!r}"
            )
        if not self.n:
            return math.nan
        inner = np.clip(self.edges, self.minimum, self.maximum)
        knots = np.concatenate([[self.minimum], inner, [self.maximum]])
        reached = np.concatenate([[0], np.cumsum(self.counts)])
        return float(np.interp(q * self.n, reached, knots))

    def has_bins_of(self, other: FeatureSketch) -> bool:
        """Tell whether both count in the same bins.

        Parameters
        ----------
        other : FeatureSketch

        Returns
        -------
        has : bool
        """
        return (
            self.kind == other.kind
            and self.categories == other.categories
            and (self.edges is other.edges or np.array_equal(self.edges, other.edges))
        )

    def merge(self, other: FeatureSketch) -> FeatureSketch:
        """Add what another sketch of the same feature counted.

        Counts, minima and maxima are those of one sketch of all values; mean and
        variance are to rounding. (Exact merges are those of the C core.)

        Parameters
        ----------
        other : FeatureSketch

        Returns
        -------
        both : FeatureSketch

        Raises
        ------
        InputError
            The bins differ.
        """
        if not self.has_bins_of(other):
            raise InputError(
                f"features {self.name!r} and {other.name!r} count in different bins; "
                "only sketches made for the same reference can be merged"
            )
        n = self.n + other.n
        mean, variance = self.mean, self.variance
        if not self.n:
            mean, variance = other.mean, other.variance
        elif other.n:
            delta, share = other.mean - self.mean, other.n / n
            mean = self.mean + share * delta
            variance = (1 - share) * self.variance + share * other.variance
            variance += delta * delta * share * (1 - share)
        return replace(
            self,
            counts=self.counts + other.counts,
            n_missing=self.n_missing + other.n_missing,
            n_infinite=self.n_infinite + other.n_infinite,
            minimum=float(np.fmin(self.minimum, other.minimum)),
            maximum=float(np.fmax(self.maximum, other.maximum)),
            mean=mean,
            variance=variance,
            n_distinct=math.nan,
        )

    @classmethod
    def from_values(
        cls,
        name: str,
        values: npt.ArrayLike,
        *,
        edges: npt.ArrayLike | None = None,
        categories: Sequence[str] | None = None,
    ) -> FeatureSketch:
        """Count an array; the slow way, and the definition of the fast one.

        Parameters
        ----------
        name : str
        values : array-like
            Of one feature. Numbers are counted by `edges`; where `categories` are
            given, every value is taken as its text (None: missing).
        edges : array-like of float, optional
            Ascending.
        categories : sequence of str, optional

        Returns
        -------
        sketch : FeatureSketch

        Raises
        ------
        InputError
            Neither or both of `edges` and `categories` are given.
        """
        if (edges is None) == (categories is None):
            raise InputError(
                f"feature {name!r}: expected either edges or categories, got "
                f"{'neither' if edges is None else 'both'}"
            )
        if categories is not None:
            place = {text: i for i, text in enumerate(categories)}
            counts = np.zeros(len(categories) + 1, np.int64)
            given = np.asarray(values, object).ravel().tolist()
            present = [str(value) for value in given if value is not None]
            for text in present:
                counts[place.get(text, len(categories))] += 1
            return cls(
                name,
                "categorical",
                counts,
                categories=tuple(categories),
                n_missing=len(given) - len(present),
                n_distinct=float(len(set(present))),
            )
        x = np.asarray(values, np.float64).ravel()
        at = np.asarray(edges, np.float64)
        good = x[np.isfinite(x)]
        counts = np.bincount(
            np.searchsorted(at, good, side="right"), minlength=len(at) + 1
        ).astype(np.int64)
        some = len(good) > 0
        return cls(
            name,
            "numeric",
            counts,
            edges=at,
            n_missing=int(np.isnan(x).sum()),
            n_infinite=int(np.isinf(x).sum()),
            minimum=float(good.min() + 0.0) if some else math.nan,
            maximum=float(good.max() + 0.0) if some else math.nan,
            mean=float(good.mean()) if some else math.nan,
            variance=float(good.var()) if some else math.nan,
            n_distinct=float(len(np.unique(good))),
        )

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON.

        Returns
        -------
        plain : dict
        """
        return {
            "name": self.name,
            "kind": self.kind,
            "counts": self.counts.tolist(),
            "edges": self.edges.tolist(),
            "categories": list(self.categories),
            "n_missing": self.n_missing,
            "n_infinite": self.n_infinite,
            **{
                key: None if math.isnan(value) else value
                for key in _FLOATS
                if isinstance(value := getattr(self, key), float)
            },
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> FeatureSketch:
        """Read it back.

        Parameters
        ----------
        plain : mapping
            What `to_dict` gave.

        Returns
        -------
        sketch : FeatureSketch

        Raises
        ------
        InputError
            It is nothing that `to_dict` gives.
        """
        try:
            edges = np.array(plain["edges"], np.float64)
            counts = np.array(plain["counts"], np.int64)
            kind = plain["kind"]
            floats = {
                key: math.nan if plain[key] is None else float(plain[key])
                for key in _FLOATS
            }
            missing, infinite = int(plain["n_missing"]), int(plain["n_infinite"])
            categories = tuple(str(text) for text in plain["categories"])
            name = str(plain["name"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"a sketch of a feature cannot be read: {error}") from None
        is_good = (
            kind in ("numeric", "categorical")
            and edges.ndim == counts.ndim == 1
            and bool(np.all(np.isfinite(edges)) and np.all(np.diff(edges) > 0))
            and bool(np.all(counts >= 0))
            and min(missing, infinite) >= 0
        )
        if not is_good:
            raise InputError(
                f"a sketch of feature {name!r} cannot be read: expected ascending "
                "edges and counts that are not negative"
            )
        return cls(name, kind, counts, edges, categories, missing, infinite, **floats)


_FLOATS = ("minimum", "maximum", "mean", "variance", "n_distinct")
