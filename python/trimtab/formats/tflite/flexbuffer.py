"""FlexBuffers as far as options of custom operators need them: a map of numbers."""

from __future__ import annotations

import struct

from trimtab.errors import ModelFormatError

__all__ = ["read_numbers"]

_MAP, _BOOL = 9, 26
_MAX_ENTRIES = 256
_MAX_KEY_BYTES = 64
_SIGNED = {1: "<b", 2: "<h", 4: "<i", 8: "<q"}
_REAL = {2: "<e", 4: "<f", 8: "<d"}
# Type -> (formats by width, whether the number stands behind an offset).
_KINDS: dict[int, tuple[dict[int, str], bool]] = {
    1: (_SIGNED, False),
    2: ({width: code.upper() for width, code in _SIGNED.items()}, False),
    3: (_REAL, False),
    6: (_SIGNED, True),
    7: ({width: code.upper() for width, code in _SIGNED.items()}, True),
    8: (_REAL, True),
    _BOOL: ({width: code.upper() for width, code in _SIGNED.items()}, False),
}


def _number(data: bytes, at: int, width: int, formats: dict[int, str]) -> float:
    if width not in formats or not 0 <= at <= len(data) - width:
        raise ModelFormatError(
            f"options of a custom operator: a number of {width} bytes at {at} of "
            f"{len(data)}"
        )
    value: float = struct.unpack_from(formats[width], data, at)[0]
    return value


def _unsigned(data: bytes, at: int, width: int) -> int:
    return int(_number(data, at, width, _KINDS[2][0]))


def _back(data: bytes, at: int, width: int) -> int:
    """Where an offset leads; they only lead backwards."""
    return at - _unsigned(data, at, width)


def read_numbers(data: bytes) -> dict[str, float]:
    """Read a map of numbers; entries that are something else are left out.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    numbers : dict of str to float

    Raises
    ------
    ModelFormatError
        It is no map, or damaged.

    Examples
    --------
    >>> read_numbers(bytes.fromhex("610001030101010704022401"))
    {'a': 7}
    """
    if len(data) < 3:
        raise ModelFormatError(f"options of a custom operator: {len(data)} bytes")
    root, packed = len(data) - 2 - data[-1], data[-2]
    if packed >> 2 != _MAP:
        raise ModelFormatError(
            f"options of a custom operator: type {packed >> 2}, expected a map"
        )
    begin, width = _back(data, root, data[-1]), 1 << (packed & 3)
    n = _unsigned(data, begin - width, width)
    if n > _MAX_ENTRIES:
        raise ModelFormatError(f"options of a custom operator: {n} entries")
    keys = _back(data, begin - 3 * width, width)
    key_width = _unsigned(data, begin - 2 * width, width)
    found = {}
    for i in range(n):
        key_at = _back(data, keys + i * key_width, key_width)
        if not 0 <= key_at < len(data):
            raise ModelFormatError("options of a custom operator: a key is missing")
        key = data[key_at : key_at + _MAX_KEY_BYTES].split(b"\0")[0]
        kind = _unsigned(data, begin + n * width + i, 1)
        if kind >> 2 in _KINDS:
            formats, is_behind = _KINDS[kind >> 2]
            at, own = begin + i * width, width
            if is_behind:
                at, own = _back(data, at, width), 1 << (kind & 3)
            found[key.decode("utf-8", "replace")] = _number(data, at, own, formats)
    return found
