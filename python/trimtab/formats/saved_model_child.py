"""The child's side of `saved_model`: copy, inspect, convert.

Enters: which files of the folder, which signature. Leaves: model.onnx in the child's
folder, and what the signature says of inputs and outputs. Files are opened without
following links and copied first, so that what is looked at is what TensorFlow reads.
"""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from trimtab.errors import (
    InputError,
    ModelFormatError,
    TrimtabError,
    UnsupportedOpError,
)
from trimtab.formats.external import open_beneath
from trimtab.formats.saved_model_handlers import HANDLERS
from trimtab.formats.saved_model_ops import check_operators, signature_functions
from trimtab.formats.saved_model_proto import parse_saved_model

__all__ = ["TAG", "convert", "import_tensorflow", "prepare", "stage"]

_DEFAULT = "serving_default"
#: Of the graph that is read.
TAG = "serve"
_BLOCK = 1 << 20
_STRING = 7  # DataType.DT_STRING
_OPSET = 18  # the newest that tf2onnx 1.16 and 1.17 write
# Frozen, all weights lie in one protobuf message, which ends at 2 GiB.
_LARGE_BYTES = 1_500_000_000
# Messages take 5 to 10 times their bytes in memory; 80 times where a file is made to.
_PER_MESSAGE_BYTE = 24
_SPARE_BYTES = 64 << 20


