"""scikit-learn estimators -> ONNX by skl2onnx -> `Model`.

Enters: a fitted estimator or pipeline. Leaves: a `Model` with the input ``X`` (or one
input for each group of columns) and the outputs ``label`` and ``probabilities`` of a
classifier, ``variable`` of a regressor or a transformer.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from trimtab.errors import InputError, UnsupportedOpError
from trimtab.formats.onnx import read_onnx_message
from trimtab.graph import Model
from trimtab.limits import Limits

__all__ = ["read_sklearn"]

_OPSETS = {"": 18, "ai.onnx.ml": 3}
_INPUT = "X"
_BATCH = "batch"
# Kinds of NumPy dtypes -> class of skl2onnx for a column.
_COLUMN_TYPES = {
    "f": "FloatTensorType",
    "i": "Int64TensorType",
    "u": "Int64TensorType",
    "b": "BooleanTensorType",
    "O": "StringTensorType",
    "U": "StringTensorType",
    "S": "StringTensorType",
}


def read_sklearn(
    estimator: Any, limits: Limits, *, example_inputs: Any = None
) -> Model:
    """Convert a fitted estimator.

    Parameters
    ----------
    estimator : sklearn.base.BaseEstimator
        A pipeline too.
    limits : Limits
    example_inputs : data frame, or mapping of str to array-like, optional
        For pipelines over named columns of several dtypes: some rows, whose columns
        become inputs of their own dtypes. By default all features are float32 and
        come as one array.

    Returns
    -------
    model : Model
        Metadata ``class_names`` holds the names of the classes where they have some.

    Raises
    ------
    InputError
        It is not fitted, or the columns must be told.
    UnsupportedOpError
        skl2onnx cannot convert it.

    Examples
    --------
    >>> read_sklearn(LogisticRegression().fit(x, y), Limits())  # doctest: +SKIP
    Model('ONNX(LogisticRegression)': X -> label, probabilities, 12 nodes)
    """
    try:
        skl2onnx = importlib.import_module("skl2onnx")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"loading a scikit-learn model needs skl2onnx ({error}): "
            "pip install 'trimtab[sklearn]'"
        ) from None
    types = _types(estimator, example_inputs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            proto = _convert(skl2onnx, estimator, types)
    except Exception as error:  # skl2onnx has a class of errors for each cause
        text = " ".join(str(error).split())[:600]
        raise UnsupportedOpError(
            f"skl2onnx cannot convert {type(estimator).__name__}: "
            f"{type(error).__name__}: {text}"
        ) from error
    model = read_onnx_message(proto, limits)
    model.format = "sklearn"
    for value in [*model.graph.inputs, *model.graph.outputs]:
        if value.shape and value.shape[0] is None:
            value.shape = (_BATCH, *value.shape[1:])
    return model


def _convert(skl2onnx: Any, estimator: Any, types: list[tuple[str, Any]]) -> Any:
    """Probabilities as a matrix, where the estimator's converter has the choice."""
    given = {"initial_types": types, "target_opset": _OPSETS}
    if hasattr(estimator, "classes_"):
        options = {id(estimator): {"zipmap": False}}
        with suppress(NameError):  # there is no such option
            return skl2onnx.convert_sklearn(estimator, options=options, **given)
    return skl2onnx.convert_sklearn(estimator, **given)


def _types(estimator: Any, example: Any) -> list[tuple[str, Any]]:
    """Inputs as skl2onnx wants them declared."""
    kinds = importlib.import_module("skl2onnx.common.data_types")
    if example is not None:
        columns = dict(_columns(example))
        return [
            (str(name), getattr(kinds, _kind(name, column))([None, 1]))
            for name, column in columns.items()
        ]
    n_features = getattr(estimator, "n_features_in_", None)
    if n_features is None:
        raise InputError(
            f"{type(estimator).__name__} does not say how many features it takes: fit "
            "it first, or pass example_inputs= with some rows of named columns"
        )
    names = _named_columns(estimator)
    if names:
        raise InputError(
            f"{type(estimator).__name__} takes columns by name ({names[:5]}...): pass "
            "load_model(estimator, example_inputs=frame) with some rows, or a dict of "
            "arrays by column, which tell their dtypes"
        )
    return [(_INPUT, kinds.FloatTensorType([None, int(n_features)]))]


def _columns(example: Any) -> Iterator[tuple[str, Any]]:
    """Name and values of each column of a frame or mapping."""
    if isinstance(example, (tuple, list)) and len(example) == 1:
        example = example[0]
    names = example if isinstance(example, Mapping) else getattr(example, "columns", ())
    for name in names:
        yield str(name), np.asarray(example[name])
    if not len(names):
        raise InputError(
            "example_inputs: expected a data frame or a dict of arrays by column, got "
            f"{type(example).__name__}"
        )


def _kind(name: str, column: Any) -> str:
    if column.dtype.kind not in _COLUMN_TYPES:
        raise InputError(f"column {name!r}: dtype {column.dtype} is not supported")
    return _COLUMN_TYPES[column.dtype.kind]


def _named_columns(estimator: Any) -> list[str]:
    """Names that a ColumnTransformer inside selects columns by."""
    waiting = [estimator]
    for part in waiting:  # grows while it is walked
        for _, step in getattr(part, "steps", ()):
            waiting.append(step)
        for _, _, columns in getattr(part, "transformers", ()):
            chosen = [columns] if isinstance(columns, str) else columns
            if isinstance(chosen, (list, tuple, np.ndarray)) and any(
                isinstance(name, str) for name in chosen
            ):
                return [str(name) for name in chosen]
    return []
