"""Where the monitor's records go: files, dashboards, collectors, alerts.

Enters: plain dicts, and a function that reads the counters. Leaves: whatever the sink
writes. A sink is one line in `SINKS`; its module is imported when it is named, the
package it needs when it writes. A sink that fails is counted, warned of once and tried
again; it never fails a prediction (`Fanout`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from trimtab.errors import InputError
from trimtab.monitor.sinks.channel import SinkStats
from trimtab.monitor.sinks.fanout import Fanout
from trimtab.monitor.sinks.sink import KINDS, Sink, plain_record, to_json

__all__ = [
    "KINDS",
    "SINKS",
    "Fanout",
    "FunctionSink",
    "Sink",
    "SinkStats",
    "open_sink",
    "plain_record",
    "to_json",
]

#: Name -> module below this one, class, and how it is named in a text.
SINKS: dict[str, tuple[str, str, str]] = {
    "jsonl": ("jsonl", "JsonLines", "jsonl:events.jsonl"),
    "otel": ("otel", "OpenTelemetry", "otel"),
    "prometheus": ("prometheus", "Prometheus", "prometheus::9464"),
    "tensorboard": ("tensorboard", "TensorBoard", "tensorboard:runs"),
    "webhook": ("webhook", "Webhook", "webhook:https://example.org/hook"),
}


class FunctionSink:
    """A function as a sink.

    Parameters
    ----------
    function : callable
        Takes a record.
    """

    def __init__(self, function: Callable[[Mapping[str, Any]], Any]) -> None:
        self.function = function

    def write(self, record: Mapping[str, Any]) -> None:
        """Call the function.

        Parameters
        ----------
        record : mapping
        """
        self.function(record)

    def close(self) -> None:
        """Do nothing: the function is its owner's."""


def open_sink(spec: Any) -> Any:
    """Make a sink of a text, or see that an object is one.

    Parameters
    ----------
    spec : str, callable or Sink
        ``jsonl:path``, ``tensorboard:folder``, ``prometheus:host:port`` (no host: this
        machine only), ``otel`` or ``webhook:url``; a function of one record; or an
        object with ``write`` and ``close``, which is given back as it is.

    Returns
    -------
    sink : Sink
        It opens files and connections when the first record comes; a port at once.

    Raises
    ------
    InputError
        The text names no sink, or the object is none.
    ImportError
        A package is missing; the message says which.

    Examples
    --------
    >>> sink = open_sink("jsonl:events.jsonl")
    >>> sink.write({"time": 0.0, "kind": "event", "what": "loaded"})
    >>> sink.close()
    """
    if not isinstance(spec, str):
        if all(callable(getattr(spec, name, None)) for name in ("write", "close")):
            return spec
        if callable(spec):
            return FunctionSink(spec)
        raise InputError(
            f"sink: expected a text such as {_examples()}, a function, or an object "
            f"with write(record) and close(), got {type(spec).__name__}"
        )
    name, _, rest = spec.partition(":")
    if name not in SINKS:
        raise InputError(f"sink: expected one of {_examples()}, got {spec!r}")
    module, class_name, _ = SINKS[name]
    sink_class = getattr(importlib.import_module(f"{__name__}.{module}"), class_name)
    return sink_class.from_text(rest)


def _examples() -> str:
    return ", ".join(example for _, _, example in SINKS.values())
