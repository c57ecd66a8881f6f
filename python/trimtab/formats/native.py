"""Our own artefact: one safetensors file with a model and all that belongs to it.

Enters: a path or bytes. Leaves: a `graph.Model` whose `artefact` holds the rest. The
texts of the file are JSON under two keys: ``trimtab`` (everything but the graph) and
``trimtab.graph``. docs/artefact.md describes them.
"""

from __future__ import annotations

from typing import Any

from trimtab.errors import ModelFormatError
from trimtab.formats.tensor_file import TensorFile, parse_json
from trimtab.graph import Constant, Model
from trimtab.limits import Limits
from trimtab.types import Array

__all__ = ["RESERVED", "STORED_AS", "VERSION", "Artefact", "read_native"]

#: Of the layout that is written; others are refused.
VERSION = 1
#: Names of tensors that begin so are ours.
RESERVED = "trimtab:"
#: Our element types -> (that of the container, one to one?)
STORED_AS: dict[str, tuple[str, bool]] = {
    "float32": ("F32", True),
    "uint8": ("U8", True),
    "int8": ("I8", True),
    "uint16": ("U16", True),
    "int16": ("I16", True),
    "int32": ("I32", True),
    "int64": ("I64", True),
    "bool": ("BOOL", True),
    "float16": ("F16", True),
    "float64": ("F64", True),
    "uint32": ("U32", True),
    "uint64": ("U64", True),
    "complex64": ("F32", False),
    "complex128": ("F64", False),
    "bfloat16": ("BF16", True),
    "float8e4m3fn": ("F8_E4M3", True),
    "float8e4m3fnuz": ("U8", False),
    "float8e5m2": ("F8_E5M2", True),
    "float8e5m2fnuz": ("U8", False),
    "uint4": ("U8", False),
    "int4": ("U8", False),
    "float4e2m1": ("U8", False),
    "float8e8m0": ("U8", False),
    "uint2": ("U8", False),
    "int2": ("U8", False),
    "float6e2m3": ("U8", False),
    "float6e3m2": ("U8", False),
    "string": ("U8", False),
}
_KEYS = frozenset(
    {
        "version",
        "signature",
        "class_names",
        "metadata",
        "pipeline",
        "quantization",
        "golden",
        "provenance",
        "reference",
    }
)


