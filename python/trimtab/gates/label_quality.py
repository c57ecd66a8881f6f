"""Do labels of new rows contradict the rows? More than those of the reference do?

Enters: evidence. Leaves: a `Gate`. A row speaks for another class where its neighbours
are of it, in the champion's embedding and among the inputs as they are. Neighbours are
new rows and old ones, which shows labels that were flipped at random, and old rows
alone, which shows a class that is called another one throughout. Rows that are merely
hard, or far from all that was seen, contradict nothing.

References: Brodley and Friedl (1999), Identifying mislabeled training data, Journal of
Artificial Intelligence Research 11, 131-167. Northcutt, Jiang and Chuang (2021),
Confident learning, Journal of Artificial Intelligence Research 70, 1373-1411.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate
from trimtab.gates.share import share_within
from trimtab.gates.space import (
    Floats,
    Space,
    chosen_rows,
    neighbours_of,
    spaces_of,
    votes_of,
)
from trimtab.types import Array

__all__ = ["check", "contradicted", "contradicts_reference"]

# Neighbours that vote; of old rows alone fewer, for they must be near.
_N_POOLED, _N_OLD = 10, 5
# A label has no support up to the one share of votes, another class has from the other.
_NONE, _MOST, _MOST_OLD = 0.1, 0.7, 0.8
# Distances that nine of ten reference rows have to their neighbours are near.
_NEAR = 0.9
# Where the world has moved, rows drift towards old rows of other classes; a class that
# is called another one throughout is far more than this.
_OLD_FACTOR = 2.0
# Pairs of classes that are told.
_N_TOLD = 5


def check(evidence: Evidence) -> Gate | None:
    """Estimate the share of labels that are wrong beyond that of the reference.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    gate : Gate or None
        None for what is no classifier, or without new or reference rows.

    Examples
    --------
    >>> check(evidence).evidence["share"]                  # doctest: +SKIP
    0.004
    """
    if evidence.reference is None or evidence.new is None or not evidence.is_classifier:
        return None
    old = evidence.codes("reference")[chosen_rows(evidence, "reference")]
    new = np.concatenate(
        [evidence.codes(part)[chosen_rows(evidence, part)] for part in ("new", "guard")]
    )
    spaces = spaces_of(evidence)
    found = []
    for how, mark, factor in (
        ("by all neighbours", contradicted, 1.0),
        ("by old neighbours", contradicts_reference, _OLD_FACTOR),
    ):
        marks, towards = mark(spaces, old, new)
        split = len(old)
        told = {"how": how, "pairs": _pairs(new, marks[split:], towards[split:])}
        gate = share_within(
            "label_quality",
            f"labels are contradicted {how}",
            marks[split:],
            marks[:split],
            factor * evidence.label_noise,
            alpha=evidence.alpha,
            evidence=told,
        )
        found.append(gate)
    found.sort(key=lambda gate: (gate.ok, -gate.evidence["share"]))
    failed = [gate for gate in found if gate.state == "failed"]
    return (failed or found)[0]


def contradicted(
    spaces: Sequence[Space], old: Array, new: Array
) -> tuple[Array, Array]:
    """Mark rows whose neighbours, old and new, are of one other class in all spaces.

    Parameters
    ----------
    spaces : sequence of Space
    old, new : ndarray of int
        Classes of the rows.

    Returns
    -------
    marks : ndarray of bool, shape (n_old + n_new,)
    towards : ndarray of int
        The class that neighbours are of.

    Examples
    --------
    >>> marks, towards = contradicted(spaces, old, new)    # doctest: +SKIP
    """
    codes = np.concatenate([old, new])
    votes = [
        votes_of(
            neighbours_of(space.pooled(), space.pooled(), _N_POOLED, offset=0),
            codes,
            int(codes.max()) + 1,
        )
        for space in spaces
    ]
    return _agreed(votes, codes, [_MOST] + [0.0] * (len(votes) - 1))


def contradicts_reference(
    spaces: Sequence[Space], old: Array, new: Array
) -> tuple[Array, Array]:
    """Mark rows that lie near reference rows of one other class in all spaces.

    Parameters
    ----------
    spaces : sequence of Space
    old, new : ndarray of int
        Classes of the rows.

    Returns
    -------
    marks : ndarray of bool, shape (n_old + n_new,)
    towards : ndarray of int

    Examples
    --------
    >>> marks, _ = contradicts_reference(spaces, old, new) # doctest: +SKIP
    """
    codes = np.concatenate([old, new])
    n_classes = int(codes.max()) + 1
    votes, near = [], np.ones(len(codes), np.bool_)
    for i, space in enumerate(spaces):
        among = neighbours_of(space.reference, space.reference, _N_OLD, offset=0)
        other = neighbours_of(space.new, space.reference, _N_OLD)
        votes.append(
            np.concatenate([votes_of(x, old, n_classes) for x in (among, other)])
        )
        if i == 0:
            far = np.concatenate([among.distances[:, -1], other.distances[:, -1]])
            near = far <= np.quantile(among.distances[:, -1], _NEAR)
    marks, towards = _agreed(votes, codes, [_MOST_OLD] * len(votes))
    return marks & near, towards


def _agreed(
    votes: Sequence[Floats], codes: Array, least: Sequence[float]
) -> tuple[Array, Array]:
    """Rows whose label nothing speaks for, and all for the same other class."""
    rows = np.arange(len(codes))
    towards = votes[0].argmax(axis=1)
    marks = towards != codes
    for vote, most in zip(votes, least, strict=True):
        marks &= vote[rows, codes] <= _NONE + 1e-9
        marks &= (vote.argmax(axis=1) == towards) & (vote.max(axis=1) >= most - 1e-9)
    return marks, towards


def _pairs(codes: Array, marks: Array, towards: Array) -> list[dict[str, int]]:
    """The most frequent pairs of the label given and what neighbours are."""
    pairs = np.stack([codes[marks], towards[marks]], axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    return [
        {"label": int(found[i, 0]), "looks_like": int(found[i, 1]), "n": int(counts[i])}
        for i in np.argsort(-counts)[:_N_TOLD]
    ]
