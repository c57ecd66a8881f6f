"""Names for the arrays of traffic, whatever comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.monitor.columns import read_columns
from trimtab.monitor.table import Table
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["name_arrays"]


def name_arrays(
    values: Any, side: str, tables: Sequence[Table], model: Model | None = None
) -> dict[str, Array]:
    """Give arrays by name, as far as names are known; surprises pass.

    Parameters
    ----------
    values : array, tuple of arrays, mapping or DataFrame
    side : {"input", "output"}
    tables : sequence of Table
        Of the reference; none while it is learned.
    model : Model, optional

    Returns
    -------
    arrays : dict of str to ndarray
        By the names of the model or of the tables; columns, where the reference is a
        plain table, or where nothing is known of inputs.

    Examples
    --------
    >>> name_arrays(([1, 2], [3, 4]), "output", ())
    {'output0': array([1, 2]), 'output1': array([3, 4])}
    """
    if side == "input" and any(table.spec.side == "data" for table in tables):
        return read_columns(values, tables[0].spec.features)
    if isinstance(values, Mapping) or hasattr(values, "columns"):
        names = list(values if isinstance(values, Mapping) else values.columns)
        return {str(name): np.asarray(values[name]) for name in names}
    given = values if isinstance(values, tuple) else (values,)
    if model is not None:
        specs = model.inputs if side == "input" else model.outputs
        known = [spec.name for spec in specs]
    else:
        known = [x.spec.tensor for x in tables if x.spec.side == side]
    if not known and not tables and side == "input" and len(given) == 1:
        return read_columns(given[0], ())
    names = [*known, *(f"{side}{i}" for i in range(len(known), len(given)))]
    return {
        name: np.asarray(x) for name, x in zip(names[: len(given)], given, strict=True)
    }
