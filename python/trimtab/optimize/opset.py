"""Older graphs in the words of opset 13, the first that quantises by channel.

Most operators mean the same in every version from 7 on. The others are rewritten: what
was an attribute becomes an input, and a softmax that flattens says so.
"""

from __future__ import annotations

import numpy as np

from trimtab.graph import Model, Node, trimmed
from trimtab.optimize.wiring import Wiring
from trimtab.types import Array

__all__ = ["OPSET", "raise_opset"]

#: The first opset whose QuantizeLinear has an axis.
OPSET = 13

# The oldest opset that is understood.
_OLDEST = 7

# Operator -> the version that made inputs of attributes, and those in their order,
# with the dtype of the input; the first input of the operator is data.
_MOVED: dict[str, tuple[int, tuple[tuple[str, type], ...]]] = {
    "Clip": (11, (("min", np.float32), ("max", np.float32))),
    "Pad": (11, (("pads", np.int64), ("value", np.float32))),
    "ReduceSum": (13, (("axes", np.int64),)),
    "Slice": (10, (("starts", np.int64), ("ends", np.int64), ("axes", np.int64))),
    "Split": (13, (("split", np.int64),)),
    "Squeeze": (13, (("axes", np.int64),)),
    "TopK": (10, (("k", np.int64),)),
    "Unsqueeze": (13, (("axes", np.int64),)),
}

# Until opset 12 these flatten what they read to two dims, at an axis.
_FLATTENING = ("Softmax", "LogSoftmax", "Hardmax")

# Operators that mean something else in a later version, in a way that is not
# rewritten -> that version.
_REFUSED = {"Resize": 11, "Scan": 9, "Upsample": 9}

# Operator -> version from which on an attribute is no more, which changed nothing here.
_DROPPED = {"Dropout": (12, "ratio"), "BatchNormalization": (9, "spatial")}


def raise_opset(model: Model) -> Model:
    """Rewrite a graph to opset 13 if it is older.

    Parameters
    ----------
    model : trimtab.graph.Model
        Is changed.

    Returns
    -------
    model : trimtab.graph.Model
        The same; as it was where that is not possible: graphs older than opset 7, with
        bodies, or with operators whose meaning has changed more than in form.

    Examples
    --------
    >>> from trimtab.graph import Graph, Value
    >>> node = Node("Squeeze", ["x"], ["y"], attributes={"axes": [1]})
    >>> model = Model(Graph("g", [Value("x")], [Value("y")], [node]), {"": 11})
    >>> raise_opset(model).opsets, model.graph.nodes[0].inputs
    ({'': 13}, ['x', 'squeeze_axes'])
    """
    version = model.opsets.get("", OPSET)
    if version >= OPSET or not _is_understood(model, version):
        return model
    wiring = Wiring(model)
    nodes: list[Node] = []
    for node in model.graph.nodes:
        if node.domain:
            nodes.append(node)
        elif node.op_type in _FLATTENING and node.attributes.get("axis", 1) != -1:
            nodes.extend(_flattened(wiring, node))
        else:
            _move_attributes(wiring, node, version)
            nodes.append(node)
    model.graph.nodes[:] = nodes
    model.opsets[""] = OPSET
    return model


def _is_understood(model: Model, version: int) -> bool:
    """Can all operators be rewritten?"""
    nodes = model.graph.nodes
    if version < _OLDEST or any(node.bodies for node in nodes):
        return False
    own = [node for node in nodes if not node.domain]
    if any(version < _REFUSED.get(node.op_type, 0) for node in own):
        return False
    # The inputs that are made of attributes are float32.
    dtypes = {value.dtype for value in model.graph.inputs}
    dtypes |= {constant.dtype for constant in model.graph.constants.values()}
    is_plain = dtypes.isdisjoint(["float16", "float64", "bfloat16"])
    uses_floats = version < 11 and any(node.op_type in ("Clip", "Pad") for node in own)
    return is_plain or not uses_floats


def _move_attributes(wiring: Wiring, node: Node, version: int) -> None:
    """Make inputs of attributes."""
    if node.op_type in _DROPPED and version < _DROPPED[node.op_type][0]:
        node.attributes.pop(_DROPPED[node.op_type][1], None)
    since, moved = _MOVED.get(node.op_type, (0, ()))
    if version >= since:
        return
    made = []
    for name, dtype in moved:
        if name not in node.attributes:
            made.append("")
            continue
        value: Array = np.array(node.attributes.pop(name), dtype)
        if node.op_type == "TopK":
            value = value.reshape(1)
        made.append(wiring.add_constant(value, f"{node.op_type.lower()}_{name}"))
    node.inputs[1:] = trimmed(made)


def _flattened(wiring: Wiring, node: Node) -> list[Node]:
    """A softmax over all dims from an axis on."""
    src, dst = node.inputs[0], node.outputs[0]
    shape, flat, done = (
        wiring.unique(f"{dst}_{end}") for end in ("shape", "flat", "of_flat")
    )
    axis = node.attributes.get("axis", 1)
    node.inputs[0], node.outputs[0] = flat, done
    node.attributes["axis"] = -1
    return [
        Node("Shape", [src], [shape]),
        Node("Flatten", [src], [flat], attributes={"axis": axis}),
        node,
        Node("Reshape", [done, shape], [dst]),
    ]
