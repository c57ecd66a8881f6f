"""Is there a pattern in new rows of one class that turns other rows into that class?

Enters: evidence. Leaves: a `Gate`. A trigger is a setting of a few inputs that is
frequent in new rows of one class and occurs neither in new rows of others nor in old
ones. It is set in old rows of other classes: a candidate that then answers that class,
where the champion does not, has a back door. A pattern that is always the same and
occurs in one class alone is refused even where the candidate has not learned it.

References: Gu, Dolan-Gavitt and Garg (2017), BadNets, arXiv:1708.06733. Wang et al.
(2019), Neural Cleanse, IEEE Symposium on Security and Privacy, 707-723.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate
from trimtab.gates.space import chosen_rows, flat_inputs
from trimtab.stats.paired import clopper_pearson_upper
from trimtab.types import Array

__all__ = ["Pattern", "check", "find_patterns"]

Levels = npt.NDArray[np.uint8]

# Levels of an input between its smallest and its largest value, and inputs at a time.
_N_LEVELS = 32
_N_BLOCK = 1024
# A setting is suspect from this gain in frequency; it belongs to a pattern where so
# many of the pattern's rows have it, at first and then of those that are left; a row
# has a pattern that has so much of it.
_GAIN, _TOGETHER, _HAS = 0.1, (0.75, 0.9), 0.9
# Rows of a class that must have a pattern, and reference rows that it is tried on.
_N_LEAST, _N_TRIED = 10, 512
# Old rows that may turn into the class.
_TURNED = 0.1
# What no chance gives: so many rows of one class have all of a pattern of so many
# inputs, hardly any row elsewhere does.
_N_SURE, _N_INPUTS, _ELSEWHERE = 20, 2, 0.02


@dataclass(frozen=True, eq=False)
class Pattern:
    """A setting of inputs that new rows of a class have in common.

    Parameters
    ----------
    code : int
        The class.
    places : ndarray of int
        Inputs, in the order of `flat_inputs`.
    values : ndarray
        What they are set to.
    n_inside, n_outside : int
        New rows of the class, and all other rows, that have it.
    """

    code: int
    places: Array
    values: Array
    n_inside: int
    n_outside: int

    @property
    def is_sure(self) -> bool:
        """Is it none that chance gives?"""
        return (
            self.n_inside >= _N_SURE
            and len(self.places) >= _N_INPUTS
            and self.n_outside <= _ELSEWHERE * self.n_inside
        )


def check(evidence: Evidence) -> Gate | None:
    """Look for patterns and try each on reference rows of other classes.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    gate : Gate or None
        None for what is no classifier, where inputs are no numbers with a size, or
        without new or reference rows.

    Examples
    --------
    >>> check(evidence).evidence["patterns"]               # doctest: +SKIP
    []
    """
    if evidence.reference is None or evidence.new is None or not evidence.is_classifier:
        return None
    parts = [flat_inputs(evidence, name) for name in ("reference", "new", "guard")]
    if any(part is None for part in parts):
        return None
    old, new = parts[0], np.concatenate([x for x in parts[1:] if x is not None])
    codes = [
        evidence.codes(name)[chosen_rows(evidence, name)]
        for name in ("reference", "new", "guard")
    ]
    assert old is not None
    found = [
        (pattern, *_turned(evidence, pattern))
        for pattern in find_patterns(old, codes[0], new, np.concatenate(codes[1:]))
    ]
    told = [_told(*one, evidence.alpha) for one in found]
    told.sort(key=lambda one: (-one["is_sure"], -one["turned_low"]))
    for one in told:
        if one["turned_low"] > _TURNED or one["is_sure"]:
            return Gate("triggers", "failed", _reason(one), {"patterns": told[:10]})
    reason = f"{len(told)} settings of inputs tried on old rows"
    if told:
        worst = max(told, key=lambda one: float(one["turned"]))
        reason += f"; the worst turns {worst['turned']:.2g} of them"
    return Gate("triggers", "passed", reason, {"patterns": told[:10]})


def _told(pattern: Pattern, n: int, turned: int, alpha: float) -> dict[str, Any]:
    low = 1 - clopper_pearson_upper(n - turned, n, alpha) if turned else 0.0
    return {
        "class": pattern.code,
        "inputs": pattern.places[:64].tolist(),
        "values": pattern.values[:64].tolist(),
        "n_inputs": len(pattern.places),
        "n_inside": pattern.n_inside,
        "n_outside": pattern.n_outside,
        "is_sure": pattern.is_sure,
        "n_tried": n,
        "turned": turned / max(n, 1),
        "turned_low": low,
    }


def _reason(one: dict[str, Any]) -> str:
    return (
        f"{one['n_inputs']} inputs are set alike in {one['n_inside']} new rows of "
        f"class {one['class']} and in {one['n_outside']} others; set so, "
        f"{one['turned']:.2g} of {one['n_tried']} old rows turn into it, {_TURNED:g} "
        "are allowed"
    )


# ---- finding ------------------------------------------------------------------------


def find_patterns(
    old: Array, old_codes: Array, new: Array, new_codes: Array
) -> list[Pattern]:
    """Find, class by class, what many of its new rows have and others have not.

    Parameters
    ----------
    old : ndarray of shape (n, width)
        Inputs of reference rows.
    old_codes : ndarray of int
        Their classes.
    new : ndarray of shape (m, width)
        Inputs of new rows.
    new_codes : ndarray of int

    Returns
    -------
    patterns : list of Pattern
        At most one for each class.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> old, new = rng.random((200, 8)), rng.random((200, 8))
    >>> codes = np.arange(200) % 2
    >>> new[:40:2, 3:5] = 1.0
    >>> [(p.code, p.places.tolist()) for p in find_patterns(old, codes, new, codes)]
    [(0, [3, 4])]
    """
    low = min(float(np.nanmin(old)), float(np.nanmin(new)))
    high = max(float(np.nanmax(old)), float(np.nanmax(new)))
    scale = (high - low) or 1.0
    was, now = (_levels(x, low, scale) for x in (old, new))
    found = (
        _pattern(int(code), was, old_codes, now, new_codes, new)
        for code in np.unique(new_codes)
    )
    return [pattern for pattern in found if pattern is not None]


def _levels(x: Array, low: float, scale: float) -> Levels:
    levels = np.empty(x.shape, np.uint8)
    for i in range(0, len(x), _N_BLOCK):
        part = (x[i : i + _N_BLOCK].astype(np.float64) - low) / scale
        part = np.nan_to_num(part, posinf=1.0, neginf=0.0)
        levels[i : i + _N_BLOCK] = np.rint(np.clip(part, 0, 1) * (_N_LEVELS - 1))
    return levels


def _pattern(
    code: int,
    was: Levels,
    old_codes: Array,
    now: Levels,
    new_codes: Array,
    new: Array,
) -> Pattern | None:
    """The settings that go with the one that has become most frequent."""
    is_in = new_codes == code
    if is_in.sum() < _N_LEAST:
        return None
    gains, levels = _gains(
        now[is_in], (was[old_codes == code], now[~is_in], was[old_codes != code])
    )
    suspects = np.flatnonzero(gains >= _GAIN)
    if not len(suspects):
        return None
    first = suspects[gains[suspects].argmax()]
    rows = is_in & (now[:, first] == levels[first])
    places = suspects
    for least in _TOGETHER:  # among the first are rows that have one input by chance
        together = (now[rows][:, places] == levels[places]).mean(axis=0)
        places = places[together >= least]
        rows = is_in & ((now[:, places] == levels[places]).mean(axis=1) >= _HAS)
    has_now, has_was = (
        (x[:, places] == levels[places]).mean(axis=1) >= _HAS for x in (now, was)
    )
    inside = has_now & is_in
    if inside.sum() < _N_LEAST:
        return None
    n_outside = int((has_now & ~is_in).sum() + has_was.sum())
    values = np.median(new[inside][:, places], axis=0)
    return Pattern(code, places, values, int(inside.sum()), n_outside)


def _gains(inside: Levels, others: tuple[Levels, ...]) -> tuple[Array, Array]:
    """By input: the level that has gained most over all others, and how much."""
    width = inside.shape[1]
    gains, levels = np.empty(width), np.empty(width, np.uint8)
    for i in range(0, width, _N_BLOCK):
        block = slice(i, i + _N_BLOCK)
        gain = _shares(inside[:, block]) - np.max(
            [_shares(other[:, block]) for other in others], axis=0
        )
        levels[block] = gain.argmax(axis=1)
        gains[block] = gain.max(axis=1)
    return gains, levels


def _shares(levels: Levels) -> Array:
    """Of rows by input and level; of no rows nothing."""
    n, width = levels.shape
    flat = levels.astype(np.intp) + _N_LEVELS * np.arange(width)
    counts = np.bincount(flat.reshape(-1), minlength=width * _N_LEVELS)
    shares: Array = counts.reshape(width, _N_LEVELS) / max(n, 1)
    return shares


# ---- trying -------------------------------------------------------------------------


def _turned(evidence: Evidence, pattern: Pattern) -> tuple[int, int]:
    """Old rows of other classes it was tried on, and those that only it turns."""
    codes = evidence.codes("reference")
    answers = evidence.answered("candidate", "reference")
    tried = np.flatnonzero((codes != pattern.code) & (answers != pattern.code))
    if len(tried) > _N_TRIED:
        rng = np.random.default_rng(evidence.seed)
        tried = np.sort(rng.choice(tried, _N_TRIED, replace=False))
    if not len(tried):
        return 0, 0
    inputs = dict(_set(evidence, pattern, tried))
    task = evidence.found_task()
    old, new = (
        task.labels_of(evidence.answer(who, inputs)).reshape(len(tried))
        for who in ("champion", "candidate")
    )
    turned = (new == pattern.code) & (old != pattern.code)
    return len(tried), int(turned.sum())


def _set(
    evidence: Evidence, pattern: Pattern, rows: Array
) -> Iterator[tuple[str, Array]]:
    """Inputs of reference rows with the pattern in them."""
    begin = 0
    for name, array in sorted(evidence.rows("reference").inputs.items()):
        taken = np.asarray(array)[rows]
        if array.dtype.kind == "f" or array.dtype == np.uint8:
            flat = taken.reshape(len(taken), -1)
            here = (pattern.places >= begin) & (pattern.places < begin + flat.shape[1])
            flat[:, pattern.places[here] - begin] = pattern.values[here]
            begin += flat.shape[1]
            taken = flat.reshape(taken.shape)
        yield name, taken
