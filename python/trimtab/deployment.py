"""A model with what comes before and after it, as one thread-safe callable."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.model import Model
from trimtab.signature import check_inputs
from trimtab.types import Array

__all__ = ["Deployment", "deploy_model"]


class Deployment:
    """Preprocess, predict, postprocess; made by `deploy_model`.

    Any number of threads may call it. `preprocess_input` and `postprocess_output`
    run on the calling thread, so they must be thread-safe themselves.

    Examples
    --------
    >>> answer = trimtab.deploy_model(model)(x)            # doctest: +SKIP
    """

    def __init__(
        self,
        model: Model,
        preprocess_input: Callable[[Any], Any] | None,
        postprocess_output: Callable[[Any], Any] | None,
    ) -> None:
        self.model = model
        self.preprocess_input = preprocess_input
        self.postprocess_output = postprocess_output
        self._lock = threading.Lock()
        self._n_requests = 0
        self._n_errors = 0

    def _inputs(self, request: Any) -> dict[str, Array]:
        value = request
        if self.preprocess_input is not None:
            value = self.preprocess_input(request)
        names = [spec.name for spec in self.model.inputs]
        if not isinstance(value, Mapping):
            values = value if isinstance(value, tuple) else (value,)
            if len(values) != len(names):
                raise InputError(
                    f"the model has {len(names)} inputs {names}, got {len(values)}"
                )
            value = dict(zip(names, values, strict=True))
        return check_inputs(self.model.inputs, value)

    def _output(self, result: Any) -> Any:
        if self.postprocess_output is None:
            return result
        return self.postprocess_output(result)

    def _answer(self, inputs: dict[str, Array]) -> Any:
        return self._output(self.model(*inputs.values()))

    @contextmanager
    def _counted(self, n_requests: int) -> Iterator[None]:
        failed = True
        try:
            yield
            failed = False
        finally:
            with self._lock:
                self._n_requests += n_requests
                self._n_errors += n_requests * failed

    def __call__(self, request: Any) -> Any:
        """Answer one request.

        Parameters
        ----------
        request : object
            What `preprocess_input` takes; without it what the model takes: an
            array, a tuple of arrays in graph order, or a dict by input name.

        Returns
        -------
        answer : object
            What `postprocess_output` returns; without it what the model returns.

        Raises
        ------
        InputError
            The preprocessed input does not fit the model's signature.
        """
        with self._counted(1):
            return self._answer(self._inputs(request))

    def predict_batch(self, requests: Iterable[Any]) -> list[Any]:
        """Answer several requests at once, where the model has a batch dim.

        The preprocessed inputs are concatenated along axis 0, the model runs once,
        and the outputs are cut apart again in the same order. Where the first dim
        is fixed, or the inputs differ in shape, requests run one by one.

        Parameters
        ----------
        requests : iterable
            As for a single call; each has its batch dim (usually of size 1).

        Returns
        -------
        answers : list
        """
        requests = list(requests)
        with self._counted(len(requests)):
            batch = [self._inputs(request) for request in requests]
            if len(batch) < 2 or not self._can_batch(batch):
                return [self._answer(inputs) for inputs in batch]
            return [self._output(result) for result in self._run_joined(batch)]

    def _run_joined(self, batch: list[dict[str, Array]]) -> list[Any]:
        """One run for all; the result of each as a single call would give it."""
        sizes = [next(iter(inputs.values())).shape[0] for inputs in batch]
        ends = np.cumsum(sizes)[:-1]
        joined = [
            np.concatenate([inputs[name] for inputs in batch]) for name in batch[0]
        ]
        results = self.model(*joined)
        if not isinstance(results, tuple):
            return list(np.split(results, ends))
        return list(zip(*(np.split(result, ends) for result in results), strict=True))

    def _can_batch(self, batch: list[dict[str, Array]]) -> bool:
        """One symbol on axis 0 of all inputs and outputs, and equal other dims."""
        specs = [*self.model.inputs, *self.model.outputs]
        first = {spec.shape[0] if spec.shape else None for spec in specs}
        if len(first) != 1 or not isinstance(next(iter(first)), str):
            return False
        return all(
            inputs[name].shape[1:] == array.shape[1:]
            and inputs[name].dtype == array.dtype
            and inputs[name].shape[0] == next(iter(inputs.values())).shape[0]
            for inputs in batch
            for name, array in batch[0].items()
        )

    @property
    def stats(self) -> dict[str, int]:
        """Requests so far, and how many of them raised an exception."""
        with self._lock:
            return {"n_requests": self._n_requests, "n_errors": self._n_errors}

    def __repr__(self) -> str:
        """Give the three stages on one line."""
        stages = [
            getattr(self.preprocess_input, "__name__", None),
            self.model.name,
            getattr(self.postprocess_output, "__name__", None),
        ]
        return f"Deployment({' -> '.join(stage for stage in stages if stage)})"


def deploy_model(
    model: Model,
    *,
    preprocess_input: Callable[[Any], Any] | None = None,
    postprocess_output: Callable[[Any], Any] | None = None,
) -> Deployment:
    """Put a model into service: one callable for the whole way.

    Parameters
    ----------
    model : Model
        What `load_model` returned.
    preprocess_input : callable, optional
        Request -> what the model takes (array, tuple in graph order, or dict).
    postprocess_output : callable, optional
        What the model returns (array, or tuple of arrays) -> answer.

    Returns
    -------
    deployment : Deployment
        A callable; any number of threads may use it.

    Raises
    ------
    InputError
        A stage is not callable.

    Examples
    --------
    >>> import trimtab
    >>> model = trimtab.load_model("mnist.onnx")           # doctest: +SKIP
    >>> digit = trimtab.deploy_model(                      # doctest: +SKIP
    ...     model, postprocess_output=lambda y: int(y.argmax()))
    """
    for name, value in (
        ("preprocess_input", preprocess_input),
        ("postprocess_output", postprocess_output),
    ):
        if value is not None and not callable(value):
            raise InputError(f"{name} must be callable, got {type(value).__name__}")
    return Deployment(model, preprocess_input, postprocess_output)
