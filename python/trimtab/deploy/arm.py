"""One version in service: a pipeline, and programs that are counted.

Who holds an arm keeps it alive, a request too; when the last one lets go, the engine's
memory is given back. So nothing waits for anything when versions are swapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab import _core
from trimtab.pipeline import Pipeline

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["Arm"]


class Arm:
    """A version that serves, or is about to; made by `Deployment.prepare`.

    Parameters
    ----------
    pipeline : Pipeline
    watcher : Watcher
        Counts its calls.
    version : int, optional
        Number in the registry.
    digest : str, optional
        Of the version's manifest.
    is_first : bool, default=False
        It decides what the watcher looks at; of others, the same is.

    Examples
    --------
    >>> deployment.champion                                # doctest: +SKIP
    Arm('digits', version 3)
    """

    __slots__ = ("__weakref__", "digest", "pipeline", "program", "request", "version")

    def __init__(
        self,
        pipeline: Pipeline,
        watcher: _core.Watcher,
        *,
        version: int | None = None,
        digest: str | None = None,
        is_first: bool = False,
    ) -> None:
        self.pipeline = pipeline
        self.version = version
        self.digest = digest
        core = pipeline.model.core
        # programs of its own: calls of the model that are not the deployment's, or are
        # another one's, do not count
        self.program: _core.Program = core.program()
        self.program.watch(watcher, keep=not is_first)
        # without steps a call of the program is the request: it is counted as one in C
        self.request: _core.Program | None = None
        if not (pipeline.preprocess or pipeline.postprocess):
            self.request = core.program()
            self.request.watch(watcher, requests=True, keep=True)
        pipeline.model.count_clipping()

    @property
    def model(self) -> Model:
        """The model in the middle."""
        return self.pipeline.model

    def has_steps_of(self, other: Arm) -> bool:
        """Do both prepare a request in the same way?

        Parameters
        ----------
        other : Arm

        Returns
        -------
        has_them : bool
        """
        mine, theirs = self.pipeline.preprocess, other.pipeline.preprocess
        return mine is theirs or mine == theirs

    def inputs_by_name(self, values: Any) -> dict[str, Any]:
        """Name what the model takes.

        Parameters
        ----------
        values : sequence of array-like
            In graph order.

        Returns
        -------
        inputs : dict of str to array-like
        """
        names = (spec.name for spec in self.model.inputs)
        return dict(zip(names, values, strict=True))

    def __repr__(self) -> str:
        """Name and version."""
        number = "no version" if self.version is None else f"version {self.version}"
        return f"Arm({self.pipeline.model.name!r}, {number})"
