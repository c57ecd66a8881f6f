"""Reading a tokenizer.json of Hugging Face's `tokenizers`, which may be hostile.

The library is safe in memory, but a file may ask it for arbitrary work: chained
replacements that multiply a text, paddings to any length, errors that end in a panic.
So the file is bounded, its replacements are counted before the library sees it, its
own padding and truncation are switched off, and panics are caught. What remains is
time: a regular expression can be slow on purpose, so run strangers' tokenizers under
a time limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from trimtab.errors import InputError, ModelFormatError, ModelLimitError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["check_tokenizer", "guard_panics", "read_tokenizer"]

MAX_BYTES = 64 << 20
_MAX_GROWTH = 1 << 16

_T = TypeVar("_T")


def check_tokenizer(content: bytes) -> None:
    """Refuse what is no tokenizer.json, or asks for too much.

    Parameters
    ----------
    content : bytes

    Raises
    ------
    ModelFormatError
        It is no JSON object with a model.
    ModelLimitError
        It is too large, or its replacements could multiply a text.

    Examples
    --------
    >>> check_tokenizer(b"[]")
    Traceback (most recent call last):
        ...
    trimtab.errors.ModelFormatError: tokenizer: expected a JSON object with a model
    """
    if not isinstance(content, bytes):
        raise ModelFormatError("tokenizer: expected the bytes of a tokenizer.json")
    if len(content) > MAX_BYTES:
        raise ModelLimitError(f"tokenizer: {len(content)} bytes, at most {MAX_BYTES}")
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"tokenizer: no JSON: {error}") from None
    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        raise ModelFormatError("tokenizer: expected a JSON object with a model")
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        growth = 1
        for rule in _rules(config.get(part)):
            growth *= _growth(rule)
            if growth > _MAX_GROWTH:
                raise ModelLimitError(
                    f"tokenizer: the replacements of its {part} make a text over "
                    f"{_MAX_GROWTH} times as long"
                )


def _rules(part: Any) -> Iterator[dict[str, Any]]:
    """Every object below a part, without recursion."""
    left = [part]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            yield item
            left.extend(item.values())
        elif isinstance(item, list):
            left.extend(item)


def _growth(rule: dict[str, Any]) -> int:
    """How many times as long a rule may make a text."""
    content = rule.get("content")
    if rule.get("type") != "Replace" or not isinstance(content, str):
        return 1
    pattern = rule.get("pattern")
    literal = pattern.get("String") if isinstance(pattern, dict) else None
    # a regular expression, or nothing, matches between all characters too
    return max(1, len(content)) if literal else 1 + len(content)


def read_tokenizer(content: bytes, *, max_tokens: int = 0) -> Tokenizer:
    """Make a tokenizer of a tokenizer.json.

    Parameters
    ----------
    content : bytes
    max_tokens : int, default=0
        Longer texts are cut, special tokens kept; 0: they are not.

    Returns
    -------
    tokenizer : tokenizers.Tokenizer
        It pads nothing.

    Raises
    ------
    ModelFormatError
        The file is malformed, or the library refuses it.
    ImportError
        The package `tokenizers` is missing.

    Examples
    --------
    >>> read_tokenizer(path.read_bytes())                  # doctest: +SKIP
    <tokenizers.Tokenizer object at ...>
    """
    check_tokenizer(content)
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ImportError(
            "tokenizing needs the package tokenizers: pip install 'trimtab[text]'"
        ) from None

    def make() -> Tokenizer:
        tokenizer = Tokenizer.from_buffer(content)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        if max_tokens:
            tokenizer.enable_truncation(max_length=max_tokens)
        return tokenizer

    try:
        return guard_panics(make)
    except InputError as error:
        raise ModelFormatError(f"tokenizer: {error}") from None


def guard_panics(function: Callable[[], _T]) -> _T:
    """Call the library; what it raises, panics too, becomes an `InputError`.

    Parameters
    ----------
    function : callable

    Returns
    -------
    result : object
        Of the call.

    Raises
    ------
    InputError
        The library failed.

    Examples
    --------
    >>> guard_panics(lambda: 3)
    3
    """
    try:
        return function()
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        # a panic of Rust derives from BaseException only
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise InputError(f"the library tokenizers failed: {error}") from None
        raise
