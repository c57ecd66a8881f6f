"""Page-Hinkley: a running test for a mean that has moved.

Enters: one number after the other. Leaves: whether the sum of what lies above (or
below) the mean so far has grown beyond a threshold. Constant memory.
"""

from __future__ import annotations

import math
from typing import Literal

from trimtab.errors import InputError

__all__ = ["PageHinkley"]

_DIRECTIONS = ("both", "up", "down")


class PageHinkley:
    """Tell when the mean of a stream has moved by more than a tolerance.

    Parameters
    ----------
    tolerance : float, default=0.005
        Change of the mean that does not matter, in the unit of the values.
    threshold : float, default=50.0
        Sum of deviations that is an alarm, in the unit of the values. Larger: fewer
        false alarms, later detection.
    direction : {"both", "up", "down"}, default="both"
        Of the changes that matter.
    forget : float, default=0.9999
        Factor of the sums at each value; 1 forgets nothing.
    min_values : int, default=30
        No alarm before so many.

    Raises
    ------
    InputError
        An argument is out of its range.

    References
    ----------
    Page (1954). Continuous inspection schemes. Biometrika 41, 100-115.

    Hinkley (1971). Inference about the change-point from cumulative sum tests.
    Biometrika 58, 509-523.

    Examples
    --------
    >>> test = PageHinkley(threshold=10)
    >>> any(test.update(x) for x in [0.2, 0.3] * 200)
    False
    >>> any(test.update(x) for x in [0.7, 0.8] * 100)
    True
    """

    def __init__(
        self,
        *,
        tolerance: float = 0.005,
        threshold: float = 50.0,
        direction: Literal["both", "up", "down"] = "both",
        forget: float = 0.9999,
        min_values: int = 30,
    ) -> None:
        if not (tolerance >= 0 and threshold > 0 and 0 < forget <= 1):
            raise InputError(
                "expected tolerance >= 0, threshold > 0 and forget in (0, 1], got "
                f"{tolerance!r}, {threshold!r} and {forget!r}"
            )
        if direction not in _DIRECTIONS or min_values < 1:
            raise InputError(
                f"expected a direction of {_DIRECTIONS} and min_values of 1 or more, "
                f"got {direction!r} and {min_values!r}"
            )
        self.tolerance = float(tolerance)
        self.threshold = float(threshold)
        self.direction = direction
        self.forget = float(forget)
        self.min_values = int(min_values)
        self.n_seen = 0
        self.n_skipped = 0
        self.n_detections = 0
        self.reset()

    def reset(self) -> None:
        """Begin again; an alarm does so by itself."""
        self.n = 0
        self.mean = 0.0
        self._up = self._down = 0.0
        self._least_up = self._most_down = 0.0

    def update(self, x: float) -> bool:
        """Take a value.

        Parameters
        ----------
        x : float
            What is not finite is skipped and counted in `n_skipped`.

        Returns
        -------
        is_drift : bool
        """
        if not math.isfinite(x):
            self.n_skipped += 1
            return False
        self.n_seen += 1
        self.n += 1
        self.mean += (x - self.mean) / self.n
        gap = x - self.mean
        self._up = self.forget * self._up + gap - self.tolerance
        self._down = self.forget * self._down + gap + self.tolerance
        self._least_up = min(self._least_up, self._up)
        self._most_down = max(self._most_down, self._down)
        if self.n < self.min_values:
            return False
        has_risen = self._up - self._least_up > self.threshold
        has_fallen = self._most_down - self._down > self.threshold
        is_drift = (has_risen and self.direction != "down") or (
            has_fallen and self.direction != "up"
        )
        if is_drift:
            self.n_detections += 1
            self.reset()
        return is_drift
