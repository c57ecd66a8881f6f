"""Who says what a model must give: the framework that it came from.

A format is one line in `REFERENCES`. Where the framework is not installed, or a format
has no line, the engine's own plan without optimisations stands in, and the artefact
says so.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["REFERENCES", "Reference", "find_reference", "version_of"]

#: Format -> ``module:function`` that takes what was loaded (a path, bytes or an
#: object) and the `Model`, and gives a `Reference`, or None where it cannot.
REFERENCES: dict[str, str] = {
    "onnx": "trimtab.reference:run_onnxruntime",
    "torch": "trimtab.reference:run_torch",
    "torch_export": "trimtab.reference:run_torch",
    "keras": "trimtab.reference:run_keras",
    "tf_keras": "trimtab.reference:run_keras",
    "sklearn": "trimtab.reference:run_sklearn",
}


@dataclass(frozen=True)
class Reference:
    """Something that computes what a model should.

    Parameters
    ----------
    name : str
        Package and version.
    run : callable
        Inputs by name -> outputs by name.
    """

    name: str
    run: Callable[[dict[str, Array]], dict[str, Array]]


def version_of(package: str) -> str:
    """Give name and version of an installed package.

    Parameters
    ----------
    package : str

    Returns
    -------
    text : str
        The name alone where it says no version.

    Examples
    --------
    >>> version_of("numpy").split()[0]
    'numpy'
    """
    from importlib import metadata

    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return package


def _by_name(model: Model, results: Sequence[Any]) -> dict[str, Array] | None:
    """Outputs in graph order, where there are as many."""
    if len(results) != len(model.outputs):
        return None
    return {
        spec.name: np.asarray(result)
        for spec, result in zip(model.outputs, results, strict=True)
    }


def find_reference(source: Any, format: str, model: Model) -> Reference | None:
    """Find the framework of a format, if it is here and can run the model.

    Parameters
    ----------
    source : path, bytes or object
        What was loaded.
    format : str
        Key of `REFERENCES`.
    model : Model

    Returns
    -------
    reference : Reference or None

    Examples
    --------
    >>> find_reference("model.onnx", "onnx", model)        # doctest: +SKIP
    Reference(name='onnxruntime 1.32.0', run=...)
    """
    if format not in REFERENCES:
        return None
    module, _, function = REFERENCES[format].partition(":")
    make = getattr(importlib.import_module(module), function)
    try:
        found: Reference | None = make(source, model)
    except ImportError:
        return None
    return found


def run_onnxruntime(source: Any, model: Model) -> Reference | None:
    """Onnxruntime on the ONNX file or its content."""
    onnxruntime: Any = importlib.import_module("onnxruntime")
    given = source if isinstance(source, (str, bytes)) else source.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            given, options, providers=["CPUExecutionProvider"]
        )
    except Exception:  # its errors have no common base; it lacks an operator
        return None
    names = [output.name for output in session.get_outputs()]

    def run(inputs: dict[str, Array]) -> dict[str, Array]:
        return dict(zip(names, session.run(names, inputs), strict=True))

    return Reference(version_of("onnxruntime"), run)


def _flat(result: Any) -> list[Any]:
    """Tensors of a result in the order in which exporters flatten it."""
    if isinstance(result, Mapping):
        return [leaf for value in result.values() for leaf in _flat(value)]
    if isinstance(result, (list, tuple)):
        return [leaf for value in result for leaf in _flat(value)]
    return [] if result is None else [result]


def run_torch(source: Any, model: Model) -> Reference | None:
    """The module or exported program itself."""
    import torch

    if isinstance(source, (str, bytes)):
        return None
    module = source.module() if hasattr(source, "graph_module") else source

    def run(inputs: dict[str, Array]) -> dict[str, Array]:
        tensors = [torch.from_numpy(np.ascontiguousarray(x)) for x in inputs.values()]
        with torch.no_grad():
            results = _flat(module(*tensors))
        found = _by_name(model, [result.numpy() for result in results])
        if found is None:
            raise ValueError(f"{len(results)} results for {len(model.outputs)} outputs")
        return found

    return Reference(version_of("torch"), run)


def run_keras(source: Any, model: Model) -> Reference | None:
    """The Keras model itself."""
    if isinstance(source, (str, bytes)):
        return None

    def run(inputs: dict[str, Array]) -> dict[str, Array]:
        values = list(inputs.values())
        results = _flat(source(values if len(values) > 1 else values[0]))
        arrays = [
            x.detach().cpu().numpy() if hasattr(x, "detach") else np.asarray(x)
            for x in results
        ]
        found = _by_name(model, arrays)
        if found is None:
            raise ValueError(f"{len(arrays)} results for {len(model.outputs)} outputs")
        return found

    package = type(source).__module__.partition(".")[0]
    name = package if package in ("keras", "tf_keras") else "keras"
    return Reference(version_of(name), run)


def run_sklearn(source: Any, model: Model) -> Reference | None:
    """The estimator itself; outputs are named as skl2onnx names them.

    Labels that are texts become numbers, in the order of ``classes_``.
    """
    names = [spec.name for spec in model.outputs]
    if isinstance(source, (str, bytes)) or len(model.inputs) != 1:
        return None
    if not set(names) <= {"label", "probabilities", "variable"}:
        return None

    def label(x: Array) -> Array:
        found = np.asarray(source.predict(x))
        if found.dtype.kind in "OUS":
            found = np.searchsorted(np.asarray(source.classes_), found)
        return found

    def variable(x: Array) -> Array:
        can_predict = hasattr(source, "predict")
        return np.asarray(source.predict(x) if can_predict else source.transform(x))

    def run(inputs: dict[str, Array]) -> dict[str, Array]:
        (x,) = inputs.values()
        expected = model.run(inputs)  # for the shapes and dtypes
        results = {}
        for name in names:
            if name == "probabilities":
                array = np.asarray(source.predict_proba(x))
            else:
                array = label(x) if name == "label" else variable(x)
            like = expected[name]
            results[name] = array.astype(like.dtype).reshape(like.shape)
        return results

    return Reference(version_of("scikit-learn"), run)
