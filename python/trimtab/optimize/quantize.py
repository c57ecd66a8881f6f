"""Post-training quantisation: a graph in float32 -> the same graph with Q/DQ pairs.

Enters: a prepared graph, the precision of each layer and what calibration saw of its
tensors. Leaves: a graph in which everything that an int8 layer reads is rounded to u8
with one scale and zero point per tensor, and its weights to s8 with one scale per
output channel. It stays a graph of float32 tensors and weights: the engine makes the
integers when it loads it, as its processor wants them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trimtab.errors import InputError
from trimtab.graph import Model, Node
from trimtab.optimize.fold_affine import output_axis
from trimtab.optimize.layers import Layer, find_layers
from trimtab.optimize.placement import Placement
from trimtab.optimize.precision import INTEGER
from trimtab.optimize.weights import weight_scales
from trimtab.optimize.wiring import Wiring, is_operator

if TYPE_CHECKING:
    from trimtab.optimize.statistics import TensorStatistics

__all__ = ["PRECISIONS", "quantize_graph", "tensors_to_observe"]

#: What a layer can run in.
PRECISIONS = ("f32", "bf16", *INTEGER)

# A concatenation rounds again rather than make a step this many times larger.
_MOST_STRETCH = 4.0

Range = tuple[float, float]


def tensors_to_observe(
    graph: Model, choices: Mapping[str, str] | None = None
) -> list[str]:
    """Say which tensors calibration must see.

    Parameters
    ----------
    graph : trimtab.graph.Model
        As `trimtab.optimize.prepare.prepare_graph` gave it.
    choices : mapping of str to str, optional
        Layer -> precision; by default enough for any choice.

    Returns
    -------
    tensors : list of str

    Examples
    --------
    >>> tensors_to_observe(graph)                          # doctest: +SKIP
    ['image', 'relu_1']
    """
    layers = find_layers(graph)
    if choices is not None:
        return Placement(graph, _int8_layers(layers, choices)).observed
    able = [layer for layer in layers if "int8" in layer.precisions]
    # Any of these can come first behind a layer that stays float.
    more = {layer.activation for layer in able}
    placement = Placement(graph, able)
    more.update(placement.tensors)
    for node in graph.graph.nodes:
        # Which operand stays exact depends on the layers before.
        if is_operator(node, "Add") and placement.sources.issuperset(node.inputs):
            more.update(node.inputs)
    order = [value.name for value in graph.graph.inputs]
    order += [name for node in graph.graph.nodes for name in node.outputs]
    return [name for name in order if name in more]


def quantize_graph(
    graph: Model,
    choices: Mapping[str, str],
    statistics: Mapping[str, TensorStatistics],
    *,
    ranges: str = "mse",
    weight_bits: int = 8,
    weight_ranges: str = "minmax",
) -> Model:
    """Give each layer its precision.

    Parameters
    ----------
    graph : trimtab.graph.Model
        As `trimtab.optimize.prepare.prepare_graph` gave it; is not changed.
    choices : mapping of str to {"f32", "bf16", "int8", "int8_winograd"}
        Layer -> precision; layers that are not named stay as they are.
    statistics : mapping of str to TensorStatistics
        Of the tensors that `tensors_to_observe` names.
    ranges : str, default="mse"
        Key of `trimtab.optimize.ranges.RANGES`.
    weight_bits : int, default=8
    weight_ranges : {"minmax", "mse"}, default="minmax"
        See `trimtab.optimize.weights.weight_scales`.

    Returns
    -------
    model : trimtab.graph.Model

    Raises
    ------
    InputError
        No such layer, precision or range; a layer cannot have the precision; a tensor
        was not observed, or held nothing but NaN.

    Examples
    --------
    >>> quantize_graph(graph, {"conv1": "int8"}, statistics)  # doctest: +SKIP
    """
    layers = find_layers(graph)
    chosen = _int8_layers(layers, choices)
    halved = [layer.result for layer in layers if choices.get(layer.name) == "bf16"]
    model = graph.copy()
    if chosen:
        placement = Placement(model, chosen)
        found = _ranges(model, placement, statistics, ranges)
        pairs = _Pairs(Wiring(model), placement, found)
        pairs.insert()
        for layer in chosen:
            _quantize_weights(
                pairs.wiring, layer, bits=weight_bits, ranges=weight_ranges
            )
            if choices[layer.name] == "int8_winograd":
                node = pairs.wiring.producer(layer.result)
                assert node is not None
                node.attributes["algorithm"] = "winograd"
    if halved:
        from trimtab.optimize.bf16 import to_bf16

        model = to_bf16(model, halved)
    return model


def _int8_layers(layers: Sequence[Layer], choices: Mapping[str, str]) -> list[Layer]:
    """Check the choices; give the layers that become int8."""
    known = {layer.name: layer for layer in layers}
    for name, precision in choices.items():
        if name not in known:
            raise InputError(
                f"choices: there is no layer {name!r}; layers: {list(known)[:8]}..."
            )
        if precision not in PRECISIONS:
            raise InputError(
                f"choices[{name!r}]: expected one of {list(PRECISIONS)}, "
                f"got {precision!r}"
            )
        if precision not in known[name].precisions:
            raise InputError(
                f"choices[{name!r}]: {precision!r} is not possible for this "
                f"{known[name].kind} layer, which can be {known[name].precisions}"
            )
    return [layer for layer in layers if choices.get(layer.name) in INTEGER]


# ---- ranges of activations ---------------------------------------------------------


def _ranges(
    model: Model,
    placement: Placement,
    statistics: Mapping[str, TensorStatistics],
    key: str,
) -> dict[str, Range]:
    """Range of each rounded tensor, equal where parameters are shared."""
    from trimtab.optimize.ranges import RANGES

    if key not in RANGES:
        raise InputError(f"ranges: expected one of {sorted(RANGES)}, got {key!r}")
    wiring = Wiring(model)
    groups = _Groups()
    for name in placement.observed:
        if name not in statistics:
            raise InputError(
                f"statistics: tensor {name!r} was not observed; calibrate on "
                "tensors_to_observe(graph, choices)"
            )
        low, high = map(float, RANGES[key](statistics[name]))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise InputError(
                f"statistics[{name!r}]: the range ({low}, {high}) is not finite; "
                "does the calibration data hold NaN or infinities?"
            )
        groups.add(name, _bounded(wiring, name, low, high))
    for result, moved, is_joined in placement.ties:
        groups.tie(result, moved, is_joined=is_joined)
    return {name: groups.range(name) for name in placement.tensors}


def _bounded(wiring: Wiring, tensor: str, low: float, high: float) -> Range:
    """Range with 0 in it, and within what the operator before can give."""
    node = wiring.producer(tensor)
    least, most = -math.inf, math.inf
    if is_operator(node, "Relu"):
        least = 0.0
    elif is_operator(node, "Sigmoid", "HardSigmoid", "Softmax"):
        least, most = 0.0, 1.0
    elif node is not None and is_operator(node, "Clip"):
        least, most = _clip_bounds(wiring, node)
    low = min(max(low, least), most)
    high = max(min(high, most), low)
    return min(low, 0.0), max(high, 0.0)


def _clip_bounds(wiring: Wiring, node: Node) -> Range:
    """Bounds of a Clip, where they are constants."""
    bounds = [-math.inf, math.inf]
    for i, name in enumerate(node.inputs[1:3]):
        value = wiring.constant(name) if name else None
        if value is not None and value.size == 1:
            bounds[i] = float(value.reshape(-1)[0])
    return bounds[0], bounds[1]


class _Groups:
    """Tensors that share their parameters."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}
        self._ranges: dict[str, Range] = {}

    def add(self, name: str, found: Range) -> None:
        """Add a group of one."""
        self._parents[name] = name
        self._ranges[name] = found

    def _root(self, name: str) -> str:
        while self._parents[name] != name:
            name = self._parents[name]
        return name

    def range(self, name: str) -> Range:
        """Range of a tensor's group."""
        return self._ranges[self._root(name)]

    def tie(self, result: str, moved: Sequence[str], *, is_joined: bool) -> None:
        """Add a result to the group of what it is moved from; join these."""
        parts = [self.range(name) for name in moved]
        whole = min(low for low, _ in parts), max(high for _, high in parts)
        widths = [high - low for low, high in parts]
        if is_joined and whole[1] - whole[0] > _MOST_STRETCH * min(widths):
            self.add(result, whole)
            return
        root = self._root(moved[0])
        for name in moved[1:]:
            self._parents[self._root(name)] = root
        self._parents[result] = root
        self._ranges[root] = whole


