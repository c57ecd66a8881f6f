"""Checks of what a step is made from, since it may come from a file.

Each takes the parameter's name and its value, and gives the value in the type wanted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from trimtab.errors import InputError

__all__ = [
    "MAX_SIDE",
    "check_area",
    "check_bool",
    "check_choice",
    "check_description",
    "check_int",
    "check_integers",
    "check_number",
    "check_numbers",
    "check_texts",
    "describe",
]

#: Bounds on a stored description of steps.
MAX_ITEMS, MAX_TEXT, MAX_DEPTH, MAX_ASSETS = 1 << 20, 1 << 24, 8, 1 << 28
#: Largest side of a picture that a step may ask for, in pixels.
MAX_SIDE = 1 << 15
#: Pixels of a picture that a step may make.
MAX_AREA = 1 << 27


def describe(value: Any) -> str:
    """Say in a few words what a value is, for messages.

    Parameters
    ----------
    value : object

    Returns
    -------
    text : str

    Examples
    --------
    >>> describe(np.zeros((2, 3), np.uint8)), describe([1])
    ('uint8 array of shape (2, 3)', 'list of 1')
    """
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}"
    kind = type(value).__name__
    if isinstance(value, str):
        return f"str {value[:40]!r}"
    return f"{kind} of {len(value)}" if isinstance(value, Collection) else kind


def check_bool(name: str, value: Any) -> bool:
    """Refuse what is no bool.

    Parameters
    ----------
    name : str
    value : object

    Returns
    -------
    value : bool

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_bool("antialias", True)
    True
    """
    if not isinstance(value, bool):
        raise InputError(f"{name}: expected True or False, got {value!r:.60}")
    return value


def check_int(name: str, value: Any, low: int, high: int) -> int:
    """Refuse what is no integer, or outside of a range.

    Parameters
    ----------
    name : str
    value : object
    low, high : int
        The least and the greatest.

    Returns
    -------
    value : int

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_int("width", 224, 1, MAX_SIDE)
    224
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputError(f"{name}: expected an integer, got {value!r:.60}")
    if not low <= value <= high:
        raise InputError(f"{name}: expected {low} to {high}, got {value}")
    return int(value)


def check_integers(name: str, value: Any, low: int, high: int) -> tuple[int, ...]:
    """Check a list of integers.

    Parameters
    ----------
    name : str
    value : object
    low, high : int
        The least and the greatest.

    Returns
    -------
    values : tuple of int

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_integers("suppress", [1, 2], 0, 9)
    (1, 2)
    """
    if not isinstance(value, list | tuple) or len(value) > MAX_ITEMS:
        raise InputError(f"{name}: expected a list of integers, got {describe(value)}")
    return tuple(check_int(f"{name}[{i}]", x, low, high) for i, x in enumerate(value))


def check_area(height: int, width: int) -> None:
    """Refuse a picture that a step would make too large.

    Parameters
    ----------
    height, width : int
        In pixels.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_area(1080, 1920)
    """
    if not 0 < height * width <= MAX_AREA:
        raise InputError(
            f"a picture of {height} x {width} is outside of 1 to {MAX_AREA} pixels"
        )


def check_number(
    name: str, value: Any, low: float = -1e30, high: float = 1e30
) -> float:
    """Refuse what is no finite number, or outside of a range.

    Parameters
    ----------
    name : str
    value : object
    low, high : float
        The least and the greatest.

    Returns
    -------
    value : float

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_number("threshold", 0.5, 0, 1)
    0.5
    """
    number = int | float | np.integer | np.floating
    if isinstance(value, bool) or not isinstance(value, number):
        raise InputError(f"{name}: expected a number, got {value!r:.60}")
    if not math.isfinite(value) or not low <= value <= high:
        raise InputError(f"{name}: expected {low:g} to {high:g}, got {value}")
    return float(value)


def check_numbers(
    name: str, value: Any, low: float = -1e30, high: float = 1e30, *, size: int = 0
) -> tuple[float, ...]:
    """Check a list of numbers; one number counts as a list of one.

    Parameters
    ----------
    name : str
    value : object
    low, high : float
        The least and the greatest.
    size : int, default=0
        How many there must be; 0: any number from 1 on.

    Returns
    -------
    values : tuple of float

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_numbers("mean", [0.5, 1])
    (0.5, 1.0)
    """
    if not isinstance(value, list | tuple | np.ndarray):
        value = (value,)
    if len(value) == 0 or len(value) > MAX_ITEMS or (size and len(value) != size):
        raise InputError(f"{name}: expected {size or 'some'} numbers, got {len(value)}")
    return tuple(
        check_number(f"{name}[{i}]", x, low, high) for i, x in enumerate(value)
    )


def check_texts(name: str, value: Any) -> tuple[str, ...]:
    """Check a list of texts, such as labels.

    Parameters
    ----------
    name : str
    value : object

    Returns
    -------
    texts : tuple of str

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_texts("labels", ["cat", "dog"])
    ('cat', 'dog')
    """
    if not isinstance(value, list | tuple) or len(value) > MAX_ITEMS:
        raise InputError(f"{name}: expected a list of texts, got {describe(value)}")
    for i, text in enumerate(value):
        if not isinstance(text, str):
            raise InputError(f"{name}[{i}]: expected a text, got {describe(text)}")
    return tuple(value)


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Refuse what is none of the words allowed.

    Parameters
    ----------
    name : str
    value : object
    choices : collection of str

    Returns
    -------
    value : str

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_choice("layout", "NCHW", ["NCHW", "NHWC"])
    'NCHW'
    """
    if not isinstance(value, str) or value not in choices:
        raise InputError(
            f"{name}: expected one of {sorted(choices)}, got {value!r:.60}"
        )
    return value


def check_description(config: Mapping[str, Any], assets: Mapping[str, bytes]) -> None:
    """Refuse a stored description that is too large or too deep, without recursion.

    Parameters
    ----------
    config : mapping
        As JSON gives it.
    assets : mapping of str to bytes

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_description({"preprocess": []}, {})
    """
    waiting: list[tuple[Any, int]] = [(config, 0)]
    n_items = n_text = 0
    while waiting:
        value, depth = waiting.pop()
        n_items += 1
        n_text += len(value) if isinstance(value, str) else 0
        if n_items > MAX_ITEMS or n_text > MAX_TEXT or depth > MAX_DEPTH:
            raise InputError(
                f"steps: more than {MAX_ITEMS} values, {MAX_TEXT} characters or "
                f"{MAX_DEPTH} levels"
            )
        if isinstance(value, Mapping):
            waiting.extend((part, depth + 1) for part in [*value, *value.values()])
        elif isinstance(value, list | tuple):
            waiting.extend((part, depth + 1) for part in value)
    if (n_bytes := sum(len(content) for content in assets.values())) > MAX_ASSETS:
        raise InputError(f"steps: files of {n_bytes} bytes, at most {MAX_ASSETS}")
