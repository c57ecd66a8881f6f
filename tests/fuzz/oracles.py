"""Who says what a graph computes: onnxruntime without its optimisations, and
onnx.reference; and how far rounding alone may take a result.

Both may refuse; a graph that both refuse says nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

Results = list[Any] | None
_N_NUDGES = 2
_FLOAT_CODES = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
}


class Oracle:
    """onnxruntime and onnx.reference for one graph.

    Parameters
    ----------
    model : onnx.ModelProto
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self.refusal = ""
        self._session = self._make_session(model)

    def _make_session(self, model: onnx.ModelProto) -> Any:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.graph_optimization_level = (
            onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        )
        try:
            return onnxruntime.InferenceSession(
                model.SerializeToString(), options, ["CPUExecutionProvider"]
            )
        except Exception as error:  # of classes of its own
            self.refusal = str(error)
            return None

    def first(self, feeds: dict[str, Any]) -> Results:
        """What onnxruntime gives; None where it refuses."""
        if self._session is None:
            return None
        try:
            return self._session.run(None, feeds)
        except Exception as error:  # of classes of its own
            self.refusal = str(error)
            return None

    def second(self, feeds: dict[str, Any]) -> Results:
        """What onnx.reference gives."""
        return _quietly(lambda: ReferenceEvaluator(self._model).run(None, feeds))

    def nudged(self, feeds: dict[str, Any]) -> list[list[Any]]:
        """What the first (or the second) gives for data off by some roundings."""
        found = []
        for seed in range(_N_NUDGES):
            rng = np.random.default_rng(seed)
            moved = {name: _nudge(x, rng) for name, x in feeds.items()}
            model = onnx.ModelProto()
            model.CopyFrom(self._model)
            for tensor in model.graph.initializer:
                if tensor.data_type in _FLOAT_CODES:
                    x = _nudge(numpy_helper.to_array(tensor), rng)
                    tensor.CopyFrom(numpy_helper.from_array(x, tensor.name))
            other = Oracle(model)
            results = other.first(moved) or other.second(moved)
            if results is not None:
                found.append(results)
        return found


#: How to ask: the first, the second.
ORACLES = (Oracle.first, Oracle.second)


def _nudge(x: Any, rng: np.random.Generator) -> Any:
    if x.dtype.kind != "f":
        return x
    with np.errstate(all="ignore"):
        factor = 1 + np.finfo(x.dtype).eps * rng.choice((-2.0, 2.0), x.shape)
        return np.asarray(x * factor).astype(x.dtype)


def _quietly(run: Callable[[], list[Any]]) -> Results:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return run()
        except Exception:  # whatever its operators raise
            return None
