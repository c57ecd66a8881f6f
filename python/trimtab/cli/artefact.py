"""Commands of ``trimtab`` about artefacts: convert, verify, and what info shows."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from trimtab.errors import InputError
from trimtab.npz import read_npz

if TYPE_CHECKING:
    from trimtab.formats.native import Artefact

__all__ = ["add_options", "convert", "describe", "find_artefact", "verify"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``trimtab convert``.

    Parameters
    ----------
    parser : argparse.ArgumentParser

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser)
    >>> parser.parse_args(["m.safetensors"]).target
    'm.safetensors'
    """
    parser.add_argument("target", metavar="DST.safetensors", help="file to write")
    parser.add_argument(
        "--golden",
        action="append",
        metavar="FILE.npz",
        help="inputs by name whose outputs are stored and checked at each load; or "
        "'random' (may be repeated)",
    )
    parser.add_argument(
        "--classes", metavar="FILE", help="names of classes, one a line"
    )
    parser.add_argument(
        "--metadata", action="append", metavar="KEY=TEXT", help="may be repeated"
    )
    parser.add_argument(
        "--tolerance",
        action="append",
        metavar="DTYPE=NUMBER",
        help="largest difference of golden outputs, relative to their range",
    )
    parser.add_argument("--created", metavar="TIME", help="time to store (ISO 8601)")


def _split(option: str, texts: list[str] | None) -> dict[str, str]:
    found = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"{option} {text}: expected NAME=VALUE")
        found[key] = value
    return found


def _golden(paths: list[str] | None) -> Any:
    if not paths:
        return None
    if "random" in paths:
        if len(paths) > 1:
            raise InputError("--golden: 'random' stands alone")
        return "random"
    unnamed = "no .npz file of arrays (it is an .npy file: give names with numpy.savez)"
    return [read_npz(path, "--golden", needs_names=unnamed) for path in paths]


def _tolerances(texts: list[str] | None) -> dict[str, float] | None:
    try:
        values = _split("--tolerance", texts)
        return {key: float(value) for key, value in values.items()} or None
    except ValueError as error:
        raise InputError(f"--tolerance: {error}") from error


