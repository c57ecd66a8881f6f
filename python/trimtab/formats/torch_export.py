"""``.pt2`` files of torch.export.save -> `Model`.

gate (members by name) > child with limits: program checked > weights from raw bytes >
torch makes the program > torch.onnx > file > `Model`.

torch.export.load itself is not used: it unpickles what it does not know and runs texts
of the file. Here torch gets a checked JSON text and a dict of tensors, nothing else.
"""

from __future__ import annotations

import importlib
import io
import json
import math
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from trimtab.errors import ModelFormatError, ModelLimitError, UnsafeModelError
from trimtab.formats.archive import Archive
from trimtab.formats.exchange import pack_arrays, read_arrays, write_arrays
from trimtab.formats.isolate import Isolated, run_isolated
from trimtab.formats.onnx import read_onnx
from trimtab.formats.torch_onnx import (
    finish,
    import_torch,
    input_names,
    notes_of_state,
    output_names,
    silence,
    to_onnx,
    why,
)
from trimtab.formats.torch_program import check_program
from trimtab.formats.torch_run import run_program
from trimtab.graph import Model
from trimtab.limits import Limits
from trimtab.types import Array

__all__ = ["read_in_child", "read_torch_export", "run_in_child", "run_torch_export"]

_OLD_PROGRAM = "serialized_exported_program.json"
_MAX_PROGRAM_BYTES = 256 << 20
_MAX_RANK = 64
_SECONDS = 300.0
# torch itself takes about 2 GiB of addresses; a model is in memory about four times
# while it is exported (bytes, tensors, ONNX, protobuf).
_BASE_BYTES = 6 << 30
_TIMES = 5
_PROTOBUF_BYTES = 1 << 30
# Members that hold code or pickled objects.
_REFUSED = [
    (re.compile(r"(^|/)data/aotinductor/|\.(so|o|cpp|cubin|hsaco)$"), "compiled code"),
    (re.compile(r"(^|/)data/constants/(custom|opaque)_obj_"), "a pickled object"),
    (re.compile(r"(^|/)(constants|data)\.pkl$|(^|/)code/"), "TorchScript or a pickle"),
]
# torch.ScalarType -> attribute of torch
_DTYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    29: "float8_e4m3fn",
    30: "float8_e5m2",
}


def read_torch_export(source: str | bytes, limits: Limits) -> Model:
    """Read a file of torch.export.save.

    Parameters
    ----------
    source : str or bytes
        Path, or content.
    limits : Limits

    Returns
    -------
    model : Model

    Raises
    ------
    ModelFormatError, ModelLimitError
        It is damaged, of a version that this torch does not read, or asks for too
        much.
    UnsafeModelError
        It holds pickled objects or text that would be run as code.
    UnsupportedOpError
        It cannot be expressed in ONNX.

    Examples
    --------
    >>> read_torch_export("net.pt2", Limits())             # doctest: +SKIP
    Model('main_graph': x -> output, 12 nodes)
    """
    with _in_child("torch_export:read_in_child", source, limits) as child:
        model = read_onnx(child.path("model.onnx"), limits)
        result = child.result
    for note in result["notes"]:
        warnings.warn(str(note), stacklevel=7)  # where load_model is called
    model.format = "torch_export"
    return finish(model, result["inputs"], result["outputs"])


def run_torch_export(
    source: str | bytes, limits: Limits, inputs: Sequence[Mapping[str, Array]]
) -> list[list[Array]]:
    """Have torch run a file of torch.export.save, after the same checks.

    Parameters
    ----------
    source : str or bytes
        Path, or content.
    limits : Limits
    inputs : sequence of mapping of str to ndarray
        Inputs of each call, in the order of the program.

    Returns
    -------
    outputs : list of list of ndarray
        Those that are tensors, in the order of the program.

    Raises
    ------
    ModelFormatError
        torch cannot run it, or refuses these inputs; others as for reading.

    Examples
    --------
    >>> run_torch_export("net.pt2", Limits(), [{"x": x}])  # doctest: +SKIP
    [[array(...)]]
    """
    packed = [pack_arrays(each, f"in-{i}") for i, each in enumerate(inputs)]
    with _in_child(
        "torch_export:run_in_child",
        source,
        limits,
        calls=[entries for entries, _ in packed],
        placed={name: data for _, files in packed for name, data in files.items()},
    ) as child:
        calls = child.result["calls"]
        return [[*read_arrays(child.folder, call).values()] for call in calls]


