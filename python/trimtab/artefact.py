"""Saving: a loaded model -> one file that holds all of it.

Enters: a `Model` and what shall go with it. Leaves: the bytes of an artefact, piece by
piece; docs/artefact.md says what is in it. Equal content gives equal bytes: the time is
an argument.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError, TrimtabError, UnsupportedOpError
from trimtab.formats.native import VERSION, Artefact
from trimtab.formats.native_write import GraphWriter, digests, text_digest
from trimtab.formats.tensor_file import write_tensors
from trimtab.golden import Pair, check_pairs, take_pairs
from trimtab.graph import Constant
from trimtab.graph import Model as GraphModel
from trimtab.pipeline import Pipeline
from trimtab.reference import Reference, each, find_reference, version_of
from trimtab.source import Source, digest_of

if TYPE_CHECKING:
    from trimtab.model import Model
    from trimtab.monitor.reference import Reference as MonitoringReference

__all__ = ["artefact_pieces"]

# Packages whose versions matter to what a reader made of a format.
_PACKAGES: dict[str, tuple[str, ...]] = {
    "onnx": ("onnx",),
    "torch": ("torch", "onnxscript", "onnx"),
    "torch_export": ("torch", "onnxscript", "onnx"),
    "keras": ("keras",),
    "tf_keras": ("tf_keras", "tensorflow"),
    "sklearn": ("scikit-learn", "skl2onnx"),
    "saved_model": ("tensorflow", "tf2onnx"),
}


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def _signature(model: Model) -> dict[str, Any]:
    return {
        side: [
            {
                "name": spec.name,
                "dtype": spec.dtype,
                "shape": None if spec.shape is None else list(spec.shape),
            }
            for spec in specs
        ]
        for side, specs in (("inputs", model.inputs), ("outputs", model.outputs))
    }


def _provenance(
    source: Source, graph: GraphModel, created: str | None
) -> dict[str, Any]:
    """Where the model came from; what an artefact says already is carried on."""
    import trimtab

    found: dict[str, Any] = {"trimtab": trimtab.__version__}
    if created is not None:
        found["created"] = created
    given = None if source.object is not None else (source.path or source.content)
    digest = digest_of(given) if given is not None else None
    if graph.artefact is not None:
        before = graph.artefact.provenance
        found |= {key: before[key] for key in ("source", "packages") if key in before}
        found["artefact"] = {"name": source.name, "sha256": digest}
        return found
    found["source"] = {"name": source.name, "format": graph.format, "sha256": digest}
    if "producer" in graph.metadata:
        found["source"]["producer"] = graph.metadata["producer"]
    names = _PACKAGES.get(graph.format, ())
    found["packages"] = [version_of(name) for name in names]
    return found


# ---- golden pairs -------------------------------------------------------------------


def _plain_copy(model: Model, graph: GraphModel) -> Model:
    """The same model without optimisations."""
    return model.reloaded(passes=0, graph=graph)


def _referenced(
    model: Model, graph: GraphModel, pairs: list[Pair], source: Any
) -> tuple[list[Pair], str, Mapping[str, float]]:
    """Pairs with outputs, who computed those that nobody gave, and its tolerances."""
    open_ones = [pair.inputs for pair in pairs if not pair.outputs]
    if not open_ones:
        return pairs, "the caller", {}
    reference = find_reference(source, graph.format, model)
    found = None
    if reference is not None:
        with suppress(ImportError, UnsupportedOpError):
            found = _run(reference, open_ones)
    if reference is None or found is None:
        reference = Reference(
            "trimtab without optimisations", each(_plain_copy(model, graph).run)
        )
        found = _run(reference, open_ones)
    left = iter(found)
    done = [
        pair if pair.outputs else Pair(pair.inputs, dict(next(left))) for pair in pairs
    ]
    return done, reference.name, reference.tolerances


def _run(reference: Reference, calls: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    try:
        return reference.run(calls)
    except (ImportError, UnsupportedOpError):
        raise
    except Exception as error:
        raise InputError(
            f"golden: {reference.name} refuses these inputs: {error}"
        ) from error


def _array(writer: GraphWriter, name: str, array: Any, dtype: str | None) -> Any:
    """Store an array under a reserved name; `dtype` where NumPy's name differs."""
    constant = Constant.of(array, dtype)
    return writer.describe(writer.constant(name, constant, is_ours=True), constant)


def _golden(
    writer: GraphWriter,
    model: Model,
    graph: GraphModel,
    pairs: Sequence[Pair],
    reference: str,
    tolerances: Mapping[str, float],
) -> dict[str, Any]:
    specs = {spec.name: spec for spec in (*model.inputs, *model.outputs)}
    entries = []
    for number, pair in enumerate(pairs):
        entry: dict[str, Any] = {}
        for side, arrays in (("inputs", pair.inputs), ("outputs", pair.outputs)):
            entry[side] = {
                name: _array(
                    writer,
                    f"golden/{number}/{side}/{name}",
                    array,
                    specs[name].dtype,
                )
                for name, array in arrays.items()
            }
        entries.append(entry)
    found: dict[str, Any] = {
        "reference": reference,
        "precision": "f32",
        "tolerances": dict(tolerances),
        "pairs": entries,
    }
    try:
        from trimtab.blame import trace_of

        names, summaries = trace_of(_plain_copy(model, graph), pairs[0].inputs)
    except TrimtabError:  # some tensor cannot be read by itself
        return found
    found["trace"] = {
        "tensors": names,
        "summaries": writer.array("golden/0/trace", summaries),
    }
    return found


