"""A clock, a monitor and a deployment that do what a test tells them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

# A Tuesday, noon in most of the world.
NOON = 1_796_040_000.0


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = NOON

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


class Deployment:
    """Serves a version of a name, and counts what it is told it counted."""

    name = "digits"

    def __init__(self, registry: Any = None) -> None:
        self.version: int | None = 1
        self.registry = registry
        self.n_requests = self.n_errors = 0

    @property
    def stats(self) -> dict[str, int]:
        return {"n_requests": self.n_requests, "n_errors": self.n_errors}


class Monitor:
    """Its state, drift and metrics are what was set."""

    def __init__(self) -> None:
        self.state = "ok"
        self.drifted: tuple[str, ...] = ()
        self.metrics: dict[str, Any] = {}
        self.estimates: dict[str, Any] = {}

    def check(self) -> Any:
        window = SimpleNamespace(drifted=self.drifted, estimates=self.estimates)
        return SimpleNamespace(state=self.state, window=window, metrics=self.metrics)

    def live(self, value: float, n: int = 600, width: float = 0.02) -> None:
        one = {"value": value, "low": value - width, "high": value + width, "n": n}
        self.metrics = {"accuracy": one}
