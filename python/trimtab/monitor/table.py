"""The features of one tensor: bins and counts of the reference, sketches on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.monitor.binning import (
    MAX_EDGES,
    MAX_TEXT,
    choose_edges,
    encode,
    top_categories,
)
from trimtab.monitor.feature import FeatureSketch
from trimtab.monitor.schema import MAX_COLUMNS, TableSpec
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab import _core

__all__ = ["Column", "Table", "dtype_word"]

_WORDS = {"b": "bool", "i": "int", "u": "int", "f": "float"}


def dtype_word(values: Array) -> str:
    """Name the kind of an array's values.

    Parameters
    ----------
    values : ndarray

    Returns
    -------
    word : str
        "bool", "int", "float" or "text".

    Examples
    --------
    >>> dtype_word(np.array([1.5], np.float32))
    'float'
    """
    return _WORDS.get(values.dtype.kind, "text")


@dataclass(frozen=True)
class Column:
    """A feature of the reference.

    Parameters
    ----------
    sketch : FeatureSketch
        Its bins, and what the reference counted.
    codes : tuple of int, optional
        Numbers of its categories, where they came as numbers.
    dtype : str, default=""
        What the values were: "float", "int", "bool" or "text"; "" is not known.
    """

    sketch: FeatureSketch
    codes: tuple[int, ...] | None = None
    dtype: str = ""

    @property
    def bins(self) -> npt.NDArray[Any]:
        """Edges, or codes of the categories, as `_core.TableSketch` takes them."""
        if self.sketch.kind == "numeric":
            return self.sketch.edges
        codes = self.codes or range(len(self.sketch.categories))
        return np.asarray(codes, np.int64)


@dataclass(frozen=True)
class Table:
    """The features of one tensor.

    Parameters
    ----------
    spec : TableSpec
    columns : tuple of Column
        In the order of ``spec.features``.
    """

    spec: TableSpec
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """Name of the table."""
        return self.spec.name

    @cached_property
    def features(self) -> tuple[FeatureSketch, ...]:
        """What the reference counted."""
        return tuple(column.sketch for column in self.columns)

    def sketch(self) -> _core.TableSketch:
        """Make an empty sketch of these bins.

        Returns
        -------
        sketch : _core.TableSketch
        """
        from trimtab import _core

        return _core.TableSketch([column.bins for column in self.columns])

    def count(self, rows: Array, sketch: _core.TableSketch) -> None:
        """Count rows in a sketch.

        Parameters
        ----------
        rows : ndarray of shape (n_rows, n_features)
            Numbers; or objects, where columns hold texts.
        sketch : _core.TableSketch
            Of `sketch`.
        """
        if rows.dtype.kind in "biuf" and not self.has_texts:
            sketch.update(rows)
            return
        numbers = np.empty(rows.shape, np.float64)
        for i, column in enumerate(self.columns):
            numbers[:, i] = _numbers(rows[:, i], column)
        sketch.update(numbers)

    @cached_property
    def has_texts(self) -> bool:
        """Does a column hold categories that came as texts?"""
        return any(
            column.sketch.kind == "categorical" and column.codes is None
            for column in self.columns
        )

    def read(self, sketch: _core.TableSketch) -> tuple[FeatureSketch, ...]:
        """Give what a sketch counted, by feature.

        Parameters
        ----------
        sketch : _core.TableSketch
            Of `sketch`.

        Returns
        -------
        features : tuple of FeatureSketch
        """
        counts, minimum, maximum = sketch.counts, sketch.minimum, sketch.maximum
        missing, infinite = sketch.n_missing, sketch.n_infinite
        mean, variance, distinct = sketch.mean, sketch.variance, sketch.n_distinct
        found = []
        for i, column in enumerate(self.columns):
            empty = column.sketch
            found.append(
                FeatureSketch(
                    empty.name,
                    empty.kind,
                    np.asarray(counts[i], np.int64),
                    empty.edges,
                    empty.categories,
                    int(missing[i]),
                    int(infinite[i]),
                    float(minimum[i]),
                    float(maximum[i]),
                    float(mean[i]),
                    float(variance[i]),
                    float(distinct[i]),
                )
            )
        return tuple(found)

    @classmethod
    def from_rows(
        cls, spec: TableSpec, rows: Array, dtypes: Sequence[str], n_bins: int = 32
    ) -> Table:
        """Choose bins by rows, and count them.

        Parameters
        ----------
        spec : TableSpec
        rows : ndarray of shape (n_rows, n_features)
        dtypes : sequence of str
            Of the values that the features come from, as `dtype_word` names them.
        n_bins : int, default=32

        Returns
        -------
        table : Table
        """
        columns = []
        for i, name in enumerate(spec.features):
            if name in spec.categorical:
                found = top_categories(rows[:, i])
                texts = tuple(text for text, _ in found)
                known = [code for _, code in found if code is not None]
                empty = FeatureSketch(
                    name,
                    "categorical",
                    np.zeros(len(texts) + 1, np.int64),
                    categories=texts,
                )
                columns.append(
                    Column(empty, tuple(known) if known else None, dtypes[i])
                )
            else:
                edges = choose_edges(_floats(rows[:, i]), n_bins)
                counts = np.zeros(len(edges) + 1, np.int64)
                empty = FeatureSketch(name, "numeric", counts, edges=edges)
                columns.append(Column(empty, None, dtypes[i]))
        table = cls(spec, tuple(columns))
        sketch = table.sketch()
        table.count(rows, sketch)
        return cls(
            spec,
            tuple(
                replace(column, sketch=counted)
                for column, counted in zip(columns, table.read(sketch), strict=True)
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON.

        Returns
        -------
        plain : dict
        """
        return {
            "name": self.name,
            "kind": self.spec.kind,
            "options": dict(self.spec.options),
            "chosen": list(self.spec.chosen),
            "columns": [
                {
                    **column.sketch.to_dict(),
                    "codes": None if column.codes is None else list(column.codes),
                    "dtype": column.dtype,
                }
                for column in self.columns
            ],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Table:
        """Read it back.

        Parameters
        ----------
        plain : mapping

        Returns
        -------
        table : Table

        Raises
        ------
        InputError
            It is nothing that `to_dict` gives, or too large.
        """
        given = plain["columns"]
        if not isinstance(given, list) or not 0 < len(given) <= MAX_COLUMNS:
            raise InputError(f"expected 1 to {MAX_COLUMNS} columns in a list")
        columns = tuple(_column(entry) for entry in given)
        features = tuple(column.sketch.name for column in columns)
        categorical = tuple(
            c.sketch.name for c in columns if c.sketch.kind == "categorical"
        )
        kind, name = plain["kind"], plain["name"]
        if not isinstance(kind, str) or not isinstance(name, str):
            raise InputError("expected a kind and a name as texts")
        options = _options(plain.get("options", {}))
        chosen = _chosen(plain.get("chosen", []), len(columns))
        spec = TableSpec(name[:MAX_TEXT], kind, features, categorical, options, chosen)
        return cls(spec, columns)


def _chosen(given: Any, n_columns: int) -> tuple[int, ...]:
    is_good = isinstance(given, list) and len(given) in (0, n_columns)
    if not is_good or not all(
        type(i) is int and 0 <= i < 8 * MAX_COLUMNS for i in given
    ):
        raise InputError("chosen: expected the position of each column, or none")
    return tuple(given)


def _options(given: Any) -> tuple[tuple[str, float], ...]:
    if not isinstance(given, dict) or len(given) > 16:
        raise InputError("expected at most 16 options by name")
    for key, value in given.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not abs(value) < 2**53:
            raise InputError(f"option {str(key)[:20]!r}: expected a number")
    return tuple(sorted(given.items()))


def _column(entry: Mapping[str, Any]) -> Column:
    for key, most in (("counts", MAX_EDGES + 1), ("edges", MAX_EDGES)):
        if not isinstance(entry[key], list) or len(entry[key]) > most:
            raise InputError(f"expected at most {most} {key} in a list")
    texts = entry["categories"]
    if not isinstance(texts, list) or len(texts) > MAX_EDGES:
        raise InputError(f"expected at most {MAX_EDGES} categories in a list")
    if any(not isinstance(text, str) or len(text) > MAX_TEXT for text in texts):
        raise InputError(f"expected categories as texts of {MAX_TEXT} letters or fewer")
    if not isinstance(entry["name"], str) or len(entry["name"]) > MAX_TEXT:
        raise InputError(f"expected a name of {MAX_TEXT} letters or fewer")
    sketch = FeatureSketch.from_dict(entry)
    codes, dtype = entry.get("codes"), entry.get("dtype", "")
    if dtype not in ("", "text", *_WORDS.values()):
        raise InputError(f"feature {sketch.name!r}: no type {str(dtype)[:20]!r}")
    if codes is None:
        return Column(sketch, None, dtype)
    numbers = isinstance(codes, list) and all(
        isinstance(x, int) and abs(x) < 2**53 for x in codes
    )
    if not numbers or len(set(codes)) != len(codes) or len(codes) != len(texts):
        raise InputError(f"feature {sketch.name!r}: expected a code for each category")
    return Column(sketch, tuple(codes), dtype)


def _floats(values: Array) -> npt.NDArray[np.float64]:
    """Numbers of a column; what is none is missing."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    found = np.full(len(values), np.nan)
    for i, value in enumerate(values.tolist()):
        try:
            found[i] = float(value)
        except (TypeError, ValueError, OverflowError):
            continue
    return found


def _numbers(values: Array, column: Column) -> npt.NDArray[np.float64]:
    if column.sketch.kind == "numeric":
        return _floats(values)
    if values.dtype == object and column.codes is not None:
        plain = _floats(values)  # numbers that came among texts
        texts = encode(values, column.sketch.categories, column.codes)
        return np.where(np.isnan(plain), texts, plain)
    return encode(values, column.sketch.categories, column.codes)
