"""From choices to a model that runs: what the search knows of quantisation.

Enters: a model and calibration samples. Leaves: for any choice of precisions by layer a
model of that choice. All that is not searched over happens here, once: the graph is
prepared, equalised and smoothed, ranges are taken, weights are rounded for the data.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from trimtab.graph import Model as GraphModel
from trimtab.model import Model
from trimtab.optimize.outcome import noise_of
from trimtab.optimize.precision import INTEGER
from trimtab.optimize.samples import Samples

__all__ = ["PRECISIONS", "Backend", "LayerLike", "Quantizer", "host_names"]

#: Precision -> bytes of one weight in memory.
PRECISIONS: dict[str, float] = {"f32": 4, "bf16": 2, "int8": 1, "int8_winograd": 16 / 9}

# Samples that smoothing and bias correction look at, and those that ranges are chosen
# with.
_N_REFINE = 32
_N_RANGES = 8
# The rest lies between them, or is best for hardly any model.
_TRIED_RANGES = ("minmax", "mse", "percentile", "entropy")


class LayerLike(Protocol):
    """What the search wants to know of a layer."""

    name: str
    op_type: str
    kind: str
    precisions: tuple[str, ...]


class Backend(Protocol):
    """What makes candidates."""

    @property
    def layers(self) -> Sequence[Any]:
        """Layers in the order in which they run."""

    def build(self, choices: Mapping[str, str], *, quick: bool = False) -> Any:
        """Make the model of these choices.

        Parameters
        ----------
        choices : mapping of str to str
        quick : bool, default=False
            Without what refines it.

        Returns
        -------
        model : Runnable
        """

    def weight_bytes(self, layer: str, precision: str) -> int:
        """Bytes of a layer's weights.

        Parameters
        ----------
        layer, precision : str

        Returns
        -------
        n_bytes : int
        """

    def range_of(self, layer: str) -> tuple[float, float, float] | None:
        """Range of a layer's u8 activations and the share that it clips.

        Parameters
        ----------
        layer : str

        Returns
        -------
        range : (float, float, float) or None
        """


def _find(place: str) -> Any:
    """Look up "module.name" of this package."""
    module, _, name = place.rpartition(".")
    return getattr(importlib.import_module(f"trimtab.optimize.{module}"), name)


def host_names() -> tuple[str, ...]:
    """Precisions that the processor computes in natively.

    Returns
    -------
    names : tuple of str

    Examples
    --------
    >>> host_names()                                       # doctest: +SKIP
    ('f32', 'int8')
    """
    names: tuple[str, ...] = _find("precision.host_precisions")().names
    return names


class Quantizer:
    """Makes candidates out of a model.

    Parameters
    ----------
    model : Model
        In float32.
    samples : Samples
        For calibration.
    precisions : sequence of str
        That will be asked for. With "bf16" the products of attention, which have no
        weights, compute in it wherever some layer is not in float32.
    ranges : str, default="auto"
        Key of `trimtab.optimize.ranges.RANGES`; "auto": the rule that leaves least
        noise on calibration samples where all layers are in int8.
    on_step : callable, optional
        Called after each stage with its name.
    is_late : callable, optional
        Says whether to make do with the weights that were rounded for the data so far.
    """

    def __init__(
        self,
        model: Model,
        samples: Samples,
        *,
        precisions: Sequence[str],
        ranges: str = "auto",
        on_step: Callable[[str], Any] | None = None,
        is_late: Callable[[], bool] | None = None,
    ) -> None:
        tell = on_step or (lambda what: None)
        self._model = model
        self._ranges = "minmax" if ranges == "auto" else ranges
        self._samples = samples
        self._refining = [_whole(model, item) for item in samples.items[:_N_REFINE]]
        self._statistics: Mapping[str, Any] = {}
        graph = _find("prepare.prepare_graph")(model._graph_again())
        if not set(INTEGER).isdisjoint(precisions) and samples.items:
            graph, _ = _find("equalize.equalize_graph")(graph)
            tell("equalised")
            graph, _ = _find("smooth_quant.smooth_graph")(graph, self._refining)
            tell("smoothed")
            self._statistics = _find("calibrate.calibrate")(
                self._made(graph),
                [_whole(model, item) for item in samples.items],
                _find("quantize.tensors_to_observe")(graph),
            )
            tell("calibrated")
        self._graph: GraphModel = graph
        self._layers: Sequence[Any] = _find("layers.find_layers")(graph)
        self._by_name = {layer.name: layer for layer in self._layers}
        self._rounded: Mapping[str, Any] = {}
        self._attention: Mapping[str, int] = {}
        if "bf16" in precisions:
            self._attention = _find("bf16.attention_products")(graph)
        if self._statistics:
            if ranges == "auto":
                self._ranges = self._best_ranges()
            self._rounded = self._find_rounded(is_late or (lambda: False))
            tell("rounded")

    @property
    def layers(self) -> Sequence[Any]:
        """Layers in the order in which they run."""
        return self._layers

    @property
    def ranges(self) -> str:
        """The rule that ranges follow."""
        return self._ranges if self._statistics else ""

    @property
    def _all_int8(self) -> dict[str, str]:
        return {x.name: "int8" for x in self._layers if "int8" in x.precisions}

    def _best_ranges(self) -> str:
        """The rule of least noise, over all outputs."""
        items = self._refining[:_N_RANGES]
        noises = {}
        with self._made(self._graph) as plain:
            wanted = [plain.run(item) for item in items]
        for rule in _TRIED_RANGES:
            self._ranges = rule
            with self.build(self._all_int8, quick=True) as model:
                noises[rule] = sum(
                    min(noise_of(want[name], got), 1.0)
                    for item, want in zip(items, wanted, strict=True)
                    for name, got in model.run(item).items()
                )
        return min(noises, key=lambda rule: noises[rule])

    def _find_rounded(self, is_late: Callable[[], bool]) -> Mapping[str, Any]:
        """Weights for int8, rounded for the data: the same in all candidates."""
        chosen = self._all_int8
        if not chosen or is_late():
            return {}
        found: Mapping[str, Any] = _find("rounding.find_rounded")(
            self._quantized(chosen, quick=True),
            self._graph,
            self._refining,
            progress=lambda done, of: is_late(),
        )
        return found

    def build(self, choices: Mapping[str, str], *, quick: bool = False) -> Model:
        """Make the model of these choices.

        Parameters
        ----------
        choices : mapping of str to str
            Layer -> precision; "f32" for those that are not named.
        quick : bool, default=False
            Without rounding for the data and bias correction.

        Returns
        -------
        model : Model
        """
        return self._made(self._quantized(choices, quick=quick))

    def _quantized(self, choices: Mapping[str, str], *, quick: bool) -> GraphModel:
        chosen = {layer: p for layer, p in choices.items() if p != "f32"}
        graph: GraphModel = _find("quantize.quantize_graph")(
            self._graph, chosen, self._statistics, ranges=self._ranges
        )
        if (
            not set(INTEGER).isdisjoint(chosen.values())
            and self._refining
            and not quick
        ):
            rounded = {n: w for n, w in self._rounded.items() if n in chosen}
            graph = _find("rounding.put_rounded")(graph, self._graph, rounded)
            graph = _find("bias_correction.correct_biases")(
                graph, self._graph, self._refining
            )
        if chosen:
            graph = _find("bf16.round_attention")(graph, self._attention)
        return graph

    def _made(self, graph: GraphModel) -> Model:
        from trimtab.load import make_model

        options = self._model._options.__replace__(is_rewritten=True)
        made = make_model(graph, self._model._source, options)
        made.class_names = self._model.class_names
        made.provenance = self._model.provenance
        return made

    def weight_bytes(self, layer: str, precision: str) -> int:
        """Bytes of a layer's weights.

        Parameters
        ----------
        layer, precision : str

        Returns
        -------
        n_bytes : int
        """
        constant = self._graph.graph.constants.get(self._by_name[layer].weight)
        n = 0 if constant is None else int(np.prod(constant.shape, dtype=np.int64))
        return int(n * PRECISIONS[precision])

    def range_of(self, layer: str) -> tuple[float, float, float] | None:
        """Range of a layer's u8 activations and the share that it clips.

        Parameters
        ----------
        layer : str

        Returns
        -------
        range : (float, float, float) or None
        """
        tensor = self._by_name[layer].activation
        if tensor not in self._statistics:
            return None
        statistics = self._statistics[tensor]
        low, high = map(float, _find("ranges.RANGES")[self._ranges](statistics))
        counts = np.asarray(statistics.histogram, np.float64)
        if not counts.sum():
            return low, high, 0.0
        edges = np.linspace(statistics.low_edge, statistics.high_edge, len(counts) + 1)
        middles = (edges[1:] + edges[:-1]) / 2
        is_out = (middles < low) | (middles > high)
        return low, high, float(counts[is_out].sum() / counts.sum())


def _whole(model: Model, item: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs of a call: a fixed batch is filled up with the one sample."""
    found = dict(item)
    for spec in model.inputs:
        size = spec.shape[0] if spec.shape else None
        array = found[spec.name]
        if isinstance(size, int) and size > 1 and len(array) == 1:
            found[spec.name] = np.repeat(array, size, axis=0)
    return found
