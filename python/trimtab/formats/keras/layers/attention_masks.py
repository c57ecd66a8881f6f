"""Masks of attention: which keys a query may see.

They are bool, true where it may, of shape [batch, queries, keys] or with ones in place
of some of these, until `additive` makes them what is added to the scores.
"""

from __future__ import annotations

from trimtab.formats.keras.layer import LayerContext, Tensor

__all__ = [
    "additive",
    "all_of",
    "allowed",
    "causal",
    "of_keys",
    "of_queries",
    "window",
]

# Keras' own; adding it leaves nothing of a score, so that softmax over masked keys
# only gives equal parts.
_MASKED = -1e9


def of_queries(context: LayerContext, mask: Tensor) -> Tensor:
    """Give the mask of queries a dim for the keys.

    Parameters
    ----------
    context : LayerContext
    mask : Tensor
        Of shape (batch, queries).

    Returns
    -------
    mask : Tensor

    Examples
    --------
    >>> of_queries(context, query.mask)                    # doctest: +SKIP
    """
    return _expand(context, mask, -1)


def of_keys(context: LayerContext, mask: Tensor) -> Tensor:
    """Give the mask of keys a dim for the queries.

    Parameters
    ----------
    context : LayerContext
    mask : Tensor
        Of shape (batch, keys).

    Returns
    -------
    mask : Tensor

    Examples
    --------
    >>> of_keys(context, key.mask)                         # doctest: +SKIP
    """
    return _expand(context, mask, -2)


def _expand(context: LayerContext, mask: Tensor, axis: int) -> Tensor:
    mask = context.cast(mask, "bool")
    at = mask.rank + 1 + axis
    shape = (*mask.shape[:at], 1, *mask.shape[at:])
    return context.op("Unsqueeze", [mask, context.constant([axis])], shape=shape)


def causal(context: LayerContext, query: Tensor, key: Tensor) -> Tensor:
    """Make the mask by which a query sees the keys up to its own place.

    Parameters
    ----------
    context : LayerContext
    query, key : Tensor
        Whose second last dims are counted.

    Returns
    -------
    mask : Tensor
        Of shape (1, queries, keys).

    Examples
    --------
    >>> causal(context, query, key)                        # doctest: +SKIP
    """
    rows, columns, shape = _places(context, query, key)
    return context.op("GreaterOrEqual", [rows, columns], shape=shape, dtype="bool")


def window(context: LayerContext, query: Tensor, key: Tensor, size: int) -> Tensor:
    """Make the mask by which a query sees keys nearer than `size` places.

    Parameters
    ----------
    context : LayerContext
    query, key : Tensor
    size : int

    Returns
    -------
    mask : Tensor
        Of shape (1, queries, keys).

    Examples
    --------
    >>> window(context, query, key, 4)                     # doctest: +SKIP
    """
    rows, columns, shape = _places(context, query, key)
    distance = context.op("Sub", [rows, columns], shape=shape)
    distance = context.op("Abs", [distance])
    return context.op("Less", [distance, context.constant(size)], dtype="bool")


def _places(
    context: LayerContext, query: Tensor, key: Tensor
) -> tuple[Tensor, Tensor, tuple[int | str | None, ...]]:
    """Numbers of queries, as a column, and of keys."""
    found = []
    for tensor in (query, key):
        at, size = tensor.rank - 2, tensor.shape[-2]
        n = context.op(
            "Shape", [tensor], shape=(1,), dtype="int64", start=at, end=at + 1
        )
        end = context.op("Squeeze", [n, context.constant([0])], shape=())
        limits: list[Tensor | str] = [context.constant(0), end, context.constant(1)]
        found.append(context.op("Range", limits, shape=(size,), dtype="int64"))
    rows = context.op(
        "Unsqueeze", [found[0], context.constant([0, 2])], shape=(1, query.shape[-2], 1)
    )
    return rows, found[1], (1, query.shape[-2], key.shape[-2])


def all_of(context: LayerContext, masks: list[Tensor]) -> Tensor | None:
    """Give the mask that holds where all hold; None for none.

    Parameters
    ----------
    context : LayerContext
    masks : list of Tensor

    Returns
    -------
    mask : Tensor or None

    Examples
    --------
    >>> all_of(context, []) is None                        # doctest: +SKIP
    True
    """
    found: Tensor | None = None
    for mask in masks:
        if found is None:
            found = mask
            continue
        rank = max(found.rank, mask.rank)
        both = [(*[1] * (rank - m.rank), *m.shape) for m in (found, mask)]
        shape = tuple(b if a == 1 else a for a, b in zip(*both, strict=True))
        found = context.op("And", [found, mask], shape=shape, dtype="bool")
    return found


def allowed(context: LayerContext, mask: Tensor, rank: int) -> Tensor:
    """Make a mask to one of as many dims as the scores have.

    Parameters
    ----------
    context : LayerContext
    mask : Tensor
    rank : int
        Of the scores; dims of one are put before the last two.

    Returns
    -------
    mask : Tensor

    Examples
    --------
    >>> allowed(context, mask, 4)                          # doctest: +SKIP
    """
    missing = rank - mask.rank
    if missing <= 0:
        return mask
    at = max(mask.rank - 2, 0)
    axes = list(range(at, at + missing))
    shape = (*mask.shape[:at], *[1] * missing, *mask.shape[at:])
    return context.op("Unsqueeze", [mask, context.constant(axes)], shape=shape)


def additive(context: LayerContext, mask: Tensor, rank: int) -> Tensor:
    """Make a mask to what is added to scores.

    Parameters
    ----------
    context : LayerContext
    mask : Tensor
    rank : int
        Of the scores.

    Returns
    -------
    addend : Tensor
        float32.

    Examples
    --------
    >>> additive(context, mask, 4)                         # doctest: +SKIP
    """
    zero, masked = context.constant(0.0), context.constant(_MASKED)
    found = context.op("Where", [mask, zero, masked], dtype="float32")
    return allowed(context, found, rank)