def convert(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """Convert a SavedModel to model.onnx.

    Parameters
    ----------
    arguments : dict
        path: of the SavedModel. files: name -> bytes. signature: name or None.
    folder : str
        Where to write.

    Returns
    -------
    described : dict
        signature, signatures, version; inputs and outputs: name -> dims or None.

    Examples
    --------
    >>> convert({"path": p, "files": f, "signature": None}, work)  # doctest: +SKIP
    {'signature': 'serving_default', ...}
    """
    copied, described = prepare(arguments, folder)
    n_bytes = sum(arguments["files"].values())
    target = os.path.join(folder, "model.onnx")
    _write(copied, described["signature"], n_bytes, target)
    return described


def prepare(arguments: dict[str, Any], folder: str) -> tuple[str, dict[str, Any]]:
    """Copy a SavedModel, choose the signature, and refuse what must not run.

    Parameters
    ----------
    arguments : dict
        As for `convert`.
    folder : str
        Where to copy it.

    Returns
    -------
    copied : str
        Path of the copy, which is what was looked at.
    described : dict
        As of `convert`.

    Examples
    --------
    >>> prepare({"path": p, "files": f, "signature": None}, work)  # doctest: +SKIP
    ('.../saved_model', {'signature': 'serving_default', ...})
    """
    files: dict[str, int] = arguments["files"]
    copied = os.path.join(folder, "saved_model")
    for name, n_bytes in files.items():
        _copy(arguments["path"], name, n_bytes, copied)
    with (
        _bounded_memory(_PER_MESSAGE_BYTE * files["saved_model.pb"]),
        open(os.path.join(copied, "saved_model.pb"), "rb") as file,
    ):
        meta_graph = _meta_graph(parse_saved_model(file.read()))
    name = _choose(meta_graph, arguments["signature"])
    check_operators(meta_graph, name, _is_known)
    return copied, _describe(meta_graph, name)


def _copy(source: str, name: str, n_bytes: int, target: str) -> None:
    """Copy one file of the size that was seen."""
    try:
        descriptor, size = open_beneath(source, name.split("/"), is_only_name=False)
    except OSError as error:
        raise ModelFormatError(f"{name!r} cannot be opened: {error}") from None
    path = os.path.join(target, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    left = n_bytes
    with open(descriptor, "rb") as file, open(path, "wb") as out:
        while block := file.read(min(_BLOCK, left)):
            left -= out.write(block)
    if left or size != n_bytes:
        raise ModelFormatError(f"{name!r} changed while it was read")


@contextmanager
def _bounded_memory(n_bytes: int) -> Iterator[None]:
    """Let the process take this much more, and some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    bound = mapped + _SPARE_BYTES + n_bytes
    is_lower = soft == resource.RLIM_INFINITY or bound < soft
    resource.setrlimit(resource.RLIMIT_AS, (bound if is_lower else soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _meta_graph(saved: Any) -> Any:
    """The one graph that can be read."""
    if len(saved.meta_graphs) != 1:
        raise ModelFormatError(
            f"expected one graph in saved_model.pb, found {len(saved.meta_graphs)}: "
            "models of TensorFlow 1 are not read; load and save it with TensorFlow 2"
        )
    meta_graph = saved.meta_graphs[0]
    if TAG not in meta_graph.meta_info_def.tags:
        raise ModelFormatError(
            f"expected a graph with the tag {TAG!r}, found "
            f"{list(meta_graph.meta_info_def.tags)}"
        )
    if not meta_graph.object_graph_def.nodes:
        raise ModelFormatError(
            "saved_model.pb has no objects: it was written by TensorFlow 1, whose "
            "models are not read; load and save it with TensorFlow 2"
        )
    return meta_graph


def _choose(meta_graph: Any, asked: str | None) -> str:
    """Name of the signature to load."""
    # Names with "__" are TensorFlow's own: __saved_model_init_op.
    told: set[str] = {
        e.key for e in meta_graph.signature_def if not e.key.startswith("__")
    }
    names = sorted(told & signature_functions(meta_graph).keys())
    if not names:
        raise ModelFormatError(
            "the SavedModel has no signature: save it with signatures=..., or with "
            "model.export() of Keras"
        )
    if asked is not None:
        if asked not in names:
            raise InputError(f"there is no signature {asked!r}; there are {names}")
        return asked
    if _DEFAULT in names:
        return _DEFAULT
    if len(names) > 1:
        raise InputError(
            f"there are several signatures and none is {_DEFAULT!r}: choose one of "
            f"{names} by signature=..."
        )
    return names[0]


def _describe(meta_graph: Any, name: str) -> dict[str, Any]:
    """Names and dims of inputs and outputs as the signature has them."""
    entries = [e for e in meta_graph.signature_def if e.key == name]
    signature = entries[-1].value
    for kind, tensors in (("input", signature.inputs), ("output", signature.outputs)):
        for entry in tensors:
            if entry.value.dtype == _STRING:
                raise UnsupportedOpError(
                    f"signature {name!r}: {kind} {entry.key!r} is a tensor of strings, "
                    "which the engine does not have; split off what handles text"
                )
    return {
        "signature": name,
        "signatures": sorted(signature_functions(meta_graph)),
        "version": meta_graph.meta_info_def.tensorflow_version,
        "inputs": {e.key: _dims(e.value.tensor_shape) for e in signature.inputs},
        "outputs": {e.key: _dims(e.value.tensor_shape) for e in signature.outputs},
    }


def _dims(shape: Any) -> list[int] | None:
    return None if shape.unknown_rank else [dim.size for dim in shape.dim]


def import_tensorflow() -> Any:
    """Import TensorFlow and tf2onnx, after Keras 2 where that is installed.

    Returns
    -------
    tensorflow : module

    Raises
    ------
    ImportError
        A package is missing; the message has the command to install it.

    Examples
    --------
    >>> import_tensorflow().__name__                       # doctest: +SKIP
    'tensorflow'
    """
    try:
        # First: where Keras 3 is imported before it, models of Keras 2 do not load.
        try:
            import tf_keras  # noqa: F401
        except ImportError:
            os.environ.pop("TF_USE_LEGACY_KERAS", None)
        import tensorflow
        import tf2onnx.tf_loader  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"reading a SavedModel needs TensorFlow and tf2onnx ({error}): "
            "pip install 'trimtab[tensorflow]'"
        ) from None
    return tensorflow


def _is_known(op: str) -> bool:
    """Is it an operator of TensorFlow's own?"""
    import_tensorflow()
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(op) is not None


def _write(path: str, signature: str, n_bytes: int, target: str) -> None:
    """Freeze the signature and write it as ONNX."""
    tensorflow = import_tensorflow()
    _mend_numpy()
    from tf2onnx import optimizer, tf_loader, tfonnx
    from tf2onnx.graph import ExternalTensorStorage
    from tf2onnx.tf_utils import compress_graph_def

    is_large = n_bytes > _LARGE_BYTES
    storage = ExternalTensorStorage() if is_large else None
    with (
        stage(f"freezing signature {signature!r}", ModelFormatError),
        tensorflow.device("/cpu:0"),
    ):
        frozen, inputs, outputs, tables, renamed = tf_loader.from_saved_model(
            path,
            None,
            None,
            [TAG],
            [signature],
            large_model=is_large,
            return_initialized_tables=True,
            return_tensors_to_rename=True,
        )
    if is_large:  # which tf2onnx does for the others by itself
        frozen = tf_loader.fix_freezing_errors(frozen)
        frozen = tf_loader.fix_freezing_errors_part2(frozen)
    constants = compress_graph_def(frozen) if is_large else None
    with (
        stage(f"converting signature {signature!r} to ONNX", UnsupportedOpError),
        tensorflow.device("/cpu:0"),
        tensorflow.Graph().as_default() as graph,
    ):
        tensorflow.import_graph_def(frozen, name="")
        converted = tfonnx.process_tf_graph(
            graph,
            opset=_OPSET,
            input_names=inputs,
            output_names=outputs,
            const_node_values=constants,
            tensors_to_rename=renamed,
            initialized_tables=tables,
            custom_op_handlers=HANDLERS,
        )
        converted = optimizer.optimize_graph(
            converted,
            catch_errors=False,
            optimizers={
                name: partial(_collect_first, make)
                for name, make in optimizer._get_optimizers().items()
            },
        )
        model = converted.make_model(signature, external_tensor_storage=storage)
    if storage is not None:
        _write_tensors(model, storage.name_to_tensor_data, target + ".weights")
    with open(target, "wb") as file:
        file.write(model.SerializeToString())


@contextmanager
def stage(what: str, kind: type[TrimtabError]) -> Iterator[None]:
    """Say during what a library failed.

    Parameters
    ----------
    what : str
        For the message.
    kind : type
        Of the error that stands for the library's.

    Returns
    -------
    context : context manager

    Raises
    ------
    TrimtabError
        Of that type.

    Examples
    --------
    >>> with stage("adding", ModelFormatError):
    ...     1 + 1
    2
    """
    try:
        yield
    except (TrimtabError, MemoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:1500]
        raise kind(f"{what} failed: {type(error).__name__}: {text}") from None


def _collect_first(make: Callable[[], Any]) -> Any:
    """Let go of the last optimizer's graph: each copies it with all weights."""
    gc.collect()
    return make()


def _mend_numpy() -> None:
    """tf2onnx 1.17 writes large models with a name that NumPy 2 has no more."""
    import numpy

    if not hasattr(numpy, "product"):
        numpy.product = numpy.prod  # type: ignore[attr-defined]


def _write_tensors(model: Any, tensors: dict[str, bytes], path: str) -> None:
    """Write what is too large for one message into one file beside it."""
    from onnx import TensorProto

    with open(path, "wb") as file:
        for tensor in _initializers(model.graph):
            if tensor.data_location != TensorProto.EXTERNAL:
                continue
            content = tensors.pop(tensor.external_data[0].value)
            del tensor.external_data[:]
            for key, value in (
                ("location", os.path.basename(path)),
                ("offset", str(file.tell())),
                ("length", str(len(content))),
            ):
                tensor.external_data.add(key=key, value=value)
            file.write(content)


def _initializers(graph: Any) -> Iterator[Any]:
    """Those of a graph and of all bodies in it."""
    waiting = [graph]
    while waiting:
        graph = waiting.pop()
        yield from graph.initializer
        for node in graph.node:
            waiting.extend(a.g for a in node.attribute if a.HasField("g"))
