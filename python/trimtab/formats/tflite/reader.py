"""TFLite: a path or bytes -> `Model`.

bytes > records with good indices (`contents`) > operators, one after the other, into a
`GraphBuilder` (`scope`, `operation`, `operators`). No package is needed for it.
"""

from __future__ import annotations

import json
import os

from trimtab.errors import (
    InputError,
    ModelFormatError,
    ModelLimitError,
    TrimtabError,
    UnsupportedOpError,
)
from trimtab.fallback import UnsupportedNode
from trimtab.formats.builder import GraphBuilder
from trimtab.formats.tflite.constants import QUANTIZED, Constants
from trimtab.formats.tflite.contents import (
    Contents,
    SignatureRecord,
    TensorRecord,
    read_contents,
)
from trimtab.formats.tflite.operation import Operation
from trimtab.formats.tflite.operators import OPERATORS
from trimtab.formats.tflite.scope import Scope, Work
from trimtab.formats.tflite.states import States
from trimtab.graph import DTYPES, Dims, Model
from trimtab.limits import Limits

__all__ = ["read_bytes", "read_tflite"]

_N_SHOWN = 20
# What code raises on numbers that make no sense; every check of ours comes before.
_FAULTS = (ArithmeticError, AssertionError, LookupError, TypeError, ValueError)


