"""TensorProto -> `Constant`: every place where ONNX may keep elements.

The size that dims and dtype need is computed and held against the limits before
anything is read; what is there must be exactly that much.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trimtab.errors import ModelFormatError, ModelLimitError, UnsupportedOpError
from trimtab.formats.external import ExternalFiles
from trimtab.graph import DTYPES, Constant
from trimtab.limits import Limits
from trimtab.packed import pack
from trimtab.texts import pack_texts
from trimtab.types import Array
from trimtab.weight_file import Stored

__all__ = ["DTYPE_NAMES", "TensorReader", "constant_of_attribute"]

#: Code of TensorProto.DataType -> key of DTYPES.
DTYPE_NAMES: dict[int, str] = {code: name for name, (code, _) in DTYPES.items()}

# Field that holds elements which are not raw -> the field's own NumPy dtype.
_FIELDS: dict[str, str] = {
    "float_data": "float32",
    "int32_data": "int32",
    "int64_data": "int64",
    "double_data": "float64",
    "uint64_data": "uint64",
}
# dtype -> (field, dtype of the bytes that an item stands for)
_TYPED: dict[str, tuple[str, str]] = {
    "float32": ("float_data", "float32"),
    "complex64": ("float_data", "float32"),
    "float64": ("double_data", "float64"),
    "complex128": ("double_data", "float64"),
    "int64": ("int64_data", "int64"),
    "uint32": ("uint64_data", "uint32"),
    "uint64": ("uint64_data", "uint64"),
    "int32": ("int32_data", "int32"),
    "int16": ("int32_data", "int16"),
    "int8": ("int32_data", "int8"),
    "uint16": ("int32_data", "uint16"),
    "uint8": ("int32_data", "uint8"),
    "bool": ("int32_data", "uint8"),
    "float16": ("int32_data", "uint16"),
    "bfloat16": ("int32_data", "uint16"),
    "float8e4m3fn": ("int32_data", "uint8"),
    "float8e4m3fnuz": ("int32_data", "uint8"),
    "float8e5m2": ("int32_data", "uint8"),
    "float8e5m2fnuz": ("int32_data", "uint8"),
    "uint4": ("int32_data", "uint8"),
    "int4": ("int32_data", "uint8"),
    "float4e2m1": ("int32_data", "uint8"),
    "float8e8m0": ("int32_data", "uint8"),
    "uint2": ("int32_data", "uint8"),
    "int2": ("int32_data", "uint8"),
    "float6e2m3": ("int32_data", "uint8"),
    "float6e3m2": ("int32_data", "uint8"),
}
# dtypes with one item for each element there, though they lie closer in raw_data
_ONE_EACH = ("float6e2m3", "float6e3m2")
_MAX_RANK = 10  # TT_MAX_RANK of the engine
_EXTERNAL = 1  # TensorProto.DataLocation


class TensorReader:
    """Reads the tensors of one model and adds up what they take.

    Parameters
    ----------
    limits : Limits
    files : ExternalFiles
        Where external data is read from.

    Examples
    --------
    >>> reader = TensorReader(Limits(), ExternalFiles(None))
    >>> reader.read(onnx.numpy_helper.from_array(x, "x"))  # doctest: +SKIP
    Constant(dtype='float32', ...)
    """

    def __init__(self, limits: Limits, files: ExternalFiles) -> None:
        self._limits = limits
        self._files = files
        self._total = 0
        self._made = 0

    # ---- sizes -----------------------------------------------------------------

    def _shape(self, name: str, dims: Any) -> tuple[int, ...]:
        shape = tuple(dims)
        if len(shape) > _MAX_RANK:
            raise ModelLimitError(
                f"tensor {name!r} has {len(shape)} dims, at most {_MAX_RANK} are "
                "supported"
            )
        if any(dim < 0 for dim in shape):
            raise ModelFormatError(f"tensor {name!r}: negative dim in {list(shape)}")
        return shape

    def count_bytes(self, name: str, dtype: str, shape: tuple[int, ...]) -> int:
        """Bytes that a tensor takes, counted against the limits.

        Parameters
        ----------
        name : str
            For the message.
        dtype : str
            Element type.
        shape : tuple of int
            Its dims.

        Returns
        -------
        n_bytes : int

        Raises
        ------
        ModelLimitError
            More than `max_tensor_bytes`, or all together than `max_model_bytes`.
        """
        n = 1
        for dim in shape:
            n *= dim
            if n > 1 << 62:
                break
        n_bytes = (n * DTYPES[dtype][1] + 7) // 8
        if n_bytes > self._limits.max_tensor_bytes:
            raise ModelLimitError(
                f"tensor {name!r}: {dtype}{list(shape)} takes {n_bytes} bytes, "
                f"max_tensor_bytes is {self._limits.max_tensor_bytes}"
            )
        self._total += n_bytes
        if self._total > self._limits.max_model_bytes:
            raise ModelLimitError(
                f"tensor {name!r}: the weights exceed max_model_bytes "
                f"({self._limits.max_model_bytes})"
            )
        return n_bytes

    # ---- dense tensors ---------------------------------------------------------

    def read(
        self, proto: Any, raw: Array | Stored | None = None, where: str = ""
    ) -> Constant:
        """Read one tensor.

        Parameters
        ----------
        proto : onnx.TensorProto
        raw : ndarray of uint8 or Stored, optional
            Elements that were left out of `proto`.
        where : str
            What to call it when it has no name.

        Returns
        -------
        constant : Constant

        Raises
        ------
        ModelFormatError
            dtype, dims and elements contradict each other.
        ModelLimitError, UnsafeModelError
            As the names say.

        Examples
        --------
        >>> reader.read(graph.initializer[0])              # doctest: +SKIP
        Constant(dtype='float32', ...)
        """
        name = proto.name or where
        dtype = DTYPE_NAMES.get(proto.data_type)
        if dtype is None:
            raise ModelFormatError(
                f"tensor {name!r}: data type {proto.data_type} is not known"
            )
        if proto.HasField("segment"):
            raise UnsupportedOpError(f"tensor {name!r} is stored in segments")
        shape = self._shape(name, proto.dims)
        if dtype == "string":
            return self._strings(name, shape, proto)
        n_bytes = self.count_bytes(name, dtype, shape)
        if proto.data_location == _EXTERNAL:
            data: Array | Stored = self._external(name, proto, n_bytes)
        elif raw is not None:
            data = raw
        elif proto.HasField("raw_data"):
            data = np.frombuffer(proto.raw_data, np.uint8)
        else:
            data = self._typed(name, dtype, proto, n_bytes)
        if data.nbytes != n_bytes:
            raise ModelFormatError(
                f"tensor {name!r}: {dtype}{list(shape)} takes {n_bytes} bytes, "
                f"it has {data.nbytes}"
            )
        if raw is not None or proto.HasField("raw_data"):
            self._check_alone(name, proto)
        return Constant(dtype, shape, data)

    def _check_alone(self, name: str, proto: Any) -> None:
        for field in (*_FIELDS, "string_data"):
            if getattr(proto, field):
                raise ModelFormatError(
                    f"tensor {name!r} holds elements twice: raw_data and {field}"
                )

    def _typed(self, name: str, dtype: str, proto: Any, n_bytes: int) -> Array:
        """Elements from one of the fields for numbers."""
        field, stored = _TYPED[dtype]
        items = getattr(proto, field)
        for other in (*_FIELDS, "string_data"):
            if other != field and getattr(proto, other):
                raise ModelFormatError(
                    f"tensor {name!r}: elements of {dtype} belong in {field}, "
                    f"there are some in {other}"
                )
        is_loose = dtype in _ONE_EACH
        itemsize = np.dtype(stored).itemsize
        expected = math.prod(proto.dims) if is_loose else n_bytes / itemsize
        if len(items) != expected:
            raise ModelFormatError(
                f"tensor {name!r}: {field} has {len(items)} items, expected "
                f"{int(expected)}"
            )
        if field in ("float_data", "double_data"):
            return _packed(proto, field, n_bytes)
        data = np.fromiter(items, _FIELDS[field], len(items))
        if _FIELDS[field] == stored:
            return data
        info = np.iinfo(stored)
        most = 63 if is_loose else info.max
        if data.size and (data.min() < info.min or data.max() > most):
            raise ModelFormatError(
                f"tensor {name!r}: {field} holds numbers that are no {dtype}"
            )
        return pack(data.astype(stored), 6) if is_loose else data.astype(stored)

    def _external(self, name: str, proto: Any, n_bytes: int) -> Array:
        entries: dict[str, str] = {}
        for entry in proto.external_data:
            if entry.key in entries:
                raise ModelFormatError(
                    f"tensor {name!r}: external data has {entry.key!r} twice"
                )
            entries[entry.key] = entry.value
        if proto.HasField("raw_data"):
            raise ModelFormatError(
                f"tensor {name!r} holds elements twice: raw_data and external data"
            )
        if not all(isinstance(text, str) for text in (*entries, *entries.values())):
            raise ModelFormatError(f"tensor {name!r}: external data is no UTF-8")
        return self._files.read(name, entries, n_bytes)

    def _strings(self, name: str, shape: tuple[int, ...], proto: Any) -> Constant:
        items = list(proto.string_data)
        n = 1
        for dim in shape:
            n *= dim
        if n != len(items):
            raise ModelFormatError(
                f"tensor {name!r}: string{list(shape)} has {len(items)} items"
            )
        for field in (*_FIELDS, "raw_data"):
            if getattr(proto, field):
                raise ModelFormatError(
                    f"tensor {name!r}: strings belong in string_data, there are "
                    f"elements in {field}"
                )
        return self.texts(items, shape)

    def texts(self, items: list[bytes], shape: tuple[int, ...]) -> Constant:
        """Make a tensor of strings; its bytes count as those of others.

        Parameters
        ----------
        items : list of bytes
            Elements, row-major.
        shape : tuple of int

        Returns
        -------
        constant : Constant

        Examples
        --------
        >>> TensorReader(Limits(), ExternalFiles(None)).texts([b"a"], (1,)).numpy()
        array(['a'], dtype=object)
        """
        data = pack_texts(items)
        self.count_bytes("", "uint8", data.shape)
        return Constant("string", shape, data)

    # ---- sparse tensors --------------------------------------------------------

    def read_sparse(self, proto: Any, where: str = "") -> Constant:
        """Write a sparse tensor out; the zeros count against `max_fold_bytes`.

        Parameters
        ----------
        proto : onnx.SparseTensorProto
        where : str, default=""
            Name for messages where the tensor has none.

        Returns
        -------
        constant : Constant

        Raises
        ------
        ModelLimitError
            The zeros exceed `max_fold_bytes`.
        ModelFormatError
            Values and positions do not fit each other.
        UnsupportedOpError
            Sparse texts, or types below a byte.

        Examples
        --------
        >>> reader.read_sparse(graph.sparse_initializer[0])    # doctest: +SKIP
        Constant(dtype='float32', ...)
        """
        name = proto.values.name or where
        shape = self._shape(name, proto.dims)
        values = self.read(proto.values, where=where)
        if values.dtype == "string" or DTYPES[values.dtype][1] < 8:
            raise UnsupportedOpError(f"tensor {name!r}: sparse {values.dtype}")
        n_bytes = self.count_bytes(name, values.dtype, shape)
        self._made += n_bytes
        if self._made > self._limits.max_fold_bytes:
            raise ModelLimitError(
                f"tensor {name!r}: writing out sparse tensors takes {self._made} "
                f"bytes, max_fold_bytes is {self._limits.max_fold_bytes}"
            )
        itemsize = DTYPES[values.dtype][1] // 8
        dense = np.zeros((n_bytes // itemsize, itemsize), np.uint8)
        if len(values.shape) != 1:
            raise ModelFormatError(f"tensor {name!r}: sparse values must have rank 1")
        at = self._positions(name, proto.indices, values.shape[0], shape)
        dense[at] = values.numpy().reshape(-1).view(np.uint8).reshape(-1, itemsize)
        return Constant(values.dtype, shape, dense)

    def _positions(
        self, name: str, proto: Any, n: int, shape: tuple[int, ...]
    ) -> Array:
        """Linear positions of sparse elements; indices are linear or per dim."""
        indices = self.read(proto, where=f"{name}.indices")
        linear = indices.shape == (n,)
        if indices.dtype != "int64" or not (linear or indices.shape == (n, len(shape))):
            raise ModelFormatError(
                f"tensor {name!r}: indices of {n} sparse elements are "
                f"{indices.dtype}{list(indices.shape)}, expected int64[{n}] or "
                f"int64[{n}, {len(shape)}]"
            )
        at = indices.numpy()
        size = int(np.prod(shape, dtype=object)) if linear else 0
        top = np.array([size] if linear else shape, np.int64)
        if ((at < 0) | (at >= top)).any():
            raise ModelFormatError(
                f"tensor {name!r}: indices of sparse elements leave {list(shape)}"
            )
        if linear or not shape:
            return at.reshape(n) if linear else np.zeros(n, np.int64)
        return np.asarray(np.ravel_multi_index(tuple(at.T), shape))


def _packed(proto: Any, field: str, n_bytes: int) -> Array:
    """Floats of a field: serialised, they end in the plain numbers (30 times faster
    than one Python object for each)."""
    only = type(proto)()
    getattr(only, field).MergeFrom(getattr(proto, field))
    data = only.SerializeToString()
    plain: Array = np.frombuffer(data, np.uint8, n_bytes, len(data) - n_bytes).copy()
    return plain


def constant_of_attribute(
    reader: TensorReader, name: str, attribute: Any, raw: Array | Stored | None = None
) -> Constant:
    """Value of a Constant node, from the one attribute that it has.

    Parameters
    ----------
    reader : TensorReader
    name : str
        The node's output.
    attribute : onnx.AttributeProto
    raw : ndarray of uint8 or Stored, optional
        Elements that were left out of it.

    Returns
    -------
    constant : Constant

    Raises
    ------
    ModelFormatError
        The attribute is none of those that Constant knows.

    Examples
    --------
    >>> constant_of_attribute(reader, "c", node.attribute[0])  # doctest: +SKIP
    Constant(dtype='int64', ...)
    """
    key = attribute.name
    if key == "value" and attribute.HasField("t"):
        return reader.read(attribute.t, raw, where=name)
    if key == "sparse_value" and attribute.HasField("sparse_tensor"):
        return reader.read_sparse(attribute.sparse_tensor, where=name)
    if key == "value_int":
        return Constant.of(np.int64(attribute.i))
    if key == "value_ints":
        return Constant.of(np.array(list(attribute.ints), np.int64))
    if key == "value_float":
        return Constant.of(np.float32(attribute.f))
    if key == "value_floats":
        return Constant.of(np.array(list(attribute.floats), np.float32))
    if key in ("value_string", "value_strings"):
        if key == "value_string":
            return reader.texts([attribute.s], ())
        return reader.texts(list(attribute.strings), (len(attribute.strings),))
    raise ModelFormatError(
        f"Constant {name!r}: attribute {key!r} is none of value, sparse_value, "
        "value_int(s), value_float(s), value_string(s)"
    )
