"""SmoothQuant: channels with large activations hand their size to the weights.

``x W = (x / s) (s W)`` for any positive ``s`` per channel. With
``s_j = max|x_j|^a / max|W_j|^(1 - a)`` one step for all of ``x / s`` wastes less on
the channels that are large in every sample. ``a`` is chosen for each tensor, by the
error that rounding makes in the products that read it.

References
----------
Xiao et al., SmoothQuant: Accurate and Efficient Post-Training Quantization for Large
Language Models, 2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.errors import InputError
from trimtab.graph import Model, Node
from trimtab.optimize.layers import Layer, find_layers
from trimtab.optimize.runnable import runnable
from trimtab.optimize.weights import weight_scales
from trimtab.optimize.wiring import Wiring, is_operator
from trimtab.types import Array

__all__ = ["ALPHAS", "Smoothing", "smooth_graph"]

#: Shares of the size that are handed over.
ALPHAS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

# Rows of a tensor on which errors are compared.
_N_ROWS = 512

# What a smoothing must gain: nothing to speak of where it is free, more where it costs
# a multiplication in each run.
_LEAST_GAIN_DB = 0.1
_LEAST_GAIN_DB_INSERTED = 1.0

# Of a channel against the others.
_MOST_SCALE = 1e4


@dataclass(frozen=True)
class Smoothing:
    """What was done to one tensor.

    Parameters
    ----------
    tensor : str
    layers : tuple of str
        That read it, smoothed together.
    alpha : float
    gain_db : float
        By which the error of the layers' results became smaller on the samples.
    is_inserted : bool
        A multiplication was added; else the scale is part of the operator before.

    Examples
    --------
    >>> Smoothing("norm", ("query", "key"), 0.7, 2.5, False).alpha
    0.7
    """

    tensor: str
    layers: tuple[str, ...]
    alpha: float
    gain_db: float
    is_inserted: bool


def smooth_graph(
    graph: Model,
    batches: Sequence[Mapping[str, Array]],
    *,
    layers: Sequence[str] | None = None,
    alphas: Sequence[float] = ALPHAS,
    insert: bool = True,
) -> tuple[Model, list[Smoothing]]:
    """Smooth what the products of a graph read.

    Parameters
    ----------
    graph : trimtab.graph.Model
        As `trimtab.optimize.prepare.prepare_graph` gave it; is not changed.
    batches : sequence of mapping of str to ndarray
        Calibration data: inputs by name.
    layers : sequence of str, optional
        Names of the layers that will be quantised; by default all that can be.
    alphas : sequence of float
        To choose from, between 0 and 1.
    insert : bool, default=True
        Add a multiplication where the operator before cannot take the scale.

    Returns
    -------
    model : trimtab.graph.Model
        Gives the same results in float32, up to rounding. Statistics must be taken
        from it, not from `graph`.
    smoothings : list of Smoothing
        What was done.

    Raises
    ------
    InputError
        No batches, or an alpha outside [0, 1].

    Examples
    --------
    >>> smoothed, done = smooth_graph(graph, batches)      # doctest: +SKIP
    """
    if not batches:
        raise InputError("batches: smoothing needs data, got no batch")
    if not all(0 <= alpha <= 1 for alpha in alphas):
        raise InputError(f"alphas: expected numbers from 0 to 1, got {list(alphas)}")
    model = graph.copy()
    wiring = Wiring(model)
    groups = _groups(wiring, layers)
    samples = _sample(graph, batches, list(groups))
    done = []
    for tensor, group in groups.items():
        sample = samples[tensor]
        if sample is None:
            continue
        is_inserted = _absorber(wiring, tensor, group) is None
        if is_inserted and not insert:
            continue
        best = _search(wiring, group, sample, alphas)
        least = _LEAST_GAIN_DB_INSERTED if is_inserted else _LEAST_GAIN_DB
        if best is None or best[1] < least:
            continue
        alpha, gain, scale = best
        _apply(wiring, tensor, group, scale)
        names = tuple(layer.name for layer in group)
        done.append(Smoothing(tensor, names, alpha, gain, is_inserted))
    wiring.drop_unread()
    return model, done


def _groups(wiring: Wiring, names: Sequence[str] | None) -> dict[str, list[Layer]]:
    """Products that can be smoothed, by the tensor that they read."""
    groups: dict[str, list[Layer]] = {}
    for layer in find_layers(wiring.model):
        if layer.kind not in ("matmul", "gemm") or "int8" not in layer.precisions:
            continue
        node = wiring.producer(layer.result)
        if node is None or node.attributes.get("transA", 0):
            continue
        if wiring.producer(layer.activation) is None:
            continue  # an input of the model: its channels are the user's
        if names is None or layer.name in names:
            groups.setdefault(layer.activation, []).append(layer)
    return groups


# ---- samples -----------------------------------------------------------------------


@dataclass
class _Sample:
    """Rows of a tensor, and the bounds of each channel over all rows."""

    rows: list[Array]
    low: Array
    high: Array


def _sample(
    graph: Model, batches: Sequence[Mapping[str, Array]], tensors: Sequence[str]
) -> dict[str, _Sample | None]:
    """Look at tensors; None where there is nothing finite to see."""
    found: dict[str, _Sample | None] = {}
    n_rows = max(1, _N_ROWS // len(batches))
    if not tensors:
        return found
    with runnable(graph) as model:
        for batch in batches:
            # A few at a time: all of them may be as large as the model.
            for at in range(0, len(tensors), 8):
                seen = model.taps.run(dict(batch), tensors[at : at + 8])
                for name, value in seen.items():
                    _add_rows(found, name, value, n_rows)
    for name in tensors:
        sample = found.setdefault(name, None)
        if sample is not None and not np.isfinite([sample.low, sample.high]).all():
            found[name] = None
    return found


def _add_rows(
    found: dict[str, _Sample | None], name: str, value: Array, n_rows: int
) -> None:
    rows = value.reshape(-1, value.shape[-1])
    if not len(rows):
        return
    picked = rows[np.linspace(0, len(rows) - 1, min(n_rows, len(rows))).astype(int)]
    low, high = rows.min(axis=0), rows.max(axis=0)
    old = found.get(name)
    if old is None:
        found[name] = _Sample([picked.copy()], low, high)
        return
    old.rows.append(picked.copy())
    old.low = np.minimum(old.low, low)
    old.high = np.maximum(old.high, high)


# ---- choosing ----------------------------------------------------------------------


def _weights(wiring: Wiring, layer: Layer) -> Array:
    """Weights of a product, inputs by outputs."""
    node = wiring.producer(layer.result)
    weights = wiring.constant(layer.weight)
    assert node is not None
    assert weights is not None
    return weights.T if node.attributes.get("transB", 0) else weights


def _search(
    wiring: Wiring, group: Sequence[Layer], sample: _Sample, alphas: Sequence[float]
) -> tuple[float, float, Array] | None:
    """Find the alpha with the least error: it, its gain in dB, the scale."""
    weights = np.concatenate([_weights(wiring, layer) for layer in group], axis=1)
    rows = np.concatenate(sample.rows)
    if weights.shape[0] != rows.shape[1]:
        return None
    true = rows @ weights
    plain = _error(true, rows, weights, sample, np.ones(len(weights), np.float32))
    best = None
    largest = np.maximum(-sample.low, sample.high)
    for alpha in alphas:
        scale = _smoothing_scale(largest, np.abs(weights).max(axis=1), alpha)
        error = _error(true, rows, weights, sample, scale)
        if best is None or error < best[0]:
            best = error, alpha, scale
    if best is None or not plain > 0:
        return None
    gain = 10 * np.log10(plain / max(best[0], np.finfo(np.float64).tiny))
    return best[1], float(gain), best[2]


def _smoothing_scale(activations: Array, weights: Array, alpha: float) -> Array:
    """Scale of each channel: 1 in the (geometric) mean, and where all is 0."""
    is_used = (activations > 0) & (weights > 0)
    scale = np.ones(len(weights))
    raw = activations[is_used].astype(np.float64) ** alpha
    raw /= weights[is_used].astype(np.float64) ** (1 - alpha)
    if raw.size:
        raw /= np.exp(np.log(raw).mean())
    scale[is_used] = np.clip(raw, 1 / _MOST_SCALE, _MOST_SCALE)
    return scale.astype(np.float32)


def _error(
    true: Array, rows: Array, weights: Array, sample: _Sample, scale: Array
) -> float:
    """Squared error of the products when both sides are rounded."""
    low = min(0.0, float((sample.low / scale).min()))
    high = max(0.0, float((sample.high / scale).max()))
    step = np.float32((high - low) / 255 or 1.0)
    zero = np.rint(-low / step)
    seen = (np.clip(np.rint(rows / scale / step) + zero, 0, 255) - zero) * step
    scaled = weights * scale[:, None]
    steps = weight_scales(scaled, 1)
    rounded = np.rint(scaled / steps) * steps
    return float(((seen @ rounded - true).astype(np.float64) ** 2).sum())


# ---- rewriting ---------------------------------------------------------------------


def _absorber(wiring: Wiring, tensor: str, group: Sequence[Layer]) -> Node | None:
    """Operator before a tensor that can take a scale, if only the group reads it."""
    results = {layer.result for layer in group}
    others = [n for n in wiring.readers(tensor) if n.outputs[0] not in results]
    if others or wiring.is_seen(tensor):
        return None
    node = wiring.producer(tensor)
    width = len(_weights(wiring, group[0]))
    return node if _links(wiring, node, tensor, width) else None


def _links(
    wiring: Wiring, node: Node | None, tensor: str, width: int
) -> list[tuple[Node, int]]:
    """Constants per channel that a scale can go into: nodes and inputs."""

    def is_vector(name: str) -> bool:
        value = wiring.constant(name)
        return value is not None and value.shape == (width,)

    if node is None or node.domain or tensor != node.outputs[0]:
        return []
    if node.op_type == "LayerNormalization":
        slots = [i for i in range(1, len(node.inputs)) if node.inputs[i]]
        is_last = node.attributes.get("axis", -1) == -1
        fits = is_last and all(is_vector(node.inputs[i]) for i in slots)
        return [(node, i) for i in slots] if fits else []
    if node.op_type not in ("Mul", "Add"):
        return []
    slot = next((i for i in (0, 1) if is_vector(node.inputs[i])), None)
    if slot is None:
        return []
    if node.op_type == "Mul":
        return [(node, slot)]
    behind = node.inputs[1 - slot]
    if wiring.only_reader(behind) is not node:
        return []
    maker = wiring.producer(behind)
    more = _links(wiring, maker, behind, width) if is_operator(maker, "Mul") else []
    return [(node, slot), *more] if more else []


def _apply(wiring: Wiring, tensor: str, group: Sequence[Layer], scale: Array) -> None:
    """Divide a tensor by the scale, multiply the weights that read it."""
    node = _absorber(wiring, tensor, group)
    if node is None:
        factor = wiring.add_constant(1 / scale, f"{tensor}_smoothing")
        smooth = wiring.unique(f"{tensor}_smooth")
        results = {layer.result for layer in group}
        wiring.redirect(tensor, smooth, only=lambda n: n.outputs[0] in results)
        wiring.insert_behind(tensor, [Node("Mul", [tensor, factor], [smooth], smooth)])
    else:
        for link, slot in _links(wiring, node, tensor, len(scale)):
            value = wiring.constant(link.inputs[slot])
            assert value is not None
            name = f"{link.inputs[slot]}_smooth"
            link.inputs[slot] = wiring.add_constant(value / scale, name)
    for layer in group:
        reader = wiring.producer(layer.result)
        assert reader is not None
        scaled = _weights(wiring, layer) * scale[:, None]
        if reader.attributes.get("transB", 0):
            scaled = scaled.T
        name = f"{layer.weight}_smooth"
        reader.inputs[1] = wiring.add_constant(np.ascontiguousarray(scaled), name)
    wiring.refresh()
