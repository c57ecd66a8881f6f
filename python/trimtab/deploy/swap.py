"""From what a caller names to an arm that is fit to serve: loaded, warm, examined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.deploy.arm import Arm
from trimtab.deploy.batcher import why_not_batched
from trimtab.deploy.check import examine, warm_up
from trimtab.deploy.source import Source, Stages, load_like, refusal
from trimtab.errors import InputError, RegistryError
from trimtab.model import Model
from trimtab.pipeline import Pipeline
from trimtab.registry.version import ModelVersion

if TYPE_CHECKING:
    from trimtab import _core

__all__ = ["Preparer"]


@dataclass(frozen=True)
class Preparer:
    """Makes arms of one deployment.

    Parameters
    ----------
    watcher : Watcher
        Counts the calls of all of them.
    stages : Stages
    source : Source or None
        None: there is no registry.
    is_batched : bool
        Must an arm take requests together?
    """

    watcher: _core.Watcher
    stages: Stages
    source: Source | None
    is_batched: bool

    def arm(
        self, wanted: Any, champion: Arm, warm: Mapping[str, Arm], *, verify: bool
    ) -> Arm:
        """Load what is wanted, run it, and find out whether it is fit to serve.

        Parameters
        ----------
        wanted : int, str, ModelVersion, Model or Pipeline
        champion : Arm
        warm : mapping of str to Arm
            Arms that are in use, by the digest of their version.
        verify : bool
            False: it is run, and not examined.

        Returns
        -------
        arm : Arm

        Raises
        ------
        SwapError
            It is not fit to serve.
        InputError
            It is nothing that can be deployed here.
        """
        version: ModelVersion | None = None
        if not isinstance(wanted, (Model, Pipeline)):
            version = self._find(wanted)
            if version.digest in warm:
                return warm[version.digest]
            wanted = load_like(version, champion.model)
        what = wanted.model.name if isinstance(wanted, Pipeline) else wanted.name
        what = what if version is None else str(version)
        return self._made(wanted, what, champion, version, verify=verify)

    def _find(self, wanted: Any) -> ModelVersion:
        is_name = isinstance(wanted, (int, str, ModelVersion))
        if not is_name or isinstance(wanted, bool):
            raise InputError(
                "expected a version ('digits/3', 3), a Model or a Pipeline, got "
                f"{type(wanted).__name__}"
            )
        if self.source is None:
            raise InputError(
                f"version {wanted!r}: this deployment has no registry: give one to "
                "deploy_model, or a model that is loaded"
            )
        try:
            return self.source.get(wanted)
        except RegistryError as error:
            raise refusal(f"version {wanted}", [str(error)]) from error

    def _made(
        self,
        wanted: Model | Pipeline,
        what: str,
        champion: Arm,
        version: ModelVersion | None,
        *,
        verify: bool,
    ) -> Arm:
        try:
            pipeline = (
                wanted if isinstance(wanted, Pipeline) else self.stages.around(wanted)
            )
            reasons = []
            if verify:
                reasons = examine(pipeline.model, champion.model)
            else:
                warm_up(pipeline.model)
            if self.is_batched and not reasons and (why := why_not_batched(pipeline)):
                reasons = [f"requests cannot be run together: {why}"]
        except Exception as error:
            reasons = [f"it cannot be run: {type(error).__name__}: {error}"]
        if reasons:
            raise refusal(what, reasons)
        return Arm(
            pipeline,
            self.watcher,
            version=None if version is None else version.version,
            digest=None if version is None else version.digest,
        )
