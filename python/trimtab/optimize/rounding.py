"""Rounding weights so that the errors of a channel cancel for the data at hand.

To the nearest step each weight errs by itself. But what a layer reads is correlated:
after one weight was rounded, the weights that are still to be rounded can take back
most of what it changed in the layer's results. Column by column that is GPTQ, here for
8 bits with one scale per channel, and for convolutions too, whose rows are patches.

References
----------
Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers, 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.graph import Model, Node
from trimtab.model import Model as Engine
from trimtab.optimize.fold_affine import output_axis
from trimtab.optimize.layers import Layer, find_layers
from trimtab.optimize.precision import host_precisions
from trimtab.optimize.runnable import runnable
from trimtab.optimize.wiring import Wiring, is_operator
from trimtab.types import Array

__all__ = ["find_rounded", "put_rounded", "round_by_feedback", "round_weights"]

# Rows that are looked at: this many for each weight of a channel.
_ROWS_PER_WEIGHT = 4
_MOST_ROWS = 4096

# Tensors that are looked at in one run.
_AT_ONCE = 8

# Columns whose errors are handed on together.
_BLOCK = 64

# Beyond this the products of rows take longer than they are worth.
_MOST_WEIGHTS = 1280

# Where weights have 7 bits the engine makes steps larger by this.
_STEPS_OF_7_BITS = np.float32(127 / 64)

# Of the mean of the diagonal, so that what hardly varies is not relied on.
_DAMPING = 0.01

Progress = Callable[[int, int], bool | None]


def round_by_feedback(weights: Array, moments: Array, scales: Array) -> Array:
    """Round weights, each time letting those that are left make up for it.

    A channel whose nearest steps are nearer in what comes out keeps those: there is
    not always enough left to make up with.

    Parameters
    ----------
    weights : ndarray of shape (groups, channels, n)
    moments : ndarray of shape (groups, n, n)
        Mean products of what the weights are multiplied with.
    scales : ndarray of shape (groups, channels)
        The largest weight of a channel says how many steps there are.

    Returns
    -------
    rounded : ndarray of float64 of shape (groups, channels, n)
        Whole multiples of the scales, none beyond the largest weight.

    Examples
    --------
    >>> weights, scales = np.array([[[1.4, 1.4, 9.0]]]), np.ones((1, 1))
    >>> together = np.array([[[1.01, 1, 0], [1, 1.01, 0], [0, 0, 1]]])
    >>> round_by_feedback(weights, together, scales)
    array([[[1., 2., 9.]]])
    """
    left = weights.astype(np.float64)
    n = left.shape[2]
    last = np.minimum(127, np.rint(np.abs(left).max(axis=2) / scales))
    diagonal = np.einsum("gii->gi", moments).astype(np.float64)
    damping = _DAMPING * diagonal.mean(axis=1, keepdims=True) + 1e-30
    damped = moments + damping[:, :, None] * np.eye(n)
    # The rows of this factor say how an error in one weight is best spread.
    spread = np.linalg.cholesky(np.linalg.inv(damped)).swapaxes(1, 2)
    rounded = np.empty_like(left)
    for start in range(0, n, _BLOCK):
        end = min(n, start + _BLOCK)
        errors = np.empty((*left.shape[:2], end - start))
        for i in range(start, end):
            steps = np.clip(np.rint(left[:, :, i] / scales), -last, last)
            rounded[:, :, i] = steps * scales
            error = (left[:, :, i] - rounded[:, :, i]) / spread[:, i, i, None]
            left[:, :, i:end] -= error[:, :, None] * spread[:, None, i, i:end]
            errors[:, :, i - start] = error
        left[:, :, end:] -= errors @ spread[:, start:end, end:]
    steps = np.rint(weights / scales[:, :, None])
    nearest = np.clip(steps, -last[:, :, None], last[:, :, None]) * scales[:, :, None]
    is_worse = _error(rounded - weights, moments) > _error(nearest - weights, moments)
    return np.where(is_worse[:, :, None], nearest, rounded)


def _error(change: Array, moments: Array) -> Array:
    """Mean square of what changed weights change, of (groups, channels)."""
    squares: Array = np.einsum("gci,gci->gc", change @ moments, change)
    return squares


def find_rounded(
    quantized: Model,
    graph: Model,
    batches: Sequence[Mapping[str, Array]],
    *,
    layers: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Array]:
    """Round the weights of a quantised graph for the data that it reads.

    To the steps that this processor computes in: where weights have 7 bits they are
    127 / 64 times those of the graph.

    Parameters
    ----------
    quantized : trimtab.graph.Model
        What `trimtab.optimize.quantize.quantize_graph` made of `graph`.
    graph : trimtab.graph.Model
        The graph in float32.
    batches : sequence of mapping of str to ndarray
        Calibration data: inputs by name.
    layers : sequence of str, optional
        Names of the layers; by default all that are quantised, but for MatMul: its
        rows are often tokens, and padding among them (MiniLM gains 0.1 dB in 8 bits
        and loses 0.7 dB in 7).
    progress : callable, optional
        Called with layers done and layers to do; what it returns says whether to stop
        there, with the layers that are done.

    Returns
    -------
    rounded : dict of str to ndarray
        Layer -> float32 weights that lie on such steps, in the shape of its constant.
        Transposed convolutions and channels of more than 1,280 weights are not among
        them.

    Raises
    ------
    InputError
        No batches.

    Examples
    --------
    >>> find_rounded(quantized, graph, batches)            # doctest: +SKIP
    """
    if not batches:
        raise InputError("batches: rounding needs data, got no batch")
    wiring = Wiring(quantized)
    found = {
        layer.name: _view(wiring, layer)
        for layer in find_layers(graph)
        if (layer.op_type != "MatMul" if layers is None else layer.name in layers)
    }
    views = [(name, view) for name, view in found.items() if view is not None]
    larger = _STEPS_OF_7_BITS if host_precisions().weight_bits == 7 else np.float32(1)
    rounded: dict[str, Array] = {}
    with runnable(quantized) as engine:
        for start in range(0, len(views), _AT_ONCE):
            some = views[start : start + _AT_ONCE]
            moments = _moments(engine, [view for _, view in some], batches)
            for (name, view), products in zip(some, moments, strict=True):
                weights = _rounded(wiring, view, products, view.scales * larger)
                if weights is not None:
                    rounded[name] = weights
            if progress is not None and progress(start + len(some), len(views)):
                break
    return rounded


def put_rounded(quantized: Model, graph: Model, rounded: Mapping[str, Array]) -> Model:
    """Replace weights by rounded ones.

    Parameters
    ----------
    quantized : trimtab.graph.Model
        With the same steps per channel as the graph that was given to `find_rounded`;
        is not changed. Layers that are not quantised in it stay as they are.
    graph : trimtab.graph.Model
        The graph in float32.
    rounded : mapping of str to ndarray
        What `find_rounded` gave.

    Returns
    -------
    model : trimtab.graph.Model

    Examples
    --------
    >>> put_rounded(quantized, graph, rounded)             # doctest: +SKIP
    """
    model = quantized.copy()
    wiring = Wiring(model)
    for layer in find_layers(graph):
        view = _view(wiring, layer) if layer.name in rounded else None
        if view is not None:
            name = f"{view.quantize.inputs[0]}_rounded"
            constant = wiring.add_constant(rounded[layer.name], name)
            view.quantize.inputs[0] = constant
    wiring.drop_unread()
    return model


def round_weights(
    quantized: Model,
    graph: Model,
    batches: Sequence[Mapping[str, Array]],
    *,
    layers: Sequence[str] | None = None,
) -> Model:
    """Do both of `find_rounded` and `put_rounded`.

    What this leaves of mean errors is for `trimtab.optimize.bias_correction`, which
    comes after it.

    Parameters
    ----------
    quantized, graph : trimtab.graph.Model
    batches : sequence of mapping of str to ndarray
    layers : sequence of str, optional
        As `find_rounded` takes them.

    Returns
    -------
    model : trimtab.graph.Model
        The same graph; weights are float32 numbers that lie on the steps.

    Raises
    ------
    InputError
        No batches.

    Examples
    --------
    >>> round_weights(quantized, graph, batches)           # doctest: +SKIP
    """
    rounded = find_rounded(quantized, graph, batches, layers=layers)
    return put_rounded(quantized, graph, rounded)


@dataclass
class _View:
    """A quantised layer, its weights as groups, channels and what they multiply."""

    node: Node
    source: str
    weights: Array
    scales: Array
    quantize: Node


def _view(wiring: Wiring, layer: Layer) -> _View | None:
    """Look at a layer; None where it is not one that can be rounded."""
    node = wiring.producer(layer.result)
    if node is None or node.op_type == "ConvTranspose":
        return None
    pairs = [wiring.producer(name) for name in node.inputs[:2]]
    if not all(is_operator(pair, "DequantizeLinear") for pair in pairs):
        return None
    assert pairs[1] is not None
    quantize = wiring.producer(pairs[1].inputs[0])
    if quantize is None or not is_operator(quantize, "QuantizeLinear"):
        return None
    weights, scales = (wiring.constant(name) for name in quantize.inputs[:2])
    if weights is None or scales is None or node.attributes.get("transA", 0):
        return None
    groups = int(node.attributes.get("group", 1)) if node.op_type == "Conv" else 1
    rows = np.moveaxis(weights, output_axis(node), 0)
    rows = rows.reshape(groups, len(rows) // groups, -1)
    if rows.shape[2] > _MOST_WEIGHTS:
        return None
    return _View(node, node.inputs[0], rows, scales.reshape(groups, -1), quantize)


def _rounded(
    wiring: Wiring, view: _View, moments: Array, scales: Array
) -> Array | None:
    """Weights on the steps of a layer, in the shape of its constant."""
    if not np.isfinite(moments).all():
        return None
    try:
        rounded = round_by_feedback(view.weights, moments, scales)
    except np.linalg.LinAlgError:
        return None
    shape = wiring.graph.constants[view.quantize.inputs[0]].shape
    flat = rounded.astype(np.float32)
    if output_axis(view.node) == 0:
        return flat.reshape(shape)
    return np.ascontiguousarray(flat.reshape(shape[1], shape[0]).T)


# ---- what a layer reads ------------------------------------------------------------


def _moments(
    engine: Engine, views: Sequence[_View], batches: Sequence[Mapping[str, Array]]
) -> list[Array]:
    """Mean products of the elements that meet the weights of a channel."""
    sums: list[Array] = []
    for view in views:
        groups, _, n = view.weights.shape
        sums.append(np.zeros((groups, n, n)))
    n_rows = [0] * len(views)
    for batch in batches:
        seen = engine.taps.run(dict(batch), list({view.source for view in views}))
        for i, view in enumerate(views):
            wanted = min(_MOST_ROWS, _ROWS_PER_WEIGHT * view.weights.shape[2])
            rows = _rows(view, seen[view.source], -(-wanted // len(batches)))
            sums[i] += rows.swapaxes(1, 2) @ rows
            n_rows[i] += rows.shape[1]
    return [total / max(1, n) for total, n in zip(sums, n_rows, strict=True)]


def _rows(view: _View, value: Array, n_rows: int) -> Array:
    """Evenly spaced rows that meet the weights: groups, rows, elements."""
    if view.node.op_type != "Conv":
        rows = value.reshape(-1, value.shape[-1])
        return rows[_spaced(len(rows), n_rows)][None]
    return _patches(view, value, n_rows)


def _spaced(n: int, n_wanted: int) -> Array:
    picked: Array = np.linspace(0, n - 1, min(n, n_wanted)).astype(np.int64)
    return picked


def _patches(view: _View, image: Array, n_rows: int) -> Array:
    """Patches of an image that a convolution multiplies with its weights."""
    node, groups = view.node, len(view.weights)
    n_dims = image.ndim - 2
    kernel = _kernel(view, image)
    strides = node.attributes.get("strides", [1] * n_dims)
    dilations = node.attributes.get("dilations", [1] * n_dims)
    pads = node.attributes.get("pads", [0] * 2 * n_dims)
    if node.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        pads = [k // 2 for k in kernel] * 2  # near enough for a mean
    around = [(0, 0), (0, 0), *zip(pads[:n_dims], pads[n_dims:], strict=True)]
    image = np.pad(image, around)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(
        image, reach, tuple(range(2, image.ndim))
    )
    index = [slice(None)] * 2 + [slice(None, None, s) for s in strides]
    index += [slice(None, None, d) for d in dilations]
    windows = windows[tuple(index)]
    places = windows.shape[0], *windows.shape[2 : 2 + n_dims]
    picked = np.unravel_index(_spaced(int(np.prod(places)), n_rows), places)
    at: tuple[Any, ...] = (picked[0], slice(None), *picked[1:])
    taken = windows[at]
    rows: Array = taken.reshape(len(taken), groups, -1).swapaxes(0, 1)
    return rows


def _kernel(view: _View, image: Array) -> list[int]:
    given = view.node.attributes.get("kernel_shape")
    if given:
        return list(given)
    per_group = image.shape[1] // len(view.weights)
    n = view.weights.shape[2] // per_group
    side = round(n ** (1 / (image.ndim - 2)))
    return [side] * (image.ndim - 2)