def convert(model: Any, arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Save a model as an artefact, and load it once.

    Parameters
    ----------
    model : Model
    arguments : argparse.Namespace
        Of `add_options`.

    Returns
    -------
    values : dict
        For JSON.
    text : str
        For people.

    Examples
    --------
    >>> convert(model, arguments)                          # doctest: +SKIP
    ({'file': 'm.safetensors', ...}, 'm.safetensors  1.2 MiB...')
    """
    import os

    from trimtab.load import load_model
    from trimtab.report import bytes_text

    names = None
    if arguments.classes:
        with open(arguments.classes, encoding="utf-8") as file:
            names = file.read().splitlines()
    model.save(
        arguments.target,
        golden=_golden(arguments.golden),
        class_names=names,
        metadata=_split("--metadata", arguments.metadata),
        tolerance=_tolerances(arguments.tolerance),
        created=arguments.created,
    )
    again = load_model(arguments.target, threads=arguments.threads)
    n_bytes = os.path.getsize(arguments.target)
    values = {"file": arguments.target, "n_bytes": n_bytes, **_checked(again)}
    text = f"{arguments.target}  {bytes_text(n_bytes)}\n{_checked_text(again)}"
    return values, text


# ---- verifying ----------------------------------------------------------------------


def _checked(model: Any) -> dict[str, Any]:
    v = model.verification
    return {
        "golden": None
        if v is None
        else {
            "n_pairs": v.n_pairs,
            "n_replayed": v.n_replayed,
            "difference": v.difference,
            "seconds": v.seconds,
            "reference": v.reference,
        }
    }


def _checked_text(model: Any) -> str:
    v = model.verification
    if v is None:
        return "no golden pairs"
    return (
        f"{v.n_replayed} of {v.n_pairs} golden pairs replayed in {v.seconds * 1e3:.1f} "
        f"ms: they differ by at most {v.difference:.1e} of the range from {v.reference}"
    )


def verify(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Check all that can be checked of a model.

    Every tensor against its digest and every golden pair, however long it takes; and
    the optimised plan against the one without optimisations.

    Parameters
    ----------
    arguments : argparse.Namespace

    Returns
    -------
    values : dict
        For JSON.
    text : str
        For people.

    Raises
    ------
    GoldenMismatch
        The file is not what was saved, or computes something else.
    InternalError
        Optimising changes what the model computes.

    Examples
    --------
    >>> verify(arguments)                                  # doctest: +SKIP
    ({'n_tensors': 12, ...}, '12 tensors are what was saved...')
    """
    from trimtab import golden
    from trimtab.blame import changed_tensors
    from trimtab.errors import GoldenMismatch
    from trimtab.load import load_model

    artefact = find_artefact(arguments.model)
    lines = []
    if artefact is not None:
        changed = changed_tensors(artefact)
        if changed:
            names = [name or "the graph" for name in changed]
            raise GoldenMismatch(
                f"the file is not what was saved: {', '.join(names[:10])} differ"
            )
        lines.append(f"{len(artefact.file.tensors)} tensors are what was saved")
    budget, golden.BUDGET_S = golden.BUDGET_S, float("inf")
    try:
        model = load_model(
            arguments.model,
            threads=arguments.threads,
            device=arguments.device,
            fallback=not arguments.no_fallback,
            verify="passes",
        )
    finally:
        golden.BUDGET_S = budget
    lines.append(_checked_text(model))
    lines.append("the optimised plan agrees with the plan without optimisations")
    n_tensors = len(artefact.file.tensors) if artefact is not None else None
    return {"n_tensors": n_tensors, **_checked(model)}, "\n".join(lines)


# ---- showing ------------------------------------------------------------------------


def find_artefact(path: str) -> Artefact | None:
    """Open a file as an artefact; None where it is something else.

    Parameters
    ----------
    path : str

    Returns
    -------
    artefact : Artefact or None

    Examples
    --------
    >>> find_artefact("model.onnx") is None                # doctest: +SKIP
    True
    """
    import os

    from trimtab.formats import FORMATS, Head
    from trimtab.formats.native import Artefact
    from trimtab.formats.tensor_file import TensorFile
    from trimtab.limits import Limits

    if not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        head = Head(file.read(64))
    if not FORMATS["native"].sniff(head):
        return None
    return Artefact(TensorFile(path, Limits()), Limits())


def describe(artefact: Artefact) -> tuple[dict[str, Any], str]:
    """Say what an artefact holds beside the graph.

    Parameters
    ----------
    artefact : Artefact

    Returns
    -------
    values : dict
        For JSON.
    text : str
        For people.

    Examples
    --------
    >>> describe(artefact)                                 # doctest: +SKIP
    ({'provenance': ...}, '  source      name model.onnx, ...')
    """
    golden = artefact.golden or {}
    pairs = golden.get("pairs") or []
    steps = {
        stage: [
            entry.get("kind") if isinstance(entry, dict) else None
            for entry in (artefact.pipeline or {}).get(stage) or ()
        ]
        for stage in ("preprocess", "postprocess")
    }
    values = {
        "provenance": artefact.provenance,
        "class_names": artefact.class_names,
        "metadata": artefact.metadata,
        "pipeline": steps,
        "quantization": artefact.quantization,
        "golden": {
            "n_pairs": len(pairs),
            "reference": golden.get("reference"),
            "tolerances": golden.get("tolerances"),
            "has_trace": "trace" in golden,
        },
        "tensors": {
            name: {"dtype": place.dtype, "shape": place.shape}
            for name, place in artefact.file.tensors.items()
        },
    }
    rows = [("source", _flat(artefact.provenance.get("source")))]
    rows += [
        (key, _flat(value))
        for key, value in artefact.provenance.items()
        if key != "source"
    ]
    rows += [("metadata", f"{key}: {text}") for key, text in artefact.metadata.items()]
    names = artefact.class_names
    if names is not None:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        rows.append(("classes", f"{len(names)}: {shown}"))
    rows += [(stage, ", ".join(map(str, kinds))) for stage, kinds in steps.items()]
    if pairs:
        rows.append(("golden", f"{len(pairs)} pairs of {golden.get('reference')}"))
    lines = [f"  {name:11s} {text}" for name, text in rows if text]
    return values, "\n".join(lines)


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {text}" for key, text in value.items() if text)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")