# ---- rewriting ---------------------------------------------------------------------


class _Pairs:
    """The pairs of a graph in the making."""

    def __init__(
        self, wiring: Wiring, placement: Placement, ranges: Mapping[str, Range]
    ) -> None:
        self.wiring = wiring
        self._placement = placement
        self._ranges = ranges

    def insert(self) -> None:
        """Add a pair behind each tensor that gets one; let its readers read it."""
        graph = self.wiring.graph
        dequantized: dict[str, str] = {}
        made: list[Node] = []

        def add(name: str) -> None:
            if name in self._ranges:
                dequantized[name] = self._pair(name, made)

        for value in graph.inputs:
            add(value.name)
        for number, node in enumerate(graph.nodes):
            node.inputs = [
                dequantized[name] if (number, name) in self._placement.reads else name
                for name in node.inputs
            ]
            made.append(node)
            for name in node.outputs:
                add(name)
        graph.nodes[:] = made
        self.wiring.refresh()

    def _pair(self, tensor: str, made: list[Node]) -> str:
        """Add the pair of a tensor; give the name of the rounded tensor."""
        from trimtab.optimize.ranges import quantization_parameters

        scale, zero_point = quantization_parameters(*self._ranges[tensor])
        wiring = self.wiring
        parameters = [
            wiring.add_constant(np.float32(scale), f"{tensor}_scale"),
            wiring.add_constant(np.uint8(zero_point), f"{tensor}_zero_point"),
        ]
        return _add_pair(wiring, tensor, parameters, made, {})


