"""One-node models: run by trimtab and by an independent engine, and compared.

The truth is, in this order: `expected` of the caller, onnxruntime, onnx.reference.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

import trimtab

# Largest error as a share of the output's range, by precision of the output: some
# rounding steps of the dtype, because sums are taken in another order.
TOLERANCE = {
    "float64": 1e-12,
    "float32": 1e-5,
    "float16": 2e-3,
    "bfloat16": 2e-2,
}

Array = np.ndarray


def one_node_model(
    op_type: str,
    inputs: Sequence[Array | None],
    attrs: Mapping[str, Any] | None = None,
    opset: int = 17,
    *,
    outputs: int | Sequence[str] = 1,
    domain: str = "",
    constants: Sequence[int] = (),
) -> onnx.ModelProto:
    """A model of one node; `constants` are the inputs that become initializers.

    An input that is None is absent.  `outputs` is their number, or their names with
    an empty one for an absent output.
    """
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    if isinstance(outputs, int):
        outputs = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(
        op_type, names, list(outputs), name="node", domain=domain, **(attrs or {})
    )
    graph_inputs, initializers = [], []
    for i, x in enumerate(inputs):
        if x is None:
            continue
        if i in constants:
            initializers.append(
                numpy_helper.from_array(np.ascontiguousarray(x), f"x{i}")
            )
        else:
            code = helper.np_dtype_to_tensor_dtype(x.dtype)
            graph_inputs.append(
                helper.make_tensor_value_info(f"x{i}", code, list(x.shape))
            )
    graph_outputs = [helper.make_empty_tensor_value_info(y) for y in outputs if y]
    graph = helper.make_graph([node], "test", graph_inputs, graph_outputs, initializers)
    opsets = [helper.make_opsetid("", opset)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def feeds_of(inputs: Sequence[Array | None], constants: Sequence[int]) -> dict:
    """The arrays to pass at run time, by input name."""
    return {
        f"x{i}": x for i, x in enumerate(inputs) if x is not None and i not in constants
    }


def truth(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """What onnxruntime computes, or onnx.reference where it has no kernel."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.graph_optimization_level = (
            onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        )
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return session.run(None, dict(feeds))
    except (
        state.Fail,
        state.InvalidGraph,
        state.NotImplemented,
        state.RuntimeException,
    ):
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(model).run(None, dict(feeds))


def compare(got: Array, want: Array, tolerance: float | None = None) -> None:
    """Same dtype and shape, same NaN and infinities, close in units of the range."""
    want = np.asarray(want)
    assert got.dtype == want.dtype, f"dtype {got.dtype}, expected {want.dtype}"
    assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
    if want.dtype.name not in TOLERANCE:
        if want.dtype.isbuiltin == 2:  # ml_dtypes': NaN equals NaN as doubles only
            got, want = got.astype(np.float64), want.astype(np.float64)
        np.testing.assert_array_equal(got, want)
        return
    if tolerance is None:
        tolerance = TOLERANCE[want.dtype.name]
    g, w = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(w)
    np.testing.assert_array_equal(g[~finite], w[~finite])
    if not finite.any():
        return
    scale = max(np.ptp(w[finite]), np.abs(w[finite]).max(), 1e-30)
    error = np.abs(np.where(finite, g, 0) - np.where(finite, w, 0))
    worst = np.unravel_index(np.argmax(error), error.shape)
    assert not np.isnan(error).any(), "NaN where a finite number was expected"
    assert error.max() <= tolerance * scale, (
        f"error {error.max():.3g} is more than {tolerance:g} of {scale:.3g} at "
        f"{tuple(int(i) for i in worst)}: {got[worst]}, expected {want[worst]}"
    )


def other_strides(x: Array) -> Array:
    """The same array over memory in another order: channels-last or reversed axes."""
    if x.ndim < 2 or x.size == 0:
        return x
    order = [0, *range(2, x.ndim), 1] if x.ndim > 2 else [1, 0]
    inverse = np.argsort(order)
    return np.ascontiguousarray(x.transpose(order)).transpose(inverse)


def run_with_isa(isa: str, code: str) -> str:
    """Run Python code where own kernels go up to `isa`; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TRIMTAB_ISA": isa},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def check_node(
    op_type: str,
    inputs: Sequence[Array | None],
    attrs: Mapping[str, Any] | None = None,
    opset: int = 17,
    *,
    outputs: int | Sequence[str] = 1,
    domain: str = "",
    constants: Sequence[int] = (),
    expected: Sequence[Array] | Callable[..., Sequence[Array]] | None = None,
    tolerance: float | None = None,
    strided: bool = True,
    threads: int = 2,
) -> list[Array]:
    """Build, run, compare; with `strided` once more on inputs in another order.

    Parameters
    ----------
    inputs : list of arrays, None for an absent one
    outputs : int or list of names
        Number of outputs; as names, an empty one is an absent output.
    constants : list of int
        Inputs that are initializers of the model instead of inputs.
    expected : list of arrays or a function of the present inputs, optional
        The truth; without it onnxruntime or onnx.reference gives it.
    tolerance : float, optional
        Largest error as a share of the output's range (default: by dtype).

    Returns
    -------
    list of arrays
        What trimtab computed.
    """
    model = one_node_model(
        op_type,
        inputs,
        attrs,
        opset,
        outputs=outputs,
        domain=domain,
        constants=constants,
    )
    feeds = feeds_of(inputs, constants)
    if expected is None:
        expected = truth(model, feeds)
    elif callable(expected):
        expected = expected(*[x for x in inputs if x is not None])
    loaded = trimtab.load_model(
        model.SerializeToString(), threads=threads, fallback=False
    )
    names = [o.name for o in loaded.outputs]
    variants = [feeds]
    if strided and any(x.ndim > 1 for x in feeds.values()):
        variants.append({k: other_strides(x) for k, x in feeds.items()})
    for variant in variants:
        result = loaded.run(variant)
        for name, want in zip(names, expected, strict=True):
            compare(np.asarray(result[name]), want, tolerance)
    return [np.asarray(result[name]) for name in names]
