"""What a descriptor is: names of numbers, and the function that computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Descriptor", "Rows"]

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Descriptor:
    """Cheap numbers of one kind of tensor.

    Parameters
    ----------
    kind : str
    features : mapping of str to str
        Name of each column -> what it says, in words.
    function : callable
        ``function(array, **options)`` gives float32 of shape (n, n_features); NaN
        where a number does not exist.
    """

    kind: str
    features: Mapping[str, str]
    function: Callable[..., Rows]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns, in their order."""
        return tuple(self.features)
