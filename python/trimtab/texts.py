"""Tensors of strings as bytes, and which models have some.

The length of each string as uint32, then all of them one after the other, in UTF-8:
so files, artefacts and the engine are given them (csrc/graph/graph.h,
tt_constant_texts).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.errors import ModelFormatError
from trimtab.graph import Graph, Model
from trimtab.types import Array

__all__ = ["has_strings", "pack_texts", "unpack_texts"]

_STRING = 8  # TensorProto.DataType


def pack_texts(texts: Sequence[str | bytes]) -> Array:
    """Write strings as bytes.

    Parameters
    ----------
    texts : sequence of str or bytes

    Returns
    -------
    data : ndarray of uint8

    Raises
    ------
    TypeError
        An element is no text.

    Examples
    --------
    >>> pack_texts(["a", "bc"]).tobytes()
    b'\\x01\\x00\\x00\\x00\\x02\\x00\\x00\\x00abc'
    """
    if not all(isinstance(text, (str, bytes)) for text in texts):
        raise TypeError("no element type of ONNX is object: expected texts (str)")
    items = [
        text if isinstance(text, bytes) else text.encode(errors="surrogateescape")
        for text in texts
    ]
    lengths = np.array([len(item) for item in items], "<u4")
    return np.frombuffer(lengths.tobytes() + b"".join(items), np.uint8)


def unpack_texts(data: Array, shape: tuple[int, ...]) -> Array:
    """Read strings of `pack_texts`.

    Parameters
    ----------
    data : ndarray
        Any dtype will do.
    shape : tuple of int

    Returns
    -------
    texts : ndarray of object
        Of str; bytes that are no UTF-8 are escaped (``surrogateescape``).

    Raises
    ------
    ModelFormatError
        The lengths do not add up to what is there.

    Examples
    --------
    >>> unpack_texts(pack_texts(["a", "bc"]), (2, 1)).tolist()
    [['a'], ['bc']]
    """
    blob = data.tobytes()
    n = int(np.prod(shape, dtype=object))
    if 4 * n > len(blob):
        raise ModelFormatError(f"{n} strings in {len(blob)} bytes")
    lengths = np.frombuffer(blob, "<u4", n)
    ends = np.cumsum(lengths, dtype=np.int64) + 4 * n
    at = [4 * n, *ends.tolist()]
    if at[-1] != len(blob):
        raise ModelFormatError("the lengths of strings do not add up to their bytes")
    out = np.empty(n, object)
    for i in range(n):
        out[i] = blob[at[i] : at[i + 1]].decode(errors="surrogateescape")
    return out.reshape(shape)


def has_strings(model: Model) -> bool:
    """Are there tensors of strings in a model?

    Parameters
    ----------
    model : trimtab.graph.Model

    Returns
    -------
    found : bool

    Examples
    --------
    >>> has_strings(Model(Graph("g"), {}))
    False
    """
    return any(_holds_strings(graph) for graph in model.graphs())


def _holds_strings(graph: Graph) -> bool:
    """Is one declared, or made of something else?"""
    dtypes = {value.dtype for value in (*graph.inputs, *graph.outputs)}
    dtypes.update(constant.dtype for constant in graph.constants.values())
    return "string" in dtypes or any(
        node.op_type == "Cast" and node.attributes.get("to") == _STRING
        for node in graph.nodes
    )
