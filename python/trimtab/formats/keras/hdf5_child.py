"""HDF5 files, read in the child process of `trimtab.formats.isolate`.

Enters: a path. Leaves: attributes, and for each dataset its dtype, shape and where its
elements lie: in the file itself where they are stored plainly, else in ``weights.bin``.
Links, storage in other files, virtual datasets, filters beyond gzip, shapes that the
file has no bytes for: refused before anything is read.
"""

from __future__ import annotations

import math
import os
import sys
from typing import Any, BinaryIO

import numpy as np

from trimtab.errors import ModelFormatError, ModelLimitError, UnsafeModelError

__all__ = ["read_in_child"]

_MAX_OBJECTS = 200_000
_MAX_DEPTH = 64
_MAX_NAME = 1000
_MAX_TEXT_BYTES = 16 << 20
_MAX_LIST = 200_000
_MAX_RATIO = 200
_SMALL_BYTES = 1 << 20
_SLAB_BYTES = 32 << 20
_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32"}
# Groups of training: no layer's weights are in them.
_SKIPPED = ("optimizer", "optimizer_weights", "_optimizer")
_KINDS = "fiub"


def read_in_child(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """Read an HDF5 file.

    Parameters
    ----------
    arguments : dict
        path, max_bytes, max_tensor_bytes.
    folder : str
        Where ``weights.bin`` is written.

    Returns
    -------
    result : dict
        identity (of the file), attributes (path -> key -> text, or list of texts) and
        datasets (path -> [dtype, shape, file, offset, bytes]).

    Raises
    ------
    ImportError
        h5py is missing.
    ModelFormatError
        The file is damaged, or holds what no Keras model has.
    ModelLimitError
        It asks for more than allowed.
    UnsafeModelError
        It refers to other files.

    Examples
    --------
    >>> read_in_child({"path": "m.h5", ...}, "/tmp/x")     # doctest: +SKIP
    """
    try:
        import h5py
    except ImportError:
        raise ImportError(
            "reading Keras weights needs h5py: pip install 'trimtab[keras]'"
        ) from None
    path = arguments["path"]
    status = os.stat(path)
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise ModelFormatError(f"no HDF5 file: {error!s:.200}") from None
    with file, open(os.path.join(folder, "weights.bin"), "wb") as out:
        walk = _Walk(h5py, out, status.st_size, arguments)
        walk.run(file)
    identity = [status.st_ino, status.st_size, status.st_mtime_ns]
    return {
        "identity": identity,
        "attributes": walk.attributes,
        "datasets": walk.datasets,
    }


class _Walk:
    """All groups and datasets of a file, without recursion."""

    def __init__(
        self, h5py: Any, out: BinaryIO, file_bytes: int, arguments: dict[str, Any]
    ) -> None:
        self.h5py = h5py
        self.out = out
        self.file_bytes = file_bytes
        self.max_bytes = int(arguments["max_bytes"])
        self.max_tensor_bytes = int(arguments["max_tensor_bytes"])
        self.attributes: dict[str, dict[str, Any]] = {}
        self.datasets: dict[str, list[Any]] = {}
        self.total = 0
        self.text_bytes = 0

    def run(self, file: Any) -> None:
        todo: list[tuple[str, Any, int]] = [("", file, 0)]
        seen: set[int] = set()
        n_objects = 0
        while todo:
            path, item, depth = todo.pop()
            n_objects += 1
            if n_objects > _MAX_OBJECTS:
                raise ModelLimitError(f"the file has more than {_MAX_OBJECTS} objects")
            if isinstance(item, self.h5py.Dataset):
                self.datasets[path] = self.dataset(path, item)
                continue
            if not isinstance(item, self.h5py.Group):
                raise ModelFormatError(f"{path!r} is neither a group nor a dataset")
            address = self.h5py.h5o.get_info(item.id).addr
            if address in seen or depth > _MAX_DEPTH:
                raise ModelFormatError(
                    f"group {path!r} is in the file twice, or too deep"
                )
            seen.add(address)
            self.read_attributes(path, item)
            todo.extend(self.children(path, item, depth))

    def children(self, path: str, group: Any, depth: int) -> list[tuple[str, Any, int]]:
        if len(group) > _MAX_OBJECTS:
            raise ModelLimitError(f"group {path!r} has {len(group)} members")
        found = []
        for name in group:
            here = f"{path}/{name}" if path else name
            if len(here) > _MAX_NAME:
                raise ModelFormatError(f"a path in the file is too long: {here:.80}")
            link = group.get(name, getlink=True)
            if not isinstance(link, self.h5py.HardLink):
                raise UnsafeModelError(
                    f"{here!r} is a link ({type(link).__name__}); models have none"
                )
            if not path and name in _SKIPPED:
                continue
            found.append((here, group[name], depth + 1))
        return found

    def read_attributes(self, path: str, group: Any) -> None:
        """Texts and lists of texts; others are of no use here."""
        if len(group.attrs) > _MAX_LIST:
            raise ModelLimitError(f"group {path!r} has {len(group.attrs)} attributes")
        found: dict[str, Any] = {}
        for key in group.attrs:
            identifier = group.attrs.get_id(key)
            n_elements = math.prod(identifier.shape or (1,))
            size = n_elements * identifier.dtype.itemsize
            if n_elements > _MAX_LIST or size > _MAX_TEXT_BYTES:
                raise ModelLimitError(f"attribute {key!r} of {path!r} is too large")
            if n_elements == 0 or identifier.dtype.kind not in "OS":
                continue
            texts = _texts(group.attrs[key])
            if texts is None:
                continue
            listed = [texts] if isinstance(texts, str) else texts
            self.text_bytes += sum(len(text) for text in listed)
            if self.text_bytes > _MAX_TEXT_BYTES:
                raise ModelLimitError("the attributes of the file are too large")
            found[key] = texts
        if found:
            self.attributes[path] = found

    def dataset(self, path: str, item: Any) -> list[Any]:
        """Check a dataset, then say where its elements are."""
        dtype = _dtype(path, item)
        shape = item.shape
        if shape is None:
            raise ModelFormatError(f"dataset {path!r} is empty")
        n_bytes = math.prod(shape) * item.dtype.itemsize
        self.total += n_bytes
        if n_bytes > self.max_tensor_bytes or self.total > self.max_bytes:
            raise ModelLimitError(
                f"dataset {path!r} has shape {shape}, {n_bytes} bytes; limits are "
                f"{self.max_tensor_bytes} bytes for one and {self.max_bytes} for all"
            )
        is_plain = self.check_storage(path, item, n_bytes)
        offset = (
            item.id.get_offset() if is_plain and item.dtype.byteorder != ">" else None
        )
        if offset is not None and sys.byteorder == "little":
            if offset + n_bytes > self.file_bytes:
                raise ModelFormatError(f"dataset {path!r} reaches beyond the file")
            return [dtype, list(shape), "source", offset, n_bytes]
        offset = self.out.tell()
        self.copy(path, item)
        return [dtype, list(shape), "copy", offset, n_bytes]

    def check_storage(self, path: str, item: Any, n_bytes: int) -> bool:
        """Are the elements in this file, as many as the shape says? Plainly stored?"""
        h5d = self.h5py.h5d
        plist = item.id.get_create_plist()
        layout = plist.get_layout()
        if layout == h5d.VIRTUAL or item.is_virtual:
            raise UnsafeModelError(f"dataset {path!r} is virtual: it reads other files")
        if plist.get_external_count():
            raise UnsafeModelError(f"dataset {path!r} is stored in another file")
        for number in range(plist.get_nfilters()):
            code = plist.get_filter(number)[0]
            if code not in _FILTERS:
                raise ModelFormatError(
                    f"dataset {path!r} is packed by filter {code}; read are "
                    f"{', '.join(_FILTERS.values())}"
                )
        stored = item.id.get_storage_size()
        if stored > self.file_bytes:
            raise ModelFormatError(
                f"dataset {path!r} claims {stored} bytes of a file of {self.file_bytes}"
            )
        is_chunked = layout == h5d.CHUNKED
        has_filters = plist.get_nfilters() > 0
        allowed = max(_SMALL_BYTES, _MAX_RATIO * stored) if has_filters else stored
        if n_bytes > allowed:
            raise ModelLimitError(
                f"dataset {path!r} has shape {item.shape}, {n_bytes} bytes, of which "
                f"the file holds {stored}"
            )
        if is_chunked:
            chunk = math.prod(item.chunks) * item.dtype.itemsize
            if chunk > 2 * n_bytes + _SMALL_BYTES:
                raise ModelLimitError(
                    f"dataset {path!r} of {n_bytes} bytes has chunks of {chunk}"
                )
        return bool(layout == h5d.CONTIGUOUS)

    def copy(self, path: str, item: Any) -> None:
        """Write the elements, little-endian, some rows at a time."""
        dtype = item.dtype.newbyteorder("<") if item.dtype.kind in "fiu" else None
        rows = 1 if not item.shape else item.shape[0]
        row_bytes = max(1, math.prod(item.shape[1:]) * item.dtype.itemsize)
        step = max(1, _SLAB_BYTES // row_bytes)
        if 0 in item.shape:
            return
        try:
            for start in range(0, rows, step):
                part = item[start : start + step] if item.shape else item[()]
                part = np.asarray(part) if dtype is None else np.asarray(part, dtype)
                self.out.write(np.ascontiguousarray(part).tobytes())
        except OSError as error:
            raise ModelFormatError(
                f"dataset {path!r} is damaged: {error!s:.200}"
            ) from None


def _dtype(path: str, item: Any) -> str:
    """Name of the element type, as `trimtab.graph.DTYPES` has it."""
    dtype = item.dtype
    if dtype.kind in _KINDS and dtype.names is None:
        name = str(dtype.newbyteorder("=").name)
        if name != "float128":
            return name
    is_pair = dtype.kind == "V" and dtype.itemsize == 2 and dtype.names is None
    if is_pair and item.attrs.get("dtype") in ("bfloat16", b"bfloat16"):
        return "bfloat16"
    raise ModelFormatError(
        f"dataset {path!r} has elements of type {dtype!s:.80}; weights are numbers"
    )


def _texts(value: Any) -> str | list[str] | None:
    """A text or a list of texts of an attribute."""
    if isinstance(value, str | bytes):
        return _text(value)
    if isinstance(value, np.ndarray) and value.ndim == 1:
        items = value.tolist()
        if all(isinstance(item, str | bytes) for item in items):
            return [_text(item) for item in items]
    return None


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
