"""References for formats whose files are read: the framework runs in a child.

A file is as hostile here as when it is loaded, so the same checks come first, and the
same limits hold. Keras's files have no line: Keras makes objects of what they name.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trimtab.reference import Reference, by_name, version_of
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["run_saved_model_file", "run_tflite_file", "run_torch_export_file"]

# Where an interpreter of TFLite may be, in this order.
_INTERPRETERS = (
    "ai_edge_litert.interpreter",
    "tflite_runtime.interpreter",
    "tensorflow.lite.python.interpreter",
)
# Kernels for integers round in ways of their own, mostly to the next step; models of
# floats with quantised tensors inside are as far off as their steps are wide (measured:
# 0.0175 of the range where weights are of int8).
_QUANTIZED = {"int8": 1.0, "uint8": 1.0, "int16": 1.0, "float32": 5e-2}


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def run_saved_model_file(source: str | bytes, model: Model) -> Reference | None:
    """Have TensorFlow run the signature that was loaded.

    Parameters
    ----------
    source : str
        Path of the folder.
    model : Model

    Returns
    -------
    reference : Reference or None
        None without TensorFlow.

    Examples
    --------
    >>> run_saved_model_file("my_model", model)            # doctest: +SKIP
    Reference(name='tensorflow 2.21.0', ...)
    """
    if not isinstance(source, str) or not _is_installed("tensorflow"):
        return None

    def run(calls: Sequence[dict[str, Array]]) -> list[dict[str, Array]]:
        from trimtab.formats.saved_model import run_saved_model

        return run_saved_model(source, model.limits, calls, **model.reading)

    return Reference(version_of("tensorflow"), run)


def run_torch_export_file(source: str | bytes, model: Model) -> Reference | None:
    """Have torch run the program of a ``.pt2`` file.

    Parameters
    ----------
    source : str or bytes
    model : Model

    Returns
    -------
    reference : Reference or None
        None without torch.

    Examples
    --------
    >>> run_torch_export_file("net.pt2", model)            # doctest: +SKIP
    Reference(name='torch 2.13.0', ...)
    """
    if not _is_installed("torch"):
        return None

    def run(calls: Sequence[dict[str, Array]]) -> list[dict[str, Array]]:
        from trimtab.formats.torch_export import run_torch_export

        results = run_torch_export(source, model.limits, calls)
        return [by_name(model, each) for each in results]

    return Reference(version_of("torch"), run)


def run_tflite_file(source: str | bytes, model: Model) -> Reference | None:
    """Have an interpreter run a TFLite file.

    Parameters
    ----------
    source : str or bytes
    model : Model

    Returns
    -------
    reference : Reference or None
        None without an interpreter, and for models with states: those of an
        interpreter cannot be set.

    Examples
    --------
    >>> run_tflite_file("model.tflite", model)             # doctest: +SKIP
    Reference(name='ai_edge_litert 2.3.0', ...)
    """
    packages = [(module.partition(".")[0], module) for module in _INTERPRETERS]
    found = [pair for pair in packages if _is_installed(pair[0])]
    if not found or model.metadata.get("states"):
        return None
    from trimtab.formats.tflite.run import is_quantized, run_tflite

    package, module = found[0]

    def run(calls: Sequence[dict[str, Array]]) -> list[dict[str, Array]]:
        return run_tflite(
            source,
            model.limits,
            calls,
            module=module,
            signature=model.metadata.get("signature", ""),
            outputs=[spec.name for spec in model.outputs],
        )

    tolerances = _QUANTIZED if is_quantized(source, model.limits) else {}
    return Reference(version_of(package), run, tolerances)
