"""Is the candidate slower than it may be? A test of a quantile, valid at every look."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.stats.e_process import TwoProportionTest

__all__ = ["QuantileTest"]

_N_RECENT = 256
_N_FIRST = 32
_EVERY = 32


class QuantileTest:
    """Are the candidate's times at most `factor` times the champion's?

    The line is `factor` times a quantile of the champion's latest times. A candidate
    that is just allowed passes it as often as the champion passes the quantile itself,
    whatever that share is at the moment, so that what slows the whole machine down
    slows both. It is rejected only where the candidate passes it more often in two
    windows that are no neighbours: one pause is no regression.

    Parameters
    ----------
    factor : float
        Above 0.
    quantile : float
        Of the champion's times, inside of (0, 1).
    window : int
        Times of the candidate.
    alpha : float

    Raises
    ------
    InputError
        An argument is outside of its range.

    Examples
    --------
    >>> latency = QuantileTest(factor=1.5)
    >>> for _ in range(200):
    ...     latency.update(0.010, is_candidate=False)
    ...     latency.update(0.030, is_candidate=True)
    >>> latency.is_rejected
    True
    """

    def __init__(
        self,
        *,
        factor: float = 1.5,
        quantile: float = 0.9,
        window: int = 25,
        alpha: float = 0.05,
    ) -> None:
        if not (0 < factor < math.inf and 0 < quantile < 1 and window > 0):
            raise InputError(
                "expected factor > 0, 0 < quantile < 1 and window > 0, got "
                f"{factor!r}, {quantile!r} and {window!r}"
            )
        self.factor = factor
        self.quantile = quantile
        self.window = window
        self._test = TwoProportionTest(alpha=alpha)
        self._recent: deque[float] = deque(maxlen=_N_RECENT)
        self._candidates: deque[float] = deque(maxlen=_N_RECENT)
        self._line = math.inf  # of the champion's times
        self._n_champion = 0
        self._now = {False: [0, 0], True: [0, 0]}  # hits, times of this window
        self._n_windows = 0
        self._first_worse = self._last_worse = 0
        #: Windows in which the candidate passed the line more often.
        self.n_worse_windows = 0

    def update(self, seconds: float, *, is_candidate: bool) -> None:
        """Take the time of a request.

        Parameters
        ----------
        seconds : float
        is_candidate : bool
        """
        line = self._line * self.factor if is_candidate else self._line
        if math.isfinite(self._line):
            hit = not seconds <= line  # NaN is slow
            self._test.update(is_candidate=is_candidate, hit=hit)
            self._count(is_candidate, hit)
        if is_candidate:
            self._candidates.append(seconds)
            return
        # after the look: a line knows nothing of what it is compared with
        self._recent.append(seconds)
        self._n_champion += 1
        if self._n_champion >= _N_FIRST and self._n_champion % _EVERY == 0:
            self._line = float(np.quantile(self._recent, self.quantile))

    def _count(self, is_candidate: bool, hit: bool) -> None:
        self._now[is_candidate][0] += hit
        self._now[is_candidate][1] += 1
        hits, n = self._now[True]
        if n == self.window:
            other_hits, others = self._now[False]
            self._n_windows += 1
            if hits * max(others, 1) > other_hits * n:
                self.n_worse_windows += 1
                self._first_worse = self._first_worse or self._n_windows
                self._last_worse = self._n_windows
            self._now = {False: [0, 0], True: [0, 0]}

    @property
    def n(self) -> int:
        """Times that were compared."""
        return self._test.n

    @property
    def p_value(self) -> float:
        """Valid at every look."""
        return self._test.p_value

    @property
    def is_rejected(self) -> bool:
        """Is the candidate slower than it may be, and not only for a moment?"""
        apart = self._last_worse - self._first_worse
        return self._test.is_rejected and apart > 1

    def to_dict(self) -> dict[str, Any]:
        """What it says, as plain values.

        Returns
        -------
        plain : dict
            As `TwoProportionTest.to_dict`, with the latest quantiles of both in
            seconds and the windows in which the candidate was slower.
        """
        quantiles = [
            float(np.quantile(times, self.quantile)) if times else None
            for times in (self._recent, self._candidates)
        ]
        return {
            **self._test.to_dict(),
            "is_rejected": self.is_rejected,
            "factor": self.factor,
            "quantile": self.quantile,
            "champion_s": quantiles[0],
            "candidate_s": quantiles[1],
            "n_worse_windows": self.n_worse_windows,
        }
