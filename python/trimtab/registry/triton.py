"""Export as a model repository of Triton, run by its Python backend.

``<name>/config.pbtxt``, and for each version ``<n>/model.py`` with the artefact.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from trimtab.errors import InputError
from trimtab.registry.manifest import ARTEFACT
from trimtab.registry.oci import fill_folder
from trimtab.registry.publish import file_pieces
from trimtab.registry.store import Store
from trimtab.registry.typed import typed_signature
from trimtab.registry.version import ModelVersion

__all__ = ["export_triton"]

#: dtype -> Triton's.
_TYPES = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "uint16": "TYPE_UINT16",
    "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64",
    "int8": "TYPE_INT8",
    "int16": "TYPE_INT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "bfloat16": "TYPE_BF16",
}

_MODEL_PY = '''"""Runs a model of trimtab in Triton's Python backend."""

import os

import numpy as np
import triton_python_backend_utils as pb_utils

import trimtab


class TritonPythonModel:
    """Loads the artefact beside this file; one call a request."""

    def initialize(self, args):
        """Load the model."""
        folder = os.path.join(args["model_repository"], args["model_version"])
        self.model = trimtab.load_model(os.path.join(folder, "model.safetensors"))

    def execute(self, requests):
        """Answer requests; one that is refused fails alone."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        try:
            inputs = {
                spec.name: pb_utils.get_input_tensor_by_name(
                    request, spec.name
                ).as_numpy()
                for spec in self.model.inputs
            }
            outputs = self.model.run(inputs)
        except trimtab.TrimtabError as error:
            failure = pb_utils.TritonError(str(error))
            return pb_utils.InferenceResponse(output_tensors=[], error=failure)
        return pb_utils.InferenceResponse(
            output_tensors=[
                pb_utils.Tensor(name, np.ascontiguousarray(array))
                for name, array in outputs.items()
            ]
        )

    def finalize(self):
        """Free the model."""
        self.model = None
'''


def _dims(shape: Sequence[int]) -> str:
    """As a list; a scalar is one element to Triton."""
    return f"[ {', '.join(map(str, shape or [1]))} ]"


def _tensors(kind: str, specs: Sequence[dict[str, Any]]) -> list[str]:
    lines = [f"{kind} ["]
    for number, spec in enumerate(specs):
        dtype = spec.get("dtype")
        if dtype not in _TYPES:
            raise InputError(
                f"triton: {kind} {spec.get('name')!r} has the dtype {dtype!r}, which "
                f"it has no name for; it has {', '.join(_TYPES)}"
            )
        lines += [
            "  {",
            f"    name: {json.dumps(str(spec.get('name')))}",
            f"    data_type: {_TYPES[str(dtype)]}",
            f"    dims: {_dims(spec['shape'])}",
            "  }" + ("," if number + 1 < len(specs) else ""),
        ]
    return [*lines, "]"]


def _config(version: ModelVersion) -> bytes:
    signature = typed_signature(version)
    lines = [
        f"name: {json.dumps(version.name)}",
        'backend: "python"',
        "max_batch_size: 0",
        "version_policy: { all { } }",
        *_tensors("input", signature["inputs"]),
        *_tensors("output", signature["outputs"]),
    ]
    return ("\n".join(lines) + "\n").encode()


def export_triton(registry: Any, target: str, versions: Sequence[ModelVersion]) -> None:
    """Write versions as a model repository of Triton.

    Parameters
    ----------
    registry : Registry
    target : str
        A folder that is empty or not there.
    versions : sequence of ModelVersion
        Those of one model have the same inputs and outputs.

    Raises
    ------
    InputError
        There are none, they differ, or Triton has no name for a dtype.

    Examples
    --------
    >>> export_triton(registry, "repository", versions)    # doctest: +SKIP
    """
    configs: dict[str, bytes] = {}
    for version in versions:
        store: Store = registry.store
        store.check_blob(version.layer.digest, version.layer.n_bytes)
        config = _config(version)
        if configs.setdefault(version.name, config) != config:
            raise InputError(
                f"triton: versions of {version.name!r} have different inputs or "
                "outputs; export them into repositories of their own"
            )
    if not configs:
        raise InputError("export: there is no version to write")
    fill_folder(target, _files(configs, versions))


def _files(
    configs: dict[str, bytes], versions: Sequence[ModelVersion]
) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    code = _MODEL_PY.encode()
    for name, config in configs.items():
        yield f"{name}/config.pbtxt", len(config), iter([config])
    for version in versions:
        folder = f"{version.name}/{version.version}"
        yield f"{folder}/model.py", len(code), iter([code])
        n_bytes = version.layer.n_bytes
        yield f"{folder}/{ARTEFACT}", n_bytes, file_pieces(version.path)
