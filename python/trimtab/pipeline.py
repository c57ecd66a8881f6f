"""A model with what comes before and after it, as one thread-safe callable.

A step is declarative (a `Step`: it has a name and parameters, and can be stored with
the model) or any callable of one argument (which cannot).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from trimtab.errors import InputError, ModelFormatError, TrimtabError
from trimtab.processing import STEPS, make_step
from trimtab.processing.checks import check_description, describe
from trimtab.processing.step import Context, Step
from trimtab.signature import check_inputs, equal_axes
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["MAX_STEPS", "Pipeline"]

StepLike: TypeAlias = "Step | Callable[[Any], Any]"

#: What NumPy and Python raise at a value that a step did not expect.
_CANNOT_TAKE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
#: Steps of one stage, at most.
MAX_STEPS = 64


class Pipeline:
    """Preprocess, predict, postprocess.

    Any number of threads may call it; callables among the steps must allow that too.

    Parameters
    ----------
    preprocess : sequence of Step or callable, or one of them
        From a request to what the model takes: an array, a tuple of arrays in graph
        order, or a dict by input name.
    model : Model
    postprocess : sequence of Step or callable, or one of them
        From what the model returns to the answer.

    Raises
    ------
    InputError
        A step is neither a `Step` nor callable.

    Examples
    --------
    >>> import trimtab
    >>> from trimtab import steps
    >>> pipeline = trimtab.Pipeline(                       # doctest: +SKIP
    ...     [steps.DecodeImage(), *steps.imagenet()],
    ...     model,
    ...     [steps.Softmax(), steps.TopK(5, labels=labels)])
    >>> pipeline("cat.jpg")                                # doctest: +SKIP
    [Class(label='tabby', score=0.61), ...]
    """

    def __init__(
        self,
        preprocess: Sequence[StepLike] | StepLike | None,
        model: Model,
        postprocess: Sequence[StepLike] | StepLike | None = (),
    ) -> None:
        self.preprocess = _checked("preprocess", preprocess)
        self.model = model
        self.postprocess = _checked("postprocess", postprocess)
        self._names = tuple(spec.name for spec in model.inputs)
        self._equal_axes = equal_axes(model.inputs)

    # ---- running -----------------------------------------------------------

    def __call__(self, request: Any) -> Any:
        """Answer one request.

        Parameters
        ----------
        request : object
            What the first step takes; without steps what the model takes.

        Returns
        -------
        answer : object
            What the last step returns; without steps what the model returns.

        Raises
        ------
        InputError
            A step cannot take what came, or what the steps made does not fit the
            model's signature.
        """
        context: Context = {}
        values = self._values(request, context)
        return self._answer(self._predict(values, self.model), context)

    def predict_batch(self, requests: Iterable[Any]) -> list[Any]:
        """Answer several requests at once, where the model has a batch dim.

        The preprocessed inputs are concatenated along axis 0, the model runs once,
        and the outputs are cut apart again in the same order. Where the first dim
        is fixed, or the inputs differ in shape, requests run one by one.

        Parameters
        ----------
        requests : iterable
            As for a single call; each becomes inputs with a batch dim (usually of
            size 1).

        Returns
        -------
        answers : list
            Of each request, as a single call would give it.
        """
        requests = list(requests)
        contexts: list[Context] = [{} for _ in requests]
        batch = self._batch(requests, contexts)
        results = self._predict_batch(batch, self.model)
        return self._answers(results, contexts)

    # ---- its stages, which a deployment times ----------------------------------

    def _values(self, request: Any, context: Context) -> Sequence[Any]:
        """What the model takes, in graph order. Refuses what the engine would not."""
        value = request
        if self.preprocess:
            value = _apply("preprocess", self.preprocess, request, context)
        if type(value) is np.ndarray and len(self._names) == 1:
            return (value,)
        values: Sequence[Any] = value
        if type(value) is not tuple:
            values = self._in_order(value) if isinstance(value, Mapping) else (value,)
        if len(values) != len(self._names):
            raise InputError(
                f"the model has {len(self._names)} inputs {list(self._names)}, got "
                f"{len(values)}"
            )
        for each in values:
            if type(each) is not np.ndarray:
                return self._checked_values(values)
        for i, axis, j, other in self._equal_axes:
            if values[i].shape[axis : axis + 1] != values[j].shape[other : other + 1]:
                return self._checked_values(values)
        return values

    def _in_order(self, inputs: Mapping[str, Any]) -> Sequence[Any]:
        if len(inputs) == len(self._names):
            try:
                return [inputs[name] for name in self._names]
            except KeyError:
                pass
        return tuple(check_inputs(self.model.inputs, inputs).values())

    def _checked_values(self, values: Sequence[Any]) -> Sequence[Array]:
        inputs = dict(zip(self._names, values, strict=True))
        return tuple(check_inputs(self.model.inputs, inputs).values())

    def _predict(self, values: Sequence[Any], run: Callable[..., Any]) -> Any:
        """Run the model; what the engine refuses is told in terms of the signature."""
        try:
            return run(*values)
        except InputError as error:
            try:
                self._checked_values(values)
            except InputError as better:
                raise better from error
            raise

    def _answer(self, result: Any, context: Context) -> Any:
        if not self.postprocess:
            return result
        return _apply("postprocess", self.postprocess, result, context)

    def _batch(
        self, requests: Sequence[Any], contexts: Sequence[Context]
    ) -> list[dict[str, Array]]:
        """What the model takes, by name, of each request."""
        return [
            dict(
                zip(
                    self._names,
                    self._checked_values(self._values(request, context)),
                    strict=True,
                )
            )
            for request, context in zip(requests, contexts, strict=True)
        ]

    def _predict_batch(
        self, batch: list[dict[str, Array]], run: Callable[..., Any]
    ) -> list[Any]:
        if len(batch) < 2 or not self._can_batch(batch):
            return [self._predict(tuple(inputs.values()), run) for inputs in batch]
        return self._run_joined(batch, run)

    def _answers(self, results: list[Any], contexts: list[Context]) -> list[Any]:
        return [
            self._answer(result, context)
            for result, context in zip(results, contexts, strict=True)
        ]

    def _run_joined(
        self, batch: list[dict[str, Array]], run: Callable[..., Any]
    ) -> list[Any]:
        """One run for all; the result of each as a single call would give it."""
        sizes = [next(iter(inputs.values())).shape[0] for inputs in batch]
        ends = np.cumsum(sizes)[:-1]
        joined = [
            np.concatenate([inputs[name] for inputs in batch]) for name in batch[0]
        ]
        results = run(*joined)
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

    def fuse(self) -> Pipeline:
        """Move normalisation and layout of pictures into the model.

        Where the last steps before the model are `Normalize`, `Layout` and
        `AddBatch`, the model of the result takes the picture's bytes as they are
        (uint8, NHWC); scaling goes into the weights of its first convolution where
        that is exact. Answers are equal but for rounding.

        Returns
        -------
        pipeline : Pipeline
            Itself where there is nothing to move.
        """
        from trimtab.processing.fuse import fuse_pipeline

        return fuse_pipeline(self)

    # ---- storing -----------------------------------------------------------

    @property
    def not_portable(self) -> list[str]:
        """Names of the steps that an artefact cannot hold: Python callables, and steps
        that are not in the table `trimtab.processing.STEPS`."""
        return [
            _name(step)
            for step in [*self.preprocess, *self.postprocess]
            if not (isinstance(step, Step) and _is_in_table(step))
        ]

    def to_config(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Describe the steps as an artefact stores them.

        Returns
        -------
        config : dict
            ``{"preprocess": [{"kind": ..., "parameters": ...}, ...], "postprocess":
            ...}``, which JSON can hold.
        assets : dict of str to bytes
            Files of the steps, by ``stage/position/field``.

        Raises
        ------
        InputError
            A step is not portable, or there is more than an artefact may hold.
        """
        if self.not_portable:
            raise InputError(
                "steps that are not trimtab's own cannot be stored: "
                f"{self.not_portable}; write them with trimtab.steps"
            )
        config: dict[str, Any] = {}
        assets: dict[str, bytes] = {}
        stages = {"preprocess": self.preprocess, "postprocess": self.postprocess}
        for stage, steps in stages.items():
            config[stage] = []
            for position, step in enumerate(steps):
                assert isinstance(step, Step)
                parameters, files = step.config()
                config[stage].append({"kind": step.kind, "parameters": parameters})
                for field, content in files.items():
                    assets[f"{stage}/{position}/{field}"] = content
        check_description(config, assets)
        return config, assets

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], assets: Mapping[str, bytes], model: Model
    ) -> Pipeline:
        """Make a pipeline from what `to_config` gave.

        Parameters
        ----------
        config : mapping
        assets : mapping of str to bytes
        model : Model

        Returns
        -------
        pipeline : Pipeline

        Raises
        ------
        ModelFormatError
            The description is malformed, too large, or names a step that there is
            not.
        """
        if not isinstance(config, Mapping):
            raise ModelFormatError(f"steps: expected a dict, got {describe(config)}")
        if unknown := sorted(map(str, config.keys() - {"preprocess", "postprocess"})):
            raise ModelFormatError(f"steps: there is no stage {unknown[0]!r:.60}")
        try:
            check_description(config, assets)
        except InputError as error:
            raise ModelFormatError(str(error)) from None
        left = dict(assets)
        pipeline = cls(
            _steps(config, left, "preprocess"),
            model,
            _steps(config, left, "postprocess"),
        )
        if left:
            raise ModelFormatError(f"steps: no step has the file {min(left)!r:.60}")
        return pipeline

    # ---- looking -----------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        """Equal steps around the same model."""
        if type(other) is not type(self):
            return NotImplemented
        return (self.preprocess, self.postprocess) == (
            other.preprocess,
            other.postprocess,
        ) and self.model is other.model

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash((self.preprocess, self.postprocess, id(self.model)))

    def __repr__(self) -> str:
        """One line for each step."""
        before = [f"  {_text(step)}" for step in self.preprocess]
        after = [f"  {_text(step)}" for step in self.postprocess]
        return "\n".join(["Pipeline", *before, f"  -> {self.model.name}", *after])

    def _repr_html_(self) -> str:
        from trimtab.report import html_table

        rows = [("before", _text(step)) for step in self.preprocess]
        rows += [("model", self.model.name)]
        rows += [("after", _text(step)) for step in self.postprocess]
        return html_table(["", "step"], rows)


