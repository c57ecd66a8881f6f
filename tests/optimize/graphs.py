"""Small graphs, what calibration sees of them, and the same as files of ONNX."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from trimtab.formats.builder import GraphBuilder
from trimtab.graph import DTYPES, Constant, Model, Node
from trimtab.optimize.runnable import runnable

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(11)


def weights(*shape: int, seed: int = 0) -> Array:
    """Weights of the size at which a sum of many stays near 1."""
    rng = np.random.default_rng([seed, *shape])
    n_in = max(1, int(np.prod(shape[1:])))
    return (rng.standard_normal(shape) / np.sqrt(n_in)).astype(np.float32)


class Net(GraphBuilder):
    """A builder that knows layers."""

    def conv(
        self, x: str, w: Array, name: str, *, bias: bool = True, **attributes: Any
    ) -> str:
        """Add a convolution, with a bias."""
        inputs = [x, self.constant(w, f"{name}.weight")]
        if bias:
            shift = np.linspace(-0.2, 0.3, len(w), dtype=np.float32)
            inputs.append(self.constant(shift, f"{name}.bias"))
        return self.op("Conv", inputs, name=name, **attributes)

    def linear(self, x: str, w: Array, name: str) -> str:
        """Add a matrix product and its bias."""
        y = self.op("MatMul", [x, self.constant(w, f"{name}.weight")], name=name)
        shift = np.linspace(-0.2, 0.3, w.shape[1], dtype=np.float32)
        return self.op("Add", [y, self.constant(shift, f"{name}.bias")])

    def done(self, y: str) -> Model:
        """End with an output."""
        self.output(y, "y")
        return self.build("tests")


def run(model: Model, feeds: Mapping[str, Array]) -> Array:
    """The first output, through the engine."""
    with runnable(model, threads=1) as engine:
        (value,) = list(engine.run(dict(feeds)).values())[:1]
    return np.array(value)


def run_all(model: Model, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """All outputs, through the engine."""
    with runnable(model, threads=1) as engine:
        return {k: np.array(v) for k, v in engine.run(dict(feeds)).items()}


def sqnr_db(true: Array, got: Array) -> float:
    """Signal over error, in dB."""
    wide = true.astype(np.float64)
    error = ((wide - got) ** 2).sum()
    return float(10 * np.log10((wide**2).sum() / max(error, 1e-300)))


# ---- calibration ---------------------------------------------------------------------


class Seen:
    """What the tests need of `trimtab.optimize.statistics.TensorStatistics`."""

    def __init__(self, values: Array) -> None:
        self.minimum, self.maximum = float(values.min()), float(values.max())


def parameters(low: float, high: float) -> tuple[np.float32, int]:
    """Scale and zero point of u8, from their definition."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255) or np.float32(1)
    return scale, int(np.clip(np.rint(-low / scale), 0, 255))


def install_ranges(monkeypatch: Any) -> None:
    """Let the quantiser take ranges from `Seen`."""
    module = ModuleType("trimtab.optimize.ranges")
    module.RANGES = {"minmax": lambda seen: (seen.minimum, seen.maximum)}  # type: ignore[attr-defined]
    module.quantization_parameters = parameters  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trimtab.optimize.ranges", module)


def observe(
    model: Model, batches: Iterable[Mapping[str, Array]], tensors: Sequence[str]
) -> dict[str, Any]:
    """Smallest and largest element of tensors."""
    inputs = {value.name for value in model.graph.inputs}
    values: dict[str, list[Array]] = {name: [] for name in tensors}
    computed = [name for name in tensors if name not in inputs]
    with runnable(model, threads=1) as engine:
        for batch in batches:
            seen = engine.taps.run(dict(batch), computed) if computed else {}
            for name in tensors:
                values[name].append(np.ravel(seen.get(name, batch.get(name))))
    return {name: Seen(np.concatenate(parts)) for name, parts in values.items()}


# ---- files ---------------------------------------------------------------------------


def _tensor(constant: Constant, name: str = "") -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(constant.numpy()), name)


def _attribute(value: Any) -> Any:
    return _tensor(value) if isinstance(value, Constant) else value


def onnx_model(model: Model) -> onnx.ModelProto:
    """The graph as ONNX has it."""
    graph = model.graph
    nodes = [
        helper.make_node(
            node.op_type,
            node.inputs,
            node.outputs,
            node.name,
            domain=node.domain,
            **{key: _attribute(value) for key, value in node.attributes.items()},
        )
        for node in graph.nodes
    ]
    inputs = [
        helper.make_tensor_value_info(
            value.name,
            DTYPES[value.dtype or "float32"][0],
            None if value.shape is None else list(value.shape),
        )
        for value in graph.inputs
    ]
    made = helper.make_graph(
        nodes,
        "tests",
        inputs,
        [helper.make_tensor_value_info(y.name, 1, None) for y in graph.outputs],
        [_tensor(constant, name) for name, constant in graph.constants.items()],
    )
    opsets = [helper.make_opsetid(*pair) for pair in model.opsets.items()]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def run_onnxruntime(model: Model, feeds: Mapping[str, Array]) -> Array:
    """The first output, as onnxruntime computes it without any rewriting."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    session = onnxruntime.InferenceSession(
        onnx_model(model).SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
    )
    value: Array = session.run(None, dict(feeds))[0]
    return value


# ---- structure -----------------------------------------------------------------------


def makers(model: Model) -> dict[str, Node]:
    """The node that computes each tensor."""
    return {name: node for node in model.graph.nodes for name in node.outputs}


def rounded(model: Model) -> list[str]:
    """Activations that are quantised, in their order."""
    return [
        node.inputs[0]
        for node in model.graph.nodes
        if node.op_type == "QuantizeLinear"
        and node.inputs[0] not in model.graph.constants
    ]


def chain(model: Model, tensor: str) -> list[str]:
    """Operators behind a tensor as long as there is one reader."""
    found = []
    while True:
        readers = [node for node in model.graph.nodes if tensor in node.inputs]
        if len(readers) != 1:
            return found
        found.append(readers[0].op_type)
        tensor = readers[0].outputs[0]
