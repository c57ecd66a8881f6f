"""Why does a model miss its golden outputs?  And at which operator does it begin?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import GoldenMismatch, ModelFormatError, TrimtabError
from trimtab.golden import TOLERANCES, Pair, compare, read_pairs
from trimtab.graph import Constant, Graph, Node
from trimtab.precision import largest_allowed
from trimtab.types import Array
from trimtab.verify import find_passes, largest_difference

if TYPE_CHECKING:
    from trimtab.formats.native import Artefact
    from trimtab.model import Model

__all__ = ["changed_tensors", "explain_mismatch", "trace_of"]

_TOGETHER = 64  # tensors that are read in one run
_TOGETHER_BYTES = 256 << 20
_TOLERANCE = 1e-4
_PRECISION = (
    "Without optimisations it departs too, and the file is what was saved: {} rounds "
    "more than this net bears. Load it with precision='f32'."
)
_SOUGHT = 64  # changed tensors whose reader is looked for


def _summary(array: Array) -> list[float]:
    """Size, mean, mean and largest magnitude of what is finite."""
    if array.dtype.kind == "V":
        array = array.astype(np.float32)
    magnitudes = np.abs(
        array.astype(np.complex128 if array.dtype.kind == "c" else "f8")
    )
    finite = np.isfinite(magnitudes)
    if not finite.any():
        return [float(array.size), 0.0, 0.0, 0.0]
    mean = array.real[finite].astype("f8").mean()
    kept = magnitudes[finite]
    return [float(finite.sum()), float(mean), float(kept.mean()), float(kept.max())]


def _tensors(
    model: Model, inputs: Any, max_runs: int | None = None
) -> Iterator[tuple[str, Array]]:
    """All tensors that nodes compute, in their order.

    Several come from one run, as many as take some 256 MB.
    """
    names, begin, n, largest = list(model.taps), 0, 1, 1
    while begin < len(names) and max_runs != 0:
        max_runs = None if max_runs is None else max_runs - 1
        found = model.taps.run(inputs, names[begin : begin + n])
        begin += n
        model.trim()  # without optimisations a plan may take gigabytes
        largest = max(largest, *(array.nbytes for array in found.values()))
        n = max(1, min(2 * n, _TOGETHER, _TOGETHER_BYTES // largest))
        yield from found.items()


def trace_of(model: Model, inputs: Any, max_runs: int = 16) -> tuple[list[str], Array]:
    """Summarise every tensor that a model computes.

    Parameters
    ----------
    model : Model
        Without optimisations.
    inputs : mapping of str to ndarray
    max_runs : int, default=16
        After so many runs the rest is left out.

    Returns
    -------
    names : list of str
        The first ones, in the order in which nodes compute them.
    summaries : ndarray of shape (len(names), 4)
        Number of finite elements, mean, mean magnitude, largest magnitude.

    Examples
    --------
    >>> trace_of(model, {"x": x})                          # doctest: +SKIP
    (['h', 'y'], array([[...], [...]], dtype=float32))
    """
    names, rows = [], []
    for name, array in _tensors(model, inputs, max_runs):
        names.append(name)
        rows.append(_summary(array))
    return names, np.asarray(rows, np.float32).reshape(-1, 4)


# ---- what was saved -----------------------------------------------------------------


def changed_tensors(artefact: Artefact) -> list[str]:
    """Compare every tensor and the graph with the digests of the artefact.

    Parameters
    ----------
    artefact : Artefact

    Returns
    -------
    names : list of str
        Tensors that are not what was saved; "" stands for the graph.

    Examples
    --------
    >>> changed_tensors(artefact)                          # doctest: +SKIP
    []
    """
    from trimtab.formats.native_write import digests, text_digest

    try:
        stored = json.loads(artefact.file.metadata.get("trimtab.digests", "{}"))
    except ValueError:
        return [""]
    file = artefact.file
    names = [name for name in file.tensors if name in stored]
    found = digests((name, "", (), file.data(name)) for name in names)
    changed = [name for name in names if found[name] != stored[name]]
    if stored.get("") not in (None, text_digest(file.metadata["trimtab.graph"])):
        changed.insert(0, "")
    return changed


# ---- the first operator -------------------------------------------------------------


def _node_of(graph: Graph, tensor: str) -> Node | None:
    return next((node for node in graph.nodes if tensor in node.outputs), None)


def _text(node: Node | None) -> str:
    return f"{node.op_type} {node.name!r}" if node is not None else ""


def _first_reader(graph: Graph, artefact: Artefact, tensor: str) -> Node | None:
    """The first node that reads a tensor of the file, itself or in its bodies."""
    wanted = artefact.key_of(tensor)
    for node in graph.nodes:
        constants = [graph.constants.get(name) for name in node.inputs]
        constants += [v for v in node.attributes.values() if isinstance(v, Constant)]
        bodies = node.bodies
        for body in bodies:  # grows while it is walked
            constants += body.constants.values()
            bodies += [inner for child in body.nodes for inner in child.bodies]
            constants += [graph.constants.get(name) for name in body.captures]
        if any(c is not None and artefact.key_of(c) == wanted for c in constants):
            return node
    return None


def _depart(a: Array, b: Array) -> bool:
    return largest_difference(a, b) > TOLERANCES.get(a.dtype.name, 0.0)


def _first_optimised(optimised: Model, plain: Model, inputs: Any) -> str:
    """First tensor that differs between two plans: halving, one tap at a time.

    Reading a tensor keeps it from being fused, so a wrong fusion may disappear under
    taps; then none is found.
    """
    names = [name for name in plain.taps if name in optimised.taps]

    def departs(name: str) -> bool:
        a = plain.taps.run(inputs, [name])[name]
        b = optimised.taps.run(inputs, [name])[name]
        plain.trim()
        optimised.trim()
        return _depart(a, b)

    if not names or not departs(names[-1]):
        outputs = [spec.name for spec in plain.outputs if spec.name in names]
        wrong = [name for name in outputs if departs(name)]
        if not wrong:
            return ""
        names = names[: names.index(wrong[0]) + 1]
    low, high = 0, len(names) - 1  # names[high] departs
    while low < high:
        middle = (low + high) // 2
        if departs(names[middle]):
            high = middle
        else:
            low = middle + 1
    return names[high]


def _first_traced(artefact: Artefact, plain: Model, inputs: Any) -> str:
    """First tensor whose summary is not the one that was stored."""
    trace = (artefact.golden or {}).get("trace")
    if not isinstance(trace, dict) or not isinstance(trace.get("tensors"), list):
        return ""
    rows = artefact.array(trace.get("summaries"), "the trace")
    names = trace["tensors"]
    if rows.shape != (len(names), 4) or not all(isinstance(x, str) for x in names):
        raise ModelFormatError("the trace: expected four numbers for each tensor")
    stored = dict(zip(names, rows, strict=True))
    for name, array in _tensors(plain, inputs):
        row = stored.get(name)
        if row is None:
            continue
        found = np.asarray(_summary(array), np.float32)
        scale = float(row[3]) or 1.0
        if found[0] != row[0] or np.abs(found[1:] - row[1:]).max() > _TOLERANCE * scale:
            return name
    return ""


def explain_mismatch(
    artefact: Artefact,
    pair: Pair,
    number: int,
    output: str,
    difference: float,
    load: Callable[[int | None], Model],
) -> GoldenMismatch:
    """Find out why an output departs from the stored one.

    Parameters
    ----------
    artefact : Artefact
    pair : Pair
    number : int
        Of the pair.
    output : str
        The output that departs.
    difference : float
        By how much, relative to its range.
    load : callable
        Loads the same model with these bits of passes; None: as it is.

    Returns
    -------
    error : GoldenMismatch
        To raise or to warn with.

    Examples
    --------
    >>> raise explain_mismatch(artefact, pair, 0, "y", 0.1, load)  # doctest: +SKIP
    """
    golden = artefact.golden or {}
    head = (
        f"golden pair {number}: output {output!r} departs by {difference:.1e} of its "
        f"range from what {golden.get('reference', 'the reference')} gave. "
    )
    try:
        cause, tensor, node, text = _find_cause(artefact, pair, number, load)
    except TrimtabError as error:
        cause, tensor, node, text = "", "", None, f"The search for it failed: {error}"
    found = GoldenMismatch(head + text)
    found.operator, found.tensor, found.cause = _text(node), tensor, cause
    return found


def _find_cause(
    artefact: Artefact, pair: Pair, number: int, load: Callable[[int | None], Model]
) -> tuple[str, str, Node | None, str]:
    """Cause, tensor, node and words."""
    graph = artefact.model().graph
    _, exact = read_pairs(artefact)
    changed = changed_tensors(artefact)
    if changed:
        return _content(artefact, graph, changed)
    plain = load(0)
    tolerances = largest_allowed(exact, plain.precision)
    if not compare(pair.outputs, plain.run(pair.inputs), tolerances)[1]:
        return _optimisation(graph, pair, plain, load)
    if plain.precision != "f32":
        return "precision", "", None, _PRECISION.format(plain.precision)
    first = _first_traced(artefact, plain, pair.inputs) if number == 0 else ""
    node = _node_of(graph, first)
    text = (
        "Without optimisations it departs too, and the file is what was saved: the "
        "engine computes something else on this machine than where it was saved. "
    )
    if node is not None:
        text += f"The first tensor that departs is {first!r} of {_text(node)}."
    else:
        text += (
            "No tensor in between departs from its stored summary: the stored outputs "
            "are those of another model, or the tolerance is too small."
        )
    return "engine", first, node, text


def _content(
    artefact: Artefact, graph: Graph, changed: list[str]
) -> tuple[str, str, Node | None, str]:
    if changed[0] == "":
        return (
            "content",
            "",
            None,
            "The graph in the file is not the one that was saved.",
        )
    named = changed[:_SOUGHT]
    readers = {name: _first_reader(graph, artefact, name) for name in named}
    order = {id(node): i for i, node in enumerate(graph.nodes)}
    first = min(named, key=lambda name: order.get(id(readers[name]), len(order)))
    node = readers[first]
    text = f"The weights in the file are not those that were saved: {first!r} differs"
    if node is not None:
        text += f", which {_text(node)} reads first"
    if len(changed) > 1:
        text += f"; {len(changed)} tensors differ"
    tensor = node.outputs[0] if node is not None else ""
    return "content", tensor, node, f"{text}."


def _optimisation(
    graph: Graph, pair: Pair, plain: Model, load: Callable[[int | None], Model]
) -> tuple[str, str, Node | None, str]:
    expected = plain.run(pair.inputs)
    guilty = find_passes(lambda bits: load(bits), pair.inputs, expected)
    first = _first_optimised(load(None), plain, pair.inputs)
    node = _node_of(graph, first)
    text = "Without optimisations it agrees: an optimisation is wrong"
    text += f", {' or '.join(guilty)} (load without it: passes=)" if guilty else ""
    if node is not None:
        text += f". The first tensor that departs is {first!r} of {_text(node)}"
    else:
        text += ". Every tensor in between agrees when it is read by itself"
    return "optimisation", first, node, f"{text}. Please report it."
