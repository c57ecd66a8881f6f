"""Rows to learn from, to choose with and to prove with: no row in two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trimtab.errors import InputError
from trimtab.optimize.splits import split_shares

if TYPE_CHECKING:
    from trimtab.types import Array
    from trimtab.update.data import UpdateData

__all__ = ["SHARES", "Splits", "split_data", "split_reference"]

#: Of the new rows: to learn from, to choose with, to prove with.
SHARES = {"fit": 0.55, "select": 0.15, "guard": 0.3}
# Of the old rows: to be replayed; the others prove that nothing is forgotten.
_REPLAY_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Splits:
    """Parts of new data.

    Parameters
    ----------
    fit, select, guard : UpdateData
    """

    fit: UpdateData
    select: UpdateData
    guard: UpdateData


def split_data(data: UpdateData, *, seed: int = 0) -> Splits:
    """Split new rows; every part gets its share of every class.

    Parameters
    ----------
    data : UpdateData
    seed : int, default=0

    Returns
    -------
    splits : Splits

    Raises
    ------
    InputError
        There are too few rows for three parts.

    Examples
    --------
    >>> split_data(data, seed=1).guard                     # doctest: +SKIP
    UpdateData(...)
    """
    parts = split_shares(
        data.digests, tuple(SHARES.values()), strata=_strata(data), seed=seed
    )
    if not all(parts):
        sizes = dict(zip(SHARES, map(len, parts), strict=True))
        raise InputError(f"new_data: {len(data)} rows are too few to split: {sizes}")
    return Splits(*(data.take(np.asarray(part)) for part in parts))


def split_reference(
    data: UpdateData, *, seed: int = 0
) -> tuple[UpdateData, UpdateData]:
    """Split old rows into those to replay and those to prove with.

    Parameters
    ----------
    data : UpdateData
    seed : int, default=0

    Returns
    -------
    replay, proof : UpdateData

    Raises
    ------
    InputError
        There is but one row.

    Examples
    --------
    >>> replay, proof = split_reference(data)              # doctest: +SKIP
    """
    shares = (_REPLAY_SHARE, 1 - _REPLAY_SHARE)
    parts = split_shares(data.digests, shares, strata=_strata(data), seed=seed)
    if not all(parts):
        raise InputError("reference: expected at least two different rows")
    replay, proof = (data.take(np.asarray(part)) for part in parts)
    return replay, proof


def _strata(data: UpdateData) -> Array | None:
    is_classes = data.task.kind in ("binary", "multiclass")
    return data.rows.labels if is_classes and data.rows.labels.ndim == 1 else None
