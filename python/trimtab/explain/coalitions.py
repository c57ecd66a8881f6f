"""Coalitions of features with the weights of the Shapley kernel."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trimtab.types import Array

__all__ = ["Coalitions", "all_coalitions", "draw_coalitions"]


@dataclass(frozen=True, eq=False)
class Coalitions:
    """Coalitions and their weights.

    Parameters
    ----------
    keep : ndarray of bool, shape (n, n_features)
        Each is followed by its complement.
    weights : ndarray of shape (n,)
        Their sum is 1.
    is_drawn : ndarray of bool, shape (n,)
        At random, not because all of that size are there.
    """

    keep: Array
    weights: Array
    is_drawn: Array


def all_coalitions(n: int) -> Array:
    """Give all coalitions of n features; number k holds the bits of k.

    Parameters
    ----------
    n : int

    Returns
    -------
    keep : ndarray of bool, shape (2**n, n)

    Examples
    --------
    >>> all_coalitions(2).astype(int).tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    keep: Array = (np.arange(1 << n)[:, None] >> np.arange(n)) & 1 == 1
    return keep


def draw_coalitions(n: int, budget: int, rng: np.random.Generator) -> Coalitions:
    """Take whole sizes while they fit, from the outside in, and draw the rest.

    Sizes of one feature and of all but one weigh most and are the fewest. What is left
    of the budget goes to pairs of complements of the other sizes, drawn with their
    kernel weights.

    Parameters
    ----------
    n : int
        Features, 2 or more.
    budget : int
        Coalitions, at least 2 n.
    rng : numpy.random.Generator

    Returns
    -------
    coalitions : Coalitions

    Examples
    --------
    >>> found = draw_coalitions(20, 100, np.random.default_rng(0))
    >>> len(found.keep), int(found.is_drawn.sum()), round(float(found.weights.sum()), 9)
    (100, 60, 1.0)
    """
    sizes = np.arange(1, n // 2 + 1)
    # of all coalitions of a size and of their complements: (n - 1) / (s (n - s))
    mass = np.array([(n - 1) / (s * (n - s)) for s in sizes])
    mass[2 * sizes != n] *= 2
    mass /= mass.sum()
    kept: list[Array] = []
    weights: list[Array] = []
    left, at = budget, 0
    while at < len(sizes):
        size = int(sizes[at])
        is_middle = 2 * size == n
        n_sets = math.comb(n, size) * (1 if is_middle else 2)
        if n_sets > left:
            break
        whole = _all_of_size(n, size, is_middle)
        kept.append(whole)
        weights.append(np.full(len(whole), mass[at] / len(whole)))
        left, at = left - n_sets, at + 1
    n_pairs = left // 2 if at < len(sizes) else 0
    if n_pairs:
        part = mass[at:] / mass[at:].sum()
        drawn = _drawn(n, rng.choice(sizes[at:], size=n_pairs, p=part), rng)
        kept.append(drawn)
        weights.append(np.full(len(drawn), mass[at:].sum() / len(drawn)))
    is_drawn = np.zeros(sum(map(len, kept)), bool)
    is_drawn[len(is_drawn) - 2 * n_pairs :] = True
    total = np.concatenate(weights)
    return Coalitions(np.concatenate(kept), total / total.sum(), is_drawn)


def _all_of_size(n: int, size: int, is_middle: bool) -> Array:
    members = np.array(list(itertools.combinations(range(n), size)))
    keep = np.zeros((len(members), n), bool)
    np.put_along_axis(keep, members, True, axis=1)
    if is_middle:  # complements are there already
        return keep
    return np.stack([keep, ~keep], axis=1).reshape(-1, n)


def _drawn(n: int, sizes: Array, rng: np.random.Generator) -> Array:
    """A random set of each size, followed by its complement."""
    ranks = rng.random((len(sizes), n)).argsort(axis=1).argsort(axis=1)
    keep = ranks < sizes[:, None]
    return np.stack([keep, ~keep], axis=1).reshape(-1, n)
