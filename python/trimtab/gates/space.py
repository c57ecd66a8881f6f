"""Rows as points: in the champion's embedding, and as its inputs are.

Enters: evidence. Leaves: `Space` by name, scaled by the reference rows, and distances,
votes of neighbours and residuals in it. What an update learns from is judged with what
the champion sees of it and with what it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.gates.evidence import Evidence
from trimtab.types import Array

__all__ = [
    "Neighbours",
    "Space",
    "chosen_rows",
    "flat_inputs",
    "neighbours_of",
    "residuals",
    "robust_z",
    "spaces_of",
    "votes_of",
]

Floats = npt.NDArray[np.float64]

# Rows of each kind that are compared with each other, and numbers of a row.
_MAX_ROWS = 4000
_MAX_WIDTH = 2048
_N_PROJECTED = 512
# Rows of one block of distances.
_N_BLOCK = 256


@dataclass(frozen=True, eq=False)
class Space:
    """Rows as points.

    Parameters
    ----------
    name : {"embedding", "inputs"}
    reference, new : ndarray of shape (n, width)
        Of the reference rows, and of those of `chosen_rows`.
    """

    name: str
    reference: Floats
    new: Floats

    def pooled(self) -> Floats:
        """Give reference and new rows, one after the other."""
        return np.concatenate([self.reference, self.new])


def chosen_rows(evidence: Evidence, name: str) -> Array:
    """Say which rows are compared: all, or a random 4,000 of them.

    Parameters
    ----------
    evidence : Evidence
    name : {"reference", "new", "guard"}

    Returns
    -------
    places : ndarray
        Ascending.

    Examples
    --------
    >>> chosen_rows(evidence, "guard")                     # doctest: +SKIP
    array([0, 1, 2, ...])
    """
    n = len(evidence.rows(name).labels)
    if n <= _MAX_ROWS:
        return np.arange(n)
    rng = np.random.default_rng(evidence.seed)
    return np.sort(rng.choice(n, _MAX_ROWS, replace=False))


def spaces_of(evidence: Evidence) -> list[Space]:
    """Give the spaces in which rows are compared.

    New rows are those that were learned from and then those of the guard: both come
    from where the new data came from.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    spaces : list of Space
        The embedding; and the inputs where they are numbers with a size, not numbers
        of tokens or categories.

    Examples
    --------
    >>> [space.name for space in spaces_of(evidence)]      # doctest: +SKIP
    ['embedding', 'inputs']
    """

    def make() -> list[Space]:
        found = []
        for name, read in (("embedding", _embedding), ("inputs", flat_inputs)):
            parts = [read(evidence, part) for part in ("reference", "new", "guard")]
            if any(part is None for part in parts):
                continue
            old, new, guard = (_projected(part, evidence.seed) for part in parts)
            old, recent = _scaled(old, np.concatenate([new, guard]))
            found.append(Space(name, old, recent))
        return found

    spaces: list[Space] = evidence.once("spaces", make)
    return spaces


def _embedding(evidence: Evidence, name: str) -> Array:
    """What the champion makes of rows before its last layer."""
    from trimtab.monitor.embedding_tensor import find_embedding, pool_embedding

    model = evidence.champion
    tensor = evidence.once("embedding tensor", lambda: find_embedding(model))
    places = chosen_rows(evidence, name)
    inputs = evidence.rows(name).inputs
    sizes = [spec.shape[0] for spec in model.inputs if spec.shape]
    step = next((size for size in sizes if isinstance(size, int)), _N_BLOCK)
    parts = []
    for i in range(0, len(places), step):
        taken = places[i : i + step]
        filled = np.pad(taken, (0, step - len(taken)), mode="edge")
        here = filled if step < _N_BLOCK else taken
        rows = {key: array[here] for key, array in inputs.items()}
        parts.append(pool_embedding(model.run(rows, outputs=[tensor])[tensor]))
        parts[-1] = parts[-1][: len(taken)]
    return np.concatenate(parts)


def flat_inputs(evidence: Evidence, name: str) -> Array | None:
    """Give the inputs of rows as numbers in a row each.

    Parameters
    ----------
    evidence : Evidence
    name : {"reference", "new", "guard"}

    Returns
    -------
    rows : ndarray of shape (n, width) or None
        Of `chosen_rows`; None where no input is of floats or of bytes.

    Examples
    --------
    >>> flat_inputs(evidence, "guard").shape               # doctest: +SKIP
    (500, 784)
    """
    places = chosen_rows(evidence, name)
    inputs: Mapping[str, Any] = evidence.rows(name).inputs
    parts = [
        np.asarray(array)[places].reshape(len(places), -1)
        for _, array in sorted(inputs.items())
        if array.dtype.kind == "f" or array.dtype == np.uint8
    ]
    return np.concatenate(parts, axis=1) if parts else None


def _projected(rows: Any, seed: int) -> Floats:
    """Rows of a width that distances can be computed of; wide ones are projected."""
    x = np.nan_to_num(np.asarray(rows, np.float64), posinf=0.0, neginf=0.0)
    if x.shape[1] <= _MAX_WIDTH:
        return x
    rng = np.random.default_rng(seed)
    out = np.zeros((len(x), _N_PROJECTED))
    for i in range(0, x.shape[1], _MAX_WIDTH):
        part = x[:, i : i + _MAX_WIDTH]
        out += part @ rng.standard_normal((part.shape[1], _N_PROJECTED))
    return np.asarray(out / np.sqrt(_N_PROJECTED))


def _scaled(old: Floats, new: Floats) -> tuple[Floats, Floats]:
    """One scale for all numbers: that of the reference rows."""
    middle = old.mean(axis=0)
    scale = float(np.sqrt(((old - middle) ** 2).mean())) or 1.0
    return (old - middle) / scale, (new - middle) / scale


# ---- neighbours ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest rows of each row.

    Parameters
    ----------
    places : ndarray of shape (n, k)
    distances : ndarray of shape (n, k)
        Ascending.
    """

    places: Array
    distances: Floats


