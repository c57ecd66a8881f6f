"""MultiHeadAttention, GroupQueryAttention, Attention and AdditiveAttention.

Layers with heads become products and ONNX's Attention (opset 23), the others MatMul,
Softmax and MatMul, which the engine joins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.layers.attention_masks import (
    additive,
    all_of,
    allowed,
    causal,
    of_keys,
    of_queries,
    window,
)

__all__ = [
    "additive_attention",
    "attention",
    "group_query_attention",
    "multi_head_attention",
]

_Array: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True)
class _Heads:
    """Sizes of an attention of several heads.

    `kv` is the number of heads of keys and values, `out` the last dim of the result.
    """

    n: int
    kv: int
    key: int
    value: int
    out: int


def multi_head_attention(context: LayerContext) -> list[Tensor]:
    """MultiHeadAttention.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    outputs : list of Tensor
        The result, and the scores where the call asks for them.

    Raises
    ------
    UnsupportedOpError
        It attends along several axes.

    Examples
    --------
    >>> multi_head_attention(context)                      # doctest: +SKIP
    """
    config = context.config
    query = _query(context)
    axes = config.ints("attention_axes") if config.has("attention_axes") else (1,)
    if query.rank != 3 or axes not in ((1,), (-2,)):
        raise context.unsupported(
            f"attention along axes {list(axes)} of a query of {query.rank} dims; "
            "supported is axis 1 of [batch, steps, features]"
        )
    n, key = config.int("num_heads", least=1), config.int("key_dim", least=1)
    value = config.int("value_dim", least=1) if config.has("value_dim") else key
    if config.has("output_shape"):
        sizes = config.ints("output_shape", least=1)
        if len(sizes) != 1:
            raise context.unsupported(f"output_shape={list(sizes)} of several dims")
        out = sizes[0]
    else:
        out = context.size(query, -1)
    return _heads(context, _Heads(n, n, key, value, out), "")


def group_query_attention(context: LayerContext) -> list[Tensor]:
    """GroupQueryAttention: several heads of queries share one of keys and values.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    outputs : list of Tensor
        The result, and the scores where the call asks for them.

    Raises
    ------
    ModelFormatError
        The heads cannot be shared out.

    Examples
    --------
    >>> group_query_attention(context)                     # doctest: +SKIP
    """
    config = context.config
    size = config.int("head_dim", least=1)
    n = config.int("num_query_heads", least=1)
    kv = config.int("num_key_value_heads", least=1)
    if n % kv:
        raise config.error("num_key_value_heads", f"a divisor of {n} query heads")
    query = _query(context)
    context.rank(query, 3)
    sizes = _Heads(n, kv, size, size, context.size(query, -1))
    return _heads(context, sizes, "_")


# ---- several heads ---------------------------------------------------------------


def _heads(context: LayerContext, heads: _Heads, prefix: str) -> list[Tensor]:
    """The layer, whose projections are parts ``<prefix>query_dense`` and so on."""
    query, key, value = _arguments(context)
    wants_scores = context.argument("return_attention_scores") is True
    mask = _heads_mask(context, query, key, value, wants_scores)
    q = _project_in(context, query, f"{prefix}query_dense", heads.n, heads.key)
    k = _project_in(context, key, f"{prefix}key_dense", heads.kv, heads.key)
    gate = None
    if context.config.flag("use_gate", False):
        gate = _project_in(context, query, "_gate_dense", heads.n, heads.value)
    v = _project_in(context, value, f"{prefix}value_dense", heads.kv, heads.value)
    names = context.ops(
        "Attention",
        [q, k, v, *([] if mask is None else [mask])],
        4 if wants_scores else 1,
        q_num_heads=heads.n,
        kv_num_heads=heads.kv,
        scale=1.0 / math.sqrt(heads.key),
        qk_matmul_output_mode=3,
    )
    y = Tensor(names[0], "float32", (*query.shape[:2], heads.n * heads.value))
    if gate is not None:
        y = context.op("Mul", [y, context.op("Sigmoid", [gate])])
    y = _project_out(context, y, f"{prefix}output_dense", heads)
    y = y.masked(query.mask)
    if not wants_scores:
        return [y]
    shape = (query.shape[0], heads.n, query.shape[1], key.shape[1])
    return [y, Tensor(names[3], "float32", shape)]


def _query(context: LayerContext) -> Tensor:
    if not context.inputs:
        raise context.error("expected a query and a value, got nothing")
    return context.inputs[0]


def _arguments(context: LayerContext) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of the call."""
    value = context.argument("value", 1)
    key = context.argument("key", 2)
    if not isinstance(value, Tensor):
        raise context.error("expected a query and a value")
    key = key if isinstance(key, Tensor) else value
    found = []
    for tensor in (_query(context), key, value):
        context.rank(tensor, 3)
        found.append(context.cast(tensor, "float32"))
    return found[0], found[1], found[2]


