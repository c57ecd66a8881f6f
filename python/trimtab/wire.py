"""`Model` -> flat bytes and weight buffers for the engine.

Mirrors the reader of the engine (csrc/graph/read.h) section by section, in the same
order. Apart from the strings everything is made of 32-bit words, so it is gathered in
one list of ints and packed once. Weights are not copied: they go beside the bytes.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Any, TypeAlias

import numpy as np

from trimtab.errors import ModelFormatError
from trimtab.graph import DTYPES, KINDS, Constant, Graph, Model, Node, Value
from trimtab.types import Array
from trimtab.weight_file import Stored, WeightFile

__all__ = ["encode", "list_kind"]

_NONE = 0xFFFFFFFF
_WORD = "I"
_Buffer: TypeAlias = "Array | tuple[WeightFile, int, int, int]"
_FLOAT, _INT, _STRING, _TENSOR, _GRAPH = range(1, 6)
_LIST_KINDS = {"floats": 6, "ints": 7, "strings": 8}


class _Writer:
    """Words of the sections behind the strings, and the tables they refer to."""

    def __init__(self) -> None:
        self.strings: dict[str, int] = {}
        self.words: list[int] = []
        self.constants: list[tuple[int, Constant]] = []
        self.constant_index: dict[int, int] = {}
        self.graph_index: dict[int, int] = {}

    def string(self, text: str) -> int:
        return self.strings.setdefault(text, len(self.strings))

    def constant(self, name: str, constant: Constant) -> int:
        """Index of a constant; the same object is written once."""
        index = self.constant_index.get(id(constant))
        if index is None:
            index = len(self.constants)
            self.constant_index[id(constant)] = index
            self.constants.append((self.string(name), constant))
        return index


def _int64(value: int) -> tuple[int, int]:
    """Low and high word."""
    return value & _NONE, (value >> 32) & _NONE


# ---- values ------------------------------------------------------------------


def _value(writer: _Writer, value: Value) -> None:
    """A value that no constant gives."""
    shape = value.shape
    words = writer.words
    words.append(writer.string(value.name))
    code = DTYPES[value.dtype][0] if value.dtype is not None else 0
    words.append(code + KINDS[value.kind])
    if shape is None:
        words += (_NONE, _NONE)
        return
    words.append(len(shape))
    for dim in shape:
        if isinstance(dim, int):
            words += (*_int64(dim), _NONE)
        else:
            words += (_NONE, _NONE, _NONE if dim is None else writer.string(dim))
    words.append(_NONE)


def _constant_value(writer: _Writer, name: str, constant: Constant) -> None:
    words = writer.words
    words += (writer.string(name), DTYPES[constant.dtype][0], len(constant.shape))
    for dim in constant.shape:
        words += (*_int64(dim), _NONE)
    words.append(writer.constant(name, constant))


# ---- nodes -------------------------------------------------------------------


def list_kind(items: Any) -> str:
    """Tell what a list attribute holds.

    Parameters
    ----------
    items : list or ndarray

    Returns
    -------
    kind : {"ints", "floats", "strings"}

    Examples
    --------
    >>> list_kind([1, 2.5]), list_kind([])
    ('floats', 'ints')
    """
    if isinstance(items, np.ndarray):
        return "floats" if items.dtype.kind == "f" else "ints"
    if items and isinstance(items[0], str):
        return "strings"
    return "floats" if any(isinstance(item, float) for item in items) else "ints"


def _attribute(writer: _Writer, node: Node, name: str, value: Any) -> None:
    words = writer.words
    words.append(writer.string(name))
    if isinstance(value, (bool, int, np.integer)):
        words += (_INT, 1, *_int64(int(value)))
    elif isinstance(value, (float, np.floating)):
        words += (_FLOAT, 1, *np.asarray([value], "<f4").view("<u4").tolist())
    elif isinstance(value, str):
        words += (_STRING, 1, writer.string(value))
    elif isinstance(value, Constant):
        words += (_TENSOR, 1, writer.constant(f"{node.name}.{name}", value))
    elif isinstance(value, Graph):
        words += (_GRAPH, 1, writer.graph_index[id(value)])
    elif isinstance(value, (list, tuple, np.ndarray)):
        kind = list_kind(value)
        words += (_LIST_KINDS[kind], len(value))
        if kind == "strings":
            words += [writer.string(item) for item in value]
        else:
            dtype = "<f4" if kind == "floats" else "<i8"
            words += np.asarray(value, dtype).view("<u4").tolist()
    else:
        raise TypeError(
            f"{node.op_type} {node.name!r}: attribute {name!r} is a "
            f"{type(value).__name__}, which no attribute of ONNX can be"
        )


def _node(writer: _Writer, node: Node, index: dict[str, int]) -> None:
    string = writer.string
    writer.words += (
        string(node.op_type),
        string(node.domain),
        string(node.name),
        len(node.inputs),
        len(node.outputs),
        len(node.attributes),
        *[index[name] for name in node.inputs],
        *[index[name] for name in node.outputs],
    )
    for name, value in node.attributes.items():
        _attribute(writer, node, name, value)


# ---- graphs ------------------------------------------------------------------


def _number_values(graph: Graph) -> dict[str, int]:
    """Index of each tensor; "" (absent) is none of them."""
    index: dict[str, int] = {}

    def add(name: str) -> None:
        if name in index:
            raise ModelFormatError(
                f"graph {graph.name!r}: tensor {name!r} is defined twice"
            )
        index[name] = len(index)

    for value in graph.inputs:
        add(value.name)
    for name in graph.captures:
        add(name)
    for name in graph.constants:
        add(name)
    for node in graph.nodes:
        for name in node.outputs:
            if name:
                add(name)
    return index


def _graph(
    writer: _Writer, graph: Graph, index: dict[str, int], outer: dict[str, int]
) -> None:
    declared = {value.name: value for value in graph.outputs}
    words = writer.words
    words += (
        writer.string(graph.name),
        len(index),
        len(graph.inputs),
        len(graph.outputs),
        len(graph.captures),
        len(graph.nodes),
    )
    for value in graph.inputs:
        _value(writer, value)
    for name in graph.captures:
        words += (writer.string(name), 0, _NONE, _NONE)
    for name, constant in graph.constants.items():
        _constant_value(writer, name, constant)
    for node in graph.nodes:
        for name in node.outputs:
            if name in declared:
                _value(writer, declared[name])
            elif name:
                words += (writer.string(name), 0, _NONE, _NONE)
    try:
        words += range(len(graph.inputs))
        words += [index[value.name] for value in graph.outputs]
        for name in graph.captures:
            words += (index[name], outer[name])
        index[""] = _NONE
        for node in graph.nodes:
            _node(writer, node, index)
    except KeyError as error:
        raise ModelFormatError(
            f"graph {graph.name!r}: tensor {error.args[0]!r} is read but not defined"
        ) from None


def _encode_graphs(writer: _Writer, graphs: list[Graph]) -> None:
    indices = [_number_values(graph) for graph in graphs]
    outer: dict[int, dict[str, int]] = {id(graphs[-1]): {}}
    for number, graph in enumerate(graphs):
        if id(graph) in writer.graph_index:
            raise ModelFormatError(f"graph {graph.name!r} is the body of two nodes")
        writer.graph_index[id(graph)] = number
        for node in graph.nodes:
            for body in node.bodies if node.attributes else ():
                outer[id(body)] = indices[number]
    for graph, index in zip(graphs, indices, strict=True):
        _graph(writer, graph, index, outer[id(graph)])


def _encode_constants(writer: _Writer) -> tuple[list[int], list[_Buffer]]:
    words: list[int] = []
    buffers: list[_Buffer] = []
    files: dict[int, int] = {}  # id of a WeightFile -> its buffer
    for name, constant in writer.constants:
        data = constant.data
        offset, number = 0, len(buffers)
        if isinstance(data, Stored):
            offset = data.offset
            number = files.setdefault(id(data.file), number)
        if number == len(buffers):
            buffers.append(data.file.lend() if isinstance(data, Stored) else data)
        words += (name, DTYPES[constant.dtype][0], len(constant.shape))
        for dim in constant.shape:
            words += _int64(dim)
        words += (number, *_int64(offset), *_int64(constant.n_bytes))
    return words, buffers


def encode(model: Model) -> tuple[bytes, list[_Buffer]]:
    """Flat bytes that describe a model, and the buffers that hold its weights.

    Parameters
    ----------
    model : Model

    Returns
    -------
    data : bytes
        All but the elements of constants.
    buffers : list of (ndarray or tuple)
        Elements of the constants, by the numbers that `data` uses; not copied. A
        tuple is a file: `WeightFile.lend`.

    Raises
    ------
    ModelFormatError
        A tensor is defined twice or not at all.

    Examples
    --------
    >>> from trimtab.graph import Graph, Node, Value
    >>> graph = Graph("g", [Value("x")], [Value("y")], [Node("Relu", ["x"], ["y"])])
    >>> data, buffers = encode(Model(graph, {"": 18}))
    >>> data[:4], buffers
    (b'TTG1', [])
    """
    writer = _Writer()
    graphs = model.graphs()
    opsets: list[int] = []
    for domain, version in model.opsets.items():
        opsets += (writer.string(domain), version)
    _encode_graphs(writer, graphs)
    constants, buffers = _encode_constants(writer)
    texts = [text.encode() for text in writer.strings]
    pieces = [
        struct.pack(
            "<4s4I",
            b"TTG1",
            len(texts),
            len(model.opsets),
            len(writer.constants),
            len(graphs),
        )
    ]
    for text in texts:
        pieces += (struct.pack("<I", len(text)), text)
    words = array(_WORD, opsets + constants + writer.words)
    if sys.byteorder == "big":
        words.byteswap()
    pieces.append(words.tobytes())
    return b"".join(pieces), buffers