def _name(step: Any) -> str:
    name: str = getattr(step, "__name__", type(step).__name__)
    return name


def _is_in_table(step: Step) -> bool:
    place = f"{type(step).__module__.rpartition('.')[2]}:{type(step).__name__}"
    return STEPS.get(step.kind) == place


def _text(step: Any) -> str:
    """A step in one line; files and long lists of labels are counted."""
    if not isinstance(step, Step):
        return f"{_name(step)}()"
    values = {field.name: getattr(step, field.name) for field in fields(step)}
    texts = (f"{name}={_short(value)}" for name, value in values.items())
    return f"{type(step).__name__}({', '.join(texts)})"


def _short(value: Any) -> str:
    if isinstance(value, bytes) or (isinstance(value, tuple) and len(value) > 8):
        return f"<{len(value)} {'bytes' if isinstance(value, bytes) else 'items'}>"
    return f"{value!r:.80}"


def _checked(stage: str, steps: Any) -> tuple[StepLike, ...]:
    if steps is None:
        return ()
    if callable(steps):
        steps = (steps,)
    if not isinstance(steps, Sequence) or isinstance(steps, str | bytes):
        raise InputError(
            f"{stage} must be callable, or a list of steps, got {describe(steps)}"
        )
    if len(steps) > MAX_STEPS:
        raise InputError(f"{stage}: at most {MAX_STEPS} steps, got {len(steps)}")
    for position, step in enumerate(steps):
        if isinstance(step, type) and issubclass(step, Step):
            raise InputError(f"{stage}[{position}]: write {step.__name__}(...)")
        if not callable(step):
            raise InputError(
                f"{stage}[{position}]: a step must be a Step or callable, got "
                f"{describe(step)}"
            )
    return tuple(steps)