def read_bytes(source: str | bytes, limits: Limits) -> bytes:
    """Take the whole file into our own memory: it may change on disk meanwhile.

    Parameters
    ----------
    source : str or bytes
        Path of a file, or its content.
    limits : Limits

    Returns
    -------
    data : bytes

    Raises
    ------
    ModelLimitError
        It is too large.

    Examples
    --------
    >>> len(read_bytes(b"abc", Limits()))
    3
    """
    if isinstance(source, bytes):
        data = source
    else:
        with open(source, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = b"" if size > limits.max_model_bytes else file.read(size)
            if size > limits.max_model_bytes:
                raise ModelLimitError(
                    f"{source!r} has {size} bytes, the limit is "
                    f"{limits.max_model_bytes}"
                )
    if len(data) > limits.max_model_bytes:
        raise ModelLimitError(
            f"the content has {len(data)} bytes, the limit is {limits.max_model_bytes}"
        )
    return data


def _signature(contents: Contents, wanted: str | None) -> SignatureRecord:
    """The signature that was asked for, else what belongs to the main subgraph."""
    keys = [entry.key for entry in contents.signatures]
    if wanted is not None:
        if wanted not in keys:
            raise InputError(
                f"signature: the file has no {wanted!r}, it has "
                f"{', '.join(map(repr, keys)) or 'none'}"
            )
        return contents.signatures[keys.index(wanted)]
    for entry in contents.signatures:
        if entry.subgraph == 0:
            return entry
    return SignatureRecord("", 0, {}, {})


def _check_operators(contents: Contents) -> None:
    """Refuse a file with operators that are not in the table, naming all of them."""
    found: dict[tuple[str, str], UnsupportedNode] = {}
    for subgraph in contents.subgraphs:
        for record in subgraph.operators:
            if record.title in OPERATORS:
                continue
            is_flex = record.custom.startswith("Flex")
            where = "TensorFlow ('Select TF ops')" if is_flex else "TFLite"
            reason = f"{'a custom' if record.custom else 'an'} operator of {where}"
            outputs = record.outputs
            key = (record.title, reason)
            found.setdefault(
                key,
                UnsupportedNode(
                    subgraph.tensors[outputs[0]].name if outputs else "",
                    record.title,
                    "tflite",
                    record.version,
                    subgraph.tensors[record.inputs[0]].dtype
                    if record.inputs and record.inputs[0] >= 0
                    else None,
                    f"{reason} that is not supported",
                ),
            )
    if not found:
        return
    lines = [f"  {node}" for node in list(found.values())[:_N_SHOWN]]
    if len(found) > _N_SHOWN:
        lines.append(f"  ... and {len(found) - _N_SHOWN} more")
    error = UnsupportedOpError(
        f"{len(found)} kinds of operators of the TFLite file cannot be converted:\n"
        + "\n".join(lines)
    )
    error.nodes = tuple(found.values())
    raise error


def _convert(scope: Scope) -> None:
    for record in scope.record.operators:
        scope.work.count()
        OPERATORS[record.title](Operation(scope, record))


def _shape(tensor: TensorRecord, name: str) -> Dims:
    """Dims with a symbol for each that may vary."""
    return tuple(
        f"{name}_dim{place}" if dim is None else dim
        for place, dim in enumerate(tensor.signature)
    )


def _steps(names: list[str], tensors: list[TensorRecord]) -> dict[str, list[float]]:
    """Scale and zero point of quantised inputs or outputs, by name."""
    return {
        name: [float(t.quantization.scale[0]), int(t.quantization.zero_point[0])]
        for name, t in zip(names, tensors, strict=True)
        if t.quantization is not None and t.dtype in QUANTIZED
    }


def _add_inputs(scope: Scope, names: dict[int, str]) -> list[str]:
    found = []
    for index in dict.fromkeys(scope.record.inputs):
        tensor = scope.tensor(index)
        if tensor.dtype not in DTYPES:
            raise UnsupportedOpError(
                f"input {tensor.name!r}: tensors of {tensor.dtype} are not supported"
            )
        name = scope.builder.input(
            names.get(index) or tensor.name,
            tensor.dtype,
            _shape(tensor, names.get(index) or tensor.name),
        )
        scope.set_raw(index, name)
        found.append(name)
    return found


def _add_outputs(scope: Scope, names: dict[int, str]) -> list[str]:
    found = []
    for index in scope.record.outputs:
        tensor = scope.tensor(index)
        if tensor.dtype not in DTYPES:
            raise UnsupportedOpError(
                f"output {tensor.name!r}: tensors of {tensor.dtype} are not supported"
            )
        name = names.get(index) or tensor.name
        shape = _shape(tensor, name)
        found.append(scope.builder.output(scope.raw(index), name, tensor.dtype, shape))
    return found


def read_tflite(
    source: str | bytes, limits: Limits, signature: str | None = None
) -> Model:
    """Read a TFLite model.

    Quantised tensors are computed as the real numbers that they stand for, rounded to
    their steps after every operator; inputs and outputs have the types of the file,
    and `Model.metadata["quantization"]` tells their scales and zero points. Where an
    interpreter would quantise activations on the fly (weights of int8 in a model of
    floats), the weights are used as real numbers. What an interpreter keeps between
    calls becomes inputs and outputs, told in `Model.metadata["states"]`.

    Parameters
    ----------
    source : str or bytes
        Path of a file, or its content.
    limits : Limits
    signature : str, optional
        Which signature of the file to load; the main subgraph by default.

    Returns
    -------
    model : Model

    Raises
    ------
    ModelFormatError, ModelLimitError
        The file is damaged, hostile, or asks for too much.
    UnsupportedOpError
        Operators that have no equivalent here; all are listed.
    InputError
        The file has no such signature.

    Examples
    --------
    >>> read_tflite("model.tflite", Limits())              # doctest: +SKIP
    Model('main': x -> y, 12 nodes)
    """
    data = read_bytes(source, limits)
    try:
        return _read(data, limits, signature)
    except TrimtabError:
        raise
    except _FAULTS as error:
        raise ModelFormatError(
            f"the TFLite file contradicts itself ({type(error).__name__}: {error})"
        ) from error


def _read(data: bytes, limits: Limits, signature: str | None) -> Model:
    contents = read_contents(data, limits)
    chosen = _signature(contents, signature)
    _check_operators(contents)
    builder = GraphBuilder(contents.subgraphs[chosen.subgraph].name or "main")
    states = States(builder)
    work = Work(contents, Constants(contents, limits), limits, states, _convert)
    scope = Scope(work, chosen.subgraph, builder)
    inputs = _add_inputs(scope, chosen.inputs)
    for index in scope.record.outputs:
        builder.reserve(chosen.outputs.get(index) or scope.tensor(index).name)
    _convert(scope)
    outputs = _add_outputs(scope, chosen.outputs)
    steps = {
        **_steps(inputs, [scope.tensor(i) for i in dict.fromkeys(scope.record.inputs)]),
        **_steps(outputs, [scope.tensor(i) for i in scope.record.outputs]),
    }
    metadata = {
        "description": contents.description,
        "signature": chosen.key,
        "quantization": json.dumps(steps) if steps else "",
        "states": states.finish(),
    }
    kept = {key: text for key, text in metadata.items() if text}
    return builder.build("tflite", kept)
