"""Values with named fields, in slots.

What `dataclasses` would make by compiling source, which costs about a millisecond for
each class at the import of the package; so what `import trimtab` brings is made of
these, and everything else of dataclasses.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

__all__ = ["ComparedRecord", "FrozenRecord", "Record"]

_Self = TypeVar("_Self", bound="FrozenRecord")


class Record:
    """Fields in slots, shown by name."""

    __slots__: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Give the fields."""
        fields = (f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({', '.join(fields)})"


class ComparedRecord(Record):
    """Records that are equal when their fields are."""

    __slots__: tuple[str, ...] = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """Compare all fields."""
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, x) == getattr(other, x) for x in self.__slots__)


class FrozenRecord(Record):
    """Records that never change: hashed by their fields, pickled by them.

    ``__init__`` takes the fields in the order of ``__slots__`` and hands them to
    `_set`.
    """

    __slots__: tuple[str, ...] = ()

    def _set(self, *values: Any) -> None:
        for name, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        """Refuse."""
        raise AttributeError(
            f"cannot assign to {name!r}: {type(self).__name__} is frozen"
        )

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse."""
        raise AttributeError(f"cannot delete {name!r}: {type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        """Compare all fields."""
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        """Hash all fields."""
        return hash((type(self), self._values()))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the fields."""
        return type(self), self._values()

    def __replace__(self: _Self, /, **changes: Any) -> _Self:
        """Copy with other values of some fields (`copy.replace`)."""
        values = dict(zip(self.__slots__, self._values(), strict=True))
        return type(self)(**{**values, **changes})
