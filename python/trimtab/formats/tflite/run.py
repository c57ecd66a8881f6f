"""TFLite files run by an interpreter in a child with limits, for reference outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trimtab.formats.exchange import pack_arrays, read_arrays
from trimtab.formats.isolate import run_isolated
from trimtab.formats.tflite.constants import QUANTIZED
from trimtab.formats.tflite.contents import read_contents
from trimtab.formats.tflite.reader import read_bytes
from trimtab.limits import Limits
from trimtab.types import Array

__all__ = ["is_quantized", "run_tflite"]

_MEMORY_BYTES = 4 << 30
_MEMORY_PER_BYTE = 16
_SECONDS = 300.0
_FILE = "model.tflite"


def is_quantized(source: str | bytes, limits: Limits) -> bool:
    """Does any tensor stand for real numbers by a scale?

    Interpreters round such a model to steps after every operator, and models of floats
    with integer weights to steps before them.

    Parameters
    ----------
    source : str or bytes
    limits : Limits

    Returns
    -------
    is_quantized : bool

    Examples
    --------
    >>> is_quantized("model.tflite", Limits())             # doctest: +SKIP
    True
    """
    contents = read_contents(read_bytes(source, limits), limits)
    return any(
        tensor.quantization is not None and tensor.dtype in QUANTIZED
        for subgraph in contents.subgraphs
        for tensor in subgraph.tensors
    )


def run_tflite(
    source: str | bytes,
    limits: Limits,
    inputs: Sequence[Mapping[str, Array]],
    *,
    module: str,
    signature: str,
    outputs: Sequence[str],
) -> list[dict[str, Array]]:
    """Have an interpreter run a file.

    Parameters
    ----------
    source : str or bytes
        Path, or content; it was read before.
    limits : Limits
    inputs : sequence of mapping of str to ndarray
        Inputs of each call, in the order of the file.
    module : str
        That has the interpreter: "ai_edge_litert.interpreter".
    signature : str
        Which signature; "" for the main subgraph.
    outputs : sequence of str
        Names, in the order of the file.

    Returns
    -------
    outputs : list of dict of str to ndarray

    Raises
    ------
    UnsupportedOpError
        The interpreter lacks an operator, or names inputs and outputs otherwise.
    ModelFormatError, ModelLimitError
        It refuses the inputs, dies, or takes too much.

    Examples
    --------
    >>> run_tflite(
    ...     "m.tflite", Limits(), [{"x": x}], signature="", outputs=["y"],
    ...     module="ai_edge_litert.interpreter",
    ... )                                                  # doctest: +SKIP
    [{'y': array(...)}]
    """
    data = read_bytes(source, limits)
    packed = [pack_arrays(each, f"in-{i}") for i, each in enumerate(inputs)]
    files = {name: content for _, each in packed for name, content in each.items()}
    with run_isolated(
        "tflite.interpret:run_in_child",
        {
            "path": _FILE,
            "module": module,
            "signature": signature,
            "inputs": [*inputs[0]],
            "outputs": [*outputs],
            "calls": [entries for entries, _ in packed],
        },
        what="the TFLite file",
        memory_bytes=_MEMORY_BYTES + _MEMORY_PER_BYTE * len(data),
        seconds=_SECONDS,
        environment={"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        readable=[],
        files={_FILE: data, **files},
    ) as child:
        return [read_arrays(child.folder, call) for call in child.result["calls"]]
