"""The sink of OpenTelemetry: observable instruments, read by the exporter.

Nothing is recorded per request: instruments are callbacks that read the counters when
the exporter of the application's own SDK asks. Without an SDK this does nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from trimtab.errors import InputError
from trimtab.monitor.sinks.families import families
from trimtab.monitor.sinks.family import PREFIX, Buckets, Family, merge
from trimtab.monitor.sinks.latest import Latest
from trimtab.monitor.sinks.sink import plain_record

__all__ = ["OpenTelemetry"]

# One reading serves the instruments of one export.
_READING_S = 0.5

_UNITS = {"seconds": "s", "bytes": "By"}

# Base names of labels -> attributes.
_ATTRIBUTES = {
    "model": "ml.model.name",
    "version": "ml.model.version",
    "digest": "ml.model.digest",
    "code": "error.type",
}


class OpenTelemetry:
    """Give counters and the latest figures to OpenTelemetry.

    Parameters
    ----------
    meter_provider : opentelemetry.metrics.MeterProvider, optional
        None takes the global one.

    Raises
    ------
    ImportError
        The package opentelemetry-api is missing.

    Notes
    -----
    Names are those of Prometheus with dots and without units:
    ``trimtab.inference.requests``. Histograms come as two counters, ``.count`` and
    ``.sum``, since OpenTelemetry has no observable histogram.
    """

    def __init__(self, meter_provider: Any = None) -> None:
        try:
            from opentelemetry import metrics
        except ImportError as error:
            raise ImportError(
                "the sink otel needs opentelemetry-api: pip install 'trimtab[otel]'"
            ) from error
        self._observation = metrics.Observation
        self._meter = metrics.get_meter("trimtab", meter_provider=meter_provider)
        self._latest = Latest()
        self._sources: list[Callable[[], Mapping[str, Any]]] = []
        self._lock = threading.RLock()
        self._known: set[str] = set()
        self._read: dict[str, Family] = {}
        self._read_at = float("-inf")
        #: Sources whose counters could not be read.
        self.n_failures = 0

    @classmethod
    def from_text(cls, text: str) -> OpenTelemetry:
        """Make the sink of "otel".

        Parameters
        ----------
        text : str
            Nothing.

        Returns
        -------
        sink : OpenTelemetry

        Raises
        ------
        InputError
            Something.
        """
        if text:
            raise InputError(f"otel: expected nothing behind 'otel', got {text!r}")
        return cls()

    def attach(self, snapshot: Callable[[], Mapping[str, Any]]) -> None:
        """Read these counters too when asked.

        Parameters
        ----------
        snapshot : callable
        """
        with self._lock:
            self._sources.append(snapshot)
        self._refresh()
        self._instrument_new()

    def write(self, record: Mapping[str, Any]) -> None:
        """Keep what the record says until the next one.

        Parameters
        ----------
        record : mapping
        """
        self._latest.write(plain_record(record))
        self._refresh()
        self._instrument_new()

    def close(self) -> None:
        """Observe nothing any more."""
        with self._lock:
            self._sources.clear()
            self._latest.forget()
            self._read_at = float("-inf")

    def forget(self) -> None:
        """In a forked child: records are the parent's."""
        self._lock = threading.RLock()
        self._latest.forget()

    def _refresh(self) -> None:
        """Read everything."""
        with self._lock:
            found = self._latest.families()
            for source in self._sources:
                try:
                    found += families(source())
                except Exception:
                    self.n_failures += 1
            self._read = {family.name: family for family in merge(found)}
            self._read_at = time.monotonic()

    def _instrument_new(self) -> None:
        """Make instruments of names that are new; not while an exporter reads."""
        with self._lock:
            new = [self._read[name] for name in self._read if name not in self._known]
            self._known.update(family.name for family in new)
        for family in new:
            self._instrument(family)

    def _instrument(self, family: Family) -> None:
        name = family.name.replace(PREFIX, "trimtab.", 1)
        unit = _UNITS.get(family.unit, "1")
        for ending in (".count", ".sum") if family.kind == "histogram" else ("",):
            is_count = family.kind == "counter" or bool(ending)
            make = (
                self._meter.create_observable_counter
                if is_count
                else self._meter.create_observable_gauge
            )
            make(
                _dotted(name, family.unit) + ending,
                callbacks=[self._callback(family.name, ending)],
                unit="1" if ending == ".count" else unit,
                description=family.help,
            )

    def _callback(self, name: str, ending: str) -> Callable[[Any], Iterable[Any]]:
        def observe(options: Any) -> Iterator[Any]:
            if time.monotonic() - self._read_at > _READING_S:
                self._refresh()
            family = self._read.get(name)
            for sample in family.samples if family is not None else ():
                value = sample.value
                if isinstance(value, Buckets):
                    value = value.total if ending == ".sum" else sum(value.counts)
                named = {
                    _ATTRIBUTES.get(key, f"ml.{key}"): text
                    for key, text in sample.labels
                    if (key, text) != ("code", "OK")  # what ended well has no error
                }
                yield self._observation(value, named)

        return observe


def _dotted(name: str, unit: str) -> str:
    """``trimtab.inference_requests`` with a dot behind its subject, no unit."""
    subject, _, rest = name.removesuffix(f"_{unit}").partition("_")
    return f"{subject}.{rest}" if rest else subject
