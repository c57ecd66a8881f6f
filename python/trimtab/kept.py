"""What a model keeps beside the engine: where it came from, names, steps; saving it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from trimtab.errors import InputError, ModelFormatError
from trimtab.weight_file import WeightFile

if TYPE_CHECKING:
    from trimtab import _core
    from trimtab.formats.native import Artefact
    from trimtab.golden import Verification
    from trimtab.graph import Model as GraphModel
    from trimtab.limits import Limits
    from trimtab.model import Model
    from trimtab.monitor.reference import Reference
    from trimtab.options import Options
    from trimtab.pipeline import Pipeline
    from trimtab.source import Source

__all__ = ["Kept"]


class Kept:
    """The part of `trimtab.Model` that deals with its origin and with artefacts.

    Parameters
    ----------
    source : Source
    options : Options
    graph : trimtab.graph.Model or None
        What was read.
    artefact : Artefact, WeightFile or None
        Of the artefact that was loaded; as a file it is read when it is asked for.
    """

    def __init__(
        self,
        source: Source,
        options: Options,
        graph: GraphModel | None,
        artefact: Artefact | WeightFile | None,
    ) -> None:
        self._source = source
        self._options = options
        # What can be read again from its file is not kept.
        is_kept = source.is_costly or options.is_rewritten
        self._graph = graph if is_kept else None
        self._metadata = None if graph is None else graph.metadata
        self._given = artefact
        # Steps before and after; a pipeline itself would hold the model.
        self._steps: tuple[Sequence[Any], Sequence[Any]] | None = None
        self._has_steps = artefact is None
        # Golden pairs and tolerances that `save` stores where it is given none.
        self._golden: tuple[list[Any], Mapping[str, float]] | None = None
        #: How it compares with its golden pairs, or None.
        self.verification: Verification | None = None
        if artefact is not None and graph is not None:
            _ = self.pipeline  # a malformed one is refused now

    @property
    def reading(self) -> Mapping[str, Any]:
        """Options of the format's reader that it was loaded with."""
        return self._options.reading

    @property
    def limits(self) -> Limits:
        """Bounds on what its file may ask for."""
        return self._options.limits

    @property
    def is_rewritten(self) -> bool:
        """Is its graph not what the source holds?"""
        return self._options.is_rewritten

    @property
    def precision(self) -> str:
        """What its layers compute in: a key of `trimtab.precision.PRECISIONS`."""
        return self._options.precision

    @property
    def core(self) -> _core.Model:
        """The engine's half."""
        raise NotImplementedError

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        golden: Any = None,
        pipeline: Pipeline | None = None,
        class_names: Sequence[str] | None = None,
        metadata: Mapping[str, str] | None = None,
        tolerance: Mapping[str, float] | None = None,
        created: str | None = None,
        reference: Reference | None = None,
    ) -> None:
        """Save the model as one safetensors file that `load_model` reads.

        The name holds the old file or the new one, never a mix. Equal content gives
        equal bytes.

        Parameters
        ----------
        path : path
            Usually ends with ``.safetensors``.
        golden : str, array, tuple, mapping or list of these, optional
            Inputs whose outputs are stored and compared at each load: "random";
            inputs as in `run`; ``(inputs, {name: output})``; or a list of such.
            Outputs that are not given come from the framework of the model. Pairs
            that an artefact has already are kept by default; what `optimize_model`
            made gets pairs of the model in float32.
        pipeline : Pipeline, optional
            Declarative steps before and after the model; its own by default.
        class_names : sequence of str, optional
            Its own by default.
        metadata : mapping of str to str, optional
            Added to what the model says of itself.
        tolerance : mapping of str to float, optional
            Dtype to the largest difference of golden outputs: of floats relative to
            their range, of integers as it is; see `trimtab.golden.TOLERANCES`.
        created : str, optional
            Time to store, as ISO 8601 has it; none by default.
        reference : Reference, optional
            What its traffic is to be compared with: `trimtab.Reference`; its own by
            default.

        Raises
        ------
        InputError
            Something cannot be stored.
        GoldenMismatch
            The model does not give the outputs of its framework.
        ModelFormatError
            The file of the model has changed since it was loaded.
        OSError
            The file cannot be written.

        Examples
        --------
        >>> model.save("m.safetensors", golden=x)          # doctest: +SKIP
        """
        from trimtab.formats.tensor_file import write_file

        if golden is None and self._golden is not None:
            golden, allowed = self._golden
            tolerance = {**allowed, **(tolerance or {})}
        pieces = self._pieces(
            golden=golden,
            pipeline=pipeline or self.pipeline,
            class_names=class_names,
            metadata=metadata,
            tolerance=tolerance,
            created=created,
            reference=_checked(reference) or self.reference,
        )
        write_file(os.path.abspath(os.fsdecode(path)), pieces)

    def _pieces(self, **given: Any) -> Iterator[bytes]:
        """Bytes of the artefact, piece by piece."""
        from trimtab.artefact import artefact_pieces

        _ = self.core  # closed: refused
        given.setdefault("pipeline", self.pipeline)
        given["class_names"] = given.get("class_names") or self.class_names
        given["reference"] = given.get("reference") or self.reference
        graph = self._graph_again()
        return artefact_pieces(self._exact(graph), graph, self._source, **given)

    def _exact(self, graph: GraphModel) -> Model:
        """The model in float32: what is stored with it is computed so."""
        if self.precision == "f32":
            return cast("Model", self)
        from trimtab.load import make_model

        options = self._options.__replace__(precision="f32")
        exact = make_model(graph, self._source, options)
        exact.provenance = self.provenance
        return exact

    def _graph_again(self) -> GraphModel:
        """The graph as it was read."""
        if self._graph is not None:
            return self._graph
        from trimtab.formats import read_model

        self._source.check_unchanged()
        options = self._options
        return read_model(self._source.open(), options.limits, **options.reading)

    def reloaded(self, *, passes: int, graph: GraphModel | None = None) -> Model:
        """Load the same model with other optimisations.

        Parameters
        ----------
        passes : int
            Bits of the passes.
        graph : trimtab.graph.Model, optional
            What was read, where it is at hand; else it is read again.

        Returns
        -------
        model : Model
        """
        from trimtab.load import make_model

        options = self._options.__replace__(passes=passes)
        return make_model(graph or self._graph_again(), self._source, options)

    def rewritten(
        self,
        rewrite: Callable[[GraphModel], GraphModel],
        *,
        fits: Callable[[GraphModel], bool] | None = None,
    ) -> Model | None:
        """Load the model once more, its graph changed on the way.

        Parameters
        ----------
        rewrite : callable
            `trimtab.graph.Model` -> the same, changed, or another one.
        fits : callable, optional
            Says whether the graph can be rewritten.

        Returns
        -------
        model : Model or None
            None where it does not fit.
        """
        from trimtab.load import make_model

        graph = self._graph_again().copy()
        if fits is not None and not fits(graph):
            return None
        options = self._options.__replace__(is_rewritten=True)
        model = make_model(rewrite(graph), self._source, options)
        model.class_names = self.class_names
        model.provenance = self.provenance
        model.reference = self.reference
        return model

    @cached_property
    def artefact(self) -> Artefact | None:
        """What the artefact that it was loaded from holds, or None."""
        if not isinstance(self._given, WeightFile):
            return self._given
        from trimtab.formats.native import Artefact
        from trimtab.formats.tensor_file import TensorFile

        limits = self._options.limits
        return Artefact(TensorFile(self._given, limits), limits)

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        if self._metadata is None and self.artefact is not None:
            self._metadata = self.artefact.metadata
        return dict(self._metadata or {})

    @cached_property
    def class_names(self) -> list[str] | None:
        """Names of the classes by their number, where the model has names."""
        if self.artefact is not None and self.artefact.class_names is not None:
            return list(self.artefact.class_names)
        import json

        text = self.metadata.get("class_names")  # of readers of other formats
        try:
            names = json.loads(text) if text else None
        except ValueError:
            return None
        return list(map(str, names)) if isinstance(names, list) else None

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Where the model came from, as its artefact says."""
        return {} if self.artefact is None else self.artefact.provenance

    @cached_property
    def reference(self) -> Reference | None:
        """What its traffic is compared with by `trimtab.monitor_model`, or None.

        Raises
        ------
        ModelFormatError
            What the artefact holds is no reference.
        """
        if self.artefact is None or self.artefact.reference is None:
            return None
        from trimtab.monitor.reference import Reference

        stored = self.artefact.array(self.artefact.reference, "the reference")
        try:
            return Reference.from_json(stored.tobytes())
        except InputError as error:
            raise ModelFormatError(str(error)) from None

    @property
    def pipeline(self) -> Pipeline | None:
        """The model with the steps that were stored with it, or None."""
        if not self._has_steps:
            self._steps = self._stored_steps()
            self._has_steps = True
        if self._steps is None:
            return None
        from trimtab.pipeline import Pipeline

        before, after = self._steps
        return Pipeline(before, cast("Model", self), after)

    @pipeline.setter
    def pipeline(self, pipeline: Pipeline | None) -> None:
        """Take the steps of a pipeline."""
        self._has_steps = True
        self._steps = None
        if pipeline is not None:
            self._steps = (pipeline.preprocess, pipeline.postprocess)

    def _stored_steps(self) -> tuple[Sequence[Any], Sequence[Any]] | None:
        artefact = self.artefact
        if artefact is None or artefact.pipeline is None:
            return None
        from trimtab.pipeline import Pipeline

        stages = {k: v for k, v in artefact.pipeline.items() if k != "assets"}
        made = Pipeline.from_config(stages, artefact.assets(), cast("Model", self))
        return made.preprocess, made.postprocess


def _checked(reference: Any) -> Reference | None:
    from trimtab.monitor.reference import Reference

    if reference is None or isinstance(reference, Reference):
        return reference
    raise InputError(
        "reference: expected a trimtab.Reference (Reference.from_model makes one), "
        f"got {type(reference).__name__}"
    )
