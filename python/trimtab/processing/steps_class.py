"""Steps that turn a classifier's scores into classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from trimtab.errors import InputError
from trimtab.processing.decode_class import softmax
from trimtab.processing.step import Context, Step

__all__ = ["Softmax"]


@dataclass(frozen=True)
class Softmax(Step):
    """Scores to probabilities along an axis.

    Parameters
    ----------
    axis : int, default=-1

    Raises
    ------
    InputError
        The axis is no integer.
    """

    kind: ClassVar[str] = "softmax"
    axis: int = -1

    def __post_init__(self) -> None:
        """Check the parameters."""
        if not isinstance(self.axis, int):
            raise InputError(f"axis: expected an integer, got {self.axis!r}")

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.decode_class.softmax`.

        Parameters
        ----------
        value : array-like
        context : dict

        Returns
        -------
        probabilities : ndarray
        """
        return softmax(value, axis=self.axis)
