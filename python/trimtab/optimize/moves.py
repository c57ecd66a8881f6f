"""The way from the fastest precisions to float32: one move after the other.

Enters: for each layer what each precision costs and the noise it adds. Leaves: moves to
safer precisions in the order in which they pay. It is the greedy way through a knapsack
with several choices per item: on the convex hull of cost and noise of each layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Move", "Option", "cheapest", "configuration", "plan_moves", "without"]


@dataclass(frozen=True)
class Option:
    """A layer in one precision.

    Parameters
    ----------
    precision : str
    cost : float
        Microseconds, or bytes.
    noise : float
        Power of the error at the model's output, relative to the output's.
    """

    precision: str
    cost: float
    noise: float


@dataclass(frozen=True)
class Move:
    """A layer goes to a safer precision.

    Parameters
    ----------
    layer : str
    before, after : str
        Precisions.
    cost, noise : float
        What is paid, and the noise that goes.
    """

    layer: str
    before: str
    after: str
    cost: float
    noise: float

    @property
    def worth(self) -> float:
        """Noise that goes for each unit of cost."""
        return self.noise / max(self.cost, 1e-9)


def _hull(options: Sequence[Option]) -> list[Option]:
    """Options worth having: from the cheapest on, each buys less than the last."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda o: (o.cost, o.noise)):
        if kept and option.noise >= kept[-1].noise:
            continue
        while len(kept) > 1 and _worth(kept[-2], kept[-1]) <= _worth(kept[-1], option):
            kept.pop()
        kept.append(option)
    return kept


def _worth(a: Option, b: Option) -> float:
    return (a.noise - b.noise) / max(b.cost - a.cost, 1e-9)


def cheapest(options: Mapping[str, Sequence[Option]]) -> dict[str, str]:
    """Give every layer its cheapest precision.

    Parameters
    ----------
    options : mapping of str to sequence of Option

    Returns
    -------
    choices : dict of str to str

    Examples
    --------
    >>> cheapest({"a": [Option("f32", 4.0, 0.0), Option("int8", 1.0, 0.1)]})
    {'a': 'int8'}
    """
    return {layer: _hull(given)[0].precision for layer, given in options.items()}


def without(
    options: Mapping[str, Sequence[Option]], precision: str
) -> dict[str, list[Option]]:
    """Leave a precision out.

    Parameters
    ----------
    options : mapping of str to sequence of Option
    precision : str

    Returns
    -------
    options : dict of str to list of Option

    Examples
    --------
    >>> without({"a": [Option("f32", 4.0, 0.0), Option("int8", 1.0, 0.1)]}, "int8")
    {'a': [Option(precision='f32', cost=4.0, noise=0.0)]}
    """
    return {
        layer: [option for option in given if option.precision != precision]
        for layer, given in options.items()
    }


def plan_moves(options: Mapping[str, Sequence[Option]]) -> list[Move]:
    """Order the moves from the cheapest precisions to float32.

    Parameters
    ----------
    options : mapping of str to sequence of Option
        By layer; each has "f32", without noise.

    Returns
    -------
    moves : list of Move
        The one that removes most noise for its cost first.

    Examples
    --------
    >>> moves = plan_moves({
    ...     "a": [Option("f32", 4.0, 0.0), Option("int8", 1.0, 0.3)],
    ...     "b": [Option("f32", 9.0, 0.0), Option("int8", 3.0, 0.3)],
    ... })
    >>> [(move.layer, move.after) for move in moves]
    [('a', 'f32'), ('b', 'f32')]
    """
    moves = []
    for layer, given in options.items():
        hull = _hull(given)
        for a, b in pairwise(hull):
            cost, noise = b.cost - a.cost, a.noise - b.noise
            moves.append(Move(layer, a.precision, b.precision, cost, noise))
    return sorted(moves, key=lambda move: -move.worth)


def configuration(start: Mapping[str, str], moves: Sequence[Move]) -> dict[str, str]:
    """Give the precisions after some moves.

    Parameters
    ----------
    start : mapping of str to str
    moves : sequence of Move

    Returns
    -------
    choices : dict of str to str

    Examples
    --------
    >>> configuration({"a": "int8"}, [Move("a", "int8", "f32", 3.0, 0.3)])
    {'a': 'f32'}
    """
    choices = dict(start)
    for move in moves:
        choices[move.layer] = move.after
    return choices
