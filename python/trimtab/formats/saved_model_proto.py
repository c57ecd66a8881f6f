"""The messages of saved_model.pb, as far as a reader must look into it.

Enters: bytes. Leaves: messages of the `protobuf` package, made from the table below,
so that a SavedModel can be judged where there is no TensorFlow, and before there is
one in the process. Fields that are not in the table are skipped.
"""

from __future__ import annotations

import importlib
from typing import Any

from trimtab.errors import ModelFormatError, ModelLimitError

__all__ = ["MESSAGES", "parse_saved_model"]

#: Message -> (number, name, type); "*" is repeated, an upper-case type is a message.
#: A map is what it is on the wire: repeated entries of key and value.
MESSAGES: dict[str, tuple[tuple[int, str, str], ...]] = {
    "SavedModel": ((2, "meta_graphs", "*MetaGraphDef"),),
    "MetaGraphDef": (
        (1, "meta_info_def", "MetaInfoDef"),
        (2, "graph_def", "GraphDef"),
        (5, "signature_def", "*SignatureEntry"),
        (7, "object_graph_def", "SavedObjectGraph"),
    ),
    "MetaInfoDef": ((4, "tags", "*string"), (5, "tensorflow_version", "string")),
    "SignatureEntry": ((1, "key", "string"), (2, "value", "SignatureDef")),
    "SignatureDef": ((1, "inputs", "*TensorEntry"), (2, "outputs", "*TensorEntry")),
    "TensorEntry": ((1, "key", "string"), (2, "value", "TensorInfo")),
    "TensorInfo": (
        (1, "name", "string"),
        (2, "dtype", "int32"),
        (3, "tensor_shape", "TensorShapeProto"),
    ),
    "TensorShapeProto": ((2, "dim", "*Dim"), (3, "unknown_rank", "bool")),
    "Dim": ((1, "size", "int64"),),
    "GraphDef": ((2, "library", "FunctionDefLibrary"),),
    "FunctionDefLibrary": ((1, "function", "*FunctionDef"),),
    "FunctionDef": ((1, "signature", "OpDef"), (3, "node_def", "*NodeDef")),
    "OpDef": ((1, "name", "string"),),
    "NodeDef": (
        (1, "name", "string"),
        (2, "op", "string"),
        (5, "attr", "*AttrEntry"),
    ),
    "AttrEntry": ((1, "key", "string"), (2, "value", "AttrValue")),
    "AttrValue": ((1, "list", "ListValue"), (10, "func", "NameAttrList")),
    "ListValue": ((9, "func", "*NameAttrList"),),
    "NameAttrList": ((1, "name", "string"), (2, "attr", "*AttrEntry")),
    "SavedObjectGraph": (
        (1, "nodes", "*SavedObject"),
        (2, "concrete_functions", "*FunctionEntry"),
    ),
    "FunctionEntry": ((1, "key", "string"),),
    "SavedObject": (
        (1, "children", "*ObjectReference"),
        (6, "function", "SavedFunction"),
        (8, "bare_concrete_function", "SavedBareConcreteFunction"),
        (11, "saveable_objects", "*SaveableEntry"),
    ),
    "ObjectReference": ((1, "node_id", "int32"), (2, "local_name", "string")),
    "SavedFunction": ((1, "concrete_functions", "*string"),),
    "SavedBareConcreteFunction": ((1, "concrete_function_name", "string"),),
    "SaveableEntry": ((1, "key", "string"), (2, "value", "SaveableObject")),
    "SaveableObject": ((2, "save_function", "int32"), (3, "restore_function", "int32")),
}

# Of FieldDescriptorProto.
_TYPES = {"int64": 3, "int32": 5, "bool": 8, "string": 9}
_MESSAGE_TYPE = 11
_OPTIONAL, _REPEATED = 1, 3
_PACKAGE = "trimtab.saved_model"


def parse_saved_model(data: bytes) -> Any:
    """Parse the content of a saved_model.pb.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    message : protobuf message
        Of the type SavedModel of `MESSAGES`.

    Raises
    ------
    ModelFormatError
        It is no such message.
    ModelLimitError
        Memory for it could not be had.

    Examples
    --------
    >>> parse_saved_model(b"").meta_graphs
    []
    """
    message = importlib.import_module("google.protobuf.message")
    saved = _saved_model_class()()
    try:
        saved.ParseFromString(data)
    except message.DecodeError as error:
        if "alloc" in str(error):
            raise ModelLimitError(
                "saved_model.pb takes more memory than its size explains"
            ) from None
        raise ModelFormatError(f"saved_model.pb is damaged: {error}") from None
    return saved


def _saved_model_class() -> Any:
    descriptors = importlib.import_module("google.protobuf.descriptor_pb2")
    pools = importlib.import_module("google.protobuf.descriptor_pool")
    factory = importlib.import_module("google.protobuf.message_factory")
    file = descriptors.FileDescriptorProto(
        name="trimtab/saved_model.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in MESSAGES.items():
        described = file.message_type.add(name=name)
        for number, field, kind in fields:
            base = kind.lstrip("*")
            is_message = base not in _TYPES
            described.field.add(
                name=field,
                number=number,
                label=_REPEATED if kind.startswith("*") else _OPTIONAL,
                type=_MESSAGE_TYPE if is_message else _TYPES[base],
                type_name=f".{_PACKAGE}.{base}" if is_message else None,
            )
    pool = pools.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName(f"{_PACKAGE}.SavedModel")
    return factory.GetMessageClass(found)
