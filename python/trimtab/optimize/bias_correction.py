"""Bias correction: what rounding shifts on average, the bias takes back.

Layer by layer in the order in which they run, the mean of each output channel over
calibration data is compared with that of the float32 graph, with all layers before
already quantised and corrected. The difference goes into the bias.

References
----------
Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction,
2019, section 4.2 and appendix D (the empirical form).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from trimtab.errors import InputError
from trimtab.graph import Model, Value
from trimtab.optimize.fold_affine import output_axis
from trimtab.optimize.layers import Layer, find_layers
from trimtab.optimize.runnable import runnable
from trimtab.optimize.segments import Segments, channel_means
from trimtab.optimize.wiring import Wiring, is_operator
from trimtab.types import Array

__all__ = ["correct_biases"]

Progress = Callable[[int, int], None]


def correct_biases(
    quantized: Model,
    graph: Model,
    batches: Sequence[Mapping[str, Array]],
    *,
    layers: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Model:
    """Correct the biases of a quantised graph.

    Holds what the rest of the graph reads of every batch at one point, mostly in u8:
    a few MB for 32 images.

    Parameters
    ----------
    quantized : trimtab.graph.Model
        What `trimtab.optimize.quantize.quantize_graph` made of `graph`; is not
        changed.
    graph : trimtab.graph.Model
        The graph in float32.
    batches : sequence of mapping of str to ndarray
        Calibration data: inputs by name.
    layers : sequence of str, optional
        Names of the layers to correct; by default all that are quantised, but for
        MatMul: its rows are often tokens, and padding among them, which means
        nothing, would outweigh the rest (MiniLM: 17.6 dB become 15.5 dB).
    progress : callable, optional
        Called with layers done and layers to do.

    Returns
    -------
    model : trimtab.graph.Model
        A MatMul without a bias stays as it is: it would cost a node.

    Raises
    ------
    InputError
        No batches.

    Examples
    --------
    >>> correct_biases(quantized, graph, batches)          # doctest: +SKIP
    """
    if not batches:
        raise InputError("batches: bias correction needs data, got no batch")
    model = quantized.copy()
    wiring = Wiring(model)
    chosen = [
        layer
        for layer in find_layers(graph)
        if _is_quantized(wiring, layer) and _is_chosen(layer, layers)
    ]
    if not chosen:
        return model
    true = _float_means(graph, chosen, batches)
    segments = Segments(model, batches)
    n_done = 0
    for group in _groups(chosen):
        segments.advance([group[0].activation])
        seen = segments.look({layer.output: _axis(graph, layer) for layer in group})
        for layer in group:
            shift = true[layer.output] - seen[layer.output]
            if np.isfinite(shift).all():
                _shift_bias(wiring, layer, shift)
        n_done += len(group)
        if progress is not None:
            progress(n_done, len(chosen))
    wiring.drop_unread()
    return model


def _is_chosen(layer: Layer, names: Sequence[str] | None) -> bool:
    if layer.op_type == "MatMul":
        return bool(layer.bias) and names is not None and layer.name in names
    return names is None or layer.name in names


def _is_quantized(wiring: Wiring, layer: Layer) -> bool:
    node = wiring.producer(layer.result)
    return node is not None and all(
        is_operator(wiring.producer(name), "DequantizeLinear")
        for name in node.inputs[:2]
    )


def _groups(layers: Sequence[Layer]) -> Iterator[list[Layer]]:
    """Layers that follow each other and read the same tensor."""
    for _, group in groupby(layers, key=lambda layer: layer.activation):
        yield list(group)


def _axis(graph: Model, layer: Layer) -> tuple[int, int]:
    """Dims behind the channels of a layer's output, and number of channels."""
    node = Wiring(graph).producer(layer.result)
    assert node is not None
    shape = graph.graph.constants[layer.weight].shape
    channels = shape[output_axis(node)]
    if layer.op_type == "ConvTranspose":
        channels *= int(node.attributes.get("group", 1))
    return (0 if layer.op_type in ("MatMul", "Gemm") else len(shape) - 2), channels


def _float_means(
    graph: Model, layers: Sequence[Layer], batches: Sequence[Mapping[str, Array]]
) -> dict[str, Array]:
    """Means of the channels of layers' outputs, without rounding, in one run."""
    model = graph.copy()
    wiring = Wiring(model)
    axes = {layer.output: _axis(graph, layer) for layer in layers}
    means = channel_means(wiring, axes)
    model.graph.outputs[:] = [Value(name) for name in means.values()]
    wiring.refresh()
    wiring.drop_unread()
    sums = {tensor: np.zeros(n) for tensor, (_, n) in axes.items()}
    with runnable(model) as run:
        for batch in batches:
            found = run.run(dict(batch))
            for tensor, mean in means.items():
                sums[tensor] += found[mean].astype(np.float64) / len(batches)
    return sums


def _shift_bias(wiring: Wiring, layer: Layer, shift: Array) -> None:
    """Add to the bias of a layer, which gets one if it has none."""
    node = wiring.producer(layer.result)
    assert node is not None
    old: Array = np.zeros(len(shift), np.float32)
    if layer.bias:
        found = wiring.constant(layer.bias)
        if found is None:
            return
        old = found
    beta = float(node.attributes.get("beta", 1.0)) if node.op_type == "Gemm" else 1.0
    if layer.bias and beta == 0:
        return
    new = old.astype(np.float64) + shift / (beta if layer.bias else 1.0)
    name = wiring.add_constant(
        new.astype(np.float32), f"{layer.bias or layer.weight}_corrected"
    )
    if node.op_type == "MatMul":
        behind = wiring.producer(layer.output)
        assert behind is not None
        behind.inputs = [name if n == layer.bias else n for n in behind.inputs]
    else:
        node.inputs[2:] = [name]
        if not layer.bias and node.op_type == "Gemm":
            node.attributes["beta"] = 1.0
