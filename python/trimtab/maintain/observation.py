"""What one look at a deployment sees, as plain values: what triggers decide by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Observation"]


@dataclass(frozen=True)
class Observation:
    """A deployment at one moment.

    Parameters
    ----------
    time : float
        By the wall clock (seconds since 1970).
    state : str
        Of the monitor, see `trimtab.monitor.status.Status`; "no monitor" without one.
    drifted : tuple of str
        Features with material drift, strongest first.
    metrics : dict of str to dict
        Metric -> ``{"value", "low", "high", "n"}`` of labels that came.
    estimates : dict of str to dict
        The same before labels come, without ``n``.
    baseline : dict of str to float
        What the metrics were where the version was proven.
    version : int or None
        That is served.
    since_promotion_s : float or None
        Seconds since this version was put in place; None: it was there from the start.
    n_new : int
        Labelled rows that nothing has learned from.
    since_s : dict of str to float
        Seconds since each rule last acted, by its name; none: never.
    error_rate : float
        Share of requests that failed since the last look, or since a rule last acted
        where another process looked.
    n_requests, n_errors : int
        Requests so far, and those of them that failed.

    Examples
    --------
    >>> Observation(0.0, n_new=120).n_new
    120
    """

    time: float
    state: str = "no monitor"
    drifted: tuple[str, ...] = ()
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    estimates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    baseline: Mapping[str, float] = field(default_factory=dict)
    version: int | None = None
    since_promotion_s: float | None = None
    n_new: int = 0
    since_s: Mapping[str, float] = field(default_factory=dict)
    error_rate: float = 0.0
    n_requests: int = 0
    n_errors: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON.

        Returns
        -------
        values : dict
        """
        from trimtab.monitor.status import plain

        found: dict[str, Any] = plain(dict(self.__dict__))
        return found
