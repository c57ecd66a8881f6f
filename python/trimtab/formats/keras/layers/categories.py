"""Layers that make categories of numbers: bins, vocabularies, one-hot vectors."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.searching import count_not_above

__all__ = ["category_encoding", "discretization", "integer_lookup", "refuse_strings"]

_Array: TypeAlias = "np.ndarray[Any, Any]"
_MAX_UNKNOWN = 1 << 20
_MODES = {"binary": "multi_hot", "tf-idf": "tf_idf"}


def category_encoding(context: LayerContext) -> Tensor:
    """CategoryEncoding: one_hot, multi_hot or count.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        Its config is malformed.

    Examples
    --------
    >>> category_encoding(context)                         # doctest: +SKIP
    """
    depth = context.config.int("num_tokens", least=1)
    mode = _mode(context, ("one_hot", "multi_hot", "count"), "multi_hot")
    weights = context.argument("count_weights", 1)
    index = context.cast(context.x.masked(None), "int64")
    return _encode(context, index, mode, depth, weights)


def discretization(context: LayerContext) -> Tensor:
    """Discretization: the number of the bin that an element falls into.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    ModelFormatError
        Its bins are malformed, or were never adapted.

    Examples
    --------
    >>> discretization(context)                            # doctest: +SKIP
    """
    given = context.config.value("bin_boundaries", None)
    if given is None:
        raise context.error(
            "it has no bin_boundaries: call adapt before the model is saved"
        )
    bounds = _vector(context, "bin_boundaries", given, np.float32)
    if np.any(np.diff(bounds) < 0):
        raise context.config.error("bin_boundaries", "ascending numbers")
    x = context.cast(context.x.masked(None), "float32")
    if len(bounds) == 0:
        zero = context.op("Mul", [x, context.constant(0.0)])
        index = context.cast(zero, "int64")
    else:
        index = count_not_above(context, x, bounds, "bin_boundaries")
    mode = _mode(context, ("int", "one_hot", "multi_hot", "count"), "int")
    if mode == "int":
        is_new = context.source.keras_major >= 3
        return context.cast(index, "int32" if is_new else "int64")
    return _encode(context, index, mode, len(bounds) + 1, None)


# ---- IntegerLookup ---------------------------------------------------------------


def integer_lookup(context: LayerContext) -> Tensor:
    """IntegerLookup: the place of a number in a vocabulary, or back.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor

    Raises
    ------
    UnsupportedOpError
        Unknown numbers are hashed.
    ModelFormatError
        The vocabulary is malformed, or not there.

    Examples
    --------
    >>> integer_lookup(context)                            # doctest: +SKIP
    """
    config = context.config
    mode = _mode(context, ("int", "one_hot", "multi_hot", "count", "tf_idf"), "int")
    mask = config.optional_int("mask_token")
    n_unknown = config.int("num_oov_indices", 1, least=0)
    if n_unknown > _MAX_UNKNOWN:
        raise config.error("num_oov_indices", f"{_MAX_UNKNOWN} or less")
    begin = int(mask is not None and mode == "int")
    unknown = config.optional_int("oov_token")
    special = [0 if mask is None else mask] * begin
    special += [0 if unknown is None else unknown] * n_unknown
    words = _vocabulary(context, special)
    x = context.cast(context.x.masked(None), "int64")
    if config.flag("invert", False):
        table = np.concatenate([np.array(special, np.int64), words])
        return _look_up(context, x, table, unknown or 0)
    index = _find(context, x, words, begin, n_unknown)
    if mask is not None:
        is_mask = context.op("Equal", [x, context.constant(mask)], dtype="bool")
        place = context.constant(0 if mode == "int" else -1)
        index = context.op("Where", [is_mask, place, index], shape=x.shape)
        index = Tensor(index.name, "int64", x.shape)
    if mode == "int":
        return index
    depth = begin + n_unknown + len(words)
    if config.flag("pad_to_max_tokens", False):
        depth = config.int("max_tokens", least=depth)
    if mode != "tf_idf":
        return _encode(context, index, mode, depth, None)
    counts = _encode(context, index, "count", depth, None)
    weights = np.zeros(depth, np.float32)
    given = config.value("idf_weights", None)
    if given is None:
        raise context.unsupported("tf_idf with weights that are not in its config")
    found = _vector(context, "idf_weights", given, np.float32)
    if len(found) != len(words):
        raise config.error("idf_weights", f"{len(words)} numbers")
    # Keras gives unknown numbers the mean of the weights.
    weights[:n_unknown] = found.mean() if len(found) else 0.0
    weights[n_unknown : n_unknown + len(found)] = found
    return context.op("Mul", [counts, context.made("idf_weights", weights)])


def _vocabulary(context: LayerContext, special: list[int]) -> _Array:
    """The numbers of the vocabulary, without those that stand for others."""
    given = context.config.value("vocabulary", None)
    if given is None:
        content = context.asset("vocabulary.txt")
        if content is None:
            raise context.error(
                "it has no vocabulary: call adapt or set_vocabulary before the model "
                "is saved"
            )
        try:
            given = [int(line) for line in content.split()]
        except ValueError:
            raise context.error("vocabulary.txt: expected integers") from None
    words = _vector(context, "vocabulary", given, np.int64)
    if len(special) and list(words[: len(special)]) == special:
        words = words[len(special) :]
    if len(np.unique(words)) != len(words):
        raise context.error("two entries of the vocabulary are equal")
    return words


def _find(
    context: LayerContext, x: Tensor, words: _Array, begin: int, n_unknown: int
) -> Tensor:
    """The index of each element; that of unknown ones where it is not there."""
    rest: Tensor | str = context.constant(-1 if n_unknown == 0 else begin)
    if n_unknown > 1:
        if context.config.text("oov_method", "floormod") != "floormod":
            raise context.unsupported("oov_method='farmhash' is not supported")
        rest = context.op("Mod", [x, context.constant(n_unknown)])
        rest = context.op("Add", [rest, context.constant(begin)])
    if len(words) == 0:
        zero = context.op("Mul", [x, context.constant(0)])
        return context.op("Add", [zero, rest])
    order = np.argsort(words, kind="stable")
    count = count_not_above(context, x, words[order], "vocabulary")
    at = context.op(
        "Max", [context.op("Sub", [count, context.constant(1)]), context.constant(0)]
    )
    sorted_words = context.made("vocabulary", words[order])
    found = context.op("Gather", [sorted_words, at], shape=x.shape, axis=0)
    places = context.made("places", order.astype(np.int64) + begin + n_unknown)
    place = context.op("Gather", [places, at], shape=x.shape, axis=0)
    is_there = context.op("Equal", [found, x], shape=x.shape, dtype="bool")
    return context.op("Where", [is_there, place, rest], shape=x.shape, dtype="int64")


def _look_up(context: LayerContext, x: Tensor, table: _Array, otherwise: int) -> Tensor:
    """Elements of a table by their numbers; `otherwise` for numbers outside."""
    whole = context.made("tokens", np.append(table, otherwise).astype(np.int64))
    end = context.constant(len(table))
    inside = context.op("Less", [x, end], dtype="bool")
    positive = context.op("GreaterOrEqual", [x, context.constant(0)], dtype="bool")
    inside = context.op("And", [inside, positive], dtype="bool")
    at = context.op("Where", [inside, x, end], shape=x.shape, dtype="int64")
    return context.op("Gather", [whole, at], shape=x.shape, axis=0)


# ---- encoding --------------------------------------------------------------------


def _mode(context: LayerContext, choices: tuple[str, ...], default: str) -> str:
    given = context.config.text("output_mode", default)
    mode = _MODES.get(given, given)
    if mode not in choices:
        raise context.config.error("output_mode", " or ".join(map(repr, choices)))
    return mode


def _encode(
    context: LayerContext, index: Tensor, mode: str, depth: int, weights: Any
) -> Tensor:
    """Vectors of `depth`; an index outside of it counts for nothing."""
    if depth > context.source.limits.max_fold_bytes // 8:
        raise context.error(f"vectors of {depth} elements are too long")
    if mode == "one_hot" and index.rank > 1 and index.shape[-1] == 1:
        axis = context.constant([-1])
        index = context.op("Squeeze", [index, axis], shape=index.shape[:-1])
    column = context.op(
        "Unsqueeze", [index, context.constant([-1])], shape=(*index.shape, 1)
    )
    numbers = context.made("categories", np.arange(depth, dtype=np.int64))
    shape = (*index.shape, depth)
    hits = context.op("Equal", [column, numbers], shape=shape, dtype="bool")
    found = context.cast(hits, "float32")
    if mode == "one_hot":
        return found
    if isinstance(weights, Tensor):
        factors = context.cast(weights, "float32")
        axis = context.constant([-1])
        factors = context.op("Unsqueeze", [factors, axis], shape=(*weights.shape, 1))
        found = context.op("Mul", [found, factors])
    axis_number = min(1, index.rank - 1)
    rest = (*shape[:axis_number], *shape[axis_number + 1 :])
    kind = "ReduceMax" if mode == "multi_hot" else "ReduceSum"
    axis = context.constant([axis_number])
    return context.op(kind, [found, axis], shape=rest, keepdims=0)


def _vector(context: LayerContext, key: str, value: Any, dtype: Any) -> _Array:
    """A list of numbers of a config."""
    try:
        array = np.asarray(value)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iuf"):
            raise TypeError
        with np.errstate(all="raise"):
            return array.astype(dtype)
    except (TypeError, ValueError, OverflowError, FloatingPointError):
        raise context.config.error(key, "a list of numbers") from None


def refuse_strings(context: LayerContext) -> Tensor:
    """Refuse StringLookup, TextVectorization, Hashing and HashedCrossing.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    y : Tensor
        Never.

    Raises
    ------
    UnsupportedOpError
        Always.

    Examples
    --------
    >>> refuse_strings(context)                            # doctest: +SKIP
    """
    raise context.unsupported(
        "it computes with strings, and a model here takes numbers: save the part of "
        "the model behind it (keras.Model(layer.output, model.output)), and turn text "
        "into indices before the call, for instance in a step of a Pipeline"
    )
