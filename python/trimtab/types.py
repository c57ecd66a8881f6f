"""Element types of tensors, and what may be given where an array is expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt  # 2 ms at run time

__all__ = ["Array", "SupportsDLPack", "Tensor", "numpy_dtype"]

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
}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy dtype that holds a tensor of an ONNX element type.

    Types that NumPy lacks come from `ml_dtypes` where that is installed; else
    their bits come as unsigned integers of the same width.

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
        There is no such type ("string" tensors are not supported).

    Examples
    --------
    >>> numpy_dtype("float32")
    dtype('float32')
    """
    if name not in _ML_DTYPES:
        return np.dtype(name)
    ml_name, bits = _ML_DTYPES[name]
    try:
        import ml_dtypes
    except ImportError:
        return np.dtype(bits)
    dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, ml_name))
    return dtype
