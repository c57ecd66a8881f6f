"""torch.export's programs -> ONNX by torch's exporter -> `Model`.

Enters: an ExportedProgram, in this process or in the child that reads ``.pt2`` files.
Leaves: a `Model` whose inputs are called as the arguments of ``forward`` and whose
outputs as the keys of what it returns. Large weights go from torch's memory to ours in
one copy, not through protobuf.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import numpy as np

from trimtab.errors import UnsupportedOpError
from trimtab.formats.naming import name_batch, name_outputs, rename_tensors
from trimtab.formats.onnx import read_onnx_message
from trimtab.graph import Model
from trimtab.limits import Limits
from trimtab.types import Array

__all__ = [
    "convert_program",
    "finish",
    "import_torch",
    "input_names",
    "notes_of_state",
    "output_names",
    "read_exported_program",
    "silence",
    "silence_native",
    "to_onnx",
    "why",
]

# Weights from here on are handed over as arrays.
_LARGE_BYTES = 1 << 14
_SHOWN_CHARACTERS = 600
_NOT_IN_NAMES = re.compile(r"\W+", re.ASCII)
_TROUBLE = re.compile(r"(No ONNX function found for|Unsupported|not supported)[^\n]*")


def import_torch(*, needs_exporter: bool = True) -> Any:
    """Import torch, and what its exporter needs.

    Parameters
    ----------
    needs_exporter : bool, default=True
        Import onnxscript too, without which the exporter does not run.

    Returns
    -------
    torch : module

    Raises
    ------
    ImportError
        A package is missing; the message has the command to install it.

    Examples
    --------
    >>> import_torch().__name__                            # doctest: +SKIP
    'torch'
    """
    for name in ("torch", "onnxscript") if needs_exporter else ("torch",):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise ImportError(
                f"loading a PyTorch model needs {name} ({error}): "
                "pip install 'trimtab[torch]'"
            ) from None
    return importlib.import_module("torch")


@contextmanager
def silence() -> Iterator[None]:
    """Keep what an exporter prints, warns and logs from the user's terminal.

    Examples
    --------
    >>> with silence():
    ...     print("[torch.onnx] Run decompositions...")
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            with redirect_stderr(StringIO()):
                yield
    finally:
        logging.disable(disabled)


def why(error: BaseException) -> str:
    """Give the cause of an exporter's error in a few lines.

    Parameters
    ----------
    error : BaseException
        The outermost; exporters wrap the cause in advice to report a bug.

    Returns
    -------
    text : str

    Examples
    --------
    >>> why(ValueError("expected Float but found Double"))
    'ValueError: expected Float but found Double'
    """
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None:
        if inner in chain:
            break
        chain.append(inner)
    for link in chain:
        if found := _TROUBLE.search(str(link)):
            return found.group()[:_SHOWN_CHARACTERS]
    cause = next((c for c in reversed(chain) if str(c).strip()), error)
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    text = "\n  ".join(lines[:8])[:_SHOWN_CHARACTERS]
    return f"{type(cause).__name__}: {text}"


