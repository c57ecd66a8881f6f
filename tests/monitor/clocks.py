"""A clock that tests move."""

from __future__ import annotations


class FakeClock:
    """Starts at 100 s, and at a day of 2033 by the wall."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.wall_s = 2e9

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.wall_s

    def pass_(self, seconds: float) -> None:
        self.now_s += seconds
        self.wall_s += seconds
