"""Values of a layer's config, checked as they are read.

Enters: a dict out of JSON. Leaves: numbers, texts and flags of the type that the
rule of the layer asks for; anything else is an error that names layer and key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trimtab.errors import ModelFormatError

__all__ = ["Config", "Function"]

_MISSING: Any = object()
_MAX_INT = 1 << 40
_SHOWN = 80


@dataclass(frozen=True)
class Function:
    """An activation, initialiser or other function that a config names.

    Parameters
    ----------
    name : str
        "relu", "hard_sigmoid", or the name of a class such as "LeakyReLU".
    config : dict
        Arguments of a class; empty for functions.
    """

    name: str
    config: dict[str, Any] = field(default_factory=dict)


class Config:
    """A layer's config.

    Every accessor takes the value for a key that is absent; without one an absent key
    is an error. `optional_int` and its like give None where the config has null.

    Parameters
    ----------
    values : mapping
    where : str
        Opens every message: "layer 'conv' (Conv2D)".

    Examples
    --------
    >>> config = Config({"units": 3, "use_bias": "yes"}, "layer 'd' (Dense)")
    >>> config.int("units")
    3
    >>> config.flag("use_bias")
    Traceback (most recent call last):
        ...
    trimtab.errors.ModelFormatError: layer 'd' (Dense): use_bias: expected true or \
