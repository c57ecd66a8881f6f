"""Anytime-valid tests: look after every request, stop when you like, err no more often.

An e-process is the wealth of somebody who bets against a hypothesis at fair odds:
while the hypothesis holds, no way of betting gains in the mean, and by Ville's
inequality the wealth ever reaches 1 / alpha with probability alpha at most. So the
hypothesis is rejected at the first look that finds it there, however many looks there
are. Nobody knows the best bet beforehand: the wealth is spread over many of them, and
their mean is an e-process again.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.stats.intervals import check_alpha

__all__ = ["BoundedMeanTest", "EProcess", "PairedTest", "TwoProportionTest"]

Floats = npt.NDArray[np.float64]

# Shares of the wealth that is laid on one observation. The prior is flat but for its
# ends: small regressions ask for small bets, and all of it is lost with the last one.
_SHARES: Floats = np.concatenate(
    [[1 / 512, 1 / 128, 1 / 64, 1 / 32], np.arange(1, 20) / 20, [0.98]]
)
_SHARES.flags.writeable = False

# Ratios of odds, candidate to champion, that the test of two proportions lays on.
_ODDS_RATIOS: Floats = np.exp2(np.array([0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0]))
_ODDS_RATIOS.flags.writeable = False
_MOST_IN_BLOCK = 32
_MOST_WAITING = 1024
_PRIOR_HITS, _PRIOR_MISSES = 0.18, 1.82  # a share of 9 %, worth two observations


class EProcess:
    """Wealth that is spread over bets; subclasses say how an observation changes it.

    Parameters
    ----------
    n_bets : int
    alpha : float
        Probability to reject what holds, at most, over all looks.

    Raises
    ------
    InputError
        `alpha` is no probability.

    References
    ----------
    Ville (1939). Etude critique de la notion de collectif. Gauthier-Villars.

    Ramdas, Gruenwald, Vovk, Shafer (2023). Game-theoretic statistics and safe
    anytime-valid inference. Statistical Science 38, 576-601.

    Examples
    --------
    >>> EProcess(3, 0.05).value
    1.0
    """

    def __init__(self, n_bets: int, alpha: float) -> None:
        check_alpha(alpha)
        self.alpha = alpha
        #: Observations so far.
        self.n = 0
        self._log_wealth: Floats = np.zeros(n_bets)
        self._peak = 0.0  # of the logarithm of the mean

    @property
    def log_value(self) -> float:
        """Logarithm of the wealth, where one was there at the beginning."""
        most = float(self._log_wealth.max())
        mean = float(np.exp(self._log_wealth - most).mean())
        return most + math.log(mean)

    @property
    def value(self) -> float:
        """The wealth; infinite beyond what a float holds."""
        return math.exp(min(self.log_value, 709.0))

    @property
    def p_value(self) -> float:
        """Valid at every look, and never grows: one over the largest wealth so far."""
        return math.exp(-self._peak)

    @property
    def is_rejected(self) -> bool:
        """Has the wealth ever been 1 / alpha?"""
        return self._peak >= -math.log(self.alpha)

    def _multiply(self, log_factors: Floats, n: int) -> None:
        self._log_wealth = self._log_wealth + log_factors
        self.n += n
        self._peak = max(self._peak, self.log_value)

    def to_dict(self) -> dict[str, Any]:
        """What it says, as plain values.

        Returns
        -------
        plain : dict
            ``n``, ``log_e_value``, ``p_value``, ``alpha``, ``is_rejected``.
        """
        return {
            "n": self.n,
            "log_e_value": self.log_value,
            "p_value": self.p_value,
            "alpha": self.alpha,
            "is_rejected": self.is_rejected,
        }


class BoundedMeanTest(EProcess):
    """Is the mean of bounded values at most `null`? Rejected where it is above.

    A bet of the share f of the wealth multiplies it by ``1 + f (x - null) / (null -
    low)``: never negative, and 1 in the mean where the mean of x is `null`.

    Parameters
    ----------
    null : float
        Inside of (low, high).
    low, high : float
        Bounds of the values.
    alpha : float

    Raises
    ------
    InputError
        `null` is not inside of the bounds.

    References
    ----------
    Waudby-Smith, Ramdas (2024). Estimating means of bounded random variables by
    betting. Journal of the Royal Statistical Society B 86, 1-27.

    Examples
    --------
    >>> failures = BoundedMeanTest(0.01)
    >>> for failed in (0, 1, 0, 1):
    ...     failures.update(failed)
    >>> failures.is_rejected
    True
    """

    def __init__(
        self,
        null: float,
        *,
        low: float = 0.0,
        high: float = 1.0,
        alpha: float = 0.05,
    ) -> None:
        if not low < null < high:
            raise InputError(
                f"null: expected a value inside of ({low:g}, {high:g}), got {null!r}"
            )
        super().__init__(len(_SHARES), alpha)
        self.null = null
        self.low = low
        self.high = high
        bets = _SHARES / (null - low)
        self._bets = bets
        # of the values that come most often
        self._known = {x: np.log1p(bets * (x - null)) for x in (low, high)}

    def update(self, value: float, n: int = 1) -> None:
        """Take an observation.

        Parameters
        ----------
        value : float
            Inside of [low, high].
        n : int, default=1
            So many of it.

        Raises
        ------
        InputError
            The value is outside of the bounds.
        """
        if not self.low <= value <= self.high:
            raise InputError(
                f"value: expected {self.low:g} to {self.high:g}, got {value!r}"
            )
        if n <= 0:
            return
        log_factors = self._known.get(value)
        if log_factors is None:
            log_factors = np.log1p(self._bets * (value - self.null))
        self._multiply(n * log_factors, n)


class PairedTest(BoundedMeanTest):
    """Is a candidate worse than the champion by `margin` at most, on the same requests?

    Of each labelled request it takes what the candidate loses less what the champion
    loses: 1 where only the candidate errs, -1 where only the champion does, 0 where
    they do alike. With a margin of 0 the latter change nothing: it is a sequential sign
    test of the discordant pairs.

    Parameters
    ----------
    margin : float
        Inside of (-1, 1); in shares of requests.
    alpha : float

    Raises
    ------
    InputError
        The margin is none.

    References
    ----------
    Shafer (2021). Testing by betting: a strategy for statistical and scientific
    communication. Journal of the Royal Statistical Society A 184, 407-431.

    Examples
    --------
    >>> quality = PairedTest()
    >>> for _ in range(12):
    ...     quality.update(1.0)
    >>> quality.is_rejected, round(quality.difference, 3)
    (True, 1.0)
    """

    def __init__(self, margin: float = 0.0, *, alpha: float = 0.05) -> None:
        super().__init__(margin, low=-1.0, high=1.0, alpha=alpha)
        self.n_worse = 0
        self.n_better = 0
        self._sum = 0.0

    def update(self, value: float, n: int = 1) -> None:
        """Take what the candidate loses less what the champion loses.

        Parameters
        ----------
        value : float
            -1 to 1.
        n : int, default=1

        Raises
        ------
        InputError
            It is outside of the bounds.
        """
        super().update(value, n)
        self.n_worse += n * (value > 0)
        self.n_better += n * (value < 0)
        self._sum += n * value

    @property
    def difference(self) -> float:
        """Mean of what was taken; NaN before there is anything."""
        return self._sum / self.n if self.n else math.nan

    def to_dict(self) -> dict[str, Any]:
        """What it says, as plain values; see `EProcess.to_dict`."""
        return {
            **super().to_dict(),
            "margin": self.null,
            "n_worse": self.n_worse,
            "n_better": self.n_better,
            "difference": self.difference if self.n else None,
        }


class TwoProportionTest(EProcess):
    """Is the candidate's share of hits at most the champion's, whatever that one is?

    Every candidate's observation makes a block with the champion's that came since the
    last one. The wealth is multiplied by how likely the block is under shares with some
    ratio of odds, over how likely it is under their mean; the champion's share is
    estimated from earlier blocks. Nothing is assumed of how many come to which arm, and
    what changes slowly changes both sides of a block.

    Parameters
    ----------
    alpha : float

    Raises
    ------
    InputError
        `alpha` is no probability.

    References
    ----------
    Turner, Ly, Gruenwald (2024). Generic E-variables for exact sequential k-sample
    tests that allow for optional stopping. Journal of Statistical Planning and
    Inference 230, 106116.

    Examples
    --------
    >>> errors = TwoProportionTest()
    >>> for _ in range(15):
    ...     errors.update(is_candidate=False, hit=False)
    ...     errors.update(is_candidate=True, hit=True)
    >>> errors.is_rejected
    True
    """

    def __init__(self, *, alpha: float = 0.05) -> None:
        super().__init__(len(_ODDS_RATIOS), alpha)
        self._waiting: dict[bool, deque[bool]] = {
            arm: deque(maxlen=_MOST_WAITING) for arm in (False, True)
        }
        self._hits, self._misses = _PRIOR_HITS, _PRIOR_MISSES
        #: Hits and observations of the champion and of the candidate, used or waiting.
        self.counts = {False: [0, 0], True: [0, 0]}

    def update(self, *, is_candidate: bool, hit: bool) -> None:
        """Take an observation of an arm.

        Parameters
        ----------
        is_candidate : bool
        hit : bool
            Did happen what should not?
        """
        arm = bool(is_candidate)
        self.counts[arm][0] += bool(hit)
        self.counts[arm][1] += 1
        self._waiting[arm].append(bool(hit))
        if self._waiting[False] and self._waiting[True]:
            self._close_block()

    def _close_block(self) -> None:
        """One of the candidate's with the latest of the champion's that wait."""
        own, others = self._waiting[True].popleft(), self._waiting[False]
        n = min(len(others), _MOST_IN_BLOCK)
        hits = sum(others.pop() for _ in range(n))
        others.clear()
        base = self._hits / (self._hits + self._misses)
        odds = base / (1 - base) * _ODDS_RATIOS
        share = odds / (1 + odds)
        mean = (share + n * base) / (1 + n)
        hit, miss = np.log(share / mean), np.log((1 - share) / (1 - mean))
        log_factors = (hit if own else miss) + (
            hits * np.log(base / mean) + (n - hits) * np.log((1 - base) / (1 - mean))
        )
        self._multiply(log_factors, n + 1)
        self._hits += hits
        self._misses += n - hits

    @property
    def shares(self) -> tuple[float, float]:
        """Of hits, the champion's and the candidate's; NaN before there is any."""
        pairs = (self.counts[False], self.counts[True])
        champion, candidate = (h / n if n else math.nan for h, n in pairs)
        return champion, candidate

    def to_dict(self) -> dict[str, Any]:
        """What it says, as plain values; see `EProcess.to_dict`."""
        return {
            **super().to_dict(),
            "champion": list(self.counts[False]),
            "candidate": list(self.counts[True]),
        }
