"""ONNX: a path or bytes -> `Model`.

gate (bounds what parsing may take) > protobuf > functions inlined (those of the model,
and of the schemas of operators that the engine lacks) > graphs > model.
Only the messages of the `onnx` package are used: no checker, no shape inference, no
`onnx.load`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from trimtab import _core
from trimtab.errors import ModelFormatError
from trimtab.formats.external import ExternalFiles
from trimtab.formats.onnx_file import OnnxFile
from trimtab.formats.onnx_functions import inline_functions
from trimtab.formats.onnx_graph import GraphReader
from trimtab.formats.onnx_schema_functions import expand_schema_functions
from trimtab.formats.onnx_tensor import TensorReader
from trimtab.graph import Graph, Model
from trimtab.limits import Limits
from trimtab.record import Record
from trimtab.types import Array
from trimtab.weight_file import Stored, WeightFile

__all__ = ["Reading", "open_onnx", "read_onnx", "read_onnx_file", "read_onnx_message"]

_MESSAGES = "onnx.onnx_ml_pb2"
_FORCED = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"
_MAX_VERSION = 1 << 20
_ML_DOMAIN = "ai.onnx.ml"
_ML_OPSET = 18  # of ai.onnx, for files that use none of it
_ML_MIN_OPSET = 9  # Where came then
# Beginnings of the names of operators that onnx_quantized.py may know.
_QUANTIZED = (
    "QLinear",
    "QGemm",
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulIntegerToFloat",
)
_CONTRIB = {"com.microsoft", "ai.onnx.preview"}
_SWIGLU_OPSET = 28  # of ai.onnx
_lock = threading.Lock()
_classes: list[Any] = []  # ModelProto, once it is known


def _model_class() -> Any:
    """ModelProto of the `onnx` package."""
    with _lock:
        if not _classes:
            _classes.append(_light_class() or _usual_class())
        return _classes[0]


def _light_class() -> Any:
    """Make the class from the description in onnx's file of messages.

    `import onnx` runs the whole package (50 ms) and its file of messages most of
    protobuf's Python part (17 ms), of which parsing needs little (9 ms). None where
    protobuf or onnx are not laid out as they are today.
    """
    if _MESSAGES in sys.modules or _FORCED in os.environ:
        return None
    try:
        package = importlib.util.find_spec("onnx")
        folders = (package and package.submodule_search_locations) or [""]
        with open(os.path.join(folders[0], "onnx_ml_pb2.py"), encoding="utf-8") as file:
            text = file.read()
        begin = text.index("AddSerializedFile(") + len("AddSerializedFile(")
        description = ast.literal_eval(text[begin : text.index("')\n", begin) + 1])
        upb = importlib.import_module("google._upb._message")
        base = importlib.import_module("google.protobuf.message").Message
        pool = upb.DescriptorPool()  # of its own: onnx may be imported later
        pool.AddSerializedFile(description)
        members = {"DESCRIPTOR": pool.FindMessageTypeByName("onnx.ModelProto")}
        return upb.MessageMeta("ModelProto", (base,), {**members, "__module__": None})
    except (ImportError, OSError, AttributeError, LookupError, TypeError):
        return None
    except (ValueError, SyntaxError, SystemError):
        return None


def _usual_class() -> Any:
    messages = importlib.import_module(_MESSAGES)
    kind = importlib.import_module("google.protobuf.internal.api_implementation").Type()
    if kind != "upb":
        raise ImportError(
            f"protobuf runs on its {kind!r} implementation, expected 'upb': unset "
            f"{_FORCED} or reinstall protobuf"
        )
    return messages.ModelProto


def _parse(data: bytes, limits: Limits) -> Any:
    """ModelProto of bytes that have passed the gate."""
    _core.onnx_gate(data, limits)
    proto = _model_class()()
    errors = importlib.import_module("google.protobuf.message")
    try:
        proto.ParseFromString(data)
    except errors.DecodeError as error:
        raise ModelFormatError(f"not an ONNX file: {error}") from None
    if not proto.HasField("graph"):
        raise ModelFormatError("not an ONNX file: there is no graph in it")
    return proto


def _opsets(proto: Any) -> dict[str, int]:
    opsets: dict[str, int] = {}
    for entry in proto.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if not isinstance(domain, str) or "\0" in domain:
            raise ModelFormatError(f"the domain of an opset is no text: {domain!r}")
        if not 1 <= entry.version <= _MAX_VERSION:
            raise ModelFormatError(
                f"opset {domain!r}: version {entry.version} is outside "
                f"[1, {_MAX_VERSION}]"
            )
        if opsets.setdefault(domain, entry.version) != entry.version:
            raise ModelFormatError(f"opset {domain!r} is imported in two versions")
    if not opsets and proto.ir_version < 3:
        opsets[""] = 1  # files of that time could not say
    return opsets


def _check_domains(model: Model) -> None:
    for graph in model.graphs():
        for node in graph.nodes:
            if node.domain not in model.opsets:
                raise ModelFormatError(
                    f"{node.op_type} {node.name!r}: the model imports no opset of "
                    f"domain {node.domain!r}; it has {model.opsets}"
                )


def _metadata(proto: Any) -> dict[str, str]:
    metadata = {
        "ir_version": str(proto.ir_version),
        "producer": f"{proto.producer_name} {proto.producer_version}".strip(),
    }
    for entry in proto.metadata_props:
        metadata[str(entry.key)] = str(entry.value)
    return metadata


def _rewrite_ml(graph: Graph, opsets: dict[str, int], metadata: dict[str, str]) -> None:
    """Replace operators of ai.onnx.ml, in the newest opset that changes nothing."""
    from trimtab.formats.onnx_ml import CORE_DOMAIN, is_stable, rewrite_ml

    opset = opsets.setdefault("", _ML_OPSET)
    if _ML_MIN_OPSET <= opset < _ML_OPSET and is_stable(graph):
        opset = opsets[""] = _ML_OPSET
    if opset >= _ML_MIN_OPSET:
        rewrite_ml(graph, opset, metadata)
    if any(node.domain == CORE_DOMAIN for node in graph.nodes):
        opsets[CORE_DOMAIN] = 1


def _may_have_contrib(opsets: dict[str, int]) -> bool:
    """Are there domains or versions whose operators `onnx_contrib` writes?"""
    return not _CONTRIB.isdisjoint(opsets) or opsets.get("", 0) >= _SWIGLU_OPSET


def _rewrites(
    proto: Any, opsets: dict[str, int], metadata: dict[str, str]
) -> Callable[[Graph], None] | None:
    """What is to be done to the main graph before its names are resolved."""
    found: list[Callable[[Graph], None]] = []
    # (a name that is no UTF-8 comes as bytes, and is refused when nodes are read)
    names = (str(node.op_type) for node in proto.graph.node)
    if any(name.startswith(_QUANTIZED) for name in names):
        from trimtab.formats.onnx_quantized import rewrite_quantized

        found.append(lambda graph: rewrite_quantized(graph, opsets))
    if _may_have_contrib(opsets):
        from trimtab.formats.onnx_contrib import rewrite_contrib

        found.append(lambda graph: rewrite_contrib(graph, opsets))
    if _ML_DOMAIN in opsets:
        from trimtab.formats.onnx_ml import drop_zip_maps

        drop_zip_maps(proto.graph)
        found.append(lambda graph: _rewrite_ml(graph, opsets, metadata))

    def rewrite(graph: Graph) -> None:
        for step in found:
            step(graph)

    return rewrite if found else None


def read_onnx(source: str | bytes | bytearray | memoryview, limits: Limits) -> Model:
    """Read an ONNX model.

    Large weights stay in the file, which must not be written to while a model is loaded
    from it: that is noticed, and refused when they are needed again. Nodes named
    Constant become constants; initializers that are inputs too are constants
    (`Model.overridable`).

    Parameters
    ----------
    source : str or bytes-like
        Path of a file, or its content. External data needs a path.
    limits : Limits

    Returns
    -------
    model : Model

    Raises
    ------
    ModelFormatError, ModelLimitError, UnsafeModelError
        The file is malformed, asks for too much, or points outside of its folder.
    UnsupportedOpError
        Tensors of strings, sequences as inputs and the like.

    Examples
    --------
    >>> read_onnx("model.onnx", Limits())                  # doctest: +SKIP
    Model('main': x -> y, 12 nodes)
    """
    file, folder = open_onnx(source, limits)
    return read_onnx_file(file, limits, Reading(ExternalFiles(folder)))


def open_onnx(
    source: str | bytes | bytearray | memoryview, limits: Limits
) -> tuple[OnnxFile, str | None]:
    """Open a file, or take its content.

    Parameters
    ----------
    source : str or bytes-like
    limits : Limits

    Returns
    -------
    file : OnnxFile
    folder : str or None
        Where external data may lie.

    Examples
    --------
    >>> open_onnx(b"", Limits())[1] is None
    True
    """
    if not isinstance(source, str):
        return OnnxFile(source, limits), None
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    folder = os.path.dirname(os.path.realpath(source))
    return OnnxFile(WeightFile(descriptor), limits), folder


class Reading(Record):
    """What a reading has besides the file.

    Parameters
    ----------
    files : ExternalFiles
        Closed when all is read.
    held : mapping of str to ndarray
        Elements of initializers that are not in the file.
    look : callable or None
        Gets to see the message before anything in it is changed.
    """

    __slots__ = ("files", "held", "look")

    def __init__(
        self,
        files: ExternalFiles,
        held: Mapping[str, Array] | None = None,
        look: Callable[[Any], None] | None = None,
    ) -> None:
        self.files = files
        self.held = held or {}
        self.look = look


def read_onnx_file(file: OnnxFile, limits: Limits, reading: Reading) -> Model:
    """Read an open file.

    Parameters
    ----------
    file : OnnxFile
    limits : Limits
    reading : Reading

    Returns
    -------
    model : Model

    Raises
    ------
    ModelFormatError
        As for `read_onnx`.

    Examples
    --------
    >>> read_onnx_file(file, limits, Reading(files))       # doctest: +SKIP
    Model('main': x -> y, 12 nodes)
    """
    held = reading.held
    with reading.files as files:
        data, spans, constants = file.skeleton()
        proto = _parse(data, limits)
        del data
        if reading.look is not None:
            reading.look(proto)
        names = {i: t.name for i, t in enumerate(proto.graph.initializer) if i in spans}
        weights = {names[i]: span for i, span in spans.items()}
        if len(weights) != len(spans):
            raise ModelFormatError("an initializer is defined twice")
        if weights.keys() & constants.keys():
            raise ModelFormatError("an initializer and a Constant have the same name")
        weights.update(constants)
        if proto.functions:
            proto = inline_functions(proto, limits)
        proto = expand_schema_functions(proto, limits)

        def raw(name: str) -> Array | Stored | None:
            span = weights.get(name)
            return held.get(name) if span is None else file.data(span)

        opsets, metadata = _opsets(proto), _metadata(proto)
        reader = GraphReader(TensorReader(limits, files), limits, raw)
        reader.rewrite = _rewrites(proto, opsets, metadata)
        model = Model(
            reader.convert(proto.graph),
            opsets,
            overridable=reader.overridable,
            metadata=metadata,
            format="onnx",
        )
    _check_domains(model)
    return model


def read_onnx_message(
    proto: Any, limits: Limits, weights: Mapping[str, Array] | None = None
) -> Model:
    """Read an ``onnx.ModelProto``.

    Parameters
    ----------
    proto : onnx.ModelProto
        With its weights; external data must have been loaded.
    limits : Limits
    weights : mapping of str to ndarray, optional
        Elements of those initializers that hold none, so that large ones need not
        pass through protobuf; kept, not copied.

    Returns
    -------
    model : Model

    Examples
    --------
    >>> read_onnx_message(onnx.load("model.onnx"), Limits())   # doctest: +SKIP
    Model('main': x -> y, 12 nodes)
    """
    file = OnnxFile(proto.SerializeToString(), limits)
    return read_onnx_file(file, limits, Reading(ExternalFiles(None), weights))