def neighbours_of(
    rows: Floats, base: Floats, k: int, *, offset: int | None = None
) -> Neighbours:
    """Find the k nearest rows of each row.

    Parameters
    ----------
    rows, base : ndarray of shape (n, width) and (m, width)
    k : int
        Fewer where there are not as many.
    offset : int, optional
        Rows are part of the base from there on: none is its own neighbour.

    Returns
    -------
    neighbours : Neighbours

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [3.0]])
    >>> neighbours_of(x, x, 1, offset=0).distances.ravel().tolist()
    [1.0, 1.0, 2.0]
    """
    k = max(1, min(k, len(base) - (offset is not None)))
    squares = (base * base).sum(axis=1)
    places = np.empty((len(rows), k), np.intp)
    distances = np.empty((len(rows), k))
    for i in range(0, len(rows), _N_BLOCK):
        part = rows[i : i + _N_BLOCK]
        d = (part * part).sum(axis=1)[:, None] + squares - 2 * part @ base.T
        if offset is not None:
            here = np.arange(len(part))
            d[here, offset + i + here] = np.inf
        near = np.argpartition(d, k - 1, axis=1)[:, :k]
        there = np.take_along_axis(d, near, axis=1)
        order = np.argsort(there, axis=1)
        places[i : i + _N_BLOCK] = np.take_along_axis(near, order, axis=1)
        distances[i : i + _N_BLOCK] = np.sqrt(
            np.maximum(np.take_along_axis(there, order, axis=1), 0)
        )
    return Neighbours(places, distances)


def votes_of(found: Neighbours, codes: Array, n_classes: int) -> Floats:
    """Give the share of neighbours of each class.

    Parameters
    ----------
    found : Neighbours
    codes : ndarray of int
        Classes of the base.
    n_classes : int

    Returns
    -------
    votes : ndarray of shape (n, n_classes)

    Examples
    --------
    >>> found = Neighbours(np.array([[0, 2]]), np.zeros((1, 2)))
    >>> votes_of(found, np.array([1, 0, 0]), 2).tolist()
    [[0.5, 0.5]]
    """
    n, k = found.places.shape
    votes = np.zeros((n, n_classes))
    for j in range(k):
        np.add.at(votes, (np.arange(n), codes[found.places[:, j]]), 1 / k)
    return votes


# ---- distances of another kind ------------------------------------------------------


def residuals(rows: Floats, base: Floats, *, share: float = 0.9) -> Floats:
    """Give the distance of rows from the plane that the base lies in.

    Parameters
    ----------
    rows, base : ndarray of shape (n, width) and (m, width)
    share : float, default=0.9
        Of the base's variance that the plane holds.

    Returns
    -------
    distances : ndarray of shape (n,)

    Examples
    --------
    >>> base = np.array([[0.0, 0], [1, 0], [2, 0]])
    >>> residuals(np.array([[5.0, 3.0]]), base).tolist()
    [3.0]
    """
    middle = base.mean(axis=0)
    spread = np.atleast_2d(np.cov(base - middle, rowvar=False, bias=True))
    values, vectors = np.linalg.eigh(spread)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    shares = np.cumsum(values) / (values.sum() or 1.0)
    plane = vectors[:, : int(np.searchsorted(shares, share)) + 1]
    centred = rows - middle
    total = (centred**2).sum(axis=1)
    left = total - ((centred @ plane) ** 2).sum(axis=1)
    # What rounding leaves of rows that lie in the plane is no distance.
    return np.asarray(np.sqrt(np.where(left > 1e-12 * total, left, 0.0)))


def robust_z(distances: Floats, usual: Floats) -> Floats:
    """Say how unusual distances are among each other, on a logarithmic scale.

    Parameters
    ----------
    distances : ndarray of shape (n,)
    usual : ndarray of shape (m,)
        Distances of the reference: theirs is the least spread that is believed.

    Returns
    -------
    z : ndarray of shape (n,)
        From the median, in units of 1.4826 median absolute deviations.

    Examples
    --------
    >>> found = robust_z(np.array([1.0, 1.1, 0.9, 9.0]), np.array([1.0, 1.1, 0.9]))
    >>> bool(found[3] > 10), bool(abs(found[:3]).max() < 3)
    (True, True)
    """
    least = 1e-9
    log, before = np.log(distances + least), np.log(usual + least)
    middle = np.median(log)
    spread = max(
        float(np.median(np.abs(log - middle))),
        float(np.median(np.abs(before - np.median(before)))),
    )
    return np.asarray((log - middle) / (1.4826 * spread or least))
