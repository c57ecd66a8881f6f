"""What every step of a pipeline is: parameters that can be stored, and a call.

A step is a frozen dataclass. Its fields are its parameters: numbers, texts, lists of
them, and bytes (files that travel with the model). They are checked when the step is
made, because they may come from a file.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from trimtab.errors import ModelFormatError

__all__ = ["Context", "Step"]

Context = dict[str, Any]
"""Facts about one request that an earlier step leaves for a later one, such as the
size of a picture before it was resized."""


@dataclass(frozen=True)
class Step:
    """One declarative step of a pipeline.

    A subclass is a frozen dataclass that names its `kind` and defines ``__call__``;
    it stands in the table `trimtab.processing.STEPS`. ``__post_init__`` must refuse
    parameters that make no sense, with an `InputError`.

    Examples
    --------
    >>> from trimtab.processing import make_step
    >>> make_step("softmax", {"axis": -1}, {}).config()
    ({'axis': -1}, {})
    """

    kind: ClassVar[str] = ""

    def _set(self, **values: Any) -> None:
        """Store parameters as ``__post_init__`` checked them: lists as tuples."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __call__(self, value: Any, context: Context) -> Any:
        """Do the step.

        Parameters
        ----------
        value : object
            What the step before returned.
        context : dict
            Of this request; may be read and added to.

        Returns
        -------
        value : object

        Raises
        ------
        NotImplementedError
            The subclass defines no call.
        """
        raise NotImplementedError(type(self).__name__)

    def config(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Give the parameters, and those of them that are bytes.

        Returns
        -------
        parameters : dict
            What JSON can hold.
        assets : dict of str to bytes
        """
        parameters: dict[str, Any] = {}
        assets: dict[str, bytes] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bytes):
                assets[field.name] = value
            else:
                parameters[field.name] = _plain(value)
        return parameters, assets

    @classmethod
    def from_config(cls, parameters: dict[str, Any], assets: dict[str, bytes]) -> Step:
        """Make the step from what `config` gave.

        Parameters
        ----------
        parameters : dict
        assets : dict of str to bytes

        Returns
        -------
        step : Step

        Raises
        ------
        ModelFormatError
            There are parameters that the step does not have.
        """
        known = {field.name for field in fields(cls)}
        given = {**parameters, **assets}
        if unknown := sorted(given.keys() - known):
            raise ModelFormatError(
                f"step {cls.kind!r}: it has no parameter {unknown[0]!r}; it has "
                f"{sorted(known)}"
            )
        try:
            return cls(**{name: _frozen(value) for name, value in given.items()})
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelFormatError(f"step {cls.kind!r}: {error}") from None


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