def _add_pair(
    wiring: Wiring,
    tensor: str,
    parameters: Sequence[str],
    made: list[Node],
    attributes: Mapping[str, int],
) -> str:
    """Append a pair; give the name of its result."""
    names = [wiring.unique(f"{tensor}_{end}") for end in ("quantized", "dequantized")]
    src = tensor
    for op_type, name in zip(
        ("QuantizeLinear", "DequantizeLinear"), names, strict=True
    ):
        made.append(
            Node(
                op_type,
                [src, *parameters],
                [name],
                name=name,
                attributes={**attributes},
            )
        )
        src = name
    return src


def _quantize_weights(wiring: Wiring, layer: Layer, *, bits: int, ranges: str) -> None:
    """Put a pair between a layer and its weights."""
    node = wiring.producer(layer.result)
    weights = wiring.constant(layer.weight)
    assert node is not None
    assert weights is not None
    axis = output_axis(node)
    scales = weight_scales(weights, axis, bits=bits, ranges=ranges)
    parameters = [
        wiring.add_constant(scales, f"{layer.weight}_scale"),
        wiring.add_constant(
            np.zeros(len(scales), np.int8), f"{layer.weight}_zero_point"
        ),
    ]
    made: list[Node] = []
    node.inputs[1] = _add_pair(wiring, layer.weight, parameters, made, {"axis": axis})
    wiring.graph.nodes[0:0] = made
