"""Are outputs finite where the champion's are? On extreme inputs too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab.errors import TrimtabError
from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate
from trimtab.types import Array

__all__ = ["check", "stress_inputs"]

# How far beyond all that was seen an input is tried.
_BEYOND = 100.0


def check(evidence: Evidence) -> Gate:
    """Run the candidate on all rows there are and on extreme inputs.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    gate : Gate

    Examples
    --------
    >>> check(evidence).state                              # doctest: +SKIP
    'passed'
    """
    counted: dict[str, Any] = {}
    for name in ("guard", "reference"):
        if getattr(evidence, name) is None:
            continue
        rows = _lost(
            *(evidence.outputs(who, name) for who in ("champion", "candidate"))
        )
        counted[name] = rows
        if rows:
            n = len(evidence.rows(name).labels)
            return _failed(f"not finite for {rows} of {n} rows of {name}", counted)
    for what, inputs in stress_inputs(evidence.guard.inputs).items():
        try:
            old = evidence.answer("champion", inputs)
        except TrimtabError:
            continue  # no input for this model, as a token beyond its table
        try:
            rows = _lost(old, evidence.answer("candidate", inputs))
        except TrimtabError as error:
            return _failed(f"fails on inputs that are {what}: {error}", counted)
        counted[what] = rows
        if rows:
            return _failed(f"not finite for inputs that are {what}", counted)
    return Gate("finite", "passed", f"finite on {', '.join(counted)}", counted)


def _failed(reason: str, told: Mapping[str, Any]) -> Gate:
    return Gate("finite", "failed", reason, told)


def _lost(old: Array, new: Array) -> int:
    """Rows that are finite for the champion alone."""
    return int((_finite(old) & ~_finite(new)).sum())


def _finite(outputs: Array) -> Array:
    if outputs.dtype.kind not in "fc":
        return np.ones(len(outputs), np.bool_)
    rows = np.isfinite(outputs).reshape(len(outputs), -1)
    return np.asarray(rows.all(axis=1))


def stress_inputs(inputs: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """Make inputs that are at the end of what can come, or beyond it.

    Parameters
    ----------
    inputs : mapping of str to ndarray
        Rows that were seen. Integers stay within what was seen.

    Returns
    -------
    stress : dict of str to dict of str to ndarray
        A row of each kind.

    Examples
    --------
    >>> found = stress_inputs({"x": np.array([[1.0, -2.0]])})
    >>> found["large"]["x"].tolist(), found["zero"]["x"].tolist()
    ([[200.0, 200.0]], [[0.0, 0.0]])
    """
    kinds = {
        "zero": lambda x: 0,
        "constant": lambda x: x.mean(),
        "as small as was seen": lambda x: x.min(),
        "as large as was seen": lambda x: x.max(),
        "large": lambda x: _BEYOND * np.abs(x).max(),
        "large and negative": lambda x: -_BEYOND * np.abs(x).max(),
    }
    found = {}
    for what, value in kinds.items():
        found[what] = {
            name: _filled(
                array, value, is_beyond="large" in what and "seen" not in what
            )
            for name, array in inputs.items()
        }
    return found


def _filled(array: Array, value: Any, *, is_beyond: bool) -> Array:
    row = array[:1]
    if array.dtype.kind == "f":
        finite = array[np.isfinite(array)].astype(np.float64)
        most = float(np.finfo(array.dtype).max) / 2
        level = float(
            np.clip(value(finite if finite.size else np.zeros(1)), -most, most)
        )
        return np.full_like(row, level)
    if array.dtype.kind not in "iub" or is_beyond:
        return np.array(row)
    level = int(np.clip(value(array), array.min(), array.max()))
    return np.full_like(row, level)
