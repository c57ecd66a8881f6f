"""A model with declarative steps before and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from trimtab.errors import InputError, ModelFormatError
from trimtab.processing import make_step
from trimtab.processing.step import Context, Step

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["Pipeline"]

StepLike: TypeAlias = "Step | Callable[[Any], Any]"


class Pipeline:
    """Preprocess, predict, postprocess.

    Parameters
    ----------
    preprocess : sequence of Step or callable
        From a request to what the model takes: an array, a tuple of arrays in graph
        order, or a dict by input name.
    model : Model
    postprocess : sequence of Step or callable
        From what the model returns to the answer.

    Raises
    ------
    InputError
        A step is neither a `Step` nor callable.

    Examples
    --------
    >>> from trimtab.processing.steps_class import Softmax
    >>> pipeline = Pipeline([], model, [Softmax()])        # doctest: +SKIP
    >>> pipeline(x)                                        # doctest: +SKIP
    """

    def __init__(
        self,
        preprocess: Sequence[StepLike],
        model: Model,
        postprocess: Sequence[StepLike] = (),
    ) -> None:
        for step in [*preprocess, *postprocess]:
            if not callable(step):
                raise InputError(
                    f"a step must be a Step or callable, got {type(step).__name__}"
                )
        self.preprocess = tuple(preprocess)
        self.model = model
        self.postprocess = tuple(postprocess)

    def __call__(self, request: Any) -> Any:
        """Answer one request.

        Parameters
        ----------
        request : object
            What the first step takes.

        Returns
        -------
        answer : object
            What the last step returns.
        """
        context: Context = {}
        value = _apply(self.preprocess, request, context)
        if isinstance(value, Mapping):
            result = self.model(**value)
        else:
            result = self.model(*(value if isinstance(value, tuple) else (value,)))
        return _apply(self.postprocess, result, context)

    @property
    def not_portable(self) -> list[str]:
        """Names of the steps that an artefact cannot hold: Python callables."""
        return [
            getattr(step, "__name__", type(step).__name__)
            for step in [*self.preprocess, *self.postprocess]
            if not isinstance(step, Step)
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
            A step is a Python callable.
        """
        if self.not_portable:
            raise InputError(
                f"steps that are Python functions cannot be stored: {self.not_portable}"
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
            The description is malformed, or names a step that there is not.
        """
        return cls(
            _steps(config, assets, "preprocess"),
            model,
            _steps(config, assets, "postprocess"),
        )


def _apply(steps: Sequence[StepLike], value: Any, context: Context) -> Any:
    for step in steps:
        value = step(value, context) if isinstance(step, Step) else step(value)
    return value


def _steps(
    config: Mapping[str, Any], assets: Mapping[str, bytes], stage: str
) -> list[Step]:
    entries = config.get(stage, [])
    if not isinstance(entries, list):
        raise ModelFormatError(f"{stage}: expected a list of steps")
    steps = []
    for position, entry in enumerate(entries):
        if not (
            isinstance(entry, dict)
            and isinstance(entry.get("kind"), str)
            and isinstance(entry.get("parameters"), dict)
        ):
            raise ModelFormatError(f"{stage}[{position}]: expected kind and parameters")
        prefix = f"{stage}/{position}/"
        files = {
            name.removeprefix(prefix): content
            for name, content in assets.items()
            if name.startswith(prefix)
        }
        steps.append(make_step(entry["kind"], entry["parameters"], files))
    return steps
