"""Metrics as collectors know them: families of samples with labels.

What `families` and `Latest` give and what Prometheus and OpenTelemetry write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

__all__ = ["PREFIX", "Buckets", "Family", "Sample", "labels", "merge"]

#: Before every name of ours.
PREFIX = "trimtab_"

Kind = Literal["counter", "gauge", "histogram", "info", "unsuffixed"]

_MAX_LABEL = 128
_MAX_SAMPLES = 1000


@dataclass(frozen=True)
class Buckets:
    """Counts below bounds.

    Parameters
    ----------
    bounds : tuple of float
        Upper ones, ascending.
    counts : tuple of int
        Of each bucket by itself; one more than bounds.
    total : float
        Of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @classmethod
    def from_cells(
        cls, ends: Any, counts: Any, total: float, bounds: tuple[float, ...]
    ) -> Buckets:
        """Gather finer cells.

        Parameters
        ----------
        ends : array_like
            Upper ends of the cells, the last may be infinite.
        counts : array_like of int
        total : float
            The sum of all values.
        bounds : tuple of float

        Returns
        -------
        buckets : Buckets
            A cell that a bound divides counts above it.
        """
        # A cell that ends at a bound may miss it by the rounding of its end.
        ends = np.asarray(ends, np.float64) * (1 - 1e-9)
        held = np.zeros(len(bounds) + 1, np.int64)
        np.add.at(held, np.searchsorted(bounds, ends), np.asarray(counts, np.int64))
        return cls(bounds, tuple(held.tolist()), total)


@dataclass(frozen=True)
class Sample:
    """One value of a family.

    Parameters
    ----------
    labels : tuple of (str, str)
    value : float or Buckets
    """

    labels: tuple[tuple[str, str], ...]
    value: float | Buckets


@dataclass(frozen=True)
class Family:
    """Samples of one name.

    Parameters
    ----------
    name : str
        With prefix and unit, without ``_total`` and ``_info``.
    kind : {"counter", "gauge", "histogram", "info", "unsuffixed"}
        The last: a counter whose name has no ``_total``, as others' have.
    help : str
    samples : tuple of Sample
    unit : str
        Base unit, which ends the name.
    """

    name: str
    kind: Kind
    help: str
    samples: tuple[Sample, ...]
    unit: str = ""


def labels(base: Mapping[str, Any], **more: Any) -> tuple[tuple[str, str], ...]:
    """Give labels as pairs of text; empty ones are left out.

    Parameters
    ----------
    base : mapping
    **more : object

    Returns
    -------
    labels : tuple of (str, str)
        Values of 128 characters at most, without control characters.

    Examples
    --------
    >>> labels({"model": "net", "version": ""}, stage="compute")
    (('model', 'net'), ('stage', 'compute'))
    """
    pairs = {**base, **more}.items()
    return tuple((key, _value(value)) for key, value in pairs if _value(value))


def _value(value: Any) -> str:
    text = str(value)[:_MAX_LABEL].encode("utf-8", "replace").decode()
    return "".join(c if c >= " " or c == "\n" else " " for c in text)


def merge(families: Iterable[Family]) -> list[Family]:
    """Put together what has one name; of samples with equal labels the last counts.

    Parameters
    ----------
    families : iterable of Family

    Returns
    -------
    families : list of Family
        By name, without empty ones, with 1,000 samples each at most.

    Examples
    --------
    >>> family = Family("trimtab_up", "gauge", "Up?", (Sample((), 1.0),))
    >>> merge([family, family]) == [family]
    True
    """
    found: dict[str, Family] = {}
    samples: dict[str, dict[tuple[tuple[str, str], ...], Sample]] = {}
    for family in families:
        found.setdefault(family.name, family)
        held = samples.setdefault(family.name, {})
        for sample in family.samples:
            if sample.labels in held or len(held) < _MAX_SAMPLES:
                held[sample.labels] = sample
    return [
        Family(name, one.kind, one.help, tuple(samples[name].values()), one.unit)
        for name, one in sorted(found.items())
        if samples[name]
    ]
