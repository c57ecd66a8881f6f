"""Where a proven model goes: into a registry, and from there into service."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.errors import InputError

if TYPE_CHECKING:
    from trimtab.model import Model
    from trimtab.registry.alias import Alias
    from trimtab.registry.registry import Registry
    from trimtab.registry.version import ModelVersion

__all__ = ["Place", "find_place"]


@dataclass(frozen=True, eq=False)
class Place:
    """A model's name in a registry, and what its alias named when the update began.

    Parameters
    ----------
    registry : Registry
    name, alias : str
    before : Alias or None
        An alias that is another one by then has been moved by somebody else.
    deployment : Deployment or None
        That serves it.
    """

    registry: Registry
    name: str
    alias: str
    before: Alias | None
    deployment: Any = None

    @property
    def parent(self) -> ModelVersion | None:
        """The version that serves."""
        if self.before is None:
            return None
        return self.registry.get(f"{self.name}/{self.before.version}")

    def register(
        self,
        model: Model,
        *,
        fingerprint: str,
        metrics: Mapping[str, Any],
        metadata: Mapping[str, str],
        reason: str,
    ) -> ModelVersion:
        """Add the model, with where it comes from, as the challenger.

        Parameters
        ----------
        model : trimtab.Model
        fingerprint : str
            Of the rows that it learned from.
        metrics : mapping
        metadata : mapping of str to str
        reason : str

        Returns
        -------
        version : ModelVersion
        """
        version = self.registry.register(
            self.name,
            model,
            parent=self.parent,
            data_fingerprint=fingerprint,
            metrics=metrics,
            metadata=metadata,
            reason=reason,
        )
        self.registry.set_alias(self.name, "challenger", version, reason=reason)
        return version

    def promote(self, version: ModelVersion, reason: str) -> None:
        """Let the alias name it, unless somebody was faster; then let it serve.

        Parameters
        ----------
        version : ModelVersion
        reason : str

        Raises
        ------
        RegistryConflict
            The alias has been moved since the update began.
        """
        from trimtab.rollout.direct import promote_model

        promote_model(self.deployment, version, reason=reason, expected=self.before)

    def serve(
        self,
        version: ModelVersion,
        reason: str,
        *,
        rollout: Any = None,
        labels: Any = None,
    ) -> tuple[str, tuple[str, ...], Any]:
        """Let it serve, step by step where that is wanted, if somebody serves.

        Parameters
        ----------
        version : ModelVersion
        reason : str
        rollout : Rollout, optional
        labels : callable or mapping, optional
            Of live requests, for the rollout.

        Returns
        -------
        state : str
            "PROMOTED", "ROLLED_BACK", or "READY" where nobody serves.
        reasons : tuple of str
            Of the rollout.
        result : RolloutResult or None

        Raises
        ------
        RegistryConflict
            The alias has been moved since the update began.
        """
        if rollout is not None:
            went = rollout.run(self.deployment, version.version, labels=labels)
            state = "PROMOTED" if went.state == "PROMOTED" else "ROLLED_BACK"
            return state, tuple(went.reasons), went
        if self.deployment is None:
            return "READY", (), None
        self.promote(version, reason)
        return "PROMOTED", (), None


def find_place(target: Any, registry: Any) -> tuple[Any, Place | None]:
    """Say where an update of a target would go.

    Parameters
    ----------
    target : Deployment, Pipeline, Model, path or reference
        A reference as "digits@champion" is looked up in `registry`.
    registry : Registry, path or None
        By default that of the deployment.

    Returns
    -------
    target : Deployment, Pipeline, Model or path
    place : Place or None
        None: no registry is there.

    Raises
    ------
    InputError
        With this registry nobody knows the model's name.

    Examples
    --------
    >>> find_place("digits@champion", "models")            # doctest: +SKIP
    (Model(...), Place(...))
    """
    from trimtab.registry.registry import Registry

    if isinstance(registry, str | os.PathLike):
        registry = Registry(registry, create=False)
    own = getattr(target, "registry", None)
    found = own if registry is None else registry
    if found is None:
        return target, None
    if not isinstance(found, Registry):
        raise InputError(
            f"registry: expected a Registry or its folder, got {type(found).__name__}"
        )
    if own is not None:
        alias = target.alias or "champion"
        name = target.registered_name
        if name not in found.names():
            raise InputError(
                f"the registry has no model {name!r}: it has {found.names()}"
            )
        return target, Place(found, name, alias, found.alias(name, alias), target)
    if not isinstance(target, str) or os.path.exists(target):
        raise InputError(
            "registry: a model has no name there: give its reference as the target, "
            "'digits@champion', or a deployment with this registry"
        )
    version = found.get(target)
    alias = target.partition("@")[2] or "champion"
    place = Place(found, version.name, alias, found.alias(version.name, alias))
    return version.load(), place
