"""Training on disk: a file of the safetensors format that continues bit by bit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from trimtab.errors import InputError, ModelFormatError
from trimtab.limits import Limits
from trimtab.types import Array

__all__ = ["read_checkpoint", "write_checkpoint"]

_FORMAT = "trimtab.checkpoint/1"
_DTYPES = {"F32": np.float32, "F64": np.float64}


def write_checkpoint(
    path: str | os.PathLike[str], arrays: Mapping[str, Array], facts: Mapping[str, Any]
) -> None:
    """Write a checkpoint so that the file is the old one or the new one.

    Parameters
    ----------
    path : path
    arrays : mapping of str to ndarray
        Of float32 or float64.
    facts : mapping of str to object
        What JSON can hold.

    Raises
    ------
    OSError
        The file cannot be written.

    Examples
    --------
    >>> write_checkpoint("run.safetensors", arrays, {"step": 12})  # doctest: +SKIP
    """
    from trimtab.formats.tensor_file import write_file, write_tensors

    codes = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}
    metadata = {"format": _FORMAT, "facts": json.dumps(dict(facts))}
    tensors = _tensors(arrays, codes)
    write_file(os.fspath(path), write_tensors(metadata, tensors))


def _tensors(
    arrays: Mapping[str, Array], codes: Mapping[Any, str]
) -> Iterator[tuple[str, str, tuple[int, ...], Array]]:
    for name, array in arrays.items():
        array = np.ascontiguousarray(array)
        yield name, codes[array.dtype], array.shape, array


def read_checkpoint(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read what `write_checkpoint` wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    arrays : dict of str to ndarray
    facts : dict of str to object

    Raises
    ------
    ModelFormatError
        It is no checkpoint, or damaged.

    Examples
    --------
    >>> arrays, facts = read_checkpoint("run.safetensors")         # doctest: +SKIP
    >>> facts["step"]                                              # doctest: +SKIP
    12
    """
    from trimtab.formats.tensor_file import TensorFile, parse_json

    limits = Limits()
    file = TensorFile(os.fspath(path), limits)
    if file.metadata.get("format") != _FORMAT:
        raise ModelFormatError(
            f"{path} is no checkpoint of a training: its format is "
            f"{file.metadata.get('format')!r}, expected {_FORMAT!r}"
        )
    facts = parse_json(file.metadata.get("facts", ""), "the facts", limits)
    arrays = {}
    for name, place in file.tensors.items():
        if place.dtype not in _DTYPES:
            raise ModelFormatError(f"{path}: tensor {name[:100]!r} is {place.dtype}")
        flat = file.read(name).view(_DTYPES[place.dtype])
        arrays[name] = flat.reshape(place.shape).copy()
    return arrays, dict(facts)


def check_same(facts: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another training.

    Parameters
    ----------
    facts : mapping of str to object
        Of the file.
    expected : mapping of str to object
        What must be equal.

    Raises
    ------
    InputError
        Something differs; the message names it.
    """
    for name, value in expected.items():
        if facts.get(name) != value:
            raise InputError(
                f"the checkpoint is of another training: {name} is "
                f"{str(facts.get(name))[:200]} there and {str(value)[:200]} here"
            )
