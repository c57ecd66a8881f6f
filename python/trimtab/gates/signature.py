"""Does the candidate take all that the champion takes, and give the same?"""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate
from trimtab.signature import TensorSpec

__all__ = ["check", "differences"]


def check(evidence: Evidence) -> Gate:
    """Compare the candidate's inputs and outputs with the champion's.

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
    old, new = evidence.model("champion"), evidence.model("candidate")
    wrong = differences("input", old.inputs, new.inputs)
    wrong += differences("output", old.outputs, new.outputs, may_grow=evidence.may_grow)
    told = {
        "champion": [str(spec) for spec in (*old.inputs, *old.outputs)],
        "candidate": [str(spec) for spec in (*new.inputs, *new.outputs)],
    }
    if wrong:
        return Gate("signature", "failed", "; ".join(wrong), told)
    return Gate("signature", "passed", "takes and gives what the champion does", told)


def differences(
    what: str,
    old: Sequence[TensorSpec],
    new: Sequence[TensorSpec],
    *,
    may_grow: bool = False,
) -> list[str]:
    """Say what of a signature a caller of the old one would stumble over.

    Parameters
    ----------
    what : {"input", "output"}
    old, new : sequence of TensorSpec
    may_grow : bool, default=False
        The last dim may be larger than it was.

    Returns
    -------
    differences : list of str

    Examples
    --------
    >>> a = TensorSpec("x", "float32", ("n", 4))
    >>> differences("input", [a], [TensorSpec("x", "float32", (1, 4))])
    ["input 'x': expected x: float32[n,4], got x: float32[1,4]"]
    """
    names = [spec.name for spec in old], [spec.name for spec in new]
    # Outputs come in an order; inputs are given by name, or in order by position.
    if names[0] != names[1]:
        return [f"{what}s: expected {names[0]}, got {names[1]}"]
    return [
        f"{what} {a.name!r}: expected {a}, got {b}"
        for a, b in zip(old, new, strict=True)
        if not _is_alike(a, b, is_input=what == "input", may_grow=may_grow)
    ]


def _is_alike(
    old: TensorSpec, new: TensorSpec, *, is_input: bool, may_grow: bool
) -> bool:
    """An input may take more than before; an output is what it was."""
    if old.dtype is not None and new.dtype != old.dtype:
        return False
    if old.shape is None or new.shape is None:
        return new.shape is None or not is_input
    if len(old.shape) != len(new.shape):
        return False
    last = len(old.shape) - 1
    return all(
        _fits(a, b, is_input=is_input, may_grow=may_grow and axis == last)
        for axis, (a, b) in enumerate(zip(old.shape, new.shape, strict=True))
    )


def _fits(old: object, new: object, *, is_input: bool, may_grow: bool) -> bool:
    """One dim: a size, or whatever comes."""
    if not isinstance(new, int):
        return True
    if not isinstance(old, int):
        return not is_input
    return old == new or (may_grow and new > old)
