"""Canonical JSON: one value, one text, one digest; read with bounds.

Keys are sorted, nothing is spaced, text is UTF-8 as it is, numbers are finite.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from trimtab.errors import ModelFormatError, RegistryError
from trimtab.limits import Limits

__all__ = ["MAX_BYTES", "canonical", "digest_of", "parse_canonical", "parse_object"]

#: Of a document: a manifest with metrics, slices and all.
MAX_BYTES = 4 << 20
# Values that parsing 4 MiB of JSON may make, with room.
_LIMITS = Limits(max_model_bytes=512 << 20)


def canonical(value: Any) -> bytes:
    """Write a value.

    Parameters
    ----------
    value : object
        None, bool, int, float, str, and lists and dicts of these.

    Returns
    -------
    data : bytes

    Raises
    ------
    RegistryError
        It is something else, a number that is not finite, or too long.

    Examples
    --------
    >>> canonical({"b": 1.0, "a": [None, "\xe9"]})
    b'{"a":[null,"\\xc3\\xa9"],"b":1.0}'
    """
    try:
        _check_keys(value)
        data = json.dumps(
            value,
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        ).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RegistryError(
            f"expected plain values (texts, finite numbers, lists, objects): {error}"
        ) from None
    if len(data) > MAX_BYTES:
        raise RegistryError(
            f"a document of {len(data)} bytes, at most {MAX_BYTES} are allowed: keep "
            "less of the metrics"
        )
    return data


def _check_keys(value: Any) -> None:
    """json.dumps would make texts of other keys, so that two could be one."""
    left = [value]
    n_values = 0
    while left:
        item = left.pop()
        n_values += 1
        if n_values > MAX_BYTES:  # or it holds itself
            raise ValueError("too many values")
        if isinstance(item, dict):
            if not all(isinstance(key, str) for key in item):
                raise TypeError("keys of objects are texts")
            left += item.values()
        elif isinstance(item, (list, tuple)):
            left += item


def digest_of(data: bytes) -> str:
    """Give the digest that names some bytes.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    digest : str

    Examples
    --------
    >>> digest_of(b"")[:20]
    'sha256:e3b0c44298fc1'
    """
    return f"sha256:{sha256(data).hexdigest()}"


def parse_object(data: bytes, what: str) -> dict[str, Any]:
    """Read an object: bounded, no key twice, nothing but what JSON knows.

    Parameters
    ----------
    data : bytes
    what : str
        For messages.

    Returns
    -------
    value : dict

    Raises
    ------
    RegistryError
        It is none.

    Examples
    --------
    >>> parse_object(b'{"a": 1}', "x")
    {'a': 1}
    """
    from trimtab.formats.tensor_file import parse_json

    if len(data) > MAX_BYTES:
        raise RegistryError(f"{what}: {len(data)} bytes, at most {MAX_BYTES}")
    try:
        value = parse_json(data, what, _LIMITS)
    except ModelFormatError as error:
        raise RegistryError(str(error)) from None
    if not isinstance(value, dict):
        raise RegistryError(f"{what}: expected an object, got {type(value).__name__}")
    return value


def parse_canonical(data: bytes, what: str) -> dict[str, Any]:
    """Read an object that must be written as `canonical` writes it.

    Parameters
    ----------
    data : bytes
    what : str
        For messages.

    Returns
    -------
    value : dict

    Raises
    ------
    RegistryError
        It is none, or written otherwise.

    Examples
    --------
    >>> parse_canonical(b'{"a":1}', "x")
    {'a': 1}
    """
    value = parse_object(data, what)
    if canonical(value) != data:
        raise RegistryError(
            f"{what}: expected canonical JSON; it was written by others"
        )
    return value
