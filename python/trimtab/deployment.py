"""A pipeline in service: counted, and made in one line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from trimtab.errors import InputError
from trimtab.model import Model
from trimtab.pipeline import Pipeline, StepLike
from trimtab.processing.step import Step

__all__ = ["Deployment", "deploy_model"]


class Deployment:
    """Preprocess, predict, postprocess; made by `deploy_model`.

    Any number of threads may call it. Steps run on the calling thread, so callables
    among them must be thread-safe themselves.

    Examples
    --------
    >>> answer = trimtab.deploy_model(model)(x)            # doctest: +SKIP
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._lock = threading.Lock()
        self._n_requests = 0
        self._n_errors = 0

    @property
    def model(self) -> Model:
        """The model in the middle."""
        return self.pipeline.model

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
            What the first step takes; without steps what the model takes: an
            array, a tuple of arrays in graph order, or a dict by input name.

        Returns
        -------
        answer : object
            What the last step returns; without steps what the model returns.

        Raises
        ------
        InputError
            The preprocessed input does not fit the model's signature.
        """
        with self._counted(1):
            return self.pipeline(request)

    def predict_batch(self, requests: Iterable[Any]) -> list[Any]:
        """Answer several requests at once; see `Pipeline.predict_batch`.

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
            return self.pipeline.predict_batch(requests)

    @property
    def stats(self) -> dict[str, int]:
        """Requests so far, and how many of them raised an exception."""
        with self._lock:
            return {"n_requests": self._n_requests, "n_errors": self._n_errors}

    def __repr__(self) -> str:
        """Give the stages on one line."""
        before, after = (
            [s.kind if isinstance(s, Step) else _name(s) for s in stage]
            for stage in (self.pipeline.preprocess, self.pipeline.postprocess)
        )
        return f"Deployment({' -> '.join([*before, self.model.name, *after])})"


def _name(step: Callable[..., Any]) -> str:
    name: str = getattr(step, "__name__", type(step).__name__)
    return name


def deploy_model(
    model: Model,
    *,
    preprocess_input: Sequence[StepLike] | StepLike | None = None,
    postprocess_output: Sequence[StepLike] | StepLike | None = None,
) -> Deployment:
    """Put a model into service: one callable for the whole way.

    Parameters
    ----------
    model : Model
        What `load_model` returned.
    preprocess_input : callable, Step, or sequence of them, optional
        Request -> what the model takes (array, tuple in graph order, or dict). By
        default the steps that were stored with the model, if any; ``[]``: none.
    postprocess_output : callable, Step, or sequence of them, optional
        What the model returns (array, or tuple of arrays) -> answer. By default the
        steps that were stored with the model, if any.

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
    stored = model.pipeline
    stages = []
    for name, stage, value in (
        ("preprocess_input", "preprocess", preprocess_input),
        ("postprocess_output", "postprocess", postprocess_output),
    ):
        if value is None:
            stages.append(() if stored is None else getattr(stored, stage))
        elif callable(value) or isinstance(value, Sequence):
            stages.append(value)
        else:
            raise InputError(
                f"{name} must be callable or a list of steps, got "
                f"{type(value).__name__}"
            )
    return Deployment(Pipeline(stages[0], model, stages[1]))