false, got 'yes'
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def error(self, key: str, expected: str) -> ModelFormatError:
        """Make the error for a value that is not as expected.

        Parameters
        ----------
        key : str
        expected : str
            "expected ..." without that word.

        Returns
        -------
        error : ModelFormatError
            To be raised.

        Examples
        --------
        >>> Config({"n": 1}, "layer 'x'").error("n", "2 or more")
        ModelFormatError("layer 'x': n: expected 2 or more, got 1")
        """
        got = "nothing"
        if key in self.values:
            text = repr(self.values[key])
            got = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
        return ModelFormatError(f"{self.where}: {key}: expected {expected}, got {got}")

    def has(self, key: str) -> bool:
        """Is there a value other than null?

        Parameters
        ----------
        key : str

        Returns
        -------
        is_there : bool

        Examples
        --------
        >>> Config({"seed": None}, "layer 'x'").has("seed")
        False
        """
        return self.values.get(key) is not None

    def value(self, key: str, default: Any = _MISSING) -> Any:
        """Give a value as it is in the JSON.

        Parameters
        ----------
        key : str
        default : object, optional

        Returns
        -------
        value : object

        Raises
        ------
        ModelFormatError
            The key is absent and has no default.

        Examples
        --------
        >>> Config({}, "layer 'x'").value("axis", -1)
        -1
        """
        found = self.values.get(key, default)
        if found is _MISSING:
            raise self.error(key, "a value")
        return found

    def int(
        self, key: str, default: Any = _MISSING, *, least: int | None = None
    ) -> int:
        """Give an integer.

        Parameters
        ----------
        key : str
        default : int, optional
        least : int, optional
            Smallest value allowed.

        Returns
        -------
        value : int

        Raises
        ------
        ModelFormatError
            It is something else.

        Examples
        --------
        >>> Config({"units": 8.0}, "layer 'x'").int("units", least=1)
        8
        """
        number = _integer(self.value(key, default))
        if number is None or (least is not None and number < least):
            kind = "an integer" if least is None else f"an integer of {least} or more"
            raise self.error(key, kind)
        return number

    def optional_int(self, key: str, *, least: int | None = None) -> int | None:  # type: ignore[valid-type]
        """Give an integer, or None where there is none.

        Parameters
        ----------
        key : str
        least : int, optional

        Returns
        -------
        value : int or None

        Raises
        ------
        ModelFormatError
            It is something else.

        Examples
        --------
        >>> Config({"axis": None}, "layer 'x'").optional_int("axis")
        """
        return self.int(key, least=least) if self.has(key) else None

    def ints(
        self,
        key: str,
        count: Any = None,
        default: Any = _MISSING,
        *,
        least: Any = None,
    ) -> tuple[Any, ...]:
        """Give several integers; one integer stands for `count` equal ones.

        Parameters
        ----------
        key : str
        count : int, optional
            How many there must be.
        default : int or sequence of int, optional
        least : int, optional
            Smallest value allowed.

        Returns
        -------
        values : tuple of int

        Raises
        ------
        ModelFormatError
            It is something else.

        Examples
        --------
        >>> Config({"strides": 2, "axes": [1, 2]}, "layer 'x'").ints("strides", 2)
        (2, 2)
        """
        given = self.value(key, default)
        if isinstance(given, Mapping) or not isinstance(given, Sequence):
            given = [given] * (1 if count is None else count)
        found = [None if isinstance(x, str) else _integer(x) for x in given]
        if (
            isinstance(given, str)
            or (count is not None and len(found) != count)
            or any(x is None or (least is not None and x < least) for x in found)
        ):
            kind = "integers" if least is None else f"integers of {least} or more"
            raise self.error(key, kind if count is None else f"{count} {kind}")
        return tuple(found)

    def number(self, key: str, default: Any = _MISSING) -> float:
        """Give a finite number.

        Parameters
        ----------
        key : str
        default : float, optional

        Returns
        -------
        value : float

        Raises
        ------
        ModelFormatError
            It is something else.

        Examples
        --------
        >>> Config({"epsilon": 0.5}, "layer 'x'").number("epsilon")
        0.5
        """
        found = _number(self.value(key, default))
        if found is None:
            raise self.error(key, "a number")
        return found

    def optional_number(self, key: str) -> float | None:
        """Give a finite number, or None where there is none.

        Parameters
        ----------
        key : str

        Returns
        -------
        value : float or None

        Raises
        ------
        ModelFormatError
            It is something else.

        Examples
        --------
        >>> Config({}, "layer 'x'").optional_number("max_value")
        """
        return self.number(key) if self.has(key) else None

    def flag(self, key: str, default: Any = _MISSING) -> bool:
        """Give true or false.

        Parameters
        ----------
        key : str
        default : bool, optional

        Returns
        -------
        value : bool

        Raises
        ------
        ModelFormatError
            It is something else.

        Examples
        --------
        >>> Config({}, "layer 'x'").flag("use_bias", True)
        True
        """
        found = self.value(key, default)
        if not isinstance(found, bool):
            raise self.error(key, "true or false")
        return found

    def text(
        self, key: str, default: Any = _MISSING, *, choices: Sequence[str] = ()
    ) -> str:
        """Give a text.

        Parameters
        ----------
        key : str
        default : str, optional
        choices : sequence of str, optional
            Texts that are allowed.

        Returns
        -------
        value : str

        Raises
        ------
        ModelFormatError
            It is something else.

        Examples
        --------
        >>> Config({"padding": "same"}, "layer 'x'").text("padding")
        'same'
        """
        found = self.value(key, default)
        if not isinstance(found, str) or (choices and found not in choices):
            raise self.error(key, " or ".join(map(repr, choices)) or "a text")
        return found

    def optional_text(self, key: str, *, choices: Sequence[str] = ()) -> str | None:
        """Give a text, or None where there is none.

        Parameters
        ----------
        key : str
        choices : sequence of str, optional

        Returns
        -------
        value : str or None

        Raises
        ------
        ModelFormatError
            It is something else.

        Examples
        --------
        >>> Config({}, "layer 'x'").optional_text("merge_mode")
        """
        return self.text(key, choices=choices) if self.has(key) else None

    def object(self, key: str) -> dict[str, Any]:
        """Give a nested object, such as the layer inside a wrapper.

        Parameters
        ----------
        key : str

        Returns
        -------
        value : dict

        Raises
        ------
        ModelFormatError
            It is something else.

        Examples
        --------
        >>> Config({"layer": {"class_name": "Dense"}}, "layer 'x'").object("layer")
        {'class_name': 'Dense'}
        """
        found = self.value(key)
        if not isinstance(found, dict):
            raise self.error(key, "an object")
        return found

    def function(self, key: str, default: str | None = None) -> Function | None:
        """Give an activation or other function: a name, or a serialised object.

        Parameters
        ----------
        key : str
        default : str, optional
            Name for an absent key.

        Returns
        -------
        function : Function or None
            None for null.

        Raises
        ------
        ModelFormatError
            It is something else.
        UnsafeModelError
            It is a function of the file's author.

        Examples
        --------
        >>> Config({"activation": "relu"}, "layer 'x'").function("activation")
        Function(name='relu', config={})
        """
        from trimtab.formats.keras.safety import check_registration

        found = self.value(key, default)
        if found is None:
            return None
        if isinstance(found, str):
            return Function(found)
        if not isinstance(found, dict):
            raise self.error(key, "the name of a function")
        check_registration(found, f"{self.where}: {key}")
        name, config = found.get("class_name"), found.get("config")
        if name == "function" and isinstance(config, str):
            return Function(config)
        if not isinstance(name, str) or not isinstance(config, dict | None):
            raise self.error(key, "the name of a function")
        return Function(name, config or {})


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _integer(value: Any) -> int | None:
    """An integer of a size that a config may have, or None."""
    number = _number(value)
    if number is None or number != int(number) or abs(number) > _MAX_INT:
        return None
    return int(number)