@contextmanager
def silence_native() -> Iterator[None]:
    """Keep what native code prints from the terminal, past Python's streams.

    Other threads are not heard either; for the older exporter, which prints its graph
    when it fails.

    Examples
    --------
    >>> with silence_native():
    ...     _ = os.write(1, b"Torch IR graph at exception: ...")
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(stream, os.dup(stream)) for stream in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream, _ in kept:
            os.dup2(nowhere, stream)
        yield
    finally:
        for stream, copy in kept:
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)


# ---- names -------------------------------------------------------------------------


def output_names(torch: Any, program: Any) -> list[str]:
    """Name the outputs by what ``forward`` returns.

    Parameters
    ----------
    torch : module
    program : torch.export.ExportedProgram

    Returns
    -------
    names : list of str
        ``logits`` for the key of a dict or the field of a named tuple, ``output`` for
        a tensor, ``output_0``, ``output_1`` for a tuple; one for each output that is
        a tensor.

    Examples
    --------
    >>> output_names(torch, program)                       # doctest: +SKIP
    ['logits', 'hidden']
    """
    pytree = torch.utils._pytree
    user = list(program.graph_signature.user_outputs)
    try:
        tree = pytree.tree_unflatten(range(len(user)), program.call_spec.out_spec)
        pairs, _ = pytree.tree_flatten_with_path(tree)
        paths = [path for path, _ in pairs]
    except Exception:  # a container of the user's that torch cannot make again
        paths = [()] * len(user)
    tensors = [p for p, name in zip(paths, user, strict=True) if isinstance(name, str)]
    if len(tensors) == 1:
        return [_join(tensors[0]) if _is_named(tensors[0]) else "output"]
    return [
        _join(path) if path else f"output_{number}"
        for number, path in enumerate(tensors)
    ]


def _key(step: Any) -> Any:
    """Key, field or position of one step of a path."""
    for attribute in ("key", "name", "idx"):
        if hasattr(step, attribute):
            return getattr(step, attribute)
    return str(step)


def _is_named(path: tuple[Any, ...]) -> bool:
    return bool(path) and not isinstance(_key(path[0]), int)


def _join(path: tuple[Any, ...]) -> str:
    words = [_NOT_IN_NAMES.sub("_", str(_key(step))).strip("_") for step in path]
    text = "_".join(word for word in words if word)
    return text if _is_named(path) and text else f"output_{text}".rstrip("_")


# ---- converting --------------------------------------------------------------------


def to_onnx(torch: Any, program: Any) -> Any:
    """Run torch's exporter on a program, silently.

    Parameters
    ----------
    torch : module
    program : torch.export.ExportedProgram

    Returns
    -------
    onnx_program : torch.onnx.ONNXProgram

    Raises
    ------
    UnsupportedOpError
        It cannot be expressed in ONNX; says by which operator.

    Examples
    --------
    >>> to_onnx(torch, program).model                      # doctest: +SKIP
    """
    try:
        with silence(), torch.no_grad():
            converted = torch.onnx.export(program, (), dynamo=True, verbose=False)
    except Exception as error:  # the exporter wraps errors of every kind
        raise UnsupportedOpError(
            f"torch.onnx cannot express this program in ONNX: {why(error)}"
        ) from error
    return converted


def input_names(program: Any) -> list[str]:
    """Name the inputs as the arguments of ``forward``.

    Parameters
    ----------
    program : torch.export.ExportedProgram

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> input_names(program)                               # doctest: +SKIP
    ['image']
    """
    given = program.graph_signature.user_inputs
    return [name for name in given if isinstance(name, str)]


def finish(model: Model, inputs: Sequence[str], outputs: Sequence[str]) -> Model:
    """Name inputs, outputs and the dims 0 that vary.

    Parameters
    ----------
    model : Model
        As the exporter made it; changed in place.
    inputs, outputs : sequence of str
        Not used where there are more or fewer of them in the model.

    Returns
    -------
    model : Model

    Examples
    --------
    >>> finish(model, ["image"], ["logits"])               # doctest: +SKIP
    """
    if len(inputs) == len(model.graph.inputs):
        given = [value.name for value in model.graph.inputs]
        rename_tensors(model, dict(zip(given, inputs, strict=True)))
    if len(outputs) != len(model.graph.outputs):
        outputs = [value.name for value in model.graph.outputs]
    name_outputs(model, outputs)
    name_batch(model)
    return model


def _take_weights(ir: Any, model: Any) -> dict[str, Array]:
    """Copy large weights and leave their place empty; tied ones are copied once."""
    taken: dict[str, Array] = {}
    known: dict[tuple[Any, ...], Array] = {}
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.nbytes < _LARGE_BYTES:
            continue
        array = np.ascontiguousarray(tensor.numpy())
        if array.nbytes != tensor.nbytes:
            continue  # packed elements of 4 bits
        key = (array.ctypes.data, array.nbytes)
        if key not in known:
            known[key] = np.array(array.reshape(-1).view(np.uint8))
        taken[name] = known[key]
        value.const_value = ir.ExternalTensor(
            "", 0, tensor.nbytes, tensor.dtype, shape=tensor.shape, name=name
        )
    return taken


def convert_program(
    torch: Any, program: Any, limits: Limits
) -> tuple[Model, list[str]]:
    """Convert a program.

    Parameters
    ----------
    torch : module
    program : torch.export.ExportedProgram
    limits : Limits

    Returns
    -------
    model : Model
        Its tensors are called as the exporter calls them.
    notes : list of str
        What the user should know, for warnings.

    Examples
    --------
    >>> convert_program(torch, program, Limits())          # doctest: +SKIP
    (Model('main_graph': x -> add_1, 12 nodes), [])
    """
    ir: Any = importlib.import_module("onnxscript.ir")
    converted = to_onnx(torch, program)
    exported = converted.model
    weights = _take_weights(ir, exported)
    proto = ir.serde.serialize_model(exported)
    for tensor in proto.graph.initializer:
        if tensor.name in weights:
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
    return read_onnx_message(proto, limits, weights), notes_of_state(converted)


def notes_of_state(converted: Any) -> list[str]:
    """Tell of buffers that ``forward`` writes to: a loaded model has no memory.

    Parameters
    ----------
    converted : torch.onnx.ONNXProgram
        With the program in which writing is told apart from computing.

    Returns
    -------
    notes : list of str
        For warnings; empty where nothing is written.

    Examples
    --------
    >>> notes_of_state(converted)                          # doctest: +SKIP
    ["forward writes to the buffers ['count']: ..."]
    """
    signature = converted.exported_program.graph_signature
    written = set(signature.buffers_to_mutate.values())
    if not written:
        return []
    return [
        f"forward writes to the buffers {sorted(written)}: the loaded model always "
        "starts from their present values"
    ]


def read_exported_program(program: Any, limits: Limits) -> Model:
    """Read a ``torch.export.ExportedProgram``.

    Parameters
    ----------
    program : torch.export.ExportedProgram
        Its weights are copied.
    limits : Limits

    Returns
    -------
    model : Model

    Examples
    --------
    >>> read_exported_program(torch.export.export(net, (x,)), Limits())
    ... # doctest: +SKIP
    Model('main_graph': x -> output, 12 nodes)
    """
    torch = import_torch()
    model, notes = convert_program(torch, program, limits)
    for note in notes:
        warnings.warn(note, stacklevel=7)  # where load_model is called
    model.format = "torch_export"
    return finish(model, input_names(program), output_names(torch, program))
