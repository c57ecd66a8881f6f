"""Element types of tensors, and what may be given where an array is expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt  # 2 ms at run time

__all__ = ["Array", "SupportsDLPack", "Tensor", "element_type", "numpy_dtype"]

Array: TypeAlias = "npt.NDArray[Any]"
"""A NumPy array of any dtype and shape."""


@runtime_checkable
class SupportsDLPack(Protocol):
    """A tensor of another library that lends its memory (`torch.Tensor`, ...)."""

    def __dlpack__(self, *, stream: Any = None) -> Any:
        """Give a DLPack capsule."""

    def __dlpack_device__(self) -> tuple[Any, Any]:
        """Give the kind and number of the device."""


Tensor: TypeAlias = "npt.ArrayLike | SupportsDLPack | memoryview"
"""What a model takes: arrays, buffers, DLPack tensors, numbers and lists."""

# Types NumPy lacks: the name in ml_dtypes, and what holds the bits without it.
_ML_DTYPES: dict[str, tuple[str, str]] = {
    "bfloat16": ("bfloat16", "uint16"),
    "float8e4m3fn": ("float8_e4m3fn", "uint8"),
    "float8e4m3fnuz": ("float8_e4m3fnuz", "uint8"),
    "float8e5m2": ("float8_e5m2", "uint8"),
    "float8e5m2fnuz": ("float8_e5m2fnuz", "uint8"),
    "float8e8m0": ("float8_e8m0fnu", "uint8"),
    "float6e2m3": ("float6_e2m3fn", "uint8"),
    "float6e3m2": ("float6_e3m2fn", "uint8"),
    "float4e2m1": ("float4_e2m1fn", "uint8"),
    "uint4": ("uint4", "uint8"),
    "int4": ("int4", "uint8"),
    "uint2": ("uint2", "uint8"),
    "int2": ("int2", "uint8"),
}
_NAMES: dict[str, str] = {ml_name: name for name, (ml_name, _) in _ML_DTYPES.items()}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy dtype that holds a tensor of an ONNX element type.

    Types that NumPy lacks come from `ml_dtypes` where that is installed; else
    their bits come as unsigned integers of the same width. Elements below a byte
    take one byte each. Strings are objects.

    Parameters
    ----------
    name : str
        Name as `TensorSpec.dtype` has it: "float32", "bfloat16", "bool", ...

    Returns
    -------
    dtype : numpy.dtype

    Raises
    ------
    TypeError
        There is no such type.

    Examples
    --------
    >>> numpy_dtype("float32")
    dtype('float32')
    """
    if name not in _ML_DTYPES:
        return np.dtype(object if name == "string" else name)
    ml_name, bits = _ML_DTYPES[name]
    try:
        import ml_dtypes
    except ImportError:
        return np.dtype(bits)
    # an old release lacks the newest types
    dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, ml_name, bits))
    return dtype


def element_type(dtype: np.dtype[Any]) -> str:
    """Name of the ONNX element type that arrays of a dtype hold.

    Parameters
    ----------
    dtype : numpy.dtype

    Returns
    -------
    name : str
        The dtype's own name where ONNX has no other.

    Examples
    --------
    >>> element_type(np.dtype("int8"))
    'int8'
    """
    name = str(dtype.name)
    return _NAMES.get(name, name)
