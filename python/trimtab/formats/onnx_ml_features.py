"""Operators of ai.onnx.ml that prepare features, in plain ones."""

from __future__ import annotations

import math

import numpy as np

from trimtab.formats.onnx_ml_write import CORE_DOMAIN, Keep, MlWriter, attribute
from trimtab.graph import Node
from trimtab.types import Array

__all__ = [
    "write_array_feature_extractor",
    "write_binarizer",
    "write_cast_to_string",
    "write_feature_vectorizer",
    "write_imputer",
    "write_label_encoder",
    "write_normalizer",
    "write_one_hot_encoder",
    "write_scaler",
]

_FLOAT, _INT64 = 1, 7  # TensorProto.DataType


def write_scaler(w: MlWriter, node: Node) -> None:
    """Write a Scaler node.

    Parameters
    ----------
    w : MlWriter
    node : Node
        It is replaced.

    Examples
    --------
    >>> write_scaler(writer, node)   # doctest: +SKIP
    """
    offset, scale = attribute(node, "offset"), attribute(node, "scale")
    x = w.floats(node, node.inputs[0])
    if offset.size:
        x = w.op(node, "Sub", [x, w.constant(node, offset)])
    factor = scale if scale.size else np.ones(1, np.float32)
    w.op(node, "Mul", [x, w.constant(node, factor)], node.outputs[0])


_NORMS = {"L1": "ReduceL1", "L2": "ReduceL2", "MAX": "ReduceMax"}


def write_normalizer(w: MlWriter, node: Node) -> None:
    """Rows of norm 0 stay as they are.

    Parameters
    ----------
    w : MlWriter
    node : Node
        It is replaced.

    Raises
    ------
    Keep
        It stays as it is.

    Examples
    --------
    >>> write_normalizer(writer, node)   # doctest: +SKIP
    """
    reduce = _NORMS.get(node.attributes.get("norm", "MAX"))
    if reduce is None:
        raise Keep
    x = w.floats(node, node.inputs[0])
    source = w.op(node, "Abs", [x]) if reduce == "ReduceMax" else x
    norm = w.reduce(node, reduce, source)
    zero = w.constant(node, np.zeros(1, np.float32))
    one = w.constant(node, np.ones(1, np.float32))
    is_zero = w.op(node, "Equal", [norm, zero])
    divisor = w.op(node, "Where", [is_zero, one, norm])
    w.op(node, "Div", [x, divisor], node.outputs[0])


def write_binarizer(w: MlWriter, node: Node) -> None:
    """Write a Binarizer node.

    Parameters
    ----------
    w : MlWriter
    node : Node
        It is replaced.

    Examples
    --------
    >>> write_binarizer(writer, node)   # doctest: +SKIP
    """
    threshold = np.float32(node.attributes.get("threshold", 0.0)).reshape(1)
    x = w.floats(node, node.inputs[0])
    above = w.op(node, "Greater", [x, w.constant(node, threshold)])
    w.op(node, "Cast", [above], node.outputs[0], to=_FLOAT)


def write_imputer(w: MlWriter, node: Node) -> None:
    """Write a Imputer node.

    Parameters
    ----------
    w : MlWriter
    node : Node
        It is replaced.

    Raises
    ------
    Keep
        It stays as it is.

    Examples
    --------
    >>> write_imputer(writer, node)   # doctest: +SKIP
    """
    values = attribute(node, "imputed_value_floats")
    whole = attribute(node, "imputed_value_int64s", "int64")
    if not values.size and not whole.size:
        raise Keep
    if not values.size:
        x = w.op(node, "Cast", [node.inputs[0]], to=_INT64)
        replaced = np.full(1, node.attributes.get("replaced_value_int64", 0), np.int64)
        is_missing = w.op(node, "Equal", [x, w.constant(node, replaced)])
        values = whole
    else:
        x = w.floats(node, node.inputs[0])
        is_missing = _is_missing(w, node, x)
    value = w.constant(node, values)
    w.op(node, "Where", [is_missing, value, x], node.outputs[0])


def _is_missing(w: MlWriter, node: Node, x: str) -> str:
    replaced = float(node.attributes.get("replaced_value_float", 0.0))
    if math.isnan(replaced):
        return w.op(node, "IsNaN", [x])
    return w.op(node, "Equal", [x, w.constant(node, np.full(1, replaced, np.float32))])


