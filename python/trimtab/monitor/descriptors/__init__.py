"""Cheap numbers that say what images, sound, texts and other tensors are like.

A feature of a table drifts by itself; of a tensor with 150,000 pixels only what it
looks like can be watched. A kind is one file and one line in `DESCRIPTORS`.
"""

from __future__ import annotations

from typing import Any

from trimtab.errors import InputError
from trimtab.monitor.descriptors.audio import AUDIO
from trimtab.monitor.descriptors.descriptor import Descriptor, Rows
from trimtab.monitor.descriptors.guess import guess_kind, guess_options
from trimtab.monitor.descriptors.image import IMAGE
from trimtab.monitor.descriptors.text import TEXT
from trimtab.monitor.descriptors.vector import VECTOR

__all__ = [
    "DESCRIPTORS",
    "Descriptor",
    "describe",
    "guess_kind",
    "guess_options",
    "names",
]

#: kind -> its descriptor
DESCRIPTORS: dict[str, Descriptor] = {
    each.kind: each for each in (AUDIO, IMAGE, TEXT, VECTOR)
}


def names(kind: str) -> tuple[str, ...]:
    """Name the numbers of a kind of tensor.

    Parameters
    ----------
    kind : {"audio", "image", "text", "vector"}

    Returns
    -------
    names : tuple of str

    Raises
    ------
    InputError
        The kind is not known.

    Examples
    --------
    >>> names("text")
    ('length', 'unknown_share', 'padding_share', 'distinct_share', 'mean_id')
    """
    return _descriptor(kind).names


def describe(kind: str, array: Any, **options: Any) -> Rows:
    """Describe each item along axis 0 of a tensor.

    Parameters
    ----------
    kind : {"audio", "image", "text", "vector"}
    array : array-like
        (n, ...), as the model takes it or before it is normalised.
    **options : object
        Keywords of the kind's function, such as `channel_axis` of images;
        `guess_options` finds them.

    Returns
    -------
    rows : ndarray of float32, of shape (n, n_features)
        A column for each of `names`; NaN where a number does not exist.

    Raises
    ------
    InputError
        The kind or an option is not known, or the array is nothing of this kind.

    Examples
    --------
    >>> describe("text", [[5, 6, 7, 0]])[0, :1].tolist()
    [3.0]
    """
    descriptor = _descriptor(kind)
    try:
        return descriptor.function(array, **options)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"descriptors of kind {kind!r}: {error}") from None


def _descriptor(kind: str) -> Descriptor:
    if kind not in DESCRIPTORS:
        raise InputError(
            f"there are no descriptors of kind {kind!r}; there are "
            f"{', '.join(sorted(DESCRIPTORS))}"
        )
    return DESCRIPTORS[kind]
