"""Where versions come from: a registry and an alias, or what a caller hands over."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.errors import InputError, SwapError
from trimtab.model import Model
from trimtab.pipeline import Pipeline, StepLike

if TYPE_CHECKING:
    from trimtab.registry.registry import Registry
    from trimtab.registry.version import ModelVersion

__all__ = ["Source", "Stages", "load_like", "refusal", "registry_of"]


@dataclass(frozen=True)
class Source:
    """A name in a registry, and the alias that is followed.

    Parameters
    ----------
    registry : Registry
    name, alias : str
    """

    registry: Registry
    name: str
    alias: str

    @property
    def reference(self) -> str:
        """What is followed: ``digits@champion``."""
        return f"{self.name}@{self.alias}"

    def get(self, wanted: Any) -> ModelVersion:
        """Find a version of the name.

        Parameters
        ----------
        wanted : int, str or ModelVersion

        Returns
        -------
        version : ModelVersion

        Raises
        ------
        InputError
            It is one of another model.
        """
        found = self.registry.get(
            f"{self.name}/{wanted}" if isinstance(wanted, int) else wanted
        )
        if found.name != self.name:
            raise InputError(
                f"expected a version of {self.name!r}, got {found}: deploy the other "
                "model by itself"
            )
        return found


@dataclass(frozen=True)
class Stages:
    """Steps before and after every version that is deployed.

    Parameters
    ----------
    preprocess, postprocess : sequence of Step or callable, or None
        None: those that are stored with each version.
    """

    preprocess: Sequence[StepLike] | StepLike | None = None
    postprocess: Sequence[StepLike] | StepLike | None = None

    def around(self, model: Model) -> Pipeline:
        """Put the steps around a model.

        Parameters
        ----------
        model : Model

        Returns
        -------
        pipeline : Pipeline

        Raises
        ------
        InputError
            A stage is not callable.
        """
        stored = model.pipeline
        stages = []
        for argument, stage, value in (
            ("preprocess_input", "preprocess", self.preprocess),
            ("postprocess_output", "postprocess", self.postprocess),
        ):
            if value is None:
                stages.append(() if stored is None else getattr(stored, stage))
            elif callable(value) or isinstance(value, Sequence):
                stages.append(value)
            else:
                raise InputError(
                    f"{argument} must be callable or a list of steps, got "
                    f"{type(value).__name__}"
                )
        return Pipeline(stages[0], model, stages[1])


def registry_of(given: Any, *, create: bool = False) -> Registry | None:
    """Take a registry, or open one.

    Parameters
    ----------
    given : Registry, path or None
    create : bool, default=False
        Make the folder where it is not there.

    Returns
    -------
    registry : Registry or None

    Raises
    ------
    InputError
        It is none of these.

    Examples
    --------
    >>> registry_of(None) is None
    True
    """
    from trimtab.registry.registry import Registry

    if given is None or isinstance(given, Registry):
        return given
    if isinstance(given, (str, os.PathLike)):
        return Registry(given, create=create)
    raise InputError(
        f"registry: expected a trimtab.Registry or its folder, got {given!r:.80}"
    )


def load_like(version: ModelVersion, like: Model | None) -> Model:
    """Load a version as the one that serves was loaded.

    Parameters
    ----------
    version : ModelVersion
    like : Model or None

    Returns
    -------
    model : Model

    Raises
    ------
    SwapError
        It cannot be loaded, for whatever reason.

    Examples
    --------
    >>> load_like(registry.get("digits/4"), deployment.model)  # doctest: +SKIP
    """
    options: dict[str, Any] = {}
    if like is not None:
        before = like._options
        options = {
            "threads": before.threads,
            "device": before.device,
            "limits": before.limits,
            "fallback": before.fallback,
        }
    try:
        return version.load(**options)
    except Exception as error:  # a loader may do whatever it likes
        raise refusal(
            str(version), [f"it cannot be loaded: {type(error).__name__}: {error}"]
        ) from error


def refusal(what: str, reasons: Sequence[str]) -> SwapError:
    """Make the error that says why a candidate does not serve.

    Parameters
    ----------
    what : str
        Which one.
    reasons : sequence of str

    Returns
    -------
    error : SwapError

    Examples
    --------
    >>> refusal("digits/4", ["it is broken"]).reasons
    ('it is broken',)
    """
    error = SwapError(
        f"{what} does not replace what serves: {'; '.join(reasons)}. What served "
        "before serves on"
    )
    error.reasons = tuple(reasons)
    return error
