"""Occlusion: how far the answer falls where a part is left out.

References
----------
Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014.
"""

from __future__ import annotations

import numpy as np

from trimtab.explain.game import Found, Game

__all__ = ["n_occlusion", "occlusion"]


def n_occlusion(n_parts: int) -> int:
    """Choices of parts that `occlusion` asks for.

    Parameters
    ----------
    n_parts : int

    Returns
    -------
    n : int

    Examples
    --------
    >>> n_occlusion(49)
    49
    """
    return n_parts


def occlusion(game: Game, *, n_samples: int, seed: int) -> Found:
    """Leave each part out by itself.

    Parameters
    ----------
    game : Game
    n_samples, seed : int
        Of no use here.

    Returns
    -------
    found : Found
        The answer minus that without the part. They need not add up: what two parts
        say alike counts for neither.

    Examples
    --------
    >>> occlusion(game, n_samples=0, seed=0)               # doctest: +SKIP
    """
    present = ~np.eye(game.parts.n, dtype=bool)
    return Found(game.prediction - game.value(present))
