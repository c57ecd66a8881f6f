"""Tables of a reference, collected from the runs of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from trimtab.errors import InputError
from trimtab.monitor.binning import MAX_TEXT, check_bins
from trimtab.monitor.embedding_tensor import pool_embedding
from trimtab.monitor.inner import Inner
from trimtab.monitor.sampling import Reservoir
from trimtab.monitor.schema import TableSpec, plan_tables
from trimtab.monitor.table import Table, dtype_word
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["collect_tables"]

# Rows that make the reference of an embedding.
_N_EMBEDDINGS = 4096
_LEAST_EMBEDDINGS = 50


def collect_tables(
    runs: Iterable[tuple[Mapping[str, Array], Mapping[str, Array]]],
    *,
    model: Model | None,
    kinds: Mapping[str, str] | None,
    names: Mapping[str, Sequence[str]] | Sequence[str] | None,
    categorical: Sequence[str],
    n_bins: int,
    max_rows: int,
    embedding: str | None,
    taps: Sequence[str],
    seed: int,
) -> tuple[list[Table], Inner | None]:
    """Make tables of what a model took and gave.

    Parameters
    ----------
    runs, model, kinds, names, categorical, n_bins, max_rows, embedding, taps, seed
        As `Reference.from_runs` takes them.

    Returns
    -------
    tables : list of Table
    inner : Inner or None

    Raises
    ------
    InputError
        There is nothing that can be watched.

    Examples
    --------
    >>> tables, inner = collect_tables(runs, model=model)  # doctest: +SKIP
    """
    check_bins(n_bins)
    specs: tuple[TableSpec, ...] | None = None
    kept: dict[str, Reservoir] = {}
    dtypes: dict[str, str] = {}
    inner = Reservoir(_N_EMBEDDINGS, seed=seed)
    for inputs, found in runs:
        outputs = dict(found)
        if embedding is not None:
            inner.add(pool_embedding(outputs[embedding]))
            if model is not None and embedding in model.taps and embedding not in taps:
                del outputs[embedding]
        inside = {name: outputs.pop(name) for name in taps}
        if specs is None:
            specs = plan_tables(
                inputs,
                outputs,
                taps=inside,
                model=model,
                kinds=kinds,
                names=names,
                categorical=categorical,
            )
            kept = {x.name: Reservoir(max_rows, seed=seed) for x in specs}
        for spec in specs:
            side = {"input": inputs, "tap": inside}.get(spec.side, outputs)
            kept[spec.name].add(spec.rows(side[spec.tensor]))
            dtypes[spec.name] = dtype_word(side[spec.tensor])
    if not specs:
        raise InputError(
            "a reference: expected data with at least one row, and a tensor that "
            "can be watched (numbers, with a row for each sample)"
        )
    class_names = None if model is None else model.class_names
    tables = []
    for spec in specs:
        fewer, rows = spec.without_redundant(kept[spec.name].rows)
        words = [dtypes[spec.name]] * len(fewer.features)
        table = Table.from_rows(fewer, rows, words, n_bins)
        tables.append(_with_class_names(table, class_names))
    return tables, _inner(embedding, inner.rows, seed)


def _inner(tensor: str | None, rows: Array, seed: int) -> Inner | None:
    """Of a tensor with enough rows to span a space, and numbers in them."""
    from trimtab.monitor.embedding import Embedding
    from trimtab.monitor.embedding_space import MAX_WIDTH

    if tensor is None or len(rows) < _LEAST_EMBEDDINGS or rows.shape[1] > MAX_WIDTH:
        return None
    good = rows[np.isfinite(rows).all(axis=1)]
    if len(good) < _LEAST_EMBEDDINGS:
        return None
    return Inner(tensor, Embedding.from_data(good, seed=seed))


def _with_class_names(table: Table, names: Sequence[str] | None) -> Table:
    """Name the predicted classes."""
    if table.spec.kind != "class" or names is None:
        return table
    first = table.columns[0]
    texts = tuple(
        str(names[code])[:MAX_TEXT] if 0 <= code < len(names) else str(code)
        for code in first.codes or ()
    )
    if len(set(texts)) != len(texts):
        return table
    named = replace(first, sketch=replace(first.sketch, categories=texts))
    return Table(table.spec, (named, *table.columns[1:]))
