"""SavedModel: a folder that TensorFlow wrote -> `Model`.

survey (this process: which files, how large) > copy, inspection and conversion (a
child: `saved_model_child`) > ONNX reader > names, order and shapes of the signature.
TensorFlow never runs in this process, and in the child only after every operator
that it would run has been looked at.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from trimtab.errors import ModelFormatError, ModelLimitError, UnsafeModelError
from trimtab.formats.exchange import pack_arrays, read_arrays
from trimtab.formats.isolate import Isolated, run_isolated
from trimtab.formats.onnx import read_onnx
from trimtab.graph import Model, Value
from trimtab.limits import Limits
from trimtab.types import Array

__all__ = ["read_saved_model", "run_saved_model"]

_MODEL_FILE = "saved_model.pb"
_VARIABLES = "variables"
_MAX_FILES = 10_000  # of a checkpoint: one for each shard, and an index
# Measured: 1.4 GB mapped by importing TensorFlow, 2.5 GB to 4 GB for converting small
# models, and 25 times the weights while they are frozen and folded.
_MEMORY_BYTES = 8 << 30
_MEMORY_PER_BYTE = 32
_SECONDS = 900.0

_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",  # the caller may use another
    "TF_USE_LEGACY_KERAS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # folding constants gives the same everywhere
    "TF2ONNX_CATCH_ERRORS": "FALSE",
    "CUDA_VISIBLE_DEVICES": "-1",
    "AUTOGRAPH_VERBOSITY": "0",
}


def read_saved_model(
    source: str | bytes, limits: Limits, *, signature: str | None = None
) -> Model:
    """Read a SavedModel of TensorFlow 2 (Keras 2 and 3, ``tf.Module``, Model Garden).

    Inputs and outputs have the names and shapes of the signature, in alphabetical
    order with numbers by value (``output_2`` before ``output_10``). Assets are not
    opened.

    Parameters
    ----------
    source : str
        Path of the folder.
    limits : Limits
        ``max_model_bytes`` bounds its files together.
    signature : str, optional
        Which signature to load: "serving_default" by default, or the only one.

    Returns
    -------
    model : Model

    Raises
    ------
    ModelFormatError, ModelLimitError
        The folder is no SavedModel or a damaged one, or too large.
    UnsafeModelError
        Loading it would read or write other files, or run code of its author.
    UnsupportedOpError
        Operators that have no counterpart in ONNX, or inputs of strings.
    InputError
        There is no such signature, or none is the default.
    ImportError
        TensorFlow or tf2onnx is missing.

    Examples
    --------
    >>> read_saved_model("my_model", Limits())             # doctest: +SKIP
    Model('main': x -> output_0, 12 nodes)
    """
    if not isinstance(source, str):
        raise ModelFormatError("a SavedModel is a folder: pass its path")
    with _in_child("saved_model_child:convert", source, limits, signature) as child:
        model = read_onnx(child.path("model.onnx"), limits)
        described = child.result
    _apply(model, described, f"the SavedModel {source!r}")
    return model


def run_saved_model(
    source: str,
    limits: Limits,
    inputs: Sequence[Mapping[str, Array]],
    *,
    signature: str | None = None,
) -> list[dict[str, Array]]:
    """Have TensorFlow run a SavedModel, after the same checks, in the same limits.

    Parameters
    ----------
    source : str
        Path of the folder.
    limits : Limits
    inputs : sequence of mapping of str to ndarray
        Inputs of each call.
    signature : str, optional
        As for `read_saved_model`.

    Returns
    -------
    outputs : list of dict of str to ndarray
        By the names that the signature has for them.

    Raises
    ------
    ModelFormatError
        TensorFlow cannot run it, or refuses these inputs; others as for reading.

    Examples
    --------
    >>> run_saved_model("my_model", Limits(), [{"x": x}])  # doctest: +SKIP
    [{'output_0': array(...)}]
    """
    packed = [pack_arrays(each, f"in-{i}") for i, each in enumerate(inputs)]
    with _in_child(
        "saved_model_run:run",
        source,
        limits,
        signature,
        calls=[entries for entries, _ in packed],
        placed={name: data for _, files in packed for name, data in files.items()},
    ) as child:
        return [read_arrays(child.folder, call) for call in child.result["calls"]]


@contextmanager
def _in_child(
    task: str,
    source: str,
    limits: Limits,
    signature: str | None,
    *,
    calls: Sequence[Any] = (),
    placed: Mapping[str, bytes] | None = None,
) -> Iterator[Isolated]:
    """A child that gets the files that were surveyed, and TensorFlow."""
    what = f"the SavedModel {source!r}"
    files = _survey(source, what, limits)
    arguments = {
        "path": os.path.abspath(source),
        "files": files,
        "signature": signature,
        "calls": calls,
    }
    with run_isolated(
        task,
        arguments,
        what=what,
        memory_bytes=_MEMORY_BYTES + _MEMORY_PER_BYTE * sum(files.values()),
        seconds=_SECONDS,
        environment=_ENVIRONMENT,
        readable=[source],
        files=placed,
    ) as child:
        yield child


def _survey(folder: str, what: str, limits: Limits) -> dict[str, int]:
    """Files that will be read, and their bytes."""
    files: dict[str, int] = {}
    total = 0
    for name, status in _entries(folder, what):
        if stat.S_ISLNK(status.st_mode):
            raise UnsafeModelError(
                f"{what}: {name!r} is a symbolic link, which may lead anywhere; copy "
                "the folder with its content (cp -rL)"
            )
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeModelError(f"{what}: {name!r} is no regular file")
        files[name] = status.st_size
        total += status.st_size
        if len(files) > _MAX_FILES:
            raise ModelLimitError(f"{what} has more than {_MAX_FILES} files of weights")
        if total > limits.max_model_bytes:
            raise ModelLimitError(
                f"{what} has more than {total} bytes; max_model_bytes is "
                f"{limits.max_model_bytes}"
            )
    return files


def _entries(folder: str, what: str) -> Iterator[tuple[str, os.stat_result]]:
    """The description, then whatever lies in the folder of weights."""
    yield _MODEL_FILE, os.lstat(os.path.join(folder, _MODEL_FILE))
    weights = os.path.join(folder, _VARIABLES)
    if not os.path.lexists(weights):
        return
    status = os.lstat(weights)
    if not stat.S_ISDIR(status.st_mode):
        yield _VARIABLES, status
        raise ModelFormatError(f"{what}: {_VARIABLES!r} is a file, expected a folder")
    with os.scandir(weights) as entries:
        for entry in entries:
            name = f"{_VARIABLES}/{entry.name}"
            yield name, entry.stat(follow_symlinks=False)


def _apply(model: Model, described: dict[str, Any], what: str) -> None:
    """Give inputs and outputs what the signature says of them."""
    graph = model.graph
    graph.inputs = _values(graph.inputs, described["inputs"], f"{what}: inputs")
    graph.outputs = _values(graph.outputs, described["outputs"], f"{what}: outputs")
    graph.name = described["signature"]
    model.format = "saved_model"
    model.metadata |= {
        "producer": f"TensorFlow {described['version']}",
        "signature": described["signature"],
        "signatures": ", ".join(described["signatures"]),
    }


def _values(found: list[Value], told: dict[str, Any], what: str) -> list[Value]:
    by_name = {value.name: value for value in found}
    if by_name.keys() != told.keys():
        raise ModelFormatError(
            f"{what} are {sorted(told)} in the signature and {sorted(by_name)} after "
            "the conversion"
        )
    values = []
    for name in sorted(told, key=_natural):
        shape = told[name]
        dims = None if shape is None else tuple(d if d >= 0 else None for d in shape)
        values.append(Value(name, by_name[name].dtype, dims))
    return values


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Key that puts x_2 before x_10."""
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+", name)
    return [(p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in parts]
