"""Who says what a model must give: the framework that it came from.

A format is one line in `REFERENCES`. Where the framework is not installed, or a format
has no line, the engine's own plan without optimisations stands in, and the artefact
says so.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = [
    "REFERENCES",
    "Reference",
    "by_name",
    "each",
    "find_reference",
    "version_of",
]

#: Format -> ``module:function`` that takes what was loaded (a path, bytes or an
#: object) and the `Model`, and gives a `Reference`, or None where it cannot.
REFERENCES: dict[str, str] = {
    "onnx": "trimtab.reference:run_onnxruntime",
    "torch": "trimtab.reference:run_torch",
    "torch_export": "trimtab.reference:run_torch",
    "keras": "trimtab.reference:run_keras",
    "tf_keras": "trimtab.reference:run_keras",
    "sklearn": "trimtab.reference:run_sklearn",
    "saved_model": "trimtab.reference_files:run_saved_model_file",
    "tflite": "trimtab.reference_files:run_tflite_file",
}

Tensors: TypeAlias = "dict[str, Array]"


@dataclass(frozen=True)
class Reference:
    """Something that computes what a model should.

    Parameters
    ----------
    name : str
        Package and version.
    run : callable
        Inputs by name of each call -> outputs by name of each. Where it raises
        ImportError or `UnsupportedOpError`, it is no reference for the model.
    tolerances : mapping of str to float
        Dtype to how far a right engine may be from it, as for `Model.save`, where
        that is more than usual.

    Examples
    --------
    >>> Reference("twice", lambda calls: calls).name
    'twice'
    """

    name: str
    run: Callable[[Sequence[Tensors]], list[Tensors]]
    tolerances: Mapping[str, float] = field(default_factory=dict)


def version_of(package: str) -> str:
    """Give name and version of an installed package.

    Parameters
    ----------
    package : str
        Name of the distribution, or of what it is imported as.

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
        found = metadata.packages_distributions().get(package)
        return f"{package} {metadata.version(found[0])}" if found else package


def each(run: Callable[[Tensors], Tensors]) -> Callable[[Sequence[Tensors]], Any]:
    """Run calls one by one.

    Parameters
    ----------
    run : callable
        Inputs by name -> outputs by name.

    Returns
    -------
    run : callable
        The same for each of several, as `Reference` wants it.

    Examples
    --------
    >>> each(lambda inputs: {"y": -inputs["x"]})([{"x": 1}, {"x": 2}])
    [{'y': -1}, {'y': -2}]
    """
    return lambda calls: [run(inputs) for inputs in calls]


def by_name(model: Model, results: Sequence[Any]) -> Tensors:
    """Name results by the model's outputs, which are in the same order.

    Parameters
    ----------
    model : Model
    results : sequence of array-like

    Returns
    -------
    outputs : dict of str to ndarray

    Raises
    ------
    ValueError
        There are more or fewer.

    Examples
    --------
    >>> by_name(model, [y])                                # doctest: +SKIP
    {'y': array(...)}
    """
    if len(results) != len(model.outputs):
        raise ValueError(f"{len(results)} results for {len(model.outputs)} outputs")
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
    if format not in REFERENCES or model.is_rewritten:
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

    return Reference(version_of("onnxruntime"), each(run))


def run_torch(source: Any, model: Model) -> Reference | None:
    """The module or exported program itself; a file of one in a child."""
    if isinstance(source, (str, bytes)):
        from trimtab.reference_files import run_torch_export_file

        return run_torch_export_file(source, model)
    import torch

    from trimtab.formats.torch_run import run_module, run_program

    example = model.reading.get("example_inputs")

    def run(inputs: dict[str, Array]) -> dict[str, Array]:
        arrays = [*inputs.values()]
        if hasattr(source, "graph_module"):
            return by_name(model, run_program(torch, source, arrays))
        return by_name(model, run_module(torch, source, example, arrays))

    return Reference(version_of("torch"), each(run))


def _flat(result: Any) -> list[Any]:
    """Tensors of a result in the order in which exporters flatten it."""
    if isinstance(result, Mapping):
        return [leaf for value in result.values() for leaf in _flat(value)]
    if isinstance(result, (list, tuple)):
        return [leaf for value in result for leaf in _flat(value)]
    return [] if result is None else [result]


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
        return by_name(model, arrays)

    bases = {base.__module__.partition(".")[0] for base in type(source).__mro__}
    name = "tf_keras" if "tf_keras" in bases else "keras"
    return Reference(version_of(name), each(run))


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

    return Reference(version_of("scikit-learn"), each(run))
