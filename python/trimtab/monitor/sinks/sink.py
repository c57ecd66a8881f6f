"""What a sink is, what a record is, and records made plain.

Enters: a mapping as the monitor makes it, with NumPy numbers and arrays in it. Leaves:
a dict of JSON's types, bounded in depth, length and text; pictures alone stay arrays.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from trimtab.errors import InputError

__all__ = ["KINDS", "Sink", "plain_record", "to_json"]

#: What records tell; others pass too, if their kind is a word of lower case.
KINDS: dict[str, str] = {
    "window": "figures, features and drift of a window that was closed",
    "alert": "something that somebody should look at, with a message",
    "label": "live metrics, after labels came",
    "evaluation": "metrics of a data set, with their curves",
    "event": "loaded, replaced, closed: what happened to the model",
}

_MAX_DEPTH = 8
_MAX_ITEMS = 100_000
_MAX_TEXT = 65_536
_MAX_IMAGES = 64
_PLAIN = frozenset((float, bool, type(None)))
_PLAIN_OR_INT = _PLAIN | {int}
_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")


@runtime_checkable
class Sink(Protocol):
    """Where records go.

    `write` may fail and may take its time: it is called by one thread of its own. What
    else a sink may have: ``flush()``; ``forget()``, which a forked child calls to let
    go of what is the parent's; ``attach(snapshot)``, of a sink that reads counters when
    it is asked, given the function that reads them.
    """

    def write(self, record: Mapping[str, Any]) -> None:
        """Take a record, in full or not at all.

        Parameters
        ----------
        record : mapping
            From a `Fanout` it is plain (`plain_record`) and shared with other sinks.
        """

    def close(self) -> None:
        """Let go of files and connections; closing twice is no error."""


class _Plain(dict[str, Any]):
    """A record that was made plain already."""


class _Budget:
    """What is left for one record."""

    __slots__ = ("n_items",)

    def __init__(self) -> None:
        self.n_items = _MAX_ITEMS

    def spend(self, n: int) -> None:
        self.n_items -= n
        if self.n_items < 0:
            raise InputError(f"record: expected at most {_MAX_ITEMS} values in it")


def plain_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Give a copy of a record that holds nothing but plain values.

    Parameters
    ----------
    record : mapping
        With "time" (seconds since 1970) and "kind". Under "images" arrays (height,
        width, channels) of bytes stay as they are, copied.

    Returns
    -------
    plain : dict
        Of None, bool, int, float, str, list and dict with keys of text. Values of other
        types are their text; what is longer than 65,536 characters is cut.

    Raises
    ------
    InputError
        No mapping, no time, no kind, nested deeper than 8 or more than 100,000 values.

    Examples
    --------
    >>> record = {"time": 1, "kind": "window", "psi": np.float32(0.5), "n": {1: (2,)}}
    >>> plain_record(record)
    {'time': 1.0, 'kind': 'window', 'psi': 0.5, 'n': {'1': [2]}}
    """
    if isinstance(record, _Plain):
        return record
    if not isinstance(record, Mapping):
        raise InputError(f"record: expected a mapping, got {type(record).__name__}")
    budget = _Budget()
    plain = _Plain()
    for key, value in record.items():
        name = _text(key)
        is_images = name == "images" and isinstance(value, Mapping)
        plain[name] = _images(value) if is_images else _plain(value, budget, depth=1)
    time, kind = plain.get("time"), plain.get("kind")
    if isinstance(time, bool) or not isinstance(time, (int, float)):
        raise InputError(f"record: expected 'time' in seconds, got {time!r}")
    if not math.isfinite(time):
        raise InputError(f"record: expected a finite 'time', got {time!r}")
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise InputError(
            f"record: expected a 'kind' such as {', '.join(KINDS)}, got {kind!r}"
        )
    plain["time"] = float(time)
    return plain


def _plain(value: Any, budget: _Budget, depth: int) -> Any:
    """One value; `depth` bounds the descent."""
    if depth > _MAX_DEPTH:
        raise InputError(f"record: expected values at most {_MAX_DEPTH} deep")
    budget.spend(1)
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.ndarray):
        budget.spend(value.size)
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float)):
        return _number(value)
    if isinstance(value, Mapping):
        return {_text(k): _plain(v, budget, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return _items(value, budget, depth)
    return _text(value)


def _items(value: Iterable[Any], budget: _Budget, depth: int) -> list[Any]:
    """A list; that of plain numbers, as counts and edges are, in one go."""
    items = list(value)
    kinds = set(map(type, items))
    is_short = int not in kinds or (kinds == {int} and _is_short(items))
    if kinds <= _PLAIN_OR_INT and is_short and depth < _MAX_DEPTH:
        budget.spend(len(items))
        return items
    return [_plain(item, budget, depth + 1) for item in items]


def _is_short(items: list[int]) -> bool:
    return min(items) >= -(1 << 63) and max(items) < 1 << 64


def _number(value: Any) -> Any:
    """Subclasses (of enums, of other libraries) as what they are at heart.

    Integers of more than 64 bits, which few readers take, are floats.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value)
    if -(1 << 63) <= value < 1 << 64:
        return int(value)
    if abs(value) < 1 << 1023:
        return float(value)
    return math.inf if value > 0 else -math.inf


def _text(value: Any) -> str:
    """Text that can be written: lone surrogates are replaced."""
    text = str(value)[:_MAX_TEXT]
    return text.encode("utf-8", "replace").decode("utf-8")


def _images(value: Mapping[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Pictures by name; what is none is refused."""
    if len(value) > _MAX_IMAGES:
        raise InputError(f"record: expected at most {_MAX_IMAGES} images")
    images = {}
    for name, item in value.items():
        image = np.asarray(item)
        channels = image.shape[2] if image.ndim == 3 else 1
        if (
            image.dtype != np.uint8
            or image.ndim not in (2, 3)
            or channels not in (1, 3, 4)
        ):
            raise InputError(
                f"record: image {name!r}: expected uint8 (height, width[, 1, 3 or 4 "
                f"channels]), got {image.dtype} {image.shape}"
            )
        if not 0 < image.size <= 1 << 26:
            raise InputError(f"record: image {name!r}: expected 1 to 2**26 bytes")
        images[_text(name)] = image.copy()
    return images


def to_json(record: Mapping[str, Any]) -> str:
    """Write a plain record as strict JSON, on one line.

    Parameters
    ----------
    record : mapping
        As `plain_record` gives it.

    Returns
    -------
    text : str
        What JSON has no number for is written as protobuf does: "NaN", "Infinity",
        "-Infinity". Pictures are told by shape.

    Examples
    --------
    >>> to_json({"time": 1.0, "kind": "event", "auc": float("nan")})
    '{"time":1.0,"kind":"event","auc":"NaN"}'
    """
    try:
        return _dump(record)
    except ValueError:  # a number that is not finite
        return _dump(_finite(record))


def _dump(value: Any) -> str:
    return json.dumps(
        value,
        separators=(",", ":"),
        allow_nan=False,
        default=_shape,
        ensure_ascii=False,
    )


def _shape(value: Any) -> dict[str, Any]:
    return {"shape": list(value.shape), "dtype": str(value.dtype)}


def _finite(value: Any) -> Any:
    """The same with words for numbers that are not finite; its depth is bounded."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return value
