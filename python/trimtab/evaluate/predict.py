"""Anything that answers, as one function of a batch.

Enters: a model, a pipeline, a deployment, a path, an estimator or a callable. Leaves:
a `Predictor`: inputs of some samples -> one output with a leading dim of samples,
timed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluate.data import take
from trimtab.types import Array

__all__ = ["Predictor", "latency_of", "make_predictor"]

# Samples of a call where nothing else says: a model's memory grows with them, and a
# callable's overhead shrinks.
_N_MODEL, _N_CALLABLE = 32, 1024


class Predictor:
    """One that answers batches.

    Parameters
    ----------
    name : str
        What reports call it.
    call : callable
        (inputs, n) -> output, tuple or dict of outputs, or list of answers.
    batch_size : int
        Samples that a call takes at most by default.
    max_size : int, optional
        Samples that a call takes at most: larger batches are cut.
    input_names : tuple of str, optional
        Inputs of the model, where it says.
    output : str or int, optional
        Which output counts; by default the first one, or that of the scores where a
        classifier gives classes and scores.
    classes : sequence, optional
        Values of the classes, in the order of the scores.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[Any, int], Any],
        *,
        batch_size: int = _N_CALLABLE,
        max_size: int | None = None,
        input_names: tuple[str, ...] | None = None,
        output: str | int | None = None,
        classes: Sequence[Any] | None = None,
    ) -> None:
        self.name = name
        self.batch_size = max_size or batch_size
        self.max_size = max_size
        self.input_names = input_names
        self.classes = classes
        self.seconds: list[float] = []
        self.n_samples = 0
        self.note = ""
        self._call = call
        self._output = output

    def __call__(self, inputs: Any, n: int) -> Array:
        """Answer a batch.

        Parameters
        ----------
        inputs : array, sequence, tuple or dict of these
        n : int
            Samples in it.

        Returns
        -------
        output : ndarray
            Of shape (n, ...).

        Raises
        ------
        InputError
            The answer does not have a row for each sample.
        """
        step = self.max_size or n
        if step >= n:
            return self._answer(inputs, n)
        parts = [(i, min(i + step, n)) for i in range(0, n, step)]
        return np.concatenate(
            [self._answer(take(inputs, *p), p[1] - p[0]) for p in parts]
        )

    def _answer(self, inputs: Any, n: int) -> Array:
        begin = time.perf_counter()
        result = self._call(inputs, n)
        self.seconds.append(time.perf_counter() - begin)
        self.n_samples += n
        output = _as_array(self._chosen(result), n)
        if output.ndim == 0 or len(output) != n:
            raise InputError(
                f"{self.name}: gave shape {list(output.shape)} for {n} samples: "
                "expected a leading dim of samples"
            )
        return output

    def _chosen(self, result: Any) -> Any:
        """One output of several."""
        if isinstance(result, Mapping):
            names, values = list(result), list(result.values())
        elif isinstance(result, tuple):
            names, values = list(range(len(result))), list(result)
        else:
            return result
        if not values:
            raise InputError(f"{self.name}: gave no output")
        if self._output is not None:
            by_number = dict(enumerate(values))
            found = {**by_number, **dict(zip(names, values, strict=True))}
            if self._output not in found:
                raise InputError(
                    f"output: expected one of {names}, got {self._output!r}"
                )
            return found[self._output]
        first = np.asarray(values[0])
        if len(values) > 1 and first.dtype.kind in "iuU" and first.ndim <= 1:
            for name, value in zip(names[1:], values[1:], strict=True):
                scores = np.asarray(value)
                if scores.dtype.kind == "f" and scores.ndim == 2:
                    self.note = (
                        f"scores are taken from output {name!r}; output {names[0]!r} "
                        "holds classes"
                    )
                    return value
        return values[0]


def latency_of(predictors: Sequence[Predictor]) -> dict[str, float]:
    """Sum up the time that answers took.

    Parameters
    ----------
    predictors : sequence of Predictor

    Returns
    -------
    latency : dict of str to float
        ``total_s``, ``n_calls``, ``batch_size`` on average, ``median_ms`` and
        ``p95_ms`` of a call, ``samples_per_s``.

    Examples
    --------
    >>> latency_of([])["n_calls"]
    0
    """
    seconds = np.array([s for predictor in predictors for s in predictor.seconds])
    n_samples = sum(predictor.n_samples for predictor in predictors)
    total, n_calls = float(seconds.sum()), len(seconds)
    return {
        "total_s": total,
        "n_calls": n_calls,
        "batch_size": n_samples / max(n_calls, 1),
        "median_ms": float(np.median(seconds)) * 1e3 if n_calls else 0.0,
        "p95_ms": float(np.quantile(seconds, 0.95)) * 1e3 if n_calls else 0.0,
        "samples_per_s": n_samples / total if total > 0 else 0.0,
    }


