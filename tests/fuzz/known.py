"""Differences that are explained: not bugs of this engine, with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .generate import Sample

#: Does it apply to (operators of the graph, what is wrong)? -> why it is no bug.
_KNOWN: list[tuple[Callable[[set[str], str], bool], str]] = [
    (
        lambda ops, text: (
            bool(ops & _BOUNDED and ops & _LAYERS)
            and re.search(r"expected np\.float\d\d\(nan\)", text) is not None
            and not text.startswith("no passes")
        ),
        "a post-op of oneDNN that bounds (relu, clip) gives the bound for NaN; without "
        "passes NaN stays NaN",
    ),
    (
        lambda ops, text: "ThresholdedRelu" in ops and "(nan), expected" in text,
        "NaN stays NaN in ThresholdedRelu, as in PyTorch; the formula makes it 0",
    ),
    (
        lambda ops, text: (
            bool(ops & {"HardSwish", "Erf", "Elu", "Selu"}) and "float64" in text
        ),
        "constants or erf of float64 to float32's precision in the oracle, exact here",
    ),
    (
        lambda ops, text: (
            "HardSwish" in ops
            and re.search(r"expected np\.float\d\d\(nan\)", text) is not None
        ),
        "HardSwish of -inf is its limit 0 here, -inf * 0 in the others",
    ),
    (
        lambda ops, text: (
            bool(ops & {"MaxPool", "GlobalMaxPool", "Max", "Min", "ReduceMax"})
            and bool(ops & {"Div", "Reciprocal"})
            and "inf" in text
        ),
        "which of two zeros of different signs is the larger is left open",
    ),
    (
        lambda ops, text: "GlobalMaxPool" in ops and "-3.4028235e+38" in text,
        "onnxruntime's maximum of infinities below zero is the lowest number",
    ),
    (
        lambda ops, text: "ReduceLogSumExp" in ops and "(nan), expected" in text,
        "NaN and an infinity summed: NaN here, infinity in onnxruntime",
    ),
    (
        lambda ops, text: (
            bool(ops & {"ReduceMax", "ReduceMin"}) and "(nan), expected" in text
        ),
        "NaN among what is compared stays NaN here; onnxruntime may pass over it",
    ),
    (
        lambda ops, text: "Slice" in ops and ": shape" in text,
        "onnx.reference slices as NumPy does, where a backward start before the first "
        "element takes nothing; the specification clamps it to the first",
    ),
    (
        lambda ops, text: "Clip" in ops and "(inf), expected np.float" in text,
        "an infinity that Clip does not bound stays, as in onnx.reference; onnxruntime "
        "gives the largest number",
    ),
    (
        lambda ops, text: "MatMulInteger" in ops and "int32(0), expected" in text,
        "sums over nothing are zero; onnxruntime leaves them as the memory was",
    ),
    (
        lambda ops, text: "PRelu" in ops and "(0.0), expected" in text,
        "zero stays zero in PRelu; onnx.reference multiplies it by an infinite slope",
    ),
    (
        lambda ops, text: (
            "ReduceMean" in ops and "(nan), expected" in text and "(0.0)" in text
        ),
        "the mean of nothing is NaN here and in NumPy, zero in onnxruntime",
    ),
    (
        lambda ops, text: "Softsign" in ops and "nan" in text,
        "Softsign of an infinity is its limit 1 or -1 here, inf / inf in the others",
    ),
]
# What oneDNN computes with post-ops, and post-ops that bound.
_LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_BOUNDED = {"Relu", "Clip", "HardSigmoid", "HardSwish", "Max", "Min"}


def explain(sample: Sample, text: str, output: str) -> str:
    """The reason why a difference is none of ours, or nothing."""
    operators = _ancestors(sample, output)
    for applies, reason in _KNOWN:
        if applies(operators, text):
            return reason
    return ""


def _ancestors(sample: Sample, output: str) -> set[str]:
    """Operators that an output is made by; all when none is named."""
    if not output:
        return {node.op_type for node in sample.model.graph.node}
    wanted, found = {output}, set()
    for node in reversed(sample.model.graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            for attribute in node.attribute:
                for inner in attribute.g.node:
                    wanted |= set(inner.input)
            found.add(node.op_type)
    return found