class Artefact:
    """What an artefact holds beside the graph.

    Parameters
    ----------
    file : TensorFile
    limits : Limits

    Raises
    ------
    ModelFormatError
        It is another safetensors file, of another version, or malformed.
    """

    __slots__ = (
        "class_names",
        "file",
        "golden",
        "limits",
        "metadata",
        "pipeline",
        "provenance",
        "quantization",
        "reference",
        "signature",
    )

    def __init__(self, file: TensorFile, limits: Limits) -> None:
        if "trimtab" not in file.metadata or "trimtab.graph" not in file.metadata:
            raise ModelFormatError(
                "a safetensors file with weights only: it has no graph, so what to "
                "compute with them is not known. Load the model that they belong to "
                "and save that (Model.save, or trimtab convert)"
            )
        self.file = file
        self.limits = limits
        plain = parse_json(file.metadata["trimtab"], "the description", limits)
        if not isinstance(plain, dict) or plain.get("version") != VERSION:
            version = plain.get("version") if isinstance(plain, dict) else plain
            raise ModelFormatError(
                f"an artefact of version {str(version)[:20]}; this trimtab reads "
                f"version {VERSION}: install the trimtab that wrote it, or a newer one"
            )
        for key in plain:
            if key not in _KEYS:
                raise ModelFormatError(f"the description: {key[:100]!r} is not known")
        self.class_names = _texts(plain.get("class_names"), "class_names")
        self.metadata = _text_map(plain.get("metadata", {}), "metadata")
        self.pipeline = _object(plain.get("pipeline"), "pipeline")
        self.quantization = _object(plain.get("quantization"), "quantization") or {}
        self.golden = _object(plain.get("golden"), "golden")
        self.provenance = _object(plain.get("provenance"), "provenance") or {}
        self.signature = _object(plain.get("signature"), "signature") or {}
        #: Description of the tensor that holds the monitoring reference as JSON.
        self.reference = _object(plain.get("reference"), "reference")

    def array(self, plain: Any, what: str) -> Array:
        """Read the array of a description, ``{"tensor": name, ...}``.

        Parameters
        ----------
        plain : object
        what : str
            For messages.

        Returns
        -------
        array : ndarray

        Raises
        ------
        ModelFormatError
            There is no such tensor.

        Examples
        --------
        >>> artefact.array({"tensor": "w"}, "w")           # doctest: +SKIP
        array([1.], dtype=float32)
        """
        from trimtab.formats.native_read import GraphParser

        try:
            array: Array = (
                GraphParser(self.file, self.limits).constant(plain, what).numpy()
            )
        except TypeError as error:
            raise ModelFormatError(f"{what}: {error}") from None
        return array

    def key_of(self, what: str | Constant) -> tuple[int, int]:
        """Give the place of a tensor, or of a constant that was read from the file.

        Parameters
        ----------
        what : str or Constant

        Returns
        -------
        place : tuple of int
            Where its bytes begin, and how many they are.

        Examples
        --------
        >>> artefact.key_of("w")                           # doctest: +SKIP
        (1024, 48)
        """
        from trimtab.weight_file import Stored

        data = self.file.data(what) if isinstance(what, str) else what.data
        if isinstance(data, Stored):
            return data.offset, data.nbytes
        return int(data.ctypes.data), data.nbytes

    def assets(self) -> dict[str, bytes]:
        """Read the files of the pipeline's steps.

        Returns
        -------
        assets : dict of str to bytes

        Raises
        ------
        ModelFormatError
            The list of them is malformed.

        Examples
        --------
        >>> artefact.assets()                              # doctest: +SKIP
        {'preprocess/0/vocabulary': b'...'}
        """
        listed = (self.pipeline or {}).get("assets", {})
        if not isinstance(listed, dict):
            raise ModelFormatError("pipeline: expected assets by name")
        return {
            name: self.array(plain, f"asset {name[:100]!r}").tobytes()
            for name, plain in listed.items()
        }

    def model(self) -> Model:
        """Make the graph.

        Returns
        -------
        model : Model

        Raises
        ------
        ModelFormatError, ModelLimitError
            It is malformed, or asks for too much.

        Examples
        --------
        >>> artefact.model()                               # doctest: +SKIP
        Model('main': x -> y, 12 nodes)
        """
        from trimtab.formats.native_read import GraphParser

        text = self.file.metadata["trimtab.graph"]
        plain = parse_json(text, "the graph", self.limits)
        model = GraphParser(self.file, self.limits).model(plain)
        model.metadata = dict(self.metadata)
        model.format = "native"
        model.artefact = self
        return model


def _object(value: Any, what: str) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    raise ModelFormatError(f"{what}: expected an object, got {type(value).__name__}")


def _texts(value: Any, what: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
        raise ModelFormatError(f"{what}: expected a list of texts")
    return tuple(value)


def _text_map(value: Any, what: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(text, str) for text in value.values()
    ):
        raise ModelFormatError(f"{what}: expected texts by name")
    return value


def read_native(source: str | bytes, limits: Limits) -> Model:
    """Read an artefact of `Model.save`.

    Weights stay in the file until the engine needs them.

    Parameters
    ----------
    source : path or bytes
    limits : Limits

    Returns
    -------
    model : Model

    Raises
    ------
    ModelFormatError, ModelLimitError
        It is malformed, of another version, or asks for too much.

    Examples
    --------
    >>> read_native("model.safetensors", Limits())         # doctest: +SKIP
    Model('main': x -> y, 12 nodes)
    """
    return Artefact(TensorFile(source, limits), limits).model()