def _apply(stage: str, steps: Sequence[StepLike], value: Any, context: Context) -> Any:
    for position, step in enumerate(steps):
        if not isinstance(step, Step):
            value = step(value)
            continue
        try:
            value = step(value, context)
        except TrimtabError as error:
            where = f"{stage}[{position}] ({step.kind})"
            raise type(error)(f"{where}: {error}") from error
        except _CANNOT_TAKE as error:
            raise InputError(
                f"{stage}[{position}] ({step.kind}): cannot take "
                f"{describe(value)}: {error}"
            ) from error
    return value


def _steps(
    config: Mapping[str, Any], assets: dict[str, bytes], stage: str
) -> list[Step]:
    """Steps of a stage; their files are taken out of `assets`."""
    entries = config.get(stage, [])
    if not isinstance(entries, list) or len(entries) > MAX_STEPS:
        raise ModelFormatError(f"{stage}: expected a list of at most {MAX_STEPS} steps")
    steps = []
    for position, entry in enumerate(entries):
        where = f"{stage}[{position}]"
        if not (
            isinstance(entry, dict)
            and isinstance(entry.get("kind"), str)
            and isinstance(entry.get("parameters"), dict)
        ):
            raise ModelFormatError(f"{where}: expected kind and parameters")
        prefix = f"{stage}/{position}/"
        names = [name for name in assets if name.startswith(prefix)]
        files = {name.removeprefix(prefix): assets.pop(name) for name in names}
        try:
            steps.append(make_step(entry["kind"], entry["parameters"], files))
        except ModelFormatError as error:
            raise ModelFormatError(f"{where}: {error}") from None
    return steps