def _as_array(value: Any, n: int) -> Array:
    """Outputs as an array: numbers, texts, or objects where they are ragged."""
    if isinstance(value, list) and len(value) == n and n:
        value = [_plain_answer(answer) for answer in value]
        if isinstance(value[0], np.ndarray):
            if len({answer.shape for answer in value}) == 1:
                return np.stack(value)
            return _objects(value)
        if isinstance(value[0], Mapping):
            return _objects(value)
    try:
        return np.asarray(value)
    except (ValueError, TypeError):
        return _objects(list(value))


def _objects(values: Sequence[Any]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _plain_answer(answer: Any) -> Any:
    """A pipeline's answer to one request: without its batch dim; the best class."""
    if isinstance(answer, np.ndarray):
        return answer[0] if answer.ndim and len(answer) == 1 else answer
    if isinstance(answer, list | tuple) and answer and hasattr(answer[0], "index"):
        index = getattr(answer[0], "index", None)
        return index if isinstance(index, int) else answer
    return answer


# ---- making -------------------------------------------------------------------------


def _of_model(model: Any, output: str | int | None) -> Predictor:
    names = tuple(spec.name for spec in model.inputs)
    sizes = [spec.shape[0] for spec in model.inputs if spec.shape]
    fixed = next((size for size in sizes if isinstance(size, int)), None)
    # A model that does not say what it takes gets one sample at a time.
    is_open = all(spec.shape is not None for spec in model.inputs)

    def call(inputs: Any, n: int) -> Any:
        arrays = _by_name(inputs, names)
        short = (fixed or n) - n
        if short:
            arrays = {name: _filled(array, short) for name, array in arrays.items()}
        result = model.run(arrays)
        return {name: _cut(array, n, short) for name, array in result.items()}

    return Predictor(
        model.name,
        call,
        batch_size=_N_MODEL,
        max_size=fixed or (None if is_open else 1),
        input_names=names,
        output=output,
    )


def _by_name(inputs: Any, names: tuple[str, ...]) -> dict[str, Array]:
    if isinstance(inputs, Mapping):
        given = dict(inputs)
        if set(given) != set(names):
            raise InputError(f"the inputs are {list(names)}, got {sorted(given)}")
    else:
        values = inputs if isinstance(inputs, tuple) else (inputs,)
        if len(values) != len(names):
            raise InputError(
                f"the model has {len(names)} inputs {list(names)}, got {len(values)}"
            )
        given = dict(zip(names, values, strict=True))
    return {name: np.asarray(value) for name, value in given.items()}


def _filled(array: Array, n: int) -> Array:
    """Fill a fixed batch up with its last sample."""
    if array.ndim == 0:
        return array
    return np.concatenate([array, np.repeat(array[-1:], n, axis=0)])


def _cut(array: Array, n: int, short: int) -> Array:
    return array[:n] if short and array.ndim and len(array) == n + short else array


def _of_pipeline(pipeline: Any, output: str | int | None) -> Predictor:
    inner = getattr(pipeline, "pipeline", pipeline)
    takes_one = bool(inner.preprocess)  # a request without a dim of samples

    def call(inputs: Any, n: int) -> Any:
        pieces = [take(inputs, i, i + 1) for i in range(n)]
        if takes_one:
            pieces = [piece[0] for piece in pieces]
        answers = pipeline.predict_batch(pieces)
        if answers and isinstance(answers[0], tuple) and output is not None:
            answers = [answer[int(output)] for answer in answers]
        elif answers and isinstance(answers[0], tuple):
            answers = [answer[0] for answer in answers]
        return answers

    names = None if takes_one else tuple(spec.name for spec in inner.model.inputs)
    return Predictor(inner.model.name, call, batch_size=_N_MODEL, input_names=names)


def _of_estimator(estimator: Any, output: str | int | None) -> Predictor:
    answer = getattr(estimator, "predict_proba", None) or estimator.predict
    classes = getattr(estimator, "classes_", None)
    return Predictor(
        type(estimator).__name__,
        lambda inputs, n: answer(inputs),
        output=output,
        classes=None if classes is None else list(classes),
    )


def make_predictor(model: Any, *, output: str | int | None = None) -> Predictor:
    """Take anything that answers.

    Parameters
    ----------
    model : Model, Pipeline, Deployment, path, estimator or callable
        A callable takes the inputs of a batch as the data has them.
    output : str or int, optional
        Which output counts, where there are several.

    Returns
    -------
    predictor : Predictor

    Raises
    ------
    InputError
        It does not answer anything.

    Examples
    --------
    >>> make_predictor(lambda x: x > 0)(np.array([1.0, -1.0]), 2)
    array([ True, False])
    """
    if isinstance(model, str | os.PathLike):
        from trimtab.load import load_model

        model = load_model(model)
    if hasattr(model, "run") and hasattr(model, "inputs"):
        return _of_model(model, output)
    if hasattr(model, "predict_batch"):
        return _of_pipeline(model, output)
    if hasattr(model, "predict") and not callable(model):
        return _of_estimator(model, output)
    if callable(model):
        name = getattr(model, "__name__", type(model).__name__)
        return Predictor(name, lambda inputs, n: model(inputs), output=output)
    raise InputError(
        "model: expected a Model, Pipeline, Deployment, path, estimator or callable, "
        f"got {type(model).__name__}"
    )
