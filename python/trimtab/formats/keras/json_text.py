"""JSON out of a model file, bounded before it is parsed.

Enters: bytes of a file's member or attribute. Leaves: a dict. Python's parser recurses
with the text's nesting and makes some hundred bytes of every value, so both are
counted first.
"""

from __future__ import annotations

import json
import re
from typing import Any

from trimtab.errors import ModelFormatError, ModelLimitError
from trimtab.formats.json_keys import repeated_key

__all__ = ["MAX_JSON_BYTES", "read_json"]

#: Bytes that a config may have.
MAX_JSON_BYTES = 16 << 20
_MAX_DEPTH = 200
_MAX_TOKENS = 1_000_000

# Texts (escapes are taken out before), brackets and commas; never backtracks.
_TOKEN = re.compile(rb'"[^"]*"?|[\[\]{},]')
_OPEN, _CLOSE = b"[{", b"]}"


def read_json(content: bytes, what: str) -> dict[str, Any]:
    """Parse an object.

    Parameters
    ----------
    content : bytes
        UTF-8.
    what : str
        Opens every message: "config.json".

    Returns
    -------
    value : dict

    Raises
    ------
    ModelFormatError
        It is no JSON object, or has a key twice.
    ModelLimitError
        It is too long, too deep or has too many values.

    Examples
    --------
    >>> read_json(b'{"a": [1]}', "config.json")
    {'a': [1]}
    >>> read_json(b"[" * 100_000, "config.json")
    Traceback (most recent call last):
        ...
    trimtab.errors.ModelLimitError: config.json is nested more than 200 deep
    """
    if len(content) > MAX_JSON_BYTES:
        raise ModelLimitError(
            f"{what} has {len(content)} bytes, at most {MAX_JSON_BYTES} are read"
        )
    _check_size(content, what)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = repeated_key(pairs)
        if twice is not None:
            raise ModelFormatError(f"{what} has the key {twice[:80]!r} twice")
        return dict(pairs)

    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=unique)
    except ModelFormatError:
        raise
    except ValueError as error:  # of UTF-8, of JSON, of a number with 5000 digits
        raise ModelFormatError(f"{what} is no JSON: {error!s:.200}") from None
    if not isinstance(value, dict):
        raise ModelFormatError(f"{what}: expected an object, got {value!r:.80}")
    return value


def _check_size(content: bytes, what: str) -> None:
    """Count nesting and values without parsing."""
    depth = 0
    plain = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    for n_tokens, match in enumerate(_TOKEN.finditer(plain)):
        token = plain[match.start()]
        if token in _OPEN:
            depth += 1
            if depth > _MAX_DEPTH:
                raise ModelLimitError(f"{what} is nested more than {_MAX_DEPTH} deep")
        elif token in _CLOSE:
            depth -= 1
        if n_tokens > _MAX_TOKENS:
            raise ModelLimitError(f"{what} has more than {_MAX_TOKENS // 2} values")
