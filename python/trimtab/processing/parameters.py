"""Checks of the parameters of steps, which may come from a hostile file."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from trimtab.errors import InputError

__all__ = [
    "check_choice",
    "check_flag",
    "check_integer",
    "check_integers",
    "check_number",
    "check_texts",
]


def check_integer(name: str, value: Any, low: int, high: int) -> None:
    """Refuse what is no integer from `low` to `high`.

    Parameters
    ----------
    name : str
        For the message.
    value : object
    low, high : int
        Both allowed.

    Raises
    ------
    InputError
        It is something else.

    Examples
    --------
    >>> check_integer("hop", 0, 1, 100)
    Traceback (most recent call last):
        ...
    trimtab.errors.InputError: hop: expected an integer from 1 to 100, got 0
    """
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not is_integer or not low <= value <= high:
        raise InputError(
            f"{name}: expected an integer from {low} to {high}, got {value!r:.80}"
        )


def check_integers(
    name: str, value: Any, low: int, high: int, *, max_count: int = 1 << 16
) -> None:
    """Refuse what is no tuple of integers from `low` to `high`.

    Parameters
    ----------
    name : str
        For the message.
    value : object
    low, high : int
        Both allowed.
    max_count : int, default=65536
        Longest tuple.

    Raises
    ------
    InputError
        It is something else.

    Examples
    --------
    >>> check_integers("suppress", (1, 2), 0, 10)
    """
    if not isinstance(value, tuple) or len(value) > max_count:
        raise InputError(
            f"{name}: expected a tuple of at most {max_count} integers, "
            f"got {value!r:.80}"
        )
    for item in value:
        check_integer(name, item, low, high)


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Refuse what is no finite number from `low` to `high`.

    Parameters
    ----------
    name : str
        For the message.
    value : object
    low, high : float
        Both allowed.

    Raises
    ------
    InputError
        It is something else.

    Examples
    --------
    >>> check_number("floor", 1e-10, 0, 1)
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        raise InputError(
            f"{name}: expected a number from {low:g} to {high:g}, got {value!r:.80}"
        )


def check_flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False.

    Parameters
    ----------
    name : str
        For the message.
    value : object

    Raises
    ------
    InputError
        It is something else.

    Examples
    --------
    >>> check_flag("lower", True)
    """
    if not isinstance(value, bool):
        raise InputError(f"{name}: expected True or False, got {value!r:.80}")


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Refuse a text that is none of `choices`.

    Parameters
    ----------
    name : str
        For the message.
    value : object
    choices : collection of str

    Raises
    ------
    InputError
        It is something else.

    Examples
    --------
    >>> check_choice("window", "hann", ["hann", "hamming"])
    """
    if not isinstance(value, str) or value not in choices:
        raise InputError(
            f"{name}: expected one of {sorted(choices)}, got {value!r:.80}"
        )


def check_texts(name: str, value: Any, *, max_count: int = 1 << 20) -> None:
    """Refuse what is no tuple of texts.

    Parameters
    ----------
    name : str
        For the message.
    value : object
    max_count : int, default=1048576
        Longest tuple.

    Raises
    ------
    InputError
        It is something else.

    Examples
    --------
    >>> check_texts("labels", ("cat", "dog"))
    """
    if (
        not isinstance(value, tuple)
        or len(value) > max_count
        or not all(isinstance(item, str) for item in value)
    ):
        raise InputError(
            f"{name}: expected a tuple of at most {max_count} texts, got {value!r:.80}"
        )
