"""Sequences with masked steps, packed so that an operator need not know of masks.

Keras carries a recurrent layer's state through masked steps, wherever they are. The
steps that count are moved to the front, in their order; the layer runs over that
without a mask; what it gave for the step that was last when a step came is gathered
back for that step. This holds for padding at either end and for holes.
"""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.graph import Dims

__all__ = ["Packed", "first_input", "pack", "reverse", "take_last"]


@dataclass(frozen=True)
class Packed:
    """A sequence whose steps that count come first.

    Parameters
    ----------
    x : Tensor
        Of shape (batch, steps, ...).
    mask : Tensor
        Of the sequence as it was, of shape (batch, steps).
    counts : Tensor
        How many steps counted up to each, int64, of shape (batch, steps).
    lengths : Tensor
        How many steps count, int64, of shape (batch,).
    """

    x: Tensor
    mask: Tensor
    counts: Tensor
    lengths: Tensor

    def unpack(self, context: LayerContext, y: Tensor, *, zeros: bool) -> Tensor:
        """Give outputs for the steps as they were.

        Parameters
        ----------
        context : LayerContext
        y : Tensor
            Outputs for the packed steps.
        zeros : bool
            Zeros for masked steps, rather than the output before them; zeros for
            those before the first that counts anyway.

        Returns
        -------
        y : Tensor
            Of shape (batch, steps, ...).

        Examples
        --------
        >>> packed.unpack(context, y, zeros=False)         # doctest: +SKIP
        """
        zero, one = context.constant(0), context.constant(1)
        last = context.op("Max", [context.op("Sub", [self.counts, one]), zero])
        found = _gather(context, y, last, y.shape)
        keep = self.mask
        if not zeros:
            keep = context.op("Greater", [self.counts, zero], dtype="bool")
        return _keep(context, keep, found, context.constant(0.0))

    def last(self, context: LayerContext, y: Tensor, *, zeros: bool) -> Tensor:
        """Give the output for the last step as it was.

        Parameters
        ----------
        context : LayerContext
        y : Tensor
            Outputs for the packed steps.
        zeros : bool
            See `unpack`.

        Returns
        -------
        y : Tensor
            Of shape (batch, ...).

        Examples
        --------
        >>> packed.last(context, y, zeros=False)           # doctest: +SKIP
        """
        found = take_last(context, y, self.lengths, None)
        if not zeros:
            return found
        shape = self.mask.shape[:1]
        end = context.constant(-1)
        keep = context.op("Gather", [self.mask, end], shape=shape, axis=1)
        return _keep(context, keep, found, context.constant(0.0))


def first_input(context: LayerContext, rank: int) -> Tensor:
    """Give the first tensor of a call, which may have states or others behind it.

    Parameters
    ----------
    context : LayerContext
    rank : int
        Number of dims that it must have.

    Returns
    -------
    x : Tensor

    Raises
    ------
    ModelFormatError
        There is none, or it has another number of dims.

    Examples
    --------
    >>> first_input(context, 3)                            # doctest: +SKIP
    """
    found = context.inputs
    if not found:
        raise context.error("expected an input, got none")
    context.rank(found[0], rank)
    return found[0]


def pack(context: LayerContext, x: Tensor, mask: Tensor) -> Packed:
    """Move the steps that count to the front.

    Parameters
    ----------
    context : LayerContext
    x : Tensor
        Of shape (batch, steps, ...).
    mask : Tensor
        Of shape (batch, steps).

    Returns
    -------
    packed : Packed

    Raises
    ------
    ModelFormatError
        The mask is of another shape.

    Examples
    --------
    >>> pack(context, x, x.mask)                           # doctest: +SKIP
    """
    if mask.rank != 2:
        raise context.error(
            f"expected a mask of shape (batch, steps), got {mask.shape}"
        )
    mask = context.cast(mask, "bool")
    batch, steps = mask.shape
    axis = context.constant(1)
    ones = context.cast(mask, "int64")
    counts = context.op("CumSum", [ones, axis])
    lengths = context.op(
        "Gather", [counts, context.constant(-1)], shape=(batch,), axis=1
    )
    n = context.op("Shape", [mask], shape=(1,), dtype="int64", start=1, end=2)
    scalar = context.op("Squeeze", [n, context.constant([0])], shape=())
    limits: list[Tensor | str] = [context.constant(0), scalar, axis]
    at = context.op("Range", limits, shape=(steps,), dtype="int64")
    later = context.op("Add", [at, scalar])
    rank = context.op("Where", [mask, at, later], shape=(batch, steps), dtype="int64")
    names = context.ops("TopK", [rank, n], 2, axis=1, largest=0)
    order = Tensor(names[1], "int64", (batch, steps))
    return Packed(_gather(context, x, order, x.shape), mask, counts, lengths)


def take_last(
    context: LayerContext, y: Tensor, lengths: Tensor, otherwise: Tensor | None
) -> Tensor:
    """Give the last step of each sequence.

    Parameters
    ----------
    context : LayerContext
    y : Tensor
        Of shape (batch, steps, ...).
    lengths : Tensor
        Of shape (batch,), int64.
    otherwise : Tensor or None
        For sequences without a step, of shape (batch, ...); None for zeros.

    Returns
    -------
    last : Tensor
        Of shape (batch, ...).

    Examples
    --------
    >>> take_last(context, y, packed.lengths, None)        # doctest: +SKIP
    """
    zero = context.constant(0)
    one = context.constant(1)
    last = context.op("Max", [context.op("Sub", [lengths, one]), zero])
    found = _gather(context, y, last, (y.shape[0], *y.shape[2:]))
    keep = context.op("Greater", [lengths, zero], dtype="bool")
    rest = context.constant(0.0) if otherwise is None else otherwise
    return _keep(context, keep, found, rest)


def reverse(context: LayerContext, x: Tensor) -> Tensor:
    """Reverse the steps.

    Parameters
    ----------
    context : LayerContext
    x : Tensor
        Of shape (batch, steps, ...).

    Returns
    -------
    y : Tensor

    Examples
    --------
    >>> reverse(context, x)                                # doctest: +SKIP
    """
    one = context.constant([1])
    back = context.constant([-1])
    end = context.constant([-(1 << 62)])
    return context.op("Slice", [x, back, end, one, back])


def _gather(context: LayerContext, x: Tensor, at: Tensor, shape: Dims) -> Tensor:
    """Steps of each sequence by their numbers."""
    axis = context.constant([-1])
    index = context.op("Unsqueeze", [at, axis], shape=(*at.shape, 1))
    return context.op("GatherND", [x, index], shape=shape, batch_dims=1)


def _keep(
    context: LayerContext, keep: Tensor, y: Tensor, otherwise: Tensor | str
) -> Tensor:
    """What is in y where `keep` says so."""
    axes = list(range(keep.rank, y.rank))
    shape = (*keep.shape, *[1] * len(axes))
    if axes:
        keep = context.op("Unsqueeze", [keep, context.constant(axes)], shape=shape)
    return context.op("Where", [keep, y, otherwise], shape=y.shape, dtype=y.dtype)
