"""The sink of TensorBoard: event files that the real TensorBoard opens.

Enters: records, or figures one by one as of other summary writers. Leaves: a run for
each model, version and start of a process, made of messages of the package tensorboard;
frames are written whole or not at all.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
import struct
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from trimtab import _core
from trimtab.errors import InputError
from trimtab.monitor.sinks import tensorboard_values as values
from trimtab.monitor.sinks.append import AppendFile
from trimtab.monitor.sinks.latest import METHODS
from trimtab.monitor.sinks.sink import plain_record

__all__ = ["TensorBoard"]

_MAX_RUNS = 64
_MAX_VALUES = 20_000  # of one record

# Of event files that this process began.
_numbers = itertools.count()

# What is no figure of a record.
_NOT_FIGURES = frozenset(
    ("time", "kind", "step", "window", "window_time", "images", "pr_curves", "hparams")
)
# What a record has to say in words.
_WORDS = ("name", "what", "message", "reason", "feature", "state")


class _Run:
    """Event files of one run, of which the latest are kept."""

    def __init__(self, folder: str, max_bytes: int, n_files: int) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._n_files = n_files
        self._paths: list[str] = []
        self._file: AppendFile | None = None
        #: Records of each kind, which count as steps where a record names none.
        self.n_records: dict[str, int] = {}

    def add(self, found: list[Any], step: int, seconds: float) -> None:
        """Append one event that holds these values."""
        messages = values.load("compat.proto.summary_pb2")
        events = values.load("compat.proto.event_pb2")
        event = events.Event(
            wall_time=seconds, step=step, summary=messages.Summary(value=found)
        )
        frame = _frame(event.SerializeToString())
        if self._file is not None and self._file.n_bytes + len(frame) > self._max_bytes:
            self.close()
        if self._file is None:
            self._open(events, seconds)
        assert self._file is not None
        self._file.append(frame)

    def _open(self, events: Any, seconds: float) -> None:
        os.makedirs(self.folder, exist_ok=True)
        host, number = socket.gethostname(), next(_numbers)
        name = f"events.out.tfevents.{int(seconds):010d}.{host}.{os.getpid()}.{number}"
        path = os.path.join(self.folder, name)
        file = AppendFile(path)
        first = events.Event(wall_time=seconds, file_version="brain.Event:2")
        try:
            if not file.n_bytes:  # else a process of that name and second was here
                file.append(_frame(first.SerializeToString()))
        except BaseException:
            file.close()
            with contextlib.suppress(OSError):  # no empty file for each attempt
                os.unlink(path)
            raise
        self._file = file
        self._paths.append(path)
        while len(self._paths) > self._n_files:
            with contextlib.suppress(OSError):
                os.unlink(self._paths.pop(0))

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


class TensorBoard:
    """Write event files for TensorBoard.

    Parameters
    ----------
    logdir : path
        Figures added one by one are a run of this folder itself; records of each model
        are runs below: ``model-version/start-process``.
    max_bytes : int
        Of one event file; then another is begun.
    n_files : int
        Event files kept of a run.

    Raises
    ------
    InputError
        No folder, or bounds that are none.
    ImportError
        The package tensorboard is missing.

    Examples
    --------
    >>> board = TensorBoard("runs")
    >>> board.add_scalar("loss", 0.5, step=1)
    >>> board.close()
    """

    def __init__(
        self,
        logdir: str | os.PathLike[str],
        *,
        max_bytes: int = 256 << 20,
        n_files: int = 4,
    ) -> None:
        if not str(logdir) or max_bytes < 1 or n_files < 1:
            raise InputError(
                "tensorboard: expected a folder and positive max_bytes and n_files, "
                f"got {str(logdir)!r}, {max_bytes}, {n_files}"
            )
        values.load("compat.proto.event_pb2")
        self.logdir = os.path.abspath(logdir)
        self._bounds = (max_bytes, n_files)
        self.forget()

    @classmethod
    def from_text(cls, text: str) -> TensorBoard:
        """Make the sink of "tensorboard:folder".

        Parameters
        ----------
        text : str
            The folder.

        Returns
        -------
        sink : TensorBoard
        """
        return cls(text)

    # ---- records ---------------------------------------------------------------------

    def write(self, record: Mapping[str, Any]) -> None:
        """Write a record's figures as one event.

        Parameters
        ----------
        record : mapping
            Numbers become scalars; what has counts with edges or categories becomes a
            histogram; "images", "pr_curves" and "hparams" are what they say; alerts
            and events are texts too. The step is "step", or "window", or the number
            of the record.
        """
        plain = plain_record(record)
        run = self._run_of(plain)
        kind = plain["kind"]
        step = plain.get("step", plain.get("window"))
        counted = run.n_records.get(kind, 0)
        if not isinstance(step, int) or isinstance(step, bool):
            step = counted
        found = list(itertools.islice(_values_of(plain), _MAX_VALUES))
        if found:
            run.add(found, _in_64_bits(step), plain["time"])
        run.n_records[kind] = counted + 1

    def _run_of(self, record: Mapping[str, Any]) -> _Run:
        names = [_safe(record.get(key, "")) for key in ("model", "version", "arm")]
        name = "-".join(part for part in names if part) or "records"
        return self._run(os.path.join(name, f"{self._started}-{os.getpid()}"))

    def _run(self, name: str) -> _Run:
        """The run of this name; of many, the one not used for longest closes."""
        if name not in self._runs:
            folder = os.path.join(self.logdir, name)
            self._runs[name] = _Run(folder, *self._bounds)
        self._runs.move_to_end(name)
        while len(self._runs) > _MAX_RUNS:
            self._runs.popitem(last=False)[1].close()
        return self._runs[name]

    def flush(self) -> None:
        """Do nothing: what was added is in the file already."""

    def close(self) -> None:
        """Close the files."""
        for run in self._runs.values():
            run.close()

    def forget(self) -> None:
        """In a forked child: files are the parent's."""
        for run in getattr(self, "_runs", {}).values():
            run.close()
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._started = time.strftime("%Y%m%d-%H%M%S")

    # ---- one by one ------------------------------------------------------------------

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Add a number.

        Parameters
        ----------
        tag : str
        value : float
        step : int
        """
        self._add([values.scalar(tag, value)], step)

    def add_histogram(
        self, tag: str, data: Any, step: int, *, edges: Any = None
    ) -> None:
        """Add a histogram.

        Parameters
        ----------
        tag : str
        data : array_like
            Values; with `edges` counts.
        step : int
        edges : array_like, optional
            One more than counts; one less where the outer bins are open.
        """
        counts, ends = values.binned(data) if edges is None else (data, edges)
        self._add([values.histogram(tag, counts, ends)], step)

    def add_pr_curve(self, tag: str, y_true: Any, y_score: Any, step: int) -> None:
        """Add a precision-recall curve.

        Parameters
        ----------
        tag : str
        y_true : array_like of bool
        y_score : array_like
            From 0 to 1.
        step : int
        """
        confusion = values.confusion_at_thresholds(y_true, y_score)
        self._add([values.pr_curve(tag, confusion)], step)

    def add_image(self, tag: str, pixels: Any, step: int) -> None:
        """Add a picture.

        Parameters
        ----------
        tag : str
        pixels : array_like of uint8
            (height, width) or (height, width, 1, 3 or 4 channels).
        step : int
        """
        record = {"time": 0.0, "kind": "event", "images": {tag: np.asarray(pixels)}}
        self._add(list(_values_of(plain_record(record))), step)

    def add_text(self, tag: str, markdown: str, step: int) -> None:
        """Add a text.

        Parameters
        ----------
        tag, markdown : str
        step : int
        """
        self._add([values.text(tag, markdown)], step)

    def add_hparams(
        self, hparams: Mapping[str, Any], metrics: Mapping[str, float] | None = None
    ) -> None:
        """Add what a run was made with and what it reached.

        Parameters
        ----------
        hparams : mapping
        metrics : mapping, optional
        """
        found = values.hparams(hparams, time=time.time())
        found += [values.scalar(tag, x) for tag, x in (metrics or {}).items()]
        self._add(found, 0)

    def _add(self, found: list[Any], step: int) -> None:
        self._run("").add(found, step, time.time())


def _values_of(record: Mapping[str, Any]) -> Iterator[Any]:
    """Everything of a record that TensorBoard shows."""
    kind = record["kind"]
    prefix = "" if kind == "window" else f"{kind}/"
    for tag, pixels in _mapping(record.get("images")).items():
        yield values.image(tag, pixels)
    for tag, curve in _mapping(record.get("pr_curves")).items():
        yield values.pr_curve(tag, _confusion(_mapping(curve)))
    if hparams := _mapping(record.get("hparams")):
        yield from values.hparams(hparams, time=record["time"])
    if kind in ("alert", "event"):
        told = [f"**{key}**: {record[key]}" for key in _WORDS if record.get(key)]
        yield values.text(f"{kind}s", "\n\n".join(told) or kind)
    for key, value in record.items():
        if key == "features":
            for name, feature in _mapping(value).items():
                yield from _feature(prefix, name, feature)
        elif key not in _NOT_FIGURES:
            yield from _figures(prefix + key, value)


def _feature(prefix: str, name: str, feature: Any) -> Iterator[Any]:
    """Statistics of drift by method, everything else by feature."""
    rest = dict(_mapping(feature))
    scores = _mapping(rest.pop("scores", None))
    for method in METHODS:
        value = scores.get(method, rest.pop(method, None))
        if _is_number(value):
            yield values.scalar(f"{prefix}drift/{method}/{name}", value)
    yield from _figures(f"{prefix}features/{name}", rest)


def _figures(tag: str, value: Any) -> Iterator[Any]:
    """Numbers below a value, by their path; the depth of records is bounded."""
    if _is_number(value):
        yield values.scalar(tag, value)
    if not isinstance(value, dict):
        return
    rest = dict(value)
    bins = rest.pop("edges", None), rest.pop("categories", None)
    counts = rest.pop("counts", None)
    if isinstance(counts, list) and any(isinstance(ends, list) for ends in bins):
        yield _histogram(tag, counts, *bins, value)
    for key, item in rest.items():
        # {"value": 0.9, "low": 0.8, "high": 0.95} is tag, tag/low and tag/high.
        yield from _figures(tag if key == "value" else f"{tag}/{key}", item)


def _histogram(tag: str, counts: Any, edges: Any, categories: Any, value: Any) -> Any:
    if edges:
        known = {k: value.get(k) for k in ("minimum", "maximum")}
        ends = {k: float(x) for k, x in known.items() if _is_number(x)}
        return values.histogram(tag, counts, edges, **ends)
    return values.histogram(tag, counts, np.arange(len(counts) + 1) - 0.5)


def _confusion(curve: Mapping[str, Any]) -> Any:
    """Counts at thresholds, given or made of labels and scores."""
    if "y_score" in curve:
        return values.confusion_at_thresholds(curve.get("y_true"), curve["y_score"])
    return [curve.get(key, ()) for key in ("tp", "fp", "tn", "fn")]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _in_64_bits(step: int) -> int:
    return min(max(step, -(1 << 63)), (1 << 63) - 1)


def _safe(name: Any) -> str:
    """A part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9_.=+]+", "_", str(name)).strip("._")[:64]


def _frame(data: bytes) -> bytes:
    """A record of a TFRecord file: length, its CRC, data, its CRC."""
    head = struct.pack("<Q", len(data))
    return head + _masked(head) + data + _masked(data)


def _masked(data: bytes) -> bytes:
    """The CRC-32C turned by 15 bits, plus a constant."""
    crc = _core.crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
