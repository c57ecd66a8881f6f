"""Candidates for a search that must fail sometimes: weights of very few bits.

A group is some layers that follow each other; their weights in
few bits stand in the place of int8. Answers to a whole pool are computed once per
candidate and looked up by the number of the sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.labelled import Arrays
from benchmarks.optimize_cases import Case
from trimtab.signature import TensorSpec

BITS = {"mnist_cnn": 2.2, "minilm_sentiment": 3.6}  # some groups fit the budget
SHARE = 0.3  # of the time in float32 that a damaged group is said to take
GROUP_US = 10.0
N_GROUPS = 5
SMALLEST = 64  # elements of a weight that counts
AT_ONCE = 50

Logits = npt.NDArray[np.float32]


@dataclass
class LookUp:
    """A model whose input is the number of a sample."""

    table: Logits
    choices: Mapping[str, str] = field(default_factory=dict)
    inputs = (TensorSpec("row", "int64", ("N",)),)
    outputs = (TensorSpec("logits", "float32", ("N", None)),)

    def run(self, inputs: Any) -> dict[str, Logits]:
        """Look the samples up."""
        return {"logits": self.table[inputs["row"]]}


@dataclass(frozen=True)
class Group:
    """Some weights, as the search sees a layer."""

    name: str
    weights: tuple[str, ...]
    op_type: str = "MatMul"
    kind: str = "matmul"
    precisions: tuple[str, ...] = ("f32", "int8")


class DamagedBackend:
    """Makes candidates: which groups have their weights in few bits."""

    def __init__(self, case: Case, inputs: Arrays) -> None:
        import onnx

        self._model = onnx.load(str(case.path))
        self._inputs = inputs
        self._bits = BITS[case.name]
        self._tables: dict[frozenset[str], Logits] = {}
        self.layers = _groups(self._model)

    def answers(self, choices: Mapping[str, str]) -> Logits:
        """Outputs of a candidate for the whole pool."""
        damaged = frozenset(name for name, x in choices.items() if x == "int8")
        if damaged not in self._tables:
            self._tables[damaged] = self._computed(damaged)
        return self._tables[damaged]

    def build(self, choices: Mapping[str, str], *, quick: bool = False) -> LookUp:
        """The candidate as a table."""
        return LookUp(self.answers(choices), dict(choices))

    def weight_bytes(self, layer: str, precision: str) -> int:
        """Unused: the goal is latency."""
        return 4 if precision == "f32" else 1

    def range_of(self, layer: str) -> tuple[float, float, float] | None:
        """Unused: activations stay as they are."""
        return None

    def _computed(self, damaged: frozenset[str]) -> Logits:
        import onnx
        import onnxruntime
        from onnx import numpy_helper

        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        weights = {
            name
            for group in self.layers
            if group.name in damaged
            for name in group.weights
        }
        for tensor in model.graph.initializer:
            if tensor.name in weights:
                rounded = damage(numpy_helper.to_array(tensor), self._bits)
                tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        n = len(next(iter(self._inputs.values())))
        parts = []
        for i in range(0, n, AT_ONCE):
            some = {name: rows[i : i + AT_ONCE] for name, rows in self._inputs.items()}
            parts.append(session.run(None, some)[0])
        table: Logits = np.concatenate(parts)
        return table


def _groups(model: Any) -> list[Group]:
    """The weights of convolutions and products in order, in at most `N_GROUPS`."""
    sizes = {x.name: int(np.prod(x.dims)) for x in model.graph.initializer}
    names = [
        node.input[1]
        for node in model.graph.node
        if node.op_type in ("Conv", "MatMul", "Gemm")
        and sizes.get(node.input[1], 0) >= SMALLEST
    ]
    parts = np.array_split(np.array(names), min(N_GROUPS, len(names)))
    return [Group(f"group {i}", tuple(part)) for i, part in enumerate(parts)]


def damage(weight: Logits, bits: float) -> Logits:
    """Round to ``2 ** bits`` levels per output channel.

    Examples
    --------
    >>> damage(np.array([[1.0], [0.4], [-0.9]]), 2).ravel()
    array([ 1.,  0., -1.], dtype=float32)
    """
    levels = 2 ** (bits - 1) - 1
    # a convolution's channels are its rows, a product's its columns
    axes = tuple(range(1, weight.ndim)) if weight.ndim == 4 else 0
    largest = np.abs(weight).max(axis=axes, keepdims=True)
    scale = np.where(largest == 0, 1, largest / levels)
    rounded: Logits = (np.rint(weight / scale) * scale).astype(np.float32)
    return rounded


class PretendedTimer:
    """Says that a damaged group takes `SHARE` of its time."""

    def layers(
        self, models: Mapping[str, Any], names: Sequence[str], inputs: Any
    ) -> dict[str, dict[str, Any]]:
        """Microseconds by precision and layer."""
        from trimtab.optimize.latency import LayerTime

        return {
            key: {name: LayerTime(_us(model, key, name), "pretended") for name in names}
            for key, model in models.items()
        }

    def models(
        self, models: Sequence[Any], inputs: Any, *, seconds: float = 2
    ) -> list[Any]:
        """Milliseconds of whole models, and their ratios to the first."""
        from trimtab.optimize.latency import Timing

        totals = [
            1.0 - (1 - SHARE) / N_GROUPS * list(model.choices.values()).count("int8")
            for model in models
        ]
        return [Timing(x, x / totals[0], x / totals[0], x / totals[0]) for x in totals]


def _us(model: Any, key: str, name: str) -> float:
    precision = model.choices.get(name, "int8" if key == "int8" else "f32")
    return GROUP_US * (SHARE if precision == "int8" else 1)