def _heads_mask(
    context: LayerContext,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    wants_scores: bool,
) -> Tensor | None:
    """The mask of 4 dims; None where nothing is masked.

    Keras 3 has two ways. With dropout or scores, a query all of whose keys are masked
    gives zeros; else, and in Keras 2, the mean of all values.
    """
    masks: list[Tensor] = []
    if query.mask is not None:
        masks.append(of_queries(context, query.mask))
    for name, tensor in (("value", value), ("key", key)):
        given = context.argument(f"{name}_mask")
        if not isinstance(given, Tensor):
            given = tensor.mask
        if given is not None and not (name == "key" and key is value):
            masks.append(of_keys(context, given))
    if context.argument("use_causal_mask") is True:
        masks.append(causal(context, query, value))
    if context.config.has("sliding_window"):
        size = context.config.int("sliding_window", least=1)
        masks.append(window(context, query, value, size))
    given = context.argument("attention_mask")
    if isinstance(given, Tensor):
        masks.append(context.cast(given, "bool"))
    mask = all_of(context, masks)
    if mask is None:
        return None
    is_plain = context.config.number("dropout", 0.0) > 0 or wants_scores
    if context.source.keras_major >= 3 and is_plain:
        return allowed(context, mask, 4)
    return additive(context, mask, 4)


def _project_in(
    context: LayerContext, x: Tensor, part: str, n: int, size: int
) -> Tensor:
    """x times a kernel of [features, heads, size], as [batch, steps, heads size]."""
    features = context.size(x, -1)
    kernel = context.array("kernel", (features, n, size), part=part)
    kernel = kernel.reshape(features, n * size)
    bias = None
    if context.config.flag("use_bias", True):
        bias = context.array("bias", (n, size), part=part).reshape(-1)
    return _multiply(context, x, part, kernel, bias)


def _project_out(context: LayerContext, x: Tensor, part: str, heads: _Heads) -> Tensor:
    """x times a kernel of [heads, size, features]."""
    shape = (heads.n, heads.value, heads.out)
    kernel = context.array("kernel", shape, part=part).reshape(-1, heads.out)
    bias = None
    if context.config.flag("use_bias", True):
        bias = context.array("bias", (heads.out,), part=part)
    return _multiply(context, x, part, kernel, bias)


def _multiply(
    context: LayerContext, x: Tensor, part: str, kernel: _Array, bias: _Array | None
) -> Tensor:
    part = part.strip("_")
    shape = (*x.shape[:-1], kernel.shape[1])
    weights = context.made(f"{part}/kernel", kernel)
    y = context.op("MatMul", [x, weights], shape=shape)
    if bias is None:
        return y
    return context.op("Add", [y, context.made(f"{part}/bias", bias)])


# ---- one head without projections ------------------------------------------------


def attention(context: LayerContext) -> list[Tensor]:
    """Attention of Luong's kind.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    outputs : list of Tensor
        The result, and the scores where the call asks for them.

    Raises
    ------
    ModelFormatError
        It is not called with a list of a query, a value and perhaps a key.

    Examples
    --------
    >>> attention(context)                                 # doctest: +SKIP
    """
    config = context.config
    query, key, value = _listed(context)
    mode = config.text("score_mode", "dot", choices=("dot", "concat"))
    scale = context.weight("scale", ()) if config.flag("use_scale", False) else None
    if mode == "dot":
        axes = [*range(key.rank - 2), key.rank - 1, key.rank - 2]
        columns = context.transpose(key.masked(None), axes)
        scores = context.op(
            "MatMul", [query, columns], shape=(*query.shape[:-1], key.shape[-2])
        )
        if scale is not None:
            scores = context.op("Mul", [scores, scale])
    else:
        factor = context.weight("concat_score_weight", ())
        pairs = _pairs(context, query, key)
        if scale is not None:
            pairs = context.op("Mul", [pairs, scale])
        scores = _sum_last(context, context.op("Tanh", [pairs]))
        scores = context.op("Mul", [scores, factor])
    return _apply_scores(context, scores, query, key, value)