def write_feature_vectorizer(w: MlWriter, node: Node) -> None:
    """Write a FeatureVectorizer node.

    Parameters
    ----------
    w : MlWriter
    node : Node
        It is replaced.

    Examples
    --------
    >>> write_feature_vectorizer(writer, node)   # doctest: +SKIP
    """
    parts = [w.floats(node, name) for name in node.inputs if name]
    w.op(node, "Concat", parts, node.outputs[0], axis=1)


def write_array_feature_extractor(w: MlWriter, node: Node) -> None:
    """The chosen columns; of a vector, as one row.

    Parameters
    ----------
    w : MlWriter
    node : Node
        It is replaced.

    Raises
    ------
    Keep
        It stays as it is.

    Examples
    --------
    >>> write_array_feature_extractor(writer, node)   # doctest: +SKIP
    """
    tensor, indices = node.inputs
    rank = w.rank_of(tensor)
    names = w.names_of(tensor)
    if names is not None:
        if not w.note_classes(names):
            raise Keep
        tensor = w.constant(node, np.arange(len(names)))
    everything = w.constant(node, np.array([-1], np.int64))
    flat = w.op(node, "Reshape", [indices, everything])
    if rank == 1:
        row = w.op(node, "Gather", [tensor, flat], axis=0)
        shape = w.constant(node, np.array([1, -1], np.int64))
        w.op(node, "Reshape", [row, shape], node.outputs[0])
    else:
        w.op(node, "Gather", [tensor, flat], node.outputs[0], axis=-1)


def _matches(w: MlWriter, node: Node, keys: Array) -> str:
    """[..., 1] == [keys]: a bool for each element and key."""
    last = w.constant(node, np.array([-1], np.int64))
    if w.opset >= 13:
        column = w.op(node, "Unsqueeze", [node.inputs[0], last])
    else:
        column = w.op(node, "Unsqueeze", [node.inputs[0]], axes=[-1])
    return w.op(node, "Equal", [column, w.constant(node, keys)])


_NUMBERS = ("int64s", "floats", "tensor")


def _has_numbers(node: Node, prefix: str) -> bool:
    """Whether one of the attributes keys_* or values_* holds numbers."""
    for name in _NUMBERS:
        found = node.attributes.get(f"{prefix}_{name}")
        if found is not None and getattr(found, "dtype", None) != "string":
            return True
    return False


def write_label_encoder(w: MlWriter, node: Node) -> None:
    """Hand a table of numbers to the core, whose operator has no strings.

    Parameters
    ----------
    w : MlWriter
    node : Node
        It is replaced.

    Raises
    ------
    Keep
        It stays as it is.

    Examples
    --------
    >>> write_label_encoder(writer, node)   # doctest: +SKIP
    """
    attributes = dict(node.attributes)
    if not _has_numbers(node, "keys"):
        raise Keep
    if attributes.get("values_strings"):
        names = list(attributes.pop("values_strings"))
        numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
        if not w.note_classes(list(numbers)):
            raise Keep
        attributes["values_int64s"] = [numbers[name] for name in names]
        attributes.pop("default_int64", None)
    elif not _has_numbers(node, "values"):
        raise Keep
    attributes.pop("default_string", None)
    made = Node(
        "LabelEncoder", node.inputs, node.outputs, node.name, CORE_DOMAIN, attributes
    )
    w.nodes.append(made)


def write_one_hot_encoder(w: MlWriter, node: Node) -> None:
    """Of numbers; one that is no category gives zeros, whatever `zeros` says.

    Parameters
    ----------
    w : MlWriter
    node : Node
        It is replaced.

    Raises
    ------
    Keep
        It stays as it is.

    Examples
    --------
    >>> write_one_hot_encoder(writer, node)   # doctest: +SKIP
    """
    categories = attribute(node, "cats_int64s", "int64")
    if not categories.size:
        raise Keep
    x = w.op(node, "Cast", [node.inputs[0]], to=_INT64)
    numbers = Node("", [x], [], node.name)
    found = _matches(w, numbers, categories)
    w.op(node, "Cast", [found], node.outputs[0], to=_FLOAT)


def write_cast_to_string(w: MlWriter, node: Node) -> None:
    """Labels that are class numbers here stay numbers.

    Parameters
    ----------
    w : MlWriter
    node : Node
        It is replaced.

    Examples
    --------
    >>> write_cast_to_string(writer, node)   # doctest: +SKIP
    """
    w.op(node, "Cast", [node.inputs[0]], node.outputs[0], to=_INT64)
