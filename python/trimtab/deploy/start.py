"""`deploy_model`: what it is given, made into a deployment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trimtab.deploy.batcher import Batcher, why_not_batched
from trimtab.deploy.deployment import Deployment
from trimtab.deploy.source import Source, Stages, registry_of
from trimtab.errors import InputError
from trimtab.model import Model
from trimtab.pipeline import Pipeline, StepLike
from trimtab.signature import require_tensors

if TYPE_CHECKING:
    from trimtab.registry.registry import Registry
    from trimtab.registry.version import ModelVersion

__all__ = ["deploy_model"]


def deploy_model(
    model: Model | str,
    *,
    preprocess_input: Sequence[StepLike] | StepLike | None = None,
    postprocess_output: Sequence[StepLike] | StepLike | None = None,
    name: str | None = None,
    counters: str | os.PathLike[str] | None = None,
    registry: Registry | str | os.PathLike[str] | None = None,
    alias: str = "champion",
    follow: bool = True,
    max_batch: int | None = None,
    max_delay_s: float = 0.002,
    max_queue: int = 256,
    deadline_s: float | None = None,
) -> Deployment:
    """Put a model into service: one callable for the whole way.

    Parameters
    ----------
    model : Model or str
        What `load_model` returned; or, of a registry, "digits", "digits@champion" or
        "digits/3".
    preprocess_input : callable, Step, or sequence of them, optional
        Request -> what the model takes (array, tuple in graph order, or dict). By
        default the steps that were stored with the model, if any; ``[]``: none.
    postprocess_output : callable, Step, or sequence of them, optional
        What the model returns (array, or tuple of arrays) -> answer. By default the
        steps that were stored with the model, if any.
    name : str, optional
        Under which it is counted and monitored; by default the model's.
    counters : path-like, optional
        A file in which all processes that name it count together, made if there is
        none (10 MB, on a local disk or in memory such as ``/dev/shm``). Counts outlive
        the processes, and a process that is killed loses none but the request in
        flight. By default the counters are in memory and a forked child's begin at
        zero.
    registry : Registry or path, optional
        Where versions come from. A model that is given as such becomes the first
        version of `name`.
    alias : str, default="champion"
        Which one serves, where `model` names neither an alias nor a version.
    follow : bool, default=True
        What the alias names is what serves, 100 ms after it changes. A version that is
        named by its number stays.
    max_batch : int, optional
        Rows: requests that come at the same time are run together, up to so many.
    max_delay_s : float, default=0.002
        That a request waits for others, at most.
    max_queue : int, default=256
        Requests that may wait; of further ones `OverloadedError` is raised.
    deadline_s : float, optional
        By then the model must have begun, or `DeadlineError` is raised; each request
        can say its own.

    Returns
    -------
    deployment : Deployment
        A callable; any number of threads may use it.

    Raises
    ------
    InputError
        A stage is not callable; `counters` is a file that something else wrote, that
        counts for another name, or that cannot be had; requests cannot be run together;
        the name has a champion already.
    RegistryError
        There is no such version, or it cannot be loaded.

    Examples
    --------
    >>> import trimtab
    >>> model = trimtab.load_model("mnist.onnx")           # doctest: +SKIP
    >>> digit = trimtab.deploy_model(                      # doctest: +SKIP
    ...     model, postprocess_output=lambda y: int(y.argmax()))
    >>> digit = trimtab.deploy_model("digits", registry="models")  # doctest: +SKIP
    """
    stages = Stages(preprocess_input, postprocess_output)
    opened = registry_of(registry, create=isinstance(model, Model))
    source, version, loaded = _found(model, opened, name, alias)
    pipeline = stages.around(loaded)
    require_tensors(pipeline.model, "deploy_model")
    if source is not None and version is None:
        version = _registered(source, pipeline)
    is_fixed = isinstance(model, str) and _is_fixed(model, alias)
    batcher = None
    if max_batch is not None:
        batcher = Batcher(max_batch, max_delay_s, max_queue)
        if why := why_not_batched(pipeline):
            raise InputError(
                f"max_batch: requests cannot be run together: {why}; leave it out"
            )
    return Deployment(
        pipeline,
        name=name or (None if source is None else source.name),
        counters=counters,
        stages=stages,
        source=source,
        version=version,
        follow=follow and not is_fixed,
        batcher=batcher,
        max_queue=max_queue,
        deadline_s=deadline_s,
    )


def _is_fixed(reference: str, alias: str) -> bool:
    """A number never changes; `latest` and `previous` are not followed."""
    from trimtab.registry.names import DERIVED, parse_reference

    address = parse_reference(reference)
    named = address.alias if "@" in reference else alias
    return address.version is not None or named in DERIVED


def _found(
    given: Any, registry: Registry | None, name: str | None, alias: str
) -> tuple[Source | None, ModelVersion | None, Model]:
    """The registry's part, the version if it is one, and the model."""
    if isinstance(given, Model):
        if registry is None:
            return None, None, given
        if name is None:
            raise InputError(
                "name: a model that goes into a registry needs one, such as 'digits'"
            )
        return Source(registry, name, alias), None, given
    if not isinstance(given, str):
        raise InputError(
            "model: expected what load_model returned, or a name in a registry, got "
            f"{type(given).__name__}"
        )
    if registry is None:
        raise InputError(
            f"model: {given!r:.80} is a name, and there is no registry: give one, or "
            "load the file with load_model first"
        )
    from trimtab.registry.names import parse_reference

    address = parse_reference(given)
    named = address.alias if "@" in given else alias
    source = Source(registry, address.name, str(named or alias))
    version = registry.get(given if address.version else source.reference)
    return source, version, version.load()


def _registered(source: Source, pipeline: Pipeline) -> ModelVersion:
    """Make a model the first version of its name."""
    registry, name = source.registry, source.name
    now = registry.alias(name, source.alias) if name in registry.names() else None
    if now is not None:
        raise InputError(
            f"{source.reference} is version {now.version} already: deploy that one, "
            f"deploy_model({source.reference!r}, registry=...), and bring the new "
            "model in by registry.register and registry.promote, or by update_model"
        )
    version = registry.register(name, pipeline.model, reason="deployed")
    registry.set_alias(name, source.alias, version, expected=None, reason="deployed")
    return version
