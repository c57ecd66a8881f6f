"""HDF5 files as attributes and weights; the reading is done by a child process.

Enters: a path. Leaves: texts, and weights that stay in their file until they are
needed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.errors import ModelFormatError
from trimtab.formats.isolate import run_isolated
from trimtab.graph import DTYPES, Constant
from trimtab.limits import Limits
from trimtab.weight_file import Stored, WeightFile

__all__ = ["Hdf5", "read_hdf5"]

_SECONDS_PER_GIB = 60.0


@dataclass(frozen=True)
class Hdf5:
    """What is in an HDF5 file.

    Parameters
    ----------
    attributes : dict
        Path of a group ("" is the root) -> key -> text or list of texts.
    datasets : dict of str to Constant
        By path.
    """

    attributes: dict[str, dict[str, Any]]
    datasets: dict[str, Constant]

    def text(self, group: str, key: str) -> str:
        """Give an attribute that is a text, or "".

        Parameters
        ----------
        group, key : str

        Returns
        -------
        value : str

        Examples
        --------
        >>> Hdf5({"": {"backend": "torch"}}, {}).text("", "backend")
        'torch'
        """
        found = self.attributes.get(group, {}).get(key, "")
        return found if isinstance(found, str) else ""

    def texts(self, group: str, key: str) -> list[str]:
        """Give an attribute that is a list; long ones are cut into key0, key1...

        Parameters
        ----------
        group, key : str

        Returns
        -------
        values : list of str

        Examples
        --------
        >>> Hdf5({"g": {"names0": ["a"], "names1": ["b"]}}, {}).texts("g", "names")
        ['a', 'b']
        """
        here = self.attributes.get(group, {})
        keys = [key] if key in here else []
        while not keys or keys[-1] != key:
            if f"{key}{len(keys)}" not in here:
                break
            keys.append(f"{key}{len(keys)}")
        found: list[str] = []
        for each in keys:
            value = here[each]
            found.extend([value] if isinstance(value, str) else value)
        return found


def read_hdf5(path: str, limits: Limits, what: str) -> Hdf5:
    """Read an HDF5 file.

    Parameters
    ----------
    path : str
    limits : Limits
    what : str
        For messages: "the HDF5 file 'm.h5'".

    Returns
    -------
    content : Hdf5

    Raises
    ------
    ModelFormatError
        It is damaged or holds what no model has.
    ModelLimitError
        It asks for more than `limits`.
    UnsafeModelError
        It refers to other files.
    ImportError
        h5py is missing.

    Examples
    --------
    >>> read_hdf5("m.h5", Limits(), "the HDF5 file 'm.h5'")    # doctest: +SKIP
    """
    arguments = {
        "path": os.path.abspath(path),
        "max_bytes": limits.max_model_bytes,
        "max_tensor_bytes": limits.max_tensor_bytes,
    }
    size = os.path.getsize(path)
    seconds = _SECONDS_PER_GIB * (1 + size / 2**30)
    source = WeightFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    with run_isolated(
        "keras.hdf5_child:read_in_child", arguments, what=what, seconds=seconds
    ) as child:
        copy_path = child.path("weights.bin")
        copy = WeightFile(os.open(copy_path, os.O_RDONLY | os.O_CLOEXEC))
        result = child.result
    status = os.fstat(source.descriptor)
    if result["identity"] != [status.st_ino, status.st_size, status.st_mtime_ns]:
        raise ModelFormatError(f"{what} has changed while it was read")
    files = {"source": source, "copy": copy}
    datasets = {
        name: _constant(name, entry, files)
        for name, entry in result["datasets"].items()
    }
    return Hdf5(result["attributes"], datasets)


def _constant(name: str, entry: list[Any], files: dict[str, WeightFile]) -> Constant:
    """A weight as the child describes it; the child is not trusted."""
    dtype, shape, which, offset, n_bytes = entry
    file = files[which]
    if dtype not in DTYPES or not 0 <= offset <= file.n_bytes - n_bytes:
        raise ModelFormatError(f"dataset {name!r} is not where it was found")
    if int(np.prod(shape, dtype=object)) * DTYPES[dtype][1] // 8 != n_bytes:
        raise ModelFormatError(f"dataset {name!r} has {n_bytes} bytes for {shape}")
    return Constant(dtype, tuple(shape), Stored(file, offset, n_bytes))