@contextmanager
def _in_child(
    task: str,
    source: str | bytes,
    limits: Limits,
    *,
    calls: Sequence[Any] = (),
    placed: Mapping[str, bytes] | None = None,
) -> Iterator[Isolated]:
    """A child that gets an archive whose members were looked at by name."""
    what = repr(source) if isinstance(source, str) else "the content"
    with Archive(source, limits) as archive:
        _check_members(archive.names)
        n_bytes = sum(archive.size(name) for name in archive.names)
    with (
        _as_file(source) as path,
        run_isolated(
            task,
            {
                "path": os.path.abspath(path),
                "limits": limits.to_dict(),
                "calls": calls,
            },
            what=f"the torch.export file {what}",
            memory_bytes=_BASE_BYTES + _TIMES * n_bytes,
            seconds=_SECONDS,
            files=placed,
        ) as child,
    ):
        yield child


@contextmanager
def _as_file(source: str | bytes) -> Iterator[str]:
    """A path of the source; content is written into a folder of its own."""
    if isinstance(source, str):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="trimtab-") as folder:
        path = os.path.join(folder, "model.pt2")
        with open(path, "wb") as file:
            file.write(source)
        yield path


def _check_members(names: Sequence[str]) -> None:
    """Refuse compiled code and pickled objects by name."""
    for name in names:
        for pattern, kind in _REFUSED:
            if pattern.search(name):
                raise UnsafeModelError(
                    f"the archive's member {name[:120]!r} is {kind}: reading it runs "
                    "code of its author. Load the file with torch if you trust it, and "
                    "pass the program to load_model"
                )


# ---- in the child ------------------------------------------------------------------


