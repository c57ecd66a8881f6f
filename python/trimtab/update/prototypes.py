"""The learner "prototypes": a class is where its rows lie, in closed form.

Enters: features of rows, or the sums that `HeadStatistics` keeps of them. Leaves: means
of classes, and the layer that tells which mean a row is nearest to, in the metric of
how rows scatter around their means. A class that is new needs a few rows and moves
nothing else; embedding models use the means alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.errors import InputError
from trimtab.types import Array
from trimtab.update.calibrate import fit_temperature
from trimtab.update.closed_head import ClosedHead, folds_of
from trimtab.update.context import Candidate, LearnContext
from trimtab.update.statistics import HeadStatistics

__all__ = ["Prototypes", "discriminant", "learn"]

# How round the scatter is taken to be: 1 is the plain nearest mean.
_SHRINKAGES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_SHARES = (0.3, 1.0, 3.0)
_N_FOLDS = 3


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Means of classes, for models that give embeddings.

    Parameters
    ----------
    sums : ndarray of float64, shape (k, d)
        Of embeddings of length 1.
    counts : ndarray of float64, shape (k,)

    Examples
    --------
    >>> faces = Prototypes.of(np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([0, 1]))
    >>> faces = faces.updated(np.array([[-1.0, -1.0]]), np.array([2]))
    >>> faces.nearest(np.array([[0.1, 5.0], [-2.0, -1.0]]))
    array([1, 2])
    """

    sums: Array
    counts: Array

    @classmethod
    def of(cls, embeddings: Array, labels: Array) -> Prototypes:
        """Average rows by class.

        Parameters
        ----------
        embeddings : ndarray of shape (n, d)
        labels : ndarray of int, shape (n,)
            Numbers of classes, from 0.

        Returns
        -------
        prototypes : Prototypes

        Raises
        ------
        InputError
            Shapes differ, or an embedding has no direction.
        """
        none = cls(np.zeros((0, np.shape(embeddings)[-1])), np.zeros(0))
        return none.updated(embeddings, labels)

    def updated(
        self, embeddings: Array, labels: Array, *, decay: float = 1.0
    ) -> Prototypes:
        """Add rows, of known classes or new ones.

        Parameters
        ----------
        embeddings : ndarray of shape (n, d)
        labels : ndarray of int, shape (n,)
        decay : float, default=1.0
            What an old row of those classes counts for beside a new one.

        Returns
        -------
        prototypes : Prototypes

        Raises
        ------
        InputError
            Shapes differ, or an embedding has no direction.
        """
        unit, codes = _directions(embeddings), np.asarray(labels)
        if unit.shape[1:] != self.sums.shape[1:] or codes.shape != unit.shape[:1]:
            raise InputError(
                f"embeddings {unit.shape} and labels {codes.shape}: expected (n, "
                f"{self.sums.shape[1]}) and (n,)"
            )
        if codes.size and (codes.dtype.kind not in "iu" or codes.min() < 0):
            raise InputError("labels: expected numbers of classes, from 0")
        k = max(len(self.counts), int(codes.max(initial=-1)) + 1)
        sums, counts = np.zeros((k, unit.shape[1])), np.zeros(k)
        sums[: len(self.sums)], counts[: len(self.counts)] = self.sums, self.counts
        touched = np.unique(codes)
        sums[touched] *= decay
        counts[touched] *= decay
        np.add.at(sums, codes, unit)
        np.add.at(counts, codes, 1.0)
        return Prototypes(sums, counts)

    def similarities(self, embeddings: Array) -> Array:
        """Give the cosine of each row with each class; -1 with a class of no rows.

        Parameters
        ----------
        embeddings : ndarray of shape (n, d)

        Returns
        -------
        similarities : ndarray of shape (n, k)
        """
        norms = np.linalg.norm(self.sums, axis=1)
        means = self.sums / np.where(norms > 0, norms, 1.0)[:, None]
        found = _directions(embeddings) @ means.T
        return np.asarray(np.where(norms > 0, found, -1.0))

    def nearest(self, embeddings: Array) -> Array:
        """Give the class that each row is nearest to.

        Parameters
        ----------
        embeddings : ndarray of shape (n, d)

        Returns
        -------
        classes : ndarray of int64, shape (n,)
        """
        return np.asarray(self.similarities(embeddings).argmax(axis=1))


def _directions(embeddings: Array) -> Array:
    rows = np.asarray(embeddings, np.float64)
    if rows.ndim != 2:
        raise InputError(f"embeddings: expected (n, d), got {rows.shape}")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise InputError("embeddings: a row is zero, NaN or infinite")
    return np.asarray(rows / norms)


