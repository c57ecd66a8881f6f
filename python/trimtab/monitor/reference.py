"""What traffic is compared with: `Reference`, of data, batches or a model's runs.

A reference holds tables (one for each tensor that is watched), each with the bins and
the counts of its features; no rows of the data. It travels in the artefact
(``model.save(path, reference=reference)``) and is checked when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError
from trimtab.monitor.binning import check_bins
from trimtab.monitor.columns import stack_columns, take_columns
from trimtab.monitor.feature import FeatureSketch
from trimtab.monitor.inner import Inner
from trimtab.monitor.sampling import Reservoir
from trimtab.monitor.schema import TableSpec
from trimtab.monitor.table import Table, dtype_word
from trimtab.signature import require_tensors
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab import _core
    from trimtab.model import Model

__all__ = ["Reference"]

VERSION = 1
MAX_TABLES = 64
MAX_BYTES = 16 << 20


class Reference:
    """Bins and counts of what a model was trained, or tested, with.

    Parameters
    ----------
    tables : sequence of Table
    inner : Inner, optional
        The model's own embedding.

    Raises
    ------
    InputError
        Names of tables or features stand twice, or there are none.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(1000, 2))
    >>> Reference.from_data(rows, names=["age", "income"])
    Reference(2 features of 1000 rows: age, income)
    """

    def __init__(self, tables: Sequence[Table], inner: Inner | None = None) -> None:
        self.tables = tuple(tables)
        self.inner = inner
        names = [feature.name for feature in self.features]
        known = [table.name for table in self.tables]
        if not 0 < len(known) <= MAX_TABLES:
            raise InputError(
                f"a reference: expected 1 to {MAX_TABLES} tables with features, got "
                f"{len(known)}"
            )
        for seen in (names, known):
            twice = next((name for name in seen if seen.count(name) > 1), None)
            if twice is not None:
                raise InputError(f"a reference: the name {twice!r} stands twice")

    # ---- making ---------------------------------------------------------------------

    @classmethod
    def from_data(
        cls,
        data: Any,
        *,
        names: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        n_bins: int = 32,
    ) -> Reference:
        """Make a reference of a table of data.

        Parameters
        ----------
        data : ndarray of shape (n_rows, n_features), mapping or DataFrame
            Of columns by name; columns may hold texts.
        names : sequence of str, optional
            Of the columns of an array; ``x0``, ``x1``... by default.
        categorical : sequence of str, optional
            Columns of numbers that are categories; texts always are.
        n_bins : int, default=32
            Of a numeric feature, by quantiles.

        Returns
        -------
        reference : Reference

        Raises
        ------
        InputError
            The data are no table.

        Examples
        --------
        >>> Reference.from_data({"age": [30, 40], "city": ["Rome", "Oslo"]})
        Reference(2 features of 2 rows: age, city)
        """
        columns = take_columns(data, names)
        check_bins(n_bins)
        for name in categorical:
            if name not in columns:
                raise InputError(
                    f"categorical: there is no column {name!r}; there are "
                    f"{list(columns)[:20]}"
                )
        texts = [name for name, x in columns.items() if x.dtype.kind not in "biuf"]
        spec = TableSpec(
            "data", "columns", tuple(columns), tuple({*categorical, *texts})
        )
        dtypes = [dtype_word(x) for x in columns.values()]
        return cls([Table.from_rows(spec, stack_columns(columns), dtypes, n_bins)])

    @classmethod
    def from_batches(
        cls,
        batches: Iterable[Any],
        *,
        max_rows: int = 100_000,
        seed: int = 0,
        **options: Any,
    ) -> Reference:
        """Make a reference of batches that are read once.

        Up to `max_rows` rows all are counted; of more, an even random sample.

        Parameters
        ----------
        batches : iterable
            Of what `from_data` takes.
        max_rows : int, default=100_000
        seed : int, default=0
            Of the sample.
        **options : object
            Of `from_data`.

        Returns
        -------
        reference : Reference

        Raises
        ------
        InputError
            There is no batch, or they have different columns.

        Examples
        --------
        >>> import numpy as np
        >>> batches = (np.full((10, 1), i) for i in range(3))
        >>> Reference.from_batches(batches, names=["x"])
        Reference(1 features of 30 rows: x)
        """
        names = options.pop("names", None)
        kept = Reservoir(max_rows, seed=seed)
        found: list[str] | None = None
        for batch in batches:
            columns = take_columns(batch, names)
            if found is not None and list(columns) != found:
                raise InputError(
                    f"from_batches: columns {list(columns)[:10]} after {found[:10]}"
                )
            found = list(columns)
            kept.add(stack_columns(columns))
        if found is None:
            raise InputError("from_batches: there is no batch")
        rows = kept.rows
        data = {name: _plain(rows[:, i]) for i, name in enumerate(found)}
        return cls.from_data(data, **options)

    @classmethod
    def from_model(
        cls,
        model: Model,
        data: Any,
        *,
        kinds: Mapping[str, str] | None = None,
        names: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        n_bins: int = 32,
        max_rows: int = 100_000,
        batch_size: int = 256,
        embedding: bool | str = "auto",
        taps: Sequence[str] = (),
        seed: int = 0,
    ) -> Reference:
        """Run a model over data, and make a reference of its inputs and outputs.

        Parameters
        ----------
        model : Model
        data : array, tuple of arrays, mapping of str to array, or iterable of these
            As `Model.run` takes them, after preprocessing; an iterable (not a tuple)
            gives batches.
        kinds : mapping of str to str, optional
            Tensor -> "columns", "image", "audio", "text", "vector", "class", "label",
            "value" or "ignore", where the guess by its shape is wrong.
        names : sequence of str, or mapping of str to sequence of str, optional
            Of the columns of an input.
        categorical : sequence of str, optional
            Features that are categories.
        n_bins : int, default=32
            Of a numeric feature, by quantiles.
        max_rows : int, default=100_000
            Of more, an even random sample is counted.
        batch_size : int, default=256
            Rows of a call, where the model takes any number.
        embedding : bool or str, default="auto"
            Watch the model's penultimate tensor, or the one of this name; "auto":
            unless the inputs are tables.
        taps : sequence of str, optional
            Further tensors in the middle (`Model.taps`): their norm, mean, ... are
            features, or their columns where `kinds` says "columns".
        seed : int, default=0
            Of the sample.

        Returns
        -------
        reference : Reference

        Raises
        ------
        InputError
            The data do not fit the model, or nothing of it can be watched.

        Examples
        --------
        >>> reference = Reference.from_model(model, x_train)  # doctest: +SKIP
        >>> model.save("m.safetensors", reference=reference)  # doctest: +SKIP
        """
        from trimtab.monitor.inner import inner_tensor, tap_tensors
        from trimtab.monitor.runs import run_batches

        require_tensors(model, "Reference.from_model")
        tensor = inner_tensor(model, embedding)
        inside = tap_tensors(model, taps)
        also = [*({} if tensor is None else {tensor: 1}), *inside]
        return cls.from_runs(
            run_batches(model, data, batch_size, also=list(dict.fromkeys(also))),
            model=model,
            embedding=tensor,
            taps=inside,
            kinds=kinds,
            names=names,
            categorical=categorical,
            n_bins=n_bins,
            max_rows=max_rows,
            seed=seed,
        )

    @classmethod
    def from_runs(
        cls,
        runs: Iterable[tuple[Mapping[str, Array], Mapping[str, Array]]],
        *,
        model: Model | None = None,
        kinds: Mapping[str, str] | None = None,
        names: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        n_bins: int = 32,
        max_rows: int = 100_000,
        embedding: str | None = None,
        taps: Sequence[str] = (),
        seed: int = 0,
    ) -> Reference:
        """Make a reference of what a model took and gave.

        Parameters
        ----------
        runs : iterable of (mapping of str to ndarray, mapping of str to ndarray)
            Inputs and outputs of calls, by name.
        model : Model, optional
            Its names of classes are used.
        kinds, names, categorical, n_bins, max_rows
            As `from_model` takes them.
        embedding : str, optional
            A tensor that stands among the outputs, to watch as an embedding.
        taps : sequence of str, optional
            Tensors in the middle that stand among the outputs.
        seed : int, default=0
            Of samples.

        Returns
        -------
        reference : Reference

        Raises
        ------
        InputError
            There is nothing that can be watched.
        """
        from trimtab.monitor.collect import collect_tables

        tables, inner = collect_tables(
            runs,
            model=model,
            kinds=kinds,
            names=names,
            categorical=categorical,
            n_bins=n_bins,
            max_rows=max_rows,
            embedding=embedding,
            taps=taps,
            seed=seed,
        )
        return cls(tables, inner)

    # ---- reading --------------------------------------------------------------------

    @property
    def inside(self) -> tuple[str, ...]:
        """Tensors in the middle of the model that are watched."""
        own = [] if self.inner is None else [self.inner.tensor]
        taps = [x.spec.tensor for x in self.tables if x.spec.side == "tap"]
        return tuple(dict.fromkeys([*own, *taps]))

    @cached_property
    def features(self) -> tuple[FeatureSketch, ...]:
        """What was counted of all features, table after table."""
        return tuple(x for table in self.tables for x in table.features)

    @property
    def n_rows(self) -> int:
        """Rows that were counted."""
        return max(feature.n_values for feature in self.features)

    def table(self, name: str | None = None) -> Table:
        """Find a table.

        Parameters
        ----------
        name : str, optional
            The only one by default.

        Returns
        -------
        table : Table

        Raises
        ------
        InputError
            There is none, or more than one.
        """
        found = [x for x in self.tables if name is None or x.name == name]
        if len(found) != 1:
            raise InputError(
                f"a reference: expected one of the tables "
                f"{[x.name for x in self.tables]}, got {name!r}"
            )
        return found[0]

    def table_sketch(self, name: str | None = None) -> _core.TableSketch:
        """Make an empty sketch of the bins of a table.

        Parameters
        ----------
        name : str, optional
            Of the table; the only one by default.

        Returns
        -------
        sketch : _core.TableSketch

        Raises
        ------
        InputError
            There is no such table.
        """
        return self.table(name).sketch()

    def read(
        self, sketch: _core.TableSketch, name: str | None = None
    ) -> tuple[FeatureSketch, ...]:
        """Give what a sketch counted, by feature.

        Parameters
        ----------
        sketch : _core.TableSketch
            Of `table_sketch`.
        name : str, optional
            Of the table; the only one by default.

        Returns
        -------
        features : tuple of FeatureSketch

        Raises
        ------
        InputError
            There is no such table.
        """
        return self.table(name).read(sketch)

    def __repr__(self) -> str:
        """Count and names of the features."""
        names = [feature.name for feature in self.features]
        shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
        return f"Reference({len(names)} features of {self.n_rows} rows: {shown})"

    # ---- storing --------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON.

        Returns
        -------
        plain : dict
        """
        return {
            "version": VERSION,
            "tables": [table.to_dict() for table in self.tables],
            "inner": None if self.inner is None else self.inner.to_dict(),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Reference:
        """Read it back; everything in it is checked.

        Parameters
        ----------
        plain : mapping
            What `to_dict` gave.

        Returns
        -------
        reference : Reference

        Raises
        ------
        InputError
            It is nothing that `to_dict` gives, or too large.
        """
        try:
            if plain["version"] != VERSION:
                version = str(plain["version"])[:20]
                raise InputError(f"version {version}; this trimtab reads {VERSION}")
            tables = plain["tables"]
            if not isinstance(tables, list) or not 0 < len(tables) <= MAX_TABLES:
                raise InputError(f"expected 1 to {MAX_TABLES} tables in a list")
            inner = plain.get("inner")
            return cls(
                [Table.from_dict(table) for table in tables],
                None if inner is None else Inner.from_dict(inner),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"a reference cannot be read: {error}") from None

    def to_json(self) -> str:
        """Give it as JSON text.

        Returns
        -------
        text : str
        """
        return json.dumps(self.to_dict(), separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Reference:
        """Read it back; everything in it is checked.

        Parameters
        ----------
        text : str or bytes

        Returns
        -------
        reference : Reference

        Raises
        ------
        InputError
            It is nothing that `to_json` gives, or too large.
        """
        if len(text) > MAX_BYTES:
            raise InputError(
                f"a reference: expected at most {MAX_BYTES} bytes, got {len(text)}"
            )
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"a reference cannot be read: {error}") from None
        return cls.from_dict(plain)


def _plain(column: Array) -> Array:
    """A column of objects as what it holds."""
    return np.array(column.tolist()) if column.dtype == object else column
