"""Is a candidate fit to serve? What is wrong with it is found before it gets a request.

Enters: what serves, and a model that is loaded. Leaves: reasons why not, none where it
is fit. It has run for the shapes that come, too, so that its first request is not slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.deploy.canary import is_finite
from trimtab.errors import TrimtabError
from trimtab.signature import TensorSpec, probe_inputs

if TYPE_CHECKING:
    from trimtab.model import Model
    from trimtab.types import Array

__all__ = ["examine", "warm_up"]

#: A candidate may take so many times the champion's time for one random request; what
#: is finer than that is for the gates of `trimtab.update_model`.
MAX_SLOWDOWN = 10.0
#: Calls shorter than this are not slow.
_NEVER_SLOW_S = 1e-3
#: For golden pairs, and for timing.
_BUDGET_S = 2.0
_N_TIMED = 5
_SIZE = 8  # of dims that are open, but for the first
_N_ROWS = 8


def warm_up(model: Model, like: Model | None = None) -> None:
    """Run a model for the shapes that its requests will have.

    Parameters
    ----------
    model : Model
    like : Model, optional
        What serves.

    Raises
    ------
    TrimtabError
        It cannot be run.

    Examples
    --------
    >>> warm_up(model)                                     # doctest: +SKIP
    """
    for inputs in [*_golden_inputs(model), *_probes(model)]:
        model.run(inputs)


def _golden_inputs(model: Model) -> list[dict[str, Array]]:
    from trimtab.golden import read_pairs

    if model.artefact is None:
        return []
    return [read().inputs for read in read_pairs(model.artefact)[0][:4]]


def _probes(model: Model) -> list[dict[str, Array]]:
    """Random, other random, zeros, large: whatever fits the signature."""
    rows = [probe_inputs(model.inputs, size=_SIZE, seed=s) for s in range(_N_ROWS)]
    usual = [rows[0], _together(model, rows)]
    zeros = {name: np.zeros_like(x) for name, x in usual[0].items()}
    large = {
        name: (x * 100).astype(x.dtype) if x.dtype.kind == "f" else x
        for name, x in usual[1].items()
    }
    return [*usual, zeros, large]


def _together(model: Model, rows: list[dict[str, Array]]) -> dict[str, Array]:
    """Several requests as one, where the first dims are open; else the last one."""
    is_open = all(
        spec.shape
        and not isinstance(spec.shape[0], int)
        and rows[0][spec.name].shape[0] == 1
        for spec in model.inputs
    )
    if not (is_open and model.inputs):
        return rows[-1]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def examine(candidate: Model, champion: Model) -> list[str]:
    """Find what is wrong with a candidate; it is run, and so warm afterwards.

    Parameters
    ----------
    candidate, champion : Model

    Returns
    -------
    reasons : list of str
        Empty where it is fit to serve.

    Examples
    --------
    >>> examine(candidate, champion)                       # doctest: +SKIP
    ["input 'x' is float32[n,5], expected float32[n,4]"]
    """
    reasons: list[str] = []
    # the dearer ones only where the cheaper find nothing
    for check in (_signature, _golden, _finite, _slow):
        try:
            reasons += check(candidate, champion)
        except Exception as error:
            reasons.append(f"it cannot be run: {type(error).__name__}: {error}")
        if reasons:
            break
    return reasons


# ---- signature -------------------------------------------------------------------


def _signature(candidate: Model, champion: Model) -> list[str]:
    """What it takes, and gives, must be at least what the champion does."""
    reasons = []
    sides: tuple[tuple[str, Any, Callable[[Any, Any], bool]], ...] = (
        ("input", lambda model: model.inputs, _takes),
        ("output", lambda model: model.outputs, _gives),
    )
    for side, specs, fits in sides:
        theirs, ours = specs(candidate), specs(champion)
        names = [[spec.name for spec in part] for part in (theirs, ours)]
        if names[0] != names[1]:
            reasons.append(f"its {side}s are {names[0]}, expected {names[1]}")
            continue
        for mine, expected in zip(theirs, ours, strict=True):
            if not (fits(mine, expected) or _is_longer(side, mine, expected)):
                reasons.append(f"{side} {mine}: expected {expected}")
    names_of = (candidate.class_names, champion.class_names)
    if not reasons and _n_classes(candidate) > _n_classes(champion):
        reasons += _added_classes(*names_of)
    return reasons


def _takes(spec: TensorSpec, expected: TensorSpec) -> bool:
    """Whatever fits `expected` fits `spec`."""
    if spec.dtype is not None and spec.dtype != expected.dtype:
        return False
    if spec.shape is None or expected.shape is None:
        return spec.shape is None
    return len(spec.shape) == len(expected.shape) and all(
        not isinstance(mine, int) or mine == theirs
        for mine, theirs in zip(spec.shape, expected.shape, strict=True)
    )


def _gives(spec: TensorSpec, expected: TensorSpec) -> bool:
    """What is declared of both agrees."""
    if spec.dtype and expected.dtype and spec.dtype != expected.dtype:
        return False
    if spec.shape is None or expected.shape is None:
        return True  # the probes will tell
    return len(spec.shape) == len(expected.shape) and all(
        mine == theirs or not (isinstance(mine, int) and isinstance(theirs, int))
        for mine, theirs in zip(spec.shape, expected.shape, strict=True)
    )


def _is_longer(side: str, spec: TensorSpec, expected: TensorSpec) -> bool:
    """An output with more classes than before; `_added_classes` decides."""
    mine, theirs = spec.shape, expected.shape
    if side != "output" or not mine or not theirs or spec.dtype != expected.dtype:
        return False
    last = (mine[-1], theirs[-1])
    return (
        mine[:-1] == theirs[:-1]
        and all(isinstance(size, int) for size in last)
        and int(last[0] or 0) > int(last[1] or 0)
    )


def _n_classes(model: Model) -> int:
    shape = model.outputs[0].shape if model.outputs else None
    return shape[-1] if shape and isinstance(shape[-1], int) else 0


def _added_classes(
    names: Sequence[str] | None, expected: Sequence[str] | None
) -> list[str]:
    """Callers know the classes that there were by their numbers."""
    if names is None or expected is None:
        return [
            "its outputs are longer: with class_names in both models new classes may "
            "follow the old ones"
        ]
    if list(names[: len(expected)]) != list(expected):
        return ["its first classes are not those of the model that serves"]
    return []


# ---- running ----------------------------------------------------------------------


def _golden(candidate: Model, _: Model) -> list[str]:
    """All pairs of its artefact, as long as there is time."""
    from trimtab.golden import compare, read_pairs
    from trimtab.precision import largest_allowed

    if candidate.artefact is None:
        return []
    readers, exact = read_pairs(candidate.artefact)
    allowed = largest_allowed(exact, candidate.precision)
    begun = time.monotonic()
    for number, read in enumerate(readers):
        pair = read()
        difference, wrong = compare(pair.outputs, candidate.run(pair.inputs), allowed)
        if wrong:
            return [f"golden pair {number}: output {wrong!r} departs by {difference:g}"]
        if time.monotonic() - begun > _BUDGET_S:
            break
    return []


def _finite(candidate: Model, champion: Model) -> list[str]:
    """NaN and infinity, and other shapes, where the champion has none."""
    for number, inputs in enumerate(_probes(champion)):
        try:
            expected = champion.run(inputs)
        except TrimtabError:
            continue  # nothing that it takes
        results = candidate.run(inputs)
        what = ("random", "random", "zero", "large")[number]
        for name, before in expected.items():
            result = results[name]
            if is_finite(before) and not is_finite(result):
                return [
                    f"output {name!r} holds NaN or infinity for {what} inputs, where "
                    "the model that serves has none"
                ]
            if (result.ndim, result.dtype) != (before.ndim, before.dtype):
                return [
                    f"output {name!r} is {result.dtype}{list(result.shape)}, expected "
                    f"{before.dtype}{list(before.shape)}"
                ]
    return []


def _slow(candidate: Model, champion: Model) -> list[str]:
    """Much slower than what serves, on this machine; in turns, the best of each."""
    inputs = _probes(champion)[0]
    best = [float("inf"), float("inf")]
    begun = time.monotonic()
    for _ in range(_N_TIMED):
        for i, model in enumerate((champion, candidate)):
            try:
                best[i] = min(best[i], _seconds(model, inputs))
            except TrimtabError:
                return []
        if time.monotonic() - begun > _BUDGET_S:
            break
    if best[1] > max(MAX_SLOWDOWN * best[0], _NEVER_SLOW_S):
        return [
            f"it takes {1e3 * best[1]:.3g} ms for a random request, the model that "
            f"serves {1e3 * best[0]:.3g} ms"
        ]
    return []


def _seconds(model: Model, inputs: dict[str, Array]) -> float:
    """Of the processor: requests that are served meanwhile do not count."""
    begun = time.thread_time()
    model.run(inputs)
    return time.thread_time() - begun