def discriminant(
    statistics: HeadStatistics, shrinkages: Sequence[float]
) -> list[tuple[Array, Array]]:
    """Give the layers that tell classes apart by their means and common scatter.

    Parameters
    ----------
    statistics : HeadStatistics
        Of targets 1 and -1.
    shrinkages : sequence of float
        Shares of the round part of the scatter, in (0, 1].

    Returns
    -------
    layers : list of tuple of ndarray
        For each share, weights of shape (d, k) and a bias of shape (k,).

    Raises
    ------
    InputError
        There is no row of a class.

    Examples
    --------
    >>> x, y = np.array([[0.0], [1.0], [4.0], [5.0]]), np.eye(2)[[0, 0, 1, 1]]
    >>> ((w, b),) = discriminant(HeadStatistics.of(x, 2 * y - 1), [1.0])
    >>> (x @ w + b).argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """
    total = statistics.gram[:-1, -1:]
    counts = (statistics.cross[-1] + statistics.weight) / 2
    if (counts <= 1e-9).any():
        empty = np.flatnonzero(counts <= 1e-9)[:10].tolist()
        raise InputError(
            f"prototypes: there is no row of the classes {empty}; old rows or "
            "statistics of them are needed"
        )
    means = (statistics.cross[:-1] + total) / 2 / counts
    scatter = statistics.gram[:-1, :-1] - (means * counts) @ means.T
    values, vectors = np.linalg.eigh(scatter / statistics.weight)
    values = np.maximum(values, 0.0)
    level = float(values.mean()) or 1.0
    seen = vectors.T @ means
    logs = np.log(counts / counts.sum())
    layers = []
    for share in shrinkages:
        weight = vectors @ (seen / ((1 - share) * values + share * level)[:, None])
        layers.append((weight, logs - 0.5 * (weight * means).sum(axis=0)))
    return layers


# ---- the learner --------------------------------------------------------------------


def learn(context: LearnContext) -> Candidate:
    """Put the means of old and new rows in place of the last layer.

    Parameters
    ----------
    context : LearnContext

    Returns
    -------
    candidate : Candidate

    Raises
    ------
    UnsupportedOpError
        The model does not end in a dense layer with weights in float.
    InputError
        Classes are not exclusive, or there is no row of one.

    Examples
    --------
    >>> learn(context).detail["shrinkage"]                 # doctest: +SKIP
    0.1
    """
    begin = time.perf_counter()
    head = ClosedHead.of(context)
    if head.link != "softmax":
        raise InputError("prototypes: several classes may be right for one row")
    tried = {share: _judge(head, share) for share in _SHARES}
    before, has_old = head.known, len(head.old_targets) > 0

    def worth(key: tuple[float, int]) -> tuple[bool, float]:
        judged = tried[key[0]][key[1]]
        drop = before - judged.kept if has_old else 0.0
        is_kept = drop <= context.forget
        return is_kept, -judged.loss if is_kept else -drop

    keys = [(share, i) for share in tried for i in range(len(_SHRINKAGES))]
    share, i = max(keys, key=worth)
    judged = tried[share][i]
    every = np.ones(head.n_new, bool), np.ones(len(head.old_targets), bool)
    weight, bias = discriminant(_sums(head, *every, share), [_SHRINKAGES[i]])[0]
    detail = {
        "shrinkage": _SHRINKAGES[i],
        "replay_share": share,
        "temperature": judged.temperature,
        "left_out": judged.right,
        "forgotten": before - judged.kept if has_old else None,
    }
    t = judged.temperature
    model = context.build(head.graph(weight / t, bias / t))
    seconds = time.perf_counter() - begin
    return Candidate(model, "prototypes", detail, seconds, head.kept())


@dataclass(frozen=True)
class _Judged:
    loss: float
    right: float
    kept: float
    temperature: float


def _judge(head: ClosedHead, share: float) -> list[_Judged]:
    """Leave each fold out, for all shrinkages at once."""
    n = len(_SHRINKAGES)
    logits = np.zeros((n, *head.targets.shape))
    old_logits = np.zeros((n, *head.old_targets.shape))
    seed = head.context.seed
    old_folds = list(folds_of(head.old_targets, _N_FOLDS, seed))
    everything = np.ones(len(head.old_targets), bool)
    for j, (kept, left) in enumerate(folds_of(head.targets, _N_FOLDS, seed)):
        old = old_folds[j] if j < len(old_folds) else (everything, everything)
        layers = discriminant(_sums(head, kept, old[0], share), _SHRINKAGES)
        for i, (weight, bias) in enumerate(layers):
            logits[i, left] = head.features[left] @ weight + bias
            old_logits[i, old[1]] = head.old_features[old[1]] @ weight + bias
    found = []
    for new, before in zip(logits, old_logits, strict=True):
        t = fit_temperature(new, head.targets, is_sigmoid=False)
        found.append(
            _Judged(
                head.loss(new / t, head.targets),
                head.right(new, head.targets),
                head.right(before, head.old_targets),
                t,
            )
        )
    return found


def _sums(head: ClosedHead, new: Array, old: Array, share: float) -> HeadStatistics:
    """Sums over new rows and old ones, these counting as often as `share` says."""
    total, past = head.sums(new, old)
    if past is None or past.weight <= 0:
        return total
    return total.merged(past.weighted(share * min(1.0, total.weight / past.weight)))
