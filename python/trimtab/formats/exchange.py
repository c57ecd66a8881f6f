"""Arrays between this process and a reader's: raw bytes in files of its folder.

Enters: arrays by name. Leaves: files, and a list that JSON can hold; and back. What
comes back is of another process, which may have run a hostile file: types, shapes and
sizes are checked, and nothing is allocated that the file does not hold.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.errors import ModelFormatError
from trimtab.graph import DTYPES
from trimtab.types import Array, element_type, numpy_dtype

__all__ = ["pack_arrays", "read_arrays", "write_arrays"]

_MAX_RANK = 64


def pack_arrays(
    arrays: Mapping[str, Array], prefix: str
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Make files of arrays.

    Parameters
    ----------
    arrays : mapping of str to ndarray
    prefix : str
        What the names of the files begin with.

    Returns
    -------
    entries : list of dict
        name, file, dtype and shape of each.
    files : dict of str to bytes
        Content by name of the file.

    Raises
    ------
    ModelFormatError
        An array is of a type that models do not have.

    Examples
    --------
    >>> import numpy as np
    >>> pack_arrays({"x": np.zeros((2, 3), np.int8)}, "in")[0]
    [{'name': 'x', 'file': 'in-0', 'dtype': 'int8', 'shape': [2, 3]}]
    """
    entries, files = [], {}
    for number, (name, array) in enumerate(arrays.items()):
        file = f"{prefix}-{number}"
        entries.append(
            {
                "name": name,
                "file": file,
                "dtype": _name_of(name, array),
                "shape": list(array.shape),
            }
        )
        files[file] = array.tobytes()
    return entries, files


def write_arrays(
    folder: str, arrays: Mapping[str, Array], prefix: str
) -> list[dict[str, Any]]:
    """Write arrays into a folder.

    Parameters
    ----------
    folder : str
    arrays : mapping of str to ndarray
    prefix : str
        What the names of the files begin with.

    Returns
    -------
    entries : list of dict
        For `read_arrays`.

    Examples
    --------
    >>> write_arrays(folder, {"y": y}, "out")              # doctest: +SKIP
    [{'name': 'y', 'file': 'out-0', 'dtype': 'float32', 'shape': [2, 3]}]
    """
    entries, files = pack_arrays(arrays, prefix)
    for file, content in files.items():
        with open(os.path.join(folder, file), "wb") as out:
            out.write(content)
    return entries


def read_arrays(folder: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    """Read arrays of a folder.

    Parameters
    ----------
    folder : str
    entries : sequence of mapping
        As `write_arrays` gave it.

    Returns
    -------
    arrays : dict of str to ndarray

    Raises
    ------
    ModelFormatError
        An entry is malformed, or its file is not as long as it says.

    Examples
    --------
    >>> read_arrays(folder, entries)                       # doctest: +SKIP
    {'y': array(...)}
    """
    try:
        return {str(entry["name"]): _read(folder, entry) for entry in entries}
    except (KeyError, TypeError, ValueError, OSError) as error:
        if isinstance(error, ModelFormatError):
            raise
        raise ModelFormatError(
            f"the process left no arrays that can be read: {error!r:.300}"
        ) from None


def _read(folder: str, entry: Mapping[str, Any]) -> Array:
    dtype = numpy_dtype(entry["dtype"]) if entry["dtype"] in DTYPES else None
    shape = entry["shape"]
    is_shape = isinstance(shape, list) and len(shape) <= _MAX_RANK
    if dtype is None or not is_shape or not all(_is_dim(dim) for dim in shape):
        raise ModelFormatError(f"{str(entry)[:200]} describes no array")
    path = os.path.join(folder, os.path.basename(entry["file"]))
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe waits
    descriptor = os.open(path, flags)
    with open(descriptor, "rb") as file:
        size, wanted = os.fstat(descriptor).st_size, math.prod(shape) * dtype.itemsize
        if size != wanted:
            raise ModelFormatError(
                f"{str(entry['name'])[:100]!r}: expected {wanted} bytes, found {size}"
            )
        content = bytearray(file.read(wanted))
    array: Array = np.frombuffer(content, dtype).reshape(shape)
    return array


def _is_dim(dim: Any) -> bool:
    return type(dim) is int and 0 <= dim < 1 << 48


def _name_of(name: str, array: Array) -> str:
    """Element type as models name it."""
    found = element_type(array.dtype)
    if found not in DTYPES or found == "string":
        raise ModelFormatError(f"{name!r} is an array of {array.dtype}")
    return found