def read_in_child(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """Convert the file to ONNX; runs in the child.

    Parameters
    ----------
    arguments : dict
        ``path`` and ``limits``.
    folder : str
        ``model.onnx`` is written there.

    Returns
    -------
    result : dict
        ``inputs``, ``outputs``: their names; ``notes``: warnings for the user.

    Examples
    --------
    >>> read_in_child({"path": "net.pt2", "limits": {}}, ".")  # doctest: +SKIP
    {'inputs': ['x'], 'outputs': ['logits'], 'notes': []}
    """
    torch, program, n_bytes = _program(arguments)
    converted = to_onnx(torch, program)
    with silence():
        converted.save(
            os.path.join(folder, "model.onnx"), external_data=n_bytes > _PROTOBUF_BYTES
        )
    return {
        "inputs": input_names(program),
        "outputs": output_names(torch, program),
        "notes": notes_of_state(converted),
    }


def run_in_child(arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """Run the program on the inputs of each call; runs in the child.

    Parameters
    ----------
    arguments : dict
        ``path``, ``limits``; ``calls``: for each the inputs, as
        `trimtab.formats.exchange` describes them.
    folder : str
        Where they lie, and where to write.

    Returns
    -------
    result : dict
        ``calls``: for each the outputs.

    Raises
    ------
    ModelFormatError
        torch cannot make or run the program, or refuses these inputs.

    Examples
    --------
    >>> run_in_child({"path": p, "limits": {}, "calls": c}, ".")  # doctest: +SKIP
    {'calls': [[{'name': '0', ...}]]}
    """
    torch, program, _ = _program(arguments)
    calls = []
    for number, entries in enumerate(arguments["calls"]):
        inputs = [*read_arrays(folder, entries).values()]
        try:
            with silence():
                outputs = run_program(torch, program, inputs)
        except Exception as error:  # of torch, of every kind
            raise ModelFormatError(
                f"running the program failed: {why(error)}"
            ) from error
        named = {str(place): array for place, array in enumerate(outputs)}
        calls.append(write_arrays(folder, named, f"out-{number}"))
    return {"calls": calls}


def _program(arguments: dict[str, Any]) -> tuple[Any, Any, int]:
    """torch, the program that it made of a checked file, and the weights' bytes."""
    limits = Limits(**arguments["limits"])
    with Archive(arguments["path"], limits) as archive:
        reader = _ArchiveReader(archive, limits)
        content = reader.program()  # checked before torch is imported
        torch = import_torch()
        weights, constants = reader.tensors(torch)
    program = _make(torch, content, weights, constants)
    n_bytes = sum(t.numel() * t.element_size() for t in weights.values())
    return torch, program, n_bytes


def _make(
    torch: Any, content: bytes, weights: dict[str, Any], constants: dict[str, Any]
) -> Any:
    """Have torch make the program of checked JSON and our tensors."""
    serde = importlib.import_module("torch._export.serde.serialize")
    try:
        with silence():
            artifact = serde.SerializedArtifact(content, weights, constants, b"")
            return serde.deserialize(artifact)
    except Exception as error:  # of every kind, for every kind of damage
        raise ModelFormatError(
            f"torch {torch.__version__} cannot read the program: {why(error)}. Files "
            "of torch.export.save are read by the version that wrote them and some "
            "later ones: save it again"
        ) from error


class _ArchiveReader:
    """The members of one file, of today's layout or of that up to torch 2.7."""

    def __init__(self, archive: Archive, limits: Limits) -> None:
        self._archive = archive
        self._limits = limits
        self._names = archive.names
        self._root = ""
        if _OLD_PROGRAM not in self._names:
            self._root = next(
                name[: -len("archive_format")]
                for name in self._names
                if name.endswith("archive_format")
            )

    def program(self) -> bytes:
        """Checked JSON text of the only program."""
        name = _OLD_PROGRAM
        if name not in self._names:
            found = [n for n in self._names if n.startswith(self._root + "models/")]
            if len(found) != 1:
                raise ModelFormatError(
                    f"the archive holds {len(found)} programs, expected 1: {found[:5]}"
                )
            name = found[0]
        content = self._archive.read(name, max_bytes=_MAX_PROGRAM_BYTES)
        return check_program(content, self._limits)

    def tensors(self, torch: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Weights and constants by name."""
        if not self._root and _OLD_PROGRAM in self._names:
            return (
                self._pickled(torch, "serialized_state_dict.pt"),
                self._pickled(torch, "serialized_constants.pt"),
            )
        return self._table(torch, "weights"), self._table(torch, "constants")

    def _table(self, torch: Any, kind: str) -> dict[str, Any]:
        base = f"{self._root}data/{kind}/"
        old = f"{base}model.pt"
        if old in self._names:
            return self._pickled(torch, old)
        text = self._archive.read(
            f"{base}model_{kind}_config.json", max_bytes=_MAX_PROGRAM_BYTES
        )
        try:
            entries = json.loads(text)["config"]
            return {
                str(name): self._tensor(torch, base, name, entry)
                for name, entry in entries.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, ModelFormatError):
                raise
            raise ModelFormatError(
                f"the archive's table of {kind} is malformed: {error!r}"
            ) from None

    def _tensor(self, torch: Any, base: str, name: str, entry: dict[str, Any]) -> Any:
        path = base + entry["path_name"]
        if entry["use_pickle"]:
            return self._unpickled(torch, path)
        meta = entry["tensor_meta"]
        dtype = getattr(torch, _DTYPES.get(meta["dtype"], ""), None)
        if dtype is None:
            raise ModelFormatError(f"{name!r}: dtype {meta['dtype']!r} is not known")
        shape = [_size(name, size) for size in meta["sizes"]]
        strides = [_size(name, size) for size in meta["strides"]]
        offset = _size(name, meta["storage_offset"])
        if len(shape) != len(strides) or len(shape) > _MAX_RANK:
            raise ModelFormatError(f"{name!r}: {len(shape)} dims do not fit {strides}")
        n_bytes = math.prod(shape) * dtype.itemsize
        if n_bytes > self._limits.max_tensor_bytes:
            raise ModelLimitError(
                f"{name!r} takes {n_bytes} bytes, max_tensor_bytes is "
                f"{self._limits.max_tensor_bytes}"
            )
        if n_bytes == 0:
            return torch.empty(shape, dtype=dtype)
        data = bytearray(self._archive.read(path))
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if len(data) % dtype.itemsize or (last + 1) * dtype.itemsize > len(data):
            raise ModelFormatError(
                f"{name!r}: {shape} in strides {strides} from {offset} do not fit the "
                f"{len(data)} bytes of {path!r}"
            )
        flat = torch.frombuffer(data, dtype=dtype)
        tensor = torch.as_strided(flat, shape, strides, offset)
        if entry["is_param"]:
            return torch.nn.Parameter(tensor, requires_grad=False)
        return tensor

    def _pickled(self, torch: Any, name: str) -> dict[str, Any]:
        """A dict of tensors that torch.save wrote."""
        if name not in self._names or not self._archive.size(name):
            return {}
        table = self._unpickled(torch, name)
        if not isinstance(table, dict) or not all(
            isinstance(key, str) and isinstance(value, torch.Tensor)
            for key, value in table.items()
        ):
            raise UnsafeModelError(
                f"the archive's member {name!r} holds something else than tensors"
            )
        return dict(table)

    def _unpickled(self, torch: Any, name: str) -> Any:
        """What torch.save wrote, by its reader that knows tensors only."""
        content = io.BytesIO(self._archive.read(name))
        try:
            with silence():
                return torch.load(content, weights_only=True, map_location="cpu")
        except Exception as error:  # the reader's refusals have no common class
            raise UnsafeModelError(
                f"the archive's member {name!r} holds pickled objects other than "
                f"tensors ({why(error)[:200]}); reading them runs code of the file's "
                "author. Load it with torch if you trust it, and pass the program to "
                "load_model"
            ) from None


def _size(name: str, size: Any) -> int:
    """A size, stride or offset that is a plain number."""
    number = size.get("as_int") if isinstance(size, dict) else None
    if type(number) is not int or not 0 <= number < 1 << 48:
        raise ModelFormatError(f"{name!r}: {size!r} is no size")
    return number
