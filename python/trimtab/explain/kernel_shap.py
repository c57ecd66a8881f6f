"""Shapley values: exactly where parts are few, else by weighted least squares.

References
----------
Shapley, A Value for n-Person Games, 1953. Lundberg and Lee, A Unified Approach to
Interpreting Model Predictions, 2017. Covert and Lee, Improving KernelSHAP: Practical
Shapley Value Estimation Using Linear Regression, 2021 (paired samples).
"""

from __future__ import annotations

import math

import numpy as np

from trimtab.explain.coalitions import Coalitions, all_coalitions, draw_coalitions
from trimtab.explain.game import Floats, Found, Game

__all__ = ["kernel_shap", "n_shap"]

# All choices of so many parts are asked for.
_MOST_EXACT = 11


def n_shap(n_parts: int, n_samples: int) -> int:
    """Choices of parts that `kernel_shap` asks for.

    Parameters
    ----------
    n_parts, n_samples : int

    Returns
    -------
    n : int

    Examples
    --------
    >>> n_shap(3, 1000), n_shap(40, 1000)
    (8, 1000)
    """
    return 2**n_parts if n_parts <= _MOST_EXACT else 2 * _n_pairs(n_parts, n_samples)


def _n_pairs(n_parts: int, n_samples: int) -> int:
    # fewer leave least squares without an answer
    return max(n_samples // 2, 4 * n_parts)


def kernel_shap(game: Game, *, n_samples: int, seed: int) -> Found:
    """Give each part its mean contribution over all orders of putting parts back.

    Parameters
    ----------
    game : Game
    n_samples : int
        Choices of parts to ask for, where there are more than 11 parts.
    seed : int
        Of the choices.

    Returns
    -------
    found : Found
        The sum of values is the answer minus that of the background. Standard errors
        where choices were drawn.

    Examples
    --------
    >>> kernel_shap(game, n_samples=2048, seed=0)          # doctest: +SKIP
    """
    n = game.parts.n
    if n == 1:
        return Found(np.array([game.prediction - game.base]))
    if n <= _MOST_EXACT:
        return Found(_exact(game))
    budget = 2 * _n_pairs(n, n_samples)
    return _solve(game, draw_coalitions(n, budget, np.random.default_rng(seed)))


def _exact(game: Game) -> Floats:
    n = game.parts.n
    present = all_coalitions(n)
    codes = np.arange(len(present))
    values = game.value(present)
    sizes = present.sum(axis=1)
    weights = np.array(
        [math.factorial(s) * math.factorial(n - s - 1) for s in range(n)]
    ) / math.factorial(n)
    found = np.empty(n)
    for i in range(n):
        without = codes[~present[:, i]]
        gains = values[without | (1 << i)] - values[without]
        found[i] = (weights[sizes[without]] * gains).sum()
    return found


def _solve(game: Game, chosen: Coalitions) -> Found:
    """Least squares under the condition that the values add up to the total.

    The last value follows from the others, so it is left out of the equations. What a
    drawn pair of complements adds to the solution varies from pair to pair; the spread
    of that is the standard error.
    """
    total = game.prediction - game.base
    z = chosen.keep.astype(np.float64)
    left = z[:, :-1] - z[:, -1:]
    right = game.value(chosen.keep) - game.base - z[:, -1] * total
    weighted = left * chosen.weights[:, None]
    inverse = np.linalg.pinv(left.T @ weighted, hermitian=True)
    found = inverse @ (weighted.T @ right)
    values = np.append(found, total - found.sum())
    pairs = (weighted * (right - left @ found)[:, None])[chosen.is_drawn]
    if len(pairs) < 4:
        return Found(values)
    each = pairs.reshape(len(pairs) // 2, 2, -1).sum(axis=1) @ inverse
    each -= each.mean(axis=0)
    each = np.column_stack([each, -each.sum(axis=1)])
    scale = len(each) / (len(each) - 1)
    return Found(values, np.sqrt(scale * (each**2).sum(axis=0)))
