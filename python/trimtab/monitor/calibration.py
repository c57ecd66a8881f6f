"""Scores made into probabilities that hold on the reference, with how unsure they are.

Enters: scores and labels of the reference. Leaves: for any scores the calibrated
probabilities; draw 0 is the best guess, the other draws are as it might have been with
another reference of the same size.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.stats.special import Floats

__all__ = ["ClassCalibration", "IsotonicCalibration", "Located", "TemperatureScaling"]

# Groups of scores that rates are taken of: 3 n^(1/3) of n rows.
_MAX_GROUPS = 256
_TINY = 1e-12


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            "calibration needs scikit-learn: pip install 'trimtab[evaluate]'"
        ) from error


class Located(Protocol):
    """Scores, ready to be calibrated."""

    def draw(self, index: int) -> Floats:
        """Give the probabilities of one draw.

        Parameters
        ----------
        index : int
            0 is the best guess.

        Returns
        -------
        probabilities : ndarray
        """


class IsotonicCalibration:
    """How often something is true at a score: a rate that never falls as scores rise.

    Parameters
    ----------
    scores : ndarray of shape (n,)
    events : ndarray of bool of shape (n,)
        Is it true?
    n_draws : int
        Besides the best guess.
    random : Generator

    Notes
    -----
    Scores are put into groups of equal size. Of each draw the rate of a group has the
    posterior of its counts, with one pseudo-count for all groups together; then the
    isotonic regression of scikit-learn is taken.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> scores = random.random(4000)
    >>> events = random.random(4000) < scores**2
    >>> fitted = IsotonicCalibration(scores, events, n_draws=10, random=random)
    >>> bool(abs(fitted.at(np.array([0.5])).draw(0)[0] - 0.25) < 0.05)
    True
    """

    def __init__(
        self,
        scores: Floats,
        events: npt.NDArray[np.bool_],
        *,
        n_draws: int,
        random: np.random.Generator,
    ) -> None:
        isotonic = _package("sklearn.isotonic").isotonic_regression
        n = len(scores)
        n_groups = int(np.clip(3 * np.cbrt(n), 2, _MAX_GROUPS))
        edges = np.unique(np.quantile(scores, np.linspace(0, 1, n_groups + 1)[1:-1]))
        group = np.searchsorted(edges, scores)
        counts = np.bincount(group, minlength=len(edges) + 1).astype(np.float64)
        is_there = counts > 0
        sums = np.bincount(group, scores, minlength=len(counts))[is_there]
        hits = np.bincount(group, events, minlength=len(counts))[is_there]
        counts = counts[is_there]
        before = 0.5 * counts / n
        rates = [(hits + before) / (counts + 2 * before)]
        shapes = (hits + before, counts - hits + before)
        rates += list(random.beta(*shapes, size=(n_draws, len(counts))))
        self._knots: Floats = sums / counts
        options = {"sample_weight": counts, "y_min": 0.0, "y_max": 1.0}
        fitted = np.stack([isotonic(rate, **options) for rate in rates])
        # Noise makes an isotonic fit steeper than the truth. The draws have it twice,
        # and so tell how much: taken back once of the guess, and twice of the draws.
        excess = fitted[1:].mean(axis=0) - fitted[0]
        fitted[0] -= excess
        fitted[1:] -= 2 * excess
        self._rates: Floats = np.clip(fitted, 0.0, 1.0)

    def at(self, scores: Floats) -> _Interpolated:
        """Find scores between the groups.

        Parameters
        ----------
        scores : ndarray of shape (n,)

        Returns
        -------
        located : Located
            Beyond the groups the last rate holds.
        """
        return _Interpolated(self._knots, self._rates, scores)


class _Interpolated:
    """Scores and their places between knots."""

    def __init__(self, knots: Floats, rates: Floats, scores: Floats) -> None:
        self._rates = rates
        last = len(knots) - 1
        right = np.searchsorted(knots, scores)
        self._left = np.clip(right - 1, 0, last)
        self._right = np.clip(right, 0, last)
        gap = knots[self._right] - knots[self._left]
        inside = gap > 0
        share = np.zeros(len(scores))
        share[inside] = (scores - knots[self._left])[inside] / gap[inside]
        self._share = share

    def draw(self, index: int) -> Floats:
        """Give the probabilities of one draw."""
        rates = self._rates[index]
        low, high = rates[self._left], rates[self._right]
        found: Floats = low + (high - low) * self._share
        return found


class ClassCalibration:
    """Each class against the others, made to sum to 1.

    Parameters
    ----------
    scores : ndarray of shape (n, k)
    y_true : ndarray of int of shape (n,)
    n_draws : int
    random : Generator

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> scores = random.dirichlet([1, 1, 1], 500)
    >>> fitted = ClassCalibration(
    ...     scores, scores.argmax(axis=1), n_draws=3, random=random
    ... )
    >>> fitted.at(scores).draw(0).shape
    (500, 3)
    """

    def __init__(
        self,
        scores: Floats,
        y_true: npt.NDArray[np.intp],
        *,
        n_draws: int,
        random: np.random.Generator,
    ) -> None:
        self._classes = [
            IsotonicCalibration(column, y_true == c, n_draws=n_draws, random=random)
            for c, column in enumerate(scores.T)
        ]

    def at(self, scores: Floats) -> _Normalised:
        """Find scores between the groups of each class.

        Parameters
        ----------
        scores : ndarray of shape (n, k)

        Returns
        -------
        located : Located
        """
        pairs = zip(self._classes, scores.T, strict=True)
        return _Normalised([one.at(column) for one, column in pairs])


class _Normalised:
    def __init__(self, classes: Sequence[_Interpolated]) -> None:
        self._classes = classes

    def draw(self, index: int) -> Floats:
        """Give the probabilities of one draw."""
        rates: Floats = np.stack([one.draw(index) for one in self._classes], axis=1)
        rates = np.maximum(rates, _TINY)
        rates /= rates.sum(axis=1, keepdims=True)
        return rates


class TemperatureScaling:
    """All logits divided by one number, that which makes the labels most likely.

    Parameters
    ----------
    scores : ndarray of shape (n, k)
        Probabilities.
    y_true : ndarray of int of shape (n,)
    n_draws : int
    random : Generator

    References
    ----------
    Guo et al. (2017). On calibration of modern neural networks. ICML.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> truth = random.dirichlet([0.5] * 3, 5000)
    >>> y = (truth.cumsum(axis=1) < random.random((5000, 1))).sum(axis=1)
    >>> sharp = truth**2 / (truth**2).sum(axis=1, keepdims=True)
    >>> fitted = TemperatureScaling(sharp, y, n_draws=3, random=random)
    >>> abs(fitted.temperature - 2) < 0.15
    True
    """

    def __init__(
        self,
        scores: Floats,
        y_true: npt.NDArray[np.intp],
        *,
        n_draws: int,
        random: np.random.Generator,
    ) -> None:
        logits = _logits(scores)
        rows = np.arange(len(logits))

        def loss(power: float) -> float:
            p = _softmax(logits * np.exp(power))
            return -float(np.log(np.maximum(p[rows, y_true], _TINY)).mean())

        found = _package("scipy.optimize").minimize_scalar(
            loss, bounds=(-4.0, 4.0), method="bounded"
        )
        factor = float(np.exp(found.x))
        # The sandwich: it holds where no temperature makes the scores quite right.
        p = _softmax(logits * factor)
        middle = (p * logits).sum(axis=1)
        slopes = middle - logits[rows, y_true]
        curvature = float(((p * logits**2).sum(axis=1) - middle**2).sum())
        if not curvature > 0:
            raise InputError(
                "temperature: the scores of all rows are the same; take another model"
            )
        error = float(np.sqrt((slopes**2).sum())) / curvature / factor
        draws = np.exp(random.normal(0.0, min(error, 1.0), n_draws))
        self._factors = factor * np.concatenate([[1.0], draws])

    @property
    def temperature(self) -> float:
        """What the logits are divided by."""
        return 1 / float(self._factors[0])

    def at(self, scores: Floats) -> _Scaled:
        """Take scores.

        Parameters
        ----------
        scores : ndarray of shape (n, k)

        Returns
        -------
        located : Located
        """
        return _Scaled(self._factors, _logits(scores))


class _Scaled:
    def __init__(self, factors: Floats, logits: Floats) -> None:
        self._factors, self._logits = factors, logits

    def draw(self, index: int) -> Floats:
        """Give the probabilities of one draw."""
        return _softmax(self._logits * self._factors[index])


def _logits(scores: Floats) -> Floats:
    logits: Floats = np.log(np.clip(scores, _TINY, 1.0))
    return logits


def _softmax(logits: Floats) -> Floats:
    parts: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    parts /= parts.sum(axis=1, keepdims=True)
    return parts
