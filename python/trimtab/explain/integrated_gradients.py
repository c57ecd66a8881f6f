"""Integrated gradients, with differences where the engine knows no gradients.

The path leads from the background to the sample in equal steps. Where the model can be
differentiated its gradients are taken in the middle of each, of ever more steps until
the values add up. Elsewhere the answer's change along one part is a central difference
as wide as the step: steps of a quantised model average out over it, and nothing but
answers is needed.

References
----------
Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, 2017.
"""

from __future__ import annotations

import numpy as np

from trimtab.explain.game import Found, Game

__all__ = ["integrated_gradients", "n_integrated"]

_MOST_STEPS, _LEAST_STEPS = 32, 4
# Of gradients: the first number of steps, and the share of the answer's change that the
# values may miss.
_FIRST_STEPS, _CLOSE = 16, 0.005


def _steps(n_parts: int, n_samples: int) -> int:
    return int(np.clip(n_samples // (2 * n_parts), _LEAST_STEPS, _MOST_STEPS))


def n_integrated(n_parts: int, n_samples: int) -> int:
    """Inputs between background and sample that `integrated_gradients` asks for.

    Parameters
    ----------
    n_parts, n_samples : int

    Returns
    -------
    n : int

    Examples
    --------
    >>> n_integrated(10, 100)
    100
    """
    return 2 * n_parts * _steps(n_parts, n_samples)


def integrated_gradients(game: Game, *, n_samples: int, seed: int) -> Found:
    """Integrate the change along each part from the background to the sample.

    Parameters
    ----------
    game : Game
        Of numbers that can be blended.
    n_samples : int
        Answers to spend, about: 4 to 32 steps of differences; gradients, of which one
        costs as much as three answers, until they add up.
    seed : int
        Of no use here.

    Returns
    -------
    found : Found
        The sum of values is the answer minus that of the background, up to the error
        of the integral.

    Examples
    --------
    >>> integrated_gradients(game, n_samples=512, seed=0)  # doctest: +SKIP
    """
    if game.slope is not None:
        return _with_gradients(game, n_samples)
    n = game.parts.n
    steps = _steps(n, n_samples)
    total = np.zeros(n)
    for i in range(steps):
        middle = np.full((n, n), (i + 0.5) / steps)
        half = np.eye(n) / (2 * steps)
        total += game.blended(middle + half) - game.blended(middle - half)
    return Found(total, notes=(f"differences over {steps} steps",))


def _with_gradients(game: Game, n_samples: int) -> Found:
    """Three times as many midpoints hold those that are there already."""
    whole = game.prediction - game.base
    at = (np.arange(_FIRST_STEPS) + 0.5) / _FIRST_STEPS
    values = game.gradients(at).mean(axis=0)
    n = _FIRST_STEPS
    while (
        abs(values.sum() - whole) > _CLOSE * abs(whole) + 1e-6
        and 3 * 3 * n * game.parts.n_backgrounds <= n_samples
    ):
        n *= 3
        midpoints = (np.arange(n) + 0.5) / n
        new = game.gradients(np.delete(midpoints, np.s_[1::3]))
        values = (values * (n // 3) + new.sum(axis=0)) / n
    return Found(values, notes=(f"gradients at {n} steps",))
