"""SavedModels written message by message, honest and hostile; no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.formats.saved_model_proto import parse_saved_model

FLOAT, STRING = 1, 7
Operators = Sequence["str | tuple[str, list[str]]"]  # or operator, functions it calls


def saved_model(
    functions: Mapping[str, Operators],
    *,
    signatures: Mapping[str, str] | None = None,
    called: Mapping[str, str] | None = None,
    restored: Sequence[str] = (),
    dtype: int = FLOAT,
    concrete: Sequence[str] | None = None,
) -> Any:
    """A message SavedModel.

    Parameters
    ----------
    functions : mapping
        The function library: name -> operators.
    signatures : mapping of str to str
        Signature -> function; "serving_default" -> "f" by default.
    called : mapping of str to str
        Name of a child of a resource ("_initialize") -> function.
    restored : sequence of str
        Functions that restore an object.
    dtype : int
        Of the input "x"; the output "y" is float32.
    concrete : sequence of str
        Functions that objects may call; all by default.
    """
    signatures = {"serving_default": "f"} if signatures is None else signatures
    saved = parse_saved_model(b"")
    graph = saved.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    graph.meta_info_def.tensorflow_version = "2.21.0"
    for name, operators in functions.items():
        _add_function(graph.graph_def.library.function.add(), name, operators)
    objects = graph.object_graph_def
    for name in functions if concrete is None else concrete:
        objects.concrete_functions.add(key=name)
    root, holder = objects.nodes.add(), objects.nodes.add()
    root.children.add(node_id=1, local_name="signatures")
    for name, function in signatures.items():
        holder.children.add(node_id=_add_bare(objects, function), local_name=name)
        entry = graph.signature_def.add(key=name).value
        _add_tensor(entry.inputs.add(key="x").value, dtype)
        _add_tensor(entry.outputs.add(key="y").value, FLOAT)
    if called:
        resource = _add_child(objects, "table")
        for name, function in called.items():
            index = _add_bare(objects, function)
            objects.nodes[resource].children.add(node_id=index, local_name=name)
    for name in restored:
        index = _add_child(objects, "variable")
        entry = objects.nodes[index].saveable_objects.add(key="v").value
        entry.restore_function = entry.save_function = _add_bare(objects, name)
    return saved


def write(saved: Any, folder: Path) -> str:
    """Write it as TensorFlow lays it out, with an empty checkpoint."""
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    (folder / "variables" / "variables.index").write_bytes(b"")
    return str(folder)


def _add_child(objects: Any, name: str) -> int:
    objects.nodes.add()
    index = len(objects.nodes) - 1
    objects.nodes[0].children.add(node_id=index, local_name=name)
    return index


def _add_bare(objects: Any, function: str) -> int:
    node = objects.nodes.add()
    node.bare_concrete_function.concrete_function_name = function
    return len(objects.nodes) - 1


def _add_tensor(info: Any, dtype: int) -> None:
    info.dtype = dtype
    info.tensor_shape.dim.add(size=-1)
    info.tensor_shape.dim.add(size=4)


def _add_function(message: Any, name: str, operators: Operators) -> None:
    message.signature.name = name
    for index, operator in enumerate(operators):
        op, calls = (operator, []) if isinstance(operator, str) else operator
        node = message.node_def.add(name=f"n{index}", op=op)
        for i, called in enumerate(calls):
            value = node.attr.add(key=f"f{i}").value
            # Alternately: an attribute, a list, one inside another.
            if i % 3 == 0:
                value.func.name = called
            elif i % 3 == 1:
                value.list.func.add().name = called
            else:
                value.func.name = calls[0]
                value.func.attr.add(key="inner").value.func.name = called