def _carried_golden(writer: GraphWriter, artefact: Artefact) -> dict[str, Any] | None:
    """Golden pairs of an artefact that is saved again."""
    golden = artefact.golden
    if golden is None:
        return None
    from trimtab.golden import read_pairs

    readers, _ = read_pairs(artefact)
    kept = dict(golden)
    kept["pairs"] = []
    for number, read in enumerate(readers):
        plain = golden["pairs"][number]
        pair = read()
        entry: dict[str, Any] = {}
        for side, arrays in (("inputs", pair.inputs), ("outputs", pair.outputs)):
            entry[side] = {
                name: _array(
                    writer,
                    f"golden/{number}/{side}/{name}",
                    array,
                    plain[side][name].get("dtype"),
                )
                for name, array in arrays.items()
            }
        kept["pairs"].append(entry)
    trace = golden.get("trace")
    if isinstance(trace, dict) and "summaries" in trace:
        rows = artefact.array(trace["summaries"], "the trace")
        kept["trace"] = {**trace, "summaries": writer.array("golden/0/trace", rows)}
    return kept


# ---- all of it ----------------------------------------------------------------------


def _pipeline(writer: GraphWriter, pipeline: Pipeline) -> dict[str, Any]:
    config, assets = pipeline.to_config()
    return {
        **config,
        "assets": {
            name: writer.array(f"asset/{name}", np.frombuffer(content, np.uint8))
            for name, content in assets.items()
        },
    }


def _reference(writer: GraphWriter, reference: MonitoringReference) -> Any:
    """As a tensor of bytes, so that a load does not read it."""
    text = reference.to_json().encode()
    return writer.array("reference", np.frombuffer(text, np.uint8))


def artefact_pieces(
    model: Model,
    graph: GraphModel,
    source: Source,
    *,
    golden: Any = None,
    pipeline: Pipeline | None = None,
    class_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    tolerance: Mapping[str, float] | None = None,
    created: str | None = None,
    reference: MonitoringReference | None = None,
) -> Iterator[Any]:
    """Give the bytes of an artefact, piece by piece.

    Parameters
    ----------
    model : Model
    graph : trimtab.graph.Model
        What it was made of.
    source : Source
        Where that came from.
    golden, pipeline, class_names, metadata, tolerance, created, reference
        As `Model.save` takes them.

    Returns
    -------
    pieces : iterator of bytes-like

    Raises
    ------
    InputError
        Something cannot be stored.
    GoldenMismatch
        The model does not give the outputs of its reference.

    Examples
    --------
    >>> b"".join(artefact_pieces(model, graph, source))    # doctest: +SKIP
    """
    before = graph.artefact
    writer = GraphWriter()
    plain_graph = _dump(writer.model(graph))
    plain: dict[str, Any] = {"version": VERSION, "signature": _signature(model)}
    plain["metadata"] = dict(
        sorted({**graph.metadata, **_texts(metadata or {})}.items())
    )
    if class_names is not None:
        plain["class_names"] = [str(name) for name in class_names]
    if pipeline is not None:
        plain["pipeline"] = _pipeline(writer, pipeline)
    tolerances = _tolerances(tolerance)
    if golden is not None:
        pairs, author, usual = _referenced(
            model, graph, take_pairs(model, golden), source.opened()
        )
        tolerances = {**usual, **tolerances}
        check_pairs(model, pairs, tolerances, author)
        plain["golden"] = _golden(writer, model, graph, pairs, author, tolerances)
    elif before is not None and before.golden is not None:
        plain["golden"] = _carried_golden(writer, before)
    if reference is not None:
        plain["reference"] = _reference(writer, reference)
    if before is not None and before.quantization:
        plain["quantization"] = before.quantization
    plain["provenance"] = _provenance(source, graph, created)
    stored = {"": text_digest(plain_graph), **digests(writer.tensors)}
    texts = {
        "trimtab": _dump(plain),
        "trimtab.graph": plain_graph,
        "trimtab.digests": _dump(stored),
    }
    return write_tensors(texts, writer.tensors)


def _tolerances(given: Mapping[str, float] | None) -> dict[str, float]:
    from trimtab.graph import DTYPES

    for dtype, value in (given or {}).items():
        if dtype not in DTYPES or not 0 <= value < float("inf"):
            raise InputError(
                f"tolerance: expected numbers by dtype, got {dtype!r}: {value!r}"
            )
    return {dtype: float(value) for dtype, value in (given or {}).items()}


def _texts(metadata: Mapping[str, str]) -> dict[str, str]:
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InputError(
                f"metadata: expected texts by name, got {key!r}: {value!r}"
            )
    return dict(metadata)
