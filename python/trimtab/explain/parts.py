"""An input in parts that are left out and put back: pixels, features, tokens, words.

Enters: one sample. Leaves: `Parts`, which makes inputs of which some parts stand as
they are and the others as in a background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.types import Array

__all__ = ["KINDS", "Parts", "guess_kind", "make_parts"]

KINDS = ("image", "audio", "tokens", "vector", "text")

# Sides of an image that is divided, and parts of a recording, by default.
_SIDE, _N_SEGMENTS = 7, 40
_LEAST_IMAGE, _LEAST_AUDIO = 16, 400
# A vector or a text of more parts is divided into this many at most.
_MOST_PARTS = 1024
# Samples of a background.
_MOST_BACKGROUNDS = 1000


@dataclass(frozen=True, eq=False)
class Parts:
    """One input, divided.

    Parameters
    ----------
    kind : str
        Of `KINDS`.
    x : ndarray or str
        The sample, without a dim of samples.
    labels : ndarray of int
        For each element of x the part that it belongs to, in the shape of x; for a text
        the numbers of its words.
    names : tuple of str
        Of the parts.
    background : ndarray
        Of shape (m, *x.shape): what stands in the place of parts that are left out; the
        answers to the m are averaged. Empty for a text, whose words are dropped.
    grid : (int, int) or None
        Rows and columns of parts, of an image.
    """

    kind: str
    x: Any
    labels: npt.NDArray[np.int64]
    names: tuple[str, ...]
    background: Array
    grid: tuple[int, int] | None = None

    @property
    def n(self) -> int:
        """How many parts there are."""
        return len(self.names)

    @property
    def n_backgrounds(self) -> int:
        """Inputs that stand for one choice of parts."""
        return max(1, len(self.background))

    def inputs(self, present: npt.NDArray[np.bool_]) -> Any:
        """Make inputs of some parts.

        Parameters
        ----------
        present : ndarray of bool of shape (n, parts)

        Returns
        -------
        inputs : ndarray of shape (n * m, *x.shape), or list of str
            The m backgrounds of a choice stand behind one another.
        """
        if self.kind == "text":
            words = np.array(self.names, object)
            return [" ".join(words[row]) for row in present]
        is_there = present[:, self.labels][:, None]
        made = np.where(is_there, self.x, self.background)
        return made.reshape(-1, *self.x.shape)

    def blend(self, shares: npt.NDArray[np.float64]) -> Array:
        """Make inputs between the background and the sample.

        Parameters
        ----------
        shares : ndarray of shape (n, parts)
            0 is the background, 1 the sample.

        Returns
        -------
        inputs : ndarray of shape (n * m, *x.shape)
        """
        share = shares[:, self.labels][:, None]
        made = self.background + share * (self.x.astype(np.float64) - self.background)
        return np.asarray(made.reshape(-1, *self.x.shape), self.x.dtype)


def guess_kind(x: Any) -> str:
    """Tell what kind of sample it is by its shape and dtype.

    Parameters
    ----------
    x : ndarray or str
        Without a dim of samples.

    Returns
    -------
    kind : str
        Of `KINDS`.

    Examples
    --------
    >>> guess_kind(np.zeros((3, 224, 224), np.float32))
    'image'
    >>> guess_kind(np.zeros(20, np.int64))
    'tokens'
    """
    if isinstance(x, str):
        return "text"
    sides = sorted(x.shape)[-2:]
    if x.ndim == 2 or (x.ndim == 3 and min(x.shape) <= 4):
        return "image" if min(sides) >= _LEAST_IMAGE else "vector"
    if x.ndim == 1 and x.dtype.kind in "iu":
        return "tokens"
    return "audio" if x.ndim == 1 and len(x) >= _LEAST_AUDIO else "vector"


def make_parts(
    x: Any,
    kind: str,
    *,
    background: Any = None,
    n_parts: int | None = None,
    names: Sequence[str] | None = None,
) -> Parts:
    """Divide a sample.

    Parameters
    ----------
    x : ndarray or str
        Without a dim of samples.
    kind : str
        Of `KINDS`.
    background : array-like, optional
        One sample, or several: shape (*x.shape) or (m, *x.shape), or one number. By
        default the mean of each channel of an image, else zeros.
    n_parts : int, optional
        Of an image the parts along its longer side (7), of a recording all (40); of a
        vector and of tokens each element is a part.
    names : sequence of str, optional
        Of the parts.

    Returns
    -------
    parts : Parts

    Raises
    ------
    InputError
        The background has another shape, there are too many parts, or as many names
        as parts are missing.

    Examples
    --------
    >>> make_parts(np.zeros(3, np.float32), "vector").names
    ('0', '1', '2')
    """
    if kind not in KINDS:
        raise InputError(f"kind: expected one of {list(KINDS)}, got {kind!r}")
    if (kind == "text") != isinstance(x, str):
        raise InputError(f"kind {kind!r} does not fit x, {type(x).__name__}")
    if n_parts is not None and n_parts < 1:
        raise InputError(f"n_parts: expected a number from 1 on, got {n_parts}")
    grid = None
    if kind == "text":
        words = x.split()
        labels, given = np.arange(len(words)), words
    elif kind == "image":
        labels, grid = _tiles(x.shape, n_parts or _SIDE)
        given = [f"{i // grid[1]},{i % grid[1]}" for i in range(grid[0] * grid[1])]
    else:
        n = n_parts or (_N_SEGMENTS if kind == "audio" else x.size)
        n = min(n, x.size)
        labels = (np.arange(x.size) * n // max(1, x.size)).reshape(x.shape)
        given = [str(i) for i in range(n)]
    if not 0 < len(given) <= _MOST_PARTS:
        raise InputError(
            f"x: {len(given)} parts, expected 1 to {_MOST_PARTS}; n_parts= divides it "
            "more coarsely"
        )
    if names is not None and len(names) != len(given):
        raise InputError(f"names: expected {len(given)}, got {len(names)}")
    found = np.empty(0) if kind == "text" else _background(x, kind, background)
    chosen = tuple(given if names is None or kind == "text" else map(str, names))
    return Parts(kind, x, labels, chosen, found, grid)


def channel_axis(shape: Sequence[int]) -> int | None:
    """Axis of the channels of an image, or None.

    Parameters
    ----------
    shape : sequence of int
        Without a dim of samples.

    Returns
    -------
    axis : int or None
    """
    if len(shape) != 3:
        return None
    return 2 if shape[2] <= 4 < shape[0] else 0


def _tiles(
    shape: Sequence[int], n: int
) -> tuple[npt.NDArray[np.int64], tuple[int, int]]:
    axis = channel_axis(shape)
    height, width = (size for i, size in enumerate(shape) if i != axis)
    longer = max(height, width)
    n = min(n, longer)
    rows, columns = (max(1, round(n * side / longer)) for side in (height, width))
    down = np.arange(height) * rows // height
    across = np.arange(width) * columns // width
    labels = down[:, None] * columns + across
    if axis is not None:
        labels = np.expand_dims(labels, axis)
    return np.broadcast_to(labels, shape).copy(), (rows, columns)


def _background(x: Array, kind: str, given: Any) -> Array:
    if given is None:
        if kind != "image":
            return np.zeros((1, *x.shape), x.dtype)
        axis = channel_axis(x.shape)
        over = tuple(i for i in range(x.ndim) if i != axis)
        mean = x.astype(np.float64).mean(axis=over, keepdims=True)
        return np.broadcast_to(mean, x.shape)[None].astype(x.dtype)
    try:
        found = np.asarray(given)
    except ValueError as error:
        raise InputError(f"background: expected an array: {error}") from None
    if found.dtype.kind not in "fiub":
        raise InputError(f"background: expected numbers, got {found.dtype}")
    if found.ndim == 0:
        found = np.broadcast_to(found, x.shape)
    if found.shape == x.shape:
        found = found[None]
    if found.ndim != x.ndim + 1 or found.shape[1:] != x.shape or not len(found):
        raise InputError(
            f"background: expected shape {list(x.shape)} or several of these, got "
            f"{list(found.shape)}"
        )
    if len(found) > _MOST_BACKGROUNDS:
        raise InputError(
            f"background: {len(found)} samples, expected {_MOST_BACKGROUNDS} at most: "
            "a hundred drawn at random do"
        )
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise InputError("background: expected finite numbers, got NaN or infinity")
    return found.astype(x.dtype)