def additive_attention(context: LayerContext) -> list[Tensor]:
    """AdditiveAttention, of Bahdanau's kind.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    outputs : list of Tensor
        The result, and the scores where the call asks for them.

    Raises
    ------
    ModelFormatError
        It is not called with a list of a query, a value and perhaps a key.

    Examples
    --------
    >>> additive_attention(context)                        # doctest: +SKIP
    """
    query, key, value = _listed(context)
    pairs = context.op("Tanh", [_pairs(context, query, key)])
    if context.config.flag("use_scale", True):
        scale = context.weight("scale", (context.size(query, -1),))
        pairs = context.op("Mul", [pairs, scale])
    return _apply_scores(context, _sum_last(context, pairs), query, key, value)


def _listed(context: LayerContext) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value out of [query, value] or [query, value, key]."""
    found = context.inputs
    if (
        len(found) not in (2, 3)
        or len({t.rank for t in found}) > 1
        or found[0].rank < 3
    ):
        raise context.error(
            "expected a list of a query, a value and perhaps a key of equal rank, 3 "
            f"or more; got shapes {[tensor.shape for tensor in found]}"
        )
    query, value, key = (context.cast(found[i], "float32") for i in (0, 1, -1))
    return query, key if len(found) == 3 else value, value


def _pairs(context: LayerContext, query: Tensor, key: Tensor) -> Tensor:
    """The sum of each query and each key, [batch, queries, keys, features]."""
    rows = context.op("Unsqueeze", [query, context.constant([-2])])
    columns = context.op("Unsqueeze", [key, context.constant([-3])])
    shape = (*query.shape[:-1], key.shape[-2], query.shape[-1])
    return context.op("Add", [rows, columns], shape=shape)


def _sum_last(context: LayerContext, x: Tensor) -> Tensor:
    axis = context.constant([-1])
    return context.op("ReduceSum", [x, axis], shape=x.shape[:-1], keepdims=0)


def _apply_scores(
    context: LayerContext, scores: Tensor, query: Tensor, key: Tensor, value: Tensor
) -> list[Tensor]:
    """Masks, softmax and the product with the values."""
    query_mask, value_mask = _listed_masks(context)
    masks = []
    if value_mask is not None:
        is_row = value_mask.rank == 2
        masks.append(of_keys(context, value_mask) if is_row else value_mask)
    is_causal = context.config.flag("causal", False)  # an option of Keras 2
    if is_causal or context.argument("use_causal_mask") is True:
        masks.append(causal(context, query, key))
    mask = all_of(context, masks)
    if mask is not None:
        addend = additive(context, mask, scores.rank)
        scores = context.op("Add", [scores, addend])
    weights = context.op("Softmax", [scores], axis=-1)
    shape = (*query.shape[:-1], value.shape[-1])
    y = context.op("MatMul", [weights, value], shape=shape)
    if query_mask is not None:
        keep = of_queries(context, query_mask)
        y = context.op(
            "Where", [keep, y, context.constant(0.0)], shape=shape, dtype="float32"
        )
    y = y.masked(query_mask)
    if context.argument("return_attention_scores") is True:
        return [y, weights]
    return [y]


def _listed_masks(context: LayerContext) -> tuple[Tensor | None, Tensor | None]:
    """Masks of the query and the value."""
    given = context.argument("mask")
    if not isinstance(given, list | tuple):
        given = [tensor.mask for tensor in context.inputs]
    found = [mask if isinstance(mask, Tensor) else None for mask in given[:2]]
    return found[0], found[1]
